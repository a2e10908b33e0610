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
        "Access-Control-Allow-Headers: Authorization, Content-Type, Fanwire-Key, Last-Event-ID",
        "Access-Control-Allow-Origin: https://app.example",
    ] {
        assert!(heard.lines().any(|line| line == field), "{field} is missing in {heard}");
    }
    assert!(answer(&mut world, "OPTIONS /publish/a", &format!("{FOREIGN}{asks}")).starts_with("HTTP/1.1 403"));
    for (target, allow) in
        [("/sse?topic=a", "GET, HEAD, OPTIONS"), ("*", "GET, HEAD, POST, OPTIONS"), ("/ws", "GET, OPTIONS")]
    {
        let heard = answer(&mut world, &format!("OPTIONS {target}"), "");
        assert!(heard.starts_with("HTTP/1.1 204") && heard.contains(&format!("\r\nAllow: {allow}\r\n")), "{heard}");
    }
}
