//! Pings and the answers to them.

use fanwire::close::CloseReason;
use fanwire::limits::Limits;
use fanwire::wire::ws::{Opcode, encode_client_frame};

use crate::world::World;

/// Lets a peer answer pings for a while, or not; returns how many pings it got, and whether it was closed.
fn check(ping_timeout_ms: u64, answers: bool) -> (usize, bool) {
    let limits = Limits { ping_interval_ms: 400, ping_timeout_ms, ..Limits::default() };
    let mut world = World::new(1, 1 << 16, limits);
    let peer = world.upgrade(0, "/ws");
    let mut pings = 0;
    for _ in 0..1_000 {
        world.pass_ms(10);
        let heard = world.net.read(peer);
        if heard.starts_with(&[0x89, 0]) {
            pings += 1;
            if answers {
                let mut pong = Vec::new();
                encode_client_frame(&mut pong, Opcode::Pong, true, [1, 2, 3, 4], b"");
                world.say(peer, &pong);
            }
        } else if heard.starts_with(&[0x88]) {
            return (pings, true);
        }
    }
    assert_eq!(world.measure(0).closes[CloseReason::PingTimeout.index()], 0);
    (pings, false)
}

#[test]
fn who_answers_pings_stays_whatever_the_time_out_is() {
    for ping_timeout_ms in [60, 75, 100, 149, 1_000] {
        let (pings, is_closed) = check(ping_timeout_ms, true);
        assert!(!is_closed && pings >= 5, "{ping_timeout_ms} ms: {pings} pings");
    }
}

#[test]
fn who_answers_no_ping_is_closed_after_the_first() {
    for ping_timeout_ms in [60, 75, 100, 149, 1_000] {
        assert_eq!(check(ping_timeout_ms, false), (1, true), "{ping_timeout_ms} ms");
    }
}
