//! The guest's devices: `[[device]]` or `emu_devices`, `[[passthrough]]` or `passthrough_devices`, and `console`.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    choice::{EmulatedDeviceType, InterruptMode},
    claims::{Claim, HOST_SPACE_END, Owner},
    error::ConfigError,
    fields::{Fields, Key, key},
    kind::{Kind, NUMBER, PATH, Shape, words},
    node::Node,
    region::PAGE,
    source::quoted,
    standard::{Place, STANDARD},
};

/// A device that the hypervisor emulates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmulatedDeviceConfig {
    /// What it is called; unique within the VM.
    pub name: String,
    /// Where its registers start in the guest-physical space.
    pub base_gpa: usize,
    /// How many bytes its registers take.
    pub length: usize,
    /// Its interrupt: an SPI's INTID (32 to 1019), or 0 for none.
    pub irq_id: usize,
    /// Which model it is.
    pub emu_type: EmulatedDeviceType,
    /// Numbers that mean something to the model.
    pub cfg_list: Vec<usize>,
}

/// A device of the host that the guest is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassThroughDeviceConfig {
    /// What it is called; unique within the VM.
    pub name: String,
    /// Its node in the host's device tree, which then says where it is, how long and with which
    /// interrupts: the numbers below are 0, but for a `base_gpa` that the file gives.
    pub path: Option<String>,
    /// Where the guest sees it; within its page it lies where the host has it. 0 with a path: where the
    /// host has it.
    pub base_gpa: usize,
    /// Where the host has it.
    pub base_hpa: usize,
    /// How many bytes its registers take. Whole pages are mapped.
    pub length: usize,
    /// Its interrupt: an SPI's INTID (32 to 1019), or 0 for none.
    pub irq_id: usize,
    /// The operator answers for a device that is not known to leave memory alone.
    pub allow_unsafe: bool,
}

const WATCHDOG_BASE: usize = 0x090c_0000;
/// Two frames of 64 KiB.
const WATCHDOG_SIZE: usize = 0x2_0000;
const WATCHDOG_IRQ: usize = 42;
const VIRTIO_BASE: usize = 0x0a00_0000;
const VIRTIO_SIZE: usize = 0x200;
const VIRTIO_IRQ: usize = 48;
const VIRTIO_SLOTS: usize = 32;
/// Registers are accessed in units of up to eight bytes.
const REGISTER: usize = 8;

const NAME: Kind = Kind::Text { least: 1, most: 64 };
/// An SPI's INTID, or none.
const IRQ: Kind =
    Kind::Either(&[Kind::Integer { least: 32, most: 1019 }, Kind::Integer { least: 0, most: 0 }]);
const ABOUT_NAME: &str = "What it is called, once in a VM; its kind, numbered, without one.";
const ABOUT_IRQ: &str = "Its interrupt as an INTID: 32 to 1019 (SPI n is n + 32), or 0 for none.";

const EMULATED_KEYS: &[Key] = &[
    key("name", &[], NAME, ABOUT_NAME),
    key(
        "base_gpa",
        &["base"],
        NUMBER,
        "Where its registers start in the guest; a multiple of 8. Dummies and GICs have no place of their own.",
    ),
    key("length", &["size"], Kind::Size, "How many bytes its registers take; a multiple of 8."),
    key("irq_id", &["irq"], IRQ, ABOUT_IRQ),
    key("emu_type", &["type"], Kind::Choice(words::<EmulatedDeviceType>), "Which model it is."),
    key("cfg", &["cfg_list"], Kind::List(&NUMBER), "Numbers that mean something to the model.")
        .or("[]"),
];
const EMULATED_ROW: &[&str] = &["name", "base_gpa", "length", "irq_id", "emu_type", "cfg"];
/// Without the last: the numbers for the model.
const EMULATED_OPTIONAL: usize = 1;
const EMULATED_SHAPE: Shape = Shape { keys: EMULATED_KEYS, required: &[&["emu_type"]] };

/// What `emu_devices` is.
pub(crate) const EMULATED: Kind = Kind::List(&Kind::Record {
    shape: &EMULATED_SHAPE,
    row: EMULATED_ROW,
    optional: EMULATED_OPTIONAL,
});

const PASSTHROUGH_KEYS: &[Key] = &[
    key("name", &[], NAME, ABOUT_NAME),
    key(
        "path",
        &[],
        PATH,
        "Its node in the host's device tree, which says the rest: \"/pl031@9010000\".",
    ),
    key(
        "base_gpa",
        &["base"],
        NUMBER,
        "Where the guest sees it; with a path and without this, where the host has it.",
    ),
    key(
        "base_hpa",
        &[],
        NUMBER,
        "Where the host has it, with the same low 12 bits; without it, where the guest sees it.",
    ),
    key(
        "length",
        &["size"],
        Kind::Size,
        "How many bytes its registers take; whole pages are mapped.",
    ),
    key("irq_id", &["irq"], IRQ, ABOUT_IRQ).or("0"),
    key(
        "unsafe",
        &[],
        Kind::Boolean,
        "Pass it through although it may reach all of the host's memory, or the device tree does not name it.",
    )
    .or("false"),
];
const PASSTHROUGH_ROW: &[&str] = &["name", "base_gpa", "base_hpa", "length", "irq_id"];
const PASSTHROUGH_SHAPE: Shape =
    Shape { keys: PASSTHROUGH_KEYS, required: &[&["base_gpa", "path"], &["length", "path"]] };

/// What `passthrough_devices` is.
pub(crate) const PASSTHROUGH: Kind =
    Kind::List(&Kind::Record { shape: &PASSTHROUGH_SHAPE, row: PASSTHROUGH_ROW, optional: 0 });

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
    fn name_of(&mut self, record: &Fields<'_>, kind: &str) -> Result<String, ConfigError> {
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
    fn default_irq(&mut self, record: &Fields<'_>, irq: usize) -> Result<usize, ConfigError> {
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
    fn irq(&mut self, node: &Node<'_>) -> Result<usize, ConfigError> {
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

/// The emulated devices of the file and the addresses they claim; the console and the power button are added unless they
/// are switched off.
pub(crate) fn read_emulated(
    fields: &Fields<'_>,
    claims: &mut Vec<Claim>,
    taken: &mut Taken,
) -> Result<Vec<EmulatedDeviceConfig>, ConfigError> {
    let mut records = Vec::new();
    for item in fields.read("emu_devices", Node::items)?.unwrap_or_default() {
        let record = Fields::of_record(&item, EMULATED_KEYS, EMULATED_ROW, EMULATED_OPTIONAL)?;
        let kind: EmulatedDeviceType =
            record.require("emu_type", "type = \"console\"")?.choice()?;
        records.push((item, record, kind));
    }
    let listed = |wanted| records.iter().any(|(_, _, kind)| *kind == wanted);
    let mut devices = Vec::new();
    for standard in &STANDARD {
        if standard.is_wanted(fields, listed(standard.kind))? {
            devices.push(standard.add(claims, taken));
        }
    }
    for (item, record, kind) in records {
        only_one(&item, kind, &devices)?;
        let device = read_device(&record, kind, &devices, taken)?;
        let claim = Claim::at(&item, Owner::Emulated, device.base_gpa, device.length)?;
        claims.push(claim);
        devices.push(device);
    }
    Ok(devices)
}

/// Refuses a second device of a kind that there is one of.
fn only_one(
    item: &Node<'_>,
    kind: EmulatedDeviceType,
    devices: &[EmulatedDeviceConfig],
) -> Result<(), ConfigError> {
    let single = matches!(kind, EmulatedDeviceType::PowerButton | EmulatedDeviceType::Watchdog);
    match devices.iter().find(|device| single && device.emu_type == kind) {
        None => Ok(()),
        Some(other) => Err(item
            .error(format!("a second {kind}"), format!("a VM has one, and {} is it", other.name))),
    }
}

/// Where the board has a device that the file does not place; virtio devices take the first free slot.
fn default_place(kind: EmulatedDeviceType, devices: &[EmulatedDeviceConfig]) -> Option<Place> {
    if let Some(standard) = STANDARD.iter().find(|one| one.kind == kind) {
        return Some(standard.place());
    }
    if kind == EmulatedDeviceType::Watchdog {
        return Some(Place { base: WATCHDOG_BASE, length: WATCHDOG_SIZE, irq: WATCHDOG_IRQ });
    }
    if !kind.is_virtio() {
        return None;
    }
    let base_of = |slot: usize| VIRTIO_BASE.saturating_add(slot.saturating_mul(VIRTIO_SIZE));
    let free = |slot: &usize| devices.iter().all(|one| one.base_gpa != base_of(*slot));
    (0..VIRTIO_SLOTS).find(free).map(|slot| Place {
        base: base_of(slot),
        length: VIRTIO_SIZE,
        irq: VIRTIO_IRQ.saturating_add(slot),
    })
}

/// Where the file has the device, completed by where the board would have it.
fn read_place(
    record: &Fields<'_>,
    board: Option<Place>,
    taken: &mut Taken,
) -> Result<Place, ConfigError> {
    let aligned = |node: &Node<'_>| register_aligned(node, node.integer()?);
    let sized = |node: &Node<'_>| register_aligned(node, nonzero(node)?);
    let base = record.read("base_gpa", aligned)?;
    let base = base.or(board.as_ref().map(|place| place.base));
    let length = record.read("length", sized)?;
    let length = length.or(board.as_ref().map(|place| place.length));
    let irq = match (record.get("irq_id"), &board) {
        (Some(node), _) => taken.irq(node)?,
        (None, Some(place)) => taken.default_irq(record, place.irq)?,
        (None, None) => 0,
    };
    Ok(Place {
        base: base.ok_or_else(|| record.missing("base", "base = 0x0a00_0000"))?,
        length: length.ok_or_else(|| record.missing("length", "length = 0x1000"))?,
        irq,
    })
}

fn read_device(
    record: &Fields<'_>,
    kind: EmulatedDeviceType,
    devices: &[EmulatedDeviceConfig],
    taken: &mut Taken,
) -> Result<EmulatedDeviceConfig, ConfigError> {
    let name = taken.name_of(record, kind.name())?;
    let place = read_place(record, default_place(kind, devices), taken)?;
    if kind == EmulatedDeviceType::Watchdog && place.length != WATCHDOG_SIZE {
        let message = format!("a watchdog cannot have {:#x} bytes", place.length);
        return Err(record.error(message, "allowed: 0x2_0000, or no length"));
    }
    let numbers = record.read("cfg", Node::items)?.unwrap_or_default();
    Ok(EmulatedDeviceConfig {
        name,
        base_gpa: place.base,
        length: place.length,
        irq_id: place.irq,
        emu_type: kind,
        cfg_list: numbers.iter().map(Node::integer).collect::<Result<_, _>>()?,
    })
}

/// The host's devices that the guest is given, and the addresses they claim.
pub(crate) fn read_passthrough(
    fields: &Fields<'_>,
    claims: &mut Vec<Claim>,
    taken: &mut Taken,
) -> Result<Vec<PassThroughDeviceConfig>, ConfigError> {
    let mut devices = Vec::new();
    for item in fields.read("passthrough_devices", Node::items)?.unwrap_or_default() {
        let record = Fields::of_record(&item, PASSTHROUGH_KEYS, PASSTHROUGH_ROW, 0)?;
        if record.get("path").is_some() {
            devices.push(read_host_node(&record, taken)?);
            continue;
        }
        let device = read_host_device(&record, taken)?;
        let offset = device.base_hpa.wrapping_sub(device.base_gpa);
        let owner = Owner::Passthrough { offset };
        claims.push(Claim::at(&item, owner, device.base_gpa, device.length)?);
        devices.push(device);
    }
    Ok(devices)
}

/// A device that the host's device tree describes. What it claims is known when the VM is created.
fn read_host_node(
    record: &Fields<'_>,
    taken: &mut Taken,
) -> Result<PassThroughDeviceConfig, ConfigError> {
    for name in ["base_hpa", "length", "irq_id"] {
        record.exclude(name, "path")?;
    }
    let path = record.require("path", "path = \"/pl031@9010000\"")?;
    let text = path.path()?;
    if !text.starts_with('/') {
        let message = format!("{} cannot be {}", path.key, quoted(&text));
        return Err(path.error(message, "allowed: a whole path, from / on"));
    }
    Ok(PassThroughDeviceConfig {
        name: taken.name_of(record, "passthrough")?,
        path: Some(text),
        base_gpa: record.read("base_gpa", Node::integer)?.unwrap_or(0),
        base_hpa: 0,
        length: 0,
        irq_id: 0,
        allow_unsafe: record.read("unsafe", Node::boolean)?.unwrap_or(false),
    })
}

fn read_host_device(
    record: &Fields<'_>,
    taken: &mut Taken,
) -> Result<PassThroughDeviceConfig, ConfigError> {
    let gpa = record.require("base_gpa", "base = 0x0a00_0000")?;
    let base_gpa = gpa.integer()?;
    let hpa = record.get("base_hpa").unwrap_or(gpa);
    let base_hpa = hpa.integer()?;
    let length = record.require("length", "length = 0x1000")?;
    let length_bytes = nonzero(length)?;
    if base_gpa % PAGE != base_hpa % PAGE {
        let message = format!("{base_hpa:#x} does not lie in its page where {base_gpa:#x} does");
        return Err(hpa.error(message, "allowed: the same low 12 bits in base_hpa and base_gpa"));
    }
    if base_hpa.checked_add(length_bytes).is_none_or(|end| end > HOST_SPACE_END) {
        let message = format!("{} ends beyond the host's address space", length.key);
        return Err(length.error(message, "allowed: an end of 0x1_0000_0000_0000 at most"));
    }
    Ok(PassThroughDeviceConfig {
        name: taken.name_of(record, "passthrough")?,
        path: None,
        base_gpa,
        base_hpa,
        length: length_bytes,
        irq_id: record.get("irq_id").map_or(Ok(0), |node| taken.irq(node))?,
        allow_unsafe: record.read("unsafe", Node::boolean)?.unwrap_or(false),
    })
}

fn nonzero(node: &Node<'_>) -> Result<usize, ConfigError> {
    match node.size()? {
        0 => Err(node.error(format!("{} cannot be 0", node.key), "allowed: 1 or more")),
        bytes => Ok(bytes),
    }
}

fn register_aligned(node: &Node<'_>, value: usize) -> Result<usize, ConfigError> {
    if value.is_multiple_of(REGISTER) {
        return Ok(value);
    }
    let message = format!("{} cannot be {value:#x}", node.key);
    Err(node.error(message, "allowed: a multiple of 8"))
}
