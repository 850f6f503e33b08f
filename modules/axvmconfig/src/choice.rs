//! The settings that are one of a few words, with the number some of them may be written as.

use core::fmt;

/// A setting that is one of a fixed set.
pub(crate) trait Choice: Copy + 'static {
    /// What the set is called in an error.
    const WHAT: &'static str;
    /// Each word, the number that stands for it in the number-only form, and the value.
    const ALL: &'static [(&'static str, Option<usize>, Self)];
    /// Further spellings that are accepted and not advertised.
    const ALIASES: &'static [(&'static str, Self)];
}

macro_rules! choice {
    ($type:ident, $what:literal,
     [$(($word:literal, $number:expr, $value:ident)),* $(,)?],
     [$(($alias:literal, $target:ident)),* $(,)?]) => {
        impl Choice for $type {
            const WHAT: &'static str = $what;
            const ALL: &'static [(&'static str, Option<usize>, Self)] = &[$(($word, $number, Self::$value)),*];
            const ALIASES: &'static [(&'static str, Self)] = &[$(($alias, Self::$target)),*];
        }

        impl $type {
            /// The word a config file uses for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $word),*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(self.name())
            }
        }
    };
}

/// Where the host memory behind a region of guest memory comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapType {
    /// Host memory from anywhere in the pool.
    #[default]
    Alloc,
    /// Host memory at the very address the guest sees; it must be free in the pool.
    Identical,
    /// Guest-physical equals host-physical, and the memory belongs to someone else.
    Reserved,
}
choice!(
    MapType,
    "map type",
    [("alloc", Some(0), Alloc), ("identical", Some(1), Identical), ("reserved", Some(2), Reserved)],
    [("MapAlloc", Alloc), ("MapIdentical", Identical), ("MapReserved", Reserved)]
);

/// What a VM may do with the memory of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelAccess {
    /// Loads and stores.
    #[default]
    ReadWrite,
    /// Loads.
    Read,
}
choice!(ChannelAccess, "channel access", [("rw", None, ReadWrite), ("r", None, Read)], []);

/// What kind of guest it is; it tells the reader and changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VmType {
    /// A guest with the host's own duties.
    Host,
    /// A small or real-time system.
    Rtos,
    /// Linux, or whatever boots as Linux does.
    #[default]
    Linux,
}
choice!(
    VmType,
    "VM type",
    [("host", Some(0), Host), ("rtos", Some(1), Rtos), ("linux", Some(2), Linux)],
    []
);

/// Who handles the guest's interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterruptMode {
    /// Nobody: the guest has no interrupt controller and its devices no interrupts.
    None,
    /// The hypervisor, with an emulated interrupt controller.
    #[default]
    Emulated,
    /// The same: interrupts of devices that are passed through reach the guest by links in the hardware in either mode,
    /// and no guest has the physical distributor, by which it could reach those of others.
    Passthrough,
}
choice!(
    InterruptMode,
    "interrupt mode",
    [("none", None, None), ("emulated", None, Emulated), ("passthrough", None, Passthrough)],
    [("no_irq", None)]
);

/// Which GIC architecture the guest is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicVersion {
    /// GICv2: at most eight vCPUs.
    V2,
    /// GICv3.
    V3,
}
choice!(GicVersion, "GIC version", [("v2", Some(2), V2), ("v3", Some(3), V3)], []);

/// What happens when the VM has ended by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// It stays stopped.
    #[default]
    Never,
    /// It boots again unless it powered off by its own will.
    OnFailure,
    /// It boots again.
    Always,
}
choice!(
    RestartPolicy,
    "restart policy",
    [("never", None, Never), ("on-failure", None, OnFailure), ("always", None, Always)],
    []
);

/// Where the images are when the VM is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageLocation {
    /// In memory: the bundle that is deployed with the hypervisor.
    #[default]
    Memory,
    /// In a file system.
    Fs,
}
choice!(ImageLocation, "image location", [("memory", None, Memory), ("fs", None, Fs)], []);

/// The device models a guest can be given, with the numbers config files use for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmulatedDeviceType {
    /// Reads as zero and ignores writes.
    Dummy,
    /// The interrupt controller as a whole.
    InterruptController,
    /// The serial console.
    Console,
    /// A channel between VMs.
    IvcChannel,
    /// The redistributors of a GICv3.
    GicRedistributor,
    /// The distributor of a GIC.
    GicDistributor,
    /// The interrupt translation service of a GICv3.
    GicIts,
    /// The RISC-V platform-level interrupt controller.
    Plic,
    /// A virtio disk.
    VirtioBlk,
    /// A virtio network card.
    VirtioNet,
    /// A virtio console.
    VirtioConsole,
    /// The key by which a guest is asked to power off.
    PowerButton,
    /// What ends a guest that does not show signs of life.
    Watchdog,
}
choice!(
    EmulatedDeviceType,
    "device type",
    [
        ("dummy", Some(0x0), Dummy),
        ("interrupt-controller", Some(0x1), InterruptController),
        ("console", Some(0x2), Console),
        ("ivc-channel", Some(0xa), IvcChannel),
        ("gic-redistributor", Some(0x20), GicRedistributor),
        ("gic-distributor", Some(0x21), GicDistributor),
        ("gic-its", Some(0x22), GicIts),
        ("plic", Some(0x30), Plic),
        ("virtio-blk", Some(0xe1), VirtioBlk),
        ("virtio-net", Some(0xe2), VirtioNet),
        ("virtio-console", Some(0xe3), VirtioConsole),
        ("power-button", None, PowerButton),
        ("watchdog", None, Watchdog)
    ],
    [
        ("pl011", Console),
        ("pl061", PowerButton),
        ("gicr", GicRedistributor),
        ("gicd", GicDistributor),
        ("its", GicIts)
    ]
);

impl EmulatedDeviceType {
    /// Whether the device sits in a virtio-mmio slot.
    #[must_use]
    pub const fn is_virtio(self) -> bool {
        matches!(self, Self::VirtioBlk | Self::VirtioNet | Self::VirtioConsole)
    }

    /// Whether the device is an interrupt controller or a part of one.
    #[must_use]
    pub const fn is_interrupt_controller(self) -> bool {
        matches!(
            self,
            Self::InterruptController
                | Self::GicDistributor
                | Self::GicRedistributor
                | Self::GicIts
                | Self::Plic
        )
    }
}
