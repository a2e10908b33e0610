//! The transports over HTTP. Each wraps messages in its own way; what comes out is objects of the JSON dialect.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::answers::{Connection, Head, HttpError};
use crate::cli::publisher::json_string;
use crate::close::{is_success, is_without_body};
use crate::limits::CLIENT_MESSAGE_LEN_MAX;

/// How to be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Transport {
    /// WebSocket
    Ws,
    /// Server-sent events
    Sse,
    /// Lines in a response without end
    Stream,
    /// One request after the other
    Poll,
}

/// Input over HTTP, on one connection.
pub(super) struct Feed<S> {
    connection: Connection<S>,
    authority: String,
    transport: Transport,
    /// The topics that are named, in the order of the request.
    topics: Vec<String>,
    query: String,
    /// Where the last poll ended.
    since: Option<String>,
    /// Whether the last answer leaves the connection open for the next poll.
    stays_open: bool,
    waiting: VecDeque<String>,
}

/// Why nothing more comes.
#[derive(Debug)]
pub(super) enum Ended {
    Http(HttpError),
    /// The server does not want to.
    Refused {
        status: u16,
        why: String,
    },
    /// The response has ended.
    Over,
    /// All is well, and the next poll takes another connection.
    Another,
}

impl From<HttpError> for Ended {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

/// An answer to a poll.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    since: String,
    #[serde(default)]
    recovered: BTreeMap<String, bool>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl<S: Read + Write> Feed<S> {
    /// Follows what `query` asks for, in which `topics` are named; a poll goes on behind `since` if there is one.
    pub(super) fn open(
        stream: S,
        authority: &str,
        transport: Transport,
        (topics, query): (Vec<String>, String),
        since: Option<String>,
    ) -> Result<Self, Ended> {
        let (connection, authority) = (Connection::new(stream), authority.to_owned());
        let mut feed =
            Self { connection, authority, transport, stays_open: true, topics, query, since, waiting: VecDeque::new() };
        match transport {
            Transport::Poll => {}
            Transport::Sse => drop(feed.get("/sse")?),
            Transport::Stream | Transport::Ws => drop(feed.get("/stream")?),
        }
        Ok(feed)
    }

    /// Where the last poll ended, to go on there.
    pub(super) fn since(&self) -> Option<String> {
        self.since.clone()
    }

    /// The next object; waits for it.
    pub(super) fn next(&mut self) -> Result<String, Ended> {
        loop {
            if let Some(object) = self.waiting.pop_front() {
                return Ok(object);
            }
            match self.transport {
                Transport::Poll if !self.stays_open => return Err(Ended::Another),
                Transport::Poll => self.poll()?,
                Transport::Sse => return self.event(),
                Transport::Stream | Transport::Ws => {
                    let line = self.connection.line()?.ok_or(Ended::Over)?;
                    // Others are heartbeats.
                    if !line.is_empty() {
                        return Ok(line);
                    }
                }
            }
        }
    }

    fn get(&mut self, path: &str) -> Result<Head, Ended> {
        let since = self.since.as_ref().map(|since| format!("&since={since}")).unwrap_or_default();
        let target = format!("{path}?{}{since}", self.query);
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.authority);
        self.connection.send(request.as_bytes()).map_err(HttpError::Broken)?;
        let head = self.connection.head()?;
        self.stays_open = head.stays_open;
        if is_success(head.status) {
            return Ok(head);
        }
        let body = self.connection.rest(CLIENT_MESSAGE_LEN_MAX)?;
        let told = serde_json::from_slice(&body).map(|Refusal { message }| message);
        Err(Ended::Refused { status: head.status, why: told.unwrap_or_else(|_| "no reason given".to_owned()) })
    }

    fn poll(&mut self) -> Result<(), Ended> {
        let head = self.get("/poll")?;
        let body = self.connection.rest(CLIENT_MESSAGE_LEN_MAX)?;
        let answer: Answer<'_> = match head.status {
            status if is_without_body(status) => {
                Answer { messages: Vec::new(), since: head.since.unwrap_or_default(), recovered: BTreeMap::new() }
            }
            _ => serde_json::from_slice(&body).map_err(|_| HttpError::BadAnswer("it is no answer to a poll"))?,
        };
        self.waiting.push_back(joined(&self.topics, &answer));
        self.waiting.extend(answer.messages.iter().map(|push| push.get().to_owned()));
        if !answer.since.is_empty() {
            // The positions of the first request are outdated now.
            if let Some(at) = self.query.find("&since=") {
                self.query.truncate(at);
            }
            self.since = Some(answer.since);
        }
        Ok(())
    }

    fn event(&mut self) -> Result<String, Ended> {
        let (mut name, mut id, mut data) = (String::new(), String::new(), None::<String>);
        let (mut topic, mut prev) = (None::<String>, None);
        loop {
            let line = self.connection.line()?.ok_or(Ended::Over)?;
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match (field, &mut data) {
                ("", Some(data)) if line.is_empty() => {
                    if name.starts_with('.') {
                        return Ok(std::mem::take(data));
                    }
                    // An event with a name of its own says its topic beside it.
                    let event = topic.is_some().then(|| unescaped(&name));
                    return Ok(self.push(topic.as_ref().unwrap_or(&name), event.as_deref(), &id, prev, data));
                }
                ("topic", _) => topic = Some(value.to_owned()),
                ("prev", _) => prev = value.parse::<u64>().ok(),
                ("event", _) => name = value.to_owned(),
                ("id", _) => id = value.to_owned(),
                ("data", Some(data)) => {
                    data.push('\n');
                    data.push_str(value);
                }
                ("data", data) => *data = Some(value.to_owned()),
                // Heartbeats, `retry`, and what a later version may say.
                _ => {}
            }
        }
    }

    /// A payload and its position as the JSON dialect has them.
    fn push(&self, topic: &str, event: Option<&str>, id: &str, prev: Option<u64>, data: &str) -> String {
        let position = self.topics.iter().position(|named| named == topic).and_then(|at| id.split(',').nth(at));
        let offset = position.and_then(|position| position.rsplit_once('-')?.1.parse::<u64>().ok()).unwrap_or(0);
        let (name, value) = match data.strip_prefix(DATA_URL) {
            Some(base64) => ("b", Cow::Owned(json_string(base64))),
            None if serde_json::from_str::<&RawValue>(data).is_ok() => ("d", Cow::Borrowed(data)),
            None => ("d", Cow::Owned(json_string(data))),
        };
        let prev = prev.map(|prev| format!(",\"p\":{prev}")).unwrap_or_default();
        let event = event.map(|event| format!(",\"e\":{}", json_string(event))).unwrap_or_default();
        format!("{{\"t\":{},\"o\":{offset}{prev}{event},\"{name}\":{value}}}", json_string(topic))
    }
}

/// The name of an event: one that begins with a dot or a percent sign has its first byte as `%XX`.
fn unescaped(name: &str) -> String {
    match (name.strip_prefix("%2E"), name.strip_prefix("%25")) {
        (Some(rest), _) => format!(".{rest}"),
        (_, Some(rest)) => format!("%{rest}"),
        _ => name.to_owned(),
    }
}

/// The reply to a `sub` that says what an answer to a poll says of its topics.
fn joined(topics: &[String], answer: &Answer<'_>) -> String {
    let topic = |(topic, position): (&String, &str)| {
        let (epoch, offset) = position.rsplit_once('-')?;
        let offset: u64 = offset.parse().ok()?;
        let recovered = answer.recovered.get(topic).map(|it| format!(",\"recovered\":{it}")).unwrap_or_default();
        Some(format!("{}:{{\"epoch\":{},\"offset\":{offset}{recovered}}}", json_string(topic), json_string(epoch)))
    };
    let topics: Vec<String> = topics.iter().zip(answer.since.split(',')).filter_map(topic).collect();
    format!("{{\"op\":\"ok\",\"topics\":{{{}}}}}", topics.join(","))
}

/// The prefix of a binary payload in an event's data.
const DATA_URL: &str = "data:application/octet-stream;base64,";
