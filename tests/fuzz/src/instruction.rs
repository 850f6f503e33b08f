//! The decoder of loads and stores, compared with a second one that is written the other way round.
//!
//! The model goes by the assembler's forms: for each it says which bits are fixed, and what the others mean.

use arm_vcpu::insn::{Access, AccessKind, DecodeError, Regs, decode};
use axaddrspace::AccessWidth;

use crate::input::Input;

/// A form: fixed bits, their values, how the address is made, how many registers move.
struct Form {
    mask: u32,
    value: u32,
    address: Address,
    pair: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Address {
    /// The base alone.
    Base,
    /// Nine signed bits: added, added and written back, written back afterwards.
    Signed9,
    Pre9,
    Post9,
    /// Twelve bits times the size.
    Unsigned12,
    /// Seven signed bits times the size, in three ways.
    Signed7,
    Pre7,
    Post7,
    Register,
}

const fn form(mask: u32, value: u32, address: Address) -> Form {
    Form { mask, value, address, pair: false }
}

const fn pair(mask: u32, value: u32, address: Address) -> Form {
    Form { mask, value, address, pair: true }
}

const FORMS: &[Form] = &[
    // size 111 0 00 opc 0 imm9 kind Rn Rt: unscaled, post, unprivileged, pre.
    form(0x3f20_0c00, 0x3800_0000, Address::Signed9),
    form(0x3f20_0c00, 0x3800_0400, Address::Post9),
    form(0x3f20_0c00, 0x3800_0800, Address::Signed9),
    form(0x3f20_0c00, 0x3800_0c00, Address::Pre9),
    form(0x3f20_0c00, 0x3820_0800, Address::Register),
    form(0x3f00_0000, 0x3900_0000, Address::Unsigned12),
    // LDAPR, and LDAPUR and STLUR.
    form(0x3fff_fc00, 0x38bf_c000, Address::Base),
    form(0x3f20_0c00, 0x1900_0000, Address::Signed9),
    // STLLR, STLR, LDLAR, LDAR.
    form(0x3fff_fc00, 0x089f_7c00, Address::Base),
    form(0x3fff_fc00, 0x089f_fc00, Address::Base),
    form(0x3fff_fc00, 0x08df_7c00, Address::Base),
    form(0x3fff_fc00, 0x08df_fc00, Address::Base),
    // opc 101 0 0kk L imm7 Rt2 Rn Rt: no-allocate, post, offset, pre.
    pair(0x3f80_0000, 0x2800_0000, Address::Signed7),
    pair(0x3f80_0000, 0x2880_0000, Address::Post7),
    pair(0x3f80_0000, 0x2900_0000, Address::Signed7),
    pair(0x3f80_0000, 0x2980_0000, Address::Pre7),
];

/// Bits `high` to `low` of the instruction.
const fn field(insn: u32, high: u32, low: u32) -> u32 {
    insn << (31 - high) >> (31 - high + low)
}

/// The same as a signed number.
const fn signed(insn: u32, high: u32, low: u32) -> i64 {
    ((insn << (31 - high)) as i32 >> (31 - high + low)) as i64
}

/// How much moves, which way, and into how much of a register; `None` where there is no such instruction.
fn movement(form: &Form, insn: u32) -> Option<(usize, AccessKind)> {
    let load = |bytes: usize, signed| {
        let reg_width = if bytes == 8 { AccessWidth::Qword } else { AccessWidth::Dword };
        AccessKind::Load { reg_width, signed }
    };
    let size = 1 << field(insn, 31, 30);
    if form.pair {
        let is_load = field(insn, 22, 22) == 1;
        return match (field(insn, 31, 30), is_load) {
            (0, true) => Some((4, load(4, false))),
            (2, true) => Some((8, load(8, false))),
            (1, true) if form.value != 0x2800_0000 => Some((4, load(8, true))),
            (0, false) => Some((4, AccessKind::Store)),
            (2, false) => Some((8, AccessKind::Store)),
            _ => None,
        };
    }
    if form.value & 0x3f00_0000 == 0x0800_0000 {
        let is_load = form.value & 0x0040_0000 != 0;
        return Some((size, if is_load { load(size, false) } else { AccessKind::Store }));
    }
    if form.value == 0x38bf_c000 {
        return Some((size, load(size, false)));
    }
    match (field(insn, 23, 22), size) {
        (0, _) => Some((size, AccessKind::Store)),
        (1, _) => Some((size, load(size, false))),
        (2, 1 | 2 | 4) => Some((size, load(8, true))),
        (3, 1 | 2) => Some((size, load(4, true))),
        _ => None,
    }
}

/// What the manual says of `insn`: accesses and the new base, or the kind of error.
type Meaning = Result<(Vec<Access>, Option<(u8, u64)>), DecodeError>;

fn meaning(insn: u32, gpr: &[u64; 31], sp: u64) -> Meaning {
    if field(insn, 27, 27) != 1 || field(insn, 25, 25) != 0 {
        return Err(DecodeError::NotLoadStore);
    }
    let form = FORMS.iter().find(|form| insn & form.mask == form.value);
    let form = form.ok_or(DecodeError::Unsupported)?;
    let (bytes, kind) = movement(form, insn).ok_or(DecodeError::Unsupported)?;
    let number = |high, low| field(insn, high, low) as u8;
    let (rt, rn, rt2, rm) = (number(4, 0), number(9, 5), number(14, 10), number(20, 16));
    let or = |reg: u8, other: u64| gpr.get(usize::from(reg)).copied().unwrap_or(other);
    let scale = bytes as i64;
    let offset = match form.address {
        Address::Base => 0,
        Address::Signed9 | Address::Pre9 | Address::Post9 => signed(insn, 20, 12),
        Address::Unsigned12 => i64::from(field(insn, 21, 10)) * scale,
        Address::Signed7 | Address::Pre7 | Address::Post7 => signed(insn, 21, 15) * scale,
        Address::Register => {
            let index = match field(insn, 15, 13) {
                2 => i64::from(or(rm, 0) as u32),
                3 | 7 => or(rm, 0) as i64,
                6 => i64::from(or(rm, 0) as i32),
                _ => return Err(DecodeError::Unsupported),
            };
            if field(insn, 12, 12) == 1 { index.wrapping_mul(scale) } else { index }
        }
    };
    let moves =
        matches!(form.address, Address::Pre9 | Address::Post9 | Address::Pre7 | Address::Post7);
    let after = matches!(form.address, Address::Post9 | Address::Post7);
    let same = moves && rn != 31 && (rt == rn || form.pair && rt2 == rn);
    if same || form.pair && kind != AccessKind::Store && rt == rt2 {
        return Err(DecodeError::Unpredictable);
    }
    let base = or(rn, sp);
    let moved = base.wrapping_add_signed(offset);
    let address = if after { base } else { moved };
    let count = if form.pair { 2 } else { 1 };
    let last = address.wrapping_add(count * bytes as u64 - 1);
    if address >> 12 != last >> 12 {
        return Err(DecodeError::CrossesPage);
    }
    let width = match bytes {
        1 => AccessWidth::Byte,
        2 => AccessWidth::Word,
        4 => AccessWidth::Dword,
        _ => AccessWidth::Qword,
    };
    let access = |(n, reg)| Access { address: address + n * bytes as u64, width, reg, kind };
    let accesses = (0..count).zip([rt, rt2]).map(access).collect();
    Ok((accesses, moves.then_some((rn, moved))))
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let sp = input.u64();
    let seed = input.u64();
    let mut gpr: [u64; 31] = std::array::from_fn(|n| seed.rotate_left(n as u32 * 2));
    while !input.is_empty() {
        let insn = input.u32();
        gpr[usize::from(input.u8()) % 31] = input.number();
        let regs = Regs { gpr: &gpr, sp };
        let decoded = decode(insn, &regs, 0b0101);
        if let Ok(op) = &decoded {
            assert!(op.explains(op.first.address) && op.accesses().count() <= 2);
        }
        let found = decoded.map(|op| (op.accesses().collect::<Vec<_>>(), op.writeback));
        assert_eq!(found, meaning(insn, &gpr, sp), "{insn:#010x}");
        assert_eq!(decode(insn, &regs, 1 << 4), Err(DecodeError::Aarch32));
    }
}
