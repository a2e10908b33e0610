//! The cost of a run: memory and CPU of the processes involved, and the kernel's own memory, read from `/proc`.
//!
//! The only room that reads `/proc`, and what a gateway says of itself at `/metrics`. What cannot be read is `None`, never a zero. Tests: beside the code.

pub mod gateway;
pub mod host;
pub mod process;
pub mod slab;

use std::fs;

/// This host as `/proc` describes it, for a report.
#[must_use]
pub fn kernel() -> String {
    let version = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    version.trim().to_owned()
}

/// The name of this host's processor; what it is built for, where the kernel has no name for it.
#[must_use]
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let name = name.trim_start_matches([' ', '\t', ':']).to_owned();
    if name.is_empty() { std::env::consts::ARCH.to_owned() } else { name }
}

/// Descriptors that a process of this host may have open.
#[must_use]
pub fn descriptors_max() -> u32 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    descriptors_in(&limits).unwrap_or(1024)
}

fn descriptors_in(limits: &str) -> Option<u32> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u32::MAX),
        soft => soft.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_descriptors_is_the_soft_one() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max open files            20000                524288               files     \n";
        assert_eq!(descriptors_in(limits), Some(20_000));
        assert_eq!(descriptors_in("Max open files  unlimited unlimited files"), Some(u32::MAX));
        assert_eq!(descriptors_in(""), None);
    }
}
