//! Roles of listeners and topics: the right to publish and the right to read, at every endpoint.

use fanwire::hub::{TopicRule, TopicRules, TopicSettings};
use fanwire::limits::Limits;
use fanwire::transport::http::{Access, Role};

use crate::world::{World, post, text_frame};

const CLOSE_FORBIDDEN: [u8; 2] = 1008_u16.to_be_bytes();

fn world(role: Role, rules: TopicRules) -> World {
    World::with_access(2, 1 << 16, Limits::default(), rules, &Access { role, ..Access::OPEN })
}

/// The status that a request gets.
fn status(world: &mut World, request: &str) -> String {
    let peer = world.connect(0);
    let (method, body) = (request.split(' ').next().expect("a method"), "{\"topic\":\"a\",\"data\":1}");
    let body = if method == "POST" { body } else { "" };
    let head = format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    world.say(peer, head.as_bytes());
    let heard = world.hear_for(peer, 6);
    world.net.close(peer);
    heard.get(9..12).unwrap_or_else(|| panic!("{request}: {heard}")).to_owned()
}

/// The answer of `/ws` to an operation.
fn reply(world: &mut World, operation: &str) -> String {
    let peer = world.upgrade(0, "/ws");
    world.say_text(peer, operation);
    let heard = world.hear_for(peer, 6);
    world.net.close(peer);
    heard
}

/// Whether a message on `/raw/TOPIC` closes the connection with 1008; else it stays open.
fn is_closed_for_raw(world: &mut World, topic: &str) -> bool {
    let peer = world.upgrade(0, &format!("/raw/{topic}?echo=0&last=0"));
    world.say(peer, &text_frame("said"));
    world.turns(6);
    let heard = world.net.read(peer);
    world.net.close(peer);
    // A close frame.
    heard.first() == Some(&0x88) && heard[2..4] == CLOSE_FORBIDDEN
}

const PUB: &str = "{\"op\":\"pub\",\"topic\":\"a\",\"data\":1,\"id\":7}";

#[test]
fn a_listener_for_readers_takes_no_publication_at_any_endpoint() {
    let mut world = world(Role::Readers, TopicRules::default());
    assert_eq!(status(&mut world, "POST /publish/a"), "403");
    assert_eq!(status(&mut world, "POST /publish"), "403");
    let heard = reply(&mut world, PUB);
    assert!(heard.contains("\"op\":\"err\",\"id\":7,\"code\":\"forbidden\""), "{heard}");
    assert!(is_closed_for_raw(&mut world, "a"));
    assert_eq!((world.measure(0).publications, world.measure(1).publications), (0, 0));
    // Echoing is not publishing, and all reading goes on; metrics are not for readers.
    assert!(reply(&mut world, "{\"op\":\"sub\",\"topics\":[\"a\"]}").contains("\"op\":\"ok\""));
    let peer = world.upgrade(0, "/echo");
    world.say_text(peer, "back");
    assert!(world.hear_for(peer, 3).ends_with("back"));
    for (request, expected) in [
        ("GET /sse?topic=a", "200"),
        ("GET /stream?topic=a", "200"),
        ("GET /topics/a/history", "200"),
        ("GET /healthz", "200"),
        ("GET /readyz", "200"),
        ("GET /metrics", "403"),
    ] {
        assert_eq!(status(&mut world, request), expected, "{request}");
    }
}

#[test]
fn a_listener_for_publishers_tells_nothing_that_was_said() {
    let mut world = world(Role::Publishers, TopicRules::default());
    for (request, expected) in [
        ("POST /publish/a", "200"),
        ("POST /publish", "200"),
        ("GET /metrics", "200"),
        ("GET /sse?topic=a", "403"),
        ("GET /stream?topic=a", "403"),
        ("GET /poll?topic=a&timeout=0s", "403"),
        ("GET /topics/a", "403"),
        ("GET /topics/a/history", "403"),
        ("GET /raw/a", "403"),
    ] {
        assert_eq!(status(&mut world, request), expected, "{request}");
    }
    assert!(reply(&mut world, PUB).contains("\"op\":\"ok\",\"id\":7"));
    for operation in ["{\"op\":\"sub\",\"topics\":[\"a\"],\"id\":1}", "{\"op\":\"history\",\"topic\":\"a\",\"id\":1}"] {
        let heard = reply(&mut world, operation);
        assert!(heard.contains("\"id\":1,\"code\":\"forbidden\""), "{heard}");
    }
}

#[test]
fn a_topic_that_is_not_for_publishing_is_published_to_by_publishers_listeners_only() {
    let rule = |pattern: &str, publish| TopicRule {
        pattern: pattern.parse().expect("a pattern"),
        settings: TopicSettings { publish, ..TopicSettings::default() },
    };
    let rules = || TopicRules::new(vec![rule("open.a", true), rule("open.>", false), rule("a", false)]);
    let mut world = world(Role::All, rules());
    assert_eq!(status(&mut world, "POST /publish/a"), "403");
    assert_eq!(status(&mut world, "POST /publish/open.b"), "403");
    assert_eq!(status(&mut world, "POST /publish/open.a"), "200");
    assert_eq!(status(&mut world, "POST /publish/other"), "200");
    let heard = reply(&mut world, PUB);
    assert!(heard.contains("\"id\":7,\"code\":\"forbidden\""), "{heard}");
    assert!(is_closed_for_raw(&mut world, "a") && !is_closed_for_raw(&mut world, "open.a"));
    // Of many lines the others are published.
    let peer = world.connect(0);
    let lines = "{\"topic\":\"a\",\"data\":1}\n{\"topic\":\"open.a\",\"data\":2}\n{\"topic\":\"open.c\",\"data\":3}\n";
    let head = format!("POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{lines}", lines.len());
    world.say(peer, head.as_bytes());
    let heard = world.hear_for(peer, 6);
    assert_eq!((heard.matches("\"forbidden\"").count(), heard.matches("\"offset\"").count()), (2, 1), "{heard}");

    let mut world = self::world(Role::Publishers, rules());
    let peer = world.connect(0);
    world.say(peer, post("a", "1").as_bytes());
    assert!(world.hear_for(peer, 4).starts_with("HTTP/1.1 200"));
}
