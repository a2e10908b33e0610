//! This host as the kernel describes it, read from `/proc` under any root.

use std::fs;
use std::path::Path;

use crate::driver::meminfo_len;

/// The values that could be read; the others are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    /// Open files of a process (`RLIMIT_NOFILE`), now.
    pub(super) files_soft: Option<u64>,
    /// Open files of a process, up to where it may raise them itself.
    pub(super) files_hard: Option<u64>,
    /// `fs.nr_open`: up to where root may raise them.
    pub(super) nr_open: Option<u64>,
    /// `fs.file-max`: open files of the whole host.
    pub(super) file_max: Option<u64>,
    /// Open files of the whole host, now.
    pub(super) files_open: Option<u64>,
    /// `net.core.somaxconn`: connections that wait to be accepted.
    pub(super) somaxconn: Option<u64>,
    /// `net.ipv4.tcp_mem`: pages from which TCP saves, presses and refuses.
    pub(super) tcp_mem: Option<[u64; 3]>,
    /// `net.ipv4.ip_local_port_range`: the first and the last port of outgoing connections.
    pub(super) port_range: Option<[u64; 2]>,
    /// `net.ipv4.tcp_max_tw_buckets`: closed connections that are remembered.
    pub(super) tw_buckets_max: Option<u64>,
    /// `net.netfilter.nf_conntrack_max`, where connections are tracked.
    pub(super) conntrack_max: Option<u64>,
    /// Bytes of memory that can be had without swapping.
    pub(super) memory_available: Option<u64>,
}

impl Host {
    /// Reads what is there under `root`.
    pub(super) fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let numbers = |path: &str| text(path).map(|text| all_numbers(&text)).unwrap_or_default();
        let number = |path: &str| numbers(path).first().copied();
        let limits = text("proc/self/limits").unwrap_or_default();
        let [files_soft, files_hard] = open_files(&limits);
        Self {
            files_soft,
            files_hard,
            nr_open: number("proc/sys/fs/nr_open"),
            file_max: number("proc/sys/fs/file-max"),
            files_open: number("proc/sys/fs/file-nr"),
            somaxconn: number("proc/sys/net/core/somaxconn"),
            tcp_mem: numbers("proc/sys/net/ipv4/tcp_mem").try_into().ok(),
            port_range: numbers("proc/sys/net/ipv4/ip_local_port_range").try_into().ok(),
            tw_buckets_max: number("proc/sys/net/ipv4/tcp_max_tw_buckets"),
            conntrack_max: number("proc/sys/net/netfilter/nf_conntrack_max"),
            memory_available: text("proc/meminfo").and_then(|meminfo| meminfo_len(&meminfo, "MemAvailable")),
        }
    }
}

fn all_numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().map_while(|word| word.parse().ok()).collect()
}

/// The soft and the hard limit of `Max open files`.
fn open_files(limits: &str) -> [Option<u64>; 2] {
    let row = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    let mut words = row.split_whitespace().map(|word| match word {
        "unlimited" => Some(u64::MAX),
        word => word.parse().ok(),
    });
    [words.next().flatten(), words.next().flatten()]
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A root of its own, removed at the end.
    struct Root(PathBuf);

    impl Root {
        fn with(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("fanwire-doctor-{}-{name}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                fs::write(path, text).expect("written");
            }
            Self(root)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_host_is_read_from_its_files() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max processes             unlimited            unlimited            processes \n\
            Max open files            1024                 20000                files     \n";
        let root = Root::with(
            "whole",
            &[
                ("proc/self/limits", limits),
                ("proc/sys/fs/nr_open", "1048576\n"),
                ("proc/sys/fs/file-max", "9223372036854775807\n"),
                ("proc/sys/fs/file-nr", "1216\t0\t9223372036854775807\n"),
                ("proc/sys/net/core/somaxconn", "4096\n"),
                ("proc/sys/net/ipv4/tcp_mem", "281457\t375277\t562914\n"),
                ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
                ("proc/sys/net/ipv4/tcp_max_tw_buckets", "131072\n"),
                ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
                ("proc/meminfo", "MemTotal:       24 kB\nMemAvailable:   23456 kB\n"),
            ],
        );
        let expected = Host {
            files_soft: Some(1024),
            files_hard: Some(20_000),
            nr_open: Some(1 << 20),
            file_max: Some(i64::MAX as u64),
            files_open: Some(1216),
            somaxconn: Some(4096),
            tcp_mem: Some([281_457, 375_277, 562_914]),
            port_range: Some([32_768, 60_999]),
            tw_buckets_max: Some(131_072),
            conntrack_max: Some(262_144),
            memory_available: Some(23_456 * 1024),
        };
        assert_eq!(Host::read(&root.0), expected);
    }

    #[test]
    fn what_is_not_there_or_not_understood_is_unknown() {
        assert_eq!(Host::read(Path::new("/nonexistent")), Host::default());
        let root = Root::with(
            "odd",
            &[
                ("proc/self/limits", "Max open files            unlimited            what\n"),
                ("proc/sys/net/ipv4/tcp_mem", "1 2\n"),
                ("proc/sys/fs/nr_open", "\n"),
                ("proc/meminfo", "MemAvailable: lots kB\n"),
            ],
        );
        assert_eq!(Host::read(&root.0), Host { files_soft: Some(u64::MAX), ..Host::default() });
    }
}
