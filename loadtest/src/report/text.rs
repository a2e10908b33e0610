//! A report as a table for a terminal.

use std::fmt::Write;

use super::{Report, RoundReport};
use crate::latency::Percentiles;

/// The table, with a line feed at its end.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    let line = &mut out;
    let state = match (report.is_interrupted, report.is_ok) {
        (true, _) => "interrupted",
        (false, true) => "ok",
        (false, false) => "failed",
    };
    let _ = writeln!(line, "{} against {} ({}): {state}", report.scenario, report.url, report.label);
    row(line, "when", &date(report.began_unix_ms));
    row(line, "where", &machine(report));
    row(line, "with", &versions(report));
    if let Some(connections) = &report.connections {
        let rate = format!("{}/s", number(connections.per_second));
        row(line, "connections", &format!("{} of {}, {rate}", connections.open, connections.asked));
        if let Some(handshake) = &connections.handshake {
            row(line, "  handshake", &percentiles(handshake));
        }
    }
    let is_million = report.scenario == "million";
    for round in report.rounds.iter().filter(|_| is_million) {
        render_phase(line, round);
    }
    for round in report.rounds.iter().filter(|_| !is_million) {
        render_round(line, round, report.rounds.len() > 1);
    }
    render_memory(line, report);
    render_ends(line, report);
    if report.errors.0.is_empty() {
        row(line, "errors", "none");
    }
    for (kind, count) in &report.errors.0 {
        row(line, "error", &format!("{kind}: {count}"));
    }
    for warning in &report.warnings {
        row(line, "warning", warning);
    }
    out
}

/// The machine that the client ran on.
fn machine(report: &Report) -> String {
    let memory = report.memory_len.map(|len| format!(", {:.0} GB", len as f64 / 1e9)).unwrap_or_default();
    format!("{}, {} cores{memory}, Linux {}", report.processor, report.client_cores, report.kernel)
}

/// The programs and their versions.
fn versions(report: &Report) -> String {
    match &report.server {
        Some(server) => format!("{}, against {server}", report.tool),
        None => report.tool.clone(),
    }
}

/// A time as `2026-11-27 06:13:42 UTC`.
#[must_use]
pub fn date(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    // Days are counted from 1 March 0000, so that a leap day is the last of its year, in cycles of 400 years.
    let days = seconds / 86_400 + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = cycle * 400 + year + u64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn render_round(out: &mut String, round: &RoundReport, is_named: bool) {
    if is_named {
        let rate = round.rate.map(|rate| format!(" at {}/s", number(rate))).unwrap_or_default();
        row(out, "round", &format!("{}{rate}", round.name));
    }
    if let Some(handshake) = &round.handshake {
        let per_second = round.handshakes as f64 * 1e3 / round.elapsed_ms.max(1.0);
        row(out, "handshakes", &format!("{}, {}/s", round.handshakes, number(per_second)));
        row(out, "  took", &percentiles(handshake));
        if let Some(cpu_ns) = round.server_cpu_ns {
            let each = cpu_ns as f64 / (round.handshakes.max(1)) as f64;
            row(out, "server CPU", &format!("{} a handshake{}", micros(each / 1e3), share(round)));
        }
    }
    if round.published > 0 && round.handshake.is_none() {
        let reach = round.reach.map_or("unknown".to_owned(), |reach| format!("{:.4}", reach));
        row(out, "published", &format!("{} in {:.1} s", round.published, round.elapsed_ms / 1e3));
        let per_second = number(round.deliveries_per_second);
        row(out, "delivered", &format!("{}, {per_second}/s, reach {reach}", round.deliveries));
        if let Some(latency) = &round.latency {
            let loop_kind = if round.is_open_loop { "from the intended time" } else { "closed loop" };
            row(out, "  latency", &format!("{} ({loop_kind})", percentiles(latency)));
        }
        if let (Some(duplicates), Some(out_of_order)) = (round.duplicates, round.out_of_order) {
            row(out, "  order", &format!("{duplicates} duplicates, {out_of_order} out of order"));
        }
        if let Some(messages) = round.messages_per_read {
            row(out, "  regime", &format!("{messages:.2} messages per reader and turn"));
        }
        if let Some(cpu_ns) = round.server_cpu_ns {
            let each = cpu_ns as f64 / round.deliveries.max(1) as f64;
            row(out, "server CPU", &format!("{} a delivery{}", micros(each / 1e3), share(round)));
        }
    }
    let busiest = round.client_cpu_share * 100.0;
    let waited = round.client_waited_share * 100.0;
    let cores = round.client_cpu_cores;
    row(out, "client CPU", &format!("busiest {busiest:.0} %, all {cores:.2} cores, waited {waited:.0} %"));
    if let Some(lateness) = &round.lateness {
        row(out, "  sent late", &percentiles(lateness));
    }
}

/// A round of `million`, in a line or three.
fn render_phase(out: &mut String, round: &RoundReport) {
    let cpu = round.server_cpu_share.map_or(String::new(), |share| format!("{:.2} % of a core", share * 100.0));
    let seconds = round.elapsed_ms / 1e3;
    let own = round.own.unwrap_or_default();
    if round.published == 0 || round.own.is_some() {
        let (pings, pinged) = (round.pings, round.pinged);
        row(out, &round.name, &format!("{seconds:.0} s, {cpu}, {pings} pings to {pinged} connections answered"));
    }
    if let Some(latency) = &own.latency {
        let (reached, all) = (own.deliveries, own.published);
        let wrong = format!("{} astray, {} twice", own.strays, own.duplicates);
        row(out, "  to one", &format!("{reached} of {all}, {wrong}"));
        row(out, "", &format!("{} (from the intended time)", percentiles(latency)));
    }
    if let Some(latency) = &round.latency {
        let (reached, all) = (round.deliveries - own.deliveries, round.expected - own.published);
        let name = if round.own.is_some() { "  to all" } else { &round.name };
        // With messages to single ones among them the CPU is not theirs alone.
        let each = round.server_cpu_ns.filter(|_| round.own.is_none());
        let each = each.map(|ns| format!("; {} of CPU a delivery", micros(ns as f64 / 1e3 / reached.max(1) as f64)));
        let first = round.first_us.filter(|_| round.own.is_none()).map(|us| format!("first {}  ", micros(us)));
        row(out, name, &format!("{reached} of {all}{}", each.unwrap_or_default()));
        row(out, "", &format!("{}{}", first.unwrap_or_default(), percentiles(latency)));
    }
}

fn render_memory(out: &mut String, report: &Report) {
    if let Some(bytes) = report.bytes_per_connection_user {
        row(out, "memory", &format!("{bytes:.0} bytes of the server's a connection"));
    }
    if let Some(bytes) = report.bytes_per_connection_kernel {
        row(out, "kernel", &format!("{bytes:.0} bytes of slab a connection, both ends"));
    }
    let Some(memory) = &report.memory else { return };
    if let Some(&(_, bytes)) = memory.pss.last() {
        row(out, "", &format!("{} MB of the server's in all", number(bytes as f64 / 1e6)));
    }
    for (name, bytes) in &memory.caches {
        row(out, "", &format!("{bytes:>6.0}  {name}"));
    }
    if let Some(share) = memory.idle_cpu_share {
        row(out, "idle CPU", &format!("{:.2} % of a core", share * 100.0));
    }
    if let Some(bytes) = memory.client_bytes_per_connection {
        row(out, "client", &format!("{bytes:.0} bytes of its own a connection"));
    }
    // Of fewer it says more about everybody else on the host.
    let is_many = memory.host.last().is_some_and(|&(open, _)| open >= HOST_CONNECTIONS_MIN);
    if let Some(bytes) = memory.host_bytes_per_connection.filter(|_| is_many) {
        row(out, "host", &format!("{bytes:.0} bytes a connection, everything together"));
    }
    if let Some(files) = memory.open_files {
        row(out, "open files", &format!("{files} of the server's"));
    }
}

fn render_ends(out: &mut String, report: &Report) {
    let p99 = |us: Option<f64>| us.map_or("unknown".to_owned(), micros);
    if let Some(storm) = &report.storm {
        row(out, "storm", &format!("{} dropped, {} came back", storm.dropped, storm.returned));
        if let Some(ms) = storm.recovery_ms {
            row(out, "  recovery", &format!("{ms:.0} ms, {} attempts failed", storm.refused.total()));
        }
        if let Some(handshake) = &storm.handshake {
            row(out, "  handshake", &percentiles(handshake));
        }
        if storm.p99_before_us.is_some() {
            let (before, during) = (p99(storm.p99_before_us), p99(storm.p99_during_us));
            row(out, "  who stayed", &format!("p99 {before} before, {during} meanwhile"));
        }
    }
    if let Some(left) = &report.left {
        let (connections, subscriptions, topics) = (left.connections, left.subscriptions, left.topics);
        let held = left.held();
        let counts = format!("{connections} connections, {subscriptions} subscriptions, {held} bytes held for them");
        row(out, "left", &format!("{counts}, after {:.1} s", left.after_ms / 1e3));
        row(out, "", &format!("{topics} topics that were published to, {} bytes kept of them", left.kept()));
    }
    if let Some(stall) = &report.stall {
        row(out, "stalled", &format!("{}, of which the server closed {}", stall.stalled, stall.closed));
        let (before, during) = (p99(stall.p99_before_us), p99(stall.p99_during_us));
        row(out, "  the others", &format!("p99 {before} before, {during} meanwhile"));
        if let Some(bytes) = stall.bytes_per_stalled_message {
            row(out, "  memory", &format!("{bytes:.0} bytes a stalled reader and message"));
        }
    }
    if let Some(ramp) = &report.ramp {
        let knee = ramp.knee_per_second.map_or("below the first rate".to_owned(), |rate| {
            let deliveries = ramp.knee_deliveries_per_second.map(number).unwrap_or_default();
            format!("{} messages/s, {deliveries} deliveries/s", number(rate))
        });
        row(out, "knee", &format!("{knee} (p99 up to {})", micros(ramp.bound_us)));
        if let (Some(rate), Some(why)) = (ramp.broken_per_second, &ramp.broken_by) {
            row(out, "  broke", &format!("at {} messages/s: {why}", number(rate)));
        }
    }
}

/// Connections that show in the memory of a whole host.
const HOST_CONNECTIONS_MIN: u64 = 10_000;

fn row(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "  {name:<14}{value}");
}

fn share(round: &RoundReport) -> String {
    round.server_cpu_share.map(|share| format!(", {:.0} % of a core", share * 100.0)).unwrap_or_default()
}

fn percentiles(told: &Percentiles) -> String {
    format!(
        "p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
        micros(told.p50_us),
        micros(told.p90_us),
        micros(told.p99_us),
        micros(told.p999_us),
        micros(told.max_us)
    )
}

/// A duration with the unit that suits it.
#[must_use]
pub fn micros(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.2} us"),
        us if us < 1e6 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// A number with the unit that suits it.
#[must_use]
pub fn number(value: f64) -> String {
    match value {
        value if value < 1e4 => format!("{value:.0}"),
        value if value < 1e6 => format!("{:.1} k", value / 1e3),
        value => format!("{:.2} M", value / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_s, told) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_764_223_999, "2025-11-27 06:13:19 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(unix_s * 1_000), told);
        }
    }

    #[test]
    fn a_report_says_when_where_and_with_what() {
        let report = Report {
            began_unix_ms: 951_782_400_000,
            processor: "Z80".to_owned(),
            client_cores: 2,
            memory_len: Some(8_000_000_000),
            kernel: "6.1".to_owned(),
            tool: "fanwire-load 1".to_owned(),
            server: Some("fanwire 2".to_owned()),
            ..Report::default()
        };
        let text = render(&report);
        for part in ["2000-02-29 00:00:00 UTC", "Z80, 2 cores, 8 GB, Linux 6.1", "fanwire-load 1, against fanwire 2"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn durations_and_numbers_have_the_unit_that_suits_them() {
        assert_eq!([3.25, 12_500.0, 2_000_000.0].map(micros), ["3.25 us", "12.50 ms", "2.00 s"]);
        assert_eq!([999.0, 12_500.0, 2_500_000.0].map(number), ["999", "12.5 k", "2.50 M"]);
    }
}
