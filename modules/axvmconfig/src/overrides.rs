//! What an operator may change of a VM's file when it is created.

use alloc::format;
use alloc::string::String;

use crate::keys::MAX_CMDLINE;
use crate::region::PAGE;
use crate::{AxVMCrateConfig, MAX_VCPUS};

/// Changes to a VM's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Another name.
    pub name: Option<String>,
    /// Another size of the first memory region, in bytes.
    pub memory: Option<u64>,
    /// Another number of vCPUs.
    pub cpus: Option<usize>,
    /// Another command line for the guest.
    pub cmdline: Option<String>,
}

/// The longest name.
const MAX_NAME: usize = 32;

impl AxVMCrateConfig {
    /// The same VM with `overrides`, each checked as the file's own values are. Whether the memory
    /// still keeps clear of everything else is found out when the machine is made.
    ///
    /// # Errors
    /// One sentence.
    pub fn with_overrides(mut self, overrides: &Overrides) -> Result<Self, String> {
        if let Some(name) = &overrides.name {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
                return Err(format!(
                    "a VM's name has 1 to {MAX_NAME} letters, digits, _ and -: not \"{}\"",
                    name.escape_debug()
                ));
            }
            self.base.name.clone_from(name);
        }
        if let Some(cpus) = overrides.cpus {
            if !(1..=MAX_VCPUS).contains(&cpus) {
                return Err(format!("a VM has 1 to {MAX_VCPUS} vCPUs, not {cpus}"));
            }
            self.base.cpu_num = cpus;
        }
        if let Some(cmdline) = &overrides.cmdline {
            if cmdline.len() > MAX_CMDLINE || cmdline.contains(char::is_control) {
                return Err(format!(
                    "a command line has at most {MAX_CMDLINE} bytes and no control characters"
                ));
            }
            self.kernel.cmdline.clone_from(cmdline);
        }
        if let (Some(bytes), Some(first)) = (overrides.memory, self.memory_regions.first_mut()) {
            let size = usize::try_from(bytes).ok().filter(|size| {
                *size != 0 && size % PAGE == 0 && first.gpa.checked_add(*size).is_some()
            });
            first.size = size.ok_or_else(|| {
                format!(
                    "a VM's memory is a multiple of 4 KiB that it can address, not {bytes} bytes"
                )
            })?;
        }
        Ok(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const FILE: &str = "name = \"a\"\nkernel = \"k\"\nmemory = \"16M\"\n";

    fn config() -> AxVMCrateConfig {
        AxVMCrateConfig::from_toml("a.toml", FILE).unwrap()
    }

    #[test]
    fn what_is_given_replaces_what_the_file_says() {
        let overrides = Overrides {
            name: Some("b".to_string()),
            memory: Some(32 << 20),
            cpus: Some(4),
            cmdline: Some("quiet".to_string()),
        };
        let changed = config().with_overrides(&overrides).unwrap();
        assert_eq!(changed.base.name, "b");
        assert_eq!(changed.memory_total(), 32 << 20);
        assert_eq!(changed.base.cpu_num, 4);
        assert_eq!(changed.kernel.cmdline, "quiet");
        assert_eq!(config().with_overrides(&Overrides::default()).unwrap(), config());
    }

    #[test]
    fn what_no_vm_can_have_is_refused() {
        for name in ["", "a b", "\x1b", &"x".repeat(33)] {
            let overrides = Overrides { name: Some(name.to_string()), ..Overrides::default() };
            assert!(config().with_overrides(&overrides).is_err(), "{name:?}");
        }
        for cpus in [0, 65, 300_000, usize::MAX] {
            let overrides = Overrides { cpus: Some(cpus), ..Overrides::default() };
            assert!(config().with_overrides(&overrides).is_err(), "{cpus}");
        }
        for memory in [0, 1, 4097, u64::MAX, !0xfff] {
            let overrides = Overrides { memory: Some(memory), ..Overrides::default() };
            assert!(config().with_overrides(&overrides).is_err(), "{memory}");
        }
        for cmdline in ["a\0b", "a\nb", &"x".repeat(2048)] {
            let overrides =
                Overrides { cmdline: Some(cmdline.to_string()), ..Overrides::default() };
            assert!(config().with_overrides(&overrides).is_err(), "{cmdline:?}");
        }
    }
}
