//! Tests of the simulated kernel beyond the contract suite: that a run repeats itself, that every fault
//! happens, that several shards share one net, and that the shard's mistakes are noticed.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;

use super::*;
use crate::buf::Segment;
use crate::command::ConnId;
use crate::driver::{Completion, Driver, NetError, Op, Wake};

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    for seed in 1..=8 {
        println!("seed {seed}");
        let first = run(seed);
        assert_eq!(first.log, run(seed).log);
        assert_ne!(first.log, run(seed + 1000).log);
    }
}

#[test]
fn every_fault_happens_in_some_run_and_no_run_leaks() {
    let mut total = Tally::default();
    for seed in 1..=64 {
        println!("seed {seed}");
        let Tally { resets, ends, mute_peers, rests, partial_sends } = run(seed).tally;
        total.resets += resets;
        total.ends += ends;
        total.mute_peers += mute_peers;
        total.rests += rests;
        total.partial_sends += partial_sends;
    }
    println!("{total:?}");
    let Tally { resets, ends, mute_peers, rests, partial_sends } = total;
    assert!(resets > 0 && ends > 0 && mute_peers > 0 && rests > 0 && partial_sends > 0);
}

#[test]
fn time_moves_only_when_the_test_moves_it() {
    let net = SimNet::new(1, 2, Faults::NONE);
    let mut drivers = [net.driver(0), net.driver(1)];
    let start = net.now();
    assert_eq!(net.next_deadline(), None);
    for (driver, wait_ms) in drivers.iter_mut().zip([70, 30]) {
        driver.wait(Some(start.plus_millis(wait_ms)), |_, _| panic!("nothing happened")).expect("a wait cannot fail");
    }
    assert_eq!(net.now(), start);
    assert_eq!(net.next_deadline(), Some(start.plus_millis(30)));
    net.advance_to(start.plus_millis(30));
    net.advance_to(start);
    net.advance_ms(5);
    assert_eq!(drivers[0].now(), start.plus_millis(35));
    assert_eq!(drivers[1].now(), net.now());
}

#[test]
fn a_wake_reaches_one_shard_and_is_told_once() {
    let net = SimNet::new(1, 2, Faults::NONE);
    let mut drivers = [net.driver(0), net.driver(1)];
    drivers[1].waker().wake();
    assert!(!net.is_woken(0) && !net.has_work(0));
    assert!(net.is_woken(1) && net.has_work(1));
    let mut told = Vec::new();
    for (shard, driver) in drivers.iter_mut().enumerate() {
        for _ in 0..2 {
            let sink = |_, completion: Completion<'_>| {
                told.push((shard, matches!(completion, Completion::Woken)));
                ControlFlow::Continue(())
            };
            driver.wait(None, sink).expect("a wait cannot fail");
        }
    }
    assert_eq!(told, [(1, true)]);
}

#[test]
fn a_peer_that_closes_resets_what_is_sent_to_it_afterwards() {
    let net = SimNet::new(1, 1, Faults::NONE);
    let mut driver = net.driver(0);
    let (peer, conn) = pair(&net, &mut driver);
    net.close(peer);
    let send = || Op::Send { conn, segments: vec![Segment::copy_of(b"x")] };
    assert_eq!(turn(&mut driver, vec![send()]), ["Sent Ok(1)", "ReceiveClosed Some(Reset)"]);
    assert_eq!(turn(&mut driver, vec![send()]), ["Sent Err(Reset)"]);
}

#[test]
fn a_close_over_unread_bytes_resets() {
    let net = SimNet::new(1, 1, Faults::NONE);
    let mut driver = net.driver(0);
    let (peer, conn) = pair(&net, &mut driver);
    assert_eq!(net.write(peer, b"unread"), 6);
    assert_eq!(turn(&mut driver, vec![Op::Close { conn, abort: false }]), ["Closed"]);
    assert_eq!(net.end(peer), Some(PeerEnd::Reset));
    assert!(net.is_closed_by_server(peer) && net.has_peer_ended(peer));
}

#[test]
#[should_panic(expected = "one send is in flight")]
fn a_second_send_in_flight_is_noticed() {
    let net = SimNet::new(1, 1, Faults::NONE);
    let mut driver = net.driver(0);
    let (_, conn) = pair(&net, &mut driver);
    let send = || Op::Send { conn, segments: vec![Segment::copy_of(b"x")] };
    turn(&mut driver, vec![send(), send()]);
}

#[test]
#[should_panic(expected = "an id is used once")]
fn an_id_that_is_used_twice_is_noticed() {
    let net = SimNet::new(1, 1, Faults::NONE);
    let mut driver = net.driver(0);
    let (_, conn) = pair(&net, &mut driver);
    turn(&mut driver, vec![Op::Close { conn, abort: true }]);
    pair(&net, &mut driver);
}

/// A peer and its connection, which is always the same one.
fn pair(net: &SimNet, driver: &mut SimDriver) -> (PeerId, ConnId) {
    let peer = net.connect(Some(0));
    let conn = ConnId { index: 0, generation: 0 };
    let mut ops = Vec::new();
    let sink = |_, completion: Completion<'_>| {
        if let Completion::Accepted { socket, peer: addr, .. } = completion {
            assert_eq!(addr, net.addr_of(peer));
            ops.push(Op::Adopt { conn, socket });
        }
        ControlFlow::Continue(())
    };
    driver.wait(None, sink).expect("a wait cannot fail");
    driver.submit(&mut ops).expect("a submit cannot fail");
    (peer, conn)
}

/// Submits, waits once, and says in short what came, in a fixed order.
fn turn(driver: &mut SimDriver, mut ops: Vec<Op>) -> Vec<String> {
    driver.submit(&mut ops).expect("a submit cannot fail");
    let mut told = Vec::new();
    let sink = |_, completion: Completion<'_>| {
        told.push(match completion {
            Completion::Sent { result, .. } => format!("Sent {result:?}"),
            Completion::ReceiveClosed { cause, .. } => format!("ReceiveClosed {cause:?}"),
            Completion::Closed { .. } => "Closed".to_owned(),
            other => format!("{other:?}"),
        });
        ControlFlow::Continue(())
    };
    driver.wait(None, sink).expect("a wait cannot fail");
    told
}

#[derive(Debug, Default)]
struct Run {
    log: Vec<String>,
    tally: Tally,
}

/// How often a fault showed.
#[derive(Debug, Default)]
struct Tally {
    resets: usize,
    ends: usize,
    mute_peers: usize,
    rests: usize,
    partial_sends: usize,
}

/// An echo on two shards, whose peers connect, write and read, and never end anything: every end is a fault.
fn run(seed: u64) -> Run {
    let net = SimNet::new(seed, 2, Faults::draw(seed));
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut run = Run::default();
    let mut shards = [0, 1].map(|shard| Echo { driver: net.driver(shard), open: BTreeSet::new(), next_index: 0 });
    let mut peers = Vec::new();
    for _ in 0..600 {
        match rng.u8(0..4) {
            0 if peers.len() < 20 => {
                peers.push(net.connect(None));
                run.tally.mute_peers += usize::from(!net.is_reading(peers[peers.len() - 1]));
            }
            1 | 2 if !peers.is_empty() => {
                let peer = peers[rng.usize(0..peers.len())];
                let count = net.write(peer, &[seed as u8; 700]);
                run.log.push(format!("{peer:?} of {} writes {count}", net.shard_of(peer)));
            }
            _ => {
                for peer in &peers {
                    let read = net.read(*peer);
                    run.log.push(format!("{peer:?} reads {} {:?}", read.len(), net.end(*peer)));
                }
            }
        }
        shards[rng.usize(0..2)].turn(&mut run);
        if !net.has_work(0) && !net.has_work(1) {
            net.advance_to(net.next_deadline().unwrap_or_default());
        }
        run.tally.rests += usize::from(net.0.borrow().shards.iter().any(|shard| shard.rests_until.is_some()));
    }
    for shard in &mut shards {
        let mut ops: Vec<_> =
            std::mem::take(&mut shard.open).into_iter().map(|conn| Op::Close { conn, abort: false }).collect();
        ops.push(Op::StopAccepting);
        shard.driver.submit(&mut ops).expect("a submit cannot fail");
    }
    for _ in 0..1000 {
        shards.iter_mut().for_each(|shard| shard.turn(&mut run));
    }
    assert_eq!(net.holdings(), Holdings::default());
    run
}

/// A shard that sends back what it can, and closes what has ended.
struct Echo {
    driver: SimDriver,
    open: BTreeSet<ConnId>,
    next_index: u32,
}

impl Echo {
    fn turn(&mut self, run: &mut Run) {
        let mut ops = Vec::new();
        let mut closed = BTreeSet::new();
        let until = self.driver.now().plus_millis(50);
        let Self { driver, open, next_index } = self;
        let sink = |now: MonoTime, completion: Completion<'_>| {
            run.log.push(format!("{now:?} {completion:?}"));
            match completion {
                Completion::Accepted { socket, peer, .. } => {
                    assert_eq!(peer.ip(), Ipv4Addr::LOCALHOST);
                    let conn = ConnId { index: *next_index, generation: 0 };
                    *next_index += 1;
                    open.insert(conn);
                    ops.push(Op::Adopt { conn, socket });
                }
                // Reading goes on only after the echo has left.
                Completion::Received { conn, bytes } => {
                    ops.push(Op::PauseReceive { conn });
                    let is_sending = ops.iter().any(|op| matches!(op, Op::Send { conn: other, .. } if *other == conn));
                    if !is_sending {
                        ops.push(Op::Send { conn, segments: vec![Segment::copy_of(bytes)] });
                    }
                }
                Completion::Sent { conn, result: Ok(_), rest } => {
                    let op =
                        if rest.is_empty() { Op::ResumeReceive { conn } } else { Op::Send { conn, segments: rest } };
                    run.tally.partial_sends += usize::from(matches!(op, Op::Send { .. }));
                    ops.push(op);
                }
                Completion::Sent { conn, result: Err(error), .. } => {
                    assert_eq!(error, NetError::Reset);
                    run.tally.resets += 1;
                    closed.insert(conn);
                }
                Completion::ReceiveClosed { conn, cause } => {
                    run.tally.resets += usize::from(cause.is_some());
                    run.tally.ends += usize::from(cause.is_none());
                    closed.insert(conn);
                }
                Completion::Closed { conn } => assert!(!open.contains(&conn)),
                Completion::Connected { .. } | Completion::Woken => panic!("nobody asked for that"),
            }
            ControlFlow::Continue(())
        };
        driver.wait(Some(until), sink).expect("a wait cannot fail");
        // A connection that is closed gets no further operations of this turn.
        ops.retain(|op| !matches!(op, Op::Send { conn, .. } if closed.contains(conn)));
        for conn in closed {
            if open.remove(&conn) {
                ops.push(Op::Close { conn, abort: false });
            }
        }
        driver.submit(&mut ops).expect("a submit cannot fail");
    }
}
