//! What the virtual GIC is given: list registers below, a way to reach vCPUs above.

use crate::lr::{EOI, PENDING, STATE};

/// The virtual interface control registers (ICH_*_EL2) and the redistributor of the CPU this code runs on.
///
/// Stateless: while an exit of vCPU v is handled, or v is being loaded or saved, they are v's. List register 0 is the
/// virtual timer's; the others belong to the general interrupts.
///
/// Of a CPU with no vCPU loaded, before the first one too, list registers 1 and up are empty, there is no maintenance interrupt,
/// and the virtual timer's physical interrupt is inactive and let through: a load takes that for granted.
pub trait ListRegisters: Send + Sync {
    /// How many list registers the CPU has: ICH_VTR_EL2.ListRegs + 1, the same on every CPU.
    fn count(&self) -> usize;

    /// ICH_LR`n`_EL2, `n` below [`Self::count`].
    fn read(&self, n: usize) -> u64;

    /// Writes ICH_LR`n`_EL2, `n` below [`Self::count`].
    fn write(&self, n: usize, value: u64);

    /// Sets the pending bit of ICH_LR`n`_EL2, `n` below [`Self::count`], if it is neither pending nor active, and does not
    /// want its end seen, which the maintenance interrupt that is then on its way does; whether it did.
    fn pend_if_empty(&self, n: usize) -> bool {
        let value = self.read(n);
        let empty = value & (STATE | EOI) == 0;
        if empty {
            self.write(n, value | PENDING);
        }
        empty
    }

    /// ICH_HCR_EL2.NPIE: a maintenance interrupt when no list register is pending any more.
    fn set_maintenance(&self, no_pending: bool);

    /// Forwards the physical private interrupt `intid` on this CPU or not (GICR_ISENABLER0, GICR_ICENABLER0).
    fn enable_physical_ppi(&self, intid: u32, on: bool);

    /// Moves the active state of the physical private interrupt `intid` here (GICR_ISACTIVER0, GICR_ICACTIVER0): it
    /// belongs to the vCPU that is loaded.
    fn set_physical_ppi_active(&self, intid: u32, active: bool);

    /// Makes the physical SPI `intid` inactive (GICD_ICACTIVER): the guest will not end it any more. Whoever links no
    /// SPIs needs none.
    fn release_physical_spi(&self, _intid: u32) {}
}

/// Makes a vCPU notice that its interrupts changed.
///
/// Called without the virtual GIC's lock, after the vCPU's [`Doorbell`](crate::Doorbell) has rung.
pub trait Kick: Send + Sync {
    /// Running elsewhere: a physical IPI; asleep: to the run queue; running here or powered off: nothing. Looks where the
    /// vCPU is behind a sequentially consistent fence, which pairs with the one at [`Doorbell::has_rung`](crate::Doorbell).
    fn kick(&self, vcpu: usize);
}
