//! Every option on every endpoint, as docs/PROTOCOL.md has it under "What works where": a cell that begins with `no` and a
//! status says that who asks is refused, one that begins with `no` that nothing comes of it, and every other that the
//! option does there what it is for. Each conversation is also held without asking, where it must not show.

mod peers;

use fanwire::command::{Mode, Rate};
use fanwire::hub::{TopicRule, TopicRules, TopicSettings};
use fanwire::limits::Limits;

use peers::{Publisher, join, payload, say};

use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Raw,
    Ws,
    Sse,
    Stream,
    Poll,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    One,
    Many,
    Ws,
    Raw,
}

/// The result of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Effect,
    Nothing,
    Refused,
}

/// A conversation with or without the option, and whether the option shows.
type Talk<D> = fn(D, bool) -> Seen;

const ENDPOINTS: [Endpoint; 5] = [Endpoint::Raw, Endpoint::Ws, Endpoint::Sse, Endpoint::Stream, Endpoint::Poll];
const READING: [(&str, Talk<Endpoint>); 19] = [
    ("several topics", several),
    ("patterns", patterns),
    ("no last value", no_last),
    ("resume", since),
    ("resume by `Last-Event-ID`", last_event_id),
    ("whether something is missing", recovered),
    ("history, by topic rule", history),
    ("`queue`", queue),
    ("`drop_oldest`", drop_oldest),
    ("`latest`", latest),
    ("`mode` and `max_rate`, by topic rule", rule),
    ("gap told", gap),
    ("`max_rate`", max_rate),
    ("`max_age_ms`", max_age),
    ("`bandwidth`", bandwidth),
    ("how many read", presence),
    ("not one's own messages", echo),
    ("event's name", told_event),
    ("attributes", told_attributes),
];

const SAYS: [Say; 4] = [Say::One, Say::Many, Say::Ws, Say::Raw];
const SAYING: [(&str, Talk<Say>); 10] = [
    ("its position in the answer", position),
    ("message id", message_id),
    ("only after a position", if_match),
    ("only as the first", if_none_match),
    ("conflation key", key),
    ("binary payload", binary),
    ("event's name", event),
    ("attributes", attributes),
    ("not as the last value", passing),
    ("not to its publisher", except),
];

#[test]
fn a_reader_gets_of_each_option_what_the_table_says() {
    check("| asked for |", &READING, ENDPOINTS);
}

#[test]
fn a_publisher_gets_of_each_option_what_the_table_says() {
    check("| said with |", &SAYING, SAYS);
}

#[test]
fn a_bad_value_is_refused_also_where_the_option_does_nothing() {
    for endpoint in [Endpoint::Raw, Endpoint::Sse, Endpoint::Stream, Endpoint::Poll] {
        for option in [("mode", "x"), ("max_rate", "x"), ("max_age_ms", "-1"), ("bandwidth", "1"), ("last", "2")] {
            let mut world = world(TopicSettings::default());
            let reader = join(&mut world, endpoint, &["a"], &[option]);
            assert!(reader.heard.starts_with("HTTP/1.1 400"), "{endpoint:?}, {option:?}: {}", reader.heard);
        }
    }
}

fn check<D: Copy + std::fmt::Debug, const N: usize>(head: &str, talks: &[(&str, Talk<D>)], endpoints: [D; N]) {
    let page = include_str!("../../docs/PROTOCOL.md");
    let page = &page[page.find("\n## What works where\n").expect("the tables")..];
    let table = page.lines().skip_while(|line| !line.starts_with(head)).skip(2).take_while(|line| !line.is_empty());
    let rows: Vec<Vec<&str>> = table.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(names, talks.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "each row has its talk");
    let mut wrong = Vec::new();
    for ((name, talk), row) in talks.iter().zip(rows) {
        assert_eq!(row.len(), N + 1, "{name}");
        for (endpoint, cell) in endpoints.into_iter().zip(&row[1..]) {
            let told = match cell {
                cell if cell.starts_with("no, ") => Seen::Refused,
                cell if cell.starts_with("no") => Seen::Nothing,
                _ => Seen::Effect,
            };
            let seen = (talk(endpoint, false), talk(endpoint, true));
            if seen != (Seen::Nothing, told) {
                wrong.push(format!("{name}, {endpoint:?}: {seen:?}, told is {cell:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn several(endpoint: Endpoint, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    let mut reader = join(&mut world, endpoint, if asked { &["a", "b"] } else { &["a"] }, &[]);
    say(&mut world, "b", 1);
    reader.listen(&mut world, 4);
    seen(reader.numbers() == [1])
}

fn patterns(endpoint: Endpoint, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    let mut reader = join(&mut world, endpoint, if asked { &["x.*"] } else { &["x.z"] }, &[]);
    if reader.heard.starts_with("HTTP/1.1 400") {
        return Seen::Refused;
    }
    say(&mut world, "x.y", 1);
    reader.listen(&mut world, 4);
    seen(reader.numbers() == [1])
}

fn no_last(endpoint: Endpoint, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    say(&mut world, "a", 1);
    let mut reader = join(&mut world, endpoint, &["a"], when(asked, &("last", "0")));
    say(&mut world, "a", 2);
    reader.listen(&mut world, 4);
    assert_eq!(reader.numbers().last(), Some(&2), "{endpoint:?}: what is said from now on comes");
    seen(reader.numbers() == [2])
}

fn since(endpoint: Endpoint, asked: bool) -> Seen {
    let (numbers, _) = come_back(endpoint, 10, if asked { "since" } else { "" });
    seen(numbers == [2, 3])
}

fn last_event_id(endpoint: Endpoint, asked: bool) -> Seen {
    let (numbers, _) = come_back(endpoint, 10, if asked { "Last-Event-ID" } else { "" });
    seen(numbers == [2, 3])
}

fn recovered(endpoint: Endpoint, asked: bool) -> Seen {
    let (_, lossless) = come_back(endpoint, 10, if asked { "since" } else { "" });
    let (_, lossy) = come_back(endpoint, 0, if asked { "since" } else { "" });
    seen(says_recovered(&lossless, true) && says_recovered(&lossy, false))
}

fn says_recovered(heard: &str, recovered: bool) -> bool {
    // In the answer of a poll it stands by topic.
    [format!("\"recovered\":{recovered}"), format!("\"recovered\":{{\"a\":{recovered}")]
        .iter()
        .any(|s| heard.contains(s))
}

fn history(endpoint: Endpoint, asked: bool) -> Seen {
    let (numbers, _) = come_back(endpoint, if asked { 10 } else { 0 }, "since");
    seen(numbers == [2, 3])
}

/// The messages of a reader that had the first of three.
fn come_back(endpoint: Endpoint, history: u32, with: &str) -> (Vec<u32>, String) {
    let mut world = world(TopicSettings { history, ..TopicSettings::default() });
    let answer = say(&mut world, "a", 1);
    let epoch = answer.split("\"epoch\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an epoch");
    let position = format!("{epoch}-1");
    for number in [2, 3] {
        say(&mut world, "a", number);
    }
    let mut reader = join(&mut world, endpoint, &["a"], when(!with.is_empty(), &(with, position.as_str())));
    reader.listen(&mut world, 4);
    (reader.numbers(), reader.heard)
}

fn queue(endpoint: Endpoint, asked: bool) -> Seen {
    let settings = TopicSettings { mode: Mode::Latest, ..TopicSettings::default() };
    seen(stall(endpoint, settings, when(asked, &("mode", "queue"))).is_none())
}

fn drop_oldest(endpoint: Endpoint, asked: bool) -> Seen {
    let settings = TopicSettings { mode: Mode::Latest, ..TopicSettings::default() };
    let got = stall(endpoint, settings, when(asked, &("mode", "drop_oldest")));
    seen(got.is_some_and(|(numbers, _)| numbers.len() < 100 && numbers.ends_with(&[97, 98, 99, 100])))
}

fn latest(endpoint: Endpoint, asked: bool) -> Seen {
    let got = stall(endpoint, TopicSettings::default(), when(asked, &("mode", "latest")));
    seen(got.is_some_and(|(numbers, _)| is_latest(&numbers)))
}

/// The newest, right behind what was under way when the reader stopped.
fn is_latest(numbers: &[u32]) -> bool {
    let begun = numbers.len() - 1;
    numbers[..begun].iter().copied().eq(1..=begun as u32) && begun < 50 && numbers[begun] == 100
}

fn rule(endpoint: Endpoint, asked: bool) -> Seen {
    let mode = if asked { Mode::Latest } else { Mode::Queue };
    let conflates = stall(endpoint, TopicSettings { mode, ..TopicSettings::default() }, &[]);
    let conflates = conflates.is_some_and(|(numbers, _)| is_latest(&numbers));
    let max_rate = if asked { Rate::per_second(10.0) } else { None };
    let is_paced = is_paced(endpoint, TopicSettings { max_rate, ..TopicSettings::default() }, &[]);
    assert_eq!(conflates, is_paced, "{endpoint:?}: both or none");
    seen(conflates)
}

fn gap(endpoint: Endpoint, asked: bool) -> Seen {
    let mode = ("mode", if asked { "latest" } else { "queue" });
    let got = stall(endpoint, TopicSettings::default(), &[mode]);
    seen(got.is_some_and(|(numbers, heard)| {
        let skipped = 100 - numbers.len();
        heard.contains("\"op\":\"gap\"") && heard.contains(&format!("\"skipped\":{skipped},"))
    }))
}

/// The messages that a reader has at the end, of a hundred that came while it did not read; `None` if it was closed.
fn stall(endpoint: Endpoint, settings: TopicSettings, options: &[(&str, &str)]) -> Option<(Vec<u32>, String)> {
    let limits = Limits { outbox_len_max: 4096, ..Limits::default() };
    let mut world = World::with_rules(1, 1024, limits, rules(settings));
    let mut reader = join(&mut world, endpoint, &["a"], options);
    for number in 1..=100 {
        say(&mut world, "a", number);
    }
    reader.listen(&mut world, 300);
    world.pass_ms(3_000);
    reader.listen(&mut world, 2);
    world.end(reader.peer).is_none().then(|| (reader.numbers(), reader.heard))
}

fn max_rate(endpoint: Endpoint, asked: bool) -> Seen {
    seen(is_paced(endpoint, TopicSettings::default(), when(asked, &("max_rate", "10"))))
}

/// Whether a reader of a hundred messages a second gets ten a second; otherwise it gets all of them.
fn is_paced(endpoint: Endpoint, settings: TopicSettings, options: &[(&str, &str)]) -> bool {
    let mut world = world(settings);
    let mut reader = join(&mut world, endpoint, &["a"], options);
    reader.follow(&mut world, 200);
    world.pass_ms(100);
    reader.listen(&mut world, 1);
    let numbers = reader.numbers();
    assert!(numbers.ends_with(&[200]), "{endpoint:?}: the newest is there: {numbers:?}");
    assert!(numbers.len() == 200 || (18..=23).contains(&numbers.len()), "{endpoint:?}: {numbers:?}");
    numbers.len() < 200
}

fn max_age(endpoint: Endpoint, asked: bool) -> Seen {
    let mut world = World::new(1, 512, Limits::default());
    let mut reader = join(&mut world, endpoint, &["a"], when(asked, &("max_age_ms", "100")));
    for number in 1..=100 {
        say(&mut world, "a", number);
        world.pass_ms(10);
    }
    reader.listen(&mut world, 300);
    let numbers = reader.numbers();
    assert!(numbers.ends_with(&[99, 100]), "{endpoint:?}: the newest are young enough: {numbers:?}");
    let is_young = |number: &&u32| **number > 80;
    let young = numbers.iter().filter(is_young).count();
    assert!(numbers.len() == 100 || (8..=12).contains(&young), "{endpoint:?}: {numbers:?}");
    seen(numbers.len() < 50)
}

fn bandwidth(endpoint: Endpoint, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    let paced = [("mode", "latest"), ("bandwidth", "2000")];
    let mut reader = join(&mut world, endpoint, &["a"], if asked { &paced } else { &paced[..1] });
    let before = reader.heard.len();
    reader.follow(&mut world, 400);
    let len = reader.heard.len() - before;
    assert!(len > 30_000 || (6_000..9_000).contains(&len), "{endpoint:?}: {len} bytes in four seconds");
    seen(len < 9_000)
}

fn presence(endpoint: Endpoint, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    let mut reader = join(&mut world, endpoint, &["a"], when(asked, &("presence", "1")));
    world.pass_ms(1_100);
    reader.listen(&mut world, 2);
    seen(reader.heard.contains("{\"op\":\"presence\",\"t\":\"a\",\"readers\":1,"))
}

fn echo(endpoint: Endpoint, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    let mut reader = join(&mut world, endpoint, &["a"], when(asked, &("echo", "0")));
    match endpoint {
        Endpoint::Raw => world.say_text(reader.peer, &payload(1)),
        Endpoint::Ws => world.say_text(reader.peer, &format!(r#"{{"op":"pub","topic":"a","data":"{}"}}"#, payload(1))),
        // Nothing is read behind the request.
        Endpoint::Sse | Endpoint::Stream | Endpoint::Poll => drop(say(&mut world, "a", 1)),
    }
    say(&mut world, "a", 2);
    reader.listen(&mut world, 4);
    assert!(reader.numbers().ends_with(&[2]), "{endpoint:?}: those of others come");
    seen(reader.numbers() == [2])
}

fn told_event(endpoint: Endpoint, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    let mut reader = join(&mut world, endpoint, &["a"], &[]);
    let publisher = Publisher::new(&mut world, Say::One, &[]);
    publisher.say(&mut world, 1, when(asked, &("event", "sold")));
    reader.listen(&mut world, 4);
    assert_eq!(reader.numbers(), [1], "{endpoint:?}: whatever it is named");
    seen(reader.heard.contains("\"e\":\"sold\"") || reader.heard.contains("event: sold\ntopic: a\n"))
}

fn told_attributes(endpoint: Endpoint, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    let mut reader = join(&mut world, endpoint, &["a"], when(asked, &("headers", "1")));
    let publisher = Publisher::new(&mut world, Say::One, &[]);
    publisher.say(&mut world, 1, &[("attribute", "red")]);
    reader.listen(&mut world, 4);
    assert_eq!(reader.numbers(), [1], "{endpoint:?}: whatever it comes with");
    seen(reader.heard.contains("\"h\":{\"color\":\"red\"}"))
}

fn event(endpoint: Say, asked: bool) -> Seen {
    comes_with(endpoint, when(asked, &("event", "sold")), "\"e\":\"sold\"")
}

fn attributes(endpoint: Say, asked: bool) -> Seen {
    comes_with(endpoint, when(asked, &("attribute", "red")), "\"h\":{\"color\":\"red\"}")
}

fn comes_with(endpoint: Say, options: &[(&str, &str)], what: &str) -> Seen {
    let mut world = world(TopicSettings::default());
    let mut reader = join(&mut world, Endpoint::Ws, &["a"], &[("headers", "1")]);
    let publisher = Publisher::new(&mut world, endpoint, &[]);
    publisher.say(&mut world, 1, options);
    reader.listen(&mut world, 4);
    assert_eq!(reader.numbers(), [1], "{endpoint:?}: it is said");
    seen(reader.heard.contains(what))
}

fn passing(endpoint: Say, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    let publisher = Publisher::new(&mut world, endpoint, &[]);
    publisher.say(&mut world, 1, &[]);
    publisher.say(&mut world, 2, when(asked, &("passes", "")));
    let mut reader = join(&mut world, Endpoint::Ws, &["a"], &[]);
    reader.listen(&mut world, 4);
    seen(reader.numbers() == [1])
}

/// Whether a publisher that reads the topic too is left out of one message, and of none that follows.
fn except(endpoint: Say, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    let mut publisher = Publisher::new(&mut world, endpoint, &[]);
    match endpoint {
        Say::Ws => world.say_text(publisher.peer, r#"{"op":"sub","topics":["a"]}"#),
        // It follows its topic, and hears all that it says.
        Say::Raw => publisher.peer = world.upgrade(0, "/raw/a"),
        Say::One | Say::Many => {}
    }
    world.turns(3);
    let heard = publisher.say(&mut world, 1, when(asked, &("except", ""))) + &publisher.say(&mut world, 2, &[]);
    let reads = matches!(endpoint, Say::Ws | Say::Raw);
    assert_eq!(heard.contains("#0002#"), reads, "{endpoint:?}: {heard}");
    seen(reads && !heard.contains("#0001#"))
}

fn position(endpoint: Say, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    let publisher = Publisher::new(&mut world, endpoint, &[]);
    let answer = if asked { publisher.say(&mut world, 1, &[]) } else { String::new() };
    seen(answer.contains("\"offset\":1"))
}

fn message_id(endpoint: Say, asked: bool) -> Seen {
    is_kept_back(endpoint, when(asked, &("message_id", "m-1")), when(asked, &("message_id", "m-1")))
}

fn if_match(endpoint: Say, asked: bool) -> Seen {
    is_kept_back(endpoint, &[], when(asked, &("if_match", "7-7")))
}

fn if_none_match(endpoint: Say, asked: bool) -> Seen {
    is_kept_back(endpoint, &[], when(asked, &("if_none_match", "*")))
}

/// Whether the second of two messages is not said.
fn is_kept_back(endpoint: Say, first: &[(&str, &str)], second: &[(&str, &str)]) -> Seen {
    let mut world = world(TopicSettings::default());
    let mut reader = join(&mut world, Endpoint::Ws, &["a"], &[]);
    let publisher = Publisher::new(&mut world, endpoint, second);
    publisher.say(&mut world, 1, first);
    publisher.say(&mut world, 2, second);
    reader.listen(&mut world, 4);
    assert!(reader.numbers().starts_with(&[1]), "{endpoint:?}: the first is said");
    seen(reader.numbers() == [1])
}

fn key(endpoint: Say, asked: bool) -> Seen {
    let mut world = World::new(1, 1024, Limits::default());
    let mut reader = join(&mut world, Endpoint::Ws, &["a"], &[("mode", "latest")]);
    let keys = [("key", "even"), ("key", "odd")];
    let publisher = Publisher::new(&mut world, endpoint, when(asked, &keys[0]));
    for number in 1..=100 {
        publisher.say(&mut world, number, when(asked, &keys[number as usize % 2]));
    }
    reader.listen(&mut world, 100);
    let numbers = reader.numbers();
    assert!(numbers.len() < 50 && numbers.ends_with(&[100]), "{endpoint:?}: {numbers:?}");
    seen(numbers.ends_with(&[99, 100]))
}

fn binary(endpoint: Say, asked: bool) -> Seen {
    let mut world = world(TopicSettings::default());
    let mut reader = join(&mut world, Endpoint::Ws, &["a"], &[]);
    let publisher = Publisher::new(&mut world, endpoint, &[]);
    let answer = publisher.say(&mut world, 1, when(asked, &("binary", "")));
    if answer.contains("operations are text") {
        return Seen::Refused;
    }
    reader.listen(&mut world, 4);
    assert!(reader.heard.contains("\"o\":1,"), "{endpoint:?}: it is said");
    seen(reader.heard.contains("\"b\":\""))
}

fn when<'a, 'b>(asked: bool, option: &'b (&'a str, &'a str)) -> &'b [(&'a str, &'a str)] {
    if asked { std::slice::from_ref(option) } else { &[] }
}

fn world(settings: TopicSettings) -> World {
    World::with_rules(1, 1 << 20, Limits::default(), rules(settings))
}

/// One rule, for the topic `a`.
fn rules(settings: TopicSettings) -> TopicRules {
    TopicRules::new(vec![TopicRule { pattern: "a".parse().expect("a topic"), settings }])
}

fn seen(shows: bool) -> Seen {
    if shows { Seen::Effect } else { Seen::Nothing }
}
