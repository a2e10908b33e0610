//! More readers of one topic: the walk over them.

use super::curve::{Axis, Curve, Plan};
use super::rig::{self, Bench};

pub fn measure(plan: &Plan) -> Axis {
    let mut curves = [
        Curve { name: "one message a turn", of: "a delivery", points: Vec::new() },
        Curve { name: "32 messages a turn", of: "a delivery", points: Vec::new() },
    ];
    for readers in plan.scales(&[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]) {
        let mut bench = Bench::new(readers + 1);
        bench.open(readers, "/raw/px.AAPL");
        let publisher = bench.open(1, "/raw/px.AAPL?echo=0")[0];
        for (curve, messages) in curves.iter_mut().zip([1, 32]) {
            let frames = rig::text(&"x".repeat(128)).repeat(messages);
            let deliveries = readers as usize * messages;
            let samples = (2_000_000 / readers as usize).clamp(20, 20_000);
            curve.points.push(plan.point(readers, samples, deliveries, || bench.time(publisher, &frames)));
        }
    }
    Axis { title: "Fan-out: readers of one topic", x_label: "readers", curves: curves.into() }
}
