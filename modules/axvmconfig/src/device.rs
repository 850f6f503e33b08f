//! The devices that the guest finds emulated: `[[device]]` or `emu_devices`.

use alloc::{format, string::String, vec::Vec};

use crate::{
    choice::EmulatedDeviceType,
    claims::{Claim, Owner},
    error::ConfigError,
    fields::{Fields, Key, key},
    kind::{Kind, NUMBER, Shape, words},
    node::Node,
    standard::{Place, STANDARD},
    taken::{ABOUT_IRQ, ABOUT_NAME, IRQ, NAME, Taken, nonzero},
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

/// The emulated devices of the file and the addresses they claim; the console and the power button are added unless they
/// are switched off.
pub(crate) fn read(
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

fn register_aligned(node: &Node<'_>, value: usize) -> Result<usize, ConfigError> {
    if value.is_multiple_of(REGISTER) {
        return Ok(value);
    }
    let message = format!("{} cannot be {value:#x}", node.key);
    Err(node.error(message, "allowed: a multiple of 8"))
}
