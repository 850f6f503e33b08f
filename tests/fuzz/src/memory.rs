//! Host memory and guest memory: the frame pool and an address space, each compared with a list of pages.

use std::cell::RefCell;

use axaddrspace::{
    AddrSpace, FramePool, GuestMemoryHal, GuestPhysAddr, HostPhysAddr, HostVirtAddr, MappingFlags,
    PagingHandler,
};

use crate::input::Input;

const PAGE: usize = 0x1000;
/// Where host memory begins: in the middle of 2 MiB, so that blocks need luck.
const HOST: usize = 0x8010_0000;

/// Any donations, allocations and returns.
pub(crate) fn pool(data: &[u8]) {
    let mut input = Input::new(data);
    let mut pool = FramePool::new();
    // For each of 4096 pages: not donated, free, taken.
    let mut pages = vec![None; 4096];
    while !input.is_empty() {
        let first = usize::from(input.u16()) % 4200;
        let count = if input.bool() { input.below(8) } else { input.below(2048) };
        let range = first.min(4096)..(first + count).min(4096);
        let (base, size) = (HostPhysAddr::from_usize(HOST + first * PAGE), count * PAGE);
        let whole = count != 0 && first + count <= 4096;
        let all = |pages: &[Option<bool>], wanted| {
            whole && pages[range.clone()].iter().all(|page| *page == wanted)
        };
        match input.u8() % 5 {
            0 => {
                // A donation may lie beyond what the model knows.
                if first + count > 4096 {
                    continue;
                }
                let done = pool.donate(base, size).is_ok();
                assert_eq!(done, all(&pages, None));
                if done {
                    pages[range].fill(Some(true));
                }
            }
            1 => {
                let align = 1 << input.below(26);
                let fits = |at: &usize| {
                    (HOST + at * PAGE).is_multiple_of(align.max(PAGE))
                        && pages
                            .get(*at..at + count)
                            .is_some_and(|pages| pages.iter().all(|page| *page == Some(true)))
                };
                let possible = count != 0 && (0..4096).any(|at| fits(&at));
                match pool.alloc(size.saturating_sub(usize::from(input.u8())), align) {
                    Some(base) => {
                        let at = (base.as_usize() - HOST) / PAGE;
                        assert!(fits(&at), "{base:?} is not free or not aligned");
                        pages[at..at + count].fill(Some(false));
                    }
                    None => assert!(!possible),
                }
            }
            2 => {
                let done = pool.alloc_at(base, size).is_ok();
                assert_eq!(done, all(&pages, Some(true)));
                if done {
                    pages[range].fill(Some(false));
                }
            }
            _ => {
                let done = pool.free(base, size).is_ok();
                assert_eq!(done, all(&pages, Some(false)));
                if done {
                    pages[range].fill(Some(true));
                }
            }
        }
        let free = pages.iter().filter(|page| **page == Some(true)).count() * PAGE;
        assert_eq!(pool.free_bytes(), free);
        assert_eq!(pool.total_bytes(), pages.iter().flatten().count() * PAGE);
        let runs: Vec<_> = pool.free_ranges().collect();
        assert_eq!(runs.iter().map(|(_, size)| size).sum::<usize>(), free);
        assert!(runs.windows(2).all(|two| two[0].0.as_usize() + two[0].1 < two[1].0.as_usize()));
        assert_eq!(
            runs.iter().map(|(_, size)| *size).max().unwrap_or(0),
            pool.largest_free_block()
        );
    }
}

/// The host of this thread.
struct Machine {
    memory: Vec<u64>,
    pool: FramePool,
    /// What was zeroed and not written since is known to be zero; all else is dirt.
    frames: usize,
}

const HOST_PAGES: usize = 1300;

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::new(Machine {
        memory: vec![0; (HOST_PAGES + 1) * PAGE / 8],
        pool: FramePool::new(),
        frames: 0,
    });
}

struct Host;

impl PagingHandler for Host {
    fn alloc_frames(count: usize, align: usize) -> Option<HostPhysAddr> {
        MACHINE.with_borrow_mut(|machine| {
            let base = machine.pool.alloc(count * PAGE, align)?;
            machine.frames += count;
            Some(base)
        })
    }

    fn dealloc_frames(base: HostPhysAddr, count: usize) {
        MACHINE.with_borrow_mut(|machine| {
            machine.pool.free(base, count * PAGE).expect("it was taken");
            machine.frames -= count;
        });
    }

    fn phys_to_virt(base: HostPhysAddr) -> HostVirtAddr {
        let offset = base.as_usize().checked_sub(HOST).filter(|offset| *offset < HOST_PAGES * PAGE);
        let offset = offset.expect("an address of host memory");
        MACHINE.with_borrow_mut(|machine| {
            let first = machine.memory.as_mut_ptr().expose_provenance().next_multiple_of(PAGE);
            (first + offset).into()
        })
    }
}

fn fill(base: HostPhysAddr, size: usize, byte: u8) {
    let first = Host::phys_to_virt(base).as_usize();
    MACHINE.with_borrow_mut(|machine| {
        let start = (first - machine.memory.as_ptr().addr()) / 8;
        machine.memory[start..start + size / 8].fill(u64::from_ne_bytes([byte; 8]));
    });
}

impl GuestMemoryHal for Host {
    fn zero(base: HostPhysAddr, size: usize) {
        fill(base, size, 0);
    }

    fn publish(_: HostPhysAddr, _: usize) {}

    fn invalidate_stage2(_: HostPhysAddr, _: GuestPhysAddr, _: usize) {}
}

/// One guest page as it should be.
#[derive(Clone)]
struct Page {
    flags: MappingFlags,
    /// Where it is, if that was said.
    linear: Option<usize>,
    /// What it holds, empty for zeros; pages of the host's own are shared with whoever maps them too, and are left out.
    bytes: Option<Vec<u8>>,
}

/// The guest's addresses: 2400 pages, which reach over four 2 MiB blocks, in the middle of a 1 GiB block's end.
const GUEST: usize = 0x3fe0_0000;
const GUEST_PAGES: usize = 2400;

/// Any mappings, copies, values and faults. All memory comes back.
pub(crate) fn space(data: &[u8]) {
    MACHINE.with_borrow_mut(|machine| {
        machine.pool = FramePool::new();
        machine.pool.donate(HOST.into(), HOST_PAGES * PAGE).unwrap();
        machine.frames = 0;
    });
    let mut space = AddrSpace::<Host>::new_empty(0.into(), 1 << 39).unwrap();
    let mut pages: Vec<Option<Page>> = vec![None; GUEST_PAGES];
    let mut input = Input::new(data);
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        step(&mut input, &mut space, &mut pages);
    }
    for (number, page) in pages.iter().enumerate() {
        let found = space.translate((GUEST + number * PAGE).into());
        match (page, found) {
            (None, found) => assert_eq!(found, None),
            (Some(page), Some((at, flags, _))) => {
                assert_eq!(flags, page.flags);
                assert!(page.linear.is_none_or(|linear| linear == at.as_usize()));
            }
            (Some(_), None) => panic!("page {number} is lost"),
        }
    }
    let regions: usize = space.regions().map(|region| region.size / PAGE).sum();
    assert_eq!(regions, pages.iter().flatten().count(), "the regions say what the tables say");
    drop(space);
    MACHINE.with_borrow(|machine| {
        assert_eq!(machine.frames, 0, "frames are lost");
        assert_eq!(machine.pool.free_bytes(), HOST_PAGES * PAGE);
    });
}

fn step(input: &mut Input<'_>, space: &mut AddrSpace<Host>, pages: &mut [Option<Page>]) {
    use MappingFlags as F;
    let rwx = F::READ | F::WRITE | F::EXECUTE;
    let what = input.u8();
    let first = usize::from(input.u16()) % GUEST_PAGES;
    let count = match input.u8() {
        few @ 0..128 => usize::from(few) % 5,
        many => usize::from(many - 128) * 12,
    };
    let count = count.min(GUEST_PAGES - first);
    let range = first..first + count;
    let (gpa, size) = (GuestPhysAddr::from_usize(GUEST + first * PAGE), count * PAGE);
    let is_free = count != 0 && pages[range.clone()].iter().all(Option::is_none);
    match what % 7 {
        0 => {
            let flags =
                input.one_of(&[rwx, F::READ | F::WRITE, F::READ, F::READ | F::EXECUTE, F::empty()]);
            let before = space.translate(gpa);
            let mapped = space.map_alloc(gpa, size, flags).is_ok();
            assert!(!mapped || is_free && flags != F::empty());
            if mapped {
                let page = Page { flags, linear: None, bytes: Some(Vec::new()) };
                pages[range].fill(Some(page));
            } else {
                assert_eq!(space.translate(gpa), before);
            }
        }
        1 => {
            // Beyond the host's memory: nothing is to reach there.
            let to = 0x40_0000_0000 + (input.below(1024) * PAGE);
            let flags = input.one_of(&[rwx, F::READ | F::WRITE | F::DEVICE]);
            let mapped = space.map_linear(gpa, to.into(), size, flags).is_ok();
            assert!(!mapped || is_free);
            if mapped {
                for (number, page) in pages[range].iter_mut().enumerate() {
                    *page = Some(Page { flags, linear: Some(to + number * PAGE), bytes: None });
                }
            }
        }
        2 => {
            let there = count != 0 && pages[range.clone()].iter().all(Option::is_some);
            let unmapped = space.unmap(gpa, size).is_ok();
            assert!(!unmapped || there, "a gap was unmapped");
            if unmapped {
                pages[range].fill(None);
            }
        }
        3 | 4 => copy(input, space, pages, what % 7 == 3),
        5 => value(input, space, pages),
        _ => {
            let at = gpa.as_usize() + usize::from(input.u16()) % PAGE;
            let found = space.translate(at.into()).map(|(at, flags, _)| (at, flags));
            let page = pages[first].as_ref();
            assert_eq!(found.map(|(_, flags)| flags), page.map(|page| page.flags));
            if let (Some((hpa, _)), Some(linear)) = (found, page.and_then(|page| page.linear)) {
                assert_eq!(hpa.as_usize(), linear + at % PAGE);
            }
        }
    }
}

/// A place for a copy: near a page's end as often as not, and sometimes where nothing is.
fn place(input: &mut Input<'_>) -> usize {
    let page = usize::from(input.u16()) % (GUEST_PAGES + 2);
    let offset = if input.bool() { PAGE - input.below(32) } else { input.below(PAGE) };
    match input.u8() {
        255 => input.u64() as usize,
        _ => GUEST + page * PAGE + offset - PAGE * usize::from(page > GUEST_PAGES),
    }
}

/// The bytes `[at, at + len)`, if all of them are the guest's memory and `allowed`.
fn bytes_of(
    pages: &[Option<Page>],
    at: usize,
    len: usize,
    allowed: impl Fn(&Page) -> bool,
) -> Option<Vec<u8>> {
    (0..len)
        .map(|n| {
            let offset = at.checked_add(n)?.checked_sub(GUEST)?;
            let page = pages.get(offset / PAGE)?.as_ref().filter(|page| allowed(page))?;
            Some(page.bytes.as_ref()?.get(offset % PAGE).copied().unwrap_or(0))
        })
        .collect()
}

fn set(pages: &mut [Option<Page>], at: usize, data: &[u8]) {
    for (n, byte) in data.iter().enumerate() {
        let offset = at + n - GUEST;
        let page = pages[offset / PAGE].as_mut().unwrap().bytes.as_mut().unwrap();
        page.resize(PAGE, 0);
        page[offset % PAGE] = *byte;
    }
}

/// Whether a range touches memory that is mapped but not the host's: the model cannot say what is there.
fn reaches_linear(pages: &[Option<Page>], at: usize, len: usize) -> bool {
    let page = |at: usize| pages.get(at.checked_sub(GUEST)? / PAGE)?.as_ref();
    let foreign = |page: &Page| page.linear.is_some() && !page.flags.contains(MappingFlags::DEVICE);
    (at..at.saturating_add(len.max(1)))
        .step_by(16)
        .chain([at.saturating_add(len)])
        .any(|at| page(at).is_some_and(foreign))
}

fn copy(input: &mut Input<'_>, space: &AddrSpace<Host>, pages: &mut [Option<Page>], reads: bool) {
    let at = place(input);
    let len = if input.bool() { input.below(20) } else { input.below(3 * PAGE) };
    if reaches_linear(pages, at, len) {
        return;
    }
    if reads {
        let mut out = vec![0xee; len];
        let done = space.read(at.into(), &mut out).is_ok();
        let expected = bytes_of(pages, at, len, |_| true);
        assert_eq!(done.then_some(&out), expected.as_ref(), "{at:#x} {len}");
        assert!(done || out.iter().all(|byte| *byte == 0xee), "a refused copy changes nothing");
        return;
    }
    let data: Vec<u8> = input.bytes(len).to_vec();
    let is_image = input.bool();
    let allowed = |page: &Page| is_image || page.flags.contains(MappingFlags::WRITE);
    let expected = bytes_of(pages, at, data.len(), allowed).is_some();
    let done =
        if is_image { space.write_image(at.into(), &data) } else { space.write(at.into(), &data) };
    assert_eq!(done.is_ok(), expected, "{at:#x} {done:?}");
    if expected && !data.is_empty() {
        set(pages, at, &data);
    }
}

fn value(input: &mut Input<'_>, space: &AddrSpace<Host>, pages: &mut [Option<Page>]) {
    let (at, value) = (place(input), input.u64());
    if reaches_linear(pages, at, 8) {
        return;
    }
    let known = bytes_of(pages, at, 8, |_| true).filter(|_| at % 8 == 0);
    let number = known.clone().map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    assert_eq!(space.read_of::<u64>(at.into()).ok(), number);
    let low = known.as_ref().map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    assert!(low.is_none() || space.read_of::<u16>(at.into()).ok() == low);
    let writable = bytes_of(pages, at, 8, |page| page.flags.contains(MappingFlags::WRITE));
    let done = space.write_of::<u64>(at.into(), value).is_ok();
    assert_eq!(done, writable.is_some() && at % 8 == 0);
    if done {
        set(pages, at, &value.to_le_bytes());
    }
}
