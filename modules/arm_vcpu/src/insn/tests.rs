//! Every form of load and store, and what is none.

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
