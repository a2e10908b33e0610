//! How long things took: an HdrHistogram of nanoseconds, and its way between processes.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Durations in nanoseconds, each to three significant digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// A histogram as (value in nanoseconds, count) pairs: how one travels from a worker, and into a report's chart.
pub type Buckets = Vec<(u64, u64)>;

/// The figures of a report about durations, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many there were.
    pub count: u64,
    /// Half were at most this.
    pub p50_us: f64,
    /// Nine in ten were at most this.
    pub p90_us: f64,
    /// All but one in a hundred were at most this.
    pub p99_us: f64,
    /// All but one in a thousand were at most this.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MAX_NS, 3).expect("the bounds and three digits are valid"))
    }
}

impl Latencies {
    /// Counts one. What is longer than an hour counts as an hour.
    pub fn record(&mut self, nanos: u64) {
        self.record_n(nanos, 1);
    }

    /// Counts `count` of the same.
    pub fn record_n(&mut self, nanos: u64, count: u64) {
        self.0.saturating_record_n(nanos.max(1), count);
    }

    /// Counts all that another counted.
    pub fn merge(&mut self, buckets: &Buckets) {
        for &(nanos, count) in buckets {
            self.record_n(nanos, count);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Everything that was counted. [`Latencies::merge`] of it is the same histogram again.
    #[must_use]
    pub fn buckets(&self) -> Buckets {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    /// The figures of a report; `None` if nothing was counted.
    #[must_use]
    pub fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        (self.count() > 0).then(|| Percentiles {
            count: self.count(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.0.max() as f64 / 1e3,
        })
    }

    /// Points of a percentile chart: (share above, microseconds), from all down to one in 2^20.
    #[must_use]
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let mut points = Vec::new();
        if self.count() == 0 {
            return points;
        }
        for step in 0..=CURVE_STEPS {
            let above = 0.5_f64.powf(f64::from(step) / 2.0);
            points.push((above, self.0.value_at_quantile(1.0 - above) as f64 / 1e3));
            // Further right there is only the longest one, again and again.
            if above * (self.count() as f64) < 1.0 {
                break;
            }
        }
        points
    }
}

const MAX_NS: u64 = 3_600 * crate::clock::NANOS_PER_SECOND;
const CURVE_STEPS: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles(), None);
        (1..=1000).for_each(|n| latencies.record(n * 1_000));
        let told = latencies.percentiles().expect("there are values");
        assert_eq!(told.count, 1000);
        for (value, expected) in [
            (told.p50_us, 500.0),
            (told.p90_us, 900.0),
            (told.p99_us, 990.0),
            (told.p999_us, 999.0),
            (told.max_us, 1e3),
        ] {
            assert!((value - expected).abs() / expected < 0.002, "{value} for {expected}");
        }
    }

    #[test]
    fn a_histogram_survives_its_way_between_processes() {
        let mut latencies = Latencies::default();
        let mut random = fastrand::Rng::with_seed(7);
        (0..10_000).for_each(|_| latencies.record(random.u64(0..5_000_000_000)));
        latencies.record(u64::MAX);
        let mut copy = Latencies::default();
        copy.merge(&latencies.buckets());
        assert_eq!(copy.buckets(), latencies.buckets());
        assert_eq!(copy.count(), 10_001);
        assert_eq!(copy.percentiles().map(|told| told.p99_us), latencies.percentiles().map(|told| told.p99_us));
    }

    #[test]
    fn the_curve_rises_and_ends_at_the_longest() {
        let mut latencies = Latencies::default();
        (1..=4096).for_each(|n| latencies.record(n));
        let curve = latencies.curve();
        assert!(curve.is_sorted_by(|a, b| a.0 > b.0 && a.1 <= b.1), "{curve:?}");
        assert_eq!(curve.last().map(|&(_, us)| us), latencies.percentiles().map(|told| told.max_us));
    }
}
