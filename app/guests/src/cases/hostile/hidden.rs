//! Instructions of features that no guest is shown, by the names that tests/isolation.toml has for them.

use super::words::{Reg, word};

/// X2 points to memory, X3 is zero, no word branches.
pub(super) fn words() -> [(&'static str, u32); 20] {
    [
        ("PTRUE", word!("ptrue p0.b")),
        ("RDVL", word!("rdvl x3, #1")),
        ("SMSTART", word!("smstart")),
        ("ZERO-ZA", word!("zero {{za}}")),
        ("IRG", word!("irg x3, x2")),
        ("LDG", word!("ldg x3, [x2]")),
        ("DCPS1", word!("dcps1 #0")),
        ("HLT", word!("hlt #1")),
        ("LDLAR", LDLAR),
        ("TSTART", TSTART),
        ("LD64B", LD64B),
        ("ST64B", ST64B),
        ("ST64BV0", ST64BV0),
        ("CPYFP", CPYFP),
        ("SETP", SETP),
        ("WFIT", WFIT),
        ("WFET", WFET),
        ("MRRS", Reg(3, 0, 7, 4, 0).read(8) | PAIR),
        ("TLBIP", Reg(1, 0, 8, 7, 1).write(8) | PAIR),
        ("RCWCAS", RCWCAS),
    ]
}

// What the assembler does not know. X2 is the address, X8 and up is data, X3 a length of zero or a point in time past.
const LDLAR: u32 = 0xc8df_7c48;
const TSTART: u32 = 0xd523_3063;
const LD64B: u32 = 0xf83f_d048;
const ST64B: u32 = 0xf83f_9048;
const ST64BV0: u32 = 0xf823_a048;
const CPYFP: u32 = 0x1902_0464;
const SETP: u32 = 0x19c8_0464;
const WFIT: u32 = 0xd503_1023;
const WFET: u32 = 0xd503_1003;
const RCWCAS: u32 = 0x1928_0848;
/// Of MRS and SYS: two registers.
const PAIR: u32 = 1 << 22;
