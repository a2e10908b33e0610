//! Shared by scenarios: opening connections, and recording the outcome of a round.

use super::run::Run;
use crate::fleet::{ELAPSED_NS_MIN, Fleet, Outcome};
use crate::latency::{Latencies, Percentiles};
use crate::protocol::{Connected, Traffic, share_of};
use crate::report::{Connections, OwnReport, Report, RoundReport};

/// Opens all connections; whether there is anything to measure.
pub(super) fn connect_all(run: &Run, fleet: &mut Fleet, report: &mut Report) -> bool {
    connect_up_to(run, fleet, report, 1000).1
}

/// Opens connections up to a share of all; what came of it, and whether there is anything to measure.
pub(super) fn connect_up_to(run: &Run, fleet: &mut Fleet, report: &mut Report, permille: u32) -> (Connected, bool) {
    let began_ns = fleet.now();
    let open_before = report.connections.as_ref().map_or(0, |connections| connections.open);
    let asked = share_of(run.connections, permille);
    let connected = fleet.connect(permille, run.connect_rate, u64::from(asked));
    let took = connected.last_ready_ns.saturating_sub(began_ns).max(1) as f64 / 1e9;
    report.errors.merge(&connected.failures);
    report.connections = Some(Connections {
        asked: u64::from(run.connections),
        open: u64::from(connected.open),
        per_second: u64::from(connected.open).saturating_sub(open_before) as f64 / took,
        handshake: percentiles_of(&connected),
    });
    let is_ready = connected.open > 0 && !fleet.is_interrupted();
    if is_ready {
        fleet.wait(run.settle_ms);
    }
    let has_publishers = report.settings.publishers == 0 || connected.publishers > 0;
    (connected, is_ready && has_publishers)
}

/// Opens all connections and measures how it is before anything is done to them; whether to go on.
pub(super) fn measure_before(
    run: &Run,
    fleet: &mut Fleet,
    report: &mut Report,
    traffic: Traffic,
    duration_ms: u64,
) -> bool {
    if !connect_all(run, fleet, report) {
        return false;
    }
    let before = fleet.round("before", traffic, duration_ms);
    record_round(report, "before", traffic, &before);
    headline(report, 0);
    !fleet.is_interrupted()
}

pub(super) fn percentiles_of(connected: &Connected) -> Option<Percentiles> {
    let mut handshake = Latencies::default();
    handshake.merge(&connected.handshake);
    handshake.percentiles()
}

/// Writes a round down.
pub(super) fn record_round(report: &mut Report, name: &str, traffic: Traffic, outcome: &Outcome) {
    let (first, last) = outcome.ended.first_last_ns;
    let is_rate = |per_second: f64| (per_second > 0.0).then_some(per_second);
    let rate = match traffic {
        Traffic::Rate { per_second, .. }
        | Traffic::Own { per_second, .. }
        | Traffic::Echo { per_second, .. }
        | Traffic::Handshakes { per_second } => is_rate(per_second),
        Traffic::Silence | Traffic::Window { .. } => None,
    };
    // The publishers of one topic agree on no order.
    let has_order = matches!(traffic, Traffic::Rate { .. } | Traffic::Window { .. } | Traffic::Own { .. })
        && report.settings.publishers <= report.settings.topics.max(1);
    let elapsed = outcome.elapsed_ns.max(ELAPSED_NS_MIN) as f64;
    let delivered = outcome.ended.delivered;
    report.errors.merge(&outcome.ended.failures);
    report.rounds.push(RoundReport {
        name: name.to_owned(),
        is_open_loop: rate.is_some(),
        rate,
        published: outcome.published,
        expected: outcome.expected,
        deliveries: delivered,
        own: matches!(traffic, Traffic::Own { .. }).then(|| OwnReport {
            published: outcome.own_published,
            deliveries: outcome.ended.own.delivered,
            strays: outcome.ended.own.strays,
            duplicates: outcome.ended.own.duplicates,
            latency: outcome.own_latency.percentiles(),
        }),
        pings: outcome.ended.pings,
        pinged: outcome.ended.pinged,
        first_us: (first > 0).then(|| first.saturating_sub(outcome.start_ns) as f64 / 1e3),
        deliveries_to_others: outcome.ended.delivered_to_others,
        deliveries_per_second: if delivered == 0 {
            0.0
        } else {
            // One burst has no duration of its own.
            let took = last.saturating_sub(first).max(1_000_000) as f64;
            delivered as f64 * 1e9 / took
        },
        reach: (outcome.expected > 0).then(|| delivered as f64 / outcome.expected as f64),
        latency: outcome.latency.percentiles(),
        curve: outcome.latency.curve(),
        lateness: outcome.lateness.percentiles(),
        handshake: outcome.handshake.percentiles(),
        handshakes: outcome.handshake.count(),
        messages_per_read: (outcome.ended.reads > 0)
            .then(|| outcome.ended.messages as f64 / outcome.ended.reads as f64),
        duplicates: has_order.then_some(outcome.ended.duplicates),
        out_of_order: has_order.then_some(outcome.ended.out_of_order),
        windows_given_up: outcome.ended.windows_given_up,
        server_cpu_ns: outcome.server_cpu_ns,
        server_cpu_share: outcome.server_cpu_ns.map(|ns| ns as f64 / elapsed),
        client_cpu_share: outcome.busiest_share,
        client_cpu_cores: outcome.ended.cpu_ns as f64 / elapsed,
        client_waited_share: outcome.ended.waited_ns as f64 / elapsed,
        elapsed_ms: elapsed / 1e6,
    });
}

/// Puts a round's figures at the top of the report.
pub(super) fn headline(report: &mut Report, index: usize) {
    let Some(round) = report.rounds.get(index).cloned() else { return };
    let per = |count: u64| round.server_cpu_ns.filter(|_| count > 0).map(|ns| ns as f64 / count as f64);
    report.server_cpu_ns_per_delivery = per(round.deliveries);
    report.server_cpu_ns_per_handshake = per(round.handshakes);
    let told = round.latency.or(round.handshake);
    report.p50_us = told.map(|told| told.p50_us);
    report.p90_us = told.map(|told| told.p90_us);
    report.p99_us = told.map(|told| told.p99_us);
    report.p999_us = told.map(|told| told.p999_us);
    report.max_us = told.map(|told| told.max_us);
    report.deliveries = round.deliveries;
    report.deliveries_per_second = (round.deliveries > 0).then_some(round.deliveries_per_second);
    report.reach = round.reach;
    report.duplicates = round.duplicates;
    report.out_of_order = round.out_of_order;
    report.regime_messages_per_turn = round.messages_per_read;
    report.client_cpu_share = Some(round.client_cpu_share);
}
