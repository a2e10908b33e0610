//! `hold`: connections that do nothing, what they cost, and whether a message still reaches all of them.

use super::memory::Readings;
use super::record::{connect_up_to, headline, record_round};
use super::run::Run;
use crate::fleet::Fleet;
use crate::protocol::Traffic;
use crate::report::Report;

pub(super) fn run(run: &Run, fleet: &mut Fleet, report: &mut Report, duration_ms: u64, broadcasts: u32) {
    let mut readings = Readings::default();
    // The slope between half of the connections and all of them: what the server has from the start cancels out.
    let steps: &[u32] = if run.connections > 1 { &[500, 1000] } else { &[1000] };
    for &permille in steps {
        if !connect_up_to(run, fleet, report, permille).1 {
            return;
        }
        readings.take(run, fleet, report);
    }
    readings.tell(run, report);

    let outcome = fleet.round("hold", Traffic::Silence, duration_ms);
    record_round(report, "hold", Traffic::Silence, &outcome);
    headline(report, 0);
    if let Some(memory) = &mut report.memory {
        memory.idle_cpu_share = report.rounds.first().and_then(|round| round.server_cpu_share);
    }
    if broadcasts > 0 && !fleet.is_interrupted() {
        let traffic = Traffic::Rate { per_second: 1.0, batch: 1 };
        let outcome = fleet.round("broadcast", traffic, u64::from(broadcasts) * 1_000);
        record_round(report, "broadcast", traffic, &outcome);
        headline(report, 1);
    }
}
