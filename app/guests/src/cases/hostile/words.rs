//! Instruction words (DDI 0487, C4.1 and C6.2), for the forms that are made up of parts.

/// A system register or instruction by its encoding: op0, op1, CRn, CRm, op2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reg(
    pub(crate) u32,
    pub(crate) u32,
    pub(crate) u32,
    pub(crate) u32,
    pub(crate) u32,
);

impl Reg {
    const fn word(self) -> u32 {
        let Reg(op0, op1, crn, crm, op2) = self;
        0xd500_0000 | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5
    }

    /// MRS or SYSL to X`rt`.
    pub(crate) const fn read(self, rt: u32) -> u32 {
        self.word() | 1 << 21 | rt
    }

    /// MSR or SYS from X`rt`.
    pub(crate) const fn write(self, rt: u32) -> u32 {
        self.word() | rt
    }
}

/// HVC and SMC.
pub(crate) const fn hvc(immediate: u32) -> u32 {
    0xd400_0002 | immediate << 5
}

pub(crate) const fn smc(immediate: u32) -> u32 {
    0xd400_0003 | immediate << 5
}

/// The word of an instruction as the assembler writes it. It is stepped over and never executed here.
macro_rules! word {
    ($text:literal) => {{
        let value: u32;
        // SAFETY: jumps over one word and loads it.
        unsafe {
            core::arch::asm!(
                ".arch armv8.6-a+crypto+sha3+sm4+bf16+i8mm+rng+ssbs+predres+sve2+sme+memtag+lse+flagm+fp16fml+pauth+ras",
                "b 3f",
                "2:",
                $text,
                "3: ldr {0:w}, 2b",
                out(reg) value, options(nostack, pure, readonly)
            );
        }
        value
    }};
}
pub(crate) use word;

/// A load or store of X3 through X2: 1, 2, 4 or 8 bytes as `size` 0 to 3.
pub(crate) const fn load(size: u32) -> u32 {
    0x3940_0043 | size << 30
}

pub(crate) const fn store(size: u32) -> u32 {
    0x3900_0043 | size << 30
}
