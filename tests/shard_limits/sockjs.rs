//! SockJS: sessions that requests carry, whatever shard each request comes to.

use fanwire::driver::sim::PeerId;
use fanwire::limits::{DETACHED_HEARTBEAT_MS, DETACHED_LINGER_MS, DETACHED_MAX, Limits};

use crate::world::World;

fn world() -> World {
    World::new(2, 1 << 20, Limits::default())
}

fn post(world: &mut World, peer: PeerId, path: &str, body: &str) {
    let len = body.len();
    world.say(peer, format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n{body}").as_bytes());
}

/// The body of the answer to a request, with its status.
fn ask(world: &mut World, peer: PeerId, path: &str, body: &str) -> (String, String) {
    post(world, peer, path, body);
    answer(world, peer)
}

fn answer(world: &mut World, peer: PeerId) -> (String, String) {
    split(&world.hear_for(peer, 4))
}

fn split(answer: &str) -> (String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    (head.get(9..12).unwrap_or_default().to_owned(), body.to_owned())
}

fn ok(body: &str) -> (String, String) {
    ("200".to_owned(), body.to_owned())
}

fn status(code: &str) -> (String, String) {
    (code.to_owned(), String::new())
}

#[test]
fn a_session_is_opened_told_and_heard_whatever_shard_its_requests_come_to() {
    for names in [["one", "two", "three"], ["a", "b", "c"]] {
        let mut world = world();
        let (receiver, sender) = (world.connect(0), world.connect(1));
        for name in names {
            let path = |transport: &str| format!("/sockjs/000/{name}/{transport}");
            assert_eq!(ask(&mut world, receiver, &path("xhr"), ""), ok("o\n"));
            let subscribe = r#"["{\"op\":\"sub\",\"topics\":[\"px.A\"],\"id\":1}"]"#;
            assert_eq!(ask(&mut world, sender, &path("xhr_send"), subscribe), status("204"));
            let (_, told) = ask(&mut world, receiver, &path("xhr"), "");
            assert!(told.starts_with(r#"a["{\"op\":\"ok\",\"id\":1,\"topics\":{\"px.A\""#), "{told}");
            post(&mut world, receiver, &path("xhr"), "");
            assert_eq!(answer(&mut world, receiver), status(""), "it waits");
            let publish = r#"["{\"op\":\"pub\",\"topic\":\"px.A\",\"data\":{\"n\":1}}"]"#;
            assert_eq!(ask(&mut world, sender, &path("xhr_send"), publish), status("204"));
            let (_, told) = answer(&mut world, receiver);
            assert!(told.contains(r#"{\"t\":\"px.A\",\"o\":"#) && told.contains(r#"\"d\":{\"n\":1}}"#), "{told}");
        }
        world.net.reset(receiver);
        world.net.reset(sender);
        world.pass_ms(DETACHED_LINGER_MS + 100);
        world.turns(4);
        world.assert_empty();
    }
}

#[test]
fn what_is_said_between_two_requests_waits_and_comes_in_one_frame() {
    let mut world = world();
    let (receiver, publisher) = (world.connect(0), world.upgrade(1, "/raw/px.A?echo=0"));
    assert_eq!(ask(&mut world, receiver, "/feed/px.A/0/s/xhr", ""), ok("o\n"));
    for text in ["one", "two\n", "\"three\""] {
        world.say_text(publisher, text);
        world.turns(3);
    }
    assert_eq!(ask(&mut world, receiver, "/feed/px.A/0/s/xhr", ""), ok("a[\"one\",\"two\\n\",\"\\\"three\\\"\"]\n"));
}

#[test]
fn a_second_request_that_waits_is_sent_away_and_the_first_stays() {
    let mut world = world();
    let (first, second, sender) = (world.connect(0), world.connect(1), world.connect(1));
    assert_eq!(ask(&mut world, first, "/mirror/0/s/xhr", ""), ok("o\n"));
    post(&mut world, first, "/mirror/0/s/xhr", "");
    world.turns(3);
    assert_eq!(ask(&mut world, second, "/mirror/1/s/xhr", ""), ok("c[2010,\"Another connection still open\"]\n"));
    assert_eq!(ask(&mut world, sender, "/mirror/2/s/xhr_send", r#""hello""#), status("204"));
    assert_eq!(answer(&mut world, first), ok("a[\"hello\"]\n"));
}

#[test]
fn a_client_that_goes_while_it_waits_takes_its_session_along() {
    let mut world = world();
    for shard in [0, 1] {
        let (first, second) = (world.connect(shard), world.connect(0));
        let path = format!("/mirror/0/s{shard}/xhr");
        assert_eq!(ask(&mut world, first, &path, ""), ok("o\n"));
        post(&mut world, first, &path, "");
        world.turns(3);
        world.net.reset(first);
        world.turns(4);
        assert_eq!(ask(&mut world, second, &format!("/mirror/0/s{shard}/xhr_send"), "[]"), status("404"));
        assert_eq!(ask(&mut world, second, &path, ""), ok("o\n"), "it is a new one");
    }
}

#[test]
fn a_session_that_nobody_asks_for_ends_and_one_that_waits_is_told_that_it_is_there() {
    let mut world = world();
    let peer = world.connect(0);
    assert_eq!(ask(&mut world, peer, "/mirror/0/s/xhr", ""), ok("o\n"));
    post(&mut world, peer, "/mirror/0/s/xhr", "");
    world.pass_ms(DETACHED_HEARTBEAT_MS - 1_000);
    assert_eq!(answer(&mut world, peer), status(""));
    world.pass_ms(2_000);
    assert_eq!(answer(&mut world, peer), ok("h\n"));
    world.pass_ms(DETACHED_LINGER_MS + 100);
    assert_eq!(ask(&mut world, peer, "/mirror/0/s/xhr_send", "[\"late\"]"), status("404"));
}

#[test]
fn a_response_that_streams_goes_on_to_its_bound_and_the_next_one_goes_on_from_there() {
    let mut world = world();
    let (receiver, sender) = (world.connect(0), world.connect(1));
    post(&mut world, receiver, "/mirror/0/s/xhr_streaming", "");
    let begin = world.hear_for(receiver, 6);
    let prelude = format!("801\r\n{}\n\r\n2\r\no\n\r\n", "h".repeat(2_048));
    assert!(begin.contains("Transfer-Encoding: chunked\r\n") && begin.ends_with(&prelude), "{begin}");
    let text = "x".repeat(300);
    let send = |world: &mut World| ask(world, sender, "/mirror/0/s/xhr_send", &format!("[\"{text}\"]"));
    let mut heard = String::new();
    for _ in 0..4 {
        assert_eq!(send(&mut world), status("204"));
        heard.push_str(&world.hear_for(receiver, 4));
    }
    let frame = format!("132\r\na[\"{text}\"]\n\r\n");
    assert_eq!(heard, format!("{}0\r\n\r\n", frame.repeat(4)));
    assert_eq!(send(&mut world), status("204"));
    assert_eq!(ask(&mut world, receiver, "/mirror/0/s/xhr", ""), ok(&format!("a[\"{text}\"]\n")));
}

#[test]
fn events_are_frames_as_well() {
    let mut world = world();
    let peer = world.connect(0);
    world.say(peer, b"GET /mirror/0/s/eventsource HTTP/1.1\r\nHost: h\r\n\r\n");
    let heard = world.hear_for(peer, 6);
    assert!(heard.contains("Content-Type: text/event-stream\r\n"), "{heard}");
    assert!(heard.ends_with("2\r\n\r\n\r\nb\r\ndata: o\r\n\r\n\r\n"), "{heard}");
}

#[test]
fn what_is_no_message_is_refused_and_the_session_goes_on() {
    let mut world = world();
    let peer = world.connect(0);
    assert_eq!(ask(&mut world, peer, "/mirror/0/none/xhr_send", "[\"a\"]"), status("404"));
    assert_eq!(ask(&mut world, peer, "/mirror/0/s/xhr", ""), ok("o\n"));
    assert_eq!(ask(&mut world, peer, "/mirror/0/s/xhr_send", ""), ("500".into(), "Payload expected.".into()));
    for body in ["[\"a\"", "{}", "[1]", "\u{1}"] {
        assert_eq!(ask(&mut world, peer, "/mirror/0/s/xhr_send", body), ("500".into(), "Broken JSON encoding.".into()));
    }
    assert_eq!(ask(&mut world, peer, "/mirror/0/s/xhr_send", "[]"), status("204"));
    assert_eq!(ask(&mut world, peer, "/mirror/0/s/xhr_send", "[\"a\",\"b\"]"), status("204"));
    assert_eq!(ask(&mut world, peer, "/mirror/0/s/xhr", ""), ok("a[\"a\",\"b\"]\n"));
}

#[test]
fn a_session_that_is_too_slow_is_ended_and_told_so() {
    let mut world = World::new(2, 1 << 20, Limits { outbox_len_max: 10_000, ..Limits::default() });
    let (receiver, publisher) = (world.connect(0), world.upgrade(1, "/raw/px.A?echo=0"));
    assert_eq!(ask(&mut world, receiver, "/feed/px.A/0/s/xhr", ""), ok("o\n"));
    for _ in 0..20 {
        world.say_text(publisher, &"x".repeat(1_000));
        world.turns(3);
    }
    assert_eq!(ask(&mut world, receiver, "/feed/px.A/0/s/xhr", ""), ok("c[1013,\"too slow\"]\n"));
    assert_eq!(ask(&mut world, receiver, "/feed/px.A/0/s/xhr_send", "[]"), status("404"));
    assert_eq!(
        ask(&mut world, receiver, "/feed/px.A/0/s/xhr", ""),
        ok("c[1013,\"too slow\"]\n"),
        "for as long as it lingers"
    );
    world.pass_ms(DETACHED_LINGER_MS + 100);
    assert_eq!(ask(&mut world, receiver, "/feed/px.A/0/s/xhr", ""), ok("o\n"));
}

#[test]
fn a_session_that_does_not_read_its_answers_is_not_heard() {
    let mut world = world();
    let peer = world.connect(0);
    assert_eq!(ask(&mut world, peer, "/mirror/0/s/xhr", ""), ok("o\n"));
    let body = format!("[\"{}\"]", "x".repeat(100_000));
    let answers: Vec<_> = (0..5).map(|_| ask(&mut world, peer, "/mirror/0/s/xhr_send", &body).0).collect();
    assert_eq!(answers, ["204", "204", "204", "503", "503"]);
    assert_eq!(ask(&mut world, peer, "/mirror/0/s/xhr", "").1.len(), 3 * 100_003 + 3);
    assert_eq!(ask(&mut world, peer, "/mirror/0/s/xhr_send", &body).0, "204");
}

#[test]
fn there_are_so_many_sessions_and_no_more() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let peer = world.connect(0);
    let mut opened = 0;
    for batch in 0.. {
        for number in 0..256 {
            post(&mut world, peer, &format!("/mirror/0/s{batch}-{number}/xhr"), "");
        }
        let heard = world.hear_for(peer, 40);
        opened += heard.matches("\r\n\r\no\n").count();
        if heard.contains("HTTP/1.1 503") {
            break;
        }
    }
    assert_eq!(opened, DETACHED_MAX);
    world.pass_ms(DETACHED_LINGER_MS + 100);
    assert_eq!(ask(&mut world, peer, "/mirror/0/again/xhr", ""), ok("o\n"));
}

#[test]
fn a_websocket_speaks_in_frames_of_sockjs_or_without() {
    let mut world = world();
    let framed = world.upgrade(0, "/mirror/0/s/websocket");
    assert_eq!(world.hear(framed), "");
    let framed = world.connect(0);
    world.say(framed, crate::world::handshake("/mirror/0/s/websocket").as_bytes());
    assert!(world.hear_for(framed, 3).ends_with("\u{fffd}\u{1}o"), "it is opened");
    world.say_text(framed, "");
    world.say_text(framed, r#"["a","b"]"#);
    assert_eq!(world.hear_for(framed, 3), "\u{fffd}\u{6}a[\"a\"]\u{fffd}\u{6}a[\"b\"]");
    world.say_text(framed, "[broken");
    let heard = world.hear_for(framed, 3);
    assert!(heard.starts_with("\u{fffd}\u{19}c[1002,\"Broken framing.\"]\u{fffd}"), "{heard}");
    let bare = world.upgrade(1, "/mirror/websocket");
    world.say_text(bare, "plain");
    assert_eq!(world.hear_for(bare, 3), "\u{fffd}\u{5}plain");
}

#[test]
fn a_shutdown_tells_sessions_over_requests_as_well() {
    let mut world = world();
    let peer = world.connect(0);
    assert_eq!(ask(&mut world, peer, "/sockjs/0/s/xhr", ""), ok("o\n"));
    post(&mut world, peer, "/sockjs/0/s/xhr", "");
    world.turns(3);
    world.drain();
    world.pass_ms(100);
    let (_, told) = split(&world.hear(peer));
    assert!(told.contains(r#"a["{\"op\":\"bye\",\"code\":\"shutdown\",\"retry_ms\""#), "{told}");
    world.net.reset(peer);
    world.pass_ms(100);
    assert!(world.is_drained());
    world.assert_empty();
}

#[test]
fn past_the_limit_of_memory_the_sessions_that_hold_most_are_ended() {
    let limits = Limits { memory_len_max: 4 << 20, outbox_len_max: 8 << 20, ..Limits::default() };
    let mut world = World::new(1, 1 << 20, limits);
    let peer = world.connect(0);
    let body = format!("[\"{}\"]", "x".repeat(200_000));
    for number in 0..40 {
        assert_eq!(ask(&mut world, peer, &format!("/mirror/0/s{number}/xhr"), ""), ok("o\n"));
        // It never reads what it is told.
        assert_eq!(ask(&mut world, peer, &format!("/mirror/0/s{number}/xhr_send"), &body).0, "204");
    }
    assert_eq!(ask(&mut world, peer, "/mirror/0/polite/xhr", ""), ok("o\n"));
    world.pass_ms(500);
    assert!(world.measure(0).outbox_len < 5 << 20, "{}", world.measure(0).outbox_len);
    let ended = (0..40).filter(|n| ask(&mut world, peer, &format!("/mirror/0/s{n}/xhr"), "").1.contains("overloaded"));
    assert!(ended.count() > 10);
    assert_eq!(ask(&mut world, peer, "/mirror/0/polite/xhr_send", "[\"a\"]").0, "204", "it holds nothing");
}
