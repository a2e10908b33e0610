//! Server-sent events: messages as events of a response that does not end. [HTML 9.2]
//!
//! ```text
//! id: EPOCH-OFFSET       where the reader is behind this event: what it gives back as Last-Event-ID
//! event: NAME            of the event, or the topic where it has none; names that begin with a dot are ours
//! topic: TOPIC           beside an event's name; EventSource passes over fields that it does not know
//! prev: OFFSET           of the one before it in its topic, where that is not the number before
//! data: ...              a line each of the payload
//! ```
//! The body ends with the connection, in every version of HTTP: an event costs no framing of its own. Tests: beside the
//! code, `tests/foreign/` for clients that others wrote.

mod id;

pub use id::IdLine;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use memchr::memchr2;

use crate::command::{Outbound, PayloadKind, Position, Publication};

/// The media type.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// A comment: something to send where there is nothing to say.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// Appends a publication with the message `message`, without an id.
pub fn event(publication: &Publication, message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    if publication.extras.is_some() || !publication.is_next() {
        name_event(publication, out);
    } else {
        out.extend_from_slice(publication.topic.as_str().as_bytes());
    }
    out.push(b'\n');
    if publication.kind == PayloadKind::Binary {
        out.extend_from_slice(BINARY_PREFIX);
        let start = out.len();
        out.resize(start + message.len().div_ceil(3) * 4, 0);
        BASE64.encode_slice(message, &mut out[start..]).expect("base64 is four bytes for each three");
        out.push(b'\n');
    } else {
        data(message, out);
    }
    out.push(b'\n');
}

/// Appends the name of an event, and the fields that few have.
#[cold]
fn name_event(publication: &Publication, out: &mut Vec<u8>) {
    let topic = publication.topic.as_str();
    if let Some(event) = publication.event() {
        // A name that begins with a dot would be one of ours.
        let (escaped, rest) = match event.as_bytes() {
            [b'.', ..] => ("%2E", &event[1..]),
            [b'%', ..] => ("%25", &event[1..]),
            _ => ("", event),
        };
        [escaped, rest, "\ntopic: ", topic].iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
    } else {
        out.extend_from_slice(topic.as_bytes());
    }
    if !publication.is_next() {
        out.extend_from_slice(b"\nprev: ");
        out.extend_from_slice(itoa::Buffer::new().format(publication.prev).as_bytes());
    }
}

/// Appends the id line of the event that follows: a position for each topic of the reader; nothing for none.
pub fn id(positions: impl Iterator<Item = Position>, out: &mut Vec<u8>) {
    let mut separator: &[u8] = b"id: ";
    for position in positions {
        out.extend_from_slice(separator);
        position.write(out);
        separator = b",";
    }
    if separator == b"," {
        out.push(b'\n');
    }
}

/// Appends the delay after which a reader that lost its connection comes back.
pub fn retry(retry_ms: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"retry: ");
    out.extend_from_slice(itoa::Buffer::new().format(retry_ms).as_bytes());
    out.push(b'\n');
}

/// Appends what is not a publication as an event whose data is `message`; nothing where there is no event for it.
pub fn say(outbound: &Outbound<'_>, message: &[u8], out: &mut Vec<u8>) {
    let event: &[u8] = match outbound {
        Outbound::Subscribed { .. } => b"event: .joined\n",
        Outbound::Gap { .. } => b"event: .gap\n",
        Outbound::Bye { retry_ms } => {
            retry(*retry_ms, out);
            b"event: .bye\n"
        }
        _ => return,
    };
    out.extend_from_slice(event);
    data(message, out);
    out.push(b'\n');
}

/// Appends a `data` line for each line of the payload, whatever ends it: CR, LF or both.
fn data(payload: &[u8], out: &mut Vec<u8>) {
    let mut rest = payload;
    loop {
        out.extend_from_slice(b"data: ");
        let Some(at) = memchr2(b'\r', b'\n', rest) else { break };
        out.extend_from_slice(&rest[..at]);
        out.push(b'\n');
        rest = &rest[at + if rest[at..].starts_with(b"\r\n") { 2 } else { 1 }..];
    }
    out.extend_from_slice(rest);
    out.push(b'\n');
}

/// A binary payload comes as a data URL, which readers can tell from text and open.
const BINARY_PREFIX: &[u8] = b"data: data:application/octet-stream;base64,";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Epoch, TopicName};
    use proptest::prelude::*;

    fn publication(kind: PayloadKind, payload: &[u8]) -> Publication {
        Publication {
            topic: TopicName::parse("px.A").expect("a valid name"),
            position: Position { epoch: Epoch(0x1f), offset: 12 },
            prev: 11,
            kind,
            payload: payload.into(),
            key: None,
            origin: None,
            time: crate::time::MonoTime::ZERO,
            extras: None,
        }
    }

    /// The events that a reader parses from the lines, by the standard: id, event and data of each event.
    fn read(stream: &str) -> Vec<(String, String, String)> {
        let (mut events, mut id, mut event, mut data) = (Vec::new(), String::new(), String::new(), String::new());
        for line in stream.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => value.clone_into(&mut id),
                "event" => value.clone_into(&mut event),
                "data" => data.extend([value, "\n"]),
                "" if line.is_empty() && !data.is_empty() => {
                    data.pop();
                    events.push((id.clone(), std::mem::take(&mut event), std::mem::take(&mut data)));
                }
                _ => {}
            }
        }
        events
    }

    fn pushed(kind: PayloadKind, payload: &[u8]) -> String {
        let mut out = Vec::new();
        let publication = publication(kind, payload);
        id(std::iter::once(publication.position), &mut out);
        event(&publication, payload, &mut out);
        String::from_utf8(out).expect("events are text")
    }

    #[test]
    fn an_event_has_its_position_its_topic_and_its_payload() {
        assert_eq!(pushed(PayloadKind::Json, b"{\"p\":1}"), "id: 1f-12\nevent: px.A\ndata: {\"p\":1}\n\n");
        assert_eq!(pushed(PayloadKind::Text, b""), "id: 1f-12\nevent: px.A\ndata: \n\n");
        let binary = pushed(PayloadKind::Binary, &[0, 255, 7]);
        assert_eq!(binary, "id: 1f-12\nevent: px.A\ndata: data:application/octet-stream;base64,AP8H\n\n");
    }

    #[test]
    fn an_event_has_its_name_and_what_event_sources_pass_over_says_the_rest() {
        let named = |name: &str, prev| {
            let extras = crate::command::Extras { event: Some(name.into()), ..Default::default() };
            let mut out = Vec::new();
            let publication = publication(PayloadKind::Text, b"x");
            event(&Publication { prev, extras: extras.boxed(), ..publication }, b"x", &mut out);
            String::from_utf8(out).expect("events are text")
        };
        assert_eq!(named("größe", 11), "event: größe\ntopic: px.A\ndata: x\n\n");
        assert_eq!(named(".gap", 11), "event: %2Egap\ntopic: px.A\ndata: x\n\n");
        assert_eq!(named("%2Egap", 11), "event: %252Egap\ntopic: px.A\ndata: x\n\n");
        assert_eq!(named("a", 7), "event: a\ntopic: px.A\nprev: 7\ndata: x\n\n");
        let mut out = Vec::new();
        event(&Publication { prev: 7, ..publication(PayloadKind::Text, b"x") }, b"x", &mut out);
        assert_eq!(out, b"event: px.A\nprev: 7\ndata: x\n\n");
    }

    #[test]
    fn an_id_is_as_many_positions_as_there_are_topics() {
        let position = |offset| Position { epoch: Epoch(10), offset };
        for (offsets, expected) in [(&[][..], ""), (&[1], "id: a-1\n"), (&[1, 20, 3], "id: a-1,a-20,a-3\n")] {
            let mut out = Vec::new();
            id(offsets.iter().map(|offset| position(*offset)), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn what_is_no_publication_has_a_name_that_no_topic_has() {
        let mut out = Vec::new();
        say(&Outbound::Bye { retry_ms: 1_500 }, b"{}", &mut out);
        say(&Outbound::Gap { topic: "a", skipped: 1, offset: 2 }, b"{}", &mut out);
        say(&Outbound::Done { id: None }, b"{}", &mut out);
        assert_eq!(out, b"retry: 1500\nevent: .bye\ndata: {}\n\nevent: .gap\ndata: {}\n\n");
        assert!(!TopicName::is_valid(".bye"));
    }

    proptest! {
        #[test]
        fn any_text_arrives_as_one_event_with_its_line_ends_as_lf(payload in "(?s)([\r\n:]|id: |data|.){0,40}") {
            let lines = payload.replace("\r\n", "\n").replace('\r', "\n");
            let stream = pushed(PayloadKind::Text, payload.as_bytes());
            let expected = ("1f-12".to_owned(), "px.A".to_owned(), lines);
            prop_assert_eq!(read(&stream), vec![expected]);
        }
    }
}
