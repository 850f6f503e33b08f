//! Why a vCPU stopped running guest code.

use axaddrspace::{AccessWidth, GuestPhysAddr, MappingFlags};

/// A system register as the architecture names it in a trap: on aarch64 the ISS form of ESR_EL2
/// (Op0, Op2, Op1, CRn, CRm in bits 21:20, 19:17, 16:14, 13:10, 4:1; the others zero).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SysRegAddr(pub usize);

/// What the guest wants, or what happened to it, when [`run`](crate::AxArchVCpu::run) returns.
///
/// For every access and call the guest still stands at (or, for a completed call instruction, right
/// behind) the instruction: the program counter moves only when the exit is completed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AxVCpuExitReason {
    /// A call into the hypervisor by HVC, or by an SMC that is treated alike.
    Hypercall {
        /// The function number (x0 on aarch64).
        nr: u64,
        /// The arguments (x1 to x6 on aarch64).
        args: [u64; 6],
    },
    /// A load from an address that stage 2 does not map.
    MmioRead {
        /// Where.
        addr: GuestPhysAddr,
        /// How much.
        width: AccessWidth,
        /// The general register that receives the value (31: none).
        reg: usize,
        /// How much of the register is written.
        reg_width: AccessWidth,
        /// Whether the value is sign-extended to `reg_width`.
        signed_ext: bool,
    },
    /// A store to an address that stage 2 does not map for writing.
    MmioWrite {
        /// Where.
        addr: GuestPhysAddr,
        /// How much.
        width: AccessWidth,
        /// The value, zero-extended.
        data: u64,
    },
    /// A trapped system-register read.
    SysRegRead {
        /// Which register.
        addr: SysRegAddr,
        /// The general register that receives the value (31: none).
        reg: usize,
    },
    /// A trapped system-register write.
    SysRegWrite {
        /// Which register.
        addr: SysRegAddr,
        /// The value.
        value: u64,
    },
    /// A port read (x86).
    IoRead {
        /// Which port.
        port: u16,
        /// How much.
        width: AccessWidth,
    },
    /// A port write (x86).
    IoWrite {
        /// Which port.
        port: u16,
        /// How much.
        width: AccessWidth,
        /// The value, zero-extended.
        data: u64,
    },
    /// A physical interrupt is pending on this CPU; it has not been acknowledged.
    ExternalInterrupt {
        /// Its number, as the interrupt controller shows it without acknowledging.
        vector: u64,
    },
    /// A physical interrupt of the host's was acknowledged in place of one that belongs here: the
    /// host has to handle it, then drop its priority and deactivate it.
    AcknowledgedInterrupt {
        /// Its number.
        vector: u64,
    },
    /// An access that stage 2 refused, made by an instruction the syndrome does not describe: the
    /// word at `instruction` has to be fetched and given to
    /// [`decode_access`](crate::AxArchVCpu::decode_access).
    Undecoded {
        /// Where the access went.
        addr: GuestPhysAddr,
        /// Where the instruction stands.
        instruction: GuestPhysAddr,
    },
    /// An access that stage 2 refused and that no device access can be made of.
    NestedPageFault {
        /// Where.
        addr: GuestPhysAddr,
        /// What the access needed.
        access_flags: MappingFlags,
    },
    /// The guest waits for an interrupt.
    Halt,
    /// The guest starts another vCPU.
    CpuUp {
        /// Its hardware id: MPIDR affinity, APIC id or hart id.
        target_cpu: u64,
        /// Where it starts.
        entry_point: GuestPhysAddr,
        /// What it is given in its first argument register.
        arg: u64,
    },
    /// The guest switches this vCPU off or suspends it.
    CpuDown {
        /// The power state asked for.
        state: u64,
    },
    /// The guest powers the whole machine off.
    SystemDown,
    /// The guest asks for a reset of the whole machine.
    SystemReset,
    /// Everything was done already; enter again.
    Nothing,
    /// The hardware refused to enter the guest.
    FailEntry {
        /// The architecture's code.
        hardware_entry_failure_reason: u64,
    },
    /// The guest sends an interrupt to other vCPUs.
    SendIPI {
        /// The target, or on aarch64 the affinity fields 3 to 1.
        target_cpu: u64,
        /// On aarch64 the Aff0 bit mask.
        target_cpu_aux: u64,
        /// To all but the sender.
        send_to_all: bool,
        /// To the sender only.
        send_to_self: bool,
        /// Which interrupt.
        vector: u64,
    },
    /// The guest did what its architecture answers with an exception of its own.
    Fault(GuestFault),
}

/// A guest's mistake that the guest itself pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestFault {
    /// An instruction or register that does not exist for this guest: undefined instruction.
    Undefined,
    /// Nobody answers at the address: a synchronous external abort on the data side.
    DataAbort,
    /// Nobody answers an instruction fetch: a synchronous external abort on the instruction side.
    PrefetchAbort,
}

/// Fits a loaded value into its register: `value` of `width` to `reg_width`, with or without its sign.
#[inline]
pub const fn extend(value: u64, width: AccessWidth, reg_width: AccessWidth, signed: bool) -> u64 {
    if !signed {
        return value & width.mask();
    }
    let unused = width.mask().leading_zeros();
    (((value << unused).cast_signed() >> unused).cast_unsigned()) & reg_width.mask()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_value_takes_the_sign_only_when_asked() {
        use AccessWidth::{Byte, Dword, Qword, Word};
        assert_eq!(extend(0xff80, Byte, Dword, false), 0x80);
        assert_eq!(extend(0x80, Byte, Dword, true), 0xffff_ff80);
        assert_eq!(extend(0x8000, Word, Qword, true), 0xffff_ffff_ffff_8000);
        assert_eq!(extend(0x7fff_ffff, Dword, Qword, true), 0x7fff_ffff);
        assert_eq!(extend(u64::MAX, Qword, Qword, true), u64::MAX);
    }
}
