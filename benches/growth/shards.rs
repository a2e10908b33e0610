//! More shards, stepped in turn by one thread: what they cost each other, not how fast they are together. A shard has a
//! turn when it would have been woken.

use std::cell::Cell;
use std::time::{Duration, Instant};

use fanwire::command::{ConnId, Peer};
use fanwire::limits::Limits;
use fanwire::shard::turn;

use super::curve::{Axis, Curve, Plan};
use super::rig::{self, Bench};

pub fn measure(plan: &Plan) -> Axis {
    let mut curves = [
        Curve { name: "one message to 10,000 readers", of: "a delivery", points: Vec::new() },
        Curve { name: "a message to 10 readers of any of 1,000 topics", of: "a publication", points: Vec::new() },
        Curve { name: "the same, 64 messages a turn", of: "a publication", points: Vec::new() },
    ];
    let [wide, narrow, many] = &mut curves;
    for count in 1..=8 {
        let mut shards = Mesh::new(count, READERS, |_| "/raw/px.AAPL".to_owned());
        let publisher = shards.benches[0].open(1, "/raw/px.AAPL?echo=0")[0];
        let frame = rig::text(&"x".repeat(128));
        wide.points.push(plan.point(count, 100, READERS as usize, || shards.time(publisher, &frame, READERS)));
        let mut rng = fastrand::Rng::with_seed(SEED);
        let mut shards = Mesh::new(count, READERS, |n| format!("/raw/t.{}", n / (READERS / TOPICS)));
        let publisher = shards.benches[0].open(1, "/ws")[0];
        let mut publish = || {
            let topic = rng.u32(0..TOPICS);
            rig::text(&format!(r#"{{"op":"pub","topic":"t.{topic}","data":"{}"}}"#, "x".repeat(126)))
        };
        // The publisher is told, too.
        let each = READERS / TOPICS + 1;
        narrow.points.push(plan.point(count, 2_000, 1, || shards.time(publisher, &publish(), each)));
        many.points.push(plan.point(count, 100, 64, || {
            let frames = [(); 64].map(|()| publish()).concat();
            shards.time(publisher, &frames, 0)
        }));
    }
    Axis { title: "Shards, all of them in one thread", x_label: "shards", curves: curves.into() }
}

struct Mesh {
    benches: Vec<Bench>,
}

impl Mesh {
    /// Readers in all shards in turn, so that those of one topic are in as many as there are.
    fn new(count: u32, readers: u32, path: impl Fn(u32) -> String) -> Self {
        let mut mesh = Self { benches: Bench::mesh(count as usize, readers + 1, Limits::default()) };
        for index in 0..count {
            let own = (readers - index).div_ceil(count);
            mesh.benches[index as usize].open_each(own, |n| path(n * count + index));
        }
        (0..count as usize).for_each(|index| mesh.settle(index));
        mesh
    }

    /// Lets the first shard receive, and all of them get on until nothing is left to do.
    fn time(&mut self, publisher: ConnId, frames: &[u8], sends: u32) -> Duration {
        let sent = |mesh: &Self| mesh.benches.iter().map(|bench| bench.driver.sent().0).sum::<u64>();
        let before = sent(self);
        self.benches[0].driver.receive(publisher, frames);
        let begin = Instant::now();
        self.settle(0);
        let took = begin.elapsed();
        assert!(sent(self) - before >= u64::from(sends), "all of it is out when the shards rest");
        took
    }

    fn settle(&mut self, first: usize) {
        let mut awake = 1_u64 << first;
        while awake != 0 {
            let index = awake.trailing_zeros() as usize;
            let woken = Cell::new(0);
            let Bench { driver, shard, mailbox } = &mut self.benches[index];
            let wake = |peer| match peer {
                Peer::Shard(shard) => woken.set(woken.get() | 1 << shard.0),
                Peer::Engine => unreachable!("there is none"),
            };
            turn(driver, shard, mailbox, wake).expect("nothing goes wrong");
            awake = awake & !(1 << index) | woken.get();
            if !mailbox.park() {
                awake |= 1 << index;
            }
        }
    }
}

const READERS: u32 = 10_000;
const TOPICS: u32 = 1_000;
const SEED: u64 = 0x5eed_0104;
