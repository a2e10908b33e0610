//! Responses that do not end, as a client reads them: events, and lines in chunks.

use crate::peers::Heard;

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    pub event: String,
    /// With an event's name of its own: the topic, which `event` names otherwise.
    pub topic: Option<String>,
    pub data: String,
}

/// How the body is to be read.
#[derive(Debug)]
pub enum Stream {
    Events,
    Chunks { is_ended: bool },
}

/// The request to follow topics.
pub fn request(topics: &[&str], mode: &str, is_events: bool, since: Option<&str>) -> String {
    let topics: String = topics.iter().map(|topic| format!("topic={topic}&")).collect();
    let endpoint = if is_events { "sse" } else { "stream" };
    let (field, since) = match since {
        Some(since) if is_events => (format!("Last-Event-ID: {since}\r\n"), String::new()),
        Some(since) => (String::new(), format!("&since={since}")),
        None => (String::new(), String::new()),
    };
    format!("GET /{endpoint}?{topics}mode={mode}{since} HTTP/1.1\r\nHost: sim\r\n{field}\r\n")
}

impl Stream {
    /// The stream that a response head begins, if it does.
    pub fn begin(head: &str) -> Option<Self> {
        if head.contains("Content-Type: text/event-stream\r\n") {
            return Some(Self::Events);
        }
        head.contains("Transfer-Encoding: chunked\r\n").then_some(Self::Chunks { is_ended: false })
    }

    /// Takes what is whole.
    pub fn read(&mut self, unread: &mut Vec<u8>, heard: &mut Vec<Heard>) {
        match self {
            Self::Events => {
                while let Some(end) = find(unread, b"\n\n") {
                    let rest = unread.split_off(end + 2);
                    let block = String::from_utf8(std::mem::replace(unread, rest)).expect("events are text");
                    heard.extend(read_event(&block).map(Heard::Event));
                }
            }
            Self::Chunks { is_ended } => {
                while let Some(head) = find(unread, b"\r\n") {
                    assert!(!*is_ended, "nothing comes behind the last chunk");
                    let line = std::str::from_utf8(&unread[..head]).expect("a length is text");
                    let len = usize::from_str_radix(line, 16).expect("a length");
                    if unread.len() < head + 2 + len + 2 {
                        return;
                    }
                    let rest = unread.split_off(head + 2 + len + 2);
                    let chunk = std::mem::replace(unread, rest);
                    let text = chunk[head + 2..].strip_suffix(b"\r\n").expect("a chunk has an end");
                    *is_ended = len == 0;
                    if len > 0 {
                        let text = String::from_utf8(text.to_vec()).expect("lines are text");
                        let line = text.strip_suffix('\n').expect("a chunk is a line");
                        assert!(!line.contains('\n'), "a chunk is one line");
                        heard.extend((!line.is_empty()).then(|| Heard::Text(line.to_owned())));
                    }
                }
            }
        }
    }
}

/// An event as the standard reads it; none without data, but where an id stands alone.
fn read_event(block: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut data = Vec::new();
    for line in block.lines().filter(|line| !line.is_empty()) {
        let (field, value) = line.split_once(':').expect("every line is a field");
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut event.event),
            "topic" => event.topic = Some(value.to_owned()),
            "data" => data.push(value),
            "" | "retry" => {}
            _ => panic!("a field that nobody knows: {line}"),
        }
    }
    event.data = data.join("\n");
    (!data.is_empty() || event.id.is_some()).then_some(event)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
