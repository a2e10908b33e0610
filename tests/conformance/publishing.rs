//! Requests that are answered: keep-alive, pipelining, bodies of both kinds, and what arrives at the readers.

use crate::common::{Frame, Gateway, Response, Socket};
use crate::{Case, case};

const MESSAGE_LEN_MAX: usize = 1024 * 1024;
const REFUSED_BODY_LEN_MAX: usize = 64 * 1024;

pub fn cases() -> Vec<Case> {
    [requests(), bodies(), chunked(), batches()].into_iter().flatten().collect()
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn post(topic: &str, body: &str) -> String {
    format!("POST /publish/{topic} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn post_chunked(topic: &str, body: &str) -> String {
    format!("POST /publish/{topic} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

fn reader(gateway: &Gateway, topic: &str) -> Socket {
    gateway.websocket(&format!("/raw/{topic}?last=0"))
}

/// The offset in the answer to one publication.
fn offset(response: &Response) -> u64 {
    let answer: serde_json::Value = serde_json::from_slice(&response.body).expect("an answer of JSON");
    assert!(answer["topic"].is_string() && answer["epoch"].is_string(), "{answer}");
    answer["offset"].as_u64().expect("an offset")
}

fn requests() -> Vec<Case> {
    vec![
        case("RFC 9112 9.3", "a connection is kept alive", |gateway| {
            let mut socket = gateway.connect();
            for _ in 0..10 {
                socket.write(get("/healthz")).expect_http_status(200);
            }
        }),
        case("RFC 9112 9.3.2", "requests in one segment are answered in order", |gateway| {
            let mut socket = gateway.connect();
            let topic = "judge.pipelined";
            socket.write([post(topic, "one"), get("/healthz"), post(topic, "two"), get("/nothing")].concat());
            let first = offset(&socket.expect_http_status(200));
            socket.expect_http_status(200);
            assert_eq!(offset(&socket.expect_http_status(200)), first + 1);
            socket.expect_http_status(404);
        }),
        case("RFC 9112 9.3.2", "a hundred requests octet by octet are answered in order", |gateway| {
            let mut socket = gateway.connect();
            socket.write_in_pieces(post("judge.torn", "message").repeat(100), 1);
            let first = offset(&socket.expect_http_status(200));
            for number in 1..100 {
                assert_eq!(offset(&socket.expect_http_status(200)), first + number);
            }
        }),
        case("RFC 9112 9.6", "a connection that asks to be closed is closed behind its answer", |gateway| {
            let mut socket = gateway.connect();
            socket.write(get("/healthz").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
            socket.expect_http_status(200);
            socket.expect_orderly_end();
        }),
        case("RFC 9112 9.3", "an HTTP/1.0 request is answered and its connection closed", |gateway| {
            let mut socket = gateway.connect();
            socket.write("GET /healthz HTTP/1.0\r\n\r\n").expect_http_status(200);
            socket.expect_end();
        }),
        case("RFC 9110 9.3.2", "a HEAD is answered without a body", |gateway| {
            let mut socket = gateway.connect();
            socket.write([get("/healthz").replace("GET", "HEAD"), get("/healthz")].concat());
            assert_eq!(socket.read_response(false).status, 200);
            socket.expect_http_status(200);
        }),
        case("RFC 9110 9.3.2", "a HEAD that is refused is answered without a body", |gateway| {
            for path in ["/nothing", "/publish"] {
                let mut socket = gateway.connect();
                socket.write([get(path).replace("GET", "HEAD"), get("/healthz")].concat());
                assert!(matches!(socket.read_response(false).status, 404 | 405));
                socket.expect_http_status(200);
            }
        }),
        case("RFC 9112 3.2.2", "a target with scheme and host is understood", |gateway| {
            gateway.connect().write(get("http://localhost/healthz")).expect_http_status(200);
        }),
        case("RFC 9112 9.3", "the end of the peer's stream behind a request does not cost the answer", |gateway| {
            let mut socket = gateway.connect();
            socket.write(get("/healthz")).finish().expect_http_status(200);
            socket.expect_end();
        }),
        case("RFC 9112 9.6", "a connection is closed behind a refusal exactly if the refusal says so", |gateway| {
            for request in [get("/nothing"), get("/echo"), post("a..b", "body"), get("/topics/judge.unknown")] {
                let mut socket = gateway.connect();
                let refusal = socket.write(&request).expect_http_status_of(&[400, 404, 426]);
                if refusal.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                    socket.expect_end();
                } else {
                    socket.write(get("/healthz")).expect_http_status(200);
                }
            }
        }),
        case("RFC 9112 9.3", "a request refused for what it asks leaves the connection to the next", |gateway| {
            let mut socket = gateway.connect();
            let long = "*".repeat(REFUSED_BODY_LEN_MAX);
            let put = post("judge.put", "body").replace("POST", "PUT");
            let chunked = post_chunked("a..b", "5\r\nhello\r\n0\r\n\r\n");
            let [nothing, many] = ["/nothing", "/publish"].map(get);
            for (request, status) in [
                (nothing.clone(), 404),
                (many, 405),
                (put, 405),
                (post("a..b", &long), 400),
                (chunked, 400),
                (get("/poll?topic=a..b"), 400),
                (get("/topics/judge%zz"), 400),
            ] {
                let requests = [request, get("/healthz")].concat();
                for piece_len in [requests.len(), if requests.len() < 1000 { 1 } else { 997 }] {
                    socket.write_in_pieces(&requests, piece_len).expect_http_status(status);
                    socket.expect_http_status(200);
                }
            }
            socket.write(nothing.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).expect_http_status(404);
            socket.expect_orderly_end();
        }),
        case("RFC 9112 9.3", "a refused request with too much behind it, or that waits or upgrades, ends", |gateway| {
            let long = "*".repeat(REFUSED_BODY_LEN_MAX);
            let chunks = format!("10000\r\n{long}\r\n1\r\n*\r\n0\r\n\r\n");
            for (request, statuses) in [
                (post("a..b", &format!("{long}*")), &[400][..]),
                (post_chunked("a..b", &chunks), &[413]),
                (post_chunked("a..b", "zz\r\n"), &[400]),
                (post("a..b", "body").replace("Content-", "Expect: 100-continue\r\nContent-"), &[400]),
                (get("/nothing").replace("\r\n\r\n", "\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), &[404]),
            ] {
                let mut socket = gateway.connect();
                socket.write(&request).expect_http_status_of(statuses);
                socket.expect_end();
            }
        }),
        case("protocol", "health, readiness and metrics are told", |gateway| {
            let mut socket = gateway.connect();
            for target in ["/healthz", "/readyz", "/metrics"] {
                assert!(!socket.write(get(target)).expect_http_status(200).body.is_empty(), "{target}");
            }
        }),
        case("protocol", "a topic tells its epoch, its offset and its last value", |gateway| {
            let mut socket = gateway.connect();
            let published = socket.write(post("judge.topic", "{\"n\":1}")).expect_http_status(200);
            let told = socket.write(get("/topics/judge.topic")).expect_http_status(200);
            let told: serde_json::Value = serde_json::from_slice(&told.body).expect("an answer of JSON");
            assert_eq!(told["offset"].as_u64(), Some(offset(&published)), "{told}");
            assert!(told["epoch"].is_string(), "{told}");
        }),
    ]
}

fn bodies() -> Vec<Case> {
    let binary = |topic: &str, body: &[u8]| {
        let head = post(topic, "").replace("Content-Length: 0", "Content-Type: application/octet-stream");
        let len = format!("\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.replace("\r\n\r\n", &len).as_bytes(), body].concat()
    };
    vec![
        case("protocol", "a body reaches the readers as text", |gateway| {
            let mut reader = reader(gateway, "judge.text");
            gateway.connect().write(post("judge.text", "κόσμε")).expect_http_status(200);
            reader.expect_text("κόσμε");
        }),
        case("protocol", "a body of octets reaches the readers as binary", move |gateway| {
            let mut reader = reader(gateway, "judge.binary");
            gateway.connect().write(binary("judge.binary", b"\x00\xff\xfe")).expect_http_status(200);
            reader.expect_binary(b"\x00\xff\xfe");
        }),
        case("protocol", "a body that should be text and is not is refused", |gateway| {
            let mut request = post("judge.bad", "abc").into_bytes();
            let at = request.len() - 3;
            request[at..].copy_from_slice(b"\xff\xfe\xfd");
            gateway.connect().write(request).expect_http_status_of(&[400, 415]);
        }),
        case("protocol", "a body in a later segment is waited for", |gateway| {
            let mut reader = reader(gateway, "judge.later");
            let request = post("judge.later", "message");
            let mut socket = gateway.connect();
            socket.write(&request[..request.len() - 7]).write("mess").write("age").expect_http_status(200);
            reader.expect_text("message");
        }),
        case("RFC 9110 10.1.1", "a peer that waits to be told to go on is told", |gateway| {
            let mut socket = gateway.connect();
            let request = post("judge.continue", "message").replace("Content-", "Expect: 100-continue\r\nContent-");
            let (head, body) = request.split_at(request.len() - 7);
            socket.write(head).expect_http_status(100);
            socket.write(body).expect_http_status(200);
        }),
        case("protocol", "a body of the full length is taken and reaches the readers", |gateway| {
            let mut reader = reader(gateway, "judge.full");
            let body = "*".repeat(MESSAGE_LEN_MAX);
            gateway.connect().write(post("judge.full", &body)).expect_http_status(200);
            reader.expect_text(&body);
        }),
        case("protocol", "a body of one octet too many is refused by its head", |gateway| {
            let request = post("judge.long", "").replace("Length: 0", &format!("Length: {}", MESSAGE_LEN_MAX + 1));
            gateway.connect().write(request).expect_http_status(413);
        }),
        case("protocol", "a bad topic is refused, and its body is not the next request", |gateway| {
            let mut socket = gateway.connect();
            socket.write(post("a..b", &get("/healthz"))).expect_http_status(400);
            if socket.write(get("/nothing")).has_more() {
                socket.expect_http_status(404);
            }
        }),
        case("protocol", "publishing with GET is refused", |gateway| {
            gateway.connect().write(get("/publish/judge.get")).expect_http_status(405);
        }),
        case("protocol", "a reader on each way hears a publication once", |gateway| {
            let mut raw = reader(gateway, "judge.both");
            let mut json = gateway.websocket("/ws");
            json.send(Frame::text(r#"{"op":"sub","topics":["judge.both"],"last":false,"id":7}"#));
            let (_, reply) = json.read_message();
            let reply: serde_json::Value = serde_json::from_slice(&reply).expect("a reply of JSON");
            assert!(reply["op"] == "ok" && reply["id"] == 7, "{reply}");
            let offset = offset(&gateway.connect().write(post("judge.both", "{\"n\":1}")).expect_http_status(200));
            raw.expect_text("{\"n\":1}");
            json.expect_text(format!(r#"{{"t":"judge.both","o":{offset},"d":{{"n":1}}}}"#));
        }),
    ]
}

fn chunked() -> Vec<Case> {
    let taken = |name: &str, body: String, message: String| {
        let topic = format!("judge.chunked.{}", name.replace(' ', "-"));
        case("RFC 9112 7.1", format!("a chunked body with {name} is taken"), move |gateway| {
            let mut reader = reader(gateway, &topic);
            let mut socket = gateway.connect();
            let request = post_chunked(&topic, &body);
            socket.write([&request, &get("/healthz")].map(String::as_str).concat());
            let first = offset(&socket.expect_http_status(200));
            socket.expect_http_status(200);
            reader.expect_text(&message);
            socket.write_in_pieces(&request, if body.len() < 1000 { 1 } else { 997 });
            assert_eq!(offset(&socket.expect_http_status(200)), first + 1);
            reader.expect_text(&message);
        })
    };
    let taken_as = |name: &str, body: &str, message: &str| taken(name, body.to_owned(), message.to_owned());
    let full = "*".repeat(MESSAGE_LEN_MAX);
    vec![
        taken_as("two chunks", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
        taken_as("lengths in any case", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        taken_as("leading zeros", "005\r\nhello\r\n000\r\n\r\n", "hello"),
        taken_as("extensions", "5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", "hello"),
        taken_as("spaces around extensions", "5 ;a = b ; c\r\nhello\r\n0\t;e\r\n\r\n", "hello"),
        taken_as("trailers", "5\r\nhello\r\n0\r\nX-Trailer: value\r\n\r\n", "hello"),
        taken_as("line ends in a chunk", "9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n\r\n"),
        taken_as("chunks of one octet", "1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", "hi"),
        taken("the full length", format!("80000\r\n{0}\r\n80000\r\n{0}\r\n0\r\n\r\n", &full[..full.len() / 2]), full),
        case("protocol", "chunks of one octet too many are refused", |gateway| {
            let body = format!("100000\r\n{}\r\n1\r\n*\r\n0\r\n\r\n", "*".repeat(MESSAGE_LEN_MAX));
            gateway.connect().write(post_chunked("judge.chunked.long", &body)).expect_http_status(413);
        }),
        case("protocol", "a chunk that is too long is refused by its length", |gateway| {
            gateway.connect().write(post_chunked("judge.chunked.long", "7fffffff\r\n")).expect_http_status(413);
        }),
    ]
}

fn batches() -> Vec<Case> {
    let batch = |body: &str| post("", body).replace("/publish/ ", "/publish ");
    vec![
        case("protocol", "many publications in one request are answered a line each", move |gateway| {
            let mut reader = reader(gateway, "judge.batch.a");
            let lines = "{\"topic\":\"judge.batch.a\",\"data\":{\"n\":1}}\n{\"topic\":\"judge.batch.b\",\"data\":\"b\"}\n\
                         {\"topic\":\"judge.batch.a\",\"data\":[2],\"key\":\"k\"}\n";
            let response = gateway.connect().write(batch(lines)).expect_http_status(200);
            let answers: Vec<serde_json::Value> =
                response.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
            let topics: Vec<_> = answers.iter().map(|answer| answer["topic"].as_str().unwrap_or_default()).collect();
            assert_eq!(topics, ["judge.batch.a", "judge.batch.b", "judge.batch.a"]);
            assert_eq!(answers[2]["offset"].as_u64(), answers[0]["offset"].as_u64().map(|offset| offset + 1));
            reader.expect_text("{\"n\":1}").expect_text("[2]");
        }),
        case("protocol", "a bad line among many is told, and the connection lives or ends in order", move |gateway| {
            let mut socket = gateway.connect();
            socket.write(batch("{\"topic\":\"judge.batch.c\",\"data\":1}\nnot JSON\n"));
            let response = socket.expect_http_status_of(&[200, 400]);
            assert!(response.status == 400 || response.text().lines().count() == 2, "{response:?}");
            if socket.write(get("/healthz")).has_more() {
                socket.expect_http_status(200);
            }
        }),
    ]
}
