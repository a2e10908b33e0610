//! How many descriptors the process may have, and how many it has.

use std::fs;

/// Raises the soft limit of open descriptors to the hard one, as every process that holds many sockets should; returns
/// what it is now. Where the kernel refuses, the limit stays what it was.
#[must_use]
pub fn raise_descriptors_max() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX)
        .or_else(|_| rlimit::getrlimit(rlimit::Resource::NOFILE).map(|(soft, _)| soft))
        .unwrap_or(0)
}

/// How many descriptors the process has open, `None` where the kernel does not tell.
#[must_use]
pub fn descriptors_open() -> Option<u64> {
    // The folder itself is one of them while it is read.
    fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1))
}
