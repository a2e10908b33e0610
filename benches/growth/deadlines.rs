//! More idle connections: what the passing of time costs. They came evenly over a ping interval, and answer each ping.

use std::time::Duration;

use fanwire::limits::Limits;
use fanwire::time::TICK_MS;
use fanwire::wire::ws::Opcode;

use super::curve::{Axis, Curve, Plan, Point, Round};
use super::rig::{self, Bench};

pub fn measure(plan: &Plan) -> Axis {
    let mut curves = [
        Curve { name: "a tick of 50 ms, with its share of the pings", of: "a turn", points: Vec::new() },
        Curve { name: "the same by the connection pinged", of: "a ping", points: Vec::new() },
        Curve { name: "a tick in which nobody is due", of: "a turn", points: Vec::new() },
        Curve { name: "a tick after all came at once", of: "a turn", points: Vec::new() },
    ];
    for connections in plan.scales(&[1_000, 10_000, 100_000, 1_000_000]) {
        let ticks = Limits::default().ping_interval_ms / TICK_MS;
        let mut bench = Bench::new(connections);
        for tick in 0..ticks {
            let by = |tick| u64::from(connections) * tick / ticks;
            bench.open((by(tick + 1) - by(tick)) as u32, "/raw/px.AAPL");
            pass(&mut bench);
        }
        for _ in 0..ticks {
            pass(&mut bench);
        }
        let [steady, by_ping, idle, at_once] = &mut curves;
        let (mut turns, mut pings) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds.min(ROUNDS_MAX) {
            let passed: Vec<(Duration, usize)> = (0..ticks).map(|_| pass(&mut bench)).collect();
            let pinged: usize = passed.iter().map(|(_, pinged)| pinged).sum();
            pings.push(Round::new(vec![passed.iter().map(|(took, _)| *took).sum()], pinged.max(1)));
            turns.push(Round::new(passed.into_iter().map(|(took, _)| took).collect(), 1));
        }
        steady.points.push(Point { x: connections, rounds: turns });
        by_ping.points.push(Point { x: connections, rounds: pings });
        idle.points.push(plan.point(connections, 20_000, 1, || bench.time_turn()));
        drop(bench);
        let mut bench = Bench::new(connections);
        bench.open(connections, "/raw/px.AAPL");
        let busy = |(took, pinged): (Duration, usize)| (pinged > 0).then_some(took);
        let turns: Vec<Duration> = (0..ticks).filter_map(|_| busy(pass(&mut bench))).collect();
        at_once.points.push(Point { x: connections, rounds: vec![Round::new(turns, 1)] });
    }
    Axis { title: "The passing of time: idle connections", x_label: "connections", curves: curves.into() }
}

/// Lets a tick pass, and answers the pings; how long the tick took, and how many were pinged.
fn pass(bench: &mut Bench) -> (Duration, usize) {
    bench.driver.advance_ms(TICK_MS);
    let took = bench.time_turn();
    let pinged: Vec<_> = bench.driver.sent_to().collect();
    let pong = rig::frame(Opcode::Pong, b"");
    pinged.iter().for_each(|conn| bench.driver.receive(*conn, &pong));
    bench.turn();
    (took, pinged.len())
}

/// A round is a whole interval.
const ROUNDS_MAX: usize = 3;
