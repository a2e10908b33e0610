//! `ramp`: ever more messages a second until p99 passes a bound, then closer to where it did.

use super::record::{connect_all, headline, record_round};
use super::run::Run;
use crate::fleet::Fleet;
use crate::protocol::{Failures, Traffic};
use crate::report::text::micros;
use crate::report::{CLIENT_SHARE_MAX, Ramp, Report, RoundReport};

/// How the rate goes up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    pub(super) from: f64,
    pub(super) factor: f64,
    pub(super) bound_us: f64,
    pub(super) duration_ms: u64,
}

pub(super) fn run(run: &Run, fleet: &mut Fleet, report: &mut Report, steps: Steps) {
    if !connect_all(run, fleet, report) {
        return;
    }
    let mut search = Search::new(steps.from, steps.factor);
    let mut ramp = Ramp { bound_us: steps.bound_us, ..Ramp::default() };
    let (mut knee, mut errors_past_it) = (0, None);
    while let Some(rate) = search.next_rate() {
        let traffic = Traffic::Rate { per_second: rate, batch: 1 };
        let name = format!("step {}", report.rounds.len() + 1);
        let outcome = fleet.round(&name, traffic, steps.duration_ms);
        let errors_before = report.errors.clone();
        record_round(report, &name, traffic, &outcome);
        if fleet.is_interrupted() {
            break;
        }
        let Some(round) = report.rounds.last() else { break };
        let lost = &outcome.ended.failures;
        let broken_by = lost_by(lost).or_else(|| broken_by(round, steps.bound_us));
        let has_nothing = round.deliveries == 0;
        if broken_by.is_none() {
            knee = report.rounds.len() - 1;
            ramp.knee_per_second = Some(rate);
            ramp.knee_deliveries_per_second = Some(round.deliveries_per_second);
        } else {
            // Past the knee, a server may lose connections: that is what it broke by, and they are asked back.
            errors_past_it = Some(std::mem::replace(&mut report.errors, errors_before));
            if lost.total() > 0 {
                fleet.connect(1000, run.connect_rate, u64::from(run.connections));
            }
        }
        search.told(broken_by.is_none());
        if search.broke == Some(rate) {
            ramp.broken_per_second = Some(rate);
            ramp.broken_by = broken_by;
        }
        if has_nothing {
            break;
        }
    }
    if let Some(errors) = errors_past_it.filter(|_| ramp.knee_per_second.is_none()) {
        report.errors = errors;
    }
    headline(report, knee);
    report.ramp = Some(ramp);
}

/// The fate of connections in a step that lost some.
fn lost_by(lost: &Failures) -> Option<String> {
    let kinds: Vec<String> = lost.0.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
    (!kinds.is_empty()).then(|| kinds.join(", "))
}

/// Why a step is past the knee, if it is.
fn broken_by(round: &RoundReport, bound_us: f64) -> Option<String> {
    let p99_us = round.latency.map_or(f64::INFINITY, |told| told.p99_us);
    let reach = round.reach.unwrap_or(0.0);
    if reach < REACH_MIN {
        return Some(format!("reach {reach:.4}"));
    }
    if p99_us <= bound_us {
        return None;
    }
    let client = if round.client_cpu_share > CLIENT_SHARE_MAX { ", with a busy client" } else { "" };
    Some(format!("p99 {}{client}", micros(p99_us)))
}

/// Up by a factor until it breaks, or down until it holds; then between the last that held and the first that did not.
/// One late moment breaks nothing: a rate breaks when it does so twice in a row.
/// ```text
///            holds: the next higher
///    ┌──────────────────────────────────────────┐
///    ▼       breaks                 holds       │
///   Rate ─────────────▶ Same again ─────────────┤
///    ▲                      │ breaks            │
///    └──────────────────────┴───────────────────┘
///       the next lower
/// ```
#[derive(Debug)]
struct Search {
    rate: f64,
    factor: f64,
    held: Option<f64>,
    broke: Option<f64>,
    /// The rate broke once, and is tried again.
    is_doubted: bool,
    steps_left: u32,
}

impl Search {
    fn new(from: f64, factor: f64) -> Self {
        Self { rate: from, factor, held: None, broke: None, is_doubted: false, steps_left: STEPS_MAX }
    }

    fn next_rate(&mut self) -> Option<f64> {
        self.steps_left = self.steps_left.checked_sub(1)?;
        match (self.held, self.broke) {
            _ if self.is_doubted => {}
            (None, None) => {}
            (Some(held), None) => self.rate = held * self.factor,
            (Some(held), Some(broke)) if broke / held > CLOSE_ENOUGH => self.rate = (held * broke).sqrt(),
            (None, Some(broke)) if broke / self.factor >= RATE_MIN => self.rate = broke / self.factor,
            (_, Some(_)) => return None,
        }
        Some(self.rate)
    }

    fn told(&mut self, holds: bool) {
        if holds {
            self.held = Some(self.rate);
            self.is_doubted = false;
        } else if self.is_doubted {
            self.broke = Some(self.rate);
            self.is_doubted = false;
        } else {
            self.is_doubted = true;
        }
    }
}

/// The least reach of a step that holds.
const REACH_MIN: f64 = 0.999;

/// Messages a second below which nothing is tried.
const RATE_MIN: f64 = 1.0;

/// Steps of a ramp, at most.
const STEPS_MAX: u32 = 40;

/// The knee is known when the first rate that broke is this much higher than the last that held.
const CLOSE_ENOUGH: f64 = 1.12;

#[cfg(test)]
mod tests {
    use super::*;

    fn knee(from: f64, limit: f64) -> (Option<f64>, u32) {
        let mut search = Search::new(from, 2.0);
        let mut steps = 0;
        while let Some(rate) = search.next_rate() {
            search.told(rate <= limit);
            steps += 1;
        }
        (search.held, steps)
    }

    #[test]
    fn the_search_ends_just_below_the_limit() {
        for limit in [3.0, 100.0, 12_345.0, 1e6] {
            let (held, steps) = knee(100.0, limit);
            let held = held.expect("a rate holds");
            assert!(held <= limit && held * CLOSE_ENOUGH > limit, "{held} for {limit}");
            assert!(steps < STEPS_MAX);
        }
    }

    #[test]
    fn a_search_without_a_limit_or_without_hope_ends() {
        assert_eq!(knee(100.0, f64::INFINITY).1, STEPS_MAX);
        let (held, steps) = knee(100.0, 0.5);
        assert!(held.is_none() && steps < STEPS_MAX, "{steps}");
    }

    #[test]
    fn one_late_moment_breaks_no_rate_and_ends_no_search() {
        // The step with this number is late for another reason than its rate.
        for late in 0..12 {
            let mut search = Search::new(100.0, 2.0);
            let mut steps = 0;
            while let Some(rate) = search.next_rate() {
                search.told(rate <= 1_000.0 && steps != late);
                steps += 1;
            }
            let held = search.held.expect("a rate holds");
            assert!(held <= 1_000.0 && held * CLOSE_ENOUGH > 1_000.0, "{held} with step {late} late");
        }
    }

    #[test]
    fn a_step_breaks_by_its_reach_or_its_p99() {
        let latency = crate::latency::Percentiles { p99_us: 500.0, ..Default::default() };
        let round = RoundReport { reach: Some(1.0), latency: Some(latency), ..RoundReport::default() };
        assert_eq!(broken_by(&round, 500.0), None);
        assert_eq!(broken_by(&round, 499.0).as_deref(), Some("p99 500.00 us"));
        assert_eq!(broken_by(&RoundReport { reach: Some(0.5), ..round }, 500.0).as_deref(), Some("reach 0.5000"));
        assert_eq!(broken_by(&RoundReport::default(), 500.0).as_deref(), Some("reach 0.0000"));
    }
}
