//! `hold`: connections that do nothing, what they cost, and whether a message still reaches all of them.

use super::{Run, connect_up_to, headline, record_round};
use crate::fleet::Fleet;
use crate::measure::process::pss_of_all;
use crate::measure::slab::Slab;
use crate::protocol::Traffic;
use crate::report::{Memory, Report};

pub(super) fn run(run: &Run, fleet: &mut Fleet, report: &mut Report, duration_ms: u64, broadcasts: u32) {
    let mut memory = Memory::default();
    // The slope between half of the connections and all of them: what the server has from the start cancels out.
    let steps: &[u32] = if run.connections > 1 { &[500, 1000] } else { &[1000] };
    let mut first: Option<(u64, Slab)> = None;
    for &permille in steps {
        if !connect_up_to(run, fleet, report, permille) {
            return;
        }
        let open = report.connections.as_ref().map_or(0, |connections| connections.open);
        memory.pss.extend(pss_of_all(&run.pids).map(|pss| (open, pss)));
        let Some(slab) = Slab::read() else { continue };
        memory.slab.push((open, slab.total()));
        match &first {
            None => first = Some((open, slab)),
            Some((before, earlier)) => {
                let grown = open.saturating_sub(*before).max(1) as f64;
                let caches = slab.growth_since(earlier, CACHES_MAX).into_iter();
                memory.caches = caches.map(|(name, bytes)| (name, bytes as f64 / grown)).collect();
            }
        }
    }
    let workers: Vec<u32> = fleet.worker_pids();
    let open = report.connections.as_ref().map_or(0, |connections| connections.open);
    memory.client_bytes_per_connection = pss_of_all(&workers).map(|pss| pss as f64 / open.max(1) as f64);
    report.bytes_per_connection_user = slope(&memory.pss);
    report.bytes_per_connection_kernel = slope(&memory.slab);

    let outcome = fleet.round("hold", Traffic::Silence, duration_ms);
    record_round(report, "hold", Traffic::Silence, &outcome);
    headline(report, 0);
    memory.idle_cpu_share = report.rounds.first().and_then(|round| round.server_cpu_share);
    report.memory = Some(memory);
    if broadcasts > 0 && !fleet.is_interrupted() {
        let traffic = Traffic::Rate { per_second: 1.0, batch: 1 };
        let outcome = fleet.round("broadcast", traffic, u64::from(broadcasts) * 1_000);
        record_round(report, "broadcast", traffic, &outcome);
        headline(report, 1);
    }
}

/// Bytes a connection, between the first and the last reading.
fn slope(readings: &[(u64, u64)]) -> Option<f64> {
    let (&(from, low), &(to, high)) = readings.first().zip(readings.last())?;
    (to > from).then(|| (high as f64 - low as f64) / (to - from) as f64)
}

/// Caches of the kernel that are told by name.
const CACHES_MAX: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_between_two_counts_and_needs_both() {
        assert_eq!(slope(&[(100, 5_000), (200, 15_000)]), Some(100.0));
        assert_eq!(slope(&[(100, 5_000), (200, 4_000)]), Some(-10.0));
        assert_eq!(slope(&[(100, 5_000)]), None);
        assert_eq!(slope(&[]), None);
    }
}
