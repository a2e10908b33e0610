//! Where a reader is: that it can come back to it by any transport, and that nothing comes to it that it left.

use fanwire::driver::sim::PeerId;
use fanwire::hub::{TopicRule, TopicRules, TopicSettings};
use fanwire::limits::{Limits, POLL_KEPT_MS, SWEEP_AGAIN_MS};
use fanwire::metrics::MemoryClass;

use crate::world::{World, get, handshake, post, text_frame};

/// A gateway of two shards that keeps a history of every topic.
fn world(history_ttl_ms: u64) -> World {
    let settings = TopicSettings { history: 1_000, history_ttl_ms, ..TopicSettings::default() };
    let rules = TopicRules::new(vec![TopicRule { pattern: ">".parse().expect("a pattern"), settings }]);
    World::with_rules(2, 1 << 20, Limits::default(), rules)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("{start} in {text}"));
    rest.split_once(end).unwrap_or_else(|| panic!("{end} in {rest}")).0
}

/// A reader of one topic that comes, from a position or for the first time.
fn come(world: &mut World, transport: &str, topic: &str, since: Option<&str>) -> (PeerId, String) {
    let peer = match transport {
        "/ws" => world.upgrade(0, "/ws"),
        _ => world.connect(0),
    };
    let field = since.map(|since| format!("Last-Event-ID: {since}\r\n")).unwrap_or_default();
    let query = since.map(|since| format!("&since={since}")).unwrap_or_default();
    let map = since.map(|since| format!(",\"since\":{{\"{topic}\":\"{since}\"}}")).unwrap_or_default();
    match transport {
        "/ws" => world.say_text(peer, &format!("{{\"op\":\"sub\",\"topics\":[\"{topic}\"]{map}}}")),
        "/raw" => world.say(peer, handshake(&format!("/raw/{topic}?{}", query.trim_start_matches('&'))).as_bytes()),
        "/sse" => world.say(peer, format!("GET /sse?topic={topic} HTTP/1.1\r\nHost: x\r\n{field}\r\n").as_bytes()),
        path => world.say(peer, get(&format!("{path}?topic={topic}&timeout=0s{query}")).as_bytes()),
    }
    let heard = world.hear_for(peer, 5);
    (peer, heard)
}

/// The answer to `GET /topics/TOPIC`.
fn state(world: &mut World, topic: &str) -> String {
    let peer = world.connect(1);
    world.say(peer, get(&format!("/topics/{topic}")).as_bytes());
    let heard = world.hear_for(peer, 4);
    world.net.close(peer);
    heard
}

/// Until nobody knows of the topic that was read.
fn leave(world: &mut World, peer: PeerId) {
    world.net.reset(peer);
    world.turns(3);
    // A topic that is polled is known for longer.
    world.net.advance_ms(POLL_KEPT_MS + SWEEP_AGAIN_MS);
    world.turns(3);
    let known = world.measure(0).topics + world.measure(1).topics;
    assert_eq!(known, 0, "a topic that nobody reads and nothing was said in costs nothing");
}

#[test]
fn a_topic_in_which_nothing_was_said_is_resumed_by_every_transport_when_its_readers_were_gone() {
    for transport in ["/ws", "/raw", "/sse", "/poll", "/stream"] {
        for home in [0, 1] {
            let mut world = world(0);
            let topic = world.topics_at(home).next().expect("there are names enough");
            let (peer, _) = come(&mut world, transport, &topic, None);
            let position = if transport == "/poll" {
                // It knows no reader any more, but the topic.
                let (poll, heard) = come(&mut world, transport, &topic, None);
                world.net.reset(poll);
                between(&heard, "Fanwire-Since: ", "\r\n").to_owned()
            } else {
                format!("{}-0", between(&state(&mut world, &topic), "\"epoch\":\"", "\""))
            };
            leave(&mut world, peer);
            let (peer, heard) = come(&mut world, transport, &topic, Some(&position));
            assert!(!heard.contains("\"recovered\":false"), "{transport} {home}: {heard}");
            leave(&mut world, peer);
            let publisher = world.connect(0);
            world.say(publisher, (post(&topic, "\"one\"") + &post(&topic, "\"two\"")).as_bytes());
            world.turns(3);
            let (_, heard) = come(&mut world, transport, &topic, Some(&position));
            assert!(heard.contains("one") && heard.contains("two"), "{transport} {home} from {position}: {heard}");
        }
    }
}

#[test]
fn a_topic_that_is_left_and_joined_again_on_one_connection_stands_where_it_stood() {
    for home in [0, 1] {
        let mut world = world(0);
        let topic = world.topics_at(home).next().expect("there are names enough");
        let (peer, heard) = come(&mut world, "/ws", &topic, None);
        let epoch = between(&heard, "\"epoch\":\"", "\"").to_owned();
        world.say_text(peer, &format!(r#"{{"op":"unsub","topics":["{topic}"]}}"#));
        world.turns(4);
        world.hear(peer);
        let sub = format!(r#"{{"op":"sub","topics":["{topic}"],"since":{{"{topic}":"{epoch}-0"}}}}"#);
        world.say_text(peer, &sub);
        let heard = world.hear_for(peer, 5);
        assert!(heard.contains("\"recovered\":true"), "{heard}");
    }
}

#[test]
fn a_condition_on_a_topic_in_which_nothing_was_said_holds_after_its_readers_left() {
    for home in [0, 1] {
        let mut world = world(0);
        let topic = world.topics_at(home).next().expect("there are names enough");
        let (peer, heard) = come(&mut world, "/ws", &topic, None);
        let epoch = between(&heard, "\"epoch\":\"", "\"").to_owned();
        leave(&mut world, peer);
        let publisher = world.connect(0);
        for (condition, status) in [(format!("{epoch}1-0"), "412"), (format!("{epoch}-0"), "200")] {
            let head = format!("POST /publish/{topic} HTTP/1.1\r\nHost: x\r\nIf-Match: \"{condition}\"\r\n");
            world.say(publisher, format!("{head}Content-Length: 1\r\n\r\n1").as_bytes());
            let heard = world.hear_for(publisher, 4);
            assert!(heard.starts_with(&format!("HTTP/1.1 {status}")), "{condition}: {heard}");
        }
    }
}

#[test]
fn nothing_comes_behind_the_answer_to_unsub_even_if_it_came_with_the_sub() {
    for home in [0, 1] {
        let mut world = world(0);
        let topic = world.topics_at(home).next().expect("there are names enough");
        let publisher = world.connect(0);
        world.say(publisher, post(&topic, "1").as_bytes());
        world.turns(3);
        for target in [&*topic, "t.*", ">"] {
            for turns_between in 0..6 {
                let peer = world.upgrade(0, "/ws");
                world.say(peer, &text_frame(&format!(r#"{{"op":"sub","topics":["{target}"],"id":1}}"#)));
                world.turns(turns_between);
                world.say(peer, &text_frame(&format!(r#"{{"op":"unsub","topics":["{target}"],"id":2}}"#)));
                world.turns(1);
                world.say(publisher, post(&topic, "2").as_bytes());
                let heard = world.hear_for(peer, 10);
                let (_, behind) = heard.split_once(r#"{"op":"ok","id":2"#).unwrap_or_else(|| panic!("{heard}"));
                assert!(!behind.contains(r#"{"t":"#), "{target}, home {home}, {turns_between} turns: {heard}");
                assert!(heard.contains(r#"{"op":"ok","id":1"#), "{heard}");
                world.net.reset(peer);
            }
        }
    }
}

#[test]
fn an_event_reader_that_comes_back_to_a_topic_which_its_pattern_covers_too_hears_right_ids() {
    for home in [0, 1] {
        let mut world = world(0);
        let topic = world.topics_at(home).next().expect("there are names enough");
        let other = world.topics_at(1 - home).next().expect("there are names enough");
        let publisher = world.connect(0);
        (0..5).for_each(|_| world.say(publisher, post(&topic, "1").as_bytes()));
        world.say(publisher, post(&other, "\"other\"").as_bytes());
        world.turns(3);
        let epoch = between(&state(&mut world, &topic), "\"epoch\":\"", "\"").to_owned();
        for since in [3, 5] {
            let peer = world.connect(0);
            let head = format!("GET /sse?topic={topic}&topic=t.* HTTP/1.1\r\nHost: x\r\n");
            world.say(peer, format!("{head}Last-Event-ID: {epoch}-{since}\r\n\r\n").as_bytes());
            let heard = world.hear_for(peer, 8);
            assert!(heard.contains("other"), "{heard}");
            let ids: Vec<u64> =
                heard.split("id: ").skip(1).map(|rest| between(rest, "-", "\n").parse().expect("an offset")).collect();
            assert_eq!(ids.first(), Some(&since), "{heard}");
            assert!(ids.is_sorted() && ids.last() == Some(&5), "{heard}");
        }
    }
}

/// A request to follow as many topics as one may, with names of so many characters.
fn follow(path: &str, name_len: usize, since: &str) -> String {
    let topics: Vec<String> = (0..128).map(|n| format!("topic={n:0name_len$}")).collect();
    let (query, field) = match path {
        "/sse" if !since.is_empty() => (String::new(), format!("Last-Event-ID: {since}\r\n")),
        _ if since.is_empty() => (String::new(), String::new()),
        _ => (format!("&since={}", since.replace(',', "%2C")), String::new()),
    };
    let wait = if path == "/poll" { "&timeout=0s" } else { "" };
    format!("GET {path}?{}{wait}{query} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n{field}\r\n", topics.join("&"))
}

#[test]
fn a_request_to_follow_that_is_taken_is_taken_again_when_its_reader_comes_back() {
    let longest = vec!["ffffffffffffffff-18446744073709551615"; 128].join(",");
    for path in ["/sse", "/stream", "/poll"] {
        let mut world = World::new(2, 1 << 20, Limits::default());
        let mut answer = |request: &str| {
            let peer = world.connect(0);
            world.say(peer, request.as_bytes());
            let heard = world.hear_for(peer, 5);
            world.net.reset(peer);
            heard
        };
        let mut taken = Vec::new();
        for name_len in (60..=112).step_by(2) {
            let first = answer(&follow(path, name_len, ""));
            if first.starts_with("HTTP/1.1 400") {
                assert!(first.contains("too_many_topics") && first.contains("16384 bytes"), "{first}");
                continue;
            }
            let again = answer(&follow(path, name_len, &longest));
            assert!(again.starts_with("HTTP/1.1 20"), "{path}, names of {name_len}: {again}");
            taken.push(name_len);
        }
        assert!(taken.len() > 5 && taken.last().is_some_and(|longest| *longest < 112), "{path}: {taken:?}");
    }
}

#[test]
fn history_that_is_too_old_goes_though_nobody_says_or_asks_anything() {
    let ttl_ms = 2_000;
    let mut world = world(ttl_ms);
    let publisher = world.connect(0);
    let payload = format!("\"{}\"", "x".repeat(20_000));
    for n in 0..1_000 {
        world.say(publisher, post(&format!("t.{}", n % 300), &payload).as_bytes());
        world.turns(2);
        world.hear(publisher);
    }
    world.net.close(publisher);
    world.turns(5);
    let held = |world: &World| (0..2).map(|shard| world.measure(shard).memory[MemoryClass::History as usize]).sum();
    let before: u64 = held(&world);
    assert!(before > 13_000_000, "{before}");
    // Nothing happens from here on but what the shards do by themselves.
    let end = world.net.now().plus_millis(ttl_ms + SWEEP_AGAIN_MS);
    while let Some(next) = world.net.next_deadline().filter(|next| *next <= end) {
        world.net.advance_to(next);
        world.turns(1);
    }
    assert_eq!(held(&world), 0);
    assert!(world.net.next_deadline().is_none(), "nothing is left to wait for");
}
