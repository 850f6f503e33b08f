//! Checked copies to and from guest memory.
//!
//! Only RAM is reached, never a passthrough device. The guest may change the bytes during a copy:
//! copy once, then decide on the copy.

#[cfg(test)]
mod tests;

use crate::{
    AddrSpace, AddrSpaceError, GuestMemoryHal, GuestPhysAddr, HostPhysAddr, MappingFlags, raw,
};

/// An integer that guest memory is read and written as: little-endian, in one access.
pub trait GuestScalar: Copy + sealed::LittleEndian {}

mod sealed {
    /// Swapped on a big-endian machine only.
    pub trait LittleEndian {
        /// Value to memory, or memory to value.
        fn little_endian(self) -> Self;
    }
}

macro_rules! guest_scalars {
    ($($int:ty),*) => {$(
        impl GuestScalar for $int {}
        impl sealed::LittleEndian for $int {
            fn little_endian(self) -> Self {
                self.to_le()
            }
        }
    )*};
}

guest_scalars!(u8, u16, u32, u64);

/// Who touches the memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A device or an exit handler reads for the guest.
    Read,
    /// A device or an exit handler writes for the guest, within the guest's rights.
    Write,
    /// The operator's image is loaded, read-only regions included.
    Load,
}

impl<H: GuestMemoryHal> AddrSpace<H> {
    /// Copies guest memory at `gpa` into `out`.
    ///
    /// # Errors
    /// `NotMapped` or `NotRam` at the first address that is not the guest's memory; `out` is then untouched.
    pub fn read(&self, gpa: GuestPhysAddr, out: &mut [u8]) -> Result<(), AddrSpaceError> {
        self.check(gpa, out.len(), Purpose::Read)?;
        let mut at = gpa.as_usize();
        let mut rest = out;
        while !rest.is_empty() {
            let (hpa, room) = self.place(at)?;
            let Some((part, later)) = rest.split_at_mut_checked(room.min(rest.len())) else {
                return Ok(());
            };
            raw::copy_from::<H>(hpa, part);
            at = at.wrapping_add(part.len());
            rest = later;
        }
        Ok(())
    }

    /// Copies `data` to guest memory at `gpa`, as a device would: read-only memory is refused.
    ///
    /// # Errors
    /// `NotMapped`, `NotRam` or `ReadOnly` at the first such address; nothing is written then.
    pub fn write(&self, gpa: GuestPhysAddr, data: &[u8]) -> Result<(), AddrSpaceError> {
        self.copy_in(gpa, data, Purpose::Write)
    }

    /// Copies `data`, which may be code, to guest memory at `gpa`, read-only memory included, and
    /// publishes it ([`GuestMemoryHal::publish`]), so that a guest with its caches off sees it.
    ///
    /// # Errors
    /// As [`Self::write`], without `ReadOnly`.
    pub fn write_image(&self, gpa: GuestPhysAddr, data: &[u8]) -> Result<(), AddrSpaceError> {
        self.copy_in(gpa, data, Purpose::Load)
    }

    /// Publishes all of the guest's memory ([`GuestMemoryHal::publish`]): what is in caches reaches
    /// memory, and is not written back later over something newer.
    pub fn publish(&self) {
        for region in self.regions() {
            if region.flags.contains(MappingFlags::DEVICE) {
                continue;
            }
            let mut at = region.base.as_usize();
            let end = at.saturating_add(region.size);
            while at < end {
                let Ok((hpa, room)) = self.place(at) else {
                    break;
                };
                let len = room.min(end.saturating_sub(at));
                H::publish(hpa, len);
                at = at.saturating_add(len);
            }
        }
    }

    /// Reads the value at `gpa` in one access.
    ///
    /// # Errors
    /// `MisalignedValue`, and what [`Self::read`] gives.
    pub fn read_of<T: GuestScalar>(&self, gpa: GuestPhysAddr) -> Result<T, AddrSpaceError> {
        self.check_value(gpa, size_of::<T>(), Purpose::Read)?;
        let (hpa, _) = self.place(gpa.as_usize())?;
        Ok(raw::read_value::<H, T>(hpa).little_endian())
    }

    /// Writes `value` at `gpa` in one access.
    ///
    /// # Errors
    /// `MisalignedValue`, and what [`Self::write`] gives.
    pub fn write_of<T: GuestScalar>(
        &self,
        gpa: GuestPhysAddr,
        value: T,
    ) -> Result<(), AddrSpaceError> {
        self.check_value(gpa, size_of::<T>(), Purpose::Write)?;
        let (hpa, _) = self.place(gpa.as_usize())?;
        raw::write_value::<H, T>(hpa, value.little_endian());
        Ok(())
    }

    fn copy_in(
        &self,
        gpa: GuestPhysAddr,
        data: &[u8],
        purpose: Purpose,
    ) -> Result<(), AddrSpaceError> {
        self.check(gpa, data.len(), purpose)?;
        let mut at = gpa.as_usize();
        let mut rest = data;
        while !rest.is_empty() {
            let (hpa, room) = self.place(at)?;
            let Some((part, later)) = rest.split_at_checked(room.min(rest.len())) else {
                return Ok(());
            };
            raw::copy_to::<H>(hpa, part);
            if purpose == Purpose::Load {
                H::publish(hpa, part.len());
            }
            at = at.wrapping_add(part.len());
            rest = later;
        }
        Ok(())
    }

    /// Makes sure that a value of `size` bytes may be touched in one access: it is aligned, so it
    /// lies within one page.
    fn check_value(
        &self,
        gpa: GuestPhysAddr,
        size: usize,
        purpose: Purpose,
    ) -> Result<(), AddrSpaceError> {
        if !gpa.as_usize().is_multiple_of(size) {
            return Err(AddrSpaceError::MisalignedValue { gpa, size });
        }
        self.check(gpa, size, purpose)
    }

    /// Makes sure that all of `[gpa, gpa + len)` is memory this purpose may touch.
    fn check(
        &self,
        gpa: GuestPhysAddr,
        len: usize,
        purpose: Purpose,
    ) -> Result<(), AddrSpaceError> {
        let Some(end) = gpa.as_usize().checked_add(len) else {
            return Err(AddrSpaceError::NotMapped { gpa: GuestPhysAddr::from_usize(usize::MAX) });
        };
        let mut at = gpa.as_usize();
        while at < end {
            let gpa = GuestPhysAddr::from_usize(at);
            let region = self.regions.find(at).ok_or(AddrSpaceError::NotMapped { gpa })?;
            if region.flags.contains(MappingFlags::DEVICE) {
                return Err(AddrSpaceError::NotRam { gpa });
            }
            if purpose == Purpose::Write && !region.flags.contains(MappingFlags::WRITE) {
                return Err(AddrSpaceError::ReadOnly { gpa });
            }
            at = region.end();
        }
        Ok(())
    }

    /// Where address `at`, which was checked, is in host memory, and how many bytes follow in one piece.
    fn place(&self, at: usize) -> Result<(HostPhysAddr, usize), AddrSpaceError> {
        let gpa = GuestPhysAddr::from_usize(at);
        // Every region is mapped as a whole.
        let (leaf, level) = self.leaf(at).ok_or(AddrSpaceError::NotMapped { gpa })?;
        let offset = level.offset_of(at);
        let hpa = HostPhysAddr::from_usize(leaf.output().as_usize() | offset);
        Ok((hpa, level.size().wrapping_sub(offset)))
    }
}
