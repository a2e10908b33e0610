//! Bounds that the configuration sets, at the bound and past it.

use std::time::Instant;

use crate::common::{Frame, Gateway, HANG, Opcode, Socket};

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// There is room for one more, as soon as the gateway has seen the last one go; until then it answers `refusal`.
fn expect_room(gateway: &Gateway, refusal: u16) {
    let deadline = Instant::now() + HANG;
    loop {
        let mut socket = gateway.connect();
        let answer = socket.write(Socket::handshake("/echo")).expect_http_status_of(&[101, refusal]);
        if answer.status == 101 {
            socket.send(Frame::text("next")).expect_text("next");
            return;
        }
        assert!(Instant::now() < deadline, "room for one more wanted, got {answer:?}");
    }
}

#[test]
fn one_connection_too_many_is_told_to_come_back() {
    let gateway = Gateway::start(&["--shards", "2", "--connections-max", "3"]);
    let mut inside: Vec<_> = (0..3).map(|_| gateway.websocket("/echo")).collect();
    let mut past = gateway.connect();
    let refusal = past.write(Socket::handshake("/echo")).expect_http_status(503);
    assert!(refusal.header("retry-after").is_some(), "{refusal:?}");
    // The operator must still see it.
    gateway.connect().write(get("/healthz")).expect_http_status(200);
    for socket in &mut inside {
        socket.send(Frame::text("inside")).expect_text("inside");
    }
    inside.pop().expect("three connections").send(Frame::close(1000, "")).expect_close(1000);
    expect_room(&gateway, 503);
}

#[test]
fn one_connection_too_many_from_an_address_is_refused() {
    let gateway = Gateway::start(&["--shards", "2", "--connections-per-ip-max", "2"]);
    let mut inside: Vec<_> = (0..2).map(|_| gateway.websocket("/echo")).collect();
    gateway.connect().write(Socket::handshake("/echo")).expect_http_status(429);
    inside.pop().expect("two connections").send(Frame::close(1000, "")).expect_close(1000);
    expect_room(&gateway, 429);
}

#[test]
fn a_smaller_bound_of_a_message_holds_on_every_way_in() {
    let gateway = Gateway::start(&["--shards", "2", "--message-len-max", "1KiB"]);
    let post = |len: usize| {
        let body = "*".repeat(len);
        format!("POST /publish/judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n{body}")
    };
    gateway.connect().write(post(1024)).expect_http_status(200);
    gateway.connect().write(post(1025)).expect_http_status(413);
    for target in ["/echo", "/raw/judge.bound?last=0"] {
        gateway.websocket(target).send(Frame::text([b'*'; 1024])).expect_text([b'*'; 1024]);
        gateway.websocket(target).send(Frame::text([b'*'; 1025])).expect_close(1009);
        let fragments = [Frame::text([b'*'; 1024]).unfinished(), Frame::continuation("*")];
        gateway.websocket(target).send_all(&fragments).expect_close(1009);
    }
}

#[test]
fn one_topic_too_many_on_a_connection_is_refused_and_the_others_stay() {
    let gateway = Gateway::start(&["--shards", "2", "--topics-per-connection-max", "3"]);
    let mut socket = gateway.websocket("/ws");
    let mut ask = |message: &str| -> serde_json::Value {
        serde_json::from_slice(&socket.send(Frame::text(message)).read_message().1).expect("a reply of JSON")
    };
    assert_eq!(ask(r#"{"op":"sub","topics":["a","b","c.*"],"id":1}"#)["op"], "ok");
    let refusal = ask(r#"{"op":"sub","topics":["d"],"id":2}"#);
    assert!(refusal["op"] == "err" && refusal["code"] == "too_many_topics" && refusal["id"] == 2, "{refusal}");
    assert_eq!(ask(r#"{"op":"sub","topics":["a"],"id":3}"#)["op"], "ok", "one that is followed already");
    assert_eq!(ask(r#"{"op":"unsub","topics":["b"],"id":4}"#)["op"], "ok");
    assert_eq!(ask(r#"{"op":"sub","topics":["d"],"id":5}"#)["op"], "ok");
}

#[test]
fn a_reader_that_does_not_read_is_let_go_and_the_others_miss_nothing() {
    let gateway = Gateway::start(&["--shards", "2", "--outbox-len-max", "64KiB", "--close-timeout", "1h"]);
    let mut stalled = gateway.websocket("/raw/judge.stalled?last=0&mode=queue");
    let mut reads = gateway.websocket("/raw/judge.stalled?last=0&mode=queue");
    let mut writer = gateway.websocket("/raw/judge.stalled?last=0&echo=0");
    // More than both kernels hold for one socket.
    for number in 0..1000 {
        let message = format!("{number:>8} {}", "x".repeat(30_000));
        writer.send(Frame::text(&message));
        reads.expect_text(&message);
    }
    let mut number = 0;
    loop {
        let frame = stalled.read_frame();
        if frame.opcode == Opcode::CLOSE {
            assert_eq!(&frame.payload[..2], 1013_u16.to_be_bytes(), "{frame:?}");
            break;
        }
        assert!(frame.payload.starts_with(format!("{number:>8} ").as_bytes()), "message {number}, got {frame:?}");
        number += 1;
    }
    assert!(number < 1000, "it was let go before the last message");
}

#[test]
fn a_silent_peer_is_pinged_and_then_left_and_one_that_answers_stays() {
    let gateway = Gateway::start(&["--shards", "2", "--ping-interval", "100ms", "--ping-timeout", "300ms"]);
    let mut silent = gateway.websocket("/echo");
    let mut answers = gateway.websocket("/echo");
    for _ in 0..10 {
        let ping = answers.read_frame();
        assert_eq!(ping.opcode, Opcode::PING, "{ping:?}");
        answers.send(Frame::pong(&ping.payload));
    }
    while silent.has_more() {
        let frame = silent.read_frame();
        assert!(matches!(frame.opcode, Opcode::PING | Opcode::CLOSE), "{frame:?}");
    }
    answers.send(Frame::text("still here"));
    while answers.read_message().0 != Opcode::TEXT {}
}

#[test]
fn connections_that_are_gone_are_counted_no_more() {
    let gateway = Gateway::start(&["--shards", "2"]);
    for number in 0..30 {
        let mut socket = gateway.websocket(["/echo", "/ws", "/raw/judge.counted"][number % 3]);
        socket.send(Frame::text("half a message").unfinished());
        if number % 2 == 0 { drop(socket) } else { socket.abort() }
    }
    let mut socket = gateway.connect();
    let open = |metrics: &str| {
        let rows =
            metrics.lines().filter(|line| line.starts_with("fanwire_connections{") && line.contains("websocket"));
        rows.map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()).expect("a count"))
            .sum::<f64>()
    };
    // Each question is a round trip, so this ends as soon as the gateway has seen them go.
    let deadline = Instant::now() + HANG;
    loop {
        let metrics = socket.write(get("/metrics")).expect_http_status(200);
        if open(metrics.text()) == 0.0 {
            break;
        }
        assert!(Instant::now() < deadline, "connections were left over:\n{}", metrics.text());
    }
}
