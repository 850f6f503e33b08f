//! The bundle: VM configurations and images linked into this file, read where they lie.
//!
//! A tar archive in the section `.rodata.axle_bundle`; `index.toml` in it says which VMs there are.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use axvm::Images;
use axvmconfig::{AxVMCrateConfig, BundleIndex, BundleVm};
use tar_no_std::TarArchiveRef;

unsafe extern "C" {
    static axle_bundle_start: u8;
    static axle_bundle_end: u8;
}

/// The archive's bytes; empty if the file was linked without one.
fn bytes() -> &'static [u8] {
    let start = &raw const axle_bundle_start;
    let end = (&raw const axle_bundle_end).addr();
    let len = end.saturating_sub(start.addr());
    // SAFETY: the linker places both symbols around one read-only object.
    unsafe { core::slice::from_raw_parts(start, len) }
}

fn entry(name: &str) -> Option<&'static [u8]> {
    let archive = TarArchiveRef::new(bytes()).ok()?;
    archive
        .entries()
        .find(|entry| entry.filename().as_str().is_ok_and(|found| found == name))
        .map(|entry| entry.data())
}

fn text(name: &str) -> Option<&'static str> {
    entry(name).and_then(|bytes| core::str::from_utf8(bytes).ok())
}

fn index() -> Result<BundleIndex, String> {
    let text = text("index.toml").ok_or("this image carries no VMs: build it with VMS=\"...\"")?;
    BundleIndex::from_toml(text).map_err(|error| format!("{error}"))
}

/// The VMs that start by themselves.
pub(crate) fn automatic() -> Vec<String> {
    let vms = index().map(|index| index.vms).unwrap_or_default();
    vms.into_iter().filter(|vm| vm.autostart).map(|vm| vm.name).collect()
}

/// The board this image was made for.
pub(crate) fn board() -> String {
    index().map_or_else(|_| "unknown".into(), |index| index.board)
}

/// The names of all VM configurations.
pub(crate) fn names() -> Vec<String> {
    let vms = index().map(|index| index.vms).unwrap_or_default();
    vms.into_iter().map(|vm| vm.name).collect()
}

/// The folder that scripts are in.
const SCRIPTS: &str = "scripts/";
/// The longest script, in bytes.
const MAX_SCRIPT_BYTES: usize = 64 << 10;
/// More scripts than this are not listed.
const MAX_SCRIPTS: usize = 256;

/// The names of all scripts.
pub(crate) fn scripts() -> Vec<String> {
    let Ok(archive) = TarArchiveRef::new(bytes()) else {
        return Vec::new();
    };
    let name = |entry: tar_no_std::ArchiveEntry<'_>| {
        let filename = entry.filename();
        filename.as_str().ok()?.strip_prefix(SCRIPTS).map(String::from)
    };
    archive.entries().filter_map(name).take(MAX_SCRIPTS).collect()
}

/// The text of the script `name`, with or without its `.axsh`.
///
/// # Errors
/// A text for the operator: there is no such script, or it is too long.
pub(crate) fn script(name: &str) -> Result<String, String> {
    let found =
        text(&format!("{SCRIPTS}{name}")).or_else(|| text(&format!("{SCRIPTS}{name}.axsh")));
    let text = found.ok_or_else(|| {
        let known = scripts();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        format!("there is no script {name} in this image; there are: {known}")
    })?;
    if text.len() > MAX_SCRIPT_BYTES {
        let (has, most) = (text.len(), MAX_SCRIPT_BYTES);
        return Err(format!("the script {name} has {has} bytes; at most {most} are allowed"));
    }
    Ok(text.into())
}

/// The configuration called `name`, with its images.
///
/// # Errors
/// A text for the operator: no such configuration, a mistake in it, a file that is not there.
pub(crate) fn open(name: &str) -> Result<(AxVMCrateConfig, Images), String> {
    let index = index()?;
    let found = index.vms.iter().find(|vm| vm.name == name || vm.config == name);
    let vm = found.ok_or_else(|| {
        let known: Vec<&str> = index.vms.iter().map(|vm| vm.name.as_str()).collect();
        format!("no VM configuration {name} in this image; there are: {}", known.join(", "))
    })?;
    let text = text(&vm.config).ok_or_else(|| format!("the bundle lacks {}", vm.config))?;
    let config =
        AxVMCrateConfig::from_toml(&vm.config, text).map_err(|error| format!("{error}"))?;
    let images = images(vm, &config)?;
    Ok((config, images))
}

fn images(vm: &BundleVm, config: &AxVMCrateConfig) -> Result<Images, String> {
    let file = |path: &str| {
        vm.entry(path)
            .and_then(entry)
            .ok_or_else(|| format!("{}: no file {path} in this image", vm.name))
    };
    let optional = |path: &Option<String>| path.as_deref().map(file).transpose();
    if config.kernel.bios_path.is_some() || config.kernel.disk_path.is_some() {
        return Err(format!("{}: firmware and disk images are not supported yet", vm.name));
    }
    Ok(Images {
        kernel: file(&config.kernel.kernel_path)?,
        ramdisk: optional(&config.kernel.ramdisk_path)?,
        device_tree: optional(&config.kernel.dtb_path)?,
    })
}
