//! HTTP requests: pipelining, reading slowly, ending in the middle.

use fanwire::close::CloseReason;
use fanwire::driver::sim::PeerEnd;
use fanwire::limits::{Limits, REPLY_BACKLOG_LEN_MAX};

use crate::world::{World, get, handshake, post};

const VALUE_LEN: usize = 100_000;

fn world_with_value(shards: usize) -> World {
    let mut world = World::new(shards, 4096, Limits::default());
    let publisher = world.connect(0);
    world.say(publisher, post("big", &"x".repeat(VALUE_LEN)).as_bytes());
    assert!(world.hear_for(publisher, 3).starts_with("HTTP/1.1 200"));
    world
}

#[test]
fn pipelined_requests_whose_answers_are_not_read_are_not_answered() {
    let mut world = world_with_value(1);
    let peer = world.connect(0);
    let requests = 500;
    world.say(peer, get("/topics/big").repeat(requests).as_bytes());
    world.turns(5);
    let waits = world.measure(0).outbox_len as usize;
    assert!(waits <= REPLY_BACKLOG_LEN_MAX + 2 * VALUE_LEN, "{waits} bytes wait");
    let heard = world.hear_for(peer, requests * VALUE_LEN / 2048);
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), requests, "all are answered once they are read");
}

#[test]
fn no_line_end_in_a_topic_an_id_or_a_key_reaches_an_answer() {
    let forged = "a%0d%0aX:%20y";
    let batch =
        |line: &str| format!("POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{line}", line.len());
    for (request, code) in [
        (post(forged, "1"), "bad_topic"),
        (get(&format!("/topics/{forged}")), "bad_topic"),
        (get(&format!("/topics/{forged}/history")), "bad_topic"),
        (get(&format!("/topics/a/history?since={forged}")), "bad_request"),
        (get(&format!("/poll?topic={forged}")), "bad_topic"),
        (get(&format!("/poll?topic=a&since={forged}")), "bad_request"),
        (handshake(&format!("/raw/{forged}")), "bad_topic"),
        (handshake(&format!("/raw/a?since={forged}")), "bad_request"),
        (batch("{\"topic\":\"a\\r\\nX: y\",\"data\":1}"), "bad_topic"),
        (batch("{\"topic\":\"a\",\"data\":1,\"message_id\":\"a\\r\\nX: y\"}"), "bad_request"),
        (batch("{\"topic\":\"a\",\"data\":1,\"if_match\":\"1-1\\r\\nX: y\"}"), "bad_request"),
        (post("a", "1").replacen("\r\n", "\r\nFanwire-Id: a\rX: y\r\n", 1), "bad_request"),
        (post("a", "1").replacen("\r\n", "\r\nFanwire-Key: a\0X: y\r\n", 1), "bad_request"),
    ] {
        let mut world = World::new(1, 1 << 16, Limits::default());
        let peer = world.connect(0);
        world.say(peer, request.as_bytes());
        let heard = world.hear_for(peer, 4);
        assert!(heard.contains(&format!("\"code\":\"{code}\"")), "{request}\n{heard}");
        assert!(!heard.lines().any(|line| line.starts_with("X: y")), "{request}\n{heard}");
        world.net.close(peer);
        world.turns(3);
        world.assert_empty();
    }
}

#[test]
fn who_never_reads_its_answers_is_ended() {
    let mut world = world_with_value(1);
    let peer = world.connect(0);
    world.say(peer, get("/topics/big").repeat(50).as_bytes());
    world.pass_ms(Limits::default().body_timeout_ms + 1_000);
    assert_eq!(world.measure(0).closes[CloseReason::CloseTimeout.index()], 1);
    assert!(world.net.is_closed_by_server(peer));
}

#[test]
fn questions_for_history_are_refused_to_who_does_not_read_the_answers() {
    let mut world = world_with_value(1);
    let peer = world.upgrade(0, "/ws");
    for _ in 0..1_000 {
        world.say_text(peer, r#"{"op":"history","topic":"big"}"#);
    }
    world.turns(5);
    let waits = world.measure(0).outbox_len as usize;
    assert!(waits <= REPLY_BACKLOG_LEN_MAX + 2 * VALUE_LEN + 1_000 * 200, "{waits} bytes wait");
    let heard = world.hear_for(peer, 500);
    assert!(heard.contains(r#"{"op":"err","code":"rate_limited""#));
    world.say_text(peer, r#"{"op":"history","topic":"big","id":"later"}"#);
    assert!(world.hear_for(peer, 50).contains(r#"{"op":"ok","id":"later""#), "it is told once it has read");
}

#[test]
fn requests_before_a_half_close_are_all_answered_wherever_their_topics_are_at_home() {
    for home in [0, 1] {
        let mut world = World::new(2, 4096, Limits::default());
        let topic = world.topics_at(home).next().expect("there are names enough");
        let peer = world.connect(0);
        world.say(peer, post(&topic, "x").repeat(10).as_bytes());
        world.net.half_close(peer);
        let heard = world.hear_for(peer, 50);
        assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), 10, "home {home}");
        assert_eq!(world.end(peer), Some(PeerEnd::Finished));
        assert_eq!(world.measure(home).publications, 10);
        world.turns(2);
        world.assert_empty();
    }
}

#[test]
fn half_of_a_request_before_a_half_close_ends_the_connection() {
    let mut world = World::new(1, 4096, Limits::default());
    let peer = world.connect(0);
    world.say(peer, (get("/healthz") + "GET /hea").as_bytes());
    world.net.half_close(peer);
    let heard = world.hear_for(peer, 10);
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), 1);
    assert_eq!(world.end(peer), Some(PeerEnd::Finished));
    world.turns(2);
    world.assert_empty();
}

#[test]
fn each_of_many_pipelined_requests_has_its_own_time_for_the_answer() {
    let mut world = World::new(2, 1 << 16, Limits::default());
    let topic = world.topics_at(1).next().expect("there are names enough");
    let peer = world.connect(0);
    let requests = 100;
    world.say(peer, post(&topic, "x").repeat(requests).as_bytes());
    let mut heard = String::new();
    for _ in 0..2 * requests {
        // The other shard is slow: a second for each answer, far more than `body_timeout` for all of them.
        world.net.advance_ms(1_000);
        heard.push_str(&world.hear_for(peer, 1));
    }
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), requests);
    assert_eq!(world.measure(0).closes[CloseReason::Internal.index()], 0);
}

#[test]
fn the_last_response_is_given_the_time_to_be_read() {
    let mut world = world_with_value(1);
    let peer = world.connect(0);
    world.say(peer, b"GET /topics/big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut heard = String::new();
    // 4 KiB every 400 ms: ten seconds for all of it.
    for _ in 0..30 {
        world.pass_ms(400);
        heard.push_str(&world.hear(peer));
    }
    assert!(heard.len() > VALUE_LEN, "{} bytes arrived", heard.len());
    assert_eq!(world.end(peer), Some(PeerEnd::Finished));
}

#[test]
fn a_shutdown_does_not_wait_for_connections_that_had_an_answer_under_way() {
    for shards in [1, 2, 3] {
        let mut world = world_with_value(shards);
        let peer = world.connect(0);
        world.say(peer, get("/topics/big").as_bytes());
        world.turns(3);
        world.drain();
        world.turns(3);
        assert!(!world.is_drained(), "the answer is not read yet");
        let heard = world.hear_for(peer, 100);
        assert!(heard.len() > VALUE_LEN);
        world.pass_ms(100);
        assert!(world.is_drained(), "nobody is left");
        world.assert_empty();
    }
}
