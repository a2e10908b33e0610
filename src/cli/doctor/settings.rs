//! The kernel settings that a number of connections needs, what each allows, and what it costs.
//!
//! `scripts/tune.sh` holds the same table for hosts where the gateway is not installed yet; `tests/tune.rs` compares the
//! two, line by line.

use std::fmt::Write;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The sysctl, or `nofile` for `RLIMIT_NOFILE`.
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) allows: String,
    pub(super) costs: &'static str,
}

impl Setting {
    /// The line that sets a sysctl.
    pub(super) fn sysctl(&self) -> String {
        if self.value.contains(' ') {
            format!("sysctl -w {}=\"{}\"", self.name, self.value)
        } else {
            format!("sysctl -w {}={}", self.name, self.value)
        }
    }
}

/// Every setting for `wanted` connections, in the order in which they are raised.
pub(super) fn table(wanted: u64) -> Vec<Setting> {
    let files = files(wanted);
    let tw_buckets = tw_buckets(wanted);
    vec![
        Setting {
            name: "fs.nr_open",
            value: files.to_string(),
            allows: format!("{wanted} connections: as many files as root may give a process"),
            costs: "nothing until they are open",
        },
        Setting {
            name: "nofile",
            value: files.to_string(),
            allows: format!("{wanted} connections in one process"),
            costs: "8 bytes of descriptor table for each that is open",
        },
        Setting {
            name: "fs.file-max",
            value: (files + FILES_ELSEWHERE).to_string(),
            allows: format!("{wanted} connections, and {FILES_ELSEWHERE} files of everybody else"),
            costs: "nothing until they are open",
        },
        conntrack(wanted),
        tcp_mem(wanted),
        Setting {
            name: "net.core.somaxconn",
            value: BACKLOG.to_string(),
            allows: format!("{BACKLOG} connections that wait to be accepted when many come at once"),
            costs: "about 4 KiB for each that waits",
        },
        Setting {
            name: "net.ipv4.tcp_max_tw_buckets",
            value: tw_buckets.to_string(),
            allows: format!("{tw_buckets} connections just closed by this side that are remembered"),
            costs: "256 bytes for each that is remembered",
        },
        Setting {
            name: "net.ipv4.ip_local_port_range",
            value: "1024 65535".to_owned(),
            allows: format!("{PORTS} outgoing connections from one address to one port (load clients)"),
            costs: "services of this host must not listen on ports that are handed out",
        },
    ]
}

/// The table as text: a line each, of name, value, what it allows and what it costs, with a tab in between.
pub(super) fn text(wanted: u64) -> String {
    table(wanted).iter().fold(String::new(), |mut text, setting| {
        let Setting { name, value, allows, costs } = setting;
        let _ = writeln!(text, "{name}\t{value}\t{allows}\t{costs}");
        text
    })
}

/// One setting of the table.
///
/// # Panics
/// If the table has none of this name.
pub(super) fn named(wanted: u64, name: &str) -> Setting {
    let setting = table(wanted).into_iter().find(|setting| setting.name == name);
    setting.expect("callers name what stands in the table")
}

/// Open files of a process with so many connections.
pub(super) fn files(wanted: u64) -> u64 {
    wanted + FILES_SPARE
}

/// Closed connections to remember: a tenth leaving at once.
pub(super) fn tw_buckets(wanted: u64) -> u64 {
    (wanted / 10).max(TW_BUCKETS_MIN)
}

fn conntrack(wanted: u64) -> Setting {
    Setting {
        name: "net.netfilter.nf_conntrack_max",
        value: (wanted + wanted / 4).to_string(),
        allows: format!("{wanted} connections, where they are tracked, and a quarter for those that linger"),
        costs: "256 bytes for each that is tracked; not tracking the port costs none",
    }
}

/// An idle connection holds no page of it, one with an unread message holds one.
fn tcp_mem(wanted: u64) -> Setting {
    Setting {
        name: "net.ipv4.tcp_mem",
        value: format!("{} {wanted} {}", wanted * 3 / 4, wanted + wanted / 2),
        allows: format!("{wanted} connections with a message on its way at once"),
        costs: "4 KiB a page while bytes are queued; it reserves nothing",
    }
}

/// Descriptors that the gateway needs besides its connections.
pub(super) const FILES_SPARE: u64 = 128;

/// Open files left to the rest of the host.
const FILES_ELSEWHERE: u64 = 65_536;

/// Connections that may wait to be accepted when everybody comes back at once.
pub(super) const BACKLOG: u64 = 4096;

/// Fewer closed connections need not be remembered.
const TW_BUCKETS_MIN: u64 = 8192;

/// Ports from 1024 on.
const PORTS: u64 = 64_512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_four_fields_and_a_name_of_its_own() {
        for wanted in [1, 10_000, 100_000_000] {
            let text = text(wanted);
            let mut names: Vec<&str> = text.lines().filter_map(|line| line.split('\t').next()).collect();
            assert!(text.lines().all(|line| line.split('\t').count() == 4), "{text}");
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), table(wanted).len());
        }
    }

    #[test]
    fn a_sysctl_of_several_numbers_is_quoted() {
        assert_eq!(named(100_000, "net.ipv4.tcp_mem").sysctl(), "sysctl -w net.ipv4.tcp_mem=\"75000 100000 150000\"");
        assert_eq!(named(100_000, "fs.nr_open").sysctl(), "sysctl -w fs.nr_open=100128");
    }
}
