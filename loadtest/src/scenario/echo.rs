//! `echo`: every connection gets back what it sends.

use super::record::{connect_all, headline, record_round};
use super::run::Run;
use crate::fleet::Fleet;
use crate::protocol::Traffic;
use crate::report::Report;

pub(super) fn run(run: &Run, fleet: &mut Fleet, report: &mut Report, traffic: Traffic, duration_ms: u64) {
    if !connect_all(run, fleet, report) {
        return;
    }
    let outcome = fleet.round("echo", of_worker(traffic, fleet.workers_count()), duration_ms);
    record_round(report, "echo", traffic, &outcome);
    headline(report, 0);
}

/// Each worker's part of the rate.
fn of_worker(traffic: Traffic, workers: usize) -> Traffic {
    match traffic {
        Traffic::Echo { depth, per_second } => Traffic::Echo { depth, per_second: per_second / workers.max(1) as f64 },
        other => other,
    }
}
