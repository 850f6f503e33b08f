//! The bus of one VM: which device answers a guest-physical address.
//!
//! Built once and then frozen, so that a look-up on the exit path is a binary search without a lock.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::fmt;

use axaddrspace::{AccessWidth, GuestPhysAddr};

use crate::{Access, Device};

/// Why windows do not make a bus. The names are those given to [`BusBuilder::add`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusError {
    /// Two windows share at least one address.
    Overlap {
        /// The window that starts lower, or was added first when both start at one address.
        first: String,
        /// The window that reaches into `first`.
        second: String,
    },
    /// A window of no bytes.
    Empty {
        /// The window.
        name: String,
    },
    /// A window that goes on past the last address there is.
    PastEnd {
        /// The window.
        name: String,
    },
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap { first, second } => {
                write!(f, "devices `{first}` and `{second}` overlap; move one of them")
            }
            Self::Empty { name } => write!(f, "device `{name}` has a window of 0 bytes"),
            Self::PastEnd { name } => {
                write!(f, "the window of device `{name}` ends beyond the address space")
            }
        }
    }
}

impl core::error::Error for BusError {}

/// Where one device is seen, as [`Bus::windows`] lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window<'a> {
    /// The first address.
    pub gpa: GuestPhysAddr,
    /// How many bytes.
    pub size: usize,
    /// The name it was added by.
    pub name: &'a str,
}

/// What a look-up reads: kept small, so that a search touches few cache lines.
struct Slot {
    start: usize,
    size: usize,
    device: Arc<dyn Device>,
}

/// Collects the windows of a VM that is being built.
#[derive(Default)]
pub struct BusBuilder {
    windows: Vec<(Slot, String)>,
}

impl BusBuilder {
    /// A bus without devices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `device` answer the `size` bytes from `gpa`. Mistakes are found by [`Self::build`].
    pub fn add(
        &mut self,
        name: impl Into<String>,
        gpa: GuestPhysAddr,
        size: usize,
        device: Arc<dyn Device>,
    ) -> &mut Self {
        let slot = Slot { start: gpa.as_usize(), size, device };
        self.windows.push((slot, name.into()));
        self
    }

    /// Freezes the bus.
    ///
    /// # Errors
    /// A window is empty, passes the end of the address space, or overlaps another.
    pub fn build(mut self) -> Result<Bus, BusError> {
        self.windows.sort_by_key(|(slot, _)| slot.start);
        let mut before: Option<(usize, &String)> = None;
        for (slot, name) in &self.windows {
            let name_of = || name.clone();
            let last =
                slot.size.checked_sub(1).ok_or_else(|| BusError::Empty { name: name_of() })?;
            let last = slot
                .start
                .checked_add(last)
                .ok_or_else(|| BusError::PastEnd { name: name_of() })?;
            if let Some((last_before, first)) = before
                && last_before >= slot.start
            {
                return Err(BusError::Overlap { first: first.clone(), second: name_of() });
            }
            before = Some((last, name));
        }
        let (slots, names) = self.windows.into_iter().unzip();
        Ok(Bus { slots, names })
    }
}

/// The frozen map from guest-physical addresses to devices: sorted windows that do not overlap.
pub struct Bus {
    slots: Vec<Slot>,
    names: Vec<String>,
}

impl Bus {
    /// The device at `gpa` and the distance of `gpa` from the start of its window.
    pub fn find(&self, gpa: GuestPhysAddr) -> Option<(&dyn Device, usize)> {
        let (_, slot, offset) = self.far_slot(gpa)?;
        Some((&*slot.device, offset))
    }

    /// The value vCPU `initiator` reads, zero-extended from `width`.
    ///
    /// `None` when nobody answers: no window there, or one that ends within the access.
    #[inline(always)]
    pub fn read(
        &self,
        near: &mut Near,
        gpa: GuestPhysAddr,
        width: AccessWidth,
        initiator: usize,
    ) -> Option<u64> {
        let (slot, offset) = self.claimant(near, gpa, width)?;
        Some(slot.device.read(Access { offset, width, initiator }) & width.mask())
    }

    /// Lets vCPU `initiator` write the low `width` of `value`; `None` as for [`Self::read`].
    #[inline(always)]
    pub fn write(
        &self,
        near: &mut Near,
        gpa: GuestPhysAddr,
        width: AccessWidth,
        value: u64,
        initiator: usize,
    ) -> Option<()> {
        let (slot, offset) = self.claimant(near, gpa, width)?;
        slot.device.write(Access { offset, width, initiator }, value & width.mask());
        Some(())
    }

    /// The windows in order of their addresses.
    pub fn windows(&self) -> impl Iterator<Item = Window<'_>> {
        self.slots.iter().zip(&self.names).map(|(slot, name)| Window {
            gpa: GuestPhysAddr::from(slot.start),
            size: slot.size,
            name,
        })
    }

    /// Puts every device back to its state at power-on. No vCPU of the VM may be running.
    pub fn reset(&self) {
        for slot in &self.slots {
            slot.device.reset();
        }
    }

    #[inline(always)]
    fn claimant(
        &self,
        near: &mut Near,
        gpa: GuestPhysAddr,
        width: AccessWidth,
    ) -> Option<(&Slot, usize)> {
        let fits = |slot: &Slot, offset: usize| {
            offset < slot.size && slot.size.wrapping_sub(offset) >= width.bytes()
        };
        if let Some(slot) = self.slots.get(near.0) {
            let offset = gpa.as_usize().wrapping_sub(slot.start);
            if fits(slot, offset) {
                return Some((slot, offset));
            }
        }
        let (index, slot, offset) = self.far_slot(gpa)?;
        near.0 = index;
        fits(slot, offset).then_some((slot, offset))
    }

    /// The slot of an access that is not where the last one was.
    #[inline(never)]
    fn far_slot(&self, gpa: GuestPhysAddr) -> Option<(usize, &Slot, usize)> {
        let above = self.slots.partition_point(|slot| slot.start <= gpa.as_usize());
        let index = above.checked_sub(1)?;
        let slot = self.slots.get(index)?;
        let offset = gpa.as_usize().wrapping_sub(slot.start);
        (offset < slot.size).then_some((index, slot, offset))
    }
}

/// Where a vCPU's last access went: its next one most often goes there too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Near(usize);

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
mod tests {
    use alloc::string::ToString;
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Answers with its tag above the offset, and remembers the last write.
    struct Echo(u64, AtomicU64);

    impl Device for Echo {
        fn read(&self, access: Access) -> u64 {
            self.0 << 16 | access.offset as u64
        }

        fn write(&self, _: Access, value: u64) {
            self.1.store(value, Ordering::Relaxed);
        }

        fn reset(&self) {
            self.1.store(0, Ordering::Relaxed);
        }
    }

    fn echo(tag: u64) -> Arc<Echo> {
        Arc::new(Echo(tag, AtomicU64::new(0)))
    }

    fn at(gpa: usize) -> GuestPhysAddr {
        GuestPhysAddr::from(gpa)
    }

    fn three() -> Bus {
        let mut bus = BusBuilder::new();
        bus.add("c", at(0x3000), 0x1000, echo(3));
        bus.add("a", at(0x1000), 0x1000, echo(1));
        bus.add("b", at(0x2000), 0x200, echo(2));
        bus.build().unwrap()
    }

    #[test]
    fn where_the_last_access_went_changes_nothing_but_the_way() {
        let bus = three();
        let mut near = Near::default();
        let mut gpa = 1usize;
        for _ in 0..10_000 {
            gpa = gpa.wrapping_mul(0x9e37_79b9).wrapping_add(7) % 0x5000;
            let anew = bus.read(&mut Near::default(), at(gpa), AccessWidth::Dword, 0);
            assert_eq!(bus.read(&mut near, at(gpa), AccessWidth::Dword, 0), anew, "{gpa:#x}");
        }
    }

    #[test]
    fn every_address_finds_its_own_window_or_nobody() {
        let bus = three();
        for gpa in 0..0x5000 {
            let tag = match gpa {
                0x1000..0x2000 => Some(1),
                0x2000..0x2200 => Some(2),
                0x3000..0x4000 => Some(3),
                _ => None,
            };
            let want = tag.map(|tag| tag << 16 | (gpa & 0xfff) as u64);
            assert_eq!(
                bus.read(&mut Near::default(), at(gpa), AccessWidth::Byte, 0),
                want.map(|value| value & 0xff)
            );
            assert_eq!(bus.find(at(gpa)).map(|(_, offset)| offset), tag.map(|_| gpa & 0xfff));
        }
        assert!(bus.find(at(usize::MAX)).is_none());
        assert!(BusBuilder::new().build().unwrap().find(at(0)).is_none());
    }

    #[test]
    fn a_bus_of_any_length_finds_each_of_its_windows() {
        for count in 0..70 {
            let mut bus = BusBuilder::new();
            for n in 0..count {
                bus.add("x", at(0x1000 + n * 0x20), 0x10, echo(n as u64));
            }
            let bus = bus.build().unwrap();
            for n in 0..70 {
                let start = 0x1000 + n * 0x20;
                let found = |gpa| bus.find(at(gpa)).map(|(_, offset)| offset);
                assert_eq!(found(start), (n < count).then_some(0));
                assert_eq!(found(start + 0xf), (n < count).then_some(0xf));
                assert_eq!(found(start + 0x10), None);
                let want = (n < count).then_some((n as u64) << 16);
                assert_eq!(bus.read(&mut Near::default(), at(start), AccessWidth::Dword, 0), want);
            }
            assert_eq!(bus.find(at(0xfff)).map(|(_, offset)| offset), None);
        }
    }

    #[test]
    fn an_access_across_a_window_s_end_is_nobody_s() {
        let bus = three();
        assert_eq!(
            bus.read(&mut Near::default(), at(0x1ffc), AccessWidth::Dword, 0),
            Some(1 << 16 | 0xffc)
        );
        assert_eq!(bus.read(&mut Near::default(), at(0x1ffd), AccessWidth::Dword, 0), None);
        assert_eq!(bus.write(&mut Near::default(), at(0x21fc), AccessWidth::Qword, 0, 0), None);
        assert_eq!(bus.write(&mut Near::default(), at(0x21f8), AccessWidth::Qword, 0, 0), Some(()));
    }

    #[test]
    fn a_write_carries_only_the_bytes_of_its_width() {
        let device = echo(1);
        let mut bus = BusBuilder::new();
        bus.add("a", at(0), 8, device.clone());
        let bus = bus.build().unwrap();
        bus.write(&mut Near::default(), at(0), AccessWidth::Word, 0x1234_5678, 0);
        assert_eq!(device.1.load(Ordering::Relaxed), 0x5678);
        bus.reset();
        assert_eq!(device.1.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn windows_are_listed_in_order() {
        let bus = three();
        let names: Vec<_> = bus.windows().map(|w| (w.name, w.gpa.as_usize(), w.size)).collect();
        assert_eq!(names, [("a", 0x1000, 0x1000), ("b", 0x2000, 0x200), ("c", 0x3000, 0x1000)]);
    }

    #[test]
    fn overlap_is_refused_and_names_both() {
        let mut bus = BusBuilder::new();
        bus.add("uart", at(0x1fff), 0x1000, echo(1)).add("gic", at(0x1000), 0x1000, echo(2));
        let error = bus.build().err().unwrap();
        assert_eq!(error, BusError::Overlap { first: "gic".into(), second: "uart".into() });
        assert!(error.to_string().contains("`gic` and `uart` overlap"));
    }

    #[test]
    fn a_window_may_end_at_the_last_address_and_not_beyond() {
        let window = |gpa, size| {
            let mut bus = BusBuilder::new();
            bus.add("x", at(gpa), size, echo(1));
            bus.build()
        };
        let bus = window(usize::MAX - 0xfff, 0x1000).unwrap();
        assert!(bus.read(&mut Near::default(), at(usize::MAX), AccessWidth::Byte, 0).is_some());
        assert!(bus.read(&mut Near::default(), at(usize::MAX), AccessWidth::Word, 0).is_none());
        let name = || "x".to_string();
        assert_eq!(
            window(usize::MAX - 0xfff, 0x1001).err(),
            Some(BusError::PastEnd { name: name() })
        );
        assert_eq!(window(0, 0).err(), Some(BusError::Empty { name: name() }));
    }
}
