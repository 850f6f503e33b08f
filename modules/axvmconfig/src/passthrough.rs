//! Devices of the host that the guest is given: `[[passthrough]]` or `passthrough_devices`.

use alloc::{format, string::String, vec::Vec};

use crate::{
    claims::{Claim, HOST_SPACE_END, Owner},
    error::ConfigError,
    fields::{Fields, Key, key},
    kind::{Kind, NUMBER, PATH, Shape},
    node::Node,
    region::PAGE,
    source::quoted,
    taken::{ABOUT_IRQ, ABOUT_NAME, IRQ, NAME, Taken, nonzero},
};

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

/// The host's devices that the guest is given, and the addresses they claim.
pub(crate) fn read(
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
