//! Which page asks, and what it may do: names in `Host`, foreign pages, listeners for readers and for publishers; the
//! program from outside.

mod common;

use common::{Gateway, Socket};

/// The status of the answer to a request with these fields, on a connection of its own.
fn status(gateway: &Gateway, listener: usize, request: &str, fields: &str) -> u16 {
    let mut socket = Socket::connect(gateway.addresses()[listener]);
    let body = if request.starts_with("POST") { "Content-Length: 1\r\n\r\n1" } else { "\r\n" };
    socket.write(format!("{request} HTTP/1.1\r\n{fields}Connection: close\r\n{body}"));
    socket.read_response(true).status
}

/// Likewise of an opening handshake.
fn upgrade(gateway: &Gateway, path: &str, fields: &str) -> u16 {
    let mut socket = gateway.connect();
    socket.write(format!(
        "GET {path} HTTP/1.1\r\n{fields}Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ));
    socket.read_response(false).status
}

#[test]
fn a_name_that_was_made_to_resolve_to_loopback_reaches_nothing() {
    for list in [&[][..], &["--allowed-origins", "https://app.example"]] {
        let gateway = Gateway::start(list);
        let port = gateway.address().port();
        for origin in ["", &format!("Origin: http://evil.example:{port}\r\n")] {
            let fields = format!("Host: evil.example:{port}\r\n{origin}");
            assert_eq!(status(&gateway, 0, "POST /publish/a", &fields), 403);
            assert_eq!(status(&gateway, 0, "GET /topics/a", &fields), 403);
            for path in ["/ws", "/raw/a", "/echo"] {
                assert_eq!(upgrade(&gateway, path, &fields), 403, "{path}");
            }
        }
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            assert_eq!(status(&gateway, 0, "POST /publish/a", &format!("Host: {host}:{port}\r\n")), 200, "{host}");
        }
    }
    let gateway = Gateway::start(&["--server-names", "push.example"]);
    assert_eq!(status(&gateway, 0, "POST /publish/a", "Host: push.example\r\n"), 200);
    assert_eq!(status(&gateway, 0, "POST /publish/a", "Host: evil.example\r\n"), 403);
}

#[test]
fn on_loopback_a_websocket_of_a_foreign_page_is_refused_as_its_requests_are() {
    let gateway = Gateway::start(&[]);
    for (origin, expected) in [
        ("Origin: https://evil.example\r\n", (403, 403)),
        ("Origin: null\r\n", (403, 403)),
        ("Origin: http://localhost:3000\r\n", (101, 200)),
        ("", (101, 200)),
    ] {
        let fields = format!("Host: localhost\r\n{origin}");
        let got = (upgrade(&gateway, "/ws", &fields), status(&gateway, 0, "POST /publish/a", &fields));
        assert_eq!(got, expected, "{origin}");
    }
}

#[test]
fn readers_and_publishers_have_listeners_of_their_own() {
    let gateway = Gateway::start(&[
        "--listeners",
        "127.0.0.1:0 role=readers",
        "--listeners",
        "127.0.0.1:0 role=publishers",
        "--topics",
        "feed.> publish=false",
    ]);
    let [all, readers, publishers] = [0, 1, 2];
    let host = "Host: localhost\r\n";
    for (listener, topic, expected) in [
        (all, "a", 200),
        (all, "feed.a", 403),
        (readers, "a", 403),
        (readers, "feed.a", 403),
        (publishers, "a", 200),
        (publishers, "feed.a", 200),
    ] {
        let request = format!("POST /publish/{topic}");
        assert_eq!(status(&gateway, listener, &request, host), expected, "{listener} {topic}");
    }
    for (listener, expected) in [(all, 200), (readers, 200), (publishers, 403)] {
        let mut socket = Socket::connect(gateway.addresses()[listener]);
        socket.write(format!("GET /topics/feed.a HTTP/1.1\r\n{host}\r\n"));
        assert_eq!(socket.read_response(true).status, expected, "{listener}");
    }
}

#[test]
fn a_feed_for_readers_may_face_the_world_without_insecure() {
    let gateway = Gateway::start(&["--listeners", "0.0.0.0:0 role=readers"]);
    assert_eq!(gateway.addresses().len(), 2);
}
