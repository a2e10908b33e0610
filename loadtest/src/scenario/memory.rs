//! The memory of connections: readings at several counts, and the slope between them.

use super::run::Run;
use crate::fleet::Fleet;
use crate::measure::host;
use crate::measure::process::{open_files_of_all, pss_of_all};
use crate::measure::slab::Slab;
use crate::report::{Memory, Report};

/// Readings so far.
#[derive(Debug, Default)]
pub(super) struct Readings {
    memory: Memory,
    /// (connections, bytes of PSS of all client processes).
    clients: Vec<(u64, u64)>,
    first_slab: Option<(u64, Slab)>,
}

impl Readings {
    /// Reads what there is at this many connections.
    pub(super) fn take(&mut self, run: &Run, fleet: &Fleet, report: &Report) {
        let open = open(report);
        self.clients.extend(pss_of_all(&fleet.worker_pids()).map(|pss| (open, pss)));
        self.memory.pss.extend(pss_of_all(&run.pids).map(|pss| (open, pss)));
        self.memory.host.extend(host::used().map(|used| (open, used)));
        let Some(slab) = Slab::read() else { return };
        self.memory.slab.push((open, slab.total()));
        match &self.first_slab {
            None => self.first_slab = Some((open, slab)),
            Some((before, earlier)) => {
                let grown = open.saturating_sub(*before).max(1) as f64;
                let caches = slab.growth_since(earlier, CACHES_MAX).into_iter();
                self.memory.caches = caches.map(|(name, bytes)| (name, bytes as f64 / grown)).collect();
            }
        }
    }

    /// Puts what was read into the report.
    pub(super) fn tell(self, run: &Run, report: &mut Report) {
        let mut memory = self.memory;
        memory.client_bytes_per_connection = slope(&self.clients);
        memory.host_bytes_per_connection = slope(&memory.host);
        memory.open_files = open_files_of_all(&run.pids);
        report.bytes_per_connection_user = slope(&memory.pss);
        report.bytes_per_connection_kernel = slope(&memory.slab);
        report.memory = Some(memory);
    }
}

fn open(report: &Report) -> u64 {
    report.connections.as_ref().map_or(0, |connections| connections.open)
}

/// Bytes a connection, between the first and the last reading; unknown where memory did not grow, which is when
/// connections are too few to show in it.
fn slope(readings: &[(u64, u64)]) -> Option<f64> {
    let (&(from, low), &(to, high)) = readings.first().zip(readings.last())?;
    (to > from && high > low).then(|| (high - low) as f64 / (to - from) as f64)
}

/// Caches of the kernel that are told by name.
const CACHES_MAX: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_between_two_counts_needs_both_and_is_never_negative() {
        assert_eq!(slope(&[(100, 5_000), (200, 15_000)]), Some(100.0));
        assert_eq!(slope(&[(100, 5_000), (150, 9_000), (200, 4_000)]), None);
        assert_eq!(slope(&[(100, 5_000), (200, 5_000)]), None);
        assert_eq!(slope(&[(100, 5_000)]), None);
        assert_eq!(slope(&[]), None);
    }
}
