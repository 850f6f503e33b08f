//! What starts and ends a guest's run beside PSCI: the key by which it is asked to power off, and the watchdog.

use super::{FdtError, board::CLOCK, tree::Tree};
use axaddrspace::GuestPhysAddr;
use axdevice::Watchdog;

/// The phandle of the GPIO controller.
const GPIO: u32 = 3;
/// The bytes of a PL061.
const PL061_SIZE: usize = 0x1000;
/// Its input that the power key drives, as on QEMU's `virt` board.
pub(crate) const POWER_KEY_INPUT: u32 = 3;
/// Pressed is high.
const ACTIVE_HIGH: u32 = 0;
/// The input event code of a power key in the binding `gpio-keys`.
const KEY_POWER: u32 = 116;

/// The GPIO controller and the key on it, if there is one.
pub(super) fn key(root: &mut Tree, gpio: Option<(GuestPhysAddr, u32)>) -> Result<(), FdtError> {
    let Some((base, intid)) = gpio else {
        return Ok(());
    };
    root.node_at("pl061", base, |gpio| {
        gpio.texts("compatible", &["arm,pl061", "arm,primecell"])?;
        gpio.reg(&[(base, PL061_SIZE)])?;
        if intid != 0 {
            gpio.interrupts(&[intid])?;
        }
        gpio.flag("gpio-controller")?;
        gpio.cells("#gpio-cells", &[2])?;
        gpio.cells("clocks", &[CLOCK])?;
        gpio.texts("clock-names", &["apb_pclk"])?;
        gpio.phandle(GPIO)
    })?;
    root.node("gpio-keys", |keys| {
        keys.texts("compatible", &["gpio-keys"])?;
        keys.node("poweroff", |key| {
            key.texts("label", &["Power key"])?;
            key.cells("linux,code", &[KEY_POWER])?;
            key.cells("gpios", &[GPIO, POWER_KEY_INPUT, ACTIVE_HIGH])
        })
    })
}

/// Linux, Documentation/devicetree/bindings/watchdog/arm,sbsa-gwdt.yaml: the control frame, then the refresh frame.
pub(super) fn watchdog(
    root: &mut Tree,
    watchdog: Option<(GuestPhysAddr, u32)>,
) -> Result<(), FdtError> {
    let Some((control, intid)) = watchdog else {
        return Ok(());
    };
    let refresh = control.as_usize().saturating_add(Watchdog::FRAME);
    let refresh = GuestPhysAddr::from_usize(refresh);
    root.node_at("watchdog", control, |node| {
        node.texts("compatible", &["arm,sbsa-gwdt"])?;
        node.reg(&[(control, Watchdog::FRAME), (refresh, Watchdog::FRAME)])?;
        if intid != 0 {
            node.interrupts(&[intid])?;
        }
        Ok(())
    })
}
