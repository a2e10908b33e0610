//! The host's memory as a whole.

use std::fs;

/// Bytes that are no longer available; `None` if the kernel does not report them.
#[must_use]
pub fn used() -> Option<u64> {
    let (total, available) = read()?;
    Some(total.saturating_sub(available))
}

/// Bytes in all, and those that are available.
#[must_use]
pub fn read() -> Option<(u64, u64)> {
    parse(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse(text: &str) -> Option<(u64, u64)> {
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some((of("MemTotal:")?, of("MemAvailable:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read() {
        let text = "MemTotal:       24000 kB\nMemFree:         100 kB\nMemAvailable:    9000 kB\n";
        assert_eq!(parse(text), Some((24_000 * 1024, 9_000 * 1024)));
        assert_eq!(parse("MemTotal: x kB"), None);
        assert!(used() > Some(0));
    }
}
