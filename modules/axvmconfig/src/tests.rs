//! Config files, good and bad, and what is said about them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::string_slice
)]

mod accepted;
mod channels;
mod hostile;
mod refused;
mod schema;
mod shipped;

use crate::{AxVMCrateConfig, ConfigError};

/// The smallest useful file.
const SMALLEST: &str = "name = \"linux\"\nkernel = \"Image\"\nmemory = \"512M\"\n";

/// The VM that `text` describes.
fn vm(text: &str) -> AxVMCrateConfig {
    match AxVMCrateConfig::from_toml("vm.toml", text) {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    }
}

/// The VM of the smallest file with `text` behind it.
fn vm_with(text: &str) -> AxVMCrateConfig {
    vm(&std::format!("{SMALLEST}{text}"))
}

/// What is wrong with `text`.
fn refusal(text: &str) -> ConfigError {
    match AxVMCrateConfig::from_toml("vm.toml", text) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(error) => error,
    }
}
