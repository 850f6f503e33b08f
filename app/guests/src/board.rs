//! What the device tree says about the machine.

use crate::{boot, cpu, gic, ivc, pl031, uart};
use core::ops::Range;
use fdt::Fdt;

/// As many CPUs as `boot.s` has stacks for; further ones stay off.
pub(crate) const MAX_CPUS: usize = 16;
const MAX_RANGES: usize = 4;
const MAX_WINDOWS: usize = 24;

/// The machine as its device tree describes it.
pub(crate) struct Board {
    ram: [Range<u64>; MAX_RANGES],
    tree: Range<u64>,
    arguments: &'static str,
    windows: [Range<u64>; MAX_WINDOWS],
    gpio: Option<usize>,
    watchdog: [Option<usize>; 2],
    spare_uart: Option<usize>,
    has_gic: bool,
}

impl Board {
    /// Reads the tree at `address`, maps all RAM, tells the drivers their addresses.
    ///
    /// # Panics
    /// When there is no tree; without one the guest knows nothing of its machine.
    pub(crate) fn from_tree(address: usize) -> Board {
        // SAFETY: the boot protocol puts the tree at this address; boot.s mapped it, and nobody writes to it: the memory
        // case leaves `tree` out.
        let tree = unsafe { Fdt::from_ptr(address as *const u8) };
        let Ok(tree) = tree else { panic!("no device tree") };
        locate_devices(&tree);
        let cpus = tree.cpus().take(MAX_CPUS).map(|cpu| cpu.ids().first() as u64);
        cpu::set_list(cpus);
        let mut board = Board {
            ram: [const { 0..0 }; MAX_RANGES],
            tree: address as u64..(address + tree.total_size()).next_multiple_of(8) as u64,
            arguments: tree.chosen().bootargs().unwrap_or(""),
            windows: [const { 0..0 }; MAX_WINDOWS],
            gpio: window(&tree, "arm,pl061", 0),
            watchdog: [0, 1].map(|frame| window(&tree, "arm,sbsa-gwdt", frame)),
            spare_uart: spare_uart(&tree),
            has_gic: tree.find_compatible(&["arm,gic-v3", "arm,cortex-a15-gic"]).is_some(),
        };
        let windows = tree.all_nodes().filter(|node| node.property("compatible").is_some());
        let windows = windows.filter(|node| !node.name.starts_with("cpu"));
        for (slot, region) in
            board.windows.iter_mut().zip(windows.filter_map(|node| node.reg()).flatten())
        {
            let start = region.starting_address as u64;
            *slot = start..start + region.size.unwrap_or(0) as u64;
        }
        let memory = tree.find_all_nodes("/memory").filter_map(|node| node.reg()).flatten();
        for (slot, region) in board.ram.iter_mut().zip(memory) {
            let start = region.starting_address as u64;
            *slot = start..start + region.size.unwrap_or(0) as u64;
            boot::map_ram(slot.clone());
        }
        board
    }

    /// The value of the boot argument `name=value`.
    pub(crate) fn argument(&self, name: &str) -> Option<&'static str> {
        let mut words = self.arguments.split_ascii_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// The number that is the boot argument `name`, in hexadecimal behind 0x.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let word = self.argument(name)?;
        word.strip_prefix("0x").map_or(word.parse(), |digits| u64::from_str_radix(digits, 16)).ok()
    }

    /// Whether `address` is RAM.
    pub(crate) fn is_ram(&self, address: u64) -> bool {
        self.ram.iter().any(|ram| ram.contains(&address))
    }

    /// Where devices and shared memory are, as the tree has it.
    pub(crate) fn windows(&self) -> impl Iterator<Item = &Range<u64>> {
        self.windows.iter().filter(|window| !window.is_empty())
    }

    /// Whether `address` is a device's or shared memory's, as the tree has it.
    pub(crate) fn is_device(&self, address: u64) -> bool {
        self.windows.iter().any(|window| window.contains(&address))
    }

    /// Where the GPIO controller is.
    pub(crate) fn gpio(&self) -> Option<usize> {
        self.gpio
    }

    /// Where the watchdog has its control frame and its refresh frame.
    pub(crate) fn watchdog(&self) -> Option<(usize, usize)> {
        let [control, refresh] = self.watchdog;
        control.zip(refresh)
    }

    /// Where the second serial port is.
    pub(crate) fn spare_uart(&self) -> Option<usize> {
        self.spare_uart
    }

    /// Whether there is an interrupt controller.
    pub(crate) fn has_gic(&self) -> bool {
        self.has_gic
    }

    /// All RAM, in bytes.
    pub(crate) fn ram_bytes(&self) -> u64 {
        self.ram.iter().map(|range| range.end - range.start).sum()
    }

    /// All RAM but the image and the device tree.
    pub(crate) fn free_ram(&self) -> impl Iterator<Item = Range<u64>> {
        let (image, tree) = (boot::image(), self.tree.clone());
        let (low, high) = if image.start < tree.start { (image, tree) } else { (tree, image) };
        let gaps = [0..low.start, low.end..high.start, high.end..u64::MAX];
        let pieces = self.ram.iter().flat_map(move |ram| {
            let clip = |gap: &Range<u64>| gap.start.max(ram.start)..gap.end.min(ram.end);
            gaps.each_ref().map(clip)
        });
        pieces.filter(|piece| piece.start < piece.end)
    }
}

/// Where the first device of that kind has its registers of that number.
fn window(tree: &Fdt<'_>, compatible: &str, index: usize) -> Option<usize> {
    let region = tree.find_compatible(&[compatible])?.reg()?.nth(index)?;
    Some(region.starting_address as usize)
}

/// Where the serial port behind the console has its registers.
fn spare_uart(tree: &Fdt<'_>) -> Option<usize> {
    let is_uart = |node: &fdt::node::FdtNode<'_, '_>| {
        node.compatible().is_some_and(|names| names.all().any(|name| name == "arm,pl011"))
    };
    let region = tree.all_nodes().filter(is_uart).nth(1)?.reg()?.next()?;
    Some(region.starting_address as usize)
}

/// Hands the addresses in the tree to the drivers; what is missing stays where QEMU's virt board has it.
fn locate_devices(tree: &Fdt<'_>) {
    if let Some(base) = window(tree, "arm,pl011", 0) {
        uart::set_base(base);
    }
    if let Some(base) = window(tree, "arm,pl031", 0) {
        pl031::set_base(base);
    }
    if let (Some(distributor), Some(redistributors)) =
        (window(tree, "arm,gic-v3", 0), window(tree, "arm,gic-v3", 1))
    {
        gic::set_bases(distributor, redistributors);
    }
    if let (Some(distributor), Some(interface)) =
        (window(tree, "arm,cortex-a15-gic", 0), window(tree, "arm,cortex-a15-gic", 1))
    {
        gic::set_v2_bases(distributor, interface);
    }
    locate_channel(tree);
}

/// Hands the first channel to the driver.
fn locate_channel(tree: &Fdt<'_>) {
    let Some(node) = tree.find_compatible(&["axle,ivc"]) else { return };
    let region = node.reg().and_then(|mut regions| regions.next());
    // The number of the shared interrupt is the second cell.
    let spi = node.property("interrupts").and_then(|cells| cells.value.get(4..8)?.try_into().ok());
    if let (Some(region), Some(spi)) = (region, spi) {
        let doorbell = gic::FIRST_SPI + u32::from_be_bytes(spi);
        ivc::set_window(region.starting_address as usize, region.size.unwrap_or(0), doorbell);
    }
}
