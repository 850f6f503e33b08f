//! The devices that a guest's board has unless the file says otherwise.

use alloc::{format, vec::Vec};

use crate::{
    choice::EmulatedDeviceType,
    claims::{Claim, Owner},
    device::EmulatedDeviceConfig,
    error::ConfigError,
    fields::Fields,
    taken::Taken,
};

/// Where a device is.
pub(crate) struct Place {
    /// The first address.
    pub(crate) base: usize,
    /// How many bytes.
    pub(crate) length: usize,
    /// The INTID, or 0.
    pub(crate) irq: usize,
}

/// A device that the board has without being asked.
pub(crate) struct Standard {
    /// Its kind, and the key that switches it off.
    pub(crate) kind: EmulatedDeviceType,
    key: &'static str,
    /// What it is called in an error.
    what: &'static str,
    base: usize,
    length: usize,
    irq: usize,
}

/// All of them: where QEMU's `virt` board has them.
pub(crate) const STANDARD: [Standard; 2] = [
    Standard {
        kind: EmulatedDeviceType::Console,
        key: "console",
        what: "the console",
        base: 0x0900_0000,
        length: 0x1000,
        irq: 33,
    },
    Standard {
        kind: EmulatedDeviceType::PowerButton,
        key: "power_button",
        what: "the power button",
        base: 0x0903_0000,
        length: 0x1000,
        irq: 39,
    },
];

impl Standard {
    /// Where it is.
    pub(crate) const fn place(&self) -> Place {
        Place { base: self.base, length: self.length, irq: self.irq }
    }

    /// Whether it is to be added; `listed` says whether the file lists one.
    pub(crate) fn is_wanted(&self, fields: &Fields<'_>, listed: bool) -> Result<bool, ConfigError> {
        let Some(node) = fields.get(self.key) else {
            return Ok(!listed);
        };
        let wanted = node.boolean()?;
        if listed && !wanted {
            let message = format!("{} is false, but a {} is listed", self.key, self.kind);
            return Err(node.error(message, "allowed: true"));
        }
        Ok(wanted && !listed)
    }

    /// The device, whose addresses, name and interrupt are then taken.
    pub(crate) fn add(&self, claims: &mut Vec<Claim>, taken: &mut Taken) -> EmulatedDeviceConfig {
        let name = self.kind.name();
        claims.push(Claim::of_board(self.what, self.key, Owner::Emulated, self.base, self.length));
        taken.keep(name, self.irq, format!("{} ({} = false takes it away)", self.what, self.key));
        EmulatedDeviceConfig {
            name: name.into(),
            base_gpa: self.base,
            length: self.length,
            irq_id: self.irq,
            emu_type: self.kind,
            cfg_list: Vec::new(),
        }
    }
}
