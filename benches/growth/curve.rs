//! The measurements: points of rounds of samples, as a table and as JSON.

use std::fmt::Write;
use std::time::Duration;

/// How much is measured.
pub struct Plan {
    pub rounds: usize,
    /// Points past it are left out.
    pub scale_max: u32,
}

impl Plan {
    /// The points that are measured.
    pub fn scales(&self, scales: &[u32]) -> impl Iterator<Item = u32> {
        let max = self.scale_max;
        scales.iter().copied().filter(move |scale| *scale <= max)
    }

    /// Measures one point: rounds of `samples` samples, each of so many items.
    pub fn point(&self, x: u32, samples: usize, items: usize, mut sample: impl FnMut() -> Duration) -> Point {
        for _ in 0..samples.div_ceil(10) {
            sample();
        }
        let round = |_| Round::new((0..samples).map(|_| sample()).collect(), items);
        Point { x, rounds: (0..self.rounds).map(round).collect() }
    }
}

/// The effect of one quantity on the cost of others.
pub struct Axis {
    pub title: &'static str,
    pub x_label: &'static str,
    pub curves: Vec<Curve>,
}

pub struct Curve {
    pub name: &'static str,
    /// The operation that a value is the nanoseconds of.
    pub of: &'static str,
    pub points: Vec<Point>,
}

pub struct Point {
    pub x: u32,
    pub rounds: Vec<Round>,
}

/// Nanoseconds an item, by quantile of the round's samples.
#[derive(Clone, Copy)]
pub struct Round {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub mean: f64,
}

impl Round {
    pub fn new(mut samples: Vec<Duration>, items: usize) -> Self {
        samples.sort_unstable();
        let last = samples.len() - 1;
        let nanos = |time: Duration| time.as_nanos() as f64 / items as f64;
        let at = |share: f64| nanos(samples[(last as f64 * share).round() as usize]);
        let mean = nanos(samples.iter().sum()) / samples.len() as f64;
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0), mean }
    }
}

impl Point {
    /// The median over the rounds: what others on the machine do to a round or two is not in it.
    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        let values = self.sorted(of);
        values[values.len() / 2]
    }

    fn best(&self, of: impl Fn(&Round) -> f64) -> f64 {
        self.sorted(of)[0]
    }

    fn sorted(&self, of: impl Fn(&Round) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    fn json(&self) -> serde_json::Value {
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        serde_json::json!({
            "x": self.x,
            "p50": tenths(self.median(|round| round.p50)),
            "p50_best": tenths(self.best(|round| round.p50)),
            "p99": tenths(self.median(|round| round.p99)),
            "p99_best": tenths(self.best(|round| round.p99)),
            "p999": tenths(self.median(|round| round.p999)),
            "max": tenths(self.median(|round| round.max)),
            "mean": tenths(self.median(|round| round.mean)),
            "p50_by_round": self.rounds.iter().map(|round| tenths(round.p50)).collect::<Vec<_>>(),
        })
    }
}

impl Axis {
    pub fn table(&self) -> String {
        let mut out = format!("{}\n", self.title);
        for curve in &self.curves {
            let _ = writeln!(out, "  {}: nanoseconds for {}", curve.name, curve.of);
            let _ = writeln!(
                out,
                "    {:>22} {:>10} {:>10} {:>10} {:>10} {:>12}",
                self.x_label, "p50", "best p50", "p99", "best p99", "max"
            );
            for point in &curve.points {
                let _ = writeln!(
                    out,
                    "    {:>22} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>12.1}",
                    point.x,
                    point.median(|round| round.p50),
                    point.best(|round| round.p50),
                    point.median(|round| round.p99),
                    point.best(|round| round.p99),
                    point.median(|round| round.max),
                );
            }
        }
        out
    }

    pub fn json(&self) -> serde_json::Value {
        let curve = |curve: &Curve| {
            let points: Vec<_> = curve.points.iter().map(Point::json).collect();
            serde_json::json!({ "name": curve.name, "of": curve.of, "points": points })
        };
        let curves: Vec<_> = self.curves.iter().map(curve).collect();
        serde_json::json!({ "title": self.title, "x_label": self.x_label, "curves": curves })
    }
}
