//! Messages of the JSON dialect: one object each.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::command::{Joined, OperationId, Outbound, PayloadKind, Position, Presence, Publication, Refusal, Taken};
use crate::wire::json::{escape_into, is_valid};

/// Writes one message. A push is the same for every reader.
pub fn encode(outbound: &Outbound<'_>, out: &mut Vec<u8>) {
    match outbound {
        Outbound::Subscribed { id, joined } => {
            open(out, "ok", *id);
            out.extend_from_slice(b",\"topics\":{");
            for (index, joined) in joined.iter().enumerate() {
                comma(out, index);
                encode_joined(joined, out);
            }
            out.extend_from_slice(b"}}");
        }
        Outbound::Done { id } => {
            open(out, "ok", *id);
            out.push(b'}');
        }
        Outbound::Published { id, topic, taken } => {
            open(out, "ok", *id);
            out.extend_from_slice(b",\"topics\":{");
            escape_into(out, topic);
            out.extend_from_slice(b":{");
            encode_taken(taken, out);
            out.extend_from_slice(b"}}}");
        }
        Outbound::History { id, topic, epoch, publications } => {
            open(out, "ok", *id);
            out.extend_from_slice(b",\"topic\":");
            escape_into(out, topic);
            out.extend_from_slice(format!(",\"epoch\":\"{epoch}\",\"messages\":").as_bytes());
            encode_messages(publications.iter().map(|publication| &**publication), out);
            out.push(b'}');
        }
        Outbound::Refused { id, refusal } => {
            open(out, "err", *id);
            out.extend_from_slice(b",\"code\":\"");
            out.extend_from_slice(refusal.code.as_str().as_bytes());
            out.extend_from_slice(b"\",\"message\":");
            escape_into(out, refusal.message);
            encode_refusal_position(refusal, out);
            out.push(b'}');
        }
        Outbound::Gap { topic, skipped, offset } => {
            out.extend_from_slice(b"{\"op\":\"gap\",\"t\":");
            escape_into(out, topic);
            out.extend_from_slice(b",\"skipped\":");
            number(out, *skipped);
            out.extend_from_slice(b",\"o\":");
            number(out, *offset);
            out.push(b'}');
        }
        Outbound::Presence { topic, presence } => {
            out.extend_from_slice(b"{\"op\":\"presence\",\"t\":");
            escape_into(out, topic);
            encode_presence(presence, out);
            out.push(b'}');
        }
        Outbound::Bye { retry_ms } => {
            out.extend_from_slice(b"{\"op\":\"bye\",\"code\":\"shutdown\",\"retry_ms\":");
            number(out, *retry_ms);
            out.push(b'}');
        }
        Outbound::Push(publication) => encode_push(publication, out),
    }
}

/// Writes `{"t":..,"o":..,"d":..}`, with `"p"` and `"e"` where the publication has them.
pub fn encode_push(publication: &Publication, out: &mut Vec<u8>) {
    push(publication, false, out);
}

/// The same, with the attributes as `"h"`.
pub fn encode_push_with_headers(publication: &Publication, out: &mut Vec<u8>) {
    push(publication, true, out);
}

fn push(publication: &Publication, tells_headers: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"t\":");
    escape_into(out, publication.topic.as_str());
    out.push(b',');
    encode_offset_and_data(publication, tells_headers, out);
    out.push(b'}');
}

/// Writes a list of publications for an answer to `history`: each with all its attributes.
pub fn encode_messages<'a>(publications: impl Iterator<Item = &'a Publication>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, publication) in publications.enumerate() {
        comma(out, index);
        encode_kept(publication, out);
    }
    out.push(b']');
}

/// Writes a publication without its topic, with all its attributes.
pub fn encode_kept(publication: &Publication, out: &mut Vec<u8>) {
    out.push(b'{');
    encode_offset_and_data(publication, true, out);
    out.push(b'}');
}

/// Writes `"epoch":"..","offset":N`.
pub fn encode_position(position: Position, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"epoch\":\"");
    write!(out, "{}", position.epoch).expect("a vector takes all that is written");
    out.extend_from_slice(b"\",\"offset\":");
    number(out, position.offset);
}

/// Writes `"o":N,"d":ANY`: JSON as it is, other text as a string, binary as base64 in `"b"`.
fn encode_offset_and_data(publication: &Publication, tells_headers: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"o\":");
    number(out, publication.position.offset);
    if publication.extras.is_some() || !publication.is_next() {
        encode_extras(publication, tells_headers, out);
    }
    let payload = &*publication.payload;
    let is_json = match publication.kind {
        PayloadKind::Json => true,
        PayloadKind::Text => is_valid(payload),
        PayloadKind::Binary => {
            out.extend_from_slice(b",\"b\":\"");
            let start = out.len();
            let len = payload.len().div_ceil(3) * 4;
            out.resize(start + len, 0);
            BASE64.encode_slice(payload, &mut out[start..]).expect("base64 is four bytes for each three");
            out.push(b'"');
            return;
        }
    };
    out.extend_from_slice(b",\"d\":");
    if is_json {
        out.extend_from_slice(payload);
    } else {
        // The lossy conversion copies byte by byte; the check for valid UTF-8 is faster.
        match std::str::from_utf8(payload) {
            Ok(text) => escape_into(out, text),
            Err(_) => escape_into(out, &String::from_utf8_lossy(payload)),
        }
    }
}

/// Writes the optional fields: `,"p":N,"e":"..","h":{..}`.
#[cold]
fn encode_extras(publication: &Publication, tells_headers: bool, out: &mut Vec<u8>) {
    if !publication.is_next() {
        out.extend_from_slice(b",\"p\":");
        number(out, publication.prev);
    }
    if let Some(event) = publication.event() {
        out.extend_from_slice(b",\"e\":");
        escape_into(out, event);
    }
    let attributes = publication.extras.as_ref().map(|extras| &extras.attributes);
    if let Some(attributes) = attributes.filter(|attributes| tells_headers && !attributes.is_empty()) {
        out.extend_from_slice(b",\"h\":{");
        for (index, (name, value)) in attributes.iter().enumerate() {
            comma(out, index);
            escape_into(out, name);
            out.push(b':');
            escape_into(out, value);
        }
        out.push(b'}');
    }
}

/// Writes `,"readers":N,"joins":N,"leaves":N`.
pub fn encode_presence(presence: &Presence, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"readers\":");
    number(out, u64::from(presence.readers));
    out.extend_from_slice(b",\"joins\":");
    number(out, presence.joins);
    out.extend_from_slice(b",\"leaves\":");
    number(out, presence.leaves);
}

/// Writes the fields of the answer to an accepted publication.
pub fn encode_taken(taken: &Taken, out: &mut Vec<u8>) {
    encode_position(taken.position, out);
    if taken.is_duplicate {
        out.extend_from_slice(b",\"duplicate\":true");
    }
}

/// Writes the position of the topic, if the refusal has one.
fn encode_refusal_position(refusal: &Refusal, out: &mut Vec<u8>) {
    if let Some(position) = refusal.position {
        out.push(b',');
        encode_position(position, out);
    }
}

/// Writes a refusal as the body of an HTTP answer or as one line of it: `{"code","message"[,"epoch","offset"]}`.
pub fn encode_refusal(refusal: &Refusal, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"code\":");
    escape_into(out, refusal.code.as_str());
    out.extend_from_slice(b",\"message\":");
    escape_into(out, refusal.message);
    encode_refusal_position(refusal, out);
    out.extend_from_slice(b"}\n");
}

fn encode_joined(joined: &Joined, out: &mut Vec<u8>) {
    escape_into(out, joined.target.as_str());
    out.extend_from_slice(b":{");
    if let Some(position) = joined.position {
        encode_position(position, out);
        if let Some(recovered) = joined.recovered {
            let text = if recovered { ",\"recovered\":true" } else { ",\"recovered\":false" };
            out.extend_from_slice(text.as_bytes());
        }
    }
    out.push(b'}');
}

fn open(out: &mut Vec<u8>, op: &str, id: Option<&OperationId>) {
    out.extend_from_slice(b"{\"op\":\"");
    out.extend_from_slice(op.as_bytes());
    out.push(b'"');
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(id.as_json().as_bytes());
    }
}

fn comma(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::command::{Epoch, TopicName};

    pub fn push(kind: PayloadKind, payload: &[u8]) -> String {
        let publication = Publication {
            topic: TopicName::parse("px.\"A\"").expect("a valid name"),
            position: Position { epoch: Epoch(1), offset: 123 },
            prev: 122,
            kind,
            payload: payload.into(),
            key: None,
            origin: None,
            time: crate::time::MonoTime::ZERO,
            extras: None,
        };
        let mut out = Vec::new();
        encode_push(&publication, &mut out);
        String::from_utf8(out).expect("a push is text")
    }

    #[test]
    fn a_push_carries_json_as_it_is_text_as_a_string_and_binary_as_base64() {
        assert_eq!(push(PayloadKind::Text, b"{\"p\":1.50}"), r#"{"t":"px.\"A\"","o":123,"d":{"p":1.50}}"#);
        assert_eq!(push(PayloadKind::Json, b"[1]"), r#"{"t":"px.\"A\"","o":123,"d":[1]}"#);
        assert_eq!(push(PayloadKind::Text, b"hi \"you\"\n"), r#"{"t":"px.\"A\"","o":123,"d":"hi \"you\"\n"}"#);
        assert_eq!(push(PayloadKind::Text, b""), r#"{"t":"px.\"A\"","o":123,"d":""}"#);
        assert_eq!(push(PayloadKind::Binary, &[0, 255, 7]), r#"{"t":"px.\"A\"","o":123,"b":"AP8H"}"#);
        assert_eq!(push(PayloadKind::Binary, b""), r#"{"t":"px.\"A\"","o":123,"b":""}"#);
    }

    #[test]
    fn a_push_names_the_one_before_where_numbers_have_a_hole_and_what_few_publications_carry() {
        let pairs = [("x\"", "1\u{2028}")].map(|(name, value)| (name.into(), value.into()));
        let attributes = crate::command::Attributes::new(Some("text/csv"), pairs.into_iter()).expect("they are right");
        let event = Some("sold \"out\"".into());
        let extras = crate::command::Extras { event, attributes, ..Default::default() }.boxed();
        let publication = |prev, extras| Publication {
            topic: TopicName::parse("a").expect("a valid name"),
            position: Position { epoch: Epoch(1), offset: 9 },
            prev,
            kind: PayloadKind::Json,
            payload: (*b"1").into(),
            key: None,
            origin: None,
            time: crate::time::MonoTime::ZERO,
            extras,
        };
        let written = |publication: Publication, write: fn(&Publication, &mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&publication, &mut out);
            String::from_utf8(out).expect("a push is text")
        };
        assert_eq!(written(publication(8, None), encode_push_with_headers), r#"{"t":"a","o":9,"d":1}"#);
        assert_eq!(written(publication(5, None), encode_push), r#"{"t":"a","o":9,"p":5,"d":1}"#);
        let told = r#""o":9,"e":"sold \"out\"","d":1}"#;
        assert_eq!(written(publication(8, extras.clone()), encode_push), format!("{{\"t\":\"a\",{told}"));
        let told = "\"o\":9,\"p\":5,\"e\":\"sold \\\"out\\\"\",\"h\":{\"content-type\":\"text/csv\",\"x\\\"\":\"1\u{2028}\"},\"d\":1}";
        assert_eq!(written(publication(5, extras.clone()), encode_kept), format!("{{{told}"));
        assert_eq!(written(publication(5, extras), encode_push_with_headers), format!("{{\"t\":\"a\",{told}"));
    }
}
