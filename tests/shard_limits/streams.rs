//! Readers over HTTP: what they are told, and what they may do to us.

use fanwire::close::CloseReason;
use fanwire::driver::sim::{PeerEnd, PeerId};
use fanwire::limits::{Limits, TOPICS_PER_REQUEST_MAX};

use crate::world::{World, get, handshake, post};

/// A reader whose response has begun, and what came with it.
fn follow(world: &mut World, shard: usize, path: &str) -> (PeerId, String) {
    let peer = world.connect(shard);
    world.say(peer, get(path).as_bytes());
    let heard = world.hear_for(peer, 4);
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {heard}");
    (peer, heard)
}

fn say(world: &mut World, topic: &str, payload: &str) {
    let publisher = world.connect(0);
    world.say(publisher, post(topic, payload).as_bytes());
    assert!(world.hear_for(publisher, 4).starts_with("HTTP/1.1 200"));
    world.net.close(publisher);
    world.turns(3);
}

/// The ids of the events.
fn ids(heard: &str) -> Vec<&str> {
    heard.lines().filter_map(|line| line.strip_prefix("id: ")).collect()
}

#[test]
fn events_of_a_topic_come_as_they_are_said_wherever_it_is_at_home() {
    for home in [0, 1] {
        let mut world = World::new(2, 1 << 16, Limits::default());
        let topic = world.topics_at(home).next().expect("there are names enough");
        say(&mut world, &topic, "one\r\ntwo");
        let (peer, heard) = follow(&mut world, 0, &format!("/sse?topic={topic}"));
        assert!(heard.contains("\r\nContent-Type: text/event-stream\r\n") && !heard.contains("Content-Length"));
        assert!(
            heard.contains("\r\n\r\nretry: ") && heard.contains("\nevent: .joined\ndata: {\"op\":\"ok\""),
            "{heard}"
        );
        assert!(heard.ends_with(&format!("-1\nevent: {topic}\ndata: one\ndata: two\n\n")), "{heard}");
        say(&mut world, &topic, "three");
        let heard = world.hear(peer);
        assert!(heard.ends_with(&format!("-2\nevent: {topic}\ndata: three\n\n")), "{heard}");
        world.net.close(peer);
        world.turns(3);
        world.assert_empty();
    }
}

#[test]
fn a_reader_of_several_topics_comes_back_to_all_of_them() {
    let mut world = World::new(2, 1 << 16, Limits::default());
    let path = "/sse?topic=b&topic=a&topic=x.*";
    for topic in ["a", "b"] {
        say(&mut world, topic, "1");
    }
    let (peer, heard) = follow(&mut world, 0, path);
    // The last values come in the order of the names, and each id says what was had with it.
    let offsets: Vec<String> = ids(&heard).iter().map(|id| offsets(id)).collect();
    assert_eq!(offsets, ["0,0", "0,1", "1,1"], "{heard}");
    say(&mut world, "a", "2");
    say(&mut world, "x.y", "1");
    let id = ids(&world.hear(peer)).last().map(|id| (*id).to_owned()).expect("events");
    assert_eq!(self::offsets(&id), "1,2");
    world.net.close(peer);
    world.turns(3);
    for topic in ["a", "b"] {
        say(&mut world, topic, "later");
    }
    let again = world.connect(1);
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {id}\r\n\r\n");
    world.say(again, head.as_bytes());
    let heard = world.hear_for(again, 6);
    assert_eq!(heard.matches("\"recovered\":true").count(), 2, "{heard}");
    assert_eq!(heard.matches("data: later\n\n").count(), 2, "{heard}");
    assert_eq!(ids(&heard).last().map(|id| self::offsets(id)).as_deref(), Some("2,3"), "{heard}");
    world.net.close(again);
    world.turns(3);
    world.assert_empty();
}

/// The offsets of an id.
fn offsets(id: &str) -> String {
    let offsets = id.split(',').map(|position| position.split_once('-').expect("a position").1);
    offsets.collect::<Vec<_>>().join(",")
}

#[test]
fn lines_are_chunks_to_who_knows_them() {
    let mut world = World::new(1, 1 << 16, Limits::default());
    let (new, heard) = follow(&mut world, 0, "/stream?topic=a&topic=x.>");
    assert!(heard.contains("\r\nTransfer-Encoding: chunked\r\n"), "{heard}");
    let old = world.connect(0);
    world.say(old, b"GET /stream?topic=a HTTP/1.0\r\n\r\n");
    let heard = world.hear_for(old, 2);
    assert!(
        !heard.contains("Transfer-Encoding") && heard.contains("\r\n\r\n{\"op\":\"ok\",\"topics\":{\"a\":"),
        "{heard}"
    );
    say(&mut world, "a", "{\"p\":1}");
    assert_eq!(world.hear(new), "1c\r\n{\"t\":\"a\",\"o\":1,\"d\":{\"p\":1}}\n\r\n");
    assert_eq!(world.hear(old), "{\"t\":\"a\",\"o\":1,\"d\":{\"p\":1}}\n");
}

#[test]
fn no_payload_is_more_than_one_line_or_event() {
    let mut world = World::new(1, 1 << 16, Limits::default());
    // Both are JSON, whose line ends say nothing, and would be a message and an event of another topic.
    let payloads = [
        "[\n{\"t\":\"forged\",\"o\":1,\"d\":2}\r\n]",
        "[\n\nid: 1-9\revent: forged\r\ndata: 2\n\n]",
        "\n\nevent: forged\n\n",
    ];
    say(&mut world, "a", payloads[0]);
    let (lines, mut heard) = follow(&mut world, 0, "/stream?topic=a");
    let (all_lines, _) = follow(&mut world, 0, "/stream?topic=*");
    let (events, mut heard_events) = follow(&mut world, 0, "/sse?topic=a");
    for payload in payloads {
        say(&mut world, "a", payload);
        heard.push_str(&world.hear(lines));
        heard.push_str(&world.hear(all_lines));
        heard_events.push_str(&world.hear(events));
    }
    let body = heard.split("\r\n\r\n").skip(1).collect::<Vec<_>>().join("\n");
    let pushes: Vec<&str> = body.lines().filter(|line| line.contains("forged")).collect();
    assert_eq!(pushes.len(), 7, "{heard}");
    assert!(pushes.iter().all(|line| line.starts_with("{\"t\":\"a\",\"o\":")), "{heard}");
    assert!(heard_events.contains("data: event: forged\ndata: \ndata: \n\n"), "{heard_events}");
    for line in heard_events.split(['\r', '\n']).filter(|line| line.contains("forged")) {
        assert!(line.starts_with("data: "), "{line}");
    }
}

#[test]
fn a_garbled_last_event_id_is_a_position_that_is_not_known() {
    let mut world = World::new(1, 1 << 16, Limits::default());
    say(&mut world, "a", "last");
    for id in ["x", "1-2,3-4", "-", "99999999999999999999-1", "1-1\t1-1"] {
        let peer = world.connect(0);
        let head = format!("GET /sse?topic=a HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {id}\r\n\r\n");
        world.say(peer, head.as_bytes());
        let heard = world.hear_for(peer, 2);
        assert!(heard.contains("\"recovered\":false") && heard.contains("data: last\n\n"), "{id}: {heard}");
    }
}

#[test]
fn what_cannot_be_followed_is_an_answer_with_its_status() {
    let limits = Limits { topics_per_connection_max: 2, ..Limits::default() };
    let mut world = World::new(1, 1 << 16, limits);
    let many: String = (0..=TOPICS_PER_REQUEST_MAX).map(|n| format!("topic=t.{n}&")).collect();
    for (query, code) in [
        (String::new(), "bad_request"),
        ("topic=a%0d%0aX:%20y".to_owned(), "bad_topic"),
        ("topic=a&since=x".to_owned(), "bad_request"),
        (many, "too_many_topics"),
        ("topic=a&topic=b&topic=c".to_owned(), "too_many_topics"),
    ] {
        for endpoint in ["sse", "stream"] {
            let peer = world.connect(0);
            world.say(peer, get(&format!("/{endpoint}?{query}")).as_bytes());
            let heard = world.hear_for(peer, 2);
            assert!(heard.starts_with("HTTP/1.1 400 ") && heard.contains(&format!("\"{code}\"")), "{query}: {heard}");
            assert!(!heard.contains("\r\nX: y"), "{heard}");
            world.net.close(peer);
        }
    }
    world.turns(3);
    world.assert_empty();
}

#[test]
fn past_the_limit_of_topics_a_request_is_told_to_come_back() {
    let limits = Limits { topics_max: 1, ..Limits::default() };
    let mut world = World::new(1, 1 << 16, limits);
    say(&mut world, "a", "x");
    let peer = world.connect(0);
    world.say(peer, get("/sse?topic=a&topic=b").as_bytes());
    let heard = world.hear_for(peer, 3);
    assert!(heard.starts_with("HTTP/1.1 503 ") && heard.contains("\r\nRetry-After: "), "{heard}");
    world.say(peer, get("/healthz").as_bytes());
    assert!(world.hear_for(peer, 2).ends_with("ok\n"), "the connection goes on");
    world.net.close(peer);
    world.turns(3);
    world.assert_empty();
}

#[test]
fn a_head_request_is_answered_and_follows_nothing() {
    let mut world = World::new(1, 1 << 16, Limits::default());
    let peer = world.connect(0);
    world.say(peer, b"HEAD /stream?topic=a HTTP/1.1\r\nHost: x\r\n\r\n");
    let heard = world.hear_for(peer, 3);
    assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("\r\n\r\n") && !heard.contains("op"), "{heard}");
    assert_eq!((world.end(peer), world.measure(0).subscriptions), (Some(PeerEnd::Finished), 0));
}

#[test]
fn what_a_reader_still_sends_is_not_looked_at() {
    let mut world = World::new(1, 1 << 16, Limits::default());
    for endpoint in ["sse", "stream"] {
        let path = format!("/{endpoint}?topic=a");
        let peer = world.connect(0);
        let pipelined = get(&path) + &post("a", "stolen") + &handshake("/ws") + &get("/healthz");
        world.say(peer, pipelined.as_bytes());
        world.turns(2);
        for _ in 0..50 {
            world.say(peer, &[0; 10_000]);
            world.turns(1);
        }
        say(&mut world, "a", "said");
        let heard = world.hear_for(peer, 3);
        assert_eq!(heard.matches("HTTP/1.1").count(), 1, "{heard}");
        assert!(heard.contains("said") && !heard.contains("stolen"), "{heard}");
    }
    assert_eq!(world.measure(0).blocks_in_use, 0);
}

#[test]
fn a_reader_that_never_reads_is_ended_at_its_bound_and_holds_up_nobody() {
    for path in ["/sse?topic=a", "/sse?topic=a&topic=b", "/stream?topic=a"] {
        let limits = Limits { outbox_len_max: 4096, ..Limits::default() };
        let mut world = World::new(1, 1024, limits);
        let (stalled, _) = follow(&mut world, 0, path);
        let (good, _) = follow(&mut world, 0, path);
        let mut heard = String::new();
        for n in 0..200 {
            say(&mut world, "a", &format!("message {n:03} {}", "x".repeat(100)));
            heard += &world.hear(good);
        }
        assert_eq!(heard.matches("message ").count(), 200, "{path}");
        assert_eq!(world.measure(0).closes[CloseReason::SlowReader.index()], 0, "its end is under way");
        world.pass_ms(3_000);
        assert_eq!(world.measure(0).closes[CloseReason::SlowReader.index()], 1, "{path}");
        assert!(world.net.is_closed_by_server(stalled));
        assert_eq!(world.end(good), None);
        world.net.close(good);
        world.turns(3);
        world.assert_empty();
    }
}

#[test]
fn a_reader_that_would_rather_skip_is_told_what_it_skipped() {
    let mut world = World::new(1, 1024, Limits::default());
    for (path, gap) in [
        ("/sse?topic=a&mode=latest", "event: .gap\ndata: {\"op\":\"gap\",\"t\":\"a\""),
        ("/sse?topic=a&topic=b&mode=latest", "event: .gap\ndata: {\"op\":\"gap\",\"t\":\"a\""),
        ("/stream?topic=a&mode=latest", "{\"op\":\"gap\",\"t\":\"a\""),
    ] {
        let (peer, _) = follow(&mut world, 0, path);
        for n in 0..100 {
            say(&mut world, "a", &format!("message {n:03} {}", "x".repeat(100)));
        }
        let heard = world.hear_for(peer, 50);
        assert!(heard.contains(gap) && heard.contains("message 099"), "{path}: {heard}");
        assert!(heard.matches("message ").count() < 50, "{path}");
    }
}

#[test]
fn heartbeats_come_while_nothing_is_said_and_need_no_answer() {
    let limits = Limits { ping_interval_ms: 1_000, ping_timeout_ms: 500, ..Limits::default() };
    for (path, beat) in [("/sse?topic=a", ":\n\n"), ("/stream?topic=a", "1\r\n\n\r\n")] {
        let mut world = World::new(1, 1 << 16, limits.clone());
        let (peer, _) = follow(&mut world, 0, path);
        let mut beats = 0;
        for _ in 0..100 {
            // Bytes from the reader do not delay them.
            world.say(peer, b"x");
            world.pass_ms(100);
            let heard = world.hear(peer);
            assert!(heard.is_empty() || heard == beat, "{heard:?}");
            beats += usize::from(!heard.is_empty());
        }
        assert!((9..=13).contains(&beats), "{beats} in ten seconds");
        assert_eq!(world.end(peer), None);
    }
}

#[test]
fn who_takes_nothing_of_what_waits_is_ended() {
    let limits = Limits { ping_interval_ms: 1_000, ping_timeout_ms: 500, ..Limits::default() };
    let mut world = World::new(1, 64, limits);
    let (peer, _) = follow(&mut world, 0, "/sse?topic=a");
    say(&mut world, "a", &"x".repeat(5_000));
    // It takes a little now and then, and stays.
    for _ in 0..50 {
        world.pass_ms(100);
        world.hear(peer);
    }
    assert_eq!(world.end(peer), None);
    world.pass_ms(4_000);
    assert!(world.net.is_closed_by_server(peer));
    assert_eq!(world.measure(0).closes[CloseReason::PingTimeout.index()], 1);
    world.assert_empty();
}

#[test]
fn thousands_of_readers_that_leave_before_they_are_answered_leave_nothing() {
    let mut world = World::new(2, 1 << 16, Limits::default());
    let there = world.topics_at(1).next().expect("there are names enough");
    let here = world.topics_at(0).next().expect("there are names enough");
    for n in 0..2_000 {
        let peer = world.net.connect(Some(0));
        world.turn_of(0);
        let endpoint = if n % 2 == 0 { "sse" } else { "stream" };
        world.say(peer, get(&format!("/{endpoint}?topic={here}&topic={there}&topic=x.*")).as_bytes());
        // The other shard has not answered yet.
        world.turn_of(0);
        match n % 3 {
            0 => world.net.close(peer),
            1 => world.net.reset(peer),
            _ => world.net.half_close(peer),
        }
        if n % 7 == 0 {
            world.turns(1);
        }
    }
    world.pass_ms(Limits::default().close_timeout_ms + 100);
    world.assert_empty();
    assert_eq!((world.measure(0).patterns, world.measure(1).topics), (0, 0));
}

#[test]
fn a_shutdown_says_goodbye_to_streams_and_refuses_new_ones() {
    let mut world = World::new(2, 1 << 16, Limits::default());
    let waiting = world.connect(1);
    let (events, _) = follow(&mut world, 0, "/sse?topic=a");
    let (lines, _) = follow(&mut world, 1, "/stream?topic=a");
    world.drain();
    world.turn_of(1);
    world.say(waiting, get("/sse?topic=b").as_bytes());
    world.pass_ms(50);
    let heard = world.hear(events);
    assert!(heard.starts_with("retry: ") && heard.contains("\nevent: .bye\ndata: {\"op\":\"bye\""), "{heard}");
    let heard = world.hear(lines);
    assert!(heard.contains("{\"op\":\"bye\"") && heard.ends_with("\r\n0\r\n\r\n"), "{heard}");
    for peer in [events, lines] {
        assert_eq!(world.end(peer), Some(PeerEnd::Finished));
        world.net.close(peer);
    }
    let heard = world.hear(waiting);
    assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 503"), "{heard}");
    world.net.close(waiting);
    world.pass_ms(3_000);
    assert!(world.is_drained());
    world.assert_empty();
}

#[test]
fn past_the_limit_of_connections_a_reader_is_told_to_come_back() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let mut world = World::new(1, 1 << 16, limits);
    follow(&mut world, 0, "/sse?topic=a");
    let peer = world.connect(0);
    world.say(peer, get("/sse?topic=a").as_bytes());
    let heard = world.hear_for(peer, 3);
    assert!(heard.starts_with("HTTP/1.1 503 ") && heard.contains("\r\nRetry-After: "), "{heard}");
}
