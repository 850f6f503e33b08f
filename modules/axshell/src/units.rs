//! Sizes, times and shares, as typed and as shown.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

const SIZES: [(char, u32); 4] = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];

/// The bytes `text` means: a number, with K, M, G or T in either case for powers of 1024.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?.to_ascii_uppercase();
    let shift = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, shift)| *shift);
    let digits = if shift.is_some() { text.get(..text.len().checked_sub(1)?)? } else { text };
    parse_number(digits)?.checked_mul(1 << shift.unwrap_or(0))
}

/// The time `text` means: a number with `ms`, `s`, `m` or `h`, or of seconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let strip = |(unit, ms)| text.strip_suffix(unit).map(|digits| (digits, ms));
    let (digits, unit_ms) = units.into_iter().find_map(strip).unwrap_or((text, 1000));
    parse_number(digits)?.checked_mul(unit_ms).map(Duration::from_millis)
}

/// The number `text` means: decimal digits and nothing else.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// The number `text` means: decimal digits, or hexadecimal ones behind `0x`.
pub(crate) fn parse_address(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => parse_number(text),
    }
}

/// `bytes` in whole units of the largest that leaves at least one.
pub(crate) fn rounded(bytes: u64) -> String {
    let unit = SIZES.into_iter().rev().find(|(_, shift)| bytes >> shift > 0);
    unit.map_or_else(|| format!("{bytes}"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

/// `bytes` with the largest unit that leaves a whole number, or one decimal when that number gets long.
pub(crate) fn size(bytes: u64) -> String {
    for (unit, shift) in SIZES.into_iter().rev() {
        let one = 1u64 << shift;
        let (whole, rest) = (bytes >> shift, bytes & one.wrapping_sub(1));
        if whole > 0 && rest == 0 {
            return format!("{whole}{unit}");
        }
        if whole >= 10 {
            // Just above a tenth, so that there are nine of them at most.
            let tenths = rest.checked_div((one / 10).saturating_add(1)).unwrap_or(0);
            return format!("{whole}.{tenths}{unit}");
        }
    }
    format!("{bytes}")
}

/// `ns` as a time a person reads: `4.2s`, `3m05s`, `2h03m`, `5d02h`.
pub(crate) fn time(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}.{}s", ns / 100_000_000 % 10),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// `permille` in percent.
pub(crate) fn percent(permille: u32) -> String {
    format!("{}.{}%", permille / 10, permille % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_a_unit_and_never_overflow() {
        assert_eq!(parse_size("512M"), Some(512 << 20));
        assert_eq!(parse_size("1g"), Some(1 << 30));
        assert_eq!(parse_size("4096"), Some(4096));
        for bad in ["", "M", "-1M", "+1M", "1.5G", "1MM", "99999999999T", "5€", "€"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_are_decimal_or_hexadecimal() {
        assert_eq!(parse_address("0x4000_0000"), None);
        assert_eq!(parse_address("0x40000000"), Some(1 << 30));
        assert_eq!(parse_address("4096"), Some(4096));
        for bad in ["", "0x", "0x+1", "-1", "0x10000000000000000", "x"] {
            assert_eq!(parse_address(bad), None, "{bad}");
        }
        assert_eq!((rounded(1), rounded((3 << 20) + 5)), ("1".into(), "3M".into()));
    }

    #[test]
    fn durations_take_a_unit_and_never_overflow() {
        assert_eq!(parse_duration("5s"), Some(Duration::from_secs(5)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(parse_duration("3"), Some(Duration::from_secs(3)));
        for bad in ["", "s", "ms", "-1s", "1.5s", "18446744073709551615h"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_shown_exactly_when_they_are_round() {
        assert_eq!(size(512 << 20), "512M");
        assert_eq!(size(1536 << 20), "1536M");
        assert_eq!(size((100 << 30) + (512 << 10)), "100.0G");
        assert_eq!(size(0), "0");
        assert_eq!(size(u64::MAX), "16777215.9T");
    }

    #[test]
    fn times_have_two_units_at_most() {
        assert_eq!(time(4_250_000_000), "4.2s");
        assert_eq!(time(185_000_000_000), "3m05s");
        assert_eq!(time(7_380_000_000_000), "2h03m");
        assert_eq!(time(439_200_000_000_000), "5d02h");
        assert_eq!(percent(1255), "125.5%");
    }
}
