//! The cases about how connections come in and go out, and about waiting itself.

use fanwire::buf::Segment;
use fanwire::driver::sim::PeerEnd;
use fanwire::driver::{Driver, NetError, Op, Wake};
use fanwire::limits::{ACCEPT_BACKOFF_MS, ACCEPT_PER_WAIT_MAX};

use crate::harness::{Harness, Isolation};
use crate::world::World;

// Promise 8: no descriptors, no exit, no spin.

pub fn running_out_of_descriptors_rests_the_listener<H: Harness>(world: &mut World<H>) {
    if H::isolate("running_out_of_descriptors_rests_the_listener") == Isolation::Elsewhere {
        return;
    }
    let (peer, conn) = world.pair();
    let waiting = [(); 3].map(|()| world.harness.connect());
    world.harness.exhaust_descriptors();
    let start = world.now();
    let mut waits = 0;
    while world.now() < start.plus_millis(4 * ACCEPT_BACKOFF_MS) {
        let until = world.now().plus_millis(10 * ACCEPT_BACKOFF_MS);
        world.wait(until);
        waits += 1;
        assert!(world.audit.sockets.is_empty(), "nobody is accepted without descriptors");
    }
    assert!(waits < 20, "{waits} waits are a spin");
    // Accepted connections are served meanwhile.
    world.write_all(peer, b"hello");
    world.run_until("a message is received", |world| world.conn(conn).received == b"hello");

    world.harness.restore_descriptors();
    world.run_until("everybody is accepted", |world| world.audit.sockets.len() == waiting.len());
    world.finish();
}

pub fn a_burst_of_connections_is_accepted_completely<H: Harness>(world: &mut World<H>) {
    let peers: Vec<_> = (0..BURST_LEN).map(|_| world.harness.connect()).collect();
    let mut conns = Vec::new();
    world.run_until("everybody is adopted", |world| {
        assert!(world.audit.told <= ACCEPT_PER_WAIT_MAX, "a batch has a bound");
        while let Some(socket) = world.audit.sockets.pop_front() {
            let conn = world.fresh_id();
            world.submit(Op::Adopt { conn, socket });
            conns.push(conn);
        }
        conns.len() == BURST_LEN
    });
    world.submit(Op::SendMany { segment: Segment::copy_of(b"welcome"), conns: conns.clone() });
    world.step();
    world.run_until("everybody has read", |world| {
        for conn in &conns {
            if let Some((result, rest)) = world.conn(*conn).sent.pop_front() {
                result.expect("the connection is well");
                if !rest.is_empty() {
                    world.submit(Op::Send { conn: *conn, segments: rest });
                }
            }
        }
        peers.iter().all(|peer| world.read(*peer) == b"welcome".len())
    });
    world.finish();
}

/// More than one batch.
const BURST_LEN: usize = 300;

pub fn a_refused_connection_is_closed<H: Harness>(world: &mut World<H>) {
    let peer = world.harness.connect();
    let socket = world.accept();
    world.submit(Op::Refuse { socket, words: b"" });
    world.expect_end(peer, PeerEnd::Finished);
    world.finish();
}

pub fn a_refused_connection_hears_the_words_before_its_end<H: Harness>(world: &mut World<H>) {
    let peer = world.harness.connect();
    let socket = world.accept();
    world.submit(Op::Refuse { socket, words: b"no room" });
    world.run_until("the peer hears why", |world| world.read(peer) == b"no room".len());
    world.expect_end(peer, PeerEnd::Finished);
    world.finish();
}

pub fn no_connection_is_accepted_after_stop_accepting<H: Harness>(world: &mut World<H>) {
    let (peer, conn) = world.pair();
    let late = world.harness.connect();
    world.submit(Op::StopAccepting);
    world.settle();
    assert!(world.audit.sockets.is_empty(), "nobody is accepted any more");
    world.expect_end(late, PeerEnd::Reset);
    // Accepted connections stay.
    world.write_all(peer, b"hello");
    world.run_until("a message is received", |world| world.conn(conn).received == b"hello");
    world.finish();
}

pub fn connecting_reaches_a_listener_and_nothing_else<H: Harness>(world: &mut World<H>) {
    let addr = world.harness.reachable();
    let conn = world.fresh_id();
    world.submit(Op::Connect { conn, peer: addr });
    world.run_until("the connect ends", |world| world.conn(conn).connected.is_some());
    assert_eq!(world.conn(conn).connected, Some(Ok(())));
    let mut peer = None;
    world.run_until("the listener has it", |world| {
        peer = peer.or_else(|| world.harness.reached());
        peer.is_some()
    });
    let peer = peer.expect("it was reached");
    world.write_all(peer, b"who is there?");
    world.run_until("it receives", |world| world.conn(conn).received == b"who is there?");
    world.fill(conn);
    world.drive_send(peer, conn);
    world.expect_read(peer, &World::<H>::bulk());

    for addr in world.harness.unreachable() {
        let lost = world.fresh_id();
        world.submit(Op::Connect { conn: lost, peer: addr });
        world.run_until("the connect ends", |world| world.conn(lost).connected.is_some());
        assert_eq!(world.conn(lost).connected, Some(Err(NetError::Unreachable)), "{addr}");
    }
    world.finish();
}

pub fn a_connect_that_is_closed_stays_silent<H: Harness>(world: &mut World<H>) {
    let [refusing, failing] = world.harness.unreachable();
    for addr in [world.harness.reachable(), refusing, failing] {
        let conn = world.fresh_id();
        world.submit(Op::Connect { conn, peer: addr });
        world.submit(Op::Close { conn, abort: true });
        world.run_until("the close is answered", |world| world.conn(conn).is_closed);
        world.settle();
        assert_eq!(world.conn(conn).connected, None);
    }
    world.finish();
}

pub fn a_wake_ends_the_wait<H: Harness>(world: &mut World<H>) {
    world.settle();
    // Before the wait, from another thread; twice counts as once.
    let waker = world.harness.driver().waker();
    std::thread::spawn(move || {
        waker.wake();
        waker.clone().wake();
    })
    .join()
    .expect("a wake cannot fail");
    world.expect_within_one_wait("Woken", |world| world.audit.woken == 1);
    world.settle();
    assert_eq!(world.audit.woken, 1);
    world.finish();
}

pub fn a_wake_during_the_wait_ends_it<H: Harness>(world: &mut World<H>) {
    world.settle();
    let waker = world.harness.driver().waker();
    let other = std::thread::spawn(move || waker.wake());
    world.expect_within_one_wait("Woken", |world| world.audit.woken == 1);
    other.join().expect("a wake cannot fail");
    world.finish();
}

pub fn a_wait_ends_at_its_deadline<H: Harness>(world: &mut World<H>) {
    world.settle();
    let until = world.now().plus_millis(20);
    world.wait(until);
    assert_eq!(world.audit.told, 0);
    assert!(world.now() >= until, "the wait ends at its deadline, not before");
    // One that has passed already does not block: if it did, it would do so for ever.
    world.wait(until);
    world.finish();
}
