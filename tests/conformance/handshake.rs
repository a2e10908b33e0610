//! The opening handshake: what must be taken, and every way to get it wrong.

use crate::common::{Frame, Gateway, Socket};
use crate::{Case, case};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION: &str = "Sec-WebSocket-Version: 13";
const FIELDS: [&str; 5] = ["Host: localhost", "Upgrade: websocket", "Connection: Upgrade", KEY, VERSION];

pub fn cases() -> Vec<Case> {
    [taken(), arriving(), refused_fields(), refused_requests()].into_iter().flatten().collect()
}

/// A request for `/echo` with these fields.
fn head(fields: &[&str]) -> String {
    format!("GET /echo HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n"))
}

/// The fields of a good handshake with the one that begins like `field` replaced.
fn with(field: &str, lines: &[&'static str]) -> String {
    let is_other = |other: &&&str| !other.starts_with(field);
    assert_eq!(FIELDS.iter().filter(is_other).count(), FIELDS.len() - 1, "{field} is one of the fields");
    let others: Vec<&str> = FIELDS.iter().filter(is_other).copied().chain(lines.iter().copied()).collect();
    head(&others)
}

/// The gateway takes the handshake, and then talks.
fn expect_taken(gateway: &Gateway, head: &str) {
    let mut socket = gateway.connect();
    socket.write(head).expect_upgrade();
    socket.send(Frame::text("hello")).expect_text("hello");
}

fn taken() -> Vec<Case> {
    let good = |source, name: &str, head: String| {
        case(source, format!("{name} is taken"), move |gateway| expect_taken(gateway, &head))
    };
    let many: Vec<String> = (0..50).map(|number| format!("X-Field-{number}: value")).collect();
    let many: Vec<&str> = FIELDS.iter().copied().chain(many.iter().map(String::as_str)).collect();
    let long = format!("Cookie: {}", "c".repeat(15 * 1024));
    vec![
        good("4.1", "the plain handshake", head(&FIELDS)),
        good("4.2.1", "an Upgrade in any case", with("Upgrade", &["uPGRADE: WebSocket"])),
        good("4.2.1", "a Connection in any case", with("Connection", &["CONNECTION: upgrade"])),
        good("4.2.1", "an Upgrade among others", with("Upgrade", &["Upgrade: h2c, websocket"])),
        good("4.2.1", "a keep-alive beside the upgrade", with("Connection", &["Connection: keep-alive, Upgrade"])),
        good("4.2.1", "an upgrade in a second Connection field", {
            with("Connection", &["Connection: keep-alive", "Connection: Upgrade"])
        }),
        good("RFC 9110 5.5", "white space around values", {
            with("Sec-WebSocket-Key", &["Sec-WebSocket-Key:\t dGhlIHNhbXBsZSBub25jZQ== \t"])
        }),
        good("RFC 9110 5.5", "no white space before values", {
            head(&FIELDS.map(|field| field.replace(": ", ":")).each_ref().map(String::as_str))
        }),
        good("RFC 9112 2.2", "an empty line before the request", format!("\r\n{}", head(&FIELDS))),
        good(
            "4.2.1",
            "an origin, without a rule for origins",
            with("Upgrade", &["Upgrade: websocket", "Origin: http://a.b"]),
        ),
        good("4.2.1", "an unknown extension", {
            with("Upgrade", &["Upgrade: websocket", "Sec-WebSocket-Extensions: x-unknown; a=\"b\", x-other"])
        }),
        good("10.4", "a head of fifty fields", head(&many)),
        good("10.4", "a head of fifteen KiB", head(&[&FIELDS[..], &[&long]].concat())),
        case("4.2.2", "the answer is of the key, whatever the key is", |gateway| {
            for key in ["AAAAAAAAAAAAAAAAAAAAAA==", "/////////////////////w==", "x3JJHMbDL1EzLkh9GBhXDw=="] {
                let mut socket = gateway.connect();
                socket.write(
                    with("Sec-WebSocket-Key", &[])
                        .replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Key: {key}\r\n\r\n")),
                );
                let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
                assert_eq!(socket.expect_http_status(101).header("sec-websocket-accept"), Some(accept.as_str()));
            }
        }),
        case("4.2.2", "an extension that was not offered is not accepted", |gateway| {
            assert_eq!(gateway.connect().open("/echo").header("sec-websocket-extensions"), None);
        }),
        case("4.2.2", "a subprotocol is answered from those that were offered, or not at all", |gateway| {
            for (target, offered, answer) in [
                ("/ws", None, None),
                ("/ws", Some("fanwire.json.v1"), Some("fanwire.json.v1")),
                ("/ws", Some("other, fanwire.json.v1"), Some("fanwire.json.v1")),
                ("/ws", Some("other\r\nSec-WebSocket-Protocol: fanwire.json.v1"), Some("fanwire.json.v1")),
                ("/echo", Some("other"), None),
            ] {
                let offer = offered.map(|offered| format!("Sec-WebSocket-Protocol: {offered}\r\n")).unwrap_or_default();
                let mut socket = gateway.connect();
                socket.write(Socket::handshake(target).replace("Upgrade: ", &format!("{offer}Upgrade: ")));
                let response = socket.expect_upgrade();
                assert_eq!(response.header("sec-websocket-protocol"), answer, "{target} {offered:?}");
            }
        }),
    ]
}

fn arriving() -> Vec<Case> {
    vec![
        case("4.2.1", "a handshake octet by octet is taken", |gateway| {
            let mut socket = gateway.connect();
            socket.write_in_pieces(head(&FIELDS), 1).expect_upgrade();
            socket.send(Frame::text("hello")).expect_text("hello");
        }),
        case("4.1", "a frame in the segment of the handshake is heard", |gateway| {
            let mut socket = gateway.connect();
            socket.write([head(&FIELDS).into_bytes(), Frame::text("eager").encode()].concat());
            socket.expect_upgrade();
            socket.expect_text("eager");
        }),
        case("4.1", "half a frame in the segment of the handshake waits for its rest", |gateway| {
            let mut socket = gateway.connect();
            let octets = [head(&FIELDS).into_bytes(), Frame::text("eager").encode()].concat();
            let at = octets.len() - 4;
            socket.write(&octets[..at]).expect_upgrade();
            socket.write(&octets[at..]).expect_text("eager");
        }),
        case("4.1", "a bad frame in the segment of the handshake gets its close code", |gateway| {
            let mut socket = gateway.connect();
            socket.write([head(&FIELDS).into_bytes(), Frame::text("eager").unmasked().encode()].concat());
            socket.expect_upgrade();
            socket.expect_close(1002);
        }),
        case("RFC 9112 9.3", "a handshake behind other requests on one connection is taken", |gateway| {
            let mut socket = gateway.connect();
            let healthz = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
            socket.write([healthz, healthz, &head(&FIELDS)].concat());
            socket.expect_http_status(200);
            socket.expect_http_status(200);
            socket.expect_upgrade();
            socket.send(Frame::text("hello")).expect_text("hello");
        }),
    ]
}

fn refused_fields() -> Vec<Case> {
    let refused = |source, name: &str, statuses: &'static [u16], head: String| {
        case(source, format!("{name} is refused"), move |gateway| {
            gateway.connect().write(&head).expect_http_status_of(statuses);
            gateway.connect().write_in_pieces(&head, 1).expect_http_status_of(statuses);
        })
    };
    let key = |value: &'static str| with("Sec-WebSocket-Key", &[value]);
    let mut cases = vec![
        refused("4.2.1", "a missing Host", &[400], with("Host", &[])),
        refused("RFC 9112 3.2", "a second Host", &[400], with("Host", &["Host: a", "Host: b"])),
        refused("4.2.1", "a missing Upgrade", &[400, 426], with("Upgrade", &[])),
        refused("4.2.1", "an Upgrade to something else", &[400, 426], with("Upgrade", &["Upgrade: h2c"])),
        refused("4.2.1", "an Upgrade that only begins like it", &[400, 426], with("Upgrade", &["Upgrade: websockets"])),
        refused("4.2.1", "a missing Connection", &[400, 426], with("Connection", &[])),
        refused(
            "4.2.1",
            "a Connection without the upgrade",
            &[400, 426],
            with("Connection", &["Connection: keep-alive"]),
        ),
        refused("4.2.1", "a missing key", &[400], with("Sec-WebSocket-Key", &[])),
        refused("11.3.1", "a second key", &[400], with("Sec-WebSocket-Key", &[KEY, KEY])),
        refused("4.2.1", "an empty key", &[400], key("Sec-WebSocket-Key:")),
        refused("4.2.1", "a key of 15 octets", &[400], key("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA")),
        refused("4.2.1", "a key of 17 octets", &[400], key("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=")),
        refused("4.2.1", "a key that is not base64", &[400], key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==")),
        refused("4.2.1", "a key without its padding", &[400], key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ")),
        refused("4.2.1", "a key of 4,000 characters", &[400], {
            with("Sec-WebSocket-Key", &[])
                .replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Key: {}\r\n\r\n", "A".repeat(4000)))
        }),
        refused("RFC 9112 5.1", "white space before a colon", &[400], with("Host", &["Host : localhost"])),
        refused("RFC 9112 5.2", "a folded line", &[400], with("Host", &["Host: localhost", " folded"])),
        refused("RFC 9110 5.5", "a zero octet in a value", &[400], with("Host", &["Host: local\0host"])),
        refused("10.4", "a head with too many fields", &[431], head(&[&FIELDS[..], &["X-Field: value"; 500]].concat())),
        case("10.4", "a head that is too long is refused before its end", |gateway| {
            let field = format!("GET /echo HTTP/1.1\r\nHost: localhost\r\nCookie: {}", "c".repeat(17 * 1024));
            gateway.connect().write(field).expect_http_status(431);
        }),
        case("10.4", "a target that is too long is refused before its end", |gateway| {
            gateway.connect().write(format!("GET /{}", "a".repeat(17 * 1024))).expect_http_status_of(&[414, 431]);
        }),
        case("10.4", "a head of a megabyte is refused", |gateway| {
            let field = format!("GET /echo HTTP/1.1\r\nHost: localhost\r\nCookie: {}", "c".repeat(1024 * 1024));
            gateway.connect().write(field).expect_http_status(431);
        }),
    ];
    for (name, lines) in [
        ("a missing version", &[][..]),
        ("version 12", &["Sec-WebSocket-Version: 12"]),
        ("version 14", &["Sec-WebSocket-Version: 14"]),
        ("version 130", &["Sec-WebSocket-Version: 130"]),
        ("a version of words", &["Sec-WebSocket-Version: thirteen"]),
        ("an empty version", &["Sec-WebSocket-Version:"]),
    ] {
        let head = with("Sec-WebSocket-Version", lines);
        cases.push(case("4.4", format!("{name} is told which one to use"), move |gateway| {
            gateway.connect().write(&head).expect_http_status(426).expect_header("sec-websocket-version", "13");
        }));
    }
    cases
}

fn refused_requests() -> Vec<Case> {
    let refused = |source, name: &str, statuses: &'static [u16], line: &str| {
        let request = head(&FIELDS).replace("GET /echo HTTP/1.1", line);
        case(source, format!("{name} is refused"), move |gateway| {
            gateway.connect().write(&request).expect_http_status_of(statuses);
        })
    };
    let long_topic = format!("GET /raw/{} HTTP/1.1", "t".repeat(256));
    let mut cases = vec![
        refused("4.2.1", "a POST", &[405], "POST /echo HTTP/1.1"),
        refused("4.2.1", "a PUT", &[405], "PUT /ws HTTP/1.1"),
        refused("4.2.1", "a DELETE", &[405], "DELETE /raw/judge HTTP/1.1"),
        refused("4.2.1", "HTTP/1.0", &[400, 426, 505], "GET /echo HTTP/1.0"),
        refused("4.2.1", "HTTP/2.0", &[400, 505], "GET /echo HTTP/2.0"),
        refused("4.2.1", "HTTP/0.9", &[400, 505], "GET /echo"),
        refused("4.2.2", "an unknown path", &[404], "GET /nothing HTTP/1.1"),
        refused("4.2.2", "a path that only begins like one of ours", &[404], "GET /echoes HTTP/1.1"),
        refused("4.2.2", "an empty topic", &[400, 404], "GET /raw/ HTTP/1.1"),
        refused("4.2.2", "a topic with an empty token", &[400], "GET /raw/a..b HTTP/1.1"),
        refused("4.2.2", "a topic that ends with a dot", &[400], "GET /raw/a. HTTP/1.1"),
        refused("4.2.2", "a topic of 256 octets", &[400], &long_topic),
        refused("4.2.2", "an escaped space in a topic", &[400], "GET /raw/a%20b HTTP/1.1"),
        refused("4.2.2", "a bad escape in a topic", &[400], "GET /raw/a%zz HTTP/1.1"),
        refused("4.2.2", "an escape that is not UTF-8 in a topic", &[400], "GET /raw/a%ff HTTP/1.1"),
        refused("RFC 9112 3", "two spaces in the request line", &[400], "GET  /echo HTTP/1.1"),
        refused("RFC 9112 3.2", "a target without a slash", &[400], "GET echo HTTP/1.1"),
        case("RFC 9110 15.5.6", "a refused method is told which ones there are", |gateway| {
            let request = head(&FIELDS).replace("GET", "POST");
            let response = gateway.connect().write(request).expect_http_status(405);
            assert!(response.header("allow").is_some_and(|methods| methods.contains("GET")), "{response:?}");
        }),
        case("4.2.2", "a topic of 255 octets is taken", |gateway| {
            gateway.websocket(&format!("/raw/{}", "t".repeat(255)));
        }),
        case("4.2.2", "a plain request for a WebSocket endpoint is refused", |gateway| {
            let request = "GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n";
            gateway.connect().write(request).expect_http_status_of(&[400, 426]);
        }),
    ];
    for (name, octets) in [
        ("garbage", &b"\x00\x01\x02\x03\xff\xfe garbage \r\n\r\n"[..]),
        ("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("a frame without a handshake", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\r\n\r\n"),
        ("a header field without a colon", b"GET /echo HTTP/1.1\r\nHost localhost\r\n\r\n"),
        ("a header field without a name", b"GET /echo HTTP/1.1\r\n: value\r\nHost: localhost\r\n\r\n"),
    ] {
        cases.push(case("RFC 9112 2.2", format!("{name} is a bad request, and the stream ends"), move |gateway| {
            let mut socket = gateway.connect();
            socket.write(octets).expect_http_status_of(&[400, 505]);
            socket.expect_end();
        }));
    }
    cases
}
