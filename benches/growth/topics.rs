//! More topics, each with ten readers: what a publication to any of them costs.

use super::curve::{Axis, Curve, Plan};
use super::rig::{self, Bench};

pub fn measure(plan: &Plan) -> Axis {
    let mut curves = [
        Curve { name: "any topic, one message a turn", of: "a publication", points: Vec::new() },
        Curve { name: "any topic, 64 messages a turn", of: "a publication", points: Vec::new() },
        Curve { name: "always the same ten, one message a turn", of: "a publication", points: Vec::new() },
    ];
    for topics in plan.scales(&[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]) {
        let mut bench = Bench::new(topics * READERS + 1);
        // So that the readers of a topic do not stand next to each other.
        bench.open_each(topics * READERS, |n| format!("/raw/t.{}", n % topics));
        let publisher = bench.open(1, "/ws")[0];
        for topic in 0..topics {
            bench.say(publisher, &publish(topic));
        }
        let mut rng = fastrand::Rng::with_seed(SEED);
        let [any, many, same] = &mut curves;
        any.points.push(plan.point(topics, 20_000, 1, || {
            let frame = publish(rng.u32(0..topics));
            bench.time(publisher, &frame)
        }));
        many.points.push(plan.point(topics, 1_000, 64, || {
            let frames = [(); 64].map(|()| publish(rng.u32(0..topics))).concat();
            bench.time(publisher, &frames)
        }));
        same.points.push(plan.point(topics, 20_000, 1, || {
            let frame = publish(rng.u32(0..topics.min(10)));
            bench.time(publisher, &frame)
        }));
    }
    Axis { title: "Publishing: topics with ten readers each", x_label: "topics", curves: curves.into() }
}

fn publish(topic: u32) -> Vec<u8> {
    rig::text(&format!(r#"{{"op":"pub","topic":"t.{topic}","data":"{}"}}"#, "x".repeat(126)))
}

const READERS: u32 = 10;
const SEED: u64 = 0x5eed_0101;
