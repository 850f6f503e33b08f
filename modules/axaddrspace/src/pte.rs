//! The bits of a stage-2 descriptor, 4 KiB granule.
//!
//! Arm ARM DDI 0487, "VMSAv8-64 translation table format descriptors", stage 2, without FEAT_LPA2
//! and with HCR_EL2.FWB = 0.

use crate::{HostPhysAddr, MappingFlags};

/// Bit 0: hardware looks at the descriptor at all.
const VALID: u64 = 1 << 0;
/// Bit 1: a table at levels 1 and 2, a page at level 3; clear means a block.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// MemAttr[3:0] = 0b1111: Normal, inner and outer write-back cacheable.
const NORMAL_WRITE_BACK: u64 = 0b1111 << 2;
/// MemAttr[3:0] = 0b0101: Normal, inner and outer non-cacheable.
const NORMAL_NON_CACHEABLE: u64 = 0b0101 << 2;
/// MemAttr[3:0] = 0b0001: Device-nGnRE.
const DEVICE_NGNRE: u64 = 0b0001 << 2;
const MEM_ATTR: u64 = 0b1111 << 2;
/// S2AP[0].
const READ: u64 = 1 << 6;
/// S2AP[1].
const WRITE: u64 = 1 << 7;
/// SH = 0b11: inner shareable.
const INNER_SHAREABLE: u64 = 0b11 << 8;
/// AF: set in advance, so that no access-flag fault is ever taken.
const ACCESSED: u64 = 1 << 10;
/// The output address, bits 47 to 12.
const OUTPUT: u64 = 0x0000_ffff_ffff_f000;
/// XN[1:0] = 0b10: executable at neither EL1 nor EL0. With FEAT_XNX 0b11 would allow EL1.
const EXECUTE_NEVER: u64 = 0b10 << 53;
/// Bit 55, left to software: the frame was allocated for this mapping and dies with it.
const OWNED: u64 = 1 << 55;

/// A level of the walk: 1 GiB, 2 MiB or 4 KiB for each entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Where the walk starts; 1 GiB for each entry.
    One,
    /// 2 MiB for each entry.
    Two,
    /// 4 KiB for each entry.
    Three,
}

impl Level {
    /// From the biggest to the smallest.
    pub(crate) const ALL: [Self; 3] = [Self::One, Self::Two, Self::Three];

    /// How many bytes one entry maps.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::One => 1 << 30,
            Self::Two => 1 << 21,
            Self::Three => 1 << 12,
        }
    }

    /// How far `at` is behind the start of the entry that maps it.
    pub(crate) const fn offset_of(self, at: usize) -> usize {
        at & self.size().wrapping_sub(1)
    }

    /// The level below, of smaller entries.
    pub(crate) const fn below(self) -> Option<Self> {
        match self {
            Self::One => Some(Self::Two),
            Self::Two => Some(Self::Three),
            Self::Three => None,
        }
    }
}

/// To whom the memory behind a leaf belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Allocated for this mapping; zeroed and given back with it.
    Mapping,
    /// Somebody else's: only the translation is ours.
    Other,
}

/// What a descriptor is at its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: all zeros.
    Empty,
    /// The table of the level below.
    Table,
    /// A block or a page.
    Leaf,
    /// A table made invalid, still to be freed.
    RetiredTable,
    /// A leaf made invalid, whose memory is still to be freed.
    RetiredLeaf,
}

/// One 64-bit descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor(pub(crate) u64);

impl Descriptor {
    /// Maps nothing.
    pub(crate) const EMPTY: Self = Self(0);

    /// Points to the table at `frame`.
    pub(crate) const fn table(frame: HostPhysAddr) -> Self {
        Self(output_bits(frame) | TABLE_OR_PAGE | VALID)
    }

    /// Maps `hpa`, which is aligned to `level`'s size, with `flags`.
    pub(crate) fn leaf(level: Level, hpa: HostPhysAddr, flags: MappingFlags, owner: Owner) -> Self {
        let page = match level {
            Level::One | Level::Two => 0,
            Level::Three => TABLE_OR_PAGE,
        };
        let owned = match owner {
            Owner::Mapping => OWNED,
            Owner::Other => 0,
        };
        Self(output_bits(hpa) | attributes(flags) | page | owned | VALID)
    }

    /// The leaf that maps the part of this one at `offset` bytes, one level down at `level`.
    pub(crate) fn part(self, level: Level, offset: usize) -> Self {
        let hpa = HostPhysAddr::from_usize(self.output().as_usize().wrapping_add(offset));
        Self::leaf(level, hpa, self.flags(), self.owner())
    }

    /// The same, invalid to hardware but not forgotten.
    pub(crate) const fn retired(self) -> Self {
        Self(self.0 & !VALID)
    }

    /// What this descriptor is when found at `level`.
    pub(crate) const fn kind(self, level: Level) -> Kind {
        let table = self.0 & TABLE_OR_PAGE != 0 && !matches!(level, Level::Three);
        match (self.0 & VALID != 0, table) {
            (true, true) => Kind::Table,
            (true, false) => Kind::Leaf,
            (false, _) if self.0 == 0 => Kind::Empty,
            (false, true) => Kind::RetiredTable,
            (false, false) => Kind::RetiredLeaf,
        }
    }

    /// The table or the memory it points to.
    pub(crate) const fn output(self) -> HostPhysAddr {
        HostPhysAddr::from_usize((self.0 & OUTPUT) as usize)
    }

    /// The flags a leaf was made with, as far as hardware knows them.
    pub(crate) fn flags(self) -> MappingFlags {
        let mut flags = MappingFlags::empty();
        flags.set(MappingFlags::READ, self.0 & READ != 0);
        flags.set(MappingFlags::WRITE, self.0 & WRITE != 0);
        flags.set(MappingFlags::EXECUTE, self.0 & EXECUTE_NEVER == 0);
        flags.set(MappingFlags::DEVICE, self.0 & MEM_ATTR == DEVICE_NGNRE);
        flags.set(MappingFlags::UNCACHED, self.0 & MEM_ATTR == NORMAL_NON_CACHEABLE);
        flags
    }

    /// Whose memory a leaf maps.
    pub(crate) const fn owner(self) -> Owner {
        if self.0 & OWNED != 0 { Owner::Mapping } else { Owner::Other }
    }
}

const fn output_bits(hpa: HostPhysAddr) -> u64 {
    hpa.as_usize() as u64 & OUTPUT
}

fn attributes(flags: MappingFlags) -> u64 {
    let memory = if flags.contains(MappingFlags::DEVICE) {
        DEVICE_NGNRE | EXECUTE_NEVER
    } else if flags.contains(MappingFlags::UNCACHED) {
        NORMAL_NON_CACHEABLE
    } else {
        NORMAL_WRITE_BACK
    };
    let mut bits = memory | INNER_SHAREABLE | ACCESSED;
    if flags.contains(MappingFlags::READ) {
        bits |= READ;
    }
    if flags.contains(MappingFlags::WRITE) {
        bits |= WRITE;
    }
    if !flags.contains(MappingFlags::EXECUTE) {
        bits |= EXECUTE_NEVER;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAM: MappingFlags =
        MappingFlags::READ.union(MappingFlags::WRITE).union(MappingFlags::EXECUTE);

    fn leaf(level: Level, flags: MappingFlags) -> u64 {
        Descriptor::leaf(level, 0x8000_0000.into(), flags, Owner::Other).0
    }

    #[test]
    fn bits_are_those_of_the_manual() {
        assert_eq!(leaf(Level::One, RAM), 0x8000_07fd);
        assert_eq!(leaf(Level::Two, RAM), 0x8000_07fd);
        assert_eq!(leaf(Level::Three, RAM), 0x8000_07ff);
        assert_eq!(leaf(Level::Three, MappingFlags::READ), 0x0040_0000_8000_077f);
        let device = MappingFlags::READ | MappingFlags::WRITE | MappingFlags::DEVICE;
        assert_eq!(leaf(Level::Two, device), 0x0040_0000_8000_07c5);
        assert_eq!(leaf(Level::Two, RAM | MappingFlags::UNCACHED), 0x8000_07d5);
        assert_eq!(Descriptor::table(0x8000_1000.into()).0, 0x8000_1003);
    }

    #[test]
    fn a_device_is_never_executable() {
        let flags = RAM | MappingFlags::DEVICE;
        assert_eq!(
            leaf(Level::Two, flags),
            leaf(Level::Two, flags.difference(MappingFlags::EXECUTE))
        );
    }

    #[test]
    fn every_combination_of_flags_comes_back() {
        let known = RAM | MappingFlags::DEVICE | MappingFlags::UNCACHED;
        for bits in 0..=known.bits() {
            let Some(flags) = MappingFlags::from_bits(bits).filter(|flags| known.contains(*flags))
            else {
                continue;
            };
            let expected = if flags.contains(MappingFlags::DEVICE) {
                flags.difference(MappingFlags::EXECUTE | MappingFlags::UNCACHED)
            } else {
                flags
            };
            for (level, owner) in
                Level::ALL.into_iter().zip([Owner::Mapping, Owner::Other, Owner::Mapping])
            {
                let entry = Descriptor::leaf(level, 0xffff_c000_0000.into(), flags, owner);
                assert_eq!(entry.flags(), expected);
                assert_eq!(entry.owner(), owner);
                assert_eq!(entry.output(), 0xffff_c000_0000.into());
                assert_eq!(
                    (entry.kind(level), entry.retired().kind(level)),
                    (Kind::Leaf, Kind::RetiredLeaf)
                );
                assert_eq!(entry.retired().output(), entry.output());
            }
        }
    }

    #[test]
    fn a_part_is_the_block_one_level_down() {
        let block =
            Descriptor::leaf(Level::Two, 0x8020_0000.into(), MappingFlags::READ, Owner::Mapping);
        let page =
            Descriptor::leaf(Level::Three, 0x8020_3000.into(), MappingFlags::READ, Owner::Mapping);
        assert_eq!(block.part(Level::Three, 0x3000), page);
    }

    #[test]
    fn a_retired_table_is_told_from_a_retired_leaf() {
        let table = Descriptor::table(0x8000_1000.into());
        assert_eq!(
            (table.kind(Level::One), table.retired().kind(Level::Two)),
            (Kind::Table, Kind::RetiredTable)
        );
        assert_eq!(Descriptor::EMPTY.kind(Level::One), Kind::Empty);
    }
}
