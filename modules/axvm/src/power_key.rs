//! The power key of a VM: how its guest is asked to power off.

use crate::fdt::POWER_KEY_INPUT;
use crate::{AxVM, AxVMHal, GuestCpu};

impl<H: AxVMHal, A: GuestCpu> AxVM<H, A> {
    /// Presses the power key, to be released after a moment: drivers look at it again after some ms. Not from exit code.
    /// False if the guest cannot be asked: it does not run, has no key, or has not enabled the key's interrupt.
    pub fn press_power_key(&self) -> bool {
        let gpio = self.machine.models.gpio.as_ref();
        let Some(gpio) = gpio.filter(|gpio| gpio.is_listening(POWER_KEY_INPUT)) else {
            return false;
        };
        let running = self.running();
        if running {
            gpio.drive_input(POWER_KEY_INPUT, true);
        }
        running
    }

    /// Lets go of the power key.
    pub fn release_power_key(&self) {
        if let Some(gpio) = &self.machine.models.gpio {
            gpio.drive_input(POWER_KEY_INPUT, false);
        }
    }
}
