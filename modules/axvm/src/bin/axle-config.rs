//! Checks configuration files on the host, with the code that reads them in the hypervisor.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use axvm::{BoardMap, Images, KnownHost, describe, fdt, image::Source};
use axvmconfig::{AxVMCrateConfig, BoardConfig, schema};

const USAGE: &str = "\
axle-config check FILE...     whether each file, and every image it names, is right
axle-config map FILE...       what lies where in the VM's address space
axle-config dts FILE...       the device tree the VM is given, as source
axle-config schema vm|board   the JSON schema of such files

A file in a folder called boards is a board's; every other one is a VM's. Paths in it are relative to it.";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["check", ref files @ ..] if !files.is_empty() => each(files, check),
        ["map", ref files @ ..] if !files.is_empty() => {
            each(files, |file| Ok(format!("{}\n", map(file)?)))
        }
        ["dts", ref files @ ..] if !files.is_empty() => each(files, dts),
        ["schema", "vm"] => show(&schema::vm()),
        ["schema", "board"] => show(&schema::board()),
        ["help" | "--help" | "-h"] => show(&format!("{USAGE}\n")),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn show(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

/// Shows what `make` makes of each file; fails if it fails for any.
fn each(files: &[&str], make: impl Fn(&str) -> Result<String, String>) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for file in files {
        match make(file) {
            Ok(text) => print!("{text}"),
            Err(error) => {
                eprintln!("error: {error}");
                status = ExitCode::FAILURE;
            }
        }
    }
    status
}

/// One line that says what is right about `file`.
fn check(file: &str) -> Result<String, String> {
    if is_board(file) {
        let board =
            BoardConfig::from_toml(file, &text(file)?).map_err(|error| error.to_string())?;
        return Ok(format!("{file}: ok, board {}\n", board.name));
    }
    let (config, images) = read(file)?;
    let map = describe(&config, &images, &KnownHost::default())
        .map_err(|error| format!("{file}: {error}"))?;
    // Only this shows whether a compressed kernel is whole; the hypervisor finds out when it boots.
    Source::open(images.kernel, config.memory_total())
        .and_then(|kernel| kernel.verify())
        .map_err(|error| format!("{file}: {error}"))?;
    Ok(format!("{file}: ok, VM {} with a {} ({})\n", map.name, map.image, map.packing))
}

fn map(file: &str) -> Result<BoardMap, String> {
    let (config, images) = read(file)?;
    describe(&config, &images, &KnownHost::default()).map_err(|error| format!("{file}: {error}"))
}

/// The device tree, with a comment for each device whose node only the host knows.
fn dts(file: &str) -> Result<String, String> {
    let map = map(file)?;
    let tree = fdt::to_dts(&map.tree).map_err(|error| format!("{file}: {error}"))?;
    let unknown = map.given.iter().filter(|device| !device.is_resolved);
    let comments = unknown.map(|device| {
        format!(
            "// {}: {}, with the node that the host has for it\n",
            device.text(),
            device.place()
        )
    });
    Ok(comments.fold(tree, |text, comment| text + &comment))
}

fn is_board(file: &str) -> bool {
    Path::new(file).parent().is_some_and(|folder| folder.ends_with("boards"))
}

fn text(file: &str) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{file} cannot be read: {error}"))
}

/// The VM that `file` describes, and the images it names.
fn read(file: &str) -> Result<(AxVMCrateConfig, Images), String> {
    let config =
        AxVMCrateConfig::from_toml(file, &text(file)?).map_err(|error| error.to_string())?;
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let image = |path: &str| -> Result<&'static [u8], String> {
        match fs::read(folder.join(path)) {
            // The process ends before anybody misses the memory.
            Ok(bytes) => Ok(bytes.leak()),
            Err(error) => Err(format!("{file}: {path} cannot be read: {error}")),
        }
    };
    let optional = |path: &Option<String>| path.as_deref().map(image).transpose();
    if config.kernel.bios_path.is_some() || config.kernel.disk_path.is_some() {
        return Err(format!("{file}: firmware and disk images are not supported yet"));
    }
    let images = Images {
        kernel: image(&config.kernel.kernel_path)?,
        ramdisk: optional(&config.kernel.ramdisk_path)?,
        device_tree: optional(&config.kernel.dtb_path)?,
    };
    Ok((config, images))
}
