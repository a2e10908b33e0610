//! The cases, in the order of the promises.

use fanwire::buf::Segment;
use fanwire::command::ConnId;
use fanwire::driver::sim::PeerEnd;
use fanwire::driver::{NetError, Op};
use fanwire::limits::{RECEIVE_PER_WAIT_MAX, SEGMENTS_PER_SEND_MAX};

use crate::harness::Harness;
use crate::world::{World, pattern};

// Promise 1: bytes are lent.

pub fn received_bytes_are_lent_and_may_be_changed_in_place<H: Harness>(world: &mut World<H>) {
    let (peer, conn) = world.pair();
    // The auditor overwrites what it was lent; the second, shorter message must show nothing of that.
    for message in [&b"a first and longer message"[..], b"a second"] {
        world.conn(conn).received.clear();
        world.write_all(peer, message);
        world.run_until("the message is received", |world| world.conn(conn).received.len() >= message.len());
        assert_eq!(world.conn(conn).received, message);
    }
    world.finish();
}

// Promise 2: one send in flight, progress, order.

pub fn sent_gives_back_what_was_not_taken_and_order_holds<H: Harness>(world: &mut World<H>) {
    let (peer, conn) = world.pair();
    let bytes = World::<H>::bulk();
    let block = Segment::copy_of(&bytes);
    let third = bytes.len() / 3;
    let segments = vec![block.slice(0..third), block.slice(third..third + 1), block.slice(third + 1..bytes.len())];
    world.submit(Op::Send { conn, segments });
    world.run_until("the first Sent comes", |world| !world.conn(conn).sent.is_empty());
    let (_, rest) = &world.conn(conn).sent[0];
    assert!(!rest.is_empty(), "nobody reads, so not all of it is taken");
    world.drive_send(peer, conn);
    world.expect_read(peer, &bytes);
    world.finish();
}

pub fn a_send_of_many_segments_arrives_in_order<H: Harness>(world: &mut World<H>) {
    let (peer, conn) = world.pair();
    let bytes = pattern(SEGMENTS_PER_SEND_MAX * 7);
    let segments: Vec<_> = bytes.chunks(7).map(Segment::copy_of).collect();
    assert_eq!(segments.len(), SEGMENTS_PER_SEND_MAX);
    world.submit(Op::Send { conn, segments });
    world.drive_send(peer, conn);
    world.expect_read(peer, &bytes);
    world.finish();
}

pub fn a_send_without_room_is_held_until_there_is_some<H: Harness>(world: &mut World<H>) {
    let (peer, conn) = world.pair();
    world.fill(conn);
    world.settle();
    assert!(world.conn(conn).sent.is_empty(), "without room there is nothing to tell");
    world.drive_send(peer, conn);
    world.expect_read(peer, &World::<H>::bulk());

    // The connection is as good as before: bytes come in, and a send that fits goes out.
    world.write_all(peer, b"still here");
    world.run_until("the message is received", |world| world.conn(conn).received.len() == 10);
    world.submit(Op::Send { conn, segments: vec![Segment::copy_of(b"me too")] });
    world.drive_send(peer, conn);
    world.expect_read(peer, &[&World::<H>::bulk()[..], b"me too"].concat());
    world.finish();
}

// Promise 3: one segment to many, tried once.

pub fn a_send_to_many_brings_back_only_those_who_did_not_take_all<H: Harness>(world: &mut World<H>) {
    let pairs: Vec<_> = (0..4).map(|_| world.pair()).collect();
    let (stuck_peer, stuck) = pairs[1];
    let block = Segment::from(World::<H>::bulk());
    let mut sent = 0;
    // Everybody but one reads; that one comes back as soon as it has no room, and the others never do.
    while world.conn(stuck).sent.is_empty() {
        assert!(sent < block.len(), "a peer that does not read takes less than this");
        let message = block.slice(sent..sent + MANY_LEN);
        world.submit(Op::SendMany { segment: message, conns: pairs.iter().map(|(_, conn)| *conn).collect() });
        sent += MANY_LEN;
        world.step();
        for (peer, conn) in pairs.iter().copied().filter(|(_, conn)| *conn != stuck) {
            assert!(H::IS_LATE || world.conn(conn).sent.is_empty(), "there was room for everything");
            world.drive_send(peer, conn);
            world.expect_read(peer, &block[..sent]);
        }
    }
    let (_, rest) = &world.conn(stuck).sent[0];
    assert!(!rest.is_empty());
    world.drive_send(stuck_peer, stuck);
    world.expect_read(stuck_peer, &block[..sent]);
    world.finish();
}

/// Bytes of a message to many; it divides the bulk.
const MANY_LEN: usize = 1024;

// Promise 4: exactly one Closed, then silence. The auditor sees to the silence.

pub fn a_close_is_answered_once_and_drops_what_is_in_flight<H: Harness>(world: &mut World<H>) {
    // A held send, unread bytes, a `Sent` that is queued, and one of a send to many: none comes after the close.
    let (_held_peer, held) = world.pair();
    world.fill(held);
    let (unread_peer, unread) = world.pair();
    world.submit(Op::PauseReceive { conn: unread });
    world.write_all(unread_peer, b"never read");
    let (_queued_peer, queued) = world.pair();
    let (_many_peer, many) = world.pair();
    world.submit(Op::Send { conn: queued, segments: vec![Segment::copy_of(b"sent")] });
    world.submit(Op::SendMany { segment: Segment::from(World::<H>::bulk()), conns: vec![many] });
    for conn in [held, unread, queued, many] {
        world.submit(Op::Close { conn, abort: false });
        world.submit(Op::Close { conn, abort: true });
    }
    world.run_until("every close is answered", |world| {
        [held, unread, queued, many].iter().all(|conn| world.conn(*conn).is_closed)
    });
    world.settle();
    world.finish();
}

pub fn an_id_is_used_again_after_its_closed<H: Harness>(world: &mut World<H>) {
    let (_, first) = world.pair();
    world.fill(first);
    world.submit(Op::Close { conn: first, abort: true });
    world.run_until("the id is free", |world| world.conn(first).is_closed);

    let peer = world.harness.connect();
    let socket = world.accept();
    let second = ConnId { index: first.index, generation: first.generation + 1 };
    world.submit(Op::Adopt { conn: second, socket });
    // An op for the first connection does nothing to the second.
    world.submit(Op::Send { conn: first, segments: vec![Segment::copy_of(b"stale")] });
    world.submit(Op::SendMany { segment: Segment::copy_of(b"stale"), conns: vec![first] });
    world.submit(Op::PauseReceive { conn: first });
    world.submit(Op::Finish { conn: first });
    world.submit(Op::Close { conn: first, abort: true });
    world.write_all(peer, b"hello");
    world.run_until("the second receives", |world| world.conn(second).received == b"hello");
    world.submit(Op::Send { conn: second, segments: vec![Segment::copy_of(b"welcome")] });
    world.drive_send(peer, second);
    world.expect_read(peer, b"welcome");
    world.finish();
}

pub fn a_close_in_order_delivers_what_was_sent_before<H: Harness>(world: &mut World<H>) {
    let (peer, conn) = world.pair();
    world.submit(Op::Send { conn, segments: vec![Segment::copy_of(b"last words")] });
    world.drive_send(peer, conn);
    world.submit(Op::Close { conn, abort: false });
    world.expect_end(peer, PeerEnd::Finished);
    assert_eq!(world.read[&peer], b"last words");
    world.finish();
}

pub fn an_aborted_connection_is_reset<H: Harness>(world: &mut World<H>) {
    let (peer, conn) = world.pair();
    world.fill(conn);
    world.submit(Op::Close { conn, abort: true });
    world.expect_end(peer, PeerEnd::Reset);
    assert!(world.read[&peer].len() < H::BULK_LEN);
    world.finish();
}

// Promise 5: no completion inside submit, which has no way to hand one out; what it brings about ends the next wait.

pub fn completions_come_with_the_next_wait_and_not_later<H: Harness>(world: &mut World<H>) {
    let (_, conn) = world.pair();
    world.settle();
    world.submit(Op::Send { conn, segments: vec![Segment::copy_of(b"x")] });
    world.expect_within_one_wait("Sent", |world| !world.conn(conn).sent.is_empty());
    world.submit(Op::Close { conn, abort: false });
    world.expect_within_one_wait("Closed", |world| world.conn(conn).is_closed);
    world.finish();
}

// Promise 6: a budget for each connection and wait.

pub fn a_fast_peer_gets_its_budget_and_its_neighbour_is_served<H: Harness>(world: &mut World<H>) {
    let (fast_peer, fast) = world.pair();
    let (slow_peer, slow) = world.pair();
    let bytes = pattern(H::STREAM_LEN);
    let mut written = 0;
    while world.conn(fast).received.len() < bytes.len() {
        // The peer gets as far ahead as it can. Real windows widen as the bytes flow.
        world.submit(Op::PauseReceive { conn: fast });
        written += world.write_all_that_fits(fast_peer, &bytes[written..]);
        world.submit(Op::ResumeReceive { conn: fast });
        world.conn(slow).received.clear();
        world.write_all_at_once(slow_peer, b"me too");
        world.step();
        if !H::IS_LATE {
            assert!(world.conn(fast).received_in_wait > 0, "the fast one is served");
            assert_eq!(world.conn(slow).received, b"me too", "the neighbour is served in the same wait");
        }
        world.settle();
    }
    assert!(world.conn(fast).received == bytes, "everything is received, in order");

    if H::EXCEEDS_BUDGET {
        // All of it lies in the kernel, which has nothing new to say about the part that is over the budget.
        let over = 12_345;
        world.submit(Op::PauseReceive { conn: fast });
        let bytes = pattern(RECEIVE_PER_WAIT_MAX + over);
        assert_eq!(world.write_all_that_fits(fast_peer, &bytes), bytes.len(), "the window is wide by now");
        world.submit(Op::ResumeReceive { conn: fast });
        world.step();
        assert_eq!(world.conn(fast).received_in_wait, RECEIVE_PER_WAIT_MAX);
        world.expect_within_one_wait("what is over the budget", |world| world.conn(fast).received_in_wait == over);
    }
    world.finish();
}

// Promise 7: pause and resume.

pub fn nothing_is_lost_while_receiving_is_paused<H: Harness>(world: &mut World<H>) {
    // Paused before the bytes come, after they came, and with a peer that closes meanwhile.
    let (peer, conn) = world.pair();
    world.submit(Op::PauseReceive { conn });
    world.write_all_at_once(peer, b"one ");
    world.settle();
    world.submit(Op::ResumeReceive { conn });
    world.run_until("the first is received", |world| world.conn(conn).received == b"one ");

    world.write_all_at_once(peer, b"two ");
    world.submit(Op::PauseReceive { conn });
    world.settle();
    world.submit(Op::ResumeReceive { conn });
    world.submit(Op::PauseReceive { conn });
    world.settle();
    world.write_all_at_once(peer, b"three");
    world.harness.half_close(peer);
    world.settle();
    assert_eq!(world.conn(conn).received, b"one ");

    world.submit(Op::ResumeReceive { conn });
    world.run_until("the end is received", |world| world.conn(conn).receive_closed.is_some());
    assert_eq!(world.conn(conn).received, b"one two three");
    assert_eq!(world.conn(conn).receive_closed, Some(None));
    world.finish();
}

pub fn a_reset_is_told_while_receiving_is_paused<H: Harness>(world: &mut World<H>) {
    // Once with bytes before it, once behind an orderly end, and once with the pause behind the reset.
    for case in 0..3 {
        let (peer, conn) = world.pair();
        if case < 2 {
            world.submit(Op::PauseReceive { conn });
        }
        world.write_all_at_once(peer, b"unread");
        if case == 1 {
            world.harness.half_close(peer);
        }
        if case < 2 {
            world.settle();
        }
        world.harness.reset(peer);
        world.submit(Op::PauseReceive { conn });
        world.run_until("the reset is told", |world| world.conn(conn).receive_closed.is_some());
        assert_eq!(world.conn(conn).receive_closed, Some(Some(NetError::Reset)), "case {case}");
        assert_eq!(world.conn(conn).received, b"", "case {case}");
        world.submit(Op::ResumeReceive { conn });
        world.settle();
    }
    world.finish();
}

pub fn a_reset_ends_receiving_once_and_fails_sends<H: Harness>(world: &mut World<H>) {
    let (peer, conn) = world.pair();
    world.harness.reset(peer);
    world.run_until("the reset is told", |world| world.conn(conn).receive_closed.is_some());
    assert_eq!(world.conn(conn).receive_closed, Some(Some(NetError::Reset)));
    for _ in 0..2 {
        world.submit(Op::Send { conn, segments: vec![Segment::copy_of(b"anybody?")] });
        world.run_until("the send fails", |world| !world.conn(conn).sent.is_empty());
        let (result, rest) = world.conn(conn).sent.pop_front().expect("it came");
        assert_eq!(result, Err(NetError::Reset));
        assert_eq!(&*rest[0], b"anybody?");
    }
    world.settle();
    world.finish();
}

pub fn a_failed_send_ends_receiving_as_a_reset<H: Harness>(world: &mut World<H>) {
    // The send comes first and takes the socket's error with it; bytes that came before the reset are still read.
    let (peer, conn) = world.pair();
    world.write_all_at_once(peer, b"last words");
    world.harness.reset(peer);
    world.submit(Op::SendMany { segment: Segment::copy_of(b"anybody?"), conns: vec![conn] });
    world.step();
    let (result, _) = world.conn(conn).sent.pop_front().expect("the send fails in the next wait");
    assert_eq!(result, Err(NetError::Reset));
    world.run_until("the reset is told", |world| world.conn(conn).receive_closed.is_some());
    assert_eq!(world.conn(conn).receive_closed, Some(Some(NetError::Reset)));
    assert_eq!(world.conn(conn).received, b"last words");
    world.finish();
}

pub fn a_reset_fails_the_send_that_is_held<H: Harness>(world: &mut World<H>) {
    for is_paused in [false, true] {
        let (peer, conn) = world.pair();
        world.fill(conn);
        if is_paused {
            world.submit(Op::PauseReceive { conn });
        }
        world.harness.reset(peer);
        world.run_until("both sides fail", |world| {
            world.conn(conn).receive_closed.is_some() && !world.conn(conn).sent.is_empty()
        });
        let (result, rest) = world.conn(conn).sent.pop_front().expect("it came");
        assert_eq!(result, Err(NetError::Reset));
        assert!(!rest.is_empty(), "what was held comes back");
        assert_eq!(world.conn(conn).receive_closed, Some(Some(NetError::Reset)));
    }
    world.finish();
}

// Promise 9: the end of our side.

pub fn a_finished_side_ends_behind_what_was_sent_and_receiving_goes_on<H: Harness>(world: &mut World<H>) {
    let (peer, conn) = world.pair();
    let bytes = World::<H>::bulk();
    world.submit(Op::Send { conn, segments: vec![Segment::copy_of(&bytes)] });
    world.drive_send(peer, conn);
    world.submit(Op::Finish { conn });
    world.expect_end(peer, PeerEnd::Finished);
    assert!(world.read[&peer] == bytes, "the end comes behind everything that was sent");
    world.write_all(peer, b"thank you");
    world.harness.half_close(peer);
    world.run_until("the end is received", |world| world.conn(conn).receive_closed.is_some());
    assert_eq!(world.conn(conn).received, b"thank you");
    assert_eq!(world.conn(conn).receive_closed, Some(None));
    world.settle();
    world.finish();
}

pub fn a_half_closed_peer_can_still_be_sent_to<H: Harness>(world: &mut World<H>) {
    let (peer, conn) = world.pair();
    world.harness.half_close(peer);
    world.run_until("the end is received", |world| world.conn(conn).receive_closed.is_some());
    assert_eq!(world.conn(conn).receive_closed, Some(None));
    world.submit(Op::Send { conn, segments: vec![Segment::from(World::<H>::bulk())] });
    world.drive_send(peer, conn);
    world.expect_read(peer, &World::<H>::bulk());
    world.finish();
}

pub fn an_end_behind_bytes_is_not_lost<H: Harness>(world: &mut World<H>) {
    // The bytes and the end are there before the first wait: one short read must not hide the end.
    let peer = world.harness.connect();
    world.write_all_at_once(peer, b"all I have");
    world.harness.half_close(peer);
    let socket = world.accept();
    let conn = world.fresh_id();
    world.submit(Op::Adopt { conn, socket });
    world.run_until("the end is received", |world| world.conn(conn).receive_closed.is_some());
    assert_eq!(world.conn(conn).received, b"all I have");
    assert_eq!(world.conn(conn).receive_closed, Some(None));

    // And bytes without an end, after which the end comes alone.
    let (peer, conn) = world.pair();
    world.write_all_at_once(peer, b"more");
    world.run_until("the bytes are received", |world| world.conn(conn).received == b"more");
    world.harness.half_close(peer);
    world.run_until("the end is received", |world| world.conn(conn).receive_closed.is_some());
    world.finish();
}

// Promise 10: ids that the driver does not hold.

pub fn ids_that_are_not_held_are_ignored<H: Harness>(world: &mut World<H>) {
    let (_, held) = world.pair();
    world.settle();
    let never = ConnId { index: held.index + 100, generation: 3 };
    let other_life = ConnId { index: held.index, generation: held.generation + 7 };
    for conn in [never, other_life] {
        world.submit(Op::Send { conn, segments: vec![Segment::copy_of(b"x")] });
        world.submit(Op::SendMany { segment: Segment::copy_of(b"x"), conns: vec![conn, conn] });
        world.submit(Op::PauseReceive { conn });
        world.submit(Op::ResumeReceive { conn });
        world.submit(Op::Finish { conn });
        world.submit(Op::Close { conn, abort: true });
    }
    world.step();
    assert_eq!(world.audit.told, 0, "nothing comes of it");
    world.settle();
    world.finish();
}

// All of it together.

// Promise 11: a shard that has enough.

pub fn a_shard_that_has_enough_gets_no_more_and_the_rest_comes_first<H: Harness>(world: &mut World<H>) {
    let pairs: Vec<_> = (0..6).map(|_| world.pair()).collect();
    world.settle();
    for round in 0..8_usize {
        for (peer, _) in &pairs {
            world.write_all_at_once(*peer, b"left");
        }
        // Each wait takes in one or two. A peer that was heard speaks again, and comes behind the peers that were not.
        world.audit.enough = Some(1 + round % 2);
        let mut silent: Vec<_> = pairs.iter().map(|(_, conn)| *conn).collect();
        for wait in 0..pairs.len() {
            if silent.is_empty() {
                break;
            }
            let what = "those that had no turn";
            world.expect_within_one_wait(what, |world| !world.audit.heard.is_empty());
            let heard = world.audit.heard.clone();
            if !H::IS_LATE && wait > 0 {
                assert!(
                    heard.iter().all(|conn| silent.contains(conn)),
                    "those that had no turn come first: {heard:?} in {round}.{wait}, of {silent:?}"
                );
            }
            silent.retain(|conn| !heard.contains(conn));
            for (peer, _) in pairs.iter().filter(|(_, conn)| heard.contains(conn)) {
                world.write_all_at_once(*peer, b"again");
            }
        }
        assert!(silent.is_empty() || H::IS_LATE, "everybody has a turn");
        world.audit.enough = None;
        world.settle();
    }
    world.finish();
}

pub fn what_a_shard_had_enough_of_is_received_in_order_to_its_end<H: Harness>(world: &mut World<H>) {
    let pairs: Vec<_> = (0..4).map(|_| world.pair()).collect();
    let bytes = pattern(H::STREAM_LEN / 8);
    let mut written = [0; 4];
    world.audit.enough = Some(1);
    world.run_until("everything is received", |world| {
        for (at, &(peer, _)) in pairs.iter().enumerate() {
            if written[at] == bytes.len() {
                continue;
            }
            written[at] += world.harness.write(peer, &bytes[written[at]..]);
            if written[at] == bytes.len() {
                world.harness.half_close(peer);
            }
        }
        pairs.iter().all(|&(_, conn)| world.conn(conn).receive_closed.is_some())
    });
    for (_, conn) in pairs {
        assert!(world.conn(conn).received == bytes, "every byte, in order");
        assert_eq!(world.conn(conn).receive_closed, Some(None));
    }
    world.finish();
}

pub fn an_echo_survives_backpressure<H: Harness>(world: &mut World<H>) {
    let (peer, conn) = world.pair();
    let bytes = pattern(H::STREAM_LEN / 8);
    let mut written = 0;
    let mut echoed = 0;
    let mut is_paused = false;
    let mut has_paused = false;
    let mut turn = 0;
    world.run_until("everything came back", |world| {
        written += world.harness.write(peer, &bytes[written..]);
        // The peer writes eagerly and reads lazily.
        turn += 1;
        if turn % 3 == 0 {
            world.read(peer);
        }
        if let Some((result, rest)) = world.conn(conn).sent.pop_front() {
            result.expect("the connection is well");
            if !rest.is_empty() {
                world.submit(Op::Send { conn, segments: rest });
            }
        }
        let is_sending = world.conn(conn).is_sending();
        let waiting = world.conn(conn).received.len() - echoed;
        if !is_sending && waiting > 0 {
            let segments = vec![Segment::copy_of(&world.conn(conn).received[echoed..])];
            echoed += waiting;
            world.submit(Op::Send { conn, segments });
        }
        // As a shard does: whoever cannot be answered is not read from.
        let pauses = is_sending && waiting > ECHO_WAITING_MAX;
        if pauses != is_paused {
            is_paused = pauses;
            has_paused |= pauses;
            world.submit(if pauses { Op::PauseReceive { conn } } else { Op::ResumeReceive { conn } });
        }
        world.read.get(&peer).is_some_and(|read| read.len() == bytes.len())
    });
    assert!(world.read[&peer] == bytes, "what comes back is what was written");
    world.run_until("the last Sent comes", |world| !world.conn(conn).is_sending());
    assert!(has_paused || H::IS_LATE, "the case is about backpressure");
    world.finish();
}

/// Bytes that wait for their echo before the peer is paused.
const ECHO_WAITING_MAX: usize = 32 * 1024;
