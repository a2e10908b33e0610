//! The resources that the process uses, as the kernel tells them.

use std::fs;

use crate::metrics::ProcessUsage;

/// The resources that the process uses now; zero where the kernel does not tell.
#[must_use]
pub fn process_usage() -> ProcessUsage {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot_s = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0.0);
    // Since Linux 6.2 the size of the folder is their number; it is 0 before.
    let open_files = fs::metadata("/proc/self/fd").ok().map(|folder| folder.len()).filter(|count| *count > 0);
    let open_files_max = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(0, |(soft, _)| soft);
    ProcessUsage { open_files, open_files_max, ..parse(&stat, boot_s) }
}

/// Reads the line of `/proc/self/stat`. [proc_pid_stat(5)]
fn parse(stat: &str, boot_s: f64) -> ProcessUsage {
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    // The first is the third of the page.
    let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    ProcessUsage {
        cpu_s: (field(14) + field(15)) as f64 / TICKS_PER_SECOND,
        start_time_s: boot_s + field(22) as f64 / TICKS_PER_SECOND,
        threads: field(20),
        virtual_len: field(23),
        resident_len: field(24) * PAGE_LEN,
        ..ProcessUsage::default()
    }
}

/// The unit of such times in the kernel, on every architecture of today (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Bytes of a page, on every architecture that this is built for.
const PAGE_LEN: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read_whatever_the_name_is() {
        let line =
            "42 (a) b (c) S 1 42 42 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 7 0 1000 8192000 300 18446744073709551615";
        let usage = parse(line, 1_000.0);
        assert_eq!((usage.cpu_s, usage.start_time_s, usage.threads), (2.0, 1_010.0, 7));
        assert_eq!((usage.virtual_len, usage.resident_len), (8_192_000, 300 * 4096));
        assert_eq!(parse("", 0.0), ProcessUsage::default());
    }

    #[test]
    fn this_process_uses_something() {
        let usage = process_usage();
        assert!(usage.resident_len > 0 && usage.threads > 0 && usage.open_files_max > 0, "{usage:?}");
        assert!(usage.start_time_s > 1e9, "{usage:?}");
    }
}
