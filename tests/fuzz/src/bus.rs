//! The bus: any windows, then accesses anywhere, compared with a search through the list.

use std::sync::Arc;

use axaddrspace::GuestPhysAddr;
use axdevice::{Access, BusBuilder, BusError, Device, Near};

use crate::input::Input;

/// Answers with its number and the offset.
struct Echo(u64);

impl Device for Echo {
    fn read(&self, access: Access) -> u64 {
        self.0 << 48 | access.offset as u64 & 0xffff_ffff_ffff
    }

    fn write(&self, _: Access, _: u64) {}
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let windows: Vec<(usize, usize)> = (0..input.below(40))
        .map(|_| {
            let start = (input.number() as usize).wrapping_add(usize::from(input.u16()) << 4);
            let size = input.number() as usize;
            (start, size)
        })
        .collect();
    let mut builder = BusBuilder::new();
    for (number, &(start, size)) in windows.iter().enumerate() {
        builder.add(format!("{number}"), start.into(), size, Arc::new(Echo(number as u64)));
    }
    let bad =
        windows.iter().any(|&(start, size)| size == 0 || start.checked_add(size - 1).is_none());
    let bus = match builder.build() {
        Ok(bus) => bus,
        Err(BusError::Overlap { first, second }) => {
            let [first, second] =
                [first, second].map(|name| windows[name.parse::<usize>().unwrap()]);
            assert!(overlap(first, second), "{first:x?} and {second:x?} do not overlap");
            return;
        }
        Err(BusError::Empty { .. } | BusError::PastEnd { .. }) => return assert!(bad),
    };
    assert!(!bad);
    for (number, &one) in windows.iter().enumerate() {
        assert!(windows[..number].iter().all(|&other| !overlap(one, other)));
    }
    let listed: Vec<_> = bus.windows().map(|window| window.gpa).collect();
    assert!(listed.is_sorted() && listed.len() == windows.len());
    let mut near = Near::default();
    while !input.is_empty() {
        let width = input.width();
        let gpa = match windows.get(input.below(windows.len() + 1)) {
            // Around one of its ends.
            Some(&(start, size)) => {
                let end = if input.bool() { start } else { start.wrapping_add(size) };
                end.wrapping_add(usize::from(input.u8())).wrapping_sub(128)
            }
            None => input.u64() as usize,
        };
        let claims = |&(_, &(start, size)): &(usize, &(usize, usize))| {
            let offset = gpa.wrapping_sub(start);
            gpa >= start && offset < size && size - offset >= width.bytes()
        };
        let expected = windows.iter().enumerate().find(claims).map(|(number, &(start, _))| {
            (number as u64) << 48 | (gpa - start) as u64 & 0xffff_ffff_ffff
        });
        let gpa = GuestPhysAddr::from_usize(gpa);
        let read = bus.read(&mut near, gpa, width, 0);
        assert_eq!(read, expected.map(|value| value & width.mask()), "{gpa:?}");
        assert_eq!(bus.write(&mut near, gpa, width, 0, 0), expected.map(|_| ()));
    }
}

fn overlap(one: (usize, usize), other: (usize, usize)) -> bool {
    let last = |(start, size): (usize, usize)| start.saturating_add(size.saturating_sub(1));
    one.0 <= last(other) && other.0 <= last(one)
}
