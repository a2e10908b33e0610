//! `connect`: opening handshakes, each connection reset as soon as it is open.

use super::record::{headline, record_round};
use super::run::Run;
use crate::fleet::Fleet;
use crate::protocol::Traffic;
use crate::report::Report;

pub(super) fn run(_: &Run, fleet: &mut Fleet, report: &mut Report, per_second: f64, duration_ms: u64) {
    let of_worker = per_second / fleet.workers_count().max(1) as f64;
    let outcome = fleet.round("connect", Traffic::Handshakes { per_second: of_worker }, duration_ms);
    record_round(report, "connect", Traffic::Handshakes { per_second }, &outcome);
    headline(report, 0);
}
