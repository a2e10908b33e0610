//! HTTP beside publishing: what every answer says, what a request may look like, and fields as octets.

use crate::common::{Gateway, Response, Socket};
use crate::{Case, case};

pub fn cases() -> Vec<Case> {
    [answers(), requests(), fields(), queries()].into_iter().flatten().collect()
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A request with these field lines, whatever their octets are.
fn with(request: &str, fields: &[&[u8]], body: &str) -> Vec<u8> {
    let mut octets =
        format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for field in fields {
        octets.extend_from_slice(field);
        octets.extend_from_slice(b"\r\n");
    }
    octets.extend_from_slice(b"\r\n");
    octets.extend_from_slice(body.as_bytes());
    octets
}

fn ask(gateway: &Gateway, octets: impl AsRef<[u8]>, status: u16) -> Response {
    gateway.connect().write(octets).expect_http_status(status)
}

fn answers() -> Vec<Case> {
    vec![
        case("RFC 9112 9.3, C.2.2", "an HTTP/1.0 connection that is kept is told so", |gateway| {
            let mut socket = gateway.connect();
            for target in ["/healthz", "/nothing", "/topics/judge.nothing", "/poll?topic=judge.none&timeout=0s"] {
                socket.write(format!("GET {target} HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
                let response = socket.expect_http_status_of(&[200, 204, 404]);
                response.expect_header("connection", "keep-alive");
            }
            socket.write("GET /healthz HTTP/1.0\r\n\r\n");
            socket.expect_http_status(200).expect_header("connection", "close");
            socket.expect_end();
        }),
        case("RFC 9110 6.6.1", "every answer has its date and says what it is", |gateway| {
            for (request, status) in [
                (get("/healthz"), 200),
                (get("/metrics"), 200),
                (get("/nothing"), 404),
                (get("/echo"), 426),
                (get("/topics/a..b"), 400),
                (get("/a\"b"), 400),
                ("OPTIONS /publish HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 204),
                (get("/poll?topic=judge.none&timeout=0s"), 204),
            ] {
                let response = ask(gateway, &request, status);
                let date = response.header("date").unwrap_or_else(|| panic!("{request}: a date in {response:?}"));
                assert!(date.len() == 29 && date.ends_with(" GMT") && !date.contains("1970"), "{date}");
                response.expect_header("x-content-type-options", "nosniff");
            }
            for target in ["/sse?topic=judge.none", "/stream?topic=judge.none"] {
                let mut socket = gateway.connect();
                socket.write(get(target).replace("GET", "HEAD"));
                let response = socket.read_response(false);
                assert!(response.header("date").is_some(), "{response:?}");
                response.expect_header("x-content-type-options", "nosniff");
            }
        }),
        case("RFC 9110 7.8", "a 426 says that the connection may be upgraded, and stays open", |gateway| {
            let mut socket = gateway.connect();
            for method in ["GET", "HEAD"] {
                for path in ["/echo", "/ws", "/raw/judge.http"] {
                    socket.write(get(path).replace("GET", method));
                    let response = socket.read_response(method == "GET");
                    assert_eq!(response.status, 426, "{method} {path}");
                    response.expect_header("connection", "upgrade").expect_header("upgrade", "websocket");
                    response.expect_header("sec-websocket-version", "13");
                }
            }
            let version = Socket::handshake("/echo").replace("Version: 13", "Version: 12");
            let response = socket.write(version).expect_http_status(426);
            response.expect_header("connection", "upgrade, close");
            socket.expect_end();
        }),
        case(
            "RFC 9110 9.1, 15.6.2",
            "a method that nobody knows is a 501, one that is not for the path a 405",
            |gateway| {
                let mut socket = gateway.connect();
                for (method, path, status) in [
                    ("BREW", "/healthz", 501),
                    ("get", "/healthz", 501),
                    ("PROPFIND", "/nothing", 501),
                    ("PUT", "/healthz", 405),
                    ("DELETE", "/publish/judge.http", 405),
                    ("PATCH", "/ws", 405),
                    ("TRACE", "/sse", 405),
                    ("HEAD", "/publish", 405),
                ] {
                    socket.write(get(path).replace("GET", method));
                    assert_eq!(socket.read_response(method != "HEAD").status, status, "{method} {path}");
                }
                socket.write(get("/healthz")).expect_http_status(200);
            },
        ),
    ]
}

fn requests() -> Vec<Case> {
    vec![
        case("RFC 9110 2.5", "a later minor version is taken as HTTP/1.1, another major version is not", |gateway| {
            let mut socket = gateway.connect();
            for version in ["1.2", "1.9", "1.1"] {
                socket.write(get("/healthz").replace("1.1", version)).expect_http_status(200);
                socket.write_in_pieces(get("/healthz").replace("1.1", version), 1).expect_http_status(200);
            }
            ask(gateway, get("/healthz").replace("1.1", "2.0"), 505);
            ask(gateway, get("/healthz").replace("1.1", "1.x"), 400);
        }),
        case("RFC 9112 3.2", "a target of other characters is a 400", |gateway| {
            for byte in ['"', '<', '>', '^', '\\', '`', '{', '}', '#'] {
                ask(gateway, get(&format!("/topics/a{byte}")), 400);
            }
            for byte in ['"', '<'] {
                ask(gateway, get(&format!("/healthz?a={byte}")), 400);
            }
            // Characters that browsers do not encode.
            ask(gateway, get("/healthz?a=|^`{}\\[]>"), 200);
            ask(gateway, get("/topics/judge|[0]"), 404);
        }),
        case("RFC 9110 7.2", "a Host that is none is a 400", |gateway| {
            for host in ["[::1", "a:x", "a:80:80", "a%b", "[::1]x", "a\"b", "a\\b", "a b"] {
                ask(gateway, get("/healthz").replace("localhost", host), 400);
            }
            for host in ["", "[::1]", "[::1]:80", "a:", "a%62", "127.0.0.1:1"] {
                ask(gateway, get("/healthz").replace("localhost", host), 200);
            }
        }),
    ]
}

fn fields() -> Vec<Case> {
    let publish = "POST /publish/judge.fields";
    vec![
        case(
            "RFC 9110 5.5",
            "a connection is closed where its list of options says so, whatever else it says",
            |gateway| {
                for field in [&b"Connection: close, \xff"[..], b"Connection: \xe9 ,close"] {
                    let mut socket = gateway.connect();
                    socket
                        .write(with("GET /healthz", &[field], ""))
                        .expect_http_status(200)
                        .expect_header("connection", "close");
                    socket.expect_end();
                }
            },
        ),
        case("RFC 9110 5.5", "a field that changes what is published is read or refused", move |gateway| {
            for fields in [
                &[&b"Fanwire-Key: k\xe4"[..]][..],
                &[b"Fanwire-Key: a", b"Fanwire-Key: b"],
                &[b"Fanwire-Key: a", b"fanwire-key: a"],
                &[b"Fanwire-Id: \xe4"],
                &[b"Fanwire-Id: a", b"Fanwire-Id: a"],
                &[b"If-Match: \xff"],
                &[b"Content-Type: text/plain", b"Content-Type: application/octet-stream"],
            ] {
                let response = ask(gateway, with(publish, fields, "x"), 400);
                assert!(response.text().contains("bad_request"), "{response:?}");
            }
            for fields in [
                &[&b"Fanwire-Key: \xc3\xa4"[..]][..],
                &[b"Fanwire-Key:"],
                &[b"Content-Type: text/plain; name=\xff"],
                &[b"X-Other: \xff"],
            ] {
                ask(gateway, with(publish, fields, "x"), 200);
            }
        }),
        case("RFC 9110 8.4", "a body that is encoded is a 415", move |gateway| {
            let batch = "{\"topic\":\"judge.fields\",\"data\":1}";
            for request in [publish, "POST /publish"] {
                for coding in ["gzip", "identity, br", "x\u{ff}"] {
                    let field = format!("Content-Encoding: {coding}");
                    let mut socket = gateway.connect();
                    let response = socket.write(with(request, &[field.as_bytes()], batch)).expect_http_status(415);
                    response.expect_header("accept-encoding", "identity");
                    socket.write(get("/healthz")).expect_http_status(200);
                }
                ask(gateway, with(request, &[b"Content-Encoding: identity"], batch), 200);
            }
        }),
        case("protocol", "of two origins, or one of other octets, nobody knows the page", |gateway| {
            let own = b"Origin: http://localhost";
            let mine = with("GET /topics/judge.none/history", &[own], "");
            ask(gateway, mine, 200);
            for fields in [&[&own[..], own][..], &[b"Origin: http://localhost\xff"], &[b"Origin: \xff"]] {
                ask(gateway, with("GET /topics/judge.none/history", fields, ""), 403);
            }
        }),
    ]
}

fn queries() -> Vec<Case> {
    vec![
        case("protocol", "what nobody reads of a query refuses nothing", |gateway| {
            for target in ["/ws?x=%ff", "/echo?%zz", "/raw/judge.query?a=%ff&last=0&topic=%zz"] {
                gateway.websocket(target);
            }
            for target in
                ["/poll?topic=judge.query&timeout=0s&utm=%zz", "/topics/judge.query/history?utm=%ff&%ff", "/healthz?%"]
            {
                gateway.connect().write(get(target)).expect_http_status_of(&[200, 204]);
            }
            let mut socket = gateway.connect();
            socket.write(get("/sse?topic=judge.query&utm=%zz&timeout=%zz").replace("GET", "HEAD"));
            assert_eq!(socket.read_response(false).status, 200);
            ask(gateway, get("/poll?topic=judge.query&timeout=%zz"), 400);
        }),
        case("protocol", "a limit past what can be counted is all there is", |gateway| {
            for limit in ["99999999999", "999999999999999999999999", "4294967296", "0"] {
                ask(gateway, get(&format!("/topics/judge.query/history?limit={limit}")), 200);
            }
            for limit in ["-1", "1.5", "x", "%2B1", "1e3"] {
                ask(gateway, get(&format!("/topics/judge.query/history?limit={limit}")), 400);
            }
        }),
    ]
}
