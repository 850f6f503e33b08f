//! The JSON schemas: what is checked in is what the tables give, and the tables say what the reader does.

use std::{fs, path::Path, string::String, vec::Vec};

use super::{SMALLEST, vm, vm_with};
use crate::{
    AxVMCrateConfig, BoardConfig,
    kind::{Kind, Shape},
    schema,
};

#[test]
fn the_schemas_in_configs_are_up_to_date() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    for (name, generated) in [("vm", schema::vm()), ("board", schema::board())] {
        let there = fs::read_to_string(configs.join(std::format!("{name}.schema.json")));
        assert!(
            there.is_ok_and(|there| there == generated),
            "configs/{name}.schema.json is not what the keys say; run: scripts/axle-config schema {name} > configs/{name}.schema.json"
        );
    }
}

#[test]
fn every_config_names_its_schema() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    for (folder, line) in
        [("vms", "#:schema ../vm.schema.json\n"), ("boards", "#:schema ../board.schema.json\n")]
    {
        for entry in fs::read_dir(configs.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let named = fs::read_to_string(&path).unwrap().starts_with(line);
            assert!(named, "{} must begin with {line}", path.display());
        }
    }
}

const BOARD: &str = "name = \"b\"\narch = \"a\"\ntarget = \"t\"\n";

fn board(text: &str) -> BoardConfig {
    BoardConfig::from_toml("board.toml", text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_default_is_what_the_reader_takes() {
    for key in crate::keys::SHAPE.keys.iter().filter(|key| !key.default.is_empty()) {
        let written = vm_with(&std::format!("{} = {}", key.name, key.default));
        assert_eq!(written, vm(SMALLEST), "{}", key.name);
    }
    for key in crate::board::SHAPE.keys.iter().filter(|key| !key.default.is_empty()) {
        let written = board(&std::format!("{BOARD}{} = {}", key.name, key.default));
        assert_eq!(written, board(BOARD), "{}", key.name);
    }
}

#[test]
fn every_name_of_a_key_is_taken_at_the_top_and_in_its_section() {
    for key in crate::keys::SHAPE.keys.iter().filter(|key| !key.default.is_empty()) {
        for name in key.names() {
            vm_with(&std::format!("{name} = {}", key.default));
            let smallest = SMALLEST.replace("kernel", "kernel_path");
            vm(&std::format!("{smallest}[{}]\n{name} = {}", key.section, key.default));
        }
    }
}

#[test]
fn bounds_are_those_of_the_reader() {
    for key in crate::keys::SHAPE.keys {
        let Kind::Integer { least, most } = key.kind else { continue };
        let read = |value: usize| {
            let text = std::format!("{SMALLEST}{} = {value}", key.name);
            AxVMCrateConfig::from_toml("vm.toml", &text)
        };
        if most == usize::MAX {
            continue;
        }
        assert!(read(least).is_ok() && read(most).is_ok(), "{}", key.name);
        assert!(read(least - 1).is_err() && read(most + 1).is_err(), "{}", key.name);
    }
}

#[test]
fn every_word_of_a_choice_is_taken() {
    for key in crate::keys::SHAPE.keys {
        let Kind::Choice(words) = key.kind else { continue };
        for word in words() {
            vm_with(&std::format!("{} = \"{}\"", key.name, word.word));
            if let Some(number) = word.number {
                vm_with(&std::format!("{} = {number}", key.name));
            }
        }
    }
}

/// All tables below `kind`, and the rows of records.
fn shapes(kind: &Kind, found: &mut Vec<(&'static Shape, &'static [&'static str])>) {
    let mut all = |shape: &'static Shape, row| {
        found.push((shape, row));
        shape.keys.iter().for_each(|key| shapes(&key.kind, found));
    };
    match *kind {
        Kind::Table(shape) => all(shape, &[]),
        Kind::Record { shape, row, .. } => all(shape, row),
        Kind::List(item) => shapes(item, found),
        Kind::Either(kinds) => kinds.iter().for_each(|kind| shapes(kind, found)),
        Kind::Integer { .. }
        | Kind::Size
        | Kind::Text { .. }
        | Kind::Name
        | Kind::Boolean
        | Kind::Choice(_) => {}
    }
}

#[test]
fn rows_and_required_groups_name_keys_and_every_key_says_what_it_is() {
    let mut found = Vec::new();
    shapes(&Kind::Table(&crate::keys::SHAPE), &mut found);
    shapes(&Kind::Table(&crate::board::SHAPE), &mut found);
    assert_eq!(found.len(), 7);
    for (shape, row) in found {
        let known = |name: &&str| shape.keys.iter().any(|key| key.name == *name);
        assert!(row.iter().all(known));
        assert!(shape.required.iter().flat_map(|group| group.iter()).all(known));
        assert!(shape.keys.iter().all(|key| !key.about.is_empty()));
    }
}

#[test]
fn the_schemas_are_json_by_their_brackets() {
    for text in [schema::vm(), schema::board()] {
        let mut open = String::new();
        let mut in_text = false;
        let mut before = ' ';
        for char in text.chars() {
            match char {
                '"' if before != '\\' => in_text = !in_text,
                '{' | '[' if !in_text => open.push(char),
                '}' if !in_text => assert_eq!(open.pop(), Some('{')),
                ']' if !in_text => assert_eq!(open.pop(), Some('[')),
                _ => {}
            }
            before = char;
        }
        assert!(open.is_empty() && !in_text);
    }
}
