//! More subscribers of one topic: what it costs one of them to leave, and to come back, by the JSON dialect.

use super::curve::{Axis, Curve, Plan, Point, Round};
use super::rig::{self, Bench};

pub fn measure(plan: &Plan) -> Axis {
    let mut curves = [
        Curve { name: "subscribe", of: "a turn with one operation", points: Vec::new() },
        Curve { name: "leave", of: "a turn with one operation", points: Vec::new() },
        Curve { name: "leave and come back, 64 of them a turn", of: "an operation", points: Vec::new() },
    ];
    let subscribe = rig::text(r#"{"op":"sub","topics":["px.AAPL"]}"#);
    let leave = rig::text(r#"{"op":"unsub","topics":["px.AAPL"]}"#);
    for members in plan.scales(&[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]) {
        let mut bench = Bench::new(members + 1);
        // One who stays, so that the topic does.
        bench.open(1, "/raw/px.AAPL");
        let conns = bench.open(members, "/ws");
        for portion in conns.chunks(256) {
            portion.iter().for_each(|conn| bench.driver.receive(*conn, &subscribe));
            bench.turn();
        }
        bench.turn();
        let mut rng = fastrand::Rng::with_seed(SEED);
        let (mut joins, mut leaves) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            let (mut join_times, mut leave_times) = (Vec::new(), Vec::new());
            for _ in 0..SAMPLES {
                let conn = conns[rng.usize(0..conns.len())];
                leave_times.push(bench.time(conn, &leave));
                // So that the next one finds nothing of this one in the caches.
                let other = conns[rng.usize(0..conns.len())];
                bench.say(other, &leave);
                join_times.push(bench.time(conn, &subscribe));
                bench.say(other, &subscribe);
            }
            joins.push(Round::new(join_times, 1));
            leaves.push(Round::new(leave_times, 1));
        }
        let [join_curve, leave_curve, both] = &mut curves;
        join_curve.points.push(Point { x: members, rounds: joins });
        leave_curve.points.push(Point { x: members, rounds: leaves });
        both.points.push(plan.point(members, 500, 128, || {
            for _ in 0..64 {
                let conn = conns[rng.usize(0..conns.len())];
                bench.driver.receive(conn, &leave);
                bench.driver.receive(conn, &subscribe);
            }
            bench.time_turn()
        }));
    }
    Axis { title: "Subscribing and leaving: members of the topic", x_label: "members", curves: curves.into() }
}

const SAMPLES: usize = 20_000;
const SEED: u64 = 0x5eed_0102;
