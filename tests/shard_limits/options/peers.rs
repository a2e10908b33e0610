//! Publishers and readers that ask for options, each in the way of its endpoint.

use fanwire::driver::sim::PeerId;
use fanwire::wire::ws::{Opcode, encode_client_frame};

use super::{Endpoint, Say};
use crate::world::{World, get, handshake, text_frame};

/// One that publishes to the topic `a`.
pub(super) struct Publisher {
    endpoint: Say,
    pub(super) peer: PeerId,
}

impl Publisher {
    /// Where a message has no place for options, `/raw`, they are asked for in the query.
    pub(super) fn new(world: &mut World, endpoint: Say, options: &[(&str, &str)]) -> Self {
        let peer = match endpoint {
            Say::One | Say::Many => world.connect(0),
            Say::Ws => world.upgrade(0, "/ws"),
            Say::Raw => world.upgrade(0, &format!("/raw/a?last=0&echo=0{}", query(options))),
        };
        Self { endpoint, peer }
    }

    /// Says one message; returns the answer.
    pub(super) fn say(&self, world: &mut World, number: u32, options: &[(&str, &str)]) -> String {
        let data = payload(number);
        let is_binary = options.iter().any(|(name, _)| *name == "binary");
        let fields = || options.iter().map(said_field).collect::<String>();
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
        "event" => format!("Fanwire-Event: {value}\r\n"),
        "attribute" => format!("Fanwire-Attribute-Color: {value}\r\n"),
        "passes" => "Fanwire-Last: 0\r\n".to_owned(),
        _ => String::new(),
    }
}

fn said_field((name, value): &(&str, &str)) -> String {
    match *name {
        "attribute" => format!(",\"headers\":{{\"color\":\"{value}\"}}"),
        "passes" => ",\"last\":false".to_owned(),
        "except" => ",\"echo\":false".to_owned(),
        _ => format!(",\"{name}\":\"{value}\""),
    }
}

/// One that follows topics, and keeps all that it hears.
pub(super) struct Reader {
    endpoint: Endpoint,
    pub(super) peer: PeerId,
    topics: String,
    pub(super) heard: String,
    polls: usize,
}

/// A reader that has had what comes at once.
pub(super) fn join(world: &mut World, endpoint: Endpoint, topics: &[&str], options: &[(&str, &str)]) -> Reader {
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
    pub(super) fn listen(&mut self, world: &mut World, turns: usize) {
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
    pub(super) fn follow(&mut self, world: &mut World, count: u32) {
        for number in 1..=count {
            say(world, "a", number);
            world.pass_ms(10);
            self.listen(world, 1);
        }
    }

    /// The messages that it has heard.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let is_number = |part: &&str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        self.heard.split('#').filter(is_number).map(|digits| digits.parse().expect("digits")).collect()
    }
}

/// Says one message over HTTP; returns the answer.
pub(super) fn say(world: &mut World, topic: &str, number: u32) -> String {
    let publisher = world.connect(0);
    world.say(publisher, crate::world::post(topic, &payload(number)).as_bytes());
    let answer = world.hear_for(publisher, 2);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    world.net.close(publisher);
    answer
}

/// A hundred bytes by which a message is known.
pub(super) fn payload(number: u32) -> String {
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
        "last" | "presence" | "echo" | "headers" => format!(",\"{name}\":{}", *value == "1"),
        _ => format!(",\"{name}\":\"{value}\""),
    }
}
