//! From an A64 load or store instruction to the memory accesses it makes.
//!
//! Arm ARM DDI 0487, C4.1 "Loads and Stores". Used when a data abort carries no valid syndrome (ESR_EL2 ISV = 0):
//! pairs and write-back forms. Everything that moves general registers by plain accesses is decoded, even what usually has
//! a syndrome. Deliberately absent: SIMD, exclusives, compare-and-swap and the other atomics, tags, prefetches, literals,
//! memory copies, and all of A32 and T32. No device access can be made of those, or none ever should be.
//! Half of the file is the table of encodings that the tests check, taken from an assembler.

use axaddrspace::AccessWidth;

/// The guest's general registers as the instruction found them.
#[derive(Clone, Copy, Debug)]
pub struct Regs<'a> {
    /// X0 to X30.
    pub gpr: &'a [u64; 31],
    /// The stack pointer in use at the instruction: SP_EL1 in EL1h, else SP_EL0.
    pub sp: u64,
}

impl Regs<'_> {
    /// X`reg` as a data or index register: 31 and above is the zero register.
    pub fn x(&self, reg: u8) -> u64 {
        self.gpr.get(usize::from(reg)).copied().unwrap_or(0)
    }

    /// X`reg` as a base register: 31 is the stack pointer.
    fn base(&self, reg: u8) -> u64 {
        self.gpr.get(usize::from(reg)).copied().unwrap_or(self.sp)
    }
}

/// Which way an access goes and, for a load, how its register is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// Memory to register.
    Load {
        /// How much of the register is written: `Dword` (upper half zeroed) or `Qword`.
        reg_width: AccessWidth,
        /// Whether the value is sign-extended to `reg_width`; otherwise zero-extended.
        signed: bool,
    },
    /// Register to memory.
    Store,
}

/// One access of a load or store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The virtual address.
    pub address: u64,
    /// How many bytes move.
    pub width: AccessWidth,
    /// The general register that is loaded or stored (31: the zero register).
    pub reg: u8,
    /// Load or store.
    pub kind: AccessKind,
}

/// What a load or store instruction does: one or two accesses, then perhaps a new base register.
///
/// All addresses are final: loading `first.reg` does not change `second`, even when it is the base register. No register
/// may be written before every access has succeeded, or an abort on the second access would find the base gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemOp {
    /// The first access, at the lower address.
    pub first: Access,
    /// The second access of a pair, directly behind the first in the same 4 KiB page.
    pub second: Option<Access>,
    /// The base register (31: the stack pointer) and its new value.
    pub writeback: Option<(u8, u64)>,
}

impl MemOp {
    /// The accesses in the order of their addresses.
    pub fn accesses(&self) -> impl Iterator<Item = Access> {
        core::iter::once(self.first).chain(self.second)
    }

    /// Whether one of the accesses starts at `far`, so that the instruction explains the reported fault.
    ///
    /// The top byte is left out: with address tagging FAR_EL2 may not hold the tag.
    pub fn explains(&self, far: u64) -> bool {
        self.accesses().any(|access| (access.address ^ far) << 8 == 0)
    }
}

/// Why no access is made of an instruction; the guest gets an external abort for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The guest runs A32 or T32 code, which is not decoded.
    Aarch32,
    /// Not a load or store.
    NotLoadStore,
    /// A load or store that is not made of plain general-register accesses, or an unallocated one.
    Unsupported,
    /// The manual leaves the result open (write-back to a transfer register, a load pair into one register).
    Unpredictable,
    /// The accesses reach into a second 4 KiB page, whose guest-physical address the fault does not tell.
    CrossesPage,
}

/// Decodes `insn`, fetched at the guest's program counter.
///
/// `spsr` is SPSR_EL2 of the trap; `regs` must be the registers of the same moment. The result still has to be compared
/// with the fault: the guest may have replaced the instruction since ([`MemOp::explains`]).
///
/// # Errors
///
/// See [`DecodeError`].
pub fn decode(insn: u32, regs: &Regs<'_>, spsr: u64) -> Result<MemOp, DecodeError> {
    const SPSR_AARCH32: u64 = 1 << 4;
    const SIMD: u32 = 1 << 26;
    if spsr & SPSR_AARCH32 != 0 {
        return Err(DecodeError::Aarch32);
    }
    if insn & 0x0a00_0000 != 0x0800_0000 {
        return Err(DecodeError::NotLoadStore);
    }
    if insn & SIMD != 0 {
        return Err(DecodeError::Unsupported);
    }
    match bits(insn, 27, 3) {
        0b001 => ordered(insn)?,
        0b011 => ordered_unscaled(insn)?,
        0b101 => pair(insn)?,
        _ => single(insn, regs)?,
    }
    .resolve(regs)
}

/// How base and offset become an address and a write-back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Index {
    Offset,
    Pre,
    Post,
}

/// An instruction taken apart, before the registers are looked at.
struct Form {
    rn: u8,
    rt: u8,
    rt2: Option<u8>,
    offset: u64,
    index: Index,
    width: AccessWidth,
    kind: AccessKind,
}

impl Form {
    /// A form with one transfer register and no write-back; size and opc are in bits 31:30 and 23:22.
    fn one(insn: u32, offset: u64) -> Result<Self, DecodeError> {
        let (width, kind) = size_opc(bits(insn, 30, 2), bits(insn, 22, 2))?;
        Ok(Self {
            rn: reg(insn, 5),
            rt: reg(insn, 0),
            rt2: None,
            offset,
            index: Index::Offset,
            width,
            kind,
        })
    }

    /// Whether the result is CONSTRAINED UNPREDICTABLE (LDP, LDR and STR (immediate), "Assembler symbols").
    fn is_unpredictable(&self) -> bool {
        let is_load = self.kind != AccessKind::Store;
        let base_is_moved = self.index != Index::Offset && self.rn != 31;
        (is_load && self.rt2 == Some(self.rt))
            || (base_is_moved && (self.rt == self.rn || self.rt2 == Some(self.rn)))
    }

    fn resolve(self, regs: &Regs<'_>) -> Result<MemOp, DecodeError> {
        if self.is_unpredictable() {
            return Err(DecodeError::Unpredictable);
        }
        let base = regs.base(self.rn);
        let moved = base.wrapping_add(self.offset);
        let address = if self.index == Index::Post { base } else { moved };
        let bytes = self.width.bytes() as u64;
        let total = if self.rt2.is_some() { bytes << 1 } else { bytes };
        if (address & 0xfff).wrapping_add(total) > 0x1000 {
            return Err(DecodeError::CrossesPage);
        }
        let access = |address, reg| Access { address, width: self.width, reg, kind: self.kind };
        Ok(MemOp {
            first: access(address, self.rt),
            second: self.rt2.map(|reg| access(address.wrapping_add(bytes), reg)),
            writeback: (self.index != Index::Offset).then_some((self.rn, moved)),
        })
    }
}

/// LDAR, STLR, LDLAR, STLLR: "Load/store ordered".
fn ordered(insn: u32) -> Result<Form, DecodeError> {
    let ordered_class = insn & 0x0180_0000 == 0x0080_0000 && !bit(insn, 21);
    let unused_are_ones = bits(insn, 16, 5) == 31 && bits(insn, 10, 5) == 31;
    if !(ordered_class && unused_are_ones) {
        return Err(DecodeError::Unsupported);
    }
    // Bit 22 is L and bit 23 is fixed: without it they are the opc of an unsigned load or a store.
    Form::one(insn & !(1 << 23), 0)
}

/// LDAPUR, STLUR: "LDAPR/STLR (unscaled immediate)".
fn ordered_unscaled(insn: u32) -> Result<Form, DecodeError> {
    if bits(insn, 24, 2) != 1 || bit(insn, 21) || bits(insn, 10, 2) != 0 {
        return Err(DecodeError::Unsupported);
    }
    Form::one(insn, imm9(insn))
}

/// LDP, LDPSW, STP, LDNP, STNP: "Load/store register pair" in its four forms.
fn pair(insn: u32) -> Result<Form, DecodeError> {
    let load = bit(insn, 22);
    let (non_temporal, index) = match bits(insn, 23, 3) {
        0b000 => (true, Index::Offset),
        0b001 => (false, Index::Post),
        0b010 => (false, Index::Offset),
        0b011 => (false, Index::Pre),
        _ => return Err(DecodeError::Unsupported),
    };
    let (width, reg_width, signed) = match bits(insn, 30, 2) {
        0b00 => (AccessWidth::Dword, AccessWidth::Dword, false),
        // With L = 0 this is STGP, which stores a tag.
        0b01 if load && !non_temporal => (AccessWidth::Dword, AccessWidth::Qword, true),
        0b10 => (AccessWidth::Qword, AccessWidth::Qword, false),
        _ => return Err(DecodeError::Unsupported),
    };
    let kind = if load { AccessKind::Load { reg_width, signed } } else { AccessKind::Store };
    let imm7 = sign_extend(bits(insn, 15, 7), 7);
    Ok(Form {
        rn: reg(insn, 5),
        rt: reg(insn, 0),
        rt2: Some(reg(insn, 10)),
        offset: imm7.wrapping_mul(width.bytes() as u64),
        index,
        width,
        kind,
    })
}

/// The forms of LDR, STR, LDUR, STUR, LDTR, STTR, and LDAPR.
fn single(insn: u32, regs: &Regs<'_>) -> Result<Form, DecodeError> {
    let size = bits(insn, 30, 2);
    match bits(insn, 24, 2) {
        0b01 => Form::one(insn, u64::from(bits(insn, 10, 12)) << size),
        0b00 => match (bit(insn, 21), bits(insn, 10, 2)) {
            // Unscaled, and unprivileged: stage 1 has already said yes when stage 2 faults.
            (false, 0b00 | 0b10) => Form::one(insn, imm9(insn)),
            (false, 0b01) => Ok(Form { index: Index::Post, ..Form::one(insn, imm9(insn))? }),
            (false, 0b11) => Ok(Form { index: Index::Pre, ..Form::one(insn, imm9(insn))? }),
            (true, 0b10) => Form::one(insn, index_register(insn, size, regs)?),
            // LDAPR lives among the atomics: A = 1, R = 0, Rs = 31, o3 = 1, opc = 0b100.
            (true, 0b00) if insn & 0x00ff_fc00 == 0x00bf_c000 => {
                Form::one(insn & !(0b11 << 22) | 0b01 << 22, 0)
            }
            _ => Err(DecodeError::Unsupported),
        },
        _ => Err(DecodeError::Unsupported),
    }
}

/// The offset of the register-offset forms: Rm, extended by `option`, shifted by the access size if S is set.
fn index_register(insn: u32, size: u32, regs: &Regs<'_>) -> Result<u64, DecodeError> {
    let value = regs.x(reg(insn, 16));
    let low = value & u64::from(u32::MAX);
    let extended = match bits(insn, 13, 3) {
        0b010 => low,
        0b110 => (low ^ 1 << 31).wrapping_sub(1 << 31),
        0b011 | 0b111 => value,
        _ => return Err(DecodeError::Unsupported),
    };
    Ok(extended << if bit(insn, 12) { size } else { 0 })
}

/// Width and kind from `size` and `opc` of the single-register forms.
fn size_opc(size: u32, opc: u32) -> Result<(AccessWidth, AccessKind), DecodeError> {
    let width = match size {
        0 => AccessWidth::Byte,
        1 => AccessWidth::Word,
        2 => AccessWidth::Dword,
        _ => AccessWidth::Qword,
    };
    let load = |reg_width, signed| AccessKind::Load { reg_width, signed };
    let kind = match (opc, width) {
        (0b00, _) => AccessKind::Store,
        (0b01, AccessWidth::Qword) => load(AccessWidth::Qword, false),
        (0b01, _) => load(AccessWidth::Dword, false),
        (0b10, AccessWidth::Byte | AccessWidth::Word | AccessWidth::Dword) => {
            load(AccessWidth::Qword, true)
        }
        (0b11, AccessWidth::Byte | AccessWidth::Word) => load(AccessWidth::Dword, true),
        // PRFM and unallocated encodings.
        _ => return Err(DecodeError::Unsupported),
    };
    Ok((width, kind))
}

/// The signed byte offset in bits 20:12.
fn imm9(insn: u32) -> u64 {
    sign_extend(bits(insn, 12, 9), 9)
}

/// `value` of `width` bits as a two's complement number.
fn sign_extend(value: u32, width: u32) -> u64 {
    let sign = 1 << width.wrapping_sub(1);
    (u64::from(value) ^ sign).wrapping_sub(sign)
}

/// `width` bits of the instruction from bit `low` up.
const fn bits(insn: u32, low: u32, width: u32) -> u32 {
    insn >> low & (1_u32 << width).wrapping_sub(1)
}

/// One bit of the instruction.
const fn bit(insn: u32, at: u32) -> bool {
    bits(insn, at, 1) != 0
}

/// The register number whose lowest bit is `low`.
const fn reg(insn: u32, low: u32) -> u8 {
    (insn >> low & 0x1f) as u8
}

/// Whether `instruction` leaves a return address: BL or BLR.
pub const fn is_call(instruction: u32) -> bool {
    instruction & 0xfc00_0000 == 0x9400_0000 || instruction & 0xffff_fc1f == 0xd63f_0000
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
mod tests {
    use super::*;
    use AccessWidth::{Byte as B, Dword as W, Qword as X, Word as H};

    const SP: u64 = 0x20_0800;
    const EL1H: u64 = 5;
    const STORE: AccessKind = AccessKind::Store;
    /// Zero-extending loads of a W and an X register.
    const ZW: AccessKind = AccessKind::Load { reg_width: W, signed: false };
    const ZX: AccessKind = AccessKind::Load { reg_width: X, signed: false };
    /// Sign-extending loads of a W and an X register.
    const SW: AccessKind = AccessKind::Load { reg_width: W, signed: true };
    const SX: AccessKind = AccessKind::Load { reg_width: X, signed: true };

    #[test]
    fn calls_are_bl_and_blr_and_nothing_else() {
        for (instruction, calls) in [
            (0x9400_0001, true),
            (0x97ff_ffff, true),
            (0xd63f_0000, true),
            (0xd63f_03c0, true),
            (0x1400_0001, false),
            (0xd61f_0000, false),
            (0xd65f_03c0, false),
            (0, false),
        ] {
            assert_eq!(is_call(instruction), calls, "{instruction:#x}");
        }
    }

    /// Xn holds n * 0x1_0000 + 0x800, so that an address shows its base.
    fn gpr() -> [u64; 31] {
        core::array::from_fn(|n| n as u64 * 0x1_0000 + 0x800)
    }

    fn decode_el1(insn: u32) -> Result<MemOp, DecodeError> {
        decode(insn, &Regs { gpr: &gpr(), sp: SP }, EL1H)
    }

    type Single = (u32, &'static str, AccessKind, AccessWidth, u8, u64, Option<(u8, u64)>);

    #[rustfmt::skip]
    const SINGLES: &[Single] = &[
        (0xf840_8420, "ldr x0, [x1], #8", ZX, X, 0, 0x1_0800, Some((1, 0x1_0808))),
        (0xb85f_cc20, "ldr w0, [x1, #-4]!", ZW, W, 0, 0x1_07fc, Some((1, 0x1_07fc))),
        (0x3840_1420, "ldrb w0, [x1], #1", ZW, B, 0, 0x1_0800, Some((1, 0x1_0801))),
        (0x784f_fc20, "ldrh w0, [x1, #255]!", ZW, H, 0, 0x1_08ff, Some((1, 0x1_08ff))),
        (0x381f_f420, "strb w0, [x1], #-1", STORE, B, 0, 0x1_0800, Some((1, 0x1_07ff))),
        (0x7800_2c20, "strh w0, [x1, #2]!", STORE, H, 0, 0x1_0802, Some((1, 0x1_0802))),
        (0xb800_4420, "str w0, [x1], #4", STORE, W, 0, 0x1_0800, Some((1, 0x1_0804))),
        (0xf810_0fe0, "str x0, [sp, #-256]!", STORE, X, 0, SP - 256, Some((31, SP - 256))),
        (0xf801_07ff, "str xzr, [sp], #16", STORE, X, 31, SP, Some((31, SP + 16))),
        (0x38c0_1420, "ldrsb w0, [x1], #1", SW, B, 0, 0x1_0800, Some((1, 0x1_0801))),
        (0x3880_1c20, "ldrsb x0, [x1, #1]!", SX, B, 0, 0x1_0801, Some((1, 0x1_0801))),
        (0x78c0_2420, "ldrsh w0, [x1], #2", SW, H, 0, 0x1_0800, Some((1, 0x1_0802))),
        (0x7880_2c20, "ldrsh x0, [x1, #2]!", SX, H, 0, 0x1_0802, Some((1, 0x1_0802))),
        (0xb880_4420, "ldrsw x0, [x1], #4", SX, W, 0, 0x1_0800, Some((1, 0x1_0804))),
        (0xb880_4c20, "ldrsw x0, [x1, #4]!", SX, W, 0, 0x1_0804, Some((1, 0x1_0804))),
        (0xf85f_8020, "ldur x0, [x1, #-8]", ZX, X, 0, 0x1_07f8, None),
        (0xb800_3062, "stur w2, [x3, #3]", STORE, W, 2, 0x3_0803, None),
        (0x38df_f062, "ldursb w2, [x3, #-1]", SW, B, 2, 0x3_07ff, None),
        (0xb89f_c062, "ldursw x2, [x3, #-4]", SX, W, 2, 0x3_07fc, None),
        (0xf840_88a4, "ldtr x4, [x5, #8]", ZX, X, 4, 0x5_0808, None),
        (0x781f_e8a4, "sttrh w4, [x5, #-2]", STORE, H, 4, 0x5_07fe, None),
        (0x7880_28a4, "ldtrsh x4, [x5, #2]", SX, H, 4, 0x5_0802, None),
        (0xf862_6820, "ldr x0, [x1, x2]", ZX, X, 0, 0x3_1000, None),
        (0xf862_7820, "ldr x0, [x1, x2, lsl #3]", ZX, X, 0, 0x11_4800, None),
        (0xb862_d820, "ldr w0, [x1, w2, sxtw #2]", ZW, W, 0, 0x9_2800, None),
        (0x3822_4820, "strb w0, [x1, w2, uxtw]", STORE, B, 0, 0x3_1000, None),
        (0x78a2_fbe0, "ldrsh x0, [sp, x2, sxtx #1]", SX, H, 0, SP + 0x4_1000, None),
        (0xf97f_fc20, "ldr x0, [x1, #32760]", ZX, X, 0, 0x1_0800 + 32760, None),
        (0xb93f_fc20, "str w0, [x1, #16380]", STORE, W, 0, 0x1_0800 + 16380, None),
        (0x397f_ffff, "ldrb wzr, [sp, #4095]", ZW, B, 31, SP + 4095, None),
        (0x39c0_1c20, "ldrsb w0, [x1, #7]", SW, B, 0, 0x1_0807, None),
        (0xb980_0420, "ldrsw x0, [x1, #4]", SX, W, 0, 0x1_0804, None),
        (0xc8df_fc20, "ldar x0, [x1]", ZX, X, 0, 0x1_0800, None),
        (0x08df_fc20, "ldarb w0, [x1]", ZW, B, 0, 0x1_0800, None),
        (0x889f_fc20, "stlr w0, [x1]", STORE, W, 0, 0x1_0800, None),
        (0x489f_ffe0, "stlrh w0, [sp]", STORE, H, 0, SP, None),
        (0xc8df_7c20, "ldlar x0, [x1]", ZX, X, 0, 0x1_0800, None),
        (0xf8bf_c020, "ldapr x0, [x1]", ZX, X, 0, 0x1_0800, None),
        (0x38bf_c020, "ldaprb w0, [x1]", ZW, B, 0, 0x1_0800, None),
        (0xd95f_8020, "ldapur x0, [x1, #-8]", ZX, X, 0, 0x1_07f8, None),
        (0x1900_1020, "stlurb w0, [x1, #1]", STORE, B, 0, 0x1_0801, None),
        (0x9980_4020, "ldapursw x0, [x1, #4]", SX, W, 0, 0x1_0804, None),
    ];

    #[test]
    fn a_single_register_form_becomes_one_access() {
        for &(insn, asm, kind, width, reg, address, writeback) in SINGLES {
            let first = Access { address, width, reg, kind };
            let expected = MemOp { first, second: None, writeback };
            assert_eq!(decode_el1(insn), Ok(expected), "{asm}");
        }
    }

    type Pair = (u32, &'static str, AccessKind, AccessWidth, [u8; 2], u64, Option<(u8, u64)>);

    #[rustfmt::skip]
    const PAIRS: &[Pair] = &[
        (0xa940_0440, "ldp x0, x1, [x2]", ZX, X, [0, 1], 0x2_0800, None),
        (0x297f_10a3, "ldp w3, w4, [x5, #-8]", ZW, W, [3, 4], 0x5_07f8, None),
        (0xa9bf_1fe6, "stp x6, x7, [sp, #-16]!", STORE, X, [6, 7], SP - 16, Some((31, SP - 16))),
        (0x289f_a548, "stp w8, w9, [x10], #252", STORE, W, [8, 9], 0xa_0800, Some((10, 0xa_08fc))),
        (0xa9c1_31ab, "ldp x11, x12, [x13, #16]!", ZX, X, [11, 12], 0xd_0810, Some((13, 0xd_0810))),
        (0xa8e0_3fee, "ldp x14, x15, [sp], #-512", ZX, X, [14, 15], SP, Some((31, SP - 512))),
        (0x6940_c650, "ldpsw x16, x17, [x18, #4]", SX, W, [16, 17], 0x12_0804, None),
        (0x68c1_0440, "ldpsw x0, x1, [x2], #8", SX, W, [0, 1], 0x2_0800, Some((2, 0x2_0808))),
        (0xa840_8440, "ldnp x0, x1, [x2, #8]", ZX, X, [0, 1], 0x2_0808, None),
        (0x2800_7c83, "stnp w3, wzr, [x4]", STORE, W, [3, 31], 0x4_0800, None),
        (0xa940_7800, "ldp x0, x30, [x0]", ZX, X, [0, 30], 0x800, None),
    ];

    #[test]
    fn a_pair_becomes_two_neighbouring_accesses() {
        for &(insn, asm, kind, width, [one, two], address, writeback) in PAIRS {
            let access = |address, reg| Access { address, width, reg, kind };
            let expected = MemOp {
                first: access(address, one),
                second: Some(access(address + width.bytes() as u64, two)),
                writeback,
            };
            assert_eq!(decode_el1(insn), Ok(expected), "{asm}");
        }
    }

    #[test]
    fn loads_and_stores_of_another_kind_are_unsupported() {
        let instructions = [
            (0x3dc0_0020, "ldr q0, [x1]"),
            (0x6cc1_0420, "ldp d0, d1, [x1], #16"),
            (0xadbf_07e0, "stp q0, q1, [sp, #-32]!"),
            (0x4c40_7000, "ld1 {v0.16b}, [x0]"),
            (0xc85f_7c20, "ldxr x0, [x1]"),
            (0xc800_7c41, "stxr w0, x1, [x2]"),
            (0xc87f_8440, "ldaxp x0, x1, [x2]"),
            (0xc8a0_7c41, "cas x0, x1, [x2]"),
            (0x4820_7c82, "casp x0, x1, x2, x3, [x4]"),
            (0xf820_0041, "ldadd x0, x1, [x2]"),
            (0xf820_8041, "swp x0, x1, [x2]"),
            (0xf980_0000, "prfm pldl1keep, [x0]"),
            (0xf880_1000, "prfum pldl1keep, [x0, #1]"),
            (0xf8a1_6800, "prfm pldl1keep, [x0, x1]"),
            (0x5800_0040, "ldr x0, . + 8"),
            (0xf820_0420, "ldraa x0, [x1]"),
            (0xf8a0_1c20, "ldrab x0, [x1, #8]!"),
            (0xd920_0820, "stg x0, [x1]"),
            (0xd960_0020, "ldg x0, [x1]"),
            (0x6900_0440, "stgp x0, x1, [x2]"),
            (0xf83f_9100, "st64b x0, [x8]"),
            (0x1d01_0440, "cpyp [x0]!, [x1]!, x2!"),
            (0x19c2_0420, "setp [x0]!, x1!, x2"),
        ];
        for (insn, asm) in instructions {
            assert_eq!(decode_el1(insn), Err(DecodeError::Unsupported), "{asm}");
        }
    }

    #[test]
    fn other_instructions_are_not_loads_or_stores() {
        let instructions = [
            (0xd50b_7420, "dc zva, x0"),
            (0xd50b_7e20, "dc civac, x0"),
            (0xd503_201f, "nop"),
            (0xd65f_03c0, "ret"),
            (0x8b02_0020, "add x0, x1, x2"),
            (0xd400_0001, "svc #0"),
            (0xa400_a000, "ld1b {z0.b}, p0/z, [x0]"),
            (0x0000_0000, "udf #0"),
        ];
        for (insn, asm) in instructions {
            assert_eq!(decode_el1(insn), Err(DecodeError::NotLoadStore), "{asm}");
        }
    }

    #[test]
    fn what_the_manual_leaves_open_is_refused() {
        let instructions = [
            (0xf840_8421, "ldr x1, [x1], #8"),
            (0xf800_8c21, "str x1, [x1, #8]!"),
            (0xa8c1_0822, "ldp x2, x2, [x1], #16"),
            (0xa940_0020, "ldp x0, x0, [x1]"),
            (0xa840_0020, "ldnp x0, x0, [x1]"),
            (0xa8c1_0420, "ldp x0, x1, [x1], #16"),
            (0xa981_0421, "stp x1, x1, [x1, #16]!"),
        ];
        for (insn, asm) in instructions {
            assert_eq!(decode_el1(insn), Err(DecodeError::Unpredictable), "{asm}");
        }
        assert!(decode_el1(0xa900_0020).is_ok(), "stp x0, x0, [x1]");
        assert!(decode_el1(0xa9c1_07ff).is_ok(), "ldp xzr, x1, [sp, #16]!");
    }

    #[test]
    fn a_32_bit_index_is_extended_before_the_shift() {
        let mut gpr = gpr();
        gpr[2] = 0xdead_beef_ffff_fffe;
        let regs = Regs { gpr: &gpr, sp: SP };
        let address = |insn| decode(insn, &regs, EL1H).unwrap().first.address;
        assert_eq!(address(0xb862_d820), 0x1_0800 - 8, "ldr w0, [x1, w2, sxtw #2]");
        assert_eq!(address(0x3822_4820), 0x1_0800 + 0xffff_fffe, "strb w0, [x1, w2, uxtw]");
    }

    #[test]
    fn an_instruction_that_reaches_the_next_page_is_refused() {
        let mut gpr = gpr();
        let ldp = 0xa940_0440;
        for (base, expected) in [(0x1ff0, true), (0x1ff8, false), (0xffff_ffff_ffff_fff8, false)] {
            gpr[2] = base;
            let result = decode(ldp, &Regs { gpr: &gpr, sp: SP }, EL1H);
            assert_eq!(result.is_ok(), expected, "{base:#x}");
            assert!(expected || result == Err(DecodeError::CrossesPage));
        }
    }

    #[test]
    fn a32_and_t32_code_is_refused() {
        let regs = Regs { gpr: &gpr(), sp: SP };
        assert_eq!(decode(0xa940_0440, &regs, 0x10), Err(DecodeError::Aarch32));
        assert_eq!(decode(0xa940_0440, &regs, 0x30), Err(DecodeError::Aarch32));
    }

    #[test]
    fn a_fault_is_explained_by_either_access_whatever_the_tag() {
        let op = decode_el1(0xa940_0440).unwrap();
        assert!(op.explains(0x2_0800) && op.explains(0x2_0808));
        assert!(op.explains(0xab00_0000_0002_0800));
        assert!(!op.explains(0x2_0804) && !op.explains(0x2_0810));
        assert_eq!(op.accesses().count(), 2);
    }

    #[test]
    fn every_opcode_pattern_decodes_or_errs_without_panic() {
        let gpr = [u64::MAX - 4; 31];
        let regs = Regs { gpr: &gpr, sp: u64::MAX };
        for opcode in 0..1 << 17 {
            for low in [0, 0x21, 0x7c1f, 0x7fff] {
                if let Ok(op) = decode(opcode << 15 | low, &regs, EL1H) {
                    assert!(op.first.reg < 32 && op.writeback.is_none_or(|(reg, _)| reg < 32));
                }
            }
        }
    }
}
