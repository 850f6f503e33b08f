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
mod tests;
