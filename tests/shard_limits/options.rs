//! Every option on every endpoint, as docs/PROTOCOL.md has it under "What works where": a cell that begins with `no` and a
//! status says that who asks is refused, one that begins with `no` that nothing comes of it, and every other that the
//! option does there what it is for. Each conversation is also held without asking, where it must not show.

use fanwire::command::{Mode, Rate};
use fanwire::driver::sim::PeerId;
use fanwire::hub::{TopicRule, TopicRules, TopicSettings};
use fanwire::limits::Limits;
use fanwire::wire::ws::{Opcode, encode_client_frame};

use crate::world::{World, get, handshake, text_frame};

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

/// What came of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Effect,
    Nothing,
    Refused,
}

/// A conversation with or without the option, and whether the option shows.
type Talk<D> = fn(D, bool) -> Seen;

const ENDPOINTS: [Endpoint; 5] = [Endpoint::Raw, Endpoint::Ws, Endpoint::Sse, Endpoint::Stream, Endpoint::Poll];
const READING: [(&str, Talk<Endpoint>); 17] = [
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
];

const SAYS: [Say; 4] = [Say::One, Say::Many, Say::Ws, Say::Raw];
const SAYING: [(&str, Talk<Say>); 6] = [
    ("its position in the answer", position),
    ("message id", message_id),
    ("only after a position", if_match),
    ("only as the first", if_none_match),
    ("conflation key", key),
    ("binary payload", binary),
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

/// What a reader hears that had the first of three messages.
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

/// What a reader has in the end of a hundred messages that were said while it did not read; `None` if it was ended.
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

/// One that publishes to the topic `a`.
struct Publisher {
    endpoint: Say,
    peer: PeerId,
}

impl Publisher {
    /// Where a message has no place for options, `/raw`, they are asked for in the query.
    fn new(world: &mut World, endpoint: Say, options: &[(&str, &str)]) -> Self {
        let peer = match endpoint {
            Say::One | Say::Many => world.connect(0),
            Say::Ws => world.upgrade(0, "/ws"),
            Say::Raw => world.upgrade(0, &format!("/raw/a?last=0&echo=0{}", query(options))),
        };
        Self { endpoint, peer }
    }

    /// Says one message; returns the answer.
    fn say(&self, world: &mut World, number: u32, options: &[(&str, &str)]) -> String {
        let data = payload(number);
        let is_binary = options.iter().any(|(name, _)| *name == "binary");
        let fields = || options.iter().map(|(name, value)| format!(",\"{name}\":\"{value}\"")).collect::<String>();
        let media_type = if is_binary { "Content-Type: application/octet-stream\r\n" } else { "" };
        let request = |path: &str, headers: &str, body: &str| {
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{media_type}{headers}");
            format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        };
        let frame = |text: &str| {
            let mut bytes = Vec::new();
            encode_client_frame(&mut bytes, Opcode::Binary, true, [1, 2, 3, 4], text.as_bytes());
            if is_binary { bytes } else { text_frame(text) }
        };
        let bytes = match self.endpoint {
            Say::One => request("/publish/a", &options.iter().map(header).collect::<String>(), &data),
            Say::Many => request("/publish", "", &format!("{{\"topic\":\"a\",\"data\":\"{data}\"{}}}\n", fields())),
            Say::Ws => frame(&format!("{{\"op\":\"pub\",\"topic\":\"a\",\"data\":\"{data}\"{}}}", fields())),
            Say::Raw => frame(&data),
        };
        world.say(self.peer, &bytes);
        world.hear_for(self.peer, 3)
    }
}

fn header((name, value): &(&str, &str)) -> String {
    match *name {
        "message_id" => format!("Fanwire-Id: {value}\r\n"),
        "if_match" => format!("If-Match: \"{value}\"\r\n"),
        "if_none_match" => format!("If-None-Match: {value}\r\n"),
        "key" => format!("Fanwire-Key: {value}\r\n"),
        _ => String::new(),
    }
}

/// One that follows topics, and keeps all that it hears.
struct Reader {
    endpoint: Endpoint,
    peer: PeerId,
    topics: String,
    heard: String,
    polls: usize,
}

/// A reader that has had what comes at once.
fn join(world: &mut World, endpoint: Endpoint, topics: &[&str], options: &[(&str, &str)]) -> Reader {
    let peer = world.connect(0);
    let names: String = topics.iter().map(|topic| format!("&topic={topic}")).collect();
    let (id, options): (Vec<_>, Vec<_>) = options.iter().partition(|(name, _)| *name == "Last-Event-ID");
    let asked = query(&options);
    let request = match endpoint {
        Endpoint::Raw => handshake(&format!("/raw/{}?{names}{asked}", topics[0])),
        Endpoint::Ws => handshake(&format!("/ws?{asked}")),
        Endpoint::Sse => get(&format!("/sse?{names}{asked}")),
        Endpoint::Stream => get(&format!("/stream?{names}{asked}")),
        Endpoint::Poll => get(&format!("/poll?{names}{asked}")),
    };
    let id: String = id.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{}{id}\r\n", request.trim_end_matches("\r\n").to_owned() + "\r\n");
    world.say(peer, request.as_bytes());
    let mut reader = Reader { endpoint, peer, topics: names, heard: String::new(), polls: 1 };
    reader.listen(world, 4);
    if endpoint == Endpoint::Ws {
        let fields: String = options.iter().map(field).collect();
        world.say_text(peer, &format!("{{\"op\":\"sub\",\"topics\":{topics:?}{fields}}}"));
    }
    reader.listen(world, 6);
    reader
}

impl Reader {
    /// Reads for some turns; polls again whenever an answer says from where.
    fn listen(&mut self, world: &mut World, turns: usize) {
        for _ in 0..turns {
            world.turns(1);
            self.heard.push_str(&world.hear(self.peer));
            let mut answers =
                self.heard.split("Fanwire-Since: ").skip(self.polls).filter_map(|rest| rest.split_once("\r\n"));
            if self.endpoint == Endpoint::Poll
                && let Some((since, _)) = answers.next()
            {
                let again = get(&format!("/poll?since={since}{}", self.topics));
                world.say(self.peer, again.as_bytes());
                self.polls += 1;
            }
        }
    }

    /// Listens while so many messages are said, one each ten milliseconds.
    fn follow(&mut self, world: &mut World, count: u32) {
        for number in 1..=count {
            say(world, "a", number);
            world.pass_ms(10);
            self.listen(world, 1);
        }
    }

    /// The messages that it has heard.
    fn numbers(&self) -> Vec<u32> {
        let is_number = |part: &&str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        self.heard.split('#').filter(is_number).map(|digits| digits.parse().expect("digits")).collect()
    }
}

/// Says one message over HTTP; returns the answer.
fn say(world: &mut World, topic: &str, number: u32) -> String {
    let publisher = world.connect(0);
    world.say(publisher, crate::world::post(topic, &payload(number)).as_bytes());
    let answer = world.hear_for(publisher, 2);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    world.net.close(publisher);
    answer
}

/// A hundred bytes by which a message is known.
fn payload(number: u32) -> String {
    format!("#{number:04}#{}", "x".repeat(94))
}

fn query(options: &[(&str, &str)]) -> String {
    options.iter().map(|(name, value)| format!("&{name}={value}")).collect()
}

/// An option of a query as a field of `sub`.
fn field((name, value): &(&str, &str)) -> String {
    match *name {
        "bandwidth" => String::new(),
        "since" => format!(",\"since\":{{\"a\":\"{value}\"}}"),
        "max_rate" | "max_age_ms" => format!(",\"{name}\":{value}"),
        "last" | "presence" | "echo" => format!(",\"{name}\":{}", *value == "1"),
        _ => format!(",\"{name}\":\"{value}\""),
    }
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
