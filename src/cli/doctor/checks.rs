//! Checks of a host's settings for a number of connections.

use super::grouped;
use super::host::Host;
use super::settings::{self, BACKLOG, FILES_SPARE};

/// Memory of one idle connection: what the kernel keeps for its socket (3.9 KB measured) and for its place in epoll,
/// and what the gateway keeps with one subscription.
const CONNECTION_LEN: u64 = 4096 + 256;

/// Memory left alone, as a part of what is available: payloads, last values, other programs.
const MEMORY_SPARED: u64 = 10;

/// Bytes of a page of memory.
const PAGE_LEN: u64 = 4096;

/// The needs of a number of connections on a host.
#[derive(Debug)]
pub(super) struct Diagnosis {
    pub(super) rows: Vec<Row>,
    /// The number of connections that fit, and what binds first.
    pub(super) binding: Option<(u64, &'static str)>,
    /// Whether the wanted number fits, as far as is known.
    pub(super) fits: bool,
}

/// One setting.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) allows: String,
    pub(super) verdict: Verdict,
    /// Lines to type that raise it.
    pub(super) remedies: Vec<String>,
    /// Connections that fit, where this is a bound.
    bound: Option<u64>,
}

/// How a setting is for the wanted number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    TooLow,
    /// No bound, but it will be felt.
    Low,
    Unknown,
}

impl Verdict {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TooLow => "too low",
            Self::Low => "low",
            Self::Unknown => "unknown",
        }
    }
}

/// Judges every setting for `wanted` connections.
pub(super) fn diagnose(host: &Host, wanted: u64) -> Diagnosis {
    // In the order in which they are raised.
    let mut rows = vec![nr_open(host, wanted), files_hard(host, wanted), files_soft(host, wanted)];
    rows.extend([file_max(host, wanted), memory(host, wanted)]);
    rows.extend(host.conntrack_max.map(|max| conntrack(max, wanted)));
    rows.extend([tcp_mem(host, wanted), somaxconn(host, wanted), tw_buckets(host, wanted), ports(host, wanted)]);
    let bounds = rows.iter().filter_map(|row| Some((row.bound?, row.name)));
    let binding = bounds.min_by_key(|(count, _)| *count);
    Diagnosis { binding, fits: binding.is_none_or(|(count, _)| count >= wanted), rows }
}

/// A setting that bounds the number of connections.
fn bound(
    name: &'static str,
    value: Option<u64>,
    wanted: u64,
    count: impl Fn(u64) -> u64,
    remedies: Vec<String>,
) -> Row {
    let Some(value) = value else { return unknown(name) };
    let count = count(value);
    let (verdict, remedies) = if count >= wanted { (Verdict::Ok, Vec::new()) } else { (Verdict::TooLow, remedies) };
    Row {
        name,
        value: shown(value),
        allows: format!("{} connections", shown(count)),
        verdict,
        remedies,
        bound: Some(count),
    }
}

fn unknown(name: &'static str) -> Row {
    Row {
        name,
        value: "-".to_owned(),
        allows: "cannot be read here".to_owned(),
        verdict: Verdict::Unknown,
        remedies: Vec::new(),
        bound: None,
    }
}

/// A setting that is felt, but bounds nothing.
fn advice(name: &'static str, value: String, allows: String, is_ok: bool, remedy: Option<String>) -> Row {
    let (verdict, remedies) =
        if is_ok { (Verdict::Ok, Vec::new()) } else { (Verdict::Low, remedy.into_iter().collect()) };
    Row { name, value, allows, verdict, remedies, bound: None }
}

fn shown(value: u64) -> String {
    if value > 1 << 50 { "unlimited".to_owned() } else { grouped(value) }
}

fn without_spare(files: u64) -> u64 {
    files.saturating_sub(FILES_SPARE)
}

fn files_soft(host: &Host, wanted: u64) -> Row {
    let raise = format!("ulimit -n {}", settings::files(wanted));
    bound("open files (soft limit)", host.files_soft, wanted, without_spare, vec![raise])
}

fn files_hard(host: &Host, wanted: u64) -> Row {
    let files = settings::files(wanted);
    let raise = format!("ulimit -Hn {files}      # as root, before ulimit -n; for systemd: LimitNOFILE={files}");
    bound("open files (hard limit)", host.files_hard, wanted, without_spare, vec![raise])
}

fn nr_open(host: &Host, wanted: u64) -> Row {
    let raise = settings::named(wanted, "fs.nr_open").sysctl();
    bound("fs.nr_open", host.nr_open, wanted, without_spare, vec![raise])
}

fn file_max(host: &Host, wanted: u64) -> Row {
    let open = host.files_open.unwrap_or(0);
    let mut setting = settings::named(wanted, "fs.file-max");
    // Where more is open already than the table leaves to others.
    let least = settings::files(wanted) + open;
    if setting.value.parse().is_ok_and(|value: u64| value < least) {
        setting.value = least.to_string();
    }
    let raise = setting.sysctl();
    let count = |max: u64| without_spare(max.saturating_sub(open));
    bound("fs.file-max", host.file_max, wanted, count, vec![raise])
}

fn memory(host: &Host, wanted: u64) -> Row {
    let count = |bytes: u64| (bytes - bytes / MEMORY_SPARED) / CONNECTION_LEN;
    let needed = wanted.saturating_mul(CONNECTION_LEN);
    let needed_mib = (needed + needed / (MEMORY_SPARED - 1)) >> 20;
    let remedy = format!("# memory cannot be raised here: {} MiB must be available", grouped(needed_mib + 1));
    let mut row = bound("memory available", host.memory_available, wanted, count, vec![remedy]);
    if let Some(bytes) = host.memory_available {
        row.value = format!("{} MiB", grouped(bytes >> 20));
        row.allows.push_str(&format!(" ({CONNECTION_LEN} bytes each when idle)"));
    }
    row
}

fn conntrack(max: u64, wanted: u64) -> Row {
    let raise = settings::named(wanted, "net.netfilter.nf_conntrack_max").sysctl();
    bound("nf_conntrack_max", Some(max), wanted, |max| max, vec![raise])
}

fn tcp_mem(host: &Host, wanted: u64) -> Row {
    let Some([_, pressure, max]) = host.tcp_mem else { return unknown("net.ipv4.tcp_mem") };
    let raise = settings::named(wanted, "net.ipv4.tcp_mem").sysctl();
    let value = format!("{} MiB", grouped(max.saturating_mul(PAGE_LEN) >> 20));
    let allows = format!("{} connections with a message on its way at once", shown(pressure));
    advice("net.ipv4.tcp_mem", value, allows, pressure >= wanted, Some(raise))
}

fn somaxconn(host: &Host, wanted: u64) -> Row {
    let Some(backlog) = host.somaxconn else { return unknown("net.core.somaxconn") };
    let backlog_wanted = BACKLOG.min(wanted);
    let raise = settings::named(wanted, "net.core.somaxconn").sysctl();
    let allows = "connections that wait to be accepted when many come at once".to_owned();
    advice("net.core.somaxconn", shown(backlog), allows, backlog >= backlog_wanted, Some(raise))
}

fn tw_buckets(host: &Host, wanted: u64) -> Row {
    let Some(buckets) = host.tw_buckets_max else { return unknown("net.ipv4.tcp_max_tw_buckets") };
    let raise = settings::named(wanted, "net.ipv4.tcp_max_tw_buckets").sysctl();
    let allows = "connections just closed by this side that are remembered".to_owned();
    advice("net.ipv4.tcp_max_tw_buckets", shown(buckets), allows, buckets >= settings::tw_buckets(wanted), Some(raise))
}

fn ports(host: &Host, wanted: u64) -> Row {
    let Some([first, last]) = host.port_range else { return unknown("ip_local_port_range") };
    let count = (last + 1).saturating_sub(first);
    let allows = format!("{} connections from one address of this host to one port (load clients)", grouped(count));
    let raise = settings::named(wanted, "net.ipv4.ip_local_port_range").sysctl() + "   # only for load clients";
    let widest = 65_536 - 1024;
    let is_ok = count >= wanted.min(widest);
    advice("ip_local_port_range", format!("{first}-{last}"), allows, is_ok, Some(raise))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with room for more than a million.
    fn large() -> Host {
        Host {
            files_soft: Some(2_000_000),
            files_hard: Some(2_000_000),
            nr_open: Some(2_000_000),
            file_max: Some(i64::MAX as u64),
            files_open: Some(1000),
            somaxconn: Some(4096),
            tcp_mem: Some([1_000_000, 2_000_000, 3_000_000]),
            port_range: Some([1024, 65_535]),
            tw_buckets_max: Some(262_144),
            conntrack_max: None,
            memory_available: Some(16 << 30),
        }
    }

    fn low(host: &Host, wanted: u64) -> Vec<(&'static str, Verdict)> {
        let rows = diagnose(host, wanted).rows;
        rows.iter().filter(|row| row.verdict != Verdict::Ok).map(|row| (row.name, row.verdict)).collect()
    }

    fn remedies(host: &Host, wanted: u64) -> Vec<String> {
        diagnose(host, wanted).rows.into_iter().flat_map(|row| row.remedies).collect()
    }

    #[test]
    fn a_large_host_holds_a_million_and_needs_nothing() {
        let diagnosis = diagnose(&large(), 1_000_000);
        assert!(diagnosis.fits);
        assert_eq!(diagnosis.binding, Some((2_000_000 - FILES_SPARE, "fs.nr_open")));
        assert!(low(&large(), 1_000_000).is_empty() && remedies(&large(), 1_000_000).is_empty());
    }

    #[test]
    fn each_bound_binds_at_its_value_and_not_before() {
        let spare = 1000 + FILES_SPARE;
        type Change = fn(&mut Host, u64);
        let cases: [(&str, u64, Change); 6] = [
            ("open files (soft limit)", spare, |host, value| host.files_soft = Some(value)),
            ("open files (hard limit)", spare, |host, value| host.files_hard = Some(value)),
            ("fs.nr_open", spare, |host, value| host.nr_open = Some(value)),
            ("fs.file-max", spare + 1000, |host, value| host.file_max = Some(value)),
            ("nf_conntrack_max", 1000, |host, value| host.conntrack_max = Some(value)),
            ("memory available", 1000 * CONNECTION_LEN / 9 * 10 + 9, |host, value| host.memory_available = Some(value)),
        ];
        for (name, value, change) in cases {
            let mut host = large();
            change(&mut host, value);
            let enough = diagnose(&host, 1000);
            assert!(enough.fits, "{name}: {enough:?}");
            assert_eq!(enough.binding, Some((1000, name)));
            let short = diagnose(&host, 1001);
            assert!(!short.fits, "{name}");
            assert_eq!(low(&host, 1001), [(name, Verdict::TooLow)]);
            assert_eq!(remedies(&host, 1001).len(), 1, "{name}");
        }
    }

    #[test]
    fn what_bounds_nothing_is_told_but_fits() {
        let cases = [
            ("net.ipv4.tcp_mem", Host { tcp_mem: Some([1, 99_999, 100_000]), ..large() }),
            ("net.core.somaxconn", Host { somaxconn: Some(128), ..large() }),
            ("net.ipv4.tcp_max_tw_buckets", Host { tw_buckets_max: Some(9999), ..large() }),
            ("ip_local_port_range", Host { port_range: Some([32_768, 60_999]), ..large() }),
        ];
        for (name, host) in cases {
            assert!(diagnose(&host, 100_000).fits, "{name}");
            assert_eq!(low(&host, 100_000), [(name, Verdict::Low)]);
            assert_eq!(remedies(&host, 100_000).len(), 1, "{name}");
        }
    }

    #[test]
    fn remedies_hold_the_numbers_that_would_fit() {
        let host = Host {
            files_soft: Some(1024),
            files_hard: Some(4096),
            nr_open: Some(8192),
            tcp_mem: Some([1, 2, 3]),
            conntrack_max: Some(65_536),
            ..large()
        };
        let lines = remedies(&host, 100_000);
        for line in [
            "ulimit -n 100128",
            "sysctl -w fs.nr_open=100128",
            "sysctl -w net.netfilter.nf_conntrack_max=125000",
            "sysctl -w net.ipv4.tcp_mem=\"75000 100000 150000\"",
        ] {
            assert!(lines.iter().any(|given| given == line), "{line} in {lines:?}");
        }
        assert!(lines.iter().any(|line| line.starts_with("ulimit -Hn 100128 ")), "{lines:?}");
    }

    #[test]
    fn a_host_that_tells_nothing_is_not_refused() {
        let diagnosis = diagnose(&Host::default(), 1_000_000);
        assert!(diagnosis.fits && diagnosis.binding.is_none());
        assert!(diagnosis.rows.iter().all(|row| row.verdict == Verdict::Unknown));
    }
}
