//! The fields of a publication, from each way in to each way out: its event, its attributes, that it passes, that one
//! connection does not get it; and last values that are forgotten.

use fanwire::driver::sim::PeerId;
use fanwire::hub::{TopicRule, TopicRules, TopicSettings};
use fanwire::limits::{ATTRIBUTES_LEN_MAX, EVENT_LEN_MAX, Limits};
use serde_json::{Value, json};

use crate::world::{World, get, post};

/// One with a history for every topic.
fn world(history: u32) -> World {
    let settings = TopicSettings { history, ..TopicSettings::default() };
    let rules = TopicRules::new(vec![TopicRule { pattern: ">".parse().expect("a pattern"), settings }]);
    World::with_rules(2, 1 << 20, Limits::default(), rules)
}

fn ask(world: &mut World, peer: PeerId, request: &str) -> String {
    world.say(peer, request.as_bytes());
    world.hear_for(peer, 6)
}

fn publish(world: &mut World, topic: &str, headers: &str, body: &str) -> String {
    let peer = world.connect(0);
    let head = format!("POST /publish/{topic} HTTP/1.1\r\nHost: x\r\n{headers}");
    let answer = ask(world, peer, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    world.net.close(peer);
    world.turns(2);
    answer
}

fn json_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("an answer, got {answer}"));
    serde_json::from_str(body).unwrap_or_else(|_| panic!("JSON, got {body}"))
}

/// A reader of `/ws`, which has had what comes at once.
fn reader(world: &mut World, fields: &str) -> (PeerId, String) {
    let peer = world.upgrade(1, "/ws");
    world.say_text(peer, &format!("{{\"op\":\"sub\"{fields}}}"));
    let heard = world.hear_for(peer, 6);
    (peer, heard)
}

#[test]
fn what_a_publication_carries_reaches_every_reader_that_has_room_for_it() {
    for home in [0, 1] {
        let mut world = world(10);
        let topic = world.topics_at(home).next().expect("there are names enough");
        let (plain, _) = reader(&mut world, &format!(",\"topics\":[\"{topic}\"]"));
        let (full, _) = reader(&mut world, &format!(",\"topics\":[\"{topic}\"],\"headers\":true"));
        let raw = world.upgrade(0, &format!("/raw/{topic}"));
        let (events, lines, poll) = (world.connect(0), world.connect(1), world.connect(0));
        ask(&mut world, events, &get(&format!("/sse?topic={topic}")));
        ask(&mut world, lines, &get(&format!("/stream?topic={topic}&headers=1")));
        assert_eq!(ask(&mut world, poll, &get(&format!("/poll?topic={topic}&headers=1"))), "");
        let headers = "Fanwire-Event: sold \u{20ac}\r\nContent-Type: text/csv\r\nFanwire-Attribute-Trace-Id: 7\r\n";
        assert!(publish(&mut world, &topic, headers, "1,2").starts_with("HTTP/1.1 200"));
        let said = |h: &str| format!("\"t\":\"{topic}\",\"o\":1,\"e\":\"sold \u{20ac}\"{h},\"d\":\"1,2\"}}");
        let attributes = ",\"h\":{\"content-type\":\"text/csv\",\"trace-id\":\"7\"}";
        assert!(world.hear(plain).contains(&said("")));
        assert!(world.hear(full).contains(&said(attributes)));
        assert!(world.hear(lines).contains(&said(attributes)));
        assert!(world.hear(poll).contains(&said(attributes)));
        assert!(world.hear(raw).ends_with("\u{3}1,2"), "payloads alone");
        let event = format!("event: sold \u{20ac}\ntopic: {topic}\ndata: 1,2\n\n");
        assert!(world.hear(events).contains(&event));
        let asker = world.connect(0);
        let kept =
            json!({"o": 1, "e": "sold \u{20ac}", "h": {"content-type": "text/csv", "trace-id": "7"}, "d": "1,2"});
        assert_eq!(json_of(&ask(&mut world, asker, &get(&format!("/topics/{topic}"))))["last"], kept);
        assert_eq!(json_of(&ask(&mut world, asker, &get(&format!("/topics/{topic}/history"))))["messages"][0], kept);
        world.say_text(plain, &format!("{{\"op\":\"history\",\"topic\":\"{topic}\"}}"));
        assert!(world.hear_for(plain, 6).contains(attributes), "an answer for one reader says all of it");
    }
}

#[test]
fn attributes_come_from_when_they_are_asked_for_until_they_are_not() {
    let mut world = world(0);
    let (peer, _) = reader(&mut world, ",\"topics\":[\"a\"]");
    for (headers, told) in [("", false), (",\"headers\":true", true), ("", true), (",\"headers\":false", false)] {
        world.say_text(peer, &format!("{{\"op\":\"sub\",\"topics\":[\"b\"]{headers}}}"));
        world.hear_for(peer, 6);
        publish(&mut world, "a", "Fanwire-Attribute-X: y\r\n", "1");
        let heard = world.hear(peer);
        assert!(heard.contains("\"d\":1}"), "{heard}");
        assert_eq!(heard.contains("\"h\":{\"x\":\"y\"}"), told, "{headers}: {heard}");
    }
}

#[test]
fn a_form_text_and_octets_are_no_media_type_to_be_told_and_an_attribute_stands_in_for_the_header() {
    let mut world = world(0);
    let (peer, _) = reader(&mut world, ",\"topics\":[\"a\"],\"headers\":true");
    for (headers, told) in [
        ("Content-Type: application/x-www-form-urlencoded\r\n", None),
        ("Content-Type: application/octet-stream\r\n", None),
        ("Content-Type: text/plain;charset=UTF-8\r\n", None),
        ("Content-Type: text/\u{ff}\r\nFanwire-Last: 1\r\n", Some("text/\u{ff}")),
        ("Content-Type: Application/JSON; charset=utf-8\r\n", Some("Application/JSON; charset=utf-8")),
        ("Content-Type: application/octet-stream\r\nFanwire-Attribute-Content-Type: image/png\r\n", Some("image/png")),
    ] {
        assert!(publish(&mut world, "a", headers, "1").starts_with("HTTP/1.1 200"));
        let heard = world.hear(peer);
        let told = told.map(|told| format!("\"h\":{{\"content-type\":\"{told}\"}}"));
        assert!(told.as_ref().is_none_or(|told| heard.contains(told)), "{headers}: {heard}");
        assert_eq!(told.is_some(), heard.contains("\"h\":"), "{headers}: {heard}");
    }
}

#[test]
fn an_event_cannot_pass_for_one_of_the_gateways() {
    let mut world = world(0);
    let events = world.connect(0);
    ask(&mut world, events, &get("/sse?topic=a"));
    publish(&mut world, "a", "Fanwire-Event: .bye\r\n", "{}");
    assert!(world.hear(events).contains("event: %2Ebye\ntopic: a\ndata: {}\n\n"));
}

#[test]
fn what_passes_is_heard_and_kept_in_the_history_and_not_told_to_those_who_come_later() {
    for (home, history) in [(0, 0), (1, 0), (0, 10), (1, 10)] {
        let mut world = world(history);
        let topic = world.topics_at(home).next().expect("there are names enough");
        let (early, _) = reader(&mut world, &format!(",\"topics\":[\"{topic}\"]"));
        publish(&mut world, &topic, "", "\"stays\"");
        publish(&mut world, &topic, "Fanwire-Last: 0\r\n", "\"passes\"");
        let heard = world.hear(early);
        assert!(heard.contains("\"o\":1,\"d\":\"stays\"}") && heard.contains("\"o\":2,\"d\":\"passes\"}"), "{heard}");
        let (late, heard) = reader(&mut world, &format!(",\"topics\":[\"{topic}\"]"));
        assert!(heard.contains("\"offset\":2}") && heard.contains("\"o\":1,\"d\":\"stays\"}"), "{heard}");
        assert!(!heard.contains("passes"), "{heard}");
        let (_, heard) = reader(&mut world, ",\"topics\":[\"t.*\"]");
        assert!(heard.contains("stays") && !heard.contains("passes"), "{heard}");
        publish(&mut world, &topic, "", "3");
        assert!(world.hear(late).contains("\"o\":3,\"d\":3}"));
        let asker = world.connect(0);
        let messages = json_of(&ask(&mut world, asker, &get(&format!("/topics/{topic}/history"))));
        assert_eq!(messages["messages"].as_array().map(Vec::len), Some(if history > 0 { 3 } else { 1 }));
    }
}

#[test]
fn a_reader_over_http_that_got_an_older_last_value_is_where_the_topic_stands() {
    let mut world = world(0);
    publish(&mut world, "a", "", "\"stays\"");
    let answer = publish(&mut world, "a", "Fanwire-Last: 0\r\n", "\"passes\"");
    let epoch = json_of(&answer)["epoch"].as_str().expect("an epoch").to_owned();
    publish(&mut world, "b", "", "1");
    let (single, several, poll) = (world.connect(0), world.connect(0), world.connect(0));
    let heard = ask(&mut world, single, &get("/sse?topic=a"));
    assert!(heard.ends_with(&format!("id: {epoch}-1\nevent: a\ndata: \"stays\"\n\nid: {epoch}-2\n\n")), "{heard}");
    let heard = ask(&mut world, several, &get("/sse?topic=a&topic=b"));
    let ids: Vec<&str> = heard.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    let of_a: Vec<&str> = ids.iter().filter_map(|id| id.split(',').next()?.rsplit('-').next()).collect();
    assert_eq!(of_a, ["0", "1", "2", "2"], "{heard}");
    let answer = json_of(&ask(&mut world, poll, &get("/poll?topic=a")));
    assert_eq!(answer["since"], format!("{epoch}-2"));
    let again = get(&format!("/poll?topic=a&since={epoch}-2"));
    assert_eq!(ask(&mut world, poll, &again), "", "nothing is newer: it waits");
}

#[test]
fn a_last_value_is_forgotten_and_readers_stay() {
    for home in [0, 1] {
        let mut world = world(0);
        let topic = world.topics_at(home).next().expect("there are names enough");
        let (early, _) = reader(&mut world, &format!(",\"topics\":[\"{topic}\"]"));
        publish(&mut world, &topic, "", "1");
        world.hear(early);
        let peer = world.connect(0);
        let forget = |topic: &str| format!("DELETE /topics/{topic}/last HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = ask(&mut world, peer, &forget(&topic));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!((&json_of(&answer)["topic"], &json_of(&answer)["offset"]), (&json!(topic), &json!(1)));
        let state = json_of(&ask(&mut world, peer, &get(&format!("/topics/{topic}"))));
        assert_eq!((&state["last"], &state["bytes"]["last"], &state["readers"]), (&Value::Null, &json!(0), &json!(1)));
        let (late, heard) = reader(&mut world, &format!(",\"topics\":[\"{topic}\"]"));
        assert!(heard.contains("\"offset\":1}") && !heard.contains("\"d\":"), "{heard}");
        assert!(ask(&mut world, peer, &forget(&topic)).starts_with("HTTP/1.1 200"), "it is gone already");
        publish(&mut world, &topic, "", "2");
        for peer in [early, late] {
            assert!(world.hear(peer).contains("\"o\":2,\"d\":2}"));
        }
        assert!(ask(&mut world, peer, &forget("nobody.knows")).starts_with("HTTP/1.1 404"));
        assert!(ask(&mut world, peer, &forget("a.*")).starts_with("HTTP/1.1 400"));
        let answer = ask(&mut world, peer, &format!("DELETE /topics/{topic}/history HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("Allow: GET, HEAD\r\n"), "{answer}");
        assert!(ask(&mut world, peer, &get(&format!("/topics/{topic}/last"))).starts_with("HTTP/1.1 404"));
    }
}

#[test]
fn a_topic_is_ended_and_topics_are_listed_whatever_shard_they_are_at() {
    let mut world = World::new(2, 1 << 20, Limits::default());
    let peer = world.connect(0);
    let names: Vec<_> = world.topics_at(0).take(3).chain(world.topics_at(1).take(3)).collect();
    let (_reader, _) = reader(&mut world, &format!(",\"topics\":[\"{}\"]", names[0]));
    for name in &names {
        publish(&mut world, name, "", "1");
    }
    let list = |world: &mut World, query: &str| json_of(&ask(world, peer, &get(&format!("/topics{query}"))));
    let names_of = |list: &Value| -> Vec<String> {
        let topics = list["topics"].as_array().expect("a list").iter();
        topics.map(|line| line["topic"].as_str().expect("a name").to_owned()).collect()
    };
    let all = list(&mut world, "");
    let (mut listed, mut expected) = (names_of(&all), names.clone());
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    assert_eq!((&all["topics"][0]["offset"], &all["next"]), (&json!(1), &Value::Null));
    let readers: u64 =
        all["topics"].as_array().expect("a list").iter().filter_map(|line| line["readers"].as_u64()).sum();
    assert_eq!(readers, 1);
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(&mut world, &format!("?limit=2{after}"));
        assert!(names_of(&page).len() <= 2);
        paged.extend(names_of(&page));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    paged.sort_unstable();
    assert_eq!(paged, expected);
    assert_eq!(names_of(&list(&mut world, "?match=x.>")), [""; 0]);
    assert_eq!(names_of(&list(&mut world, &format!("?match={}", names[4]))), [names[4].as_str()]);
    assert_eq!(names_of(&list(&mut world, "?after=77-0")), [""; 0]);
    for query in ["?after=x", "?after=1", "?limit=x", "?match=a..b"] {
        assert!(ask(&mut world, peer, &get(&format!("/topics{query}"))).starts_with("HTTP/1.1 400"), "{query}");
    }
    let end = |world: &mut World, topic: &str| {
        ask(world, peer, &format!("DELETE /topics/{topic} HTTP/1.1\r\nHost: x\r\n\r\n"))
    };
    for name in &names {
        let answer = end(&mut world, name);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(json_of(&answer)["readers"], json!(u32::from(*name == names[0])));
    }
    assert_eq!(names_of(&list(&mut world, "")), [names[0].as_str()], "one is read");
    assert!(end(&mut world, &names[1]).starts_with("HTTP/1.1 404"));
    assert!(end(&mut world, "a.*").starts_with("HTTP/1.1 400"));
}

#[test]
fn only_who_may_publish_may_forget() {
    let settings = TopicSettings { publish: false, ..TopicSettings::default() };
    let rules = TopicRules::new(vec![TopicRule { pattern: "a".parse().expect("a topic"), settings }]);
    let mut world = World::with_rules(1, 1 << 20, Limits::default(), rules);
    let peer = world.connect(0);
    assert!(ask(&mut world, peer, "DELETE /topics/a HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 403"));
    let answer = ask(&mut world, peer, "DELETE /topics/a/last HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[test]
fn a_publication_with_echo_off_is_not_for_its_publisher_wherever_it_would_come_from() {
    let mut world = world(10);
    let (peer, _) = reader(&mut world, ",\"topics\":[\"a\"]");
    let (other, _) = reader(&mut world, ",\"topics\":[\"a\"]");
    world.say_text(peer, r#"{"op":"pub","topic":"a","data":"own","echo":false,"id":1}"#);
    let heard = world.hear_for(peer, 6);
    assert!(heard.contains("\"offset\":1}}}") && !heard.contains("own"), "{heard}");
    assert!(world.hear(other).contains("\"d\":\"own\""));
    // A connection that comes back to the topic is still the one that said it.
    world.say_text(peer, r#"{"op":"unsub","topics":["a"]}"#);
    world.say_text(peer, r#"{"op":"sub","topics":["a"]}"#);
    let heard = world.hear_for(peer, 6);
    assert!(heard.contains("\"offset\":1}") && !heard.contains("own"), "{heard}");
}

#[test]
fn hostile_header_fields_are_refused_each_by_itself() {
    let (long, many) = ("e".repeat(EVENT_LEN_MAX + 1), "v".repeat(ATTRIBUTES_LEN_MAX));
    let long_name = format!("Fanwire-Attribute-{}: x", "n".repeat(256));
    for (field, status) in [
        (b"Fanwire-Event:".to_vec(), 400),
        (b"Fanwire-Event: a\tb".to_vec(), 400),
        (b"Fanwire-Event: \xff".to_vec(), 400),
        (b"Fanwire-Event: \xc2\x85".to_vec(), 400),
        (b"Fanwire-Event: a\r\nFanwire-Event: a".to_vec(), 400),
        (format!("Fanwire-Event: {long}").into_bytes(), 400),
        (b"Fanwire-Last: no".to_vec(), 400),
        (b"Fanwire-Last: ".to_vec(), 400),
        (b"Fanwire-Last: 0\r\nfanwire-last: 0".to_vec(), 400),
        (b"Fanwire-Attribute-: x".to_vec(), 400),
        (b"Fanwire-Attribute-A: \xfe".to_vec(), 400),
        (b"Fanwire-Attribute-A: a\tb".to_vec(), 400),
        (b"Fanwire-Attribute-A: 1\r\nfanwire-attribute-a: 2".to_vec(), 400),
        (format!("Fanwire-Attribute-A: {many}").into_bytes(), 413),
        (long_name.into_bytes(), 400),
        (b"Fanwire-Event: a\r\nFanwire-Last: 0\r\nFanwire-Attribute-A:".to_vec(), 200),
    ] {
        let mut world = world(0);
        let peer = world.connect(0);
        let request = [b"POST /publish/a HTTP/1.1\r\nHost: x\r\n", &*field, b"\r\nContent-Length: 1\r\n\r\n1"].concat();
        world.say(peer, &request);
        let answer = world.hear_for(peer, 4);
        let shown = String::from_utf8_lossy(&field[..field.len().min(40)]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
        let code = if status == 413 { "too_large" } else { "bad_request" };
        assert_eq!(answer.contains(&format!("\"code\":\"{code}\"")), status != 200, "{shown}: {answer}");
        assert!(ask(&mut world, peer, &post("a", "2")).starts_with("HTTP/1.1 200"), "{shown}: the next is taken");
    }
}

#[test]
fn hostile_fields_of_lines_and_operations_are_refused_each_by_itself() {
    let (long, many) = ("e".repeat(EVENT_LEN_MAX + 1), "v".repeat(ATTRIBUTES_LEN_MAX));
    let crowd: Vec<String> = (0..=64).map(|n| format!("\"{n}\":\"\"")).collect();
    for (fields, code) in [
        (r#""event":"""#.to_owned(), "bad_request"),
        (r#""event":1"#.to_owned(), "bad_request"),
        (r#""event":"a\nb""#.to_owned(), "bad_request"),
        (r#""event":"\ud800""#.to_owned(), "bad_request"),
        (r#""event":"a","event":"a""#.to_owned(), "bad_request"),
        (format!("\"event\":\"{long}\""), "bad_request"),
        (r#""last":0"#.to_owned(), "bad_request"),
        (r#""last":"false""#.to_owned(), "bad_request"),
        (r#""headers":[]"#.to_owned(), "bad_request"),
        (r#""headers":{"a":1}"#.to_owned(), "bad_request"),
        (r#""headers":{"a":null}"#.to_owned(), "bad_request"),
        (r#""headers":{"a":{"b":"c"}}"#.to_owned(), "bad_request"),
        (r#""headers":{"":"x"}"#.to_owned(), "bad_request"),
        (r#""headers":{"a":"1","a":"1"}"#.to_owned(), "bad_request"),
        (r#""headers":{"a":"\u0000"}"#.to_owned(), "bad_request"),
        (r#""headers":{"a\u0007":""}"#.to_owned(), "bad_request"),
        (r#""headers":{"a":"\udc00"}"#.to_owned(), "bad_request"),
        (r#""headers":{"\udc00":"a"}"#.to_owned(), "bad_request"),
        (r#""headers":{"content-type":"a","Content-Type":"b"}"#.to_owned(), "bad_request"),
        (format!("\"headers\":{{{}}}", crowd.join(",")), "too_large"),
        (format!("\"headers\":{{\"a\":\"{many}\"}}"), "too_large"),
        (r#""event":null,"last":null,"headers":null,"echo":null"#.to_owned(), ""),
        (r#""event":"a","last":false,"headers":{},"echo":true"#.to_owned(), ""),
    ] {
        let mut world = world(0);
        let (lines, ws) = (world.connect(0), world.upgrade(0, "/ws"));
        let line = format!("{{\"topic\":\"a\",\"data\":1,{fields}}}\n{{\"topic\":\"a\",\"data\":2}}\n");
        let head = "POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length";
        let answer = ask(&mut world, lines, &format!("{head}: {}\r\n\r\n{line}", line.len()));
        let results: Vec<&str> = answer.split("\r\n\r\n").nth(1).expect("a body").lines().collect();
        world.say_text(ws, &format!("{{\"op\":\"pub\",\"id\":7,\"topic\":\"a\",\"data\":1,{fields}}}"));
        let reply = world.hear_for(ws, 4);
        for told in [results[0], &*reply] {
            let is_right = if code.is_empty() { !told.contains("code") } else { told.contains(&format!("\"{code}\"")) };
            assert!(is_right, "{fields:.60}: {told}");
        }
        assert!(reply.contains("\"id\":7"), "{fields:.60}: {reply}");
        assert!(results[1].contains("\"offset\""), "{fields:.60}: the next line is taken");
    }
    let mut world = world(0);
    let ws = world.upgrade(0, "/ws");
    for fields in [r#""op":"pub","topic":"a","data":1,"echo":"no""#, r#""op":"sub","topics":["a"],"headers":1"#] {
        world.say_text(ws, &format!("{{{fields}}}"));
        assert!(world.hear_for(ws, 4).contains("bad_request"), "{fields}");
    }
}
