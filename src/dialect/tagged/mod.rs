//! A dialect for tests only: lines, and the reader's own tag in front of each message. It proves that a dialect needs
//! no more than its folder, its variant and its row. Tests: `shard/tests.rs`.

use super::Decoded;
use crate::command::{Command, ErrorCode, MessageKind, Outbound, PayloadKind, Publication, Publish, Refusal};
use crate::command::{Subscribe, Target};

/// The state of one session: the tag of each subscription.
#[derive(Debug, Default)]
pub struct Tags(Vec<(Target, Box<str>)>);

/// Reads `follow TAG TARGET` or `say TOPIC TEXT`.
pub fn decode<'a>(tags: &mut Tags, message: &'a [u8]) -> Decoded<'a> {
    let Ok(text) = std::str::from_utf8(message) else { return Decoded::Unsupported("a line is text") };
    let mut words = text.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("follow"), Some(tag), Some(target)) if let Ok(target) = Target::parse(target) => {
            tags.0.push((target.clone(), tag.into()));
            let targets = vec![target];
            let (since, policy) = (Vec::new(), None);
            Decoded::Command(Command::Subscribe(Subscribe {
                id: None,
                targets,
                since,
                last: true,
                policy,
                presence: false,
                headers: None,
            }))
        }
        (Some("say"), Some(topic), Some(text)) => Decoded::Command(Command::Publish(Publish {
            id: None,
            topic: topic.into(),
            kind: PayloadKind::Text,
            payload: text.as_bytes(),
            key: None,
            message_id: None,
            condition: None,
            extras: None,
            echo: true,
        })),
        (Some(""), None, None) => Decoded::Nothing,
        _ => Decoded::Refused(None, Refusal::new(ErrorCode::BadRequest, "follow TAG TARGET, or say TOPIC TEXT")),
    }
}

/// Writes `joined` and `refused CODE`, and nothing else.
pub fn encode(outbound: &Outbound<'_>, out: &mut Vec<u8>) {
    match outbound {
        Outbound::Subscribed { .. } => out.extend_from_slice(b"joined"),
        Outbound::Refused { refusal, .. } => {
            out.extend_from_slice(format!("refused {}", refusal.code.as_str()).as_bytes())
        }
        _ => {}
    }
}

/// Writes the bytes that all readers share.
pub fn encode_push(publication: &Publication, out: &mut Vec<u8>) -> MessageKind {
    out.extend_from_slice(&publication.payload);
    MessageKind::Text
}

/// Writes the prefix of one reader's message: its tag for the topic.
pub fn encode_prefix(tags: &Tags, publication: &Publication, out: &mut Vec<u8>) {
    let is_it = |(target, _): &&(Target, Box<str>)| target.as_str() == publication.topic.as_str();
    if let Some((_, tag)) = tags.0.iter().find(is_it) {
        out.extend_from_slice(tag.as_bytes());
        out.push(b' ');
    }
}
