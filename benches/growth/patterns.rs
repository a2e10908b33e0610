//! More patterns with a reader each: few of them match what is said, or all of them do.

use super::curve::{Axis, Curve, Plan};
use super::rig::{self, Bench};

pub fn measure(plan: &Plan) -> Axis {
    let mut curves = [
        Curve { name: "one matches", of: "a publication", points: Vec::new() },
        Curve { name: "one matches, and the patterns have changed", of: "a publication", points: Vec::new() },
        Curve { name: "all match", of: "a delivery", points: Vec::new() },
        Curve { name: "all match, and the patterns have changed", of: "a delivery", points: Vec::new() },
    ];
    let [few, few_anew, all, all_anew] = &mut curves;
    for patterns in plan.scales(&[1, 10, 100, 1_000, 10_000]) {
        let mut rng = fastrand::Rng::with_seed(SEED);
        let topics: Vec<String> = (0..patterns).map(|n| format!("g{n}.x")).collect();
        let mut readers = Readers::new(patterns, |n| format!("g{n}.*"));
        for topic in &topics {
            readers.time(topic);
        }
        few.points.push(plan.point(patterns, 20_000, 1, || readers.time(rng.choice(&topics).expect("one"))));
        // A subscriber of a pattern gets last values, so that all topics are visited: a change is slow itself.
        let samples = (200_000 / patterns as usize).clamp(100, 5_000);
        few_anew.points.push(plan.point(patterns, samples, 1, || {
            readers.change();
            readers.time(rng.choice(&topics).expect("one"))
        }));
        let topic = vec!["a"; TOKENS].join(".");
        let mut readers = Readers::new(patterns, |n| {
            let token = |bit| if (n + 1) >> bit & 1 == 1 { "*" } else { "a" };
            (0..TOKENS).map(token).collect::<Vec<_>>().join(".")
        });
        let samples = (200_000 / patterns as usize).clamp(20, 5_000);
        all.points.push(plan.point(patterns, samples, patterns as usize, || readers.time(&topic)));
        all_anew.points.push(plan.point(patterns, samples, patterns as usize, || {
            readers.change();
            readers.time(&topic)
        }));
    }
    Axis { title: "Publishing: patterns with one reader each", x_label: "patterns", curves: curves.into() }
}

/// Readers of one pattern each, a publisher, and one who comes and goes.
struct Readers {
    bench: Bench,
    publisher: fanwire::command::ConnId,
    guest: fanwire::command::ConnId,
}

impl Readers {
    fn new(count: u32, pattern: impl Fn(u32) -> String) -> Self {
        let mut bench = Bench::new(count + 2);
        let conns = bench.open(count, "/ws");
        for (n, conn) in conns.into_iter().enumerate() {
            bench.say(conn, &rig::text(&format!(r#"{{"op":"sub","topics":["{}"]}}"#, pattern(n as u32))));
        }
        let others = bench.open(2, "/ws");
        Self { bench, publisher: others[0], guest: others[1] }
    }

    fn time(&mut self, topic: &str) -> std::time::Duration {
        let message = format!(r#"{{"op":"pub","topic":"{topic}","data":"{}"}}"#, "x".repeat(126));
        let took = self.bench.time(self.publisher, &rig::text(&message));
        // Completed sends are reported here, so that they are no part of the next publication.
        self.bench.turn();
        took
    }

    fn change(&mut self) {
        for operation in ["sub", "unsub"] {
            self.bench.say(self.guest, &rig::text(&format!(r#"{{"op":"{operation}","topics":["none.*"]}}"#)));
        }
        self.bench.turn();
    }
}

/// Enough for a pattern a number: each of them a token or a star.
const TOKENS: usize = 14;
const SEED: u64 = 0x5eed_0103;
