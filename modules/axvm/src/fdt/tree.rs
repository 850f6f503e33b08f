//! A writer of nodes that are always closed, and of the properties that more than one node has.

use super::FdtError;
use alloc::{ffi::CString, format, string::ToString, vec::Vec};
use axaddrspace::GuestPhysAddr;
use vm_fdt::FdtWriter;

/// Level-sensitive, active high; in the third cell of an interrupt.
pub(super) const LEVEL_HIGH: u32 = 4;
/// Edge-triggered, rising; in the third cell of an interrupt.
const EDGE_RISING: u32 = 1;
/// The interrupt types of a GIC's first interrupt cell.
const SPI: u32 = 0;
/// The INTID of the first shared peripheral interrupt.
const FIRST_SPI: u32 = 32;
/// The INTID of the last shared peripheral interrupt.
const LAST_SPI: u32 = 1019;

/// A device tree that is being written.
pub(super) struct Tree(FdtWriter);

impl Tree {
    /// An empty tree without memory reservations.
    pub(super) fn new() -> Result<Self, FdtError> {
        Ok(Self(FdtWriter::new()?))
    }

    /// The finished blob.
    pub(super) fn finish(self) -> Result<Vec<u8>, FdtError> {
        Ok(self.0.finish()?)
    }

    /// A node, and in it what `fill` writes: properties first, then children.
    pub(super) fn node(
        &mut self,
        name: &str,
        fill: impl FnOnce(&mut Self) -> Result<(), FdtError>,
    ) -> Result<(), FdtError> {
        let node = self.0.begin_node(name).map_err(|error| {
            if matches!(error, vm_fdt::Error::InvalidNodeName | vm_fdt::Error::InvalidString) {
                return FdtError::BadName(name.to_string());
            }
            error.into()
        })?;
        fill(self)?;
        Ok(self.0.end_node(node)?)
    }

    /// A node named after the address of its registers.
    pub(super) fn node_at(
        &mut self,
        name: &str,
        base: GuestPhysAddr,
        fill: impl FnOnce(&mut Self) -> Result<(), FdtError>,
    ) -> Result<(), FdtError> {
        self.node(&format!("{name}@{:x}", base.as_usize()), fill)
    }

    /// A property without value.
    pub(super) fn flag(&mut self, name: &str) -> Result<(), FdtError> {
        Ok(self.0.property_null(name)?)
    }

    /// A property of 32-bit cells.
    pub(super) fn cells(&mut self, name: &str, cells: &[u32]) -> Result<(), FdtError> {
        Ok(self.0.property_array_u32(name, cells)?)
    }

    /// A property of one 64-bit number.
    pub(super) fn wide(&mut self, name: &str, value: u64) -> Result<(), FdtError> {
        Ok(self.0.property_u64(name, value)?)
    }

    /// A property of one or more texts.
    pub(super) fn texts(&mut self, name: &str, texts: &[&str]) -> Result<(), FdtError> {
        let mut bytes = Vec::new();
        for &text in texts {
            let text = CString::new(text).map_err(|_| FdtError::BadName(text.to_string()))?;
            bytes.extend_from_slice(text.to_bytes_with_nul());
        }
        Ok(self.0.property(name, &bytes)?)
    }

    /// The number by which other nodes refer to this one.
    pub(super) fn phandle(&mut self, phandle: u32) -> Result<(), FdtError> {
        Ok(self.0.property_phandle(phandle)?)
    }

    /// Addresses and sizes in bytes, two cells each.
    pub(super) fn reg(&mut self, ranges: &[(GuestPhysAddr, usize)]) -> Result<(), FdtError> {
        let numbers = ranges.iter().flat_map(|&(base, size)| [base.as_usize() as u64, size as u64]);
        let numbers: Vec<u64> = numbers.collect();
        Ok(self.0.property_array_u64("reg", &numbers)?)
    }

    /// Level-sensitive shared peripheral interrupts, given as INTIDs.
    pub(super) fn interrupts(&mut self, intids: &[u32]) -> Result<(), FdtError> {
        self.spis(intids, LEVEL_HIGH)
    }

    /// Edge-triggered shared peripheral interrupts, given as INTIDs.
    pub(super) fn edges(&mut self, intids: &[u32]) -> Result<(), FdtError> {
        self.spis(intids, EDGE_RISING)
    }

    fn spis(&mut self, intids: &[u32], trigger: u32) -> Result<(), FdtError> {
        let mut cells = Vec::new();
        for &intid in intids {
            if !(FIRST_SPI..=LAST_SPI).contains(&intid) {
                return Err(FdtError::BadInterrupt(intid));
            }
            cells.extend([SPI, intid.saturating_sub(FIRST_SPI), trigger]);
        }
        self.cells("interrupts", &cells)
    }
}
