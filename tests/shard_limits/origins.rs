//! Browsers that ask for a page of some origin.

use fanwire::limits::Limits;
use fanwire::transport::http::Origins;

use crate::world::{World, handshake};

/// The answer to a request with these fields.
fn answer(world: &mut World, request: &str, fields: &str) -> String {
    let peer = world.connect(0);
    world.say(peer, format!("{request} HTTP/1.1\r\nHost: push.example\r\n{fields}\r\n").as_bytes());
    let heard = world.hear_for(peer, 4);
    world.net.close(peer);
    heard
}

const ALLOWED: &str = "Origin: https://app.example\r\n";
const FOREIGN: &str = "Origin: https://evil.example\r\n";

fn world() -> World {
    let origins = Origins::Listed(["https://app.example"].map(Box::from).into());
    World::with_origins(1, 1 << 16, Limits::default(), origins)
}

const ENDPOINTS: [&str; 6] = [
    "GET /sse?topic=a",
    "GET /stream?topic=a",
    "GET /poll?topic=a&timeout=0s",
    "GET /topics/a/history",
    "POST /publish/a",
    "POST /publish",
];

#[test]
fn a_page_of_an_allowed_origin_may_read_every_answer() {
    let mut world = world();
    for endpoint in ENDPOINTS {
        let heard = answer(&mut world, endpoint, &format!("Content-Length: 0\r\n{ALLOWED}"));
        assert!(heard.starts_with("HTTP/1.1 20"), "{heard}");
        let head = heard.split("\r\n\r\n").next().expect("a head");
        for field in ["Access-Control-Allow-Origin: https://app.example", "Vary: Origin"] {
            assert!(head.lines().any(|line| line == field), "{endpoint}: {field} is missing in {head}");
        }
    }
    let refused = answer(&mut world, "GET /topics/nothing", ALLOWED);
    assert!(refused.starts_with("HTTP/1.1 404") && refused.contains("Access-Control-Allow-Origin"), "{refused}");
}

#[test]
fn a_page_of_another_origin_may_neither_read_nor_write_nor_connect() {
    let mut world = world();
    for endpoint in ENDPOINTS {
        let heard = answer(&mut world, endpoint, &format!("Content-Length: 0\r\n{FOREIGN}"));
        assert!(heard.starts_with("HTTP/1.1 403") && heard.contains("\"forbidden\""), "{endpoint}: {heard}");
        assert!(!heard.contains("Access-Control"), "{heard}");
    }
    for (path, status) in [("/ws", "403"), ("/raw/a", "403"), ("/echo", "101")] {
        let peer = world.connect(0);
        let request = handshake(path).replace("Host: x\r\n", &format!("Host: x\r\n{FOREIGN}"));
        world.say(peer, request.as_bytes());
        assert!(world.hear_for(peer, 3).starts_with(&format!("HTTP/1.1 {status}")), "{path}");
    }
    assert_eq!(world.measure(0).publications, 0);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!(answer(&mut world, &format!("GET {path}"), FOREIGN).starts_with("HTTP/1.1 200"), "{path}");
    }
}

#[test]
fn who_is_no_page_is_asked_for_nothing() {
    let mut world = world();
    for endpoint in ENDPOINTS {
        let heard = answer(&mut world, endpoint, "Content-Length: 0\r\n");
        assert!(heard.starts_with("HTTP/1.1 20") && !heard.contains("Access-Control"), "{endpoint}: {heard}");
    }
}

#[test]
fn a_browser_that_asks_first_is_told_what_it_may_send() {
    let mut world = world();
    let asks = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: fanwire-key\r\n";
    let heard = answer(&mut world, "OPTIONS /publish/a", &format!("{ALLOWED}{asks}"));
    assert!(heard.starts_with("HTTP/1.1 204"), "{heard}");
    for field in [
        "Allow: POST, OPTIONS",
        "Access-Control-Allow-Methods: POST, OPTIONS",
        "Access-Control-Allow-Headers: Authorization, Cache-Control, Content-Type, Fanwire-Event, Fanwire-Id, \
         Fanwire-Key, Fanwire-Last, If-Match, If-None-Match, Last-Event-ID",
        "Access-Control-Allow-Origin: https://app.example",
    ] {
        assert!(heard.lines().any(|line| line == field), "{field} is missing in {heard}");
    }
    assert!(answer(&mut world, "OPTIONS /publish/a", &format!("{FOREIGN}{asks}")).starts_with("HTTP/1.1 403"));
    for (target, allow) in [
        ("/sse?topic=a", "GET, HEAD, OPTIONS"),
        ("*", "GET, HEAD, POST, DELETE, OPTIONS"),
        ("/ws", "GET, HEAD, OPTIONS"),
    ] {
        let heard = answer(&mut world, &format!("OPTIONS {target}"), "");
        assert!(heard.starts_with("HTTP/1.1 204") && heard.contains(&format!("\r\nAllow: {allow}\r\n")), "{heard}");
    }
}

#[test]
fn a_page_that_may_reads_why_it_is_refused() {
    let limits = Limits { message_len_max: 10, body_timeout_ms: 1_000, ..Limits::default() };
    let origins = Origins::Listed(["https://app.example"].map(Box::from).into());
    let mut world = World::with_origins(1, 1 << 16, limits, origins);
    let body = |fields: &str| format!("{ALLOWED}{fields}\r\n");
    for (request, fields, status) in [
        ("POST /publish/a..b", body("Content-Length: 0"), 400),
        ("GET /sse?topic=a..b", body("X: y"), 400),
        ("GET /nothing", body("X: y"), 404),
        ("DELETE /publish/a", body("X: y"), 405),
        ("POST /publish/a", body("Content-Length: 0\r\nIf-Match: \"1-1\""), 412),
        ("POST /publish/a", body("Content-Length: 11"), 413),
        ("POST /publish/a", body("Content-Length: 0\r\nContent-Encoding: gzip"), 415),
        ("GET /ws", body("X: y"), 426),
        ("BREW /publish/a", body("X: y"), 501),
        ("OPTIONS /nothing", body("X: y"), 404),
        ("OPTIONS /publish/a..b", body("Access-Control-Request-Method: POST"), 204),
        ("OPTIONS /sse", body("X: y"), 204),
    ] {
        let heard = answer(&mut world, request, &fields);
        assert!(heard.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {heard}");
        assert!(heard.contains("\r\nAccess-Control-Allow-Origin: https://app.example\r\n"), "{request}: {heard}");
        assert!(heard.contains("\r\nVary: Origin\r\n"), "{request}: {heard}");
        let foreign = answer(&mut world, request, &fields.replace(ALLOWED, FOREIGN));
        assert!(!foreign.contains("Access-Control"), "{request}: {foreign}");
    }
    // In the body, where the head is long gone: too much of it, what is no chunk, and too late.
    for (chunks, status) in [("b\r\n", 413), ("x\r\n", 400), ("", 408)] {
        let peer = world.connect(0);
        let head =
            format!("POST /publish/a HTTP/1.1\r\nHost: push.example\r\n{ALLOWED}Transfer-Encoding: chunked\r\n\r\n");
        world.say(peer, head.as_bytes());
        world.turns(1);
        world.say(peer, chunks.as_bytes());
        world.pass_ms(if status == 408 { 1_100 } else { 0 });
        let heard = world.hear_for(peer, 3);
        assert!(heard.starts_with(&format!("HTTP/1.1 {status}")), "{heard}");
        assert!(heard.contains("\r\nAccess-Control-Allow-Origin: https://app.example\r\n"), "{heard}");
    }
}

#[test]
fn of_two_origins_or_one_of_other_octets_nobody_knows_the_page() {
    let request =
        |fields: &[u8]| [b"GET /topics/a/history HTTP/1.1\r\nHost: push.example\r\n", fields, b"\r\n"].concat();
    let mut cases =
        vec![request(format!("{ALLOWED}{ALLOWED}").as_bytes()), request(b"Origin: https://app.example\xff\r\n")];
    cases.push(request(format!("{ALLOWED}{FOREIGN}").as_bytes()));
    for (mut world, status) in [(world(), 403), (World::new(1, 1 << 16, Limits::default()), 200)] {
        for case in &cases {
            let peer = world.connect(0);
            world.say(peer, case);
            let heard = world.hear_for(peer, 4);
            assert!(heard.starts_with(&format!("HTTP/1.1 {status}")) && !heard.contains("Access-Control"), "{heard}");
        }
    }
}

#[test]
fn the_date_is_the_one_of_the_turn_and_follows_the_clock() {
    let mut world = World::new(1, 1 << 16, Limits::default());
    let date = |world: &mut World| {
        let heard = answer(world, "GET /healthz", "");
        heard.lines().find_map(|line| line.strip_prefix("Date: ")).expect("a date").to_owned()
    };
    assert_eq!(date(&mut world), "Tue, 14 Nov 2023 22:13:20 GMT", "when the virtual clock begins");
    world.pass_ms(61_000);
    assert_eq!(date(&mut world), "Tue, 14 Nov 2023 22:14:21 GMT");
}
