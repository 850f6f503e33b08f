//! Files that nobody would write: nothing in them may panic, hang or grow without bound.

use std::{format, string::String, string::ToString, vec::Vec};

use super::{accepted::LONG, refusal};
use crate::{AxVMCrateConfig, BoardConfig, BundleIndex, ConfigError};

const SHORT: &str = r#"name = "linux" # a name
cpus = 2
memory = "512M"
kernel = "../Image"
affinity = [[0], [1]]
[[region]]
base = 0x8000_0000
size = '64M'
flags = "rwx"
[[device]]
type = "virtio-blk"
[[passthrough]]
base = 0x1000_0000
length = 0x1000
"#;

/// Reads `text` as everything it could be, and shows the errors.
fn read(text: &str) {
    read_vm(text);
    show(BoardConfig::from_toml("f", text).err());
    show(BundleIndex::from_toml(text).err());
}

fn read_vm(text: &str) {
    show(AxVMCrateConfig::from_toml("f", text).err());
}

fn show(error: Option<ConfigError>) {
    let Some(error) = error else { return };
    let shown = error.to_string();
    assert!(shown.len() < 2000, "{shown}");
    assert!(!shown.chars().any(|char| char.is_control() && char != '\n'));
}

#[test]
fn every_prefix_is_read_without_a_panic() {
    for text in [LONG, SHORT] {
        for end in 0..=text.len() {
            read(&text[..end]);
        }
    }
}

#[test]
fn every_replaced_dropped_or_doubled_byte_is_read_without_a_panic() {
    let replacements = b"\0\t\n\r \"#'+,-.=0[]\\_azZ{}\x1b\x7f";
    for text in [LONG, SHORT] {
        for at in 0..text.len() {
            let (before, after) = (&text[..at], &text[at + 1..]);
            let byte = &text[at..=at];
            read_vm(&format!("{before}{after}"));
            read_vm(&format!("{before}{byte}{byte}{after}"));
            read_vm(&format!("{before}\u{20ac}{after}"));
            for other in replacements {
                read_vm(&format!("{before}{}{after}", char::from(*other)));
            }
        }
    }
}

/// A sequence of numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn shuffled_pieces_are_read_without_a_panic() {
    let pieces: Vec<&str> = [LONG, SHORT]
        .iter()
        .flat_map(|text| text.split_inclusive([' ', '\n', ',', '[', ']']))
        .chain([
            "[[",
            "]]",
            "{",
            "}",
            "\"\"\"",
            "'''",
            ".",
            "= {",
            "[a.b]\n",
            "[[a.b]]\n",
            "inf",
            "1e999",
        ])
        .collect();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..5_000 {
        let count = numbers.below(40);
        let text: String = (0..count).map(|_| pieces[numbers.below(pieces.len())]).collect();
        read(&text);
    }
}

#[test]
fn huge_numbers_everywhere_are_refused_or_kept() {
    let numbers = [
        "0",
        "1",
        "0x1000",
        "0x7fff_ffff_ffff_f000",
        "0xffff_ffff_ffff_f000",
        "0xffff_ffff_ffff_ffff",
    ];
    let lines: Vec<&str> = LONG.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        for piece in line
            .split([' ', ',', '[', ']'])
            .filter(|piece| piece.starts_with(|digit: char| digit.is_ascii_digit()))
        {
            for number in numbers {
                let changed = line.replace(piece, number);
                let mut lines = lines.clone();
                lines[index] = &changed;
                read(&lines.join("\n"));
            }
        }
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let nested = |open: &str, count: usize| format!("a = {}", open.repeat(count));
    for text in [nested("[", 30_000), nested("{a=", 20_000), nested("{a.a.a.a=[", 6_000)] {
        assert_eq!(refusal(&text).message, "nested too deep");
    }
    for text in [format!("{}a = 1", "a.".repeat(30_000)), format!("[{}a]", "a.".repeat(30_000))] {
        assert_eq!(refusal(&text).message, "too many dots in a key");
    }
}

#[test]
fn deep_nesting_needs_little_stack() {
    let texts = [
        "[{a=]a=".repeat(8_000),
        format!("a = {}", "[}{a=[ ]".repeat(7_000)),
        format!("a = {}1{}", "{b = [".repeat(4), "]}".repeat(4)),
        "[[a.a.a.a.a]]\n".repeat(4_000),
    ];
    for text in texts {
        let reader = std::thread::Builder::new().stack_size(128 * 1024);
        reader.spawn(move || read(&text)).unwrap().join().unwrap();
    }
}

#[test]
fn long_files_long_lines_and_long_lists_are_bounded() {
    assert!(refusal(&"#".repeat(70_000)).message.contains("70000 bytes"));
    read(&format!("name = \"{}\"", "x".repeat(60_000)));
    read(&format!("{} = 1", "k".repeat(60_000)));
    let list = format!("name = \"a\"\nkernel = \"k\"\nmemory_regions = [{}]", "0,".repeat(30_000));
    assert_eq!(refusal(&list).message, "memory_regions has 30000 items");
}

#[test]
fn more_tables_than_anybody_writes_are_refused() {
    let headers: String = (0..1025).map(|number| format!("[t{number}]\n")).collect();
    let dots: String = (0..300).map(|number| format!("a.b.c.d.e{number} = 1\n")).collect();
    let braces = format!("x = [{}]", "{},".repeat(1025));
    for text in [headers, dots, braces] {
        assert_eq!(refusal(&text).message, "too many tables");
    }
    let enough: String = (0..1024).map(|number| format!("[t{number}]\n")).collect();
    assert_eq!(refusal(&enough).message, "unknown key \"t0\"");
}

#[test]
fn what_is_not_printable_does_not_reach_the_terminal() {
    let error = refusal("name = \"\u{1b}[2J\"");
    assert!(!error.to_string().contains('\u{1b}'));
    let error = refusal("\"\\u001b[2J\" = 1");
    assert_eq!(error.message, "unknown key \"\\u{1b}[2J\"");
}

#[test]
fn the_caret_stays_under_the_mistake_in_a_long_line() {
    let error = refusal(&format!("cmdline = \"{}\", x", "y".repeat(500)));
    let shown = error.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    let caret = lines[2].find('^').unwrap();
    assert_eq!(&lines[1][caret..=caret], ",", "{shown}");
}
