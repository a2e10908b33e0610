//! Longer messages: received in the portions that a kernel gives, unmasked, and sent to a hundred readers.

use std::time::Duration;

use fanwire::limits::{RECEIVE_BUFFER_LEN, RECEIVE_PER_WAIT_MAX};
use fanwire::wire::ws::Opcode;

use super::curve::{Axis, Curve, Plan};
use super::rig::{self, Bench};

pub fn measure(plan: &Plan) -> Axis {
    let mut curves = [
        Curve { name: "binary", of: "a message to 100 readers", points: Vec::new() },
        Curve { name: "text", of: "a message to 100 readers", points: Vec::new() },
    ];
    let mut bench = Bench::new(READERS + 1);
    bench.open(READERS, "/raw/px.AAPL");
    let publisher = bench.open(1, "/raw/px.AAPL?echo=0")[0];
    for (curve, opcode) in curves.iter_mut().zip([Opcode::Binary, Opcode::Text]) {
        for len in [16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20] {
            let frame = rig::frame(opcode, &vec![b'x'; len]);
            let samples = ((64 << 20) / (len + (8 << 10))).clamp(100, 5_000);
            curve.points.push(plan.point(len as u32, samples, 1, || {
                let mut took = Duration::ZERO;
                for wait in frame.chunks(RECEIVE_PER_WAIT_MAX) {
                    wait.chunks(RECEIVE_BUFFER_LEN).for_each(|portion| bench.driver.receive(publisher, portion));
                    took += bench.time_turn();
                }
                took
            }));
        }
    }
    Axis {
        title: "Bytes of a message: received, unmasked, sent to 100 readers",
        x_label: "bytes",
        curves: curves.into(),
    }
}

const READERS: u32 = 100;
