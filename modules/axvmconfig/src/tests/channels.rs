//! Channels: where they are, what they ring, what is refused.

use std::{format, string::String, vec::Vec};

use super::{SMALLEST, refusal, vm_with};
use crate::{ChannelAccess, MAX_CHANNELS};

const FIRST: &str = "[[channel]]\nname = \"c0\"\nsize = \"64K\"\npeers = [\"a\", \"b\"]\n";

#[test]
fn channels_follow_each_other_in_memory_and_in_interrupts() {
    let text = format!(
        "{FIRST}[[channel]]\nname = \"c1\"\nsize = 4096\npeers = [\"a\"]\naccess = \"r\"\n"
    );
    let channels = vm_with(&text).devices.channels;
    let [first, second] = &channels[..] else { panic!("{channels:?}") };
    assert_eq!((first.gpa, first.size, first.irq_id), (0x0b00_0000, 0x1_0000, 240));
    assert_eq!((second.gpa, second.size, second.irq_id), (0x0b01_0000, 0x1000, 241));
    assert_eq!((first.access, second.access), (ChannelAccess::ReadWrite, ChannelAccess::Read));
    assert_eq!(first.peers, ["a", "b"]);
    let rows = "channels = [[\"c0\", \"64K\", [\"a\", \"b\"]], [\"c1\", 4096, [\"a\"], \"r\"]]\n";
    assert_eq!(vm_with(rows).devices.channels, channels);
}

#[test]
fn what_is_wrong_with_a_channel_is_said() {
    for (from, to, message) in [
        ("name = \"c0\"\n", "", "channel[0] has no name"),
        ("size = \"64K\"\n", "", "channel[0] has no size"),
        ("peers = [\"a\", \"b\"]\n", "", "channel[0] has no peers"),
        ("64K", "63K", "channel[0].size cannot be 0xfc00"),
        ("64K", "0", "channel[0].size cannot be 0"),
        ("64K", "17M", "channel[0].size is 0x1100000, more than channels have room for"),
        ("\"a\", \"b\"", "", "channel[0].peers has 0 items"),
        ("\"b\"", "\"a\"", "\"a\" is named twice"),
        ("\"b\"", "\"linux\"", "channel[0].peers[1] is the VM itself"),
        ("\"b\"", "\"\"", "channel[0].peers[1] cannot be \"\""),
        ("\"b\"", "1, 2, 3, 4, 5, 6, 7, 8", "channel[0].peers has 9 items"),
        ("peers", "access = \"w\"\npeers", "unknown channel access \"w\""),
        ("size", "irq = 240\nsize", "unknown key \"irq\""),
    ] {
        let text = FIRST.replace(from, to);
        assert_ne!(text, FIRST);
        assert_eq!(refusal(&format!("{SMALLEST}{text}")).message, message);
    }
    let twice = refusal(&format!("{SMALLEST}{FIRST}{FIRST}"));
    assert_eq!(twice.message, "two channels are called \"c0\"");
}

#[test]
fn channels_have_room_for_so_many_and_share_it_with_nobody() {
    let named = |number| FIRST.replace("c0", &format!("c{number}"));
    let most: String = (0..MAX_CHANNELS).map(named).collect();
    let irqs: Vec<_> = vm_with(&most).devices.channels.iter().map(|one| one.irq_id).collect();
    assert_eq!(irqs.last(), Some(&255));
    let many = refusal(&format!("{SMALLEST}{most}{}", named(16)));
    assert_eq!(many.message, "channel[16] is one channel too many");
    let two = format!("{}{}", FIRST.replace("64K", "15M"), named(1).replace("64K", "2M"));
    assert!(refusal(&format!("{SMALLEST}{two}")).hint.contains("0x100000 bytes are left"));
    let device = "[[device]]\ntype = \"dummy\"\nbase = 0x0b00_0000\nlength = 8\n";
    let error = refusal(&format!("{SMALLEST}{device}{FIRST}"));
    assert!(error.message.contains("channel[0] overlaps device[0]"), "{error}");
    let rings = device.replace("0x0b00", "0x0c00") + "irq = 240\n";
    assert_eq!(refusal(&format!("{SMALLEST}{rings}{FIRST}")).message, "interrupt 240 is taken");
    let passed = "[[passthrough]]\nbase = 0x0c00_0000\nlength = 0x1000\nirq = 240\n";
    assert_eq!(refusal(&format!("{SMALLEST}{passed}{FIRST}")).message, "interrupt 240 is taken");
    let here = refusal(&format!("{SMALLEST}entry_point = 0x0b00_0000\n{FIRST}"));
    assert!(here.message.contains("where the guest has no memory"), "channels are no RAM");
}
