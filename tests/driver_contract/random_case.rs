//! A long conversation of many connections, drawn from a seed: every operation in every state that the cases by
//! name may have left out. The auditor holds it to the promises; what is checked here is that no byte is lost,
//! doubled or out of order, and that whoever is left at the end gets everything.

use fanwire::buf::Segment;
use fanwire::command::ConnId;
use fanwire::driver::Op;
use fastrand::Rng;

use crate::harness::Harness;
use crate::world::{World, pattern};

pub fn a_random_conversation_keeps_every_promise<H: Harness>(world: &mut World<H>) {
    for round in 0..ROUNDS {
        let mut talk = Talk {
            rng: Rng::with_seed(world.seed.wrapping_mul(1000) + round),
            stream: Segment::from(pattern(STREAM_LEN_MAX)),
            pairs: Vec::new(),
            free: Vec::new(),
        };
        for _ in 0..TURNS {
            talk.act(world);
            if talk.rng.u8(0..4) == 0 {
                world.look();
            }
            talk.go_on(world);
        }
        talk.wind_up(world);
    }
    world.finish();
}

/// A conversation: both sides of each connection say the same stream of bytes, as far as they come.
struct Talk {
    rng: Rng,
    stream: Segment,
    pairs: Vec<Pair>,
    /// Ids that were closed.
    free: Vec<ConnId>,
}

struct Pair {
    peer: usize,
    conn: ConnId,
    /// Bytes that the peer wrote.
    written: usize,
    /// Bytes that the connection was asked to send.
    sent: usize,
    /// The peer ended its side, or one of them reset the connection: no more is written.
    is_ended: bool,
    is_reset: bool,
    is_finished: bool,
}

impl Talk {
    fn act<H: Harness>(&mut self, world: &mut World<H>) {
        let action = self.rng.u8(0..30);
        if self.pairs.len() < 2 || (action == 0 && self.pairs.len() < PAIRS_MAX) {
            return self.open(world);
        }
        let at = self.rng.usize(0..self.pairs.len());
        let len = if self.rng.bool() { self.rng.usize(1..100) } else { self.rng.usize(1..50_000) };
        let pair = &mut self.pairs[at];
        let (peer, conn) = (pair.peer, pair.conn);
        match action {
            1..8 if !pair.is_ended => {
                let len = len.min(self.stream.len() - pair.written);
                pair.written += world.harness.write(peer, &self.stream[pair.written..][..len]);
            }
            8..15 => {
                world.read(peer);
            }
            15..19 if pair.may_send(world) => {
                let len = len.min(self.stream.len() - pair.sent);
                // In one to three segments.
                let cuts = [0, self.rng.usize(0..=len), self.rng.usize(0..=len), len];
                let segments = self.stream.slice(pair.sent..pair.sent + len);
                let segments = cuts.windows(2).filter(|cut| cut[0] < cut[1]).map(|cut| segments.slice(cut[0]..cut[1]));
                // Cuts out of order would leave a gap: then it is one segment after all.
                let is_ordered = cuts.is_sorted();
                let whole = vec![self.stream.slice(pair.sent..pair.sent + len)];
                let segments: Vec<_> = if is_ordered { segments.collect() } else { whole };
                if !segments.is_empty() && len > 0 {
                    pair.sent += len;
                    world.submit(Op::Send { conn, segments });
                }
            }
            19..22 => self.send_many(world, len),
            22 | 23 => world.submit(Op::PauseReceive { conn }),
            24..27 => world.submit(Op::ResumeReceive { conn }),
            27 if self.rng.u8(0..4) == 0 && pair.may_send(world) => {
                pair.is_finished = true;
                world.submit(Op::Finish { conn });
            }
            28 if self.rng.u8(0..4) == 0 && !pair.is_ended => {
                pair.is_ended = true;
                if self.rng.bool() {
                    pair.is_reset = true;
                    world.harness.reset(peer);
                } else {
                    world.harness.half_close(peer);
                }
            }
            29 if self.rng.u8(0..4) == 0 => self.close(world, at),
            _ => {}
        }
    }

    fn open<H: Harness>(&mut self, world: &mut World<H>) {
        let peer = world.harness.connect();
        let socket = world.accept();
        let conn = match self.free.pop() {
            Some(old) => ConnId { index: old.index, generation: old.generation + 1 },
            None => world.fresh_id(),
        };
        world.submit(Op::Adopt { conn, socket });
        let pair = Pair { peer, conn, written: 0, sent: 0, is_ended: false, is_reset: false, is_finished: false };
        self.pairs.push(pair);
    }

    /// One segment to all that stand at the same place of the stream.
    fn send_many<H: Harness>(&mut self, world: &mut World<H>, len: usize) {
        let sent = self.pairs[0].sent;
        let len = len.min(self.stream.len() - sent);
        let mut conns = Vec::new();
        for pair in &mut self.pairs {
            if len > 0 && pair.sent == sent && pair.may_send(world) {
                pair.sent += len;
                conns.push(pair.conn);
            }
        }
        if !conns.is_empty() {
            world.submit(Op::SendMany { segment: self.stream.slice(sent..sent + len), conns });
            // A connection that takes all of it has no `Sent` in the next wait.
            world.look();
        }
    }

    fn close<H: Harness>(&mut self, world: &mut World<H>, at: usize) {
        let pair = self.pairs.swap_remove(at);
        world.submit(Op::Close { conn: pair.conn, abort: self.rng.bool() });
        world.run_until("it is closed", |world| world.conn(pair.conn).is_closed);
        pair.check(world, &self.stream);
        self.free.push(pair.conn);
    }

    /// Sends again what came back.
    fn go_on<H: Harness>(&mut self, world: &mut World<H>) {
        for pair in &mut self.pairs {
            match world.conn(pair.conn).sent.pop_front() {
                Some((Ok(_), rest)) if !rest.is_empty() => world.submit(Op::Send { conn: pair.conn, segments: rest }),
                Some((Err(error), _)) => {
                    assert!(pair.is_reset, "a send fails for a reason: {error:?}");
                    pair.is_finished = true;
                }
                _ => {}
            }
        }
    }

    /// Every connection that is left gets everything, in both directions.
    fn wind_up<H: Harness>(&mut self, world: &mut World<H>) {
        for pair in &self.pairs {
            world.submit(Op::ResumeReceive { conn: pair.conn });
        }
        world.run_until("everything has arrived", |world| {
            self.go_on(world);
            self.pairs.iter().all(|pair| {
                let has_read = world.read(pair.peer) == pair.sent;
                let conn = world.conn(pair.conn);
                let has_end = !pair.is_ended || conn.receive_closed.is_some();
                has_end && (pair.is_reset || (has_read && conn.received.len() == pair.written && !conn.is_sending()))
            })
        });
        while !self.pairs.is_empty() {
            self.close(world, 0);
        }
    }
}

impl Pair {
    fn may_send<H: Harness>(&self, world: &mut World<H>) -> bool {
        let conn = world.conn(self.conn);
        !self.is_finished && !conn.is_sending() && conn.sent.is_empty()
    }

    /// The bytes at either end are the beginning of the stream.
    fn check<H: Harness>(&self, world: &mut World<H>, stream: &[u8]) {
        let read = world.read(self.peer);
        assert!(read <= self.sent);
        assert!(world.read[&self.peer] == stream[..read], "the peer reads what was sent, in order");
        let received = &world.conn(self.conn).received;
        assert!(received.len() <= self.written);
        assert!(*received == stream[..received.len()], "what the peer wrote is received, in order");
    }
}

/// Conversations for each seed.
const ROUNDS: u64 = 2;
/// Things that happen in one conversation.
const TURNS: usize = 1500;
/// Connections at a time.
const PAIRS_MAX: usize = 12;
/// Bytes that one side can say in one conversation.
const STREAM_LEN_MAX: usize = 8 * 1024 * 1024;
