//! `storm`: a share of the readers drops and comes back at once, while messages go on to the others.

use super::record::{headline, measure_before, percentiles_of, record_round};
use super::run::Run;
use crate::fleet::Fleet;
use crate::protocol::{Command, Traffic, share_of};
use crate::report::{Report, Storm};

pub(super) fn run(run: &Run, fleet: &mut Fleet, report: &mut Report, permille: u32, per_second: f64, duration_ms: u64) {
    let traffic = Traffic::Rate { per_second, batch: 1 };
    if !measure_before(run, fleet, report, traffic, duration_ms) {
        return;
    }
    let open = report.connections.as_ref().map_or(0, |connections| connections.open);
    // Those who drop do not count from the start of the round, so that expectations are those of the others.
    fleet.tell(&Command::Drop { permille, still_counts: false });
    let dropped_ns = fleet.now();
    let running = fleet.begin("storm", traffic, STORM_MAX_MS.max(duration_ms));
    let connected = fleet.hear_connected();
    let passed_ms = fleet.now().saturating_sub(dropped_ns) / 1_000_000;
    fleet.wait(duration_ms.saturating_sub(passed_ms));
    fleet.tell(&Command::Stop);
    let during = fleet.finish(running);
    let dropped = u64::from(share_of(open as u32, permille));
    let returned = u64::from(connected.open).saturating_sub(open - dropped.min(open));
    let is_recovered = returned >= dropped;
    record_round(report, "storm", traffic, &during);
    headline(report, 1);
    let p99 = |index: usize| report.rounds.get(index)?.latency.map(|told| told.p99_us);
    report.storm = Some(Storm {
        dropped,
        returned,
        recovery_ms: is_recovered.then(|| connected.last_ready_ns.saturating_sub(dropped_ns) as f64 / 1e6),
        handshake: percentiles_of(&connected),
        server_cpu_ns: during.server_cpu_ns,
        p99_before_us: p99(0),
        p99_during_us: p99(1),
        refused: connected.failures,
    });
    if !is_recovered {
        report.errors.add_n("not_recovered", dropped - returned);
    }
}

/// The longest storm, in milliseconds. One that is still going on then is not recovered from.
const STORM_MAX_MS: u64 = 120_000;
