//! Due times in an open loop: the intended times, even if earlier messages are late.

use crate::clock::NANOS_PER_SECOND;

/// Intended times at a constant rate. A caller that falls behind gets the missed times one after the other, so that
/// what waited in its queue counts as waiting: no coordinated omission.
#[derive(Clone, Debug)]
pub struct Pacer {
    start_ns: u64,
    end_ns: u64,
    interval_ns: f64,
    taken: u64,
}

impl Pacer {
    /// Due at `start_ns` first and then `per_second` times a second, before `end_ns`. A rate that is not positive is
    /// never due.
    #[must_use]
    pub fn new(start_ns: u64, end_ns: u64, per_second: f64) -> Self {
        let end_ns = if per_second > 0.0 { end_ns } else { start_ns };
        Self { start_ns, end_ns, interval_ns: NANOS_PER_SECOND as f64 / per_second, taken: 0 }
    }

    /// The next intended time; `None` behind the end.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        // Every time is computed from the start, so that rounding does not add up.
        let at = self.start_ns.saturating_add((self.taken as f64 * self.interval_ns) as u64);
        (at < self.end_ns).then_some(at)
    }

    /// Takes the next intended time if it has come.
    pub fn take_due(&mut self, now_ns: u64) -> Option<u64> {
        let due = self.next_due().filter(|&due| due <= now_ns)?;
        self.taken += 1;
        Some(due)
    }

    /// Nothing is due any more.
    pub fn stop(&mut self) {
        self.end_ns = self.start_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pacer: &mut Pacer, now_ns: u64) -> Vec<u64> {
        std::iter::from_fn(|| pacer.take_due(now_ns)).collect()
    }

    #[test]
    fn times_are_due_at_the_rate_and_end_before_the_end() {
        let mut pacer = Pacer::new(1_000, 1_000 + NANOS_PER_SECOND, 4.0);
        assert_eq!(taken(&mut pacer, 999), [0; 0]);
        assert_eq!(taken(&mut pacer, 1_000), [1_000]);
        assert_eq!(pacer.next_due(), Some(250_001_000));
        assert_eq!(taken(&mut pacer, 10 * NANOS_PER_SECOND), [250_001_000, 500_001_000, 750_001_000]);
        assert_eq!(pacer.next_due(), None);
    }

    #[test]
    fn rounding_does_not_add_up() {
        let mut pacer = Pacer::new(0, u64::MAX, 3.0);
        let times = (0..=3_000_000).map(|_| pacer.take_due(u64::MAX).expect("it goes on"));
        assert_eq!(times.last(), Some(1_000_000 * NANOS_PER_SECOND));
    }

    #[test]
    fn a_rate_of_nothing_is_never_due() {
        for rate in [0.0, -1.0, f64::NAN] {
            assert_eq!(Pacer::new(0, u64::MAX, rate).take_due(u64::MAX), None, "{rate}");
        }
    }

    #[test]
    fn a_stopped_pacer_has_nothing_more() {
        let mut pacer = Pacer::new(0, u64::MAX, 1.0);
        assert_eq!(pacer.take_due(0), Some(0));
        pacer.stop();
        assert_eq!(pacer.take_due(u64::MAX), None);
    }
}
