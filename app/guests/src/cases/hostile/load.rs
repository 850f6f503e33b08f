//! Guests that take all they can get: CPU, console, memory bandwidth, device accesses.

use super::access;
use super::expect::{equal, holds, wedge};
use crate::board::Board;
use crate::report::{Outcome, fail};
use crate::{cpu, gic, mmio, println, ram, timer};

/// F67: `millis=` of console output as fast as it goes.
pub(super) fn flood(board: &Board) -> Outcome {
    let millis = board.number("millis").unwrap_or(2000);
    let end = timer::now() + timer::micros(millis * 1000);
    let data = access::at_uart(0) as usize;
    let mut bytes = 0u64;
    println!("flood");
    while timer::now() < end {
        for byte in *b"a flood of \x1b[31mwords\x07 and of \x9b2J other bytes\r\n" {
            mmio::write(data, byte.into());
            bytes += 1;
        }
    }
    println!();
    println!("{bytes} bytes in {millis} ms");
    equal("a flood: many bytes", bytes > 1000, true)
}

/// G74: nothing comes through to this CPU.
pub(super) fn spin_masked(_: &Board) -> Outcome {
    gic::close_cpu_interface();
    cpu::mask_irq();
    wedge("spinning with everything masked")?;
    loop {
        core::hint::spin_loop();
    }
}

/// G77: device accesses without a break, `millis=` of them; each has to be right, whenever the guest is paused.
pub(super) fn device_traffic(board: &Board) -> Outcome {
    let millis = board.number("millis").unwrap_or(3000);
    let end = timer::now() + timer::micros(millis * 1000);
    let divisor = access::at_uart(0x24) as usize;
    let mut rounds = 0u32;
    println!("traffic");
    while timer::now() < end {
        mmio::write(divisor, rounds & 0xffff);
        let got = mmio::read(divisor);
        if got != rounds & 0xffff || mmio::read(access::at_uart(0xfe0) as usize) != 0x11 {
            println!("round {rounds}: {got:#x}");
            holds("a device access around a pause", false)?;
        }
        rounds += 1;
    }
    println!("{rounds} rounds");
    equal("rounds: many", rounds > 1000, true)
}

/// G78: `millis=` of writes all over memory, a page apart, and of maintenance.
pub(super) fn thrash(board: &Board) -> Outcome {
    let millis = board.number("millis").unwrap_or(3000);
    let Some(range) = board.free_ram().max_by_key(|range| range.end - range.start) else {
        return fail("no memory");
    };
    let end = timer::now() + timer::micros(millis * 1000);
    let mut passes = 0u64;
    println!("thrashing {} bytes", range.end - range.start);
    while timer::now() < end {
        ram::fill(&(range.start..range.end), |address| address ^ passes);
        super::space::forget();
        passes += 1;
    }
    println!("{passes} passes");
    equal("passes: some", passes > 0, true)
}
