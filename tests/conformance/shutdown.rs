//! The end of a gateway: a farewell to everybody, what is queued first, and an end within a bound.

use crate::common::{Frame, Gateway, Opcode, Socket};

/// Times that no test would wait for, so that an end in spite of them proves something.
const PATIENT: &[&str] = &["--shards", "2", "--close-timeout", "1h", "--drain-timeout", "1h"];

fn publish(gateway: &Gateway, topic: &str, body: &str) {
    let mut socket = gateway.connect();
    socket.write(format!(
        "POST /publish/{topic} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    socket.expect_http_status(200);
}

/// A close frame with 1001 whose reason says when to come back; we answer, and the stream ends.
fn expect_farewell(socket: &mut Socket) {
    let frame = socket.read_frame();
    assert_eq!((frame.opcode, &frame.payload[..2]), (Opcode::CLOSE, &1001_u16.to_be_bytes()[..]), "{frame:?}");
    let reason = std::str::from_utf8(&frame.payload[2..]).expect("a reason of UTF-8");
    assert!(reason.contains(|it: char| it.is_ascii_digit()), "a retry delay, got {reason:?}");
    socket.send(Frame::close(1001, "")).expect_end();
}

#[test]
fn everybody_hears_a_farewell_and_the_gateway_ends_well() {
    let mut gateway = Gateway::start(PATIENT);
    let mut idle = gateway.connect();
    idle.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect_http_status(200);
    let mut silent = gateway.connect();
    let mut readers: Vec<_> = (0..20).map(|_| gateway.websocket("/raw/judge.shutdown")).collect();
    let mut json = gateway.websocket("/ws");
    json.send(Frame::text(r#"{"op":"sub","topics":["judge.shutdown"],"id":1}"#)).read_message();

    gateway.terminate();

    readers.iter_mut().for_each(expect_farewell);
    let bye: serde_json::Value = serde_json::from_slice(&json.read_message().1).expect("a message of JSON");
    assert!(bye["op"] == "bye" && bye["code"] == "shutdown" && bye["retry_ms"].as_u64() > Some(0), "{bye}");
    expect_farewell(&mut json);
    idle.expect_end();
    silent.expect_end();
    assert!(gateway.wait().success(), "an orderly end");
}

#[test]
fn what_is_queued_is_said_before_the_farewell() {
    // With two shards, some of it is in the mail between them when the signal comes.
    let mut gateway = Gateway::start(&["--shards", "2", "--close-timeout", "1h", "--drain-timeout", "1h"]);
    let mut reader = gateway.websocket("/raw/judge.queued");
    for number in 0..100 {
        publish(&gateway, "judge.queued", &format!("{number} {}", "x".repeat(5000)));
    }
    gateway.terminate();
    for number in 0..100 {
        reader.expect_text(format!("{number} {}", "x".repeat(5000)));
    }
    expect_farewell(&mut reader);
    assert!(gateway.wait().success(), "an orderly end");
}

#[test]
fn peers_that_do_not_answer_do_not_keep_the_gateway() {
    let mut gateway = Gateway::start(&["--shards", "2", "--close-timeout", "1h", "--drain-timeout", "300ms"]);
    let _silent = gateway.websocket("/echo");
    let mut half = gateway.connect();
    half.write("POST /publish/judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhell");
    gateway.terminate();
    gateway.wait();
}

#[test]
fn half_a_request_does_not_keep_the_gateway() {
    let timeouts = ["--handshake-timeout", "--body-timeout", "--drain-timeout"];
    let args: Vec<&str> = timeouts.into_iter().flat_map(|timeout| [timeout, "1h"]).collect();
    let mut gateway = Gateway::start(&[&args[..], &["--shards", "2", "--close-timeout", "300ms"]].concat());
    let begin = |half: &str| {
        let mut socket = gateway.connect();
        // The answer to the first says that the second is there, too.
        socket.write(["GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", half].concat()).expect_http_status(200);
        socket
    };
    let mut head = begin("GET /healthz HT");
    let mut body = begin("POST /publish/judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhell");
    gateway.terminate();
    head.expect_http_status(503).expect_header("connection", "close");
    head.expect_end();
    body.expect_http_status(408);
    body.expect_end();
    assert!(gateway.wait().success(), "an orderly end");
}

#[test]
fn a_second_signal_ends_the_gateway_at_once() {
    let mut gateway = Gateway::start(PATIENT);
    let mut silent = gateway.websocket("/echo");
    gateway.terminate();
    // The first signal was heard.
    assert_eq!(silent.expect_close_frame(), Some(1001));
    gateway.terminate();
    gateway.wait();
}
