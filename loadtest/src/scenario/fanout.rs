//! `fanout`: messages from publishers to readers, in a closed window or at a rate.

use super::record::{connect_all, headline, record_round};
use super::run::Run;
use crate::fleet::Fleet;
use crate::protocol::Traffic;
use crate::report::Report;

pub(super) fn run(run: &Run, fleet: &mut Fleet, report: &mut Report, traffic: Traffic, duration_ms: u64) {
    if !connect_all(run, fleet, report) {
        return;
    }
    let outcome = fleet.round("fanout", traffic, duration_ms);
    record_round(report, "fanout", traffic, &outcome);
    headline(report, 0);
}
