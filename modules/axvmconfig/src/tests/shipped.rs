//! The files in `configs/`: all are right, and the quick-start files say what the guide says.

use std::{
    fs,
    path::{Path, PathBuf},
    string::String,
    vec::Vec,
};

use crate::{AxVMCrateConfig, BoardConfig};

/// The TOML files of a folder of `configs/`, with their text.
fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs").join(folder);
    let mut files: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

#[test]
fn every_shipped_vm_is_right_and_named_after_its_file() {
    for (path, text) in files("vms") {
        let vm = AxVMCrateConfig::from_toml(path.to_str().unwrap(), &text);
        let vm = vm.unwrap_or_else(|error| panic!("{error}"));
        assert!(stem(&path).starts_with(&vm.base.name), "{}", path.display());
    }
}

#[test]
fn every_shipped_board_is_right_and_starts_shipped_vms() {
    let vms = files("vms");
    for (path, text) in files("boards") {
        let board = BoardConfig::from_toml(path.to_str().unwrap(), &text);
        let board = board.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(stem(&path), board.name);
        for name in &board.autostart {
            assert!(vms.iter().any(|(path, _)| stem(path) == name), "{name}");
        }
    }
}
