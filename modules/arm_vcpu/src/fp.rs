//! The V registers, FPCR and FPSR of a vCPU, moved only when another vCPU is loaded.
//!
//! The host's Rust code uses no V register (soft-float target); its thread switch saves and restores
//! them, so while a vCPU stays loaded its runner's thread carries them.

/// The floating-point and SIMD state of one vCPU.
#[repr(C, align(16))]
#[derive(Clone, Debug, Default)]
pub(crate) struct FpState {
    v: [u128; 32],
    fpcr: u64,
    fpsr: u64,
}

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    r#"
    .arch_extension fp
    .arch_extension simd
    .section .text.axle_fp, "ax"
    .irp op, st, ld
    .global axle_fp_\op
axle_fp_\op:
    \op\()p q0, q1, [x0]
    \op\()p q2, q3, [x0, #32]
    \op\()p q4, q5, [x0, #64]
    \op\()p q6, q7, [x0, #96]
    \op\()p q8, q9, [x0, #128]
    \op\()p q10, q11, [x0, #160]
    \op\()p q12, q13, [x0, #192]
    \op\()p q14, q15, [x0, #224]
    \op\()p q16, q17, [x0, #256]
    \op\()p q18, q19, [x0, #288]
    \op\()p q20, q21, [x0, #320]
    \op\()p q22, q23, [x0, #352]
    \op\()p q24, q25, [x0, #384]
    \op\()p q26, q27, [x0, #416]
    \op\()p q28, q29, [x0, #448]
    \op\()p q30, q31, [x0, #480]
    ret
    .endr
    .arch_extension nosimd
    .arch_extension nofp
    "#
);

#[cfg(target_arch = "aarch64")]
unsafe extern "C" {
    fn axle_fp_st(state: *mut FpState);
    fn axle_fp_ld(state: *const FpState);
}

impl FpState {
    pub(crate) fn save(&mut self) {
        #[cfg(target_arch = "aarch64")]
        // SAFETY: stores 512 bytes to `v`, which is that long, first and 16-byte aligned.
        unsafe {
            axle_fp_st(self);
        }
        self.fpcr = crate::regs::mrs!("S3_3_C4_C4_0");
        self.fpsr = crate::regs::mrs!("S3_3_C4_C4_1");
    }

    pub(crate) fn load(&self) {
        #[cfg(target_arch = "aarch64")]
        // SAFETY: loads 512 bytes from `v`; no V register holds anything of the host's.
        unsafe {
            axle_fp_ld(self);
        }
        crate::regs::msr!("S3_3_C4_C4_0", self.fpcr);
        crate::regs::msr!("S3_3_C4_C4_1", self.fpsr);
    }
}
