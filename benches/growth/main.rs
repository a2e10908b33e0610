//! The growth of costs with the number of readers, topics, members of a topic, deadlines, patterns, bytes of a
//! message and shards. Whole shards run over a kernel that takes everything at once, so that only the gateway's own
//! cost is measured.
//!
//! `cargo bench --bench growth`; names of axes as arguments run those, `--json FILE` writes the curves, `--quick` takes
//! a point of each thousand. `scripts/growth.py` makes a record and charts of it. Nothing here is a test.

#[path = "../rig/mod.rs"]
mod rig;

mod curve;
mod deadlines;
mod members;
mod patterns;
mod readers;
mod shards;
mod sizes;
mod topics;

use std::time::{Duration, Instant};

use curve::{Axis, Plan};

type Measure = fn(&Plan) -> Axis;

/// The axes, by name.
const AXES: [(&str, Measure); 7] = [
    ("readers", readers::measure),
    ("topics", topics::measure),
    ("members", members::measure),
    ("deadlines", deadlines::measure),
    ("patterns", patterns::measure),
    ("sizes", sizes::measure),
    ("shards", shards::measure),
];

fn main() {
    let mut wanted = Vec::new();
    let (mut json, mut plan) = (None, Plan { rounds: 7, scale_max: u32::MAX });
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &*argument {
            // The argument that cargo gives to every bench.
            "--bench" => {}
            "--json" => json = Some(arguments.next().expect("--json FILE")),
            "--quick" => plan = Plan { rounds: 1, scale_max: 1_000 },
            name if AXES.iter().any(|(known, _)| *known == name) => wanted.push(argument),
            other => panic!("{other} is no axis; there are: {:?}", AXES.map(|(name, _)| name)),
        }
    }
    let clock_ns = clock_cost().as_nanos();
    println!("reading the clock takes {clock_ns} ns, which every sample has in it");
    let mut axes = Vec::new();
    for (name, measure) in AXES {
        if wanted.is_empty() || wanted.iter().any(|it| it == name) {
            let begin = Instant::now();
            let axis = measure(&plan);
            println!("\n{}({:.0} s)", axis.table(), begin.elapsed().as_secs_f64());
            axes.push((name, axis));
        }
    }
    if let Some(path) = json {
        let axes: serde_json::Map<_, _> = axes.iter().map(|(name, axis)| ((*name).to_owned(), axis.json())).collect();
        let text = serde_json::json!({ "clock_ns": clock_ns as u64, "rounds": plan.rounds, "axes": axes });
        std::fs::write(&path, format!("{text:#}\n")).expect("the file can be written");
    }
}

fn clock_cost() -> Duration {
    let mut times: Vec<Duration> = (0..10_001).map(|_| Instant::now().elapsed()).collect();
    times.sort_unstable();
    times[times.len() / 2]
}
