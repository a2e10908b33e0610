//! Long polling: nothing is lost between two polls, and nothing is left of those that nobody waits for.

use std::collections::BTreeMap;

use fanwire::driver::sim::{PeerEnd, PeerId};
use fanwire::limits::{
    Limits, POLL_ANSWER_LEN_MAX, POLL_KEPT_MAX, POLL_KEPT_MS, POLL_TIMEOUT_MS_MAX, SWEEP_INTERVAL_MS,
};
use serde_json::Value;

use crate::world::{World, get, post};

/// An answer to a poll.
#[derive(Debug)]
struct Answer {
    status: u16,
    since: String,
    body: Value,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("an answer, got {text:?}"));
        let since = head.lines().find_map(|line| line.strip_prefix("Fanwire-Since: ")).expect("where the reader is");
        let status = head[9..12].parse().expect("a status");
        assert_eq!(head.contains("Content-Length"), status != 204, "{head}");
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        assert!(status == 204 || body["since"] == since, "{text}");
        Self { status, since: since.to_owned(), body }
    }

    fn payloads(&self) -> Vec<String> {
        let messages = self.body["messages"].as_array().cloned().unwrap_or_default();
        messages.iter().map(|message| message["d"].to_string()).collect()
    }
}

fn ask(world: &mut World, peer: PeerId, query: &str) {
    world.say(peer, get(&format!("/poll?{query}")).as_bytes());
    world.turns(4);
}

fn poll(world: &mut World, peer: PeerId, query: &str) -> Answer {
    ask(world, peer, query);
    Answer::parse(&world.hear_for(peer, 4))
}

fn say(world: &mut World, topic: &str, payload: &str) {
    let publisher = world.connect(0);
    world.say(publisher, post(topic, payload).as_bytes());
    assert!(world.hear_for(publisher, 4).starts_with("HTTP/1.1 200"));
    world.net.close(publisher);
    world.turns(2);
}

#[test]
fn a_poll_is_answered_at_once_with_what_is_newer_and_waits_otherwise() {
    for home in [0, 1] {
        let mut world = World::new(2, 1 << 16, Limits::default());
        let topic = world.topics_at(home).next().expect("there are names enough");
        let peer = world.connect(0);
        say(&mut world, &topic, "1");
        let first = poll(&mut world, peer, &format!("topic={topic}"));
        assert_eq!((first.status, first.payloads()), (200, vec!["1".to_owned()]), "the last value");
        say(&mut world, &topic, "2");
        say(&mut world, &topic, "3");
        let second = poll(&mut world, peer, &format!("topic={topic}&since={}", first.since));
        assert_eq!(second.payloads(), ["2", "3"]);
        assert_eq!(second.body["recovered"][&topic], true);
        ask(&mut world, peer, &format!("topic={topic}&since={}", second.since));
        assert_eq!(world.hear(peer), "");
        assert_eq!((world.measure(0).poll_connections, world.measure(0).subscriptions), (1, 1));
        say(&mut world, &topic, "4");
        assert_eq!(Answer::parse(&world.hear_for(peer, 2)).payloads(), ["4"]);
        world.net.close(peer);
        world.turns(3);
        world.assert_empty();
    }
}

#[test]
fn a_poll_that_hears_nothing_ends_with_204_and_where_the_reader_is() {
    let mut world = World::new(2, 1 << 16, Limits::default());
    for home in [0, 1] {
        let topic = world.topics_at(home).next().expect("there are names enough");
        let peer = world.connect(0);
        let now = poll(&mut world, peer, &format!("topic={topic}&timeout=0s"));
        assert_eq!(now.status, 204, "it does not wait");
        ask(&mut world, peer, &format!("topic={topic}&since={}&timeout=1s", now.since));
        world.pass_ms(900);
        assert_eq!(world.hear(peer), "");
        world.pass_ms(300);
        let answer = Answer::parse(&world.hear(peer));
        assert_eq!((answer.status, &answer.since), (204, &now.since), "a topic that is polled keeps its epoch");
        say(&mut world, &topic, "\"later\"");
        let answer = poll(&mut world, peer, &format!("topic={topic}&since={}", answer.since));
        assert_eq!(answer.payloads(), ["\"later\""]);
    }
}

/// Polls while others publish in every order: each message comes once.
#[test]
fn nothing_is_lost_or_doubled_between_polls_of_several_topics() {
    let seed = 0x5eed_0b01;
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::new(2, 1 << 16, Limits::default());
    let topics: Vec<String> = [0, 1, 0, 1].iter().flat_map(|&home| world.topics_at(home).skip(home).take(1)).collect();
    let mut topics: Vec<String> = topics.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    topics.reverse();
    let names: String = topics.iter().map(|topic| format!("&topic={topic}")).collect();
    let mut peer = world.connect(0);
    let mut answer = poll(&mut world, peer, &format!("last=0&timeout=0s{names}"));
    let (mut said, mut heard) = (BTreeMap::<String, Vec<u64>>::new(), BTreeMap::<String, Vec<u64>>::new());
    for number in 0..400_u64 {
        for _ in 0..rng.usize(0..4) {
            let topic = &topics[rng.usize(0..topics.len())];
            said.entry(topic.clone()).or_default().push(number);
            let publisher = world.net.connect(Some(rng.usize(0..2)));
            world.turns(1);
            world.say(publisher, post(topic, &number.to_string()).as_bytes());
            world.net.half_close(publisher);
            world.turns(rng.usize(0..3));
        }
        if rng.u8(0..5) == 0 {
            // The answer is lost with its connection; the next poll says where the last one that arrived ended.
            ask(&mut world, peer, &format!("since={}{names}", answer.since));
            world.net.reset(peer);
            peer = world.connect(rng.usize(0..2));
        }
        answer = poll(&mut world, peer, &format!("since={}&timeout=0s{names}", answer.since));
        for message in answer.body["messages"].as_array().into_iter().flatten() {
            let topic = message["t"].as_str().expect("a topic").to_owned();
            heard.entry(topic).or_default().push(message["d"].as_u64().expect("a number"));
        }
        let recovered = answer.body["recovered"].as_object().into_iter().flatten();
        assert!(recovered.into_iter().all(|(_, recovered)| *recovered == true), "{answer:?}");
    }
    world.turns(5);
    answer = poll(&mut world, peer, &format!("since={}&timeout=0s{names}", answer.since));
    for message in answer.body["messages"].as_array().into_iter().flatten() {
        let topic = message["t"].as_str().expect("a topic").to_owned();
        heard.entry(topic).or_default().push(message["d"].as_u64().expect("a number"));
    }
    assert_eq!(heard, said);
}

#[test]
fn what_is_too_old_or_foreign_is_told_at_once() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let peer = world.connect(0);
    let first = poll(&mut world, peer, "topic=a&timeout=0s");
    for n in 0..POLL_KEPT_MAX + 1 {
        say(&mut world, "a", &n.to_string());
    }
    let answer = poll(&mut world, peer, &format!("topic=a&since={}", first.since));
    assert_eq!(answer.body["recovered"]["a"], false, "more was said than is kept");
    assert_eq!(answer.payloads(), [POLL_KEPT_MAX.to_string()], "the last value comes");
    let answer = poll(&mut world, peer, &format!("topic=a&last=0&since={}", "1-1"));
    assert_eq!((answer.status, answer.payloads().len()), (200, 0));
    assert_eq!(answer.body["recovered"]["a"], false);
    let answer = poll(&mut world, peer, &format!("topic=a&timeout=0s&since={}", answer.since));
    assert_eq!(answer.status, 204, "the new position is known");
}

#[test]
fn a_long_answer_comes_in_parts() {
    let mut world = World::new(1, 1 << 22, Limits::default());
    let peer = world.connect(0);
    let mut answer = poll(&mut world, peer, "topic=a&topic=b&timeout=0s");
    let payload = "x".repeat(POLL_ANSWER_LEN_MAX / 5);
    for topic in ["a", "b"] {
        for _ in 0..4 {
            say(&mut world, topic, &payload);
        }
    }
    let mut counts = Vec::new();
    while answer.status == 200 || counts.is_empty() {
        answer = poll(&mut world, peer, &format!("topic=a&topic=b&timeout=0s&since={}", answer.since));
        counts.push(answer.payloads().len());
    }
    assert_eq!(counts, [4, 4, 0], "a fifth is too long once it is encoded");
}

#[test]
fn thousands_of_abandoned_polls_leave_nothing() {
    let limits = Limits { http_idle_timeout_ms: 1_000, ..Limits::default() };
    let mut world = World::new(2, 1 << 16, limits);
    let homes: Vec<String> = [0, 1].iter().flat_map(|&home| world.topics_at(home).take(1)).collect();
    let query = format!("topic={}&topic={}", homes[0], homes[1]);
    for n in 0..2_000 {
        let peer = world.net.connect(Some(0));
        world.turn_of(0);
        world.say(peer, get(&format!("/poll?{query}&topic=own.{n}")).as_bytes());
        world.turn_of(0);
        if n % 2 == 0 {
            world.turns(2);
        }
        match n % 4 {
            0 => world.net.close(peer),
            1 => world.net.reset(peer),
            2 => world.net.half_close(peer),
            // It stays without a word.
            _ => {}
        }
    }
    world.turns(3);
    assert_eq!(world.measure(0).poll_connections, 500);
    say(&mut world, &homes[1], "for all");
    assert_eq!(world.measure(0).poll_connections, 0);
    world.pass_ms(1_500);
    world.assert_empty();
    assert_eq!(world.measure(0).subscriptions, 0);
    // Topics that were only polled are forgotten in the end.
    world.net.advance_ms(POLL_KEPT_MS);
    for _ in 0..1_000 {
        world.net.advance_ms(SWEEP_INTERVAL_MS);
        world.turns(1);
    }
    assert_eq!(world.measure(0).topics + world.measure(1).topics, 1, "one was published to");
}

#[test]
fn what_is_said_behind_a_poll_is_bounded_and_served_after_it() {
    let mut world = World::new(1, 1 << 16, Limits::default());
    let peer = world.connect(0);
    world.say(peer, (get("/poll?topic=a&timeout=5s") + &get("/healthz") + &post("a", "own")).as_bytes());
    world.turns(3);
    let mut sent = 0;
    while sent < 1 << 22 && world.net.write(peer, &[b'x'; 10_000]) > 0 {
        sent += 10_000;
        world.turns(1);
    }
    assert!(sent < 1 << 22, "it is not read from any more");
    assert_eq!(world.hear(peer), "");
    say(&mut world, "a", "1");
    let heard = world.hear_for(peer, 10);
    assert_eq!(heard.matches("HTTP/1.1 200").count(), 3, "{heard}");
    assert!(heard.contains("HTTP/1.1 431"), "then comes what is no request: {heard}");
}

#[test]
fn a_poll_before_a_half_close_is_answered_at_once() {
    for home in [0, 1] {
        let mut world = World::new(2, 1 << 16, Limits::default());
        let topic = world.topics_at(home).next().expect("there are names enough");
        let peer = world.connect(0);
        world.say(peer, (get(&format!("/poll?topic={topic}")) + &get("/healthz")).as_bytes());
        world.net.half_close(peer);
        let heard = world.hear_for(peer, 10);
        assert!(heard.starts_with("HTTP/1.1 204") && heard.ends_with("ok\n"), "{heard}");
        assert_eq!(world.end(peer), Some(PeerEnd::Finished));
        world.turns(2);
        world.assert_empty();
    }
}

#[test]
fn a_shutdown_answers_polls() {
    let mut world = World::new(2, 1 << 16, Limits::default());
    let peer = world.connect(0);
    ask(&mut world, peer, "topic=a&topic=b&timeout=60s");
    world.drain();
    world.pass_ms(50);
    let heard = world.hear(peer);
    assert!(heard.starts_with("HTTP/1.1 204") && heard.contains("\r\nConnection: close\r\n"), "{heard}");
    world.net.close(peer);
    world.pass_ms(100);
    assert!(world.is_drained());
    world.assert_empty();
}

/// The deadline of a poll was taken for that of its answer when time passed before the next turn.
#[test]
fn an_answered_poll_leaves_no_deadline_behind() {
    for query in ["topic=a&timeout=0s", "topic=b&timeout=100ms"] {
        let mut world = World::new(1, 1 << 16, Limits::default());
        let peer = world.connect(0);
        world.say(peer, get(&format!("/poll?{query}")).as_bytes());
        world.turns(1);
        if query.starts_with("topic=b") {
            let publisher = world.connect(0);
            world.net.advance_ms(99);
            world.say(publisher, post("b", "1").as_bytes());
        }
        world.turns(1);
        world.net.advance_ms(500);
        world.turns(2);
        assert!(world.hear(peer).starts_with("HTTP/1.1 20"), "{query}");
        world.say(peer, get("/healthz").as_bytes());
        assert!(world.hear_for(peer, 2).ends_with("ok\n"), "{query}: the connection goes on");
    }
}

#[test]
fn a_poll_waits_no_longer_than_its_bound() {
    let mut world = World::new(1, 1 << 16, Limits::default());
    let peer = world.connect(0);
    ask(&mut world, peer, "topic=a&timeout=4000000s");
    for _ in 0..POLL_TIMEOUT_MS_MAX / 1_000 - 1 {
        world.pass_ms(1_000);
        // Bytes that it sends meanwhile do not move its deadline.
        world.say(peer, b"G");
    }
    assert_eq!(world.hear(peer), "");
    world.pass_ms(1_200);
    assert!(world.hear(peer).starts_with("HTTP/1.1 204"));
}

#[test]
fn a_head_of_a_poll_has_no_body_and_patterns_are_refused() {
    let mut world = World::new(1, 1 << 16, Limits::default());
    say(&mut world, "a", "1");
    let peer = world.connect(0);
    world.say(peer, b"HEAD /poll?topic=a HTTP/1.1\r\nHost: x\r\n\r\n");
    let heard = world.hear_for(peer, 3);
    assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("\r\n\r\n"), "{heard}");
    for query in ["topic=a.*", "", "topic=a&timeout=x", "topic=a&since=1-1,2-2", "topic=a%0a"] {
        let peer = world.connect(0);
        ask(&mut world, peer, query);
        assert!(world.hear(peer).starts_with("HTTP/1.1 400"), "{query}");
    }
}
