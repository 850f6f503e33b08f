//! The guest's memory: `memory`, `[[region]]` and `memory_regions`.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use crate::{
    choice::MapType,
    claims::{Claim, Owner},
    error::ConfigError,
    fields::{Fields, Key, key},
    kind::{Kind, NUMBER, Shape, Word, words},
    node::Node,
    source::quoted,
};

bitflags::bitflags! {
    /// What a guest may do with a region, with the bits config files and `MappingFlags` use.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RegionFlags: usize {
        /// Loads.
        const READ = 1;
        /// Stores.
        const WRITE = 2;
        /// Instruction fetches.
        const EXECUTE = 4;
        /// User mode; without meaning at stage 2.
        const USER = 8;
        /// Device memory.
        const DEVICE = 16;
        /// Memory that is not cached.
        const UNCACHED = 32;
    }
}

impl RegionFlags {
    /// What ordinary memory has: everything, cached.
    pub const RWX: Self = Self::READ.union(Self::WRITE).union(Self::EXECUTE);
}

impl fmt::Display for RegionFlags {
    /// The letters a config file uses, and the words for the rest.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (flag, shown) in [
            (Self::READ, "r"),
            (Self::WRITE, "w"),
            (Self::EXECUTE, "x"),
            (Self::DEVICE, " device"),
            (Self::UNCACHED, " uncached"),
        ] {
            if self.contains(flag) {
                text.push_str(shown);
            }
        }
        out.pad(&text)
    }
}

/// A region of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmMemConfig {
    /// Where it starts in the guest-physical space; a multiple of 4 KiB.
    pub gpa: usize,
    /// Its size in bytes; a multiple of 4 KiB, not zero.
    pub size: usize,
    /// What the guest may do with it; at least reading.
    pub flags: RegionFlags,
    /// Where the memory behind it comes from.
    pub map_type: MapType,
}

/// Where RAM begins on the board the guest sees.
pub(crate) const RAM_BASE: usize = 0x4000_0000;
/// The granule of guest memory.
pub(crate) const PAGE: usize = 0x1000;

const KEYS: &[Key] = &[
    key("gpa", &["base"], NUMBER, "Where it starts in the guest; a multiple of 4 KiB."),
    key("size", &["length"], Kind::Size, "Its size; a multiple of 4 KiB."),
    key(
        "flags",
        &[],
        Kind::Either(&[
            Kind::Choice(letters),
            Kind::Integer { least: 1, most: RegionFlags::all().bits() },
        ]),
        "What the guest may do with it, as letters or as the sum of 1 (read), 2 (write), 4 (execute), \
         8 (user), 16 (device), 32 (uncached). What is not \"rwx\" is no memory in the device tree.",
    )
    .or("\"rwx\""),
    key(
        "map_type",
        &["type"],
        Kind::Choice(words::<MapType>),
        "The memory behind it: the host's from anywhere, at the same address and free, or at the same \
         address and someone else's.",
    )
    .or("\"alloc\""),
];
const ROW: &[&str] = &["gpa", "size", "flags", "map_type"];
const SHAPE: Shape = Shape { keys: KEYS, required: &[&["gpa"], &["size"]] };

/// What `memory_regions` is.
pub(crate) const REGIONS: Kind = Kind::List(&Kind::Record { shape: &SHAPE, row: ROW, optional: 0 });

/// The flags that have letters, in the order of the letters.
fn letters() -> Vec<Word> {
    let word = |word| Word { word, number: None, advertised: true };
    ["r", "rw", "rx", "rwx"].map(word).into()
}

/// The regions of the file, and the addresses they claim.
pub(crate) fn read(
    fields: &Fields<'_>,
    claims: &mut Vec<Claim>,
) -> Result<Vec<VmMemConfig>, ConfigError> {
    let mut regions = Vec::new();
    if let Some(node) = fields.get("memory") {
        let size = page_multiple(node, node.size()?)?;
        let region =
            VmMemConfig { gpa: RAM_BASE, size, flags: RegionFlags::RWX, map_type: MapType::Alloc };
        claims.push(Claim::at(node, Owner::Memory, RAM_BASE, size)?);
        regions.push(region);
    }
    for item in fields.read("memory_regions", Node::items)?.unwrap_or_default() {
        let region = read_region(&item)?;
        claims.push(Claim::at(&item, Owner::Memory, region.gpa, region.size)?);
        regions.push(region);
    }
    if regions.is_empty() {
        return Err(fields.missing("memory", "memory = \"512M\""));
    }
    Ok(regions)
}

fn read_region(item: &Node<'_>) -> Result<VmMemConfig, ConfigError> {
    let fields = Fields::of_record(item, KEYS, ROW, 0)?;
    let base = fields.require("gpa", "base = 0x4000_0000")?;
    let size = fields.require("size", "size = \"64M\"")?;
    let region = VmMemConfig {
        gpa: page_aligned(base, base.integer()?)?,
        size: page_multiple(size, size.size()?)?,
        flags: fields.read("flags", flags)?.unwrap_or(RegionFlags::RWX),
        map_type: fields.read("map_type", Node::choice)?.unwrap_or_default(),
    };
    let is_device = region.flags.contains(RegionFlags::DEVICE);
    match fields.get("flags") {
        Some(node) if is_device && region.map_type != MapType::Reserved => {
            let message =
                format!("{} is device memory, which the host's pool has none of", node.key);
            Err(node
                .error(message, "allowed: flags without 16 (device), or the map type \"reserved\""))
        }
        Some(_) | None => Ok(region),
    }
}

fn page_aligned(node: &Node<'_>, value: usize) -> Result<usize, ConfigError> {
    if value.is_multiple_of(PAGE) {
        return Ok(value);
    }
    let message = format!("{} cannot be {value:#x}", node.key);
    Err(node.error(message, "allowed: a multiple of 4 KiB (0x1000)"))
}

pub(crate) fn page_multiple(node: &Node<'_>, value: usize) -> Result<usize, ConfigError> {
    if value == 0 {
        let message = format!("{} cannot be 0", node.key);
        return Err(node.error(message, "allowed: 4 KiB or more, in multiples of 4 KiB"));
    }
    page_aligned(node, value)
}

fn flags(node: &Node<'_>) -> Result<RegionFlags, ConfigError> {
    const ALLOWED: &str = "allowed: \"r\", \"rw\", \"rx\", \"rwx\", or the sum of 1 (read), 2 (write), 4 (execute), \
                           8 (user), 16 (device), 32 (uncached); reading is always in it";
    let (parsed, shown) = if let Some(letters) = node.value.as_str() {
        (from_letters(letters), quoted(letters))
    } else {
        let bits = node.integer()?;
        (RegionFlags::from_bits(bits), format!("{bits:#x}"))
    };
    parsed
        .filter(|flags| flags.contains(RegionFlags::READ))
        .ok_or_else(|| node.error(format!("{} cannot be {shown}", node.key), ALLOWED))
}

fn from_letters(letters: &str) -> Option<RegionFlags> {
    let mut flags = RegionFlags::empty();
    for letter in letters.bytes() {
        let flag = match letter {
            b'r' => RegionFlags::READ,
            b'w' => RegionFlags::WRITE,
            b'x' => RegionFlags::EXECUTE,
            _ => return None,
        };
        if flags.contains(flag) {
            return None;
        }
        flags.insert(flag);
    }
    Some(flags)
}
