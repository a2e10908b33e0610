//! `stall`: a share of the readers stops reading, while messages go on: what becomes of the others.

use super::record::{headline, measure_before, record_round};
use super::run::Run;
use crate::fleet::Fleet;
use crate::measure::process::pss_of_all;
use crate::protocol::{Command, Traffic};
use crate::report::{Report, Stall};

pub(super) fn run(run: &Run, fleet: &mut Fleet, report: &mut Report, permille: u32, per_second: f64, duration_ms: u64) {
    let traffic = Traffic::Rate { per_second, batch: 1 };
    if !measure_before(run, fleet, report, traffic, duration_ms) {
        return;
    }
    let pss_before = pss_of_all(&run.pids);
    fleet.tell(&Command::Stall { permille });
    let during = fleet.round("stalled", traffic, duration_ms);
    let pss_after = pss_of_all(&run.pids);
    record_round(report, "stalled", traffic, &during);
    headline(report, 1);
    let (stalled, closed) = fleet.resume();
    let p99 = |index: usize| report.rounds.get(index)?.latency.map(|told| told.p99_us);
    let pss_growth = pss_before.zip(pss_after).map(|(before, after)| after as i64 - before as i64);
    // Each stalled reader missed what its topic said.
    let missed = f64::from(stalled) * during.published as f64 / f64::from(run.topics.max(1));
    report.stall = Some(Stall {
        stalled: u64::from(stalled),
        closed: u64::from(closed),
        p99_before_us: p99(0),
        p99_during_us: p99(1),
        pss_growth,
        bytes_per_stalled_message: pss_growth
            .filter(|&growth| missed > 0.0 && growth > 0)
            .map(|growth| growth as f64 / missed),
    });
}
