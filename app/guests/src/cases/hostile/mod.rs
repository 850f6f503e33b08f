//! The hostile guest: every case is one attempt to hurt the host or another guest, and says what became of it.
//!
//! `case=hostile id=B24` chooses; the ids are those of docs/threat-model.md. `scripts/hostile` runs them all.

mod access;
mod attempt;
mod calls;
mod coprocessors;
mod exceptions;
mod expect;
mod hidden;
mod identity;
mod interrupts;
mod load;
mod memory;
mod power;
mod program;
mod random;
mod registers;
mod resets;
mod space;
pub(super) mod state;
mod sweep;
mod wild;
mod words;

use super::Completion;
use crate::board::Board;
use crate::report::{self, Outcome};
use crate::{cpu, println, psci, timer};
use core::sync::atomic::{AtomicUsize, Ordering};

/// One case: its id, what the boot CPU does, what a CPU does that CPU_ON started.
struct Hostile {
    id: &'static str,
    run: fn(&Board) -> Outcome,
    secondary: fn(usize),
    interrupt: fn(u32) -> Completion,
}

/// A case of one CPU that takes no interrupts.
const fn alone(id: &'static str, run: fn(&Board) -> Outcome) -> Hostile {
    Hostile { id, run, secondary: |_| {}, interrupt: |_| Completion::Done }
}

/// A case whose other CPUs do `secondary`.
const fn with_others(
    id: &'static str,
    run: fn(&Board) -> Outcome,
    secondary: fn(usize),
) -> Hostile {
    Hostile { id, run, secondary, interrupt: |_| Completion::Done }
}

/// A case that counts interrupts.
const fn counting(id: &'static str, run: fn(&Board) -> Outcome) -> Hostile {
    Hostile { id, run, secondary: |_| {}, interrupt: interrupts::count }
}

static CASES: &[Hostile] = &[
    alone("A1", registers::implementation_defined),
    alone("A2", registers::performance_monitors),
    alone("A3", registers::activity_monitors),
    alone("A4a", registers::debug_registers),
    alone("A4b", registers::single_step),
    alone("A4c", registers::software_breakpoint),
    alone("A5", registers::auxiliary_control),
    alone("A6a", registers::scalable_vectors),
    alone("A6b", registers::matrix_extension),
    alone("A7", registers::vectors),
    alone("A8a", registers::thread_registers),
    alone("A8b", registers::authentication_keys),
    alone("A8c", state::kept),
    alone("A9", registers::memory_tags),
    alone("A10", registers::ordering_regions),
    alone("A11a", registers::higher_levels),
    alone("A11b", registers::higher_maintenance),
    alone("A12", calls::unknown_functions),
    alone("A13", calls::immediates),
    alone("A14", calls::from_el0),
    alone("A15", exceptions::jump_to_nowhere),
    alone("A16", exceptions::jump_to_device),
    alone("A17", exceptions::passthrough_hole),
    alone("A18", exceptions::without_vectors),
    alone("A19", exceptions::illegal_return),
    alone("A20", exceptions::tables_in_devices),
    alone("A21", exceptions::set_way_storm),
    alone("A22", exceptions::system_errors),
    alone("A23a", identity::registers_agree),
    alone("A23b", identity::not_at_el0),
    alone("A23c", sweep::everything),
    alone("A23e", coprocessors::everything),
    alone("B24", access::pairs),
    alone("B25", access::write_back),
    alone("B26a", access::vectors),
    alone("B26b", access::exclusives),
    alone("B26c", access::atomics),
    alone("B26d", access::maintenance),
    alone("B27", access::zero_register),
    alone("B28", access::sign_extension),
    alone("B29", access::straddling),
    alone("B30", access::every_offset),
    alone("B31", access::nobody_home),
    alone("C32", memory::scan),
    alone("C33", memory::beyond_the_top),
    alone("C34", memory::read_only),
    alone("C35-leave", memory::leave_secret),
    alone("C35-find", memory::find_secret),
    with_others("C37", memory::split_and_merge, memory::hammer),
    alone("C38-find", memory::stale_code),
    Hostile { secondary: interrupts::abuse_too, ..counting("D40", interrupts::random_registers) },
    counting("D41", interrupts::past_the_last),
    counting("D43", resets::clean_controller),
    Hostile { secondary: interrupts::take_sgis, ..counting("D44", interrupts::sgis_to_nobody) },
    counting("D45", interrupts::all_pending),
    counting("D46", interrupts::enable_everything),
    counting("D47", interrupts::ends_of_nothing),
    counting("D48", interrupts::storm),
    Hostile { secondary: interrupts::take_sgis, ..counting("D48b", interrupts::sgi_storm) },
    counting("D48c", interrupts::wait_storm),
    counting("D49", interrupts::other_timers),
    alone("E50", power::cpu_on_codes),
    with_others("E51", power::start_one_at_once, power::start_or_arrive),
    with_others("E52", power::on_off_race, power::start_neighbour),
    alone("E53", power::last_cpu_off),
    alone("E54", resets::again),
    alone("E55", power::junk_above),
    alone("E56", power::bad_addresses),
    with_others("E57", power::changing_instruction, power::flip),
    alone("E58", power::forged_channels),
    alone("F67", load::flood),
    alone("G74", load::spin_masked),
    alone("G76", resets::again),
    alone("G77", load::device_traffic),
    alone("G78", load::thrash),
    Hostile { secondary: program::other, ..counting("R", program::run) },
    with_others("W", wild::run, wild::on),
];

static CURRENT: AtomicUsize = AtomicUsize::new(0);

/// Runs the case that `id=` names, and powers off.
pub(super) fn run(board: &Board) -> Outcome {
    let id = board.argument("id").unwrap_or("");
    let Some(index) = CASES.iter().position(|case| case.id == id) else {
        return report::fail("no such hostile case");
    };
    CURRENT.store(index, Ordering::Release);
    if board.argument("sabotage").is_some() {
        expect::sabotage();
    }
    println!("hostile {id}");
    prepare();
    space::prepare();
    let outcome = (CASES[index].run)(board);
    report::verdict(format_args!("hostile {id}"), outcome)
}

/// On every CPU, before it attempts anything.
fn prepare() {
    attempt::prepare();
}

/// Before the drivers have touched anything.
pub(super) fn at_boot() {
    resets::note_controller();
}

/// Starts every other CPU in its part of the case, does `act`, and waits until they are off again.
fn other_cpus(_board: &Board, act: impl FnOnce() -> Outcome) -> Outcome {
    for number in 1..cpu::count() {
        expect::equal("CPU_ON", psci::cpu_on(number, 0) as u64, 0u64)?;
    }
    let outcome = act();
    for number in 1..cpu::count() {
        let off = || psci::affinity_info(cpu::affinity(number)) == psci::OFF;
        let left = expect::holds("a CPU goes off", timer::wait_for(off));
        outcome.as_ref().map_or(Ok(()), |()| left)?;
    }
    outcome
}

/// A CPU that the case has started.
pub(super) fn secondary(number: usize) {
    prepare();
    (CASES[CURRENT.load(Ordering::Acquire)].secondary)(number);
}

/// The acknowledged interrupt `intid`.
pub(super) fn interrupt(intid: u32) -> Completion {
    (CASES[CURRENT.load(Ordering::Acquire)].interrupt)(intid)
}
