//! Names and interrupts: each is one device's, whichever kind of device that is.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
};

use crate::{
    choice::InterruptMode, error::ConfigError, fields::Fields, kind::Kind, node::Node,
    source::quoted,
};

/// A device's name.
pub(crate) const NAME: Kind = Kind::Text { least: 1, most: 64 };
/// An SPI's INTID, or none.
pub(crate) const IRQ: Kind =
    Kind::Either(&[Kind::Integer { least: 32, most: 1019 }, Kind::Integer { least: 0, most: 0 }]);
/// What the schema says of a device's name.
pub(crate) const ABOUT_NAME: &str =
    "What it is called, once in a VM; its kind, numbered, without one.";
/// What the schema says of a device's interrupt.
pub(crate) const ABOUT_IRQ: &str =
    "Its interrupt as an INTID: 32 to 1019 (SPI n is n + 32), or 0 for none.";

/// Names and interrupts that are taken, by the key that took them.
pub(crate) struct Taken {
    mode: InterruptMode,
    names: BTreeMap<String, String>,
    irqs: BTreeMap<usize, String>,
}

impl Taken {
    /// Nothing, in a VM whose interrupts are handled as `mode` says.
    pub(crate) fn new(mode: InterruptMode) -> Self {
        Self { mode, names: BTreeMap::new(), irqs: BTreeMap::new() }
    }

    /// Why a VM without interrupts cannot have one that the file asks for.
    fn has_interrupts(&self) -> Result<(), (&'static str, &'static str)> {
        match self.mode {
            InterruptMode::Emulated | InterruptMode::Passthrough => Ok(()),
            InterruptMode::None => Err((
                "with interrupt_mode = \"none\" there is nothing to interrupt",
                "allowed: no interrupt, no channel, or another interrupt_mode",
            )),
        }
    }

    /// The name of a device, which no other may have; without one it is `kind`, with a number if need be.
    pub(crate) fn name_of(
        &mut self,
        record: &Fields<'_>,
        kind: &str,
    ) -> Result<String, ConfigError> {
        let Some(node) = record.get("name") else {
            let numbered = (2..).map(|number| format!("{kind}-{number}"));
            let name = core::iter::once(kind.to_string())
                .chain(numbered.take(self.names.len()))
                .find(|name| !self.names.contains_key(name))
                .unwrap_or_default();
            self.names.insert(name.clone(), record.path().into());
            return Ok(name);
        };
        let name = node.string(1, 64)?;
        match self.names.insert(name.into(), record.path().into()) {
            None => Ok(name.into()),
            Some(owner) => {
                let message = format!("two devices are called {}", quoted(name));
                Err(node.error(message, format!("the other is {owner}")))
            }
        }
    }

    /// The interrupt that goes with a default place.
    pub(crate) fn default_irq(
        &mut self,
        record: &Fields<'_>,
        irq: usize,
    ) -> Result<usize, ConfigError> {
        if self.has_interrupts().is_err() {
            return Ok(0);
        }
        match self.irqs.insert(irq, record.path().into()) {
            None => Ok(irq),
            Some(owner) => {
                let message = format!("interrupt {irq} is taken");
                Err(record.error(message, format!("{owner} has it; write: irq = ...")))
            }
        }
    }

    /// Keeps the name and the interrupt of a device that the board has for it.
    pub(crate) fn keep(&mut self, name: &str, irq: usize, owner: String) {
        self.names.insert(name.into(), owner.clone());
        self.irqs.insert(irq, owner);
    }

    /// The doorbell of a channel, which nobody else may have.
    pub(crate) fn doorbell(&mut self, record: &Fields<'_>, irq: usize) -> Result<(), ConfigError> {
        self.has_interrupts().map_err(|(message, hint)| record.error(message, hint))?;
        match self.irqs.insert(irq, record.path().into()) {
            None => Ok(()),
            Some(owner) => {
                let message = format!("interrupt {irq} is taken");
                let hint =
                    format!("{owner} has it, but channels ring from 240 up: give it another");
                Err(record.error(message, hint))
            }
        }
    }

    /// The interrupt of `node`, which nobody else may have.
    pub(crate) fn irq(&mut self, node: &Node<'_>) -> Result<usize, ConfigError> {
        const ALLOWED: &str = "allowed: 32 to 1019 (SPI n is INTID n + 32), or 0 for none";
        let irq = node.integer()?;
        if irq != 0 && !(32..1020).contains(&irq) {
            return Err(node.error(format!("{} cannot be {irq}", node.key), ALLOWED));
        }
        if irq != 0 {
            self.has_interrupts().map_err(|(message, hint)| node.error(message, hint))?;
        }
        match self.irqs.insert(irq, node.key.clone()) {
            Some(owner) if irq != 0 => {
                let message = format!("interrupt {irq} is taken");
                Err(node.error(message, format!("{owner} has it")))
            }
            _ => Ok(irq),
        }
    }
}

/// A number of bytes that is not 0.
pub(crate) fn nonzero(node: &Node<'_>) -> Result<usize, ConfigError> {
    match node.size()? {
        0 => Err(node.error(format!("{} cannot be 0", node.key), "allowed: 1 or more")),
        bytes => Ok(bytes),
    }
}
