//! JSON: any bytes as a text, an operation and a line; any text as a string and as a payload.
//!
//! Oracle: serde_json. It takes the same texts and reads the same values, with four differences that are meant: ours
//! stops at a depth, reads numbers of any size and halves of surrogate pairs, and refuses a field that is there twice.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fanwire::command::{Command, Epoch, Outbound, PayloadKind, Position, Publication, TopicName};
use fanwire::dialect::json;
use fanwire::limits::{JSON_DEPTH_MAX, JSON_FIELDS_MAX};
use fanwire::time::MonoTime;
use fanwire::wire::json::{JsonError, Scratch, Value, escape_into, is_valid, parse_object};
use serde_json::value::RawValue;

pub fn check(bytes: &[u8]) {
    check_text(bytes);
    check_object(bytes);
    check_operation(bytes);
    check_strings(bytes);
    check_push(bytes);
}

/// By the grammar alone: serde_json passes a raw value through as it is.
fn raw(bytes: &[u8]) -> Option<&str> {
    serde_json::from_slice::<&RawValue>(bytes).ok().map(RawValue::get)
}

/// How deep a valid text nests, and the commas of its outermost object or array.
fn shape(text: &str) -> (usize, usize) {
    let (mut depth, mut deepest, mut commas, mut is_in_string, mut is_escaped) = (0, 0, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_in_string,
            b'"' => is_in_string = !is_in_string,
            b'[' | b'{' if !is_in_string => depth += 1,
            b']' | b'}' if !is_in_string => depth -= 1,
            b',' if !is_in_string && depth == 1 => commas += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    (deepest, commas)
}

fn depth(text: &str) -> usize {
    shape(text).0
}

fn check_text(bytes: &[u8]) {
    let theirs = raw(bytes).is_some_and(|text| depth(text) <= JSON_DEPTH_MAX);
    assert_eq!(is_valid(bytes), theirs, "{}", bytes.escape_ascii());
}

fn check_object(bytes: &[u8]) {
    let mut scratch = Scratch::default();
    let theirs = raw(bytes);
    let object = match parse_object(&mut scratch, bytes) {
        Ok(object) => object,
        Err(broken) => {
            let object = theirs.filter(|text| text.starts_with('{'));
            let is_right = match broken.error {
                JsonError::Syntax | JsonError::NotUtf8 => theirs.is_none(),
                JsonError::NotAnObject => theirs.is_some() && object.is_none(),
                // A text that is no object is not read to its end, so that it may be no JSON behind that.
                JsonError::TooDeep => {
                    theirs.is_none_or(|text| depth(text) > JSON_DEPTH_MAX + usize::from(object.is_some()))
                }
                JsonError::TooManyFields => object.is_some(),
                JsonError::DuplicateField => object.is_some_and(|text| has_twice(text) != Some(false)),
            };
            assert!(is_right, "{}: {}", broken.error, bytes.escape_ascii());
            let _ = broken.object.members().count();
            return;
        }
    };
    let text = theirs.expect("what is taken is JSON");
    assert!(text.starts_with('{') && depth(text) <= JSON_DEPTH_MAX + 1 && has_twice(text) != Some(true));
    let fields: Vec<_> = object.members().map(|(name, value)| (name, tree(value))).collect();
    assert!(fields.len() <= JSON_FIELDS_MAX);
    let Ok(raws) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else { return };
    assert_eq!(fields.len(), raws.len());
    for (name, value) in fields {
        let name = name.expect("serde_json read it as text");
        let theirs = raws[&*name].get();
        assert_eq!(object.raw(&name), Some(theirs));
        assert_eq!(object.count(&name), 1);
        // Of numbers past a double and of half surrogate pairs serde_json makes no value.
        if let Ok(theirs) = serde_json::from_str::<serde_json::Value>(theirs) {
            assert_eq!(doubles(value.expect("a text where serde_json reads one")), doubles(theirs), "{name}");
        }
    }
}

/// Whether two fields of an object have one name: serde_json keeps the last of them. `None` where it reads no names.
fn has_twice(text: &str) -> Option<bool> {
    let names = serde_json::from_str::<BTreeMap<String, &RawValue>>(text).ok()?;
    Some(!names.is_empty() && names.len() < shape(text).1 + 1)
}

/// A value as serde_json has it; `None` where half of a surrogate pair stands in it.
fn tree(value: Value<'_>) -> Option<serde_json::Value> {
    Some(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => value.into(),
        Value::Unsigned(value) => value.into(),
        Value::Number(value) => value.into(),
        Value::String(text) => text.into(),
        Value::NotText => return None,
        Value::Array(elements) => elements.map(tree).collect::<Option<_>>()?,
        Value::Object(members) => {
            let member = |(name, value): (Option<Cow<'_, str>>, _)| Some((name?.into_owned(), tree(value)?));
            serde_json::Value::Object(members.map(member).collect::<Option<_>>()?)
        }
    })
}

/// Numbers that are no counts as doubles of twelve digits: serde_json reads some a little beside the nearest one, and
/// keeps the sign of a zero.
fn doubles(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Number(number) if number.as_f64() == Some(0.0) => 0.into(),
        serde_json::Value::Number(number) if number.as_u64().is_none() => {
            number.as_f64().map(|number| format!("{number:.12e}")).into()
        }
        serde_json::Value::Array(elements) => elements.into_iter().map(doubles).collect(),
        serde_json::Value::Object(members) => members.into_iter().map(|(name, value)| (name, doubles(value))).collect(),
        other => other,
    }
}

fn check_operation(bytes: &[u8]) {
    let mut scratch = Scratch::default();
    let fields = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let field = |name: &str| fields.as_ref().and_then(|fields| fields.get(name));
    match json::decode(&mut scratch, bytes) {
        Ok(command) => {
            assert!(raw(bytes).is_some());
            let op = match &command {
                Command::Subscribe(_) => "sub",
                Command::Unsubscribe { .. } => "unsub",
                Command::Publish(_) => "pub",
                Command::History { .. } => "history",
                Command::Ping { .. } => "ping",
                _ => panic!("no operation gives {command:?}"),
            };
            assert!(fields.is_none() || field("op").and_then(|op| op.as_str()) == Some(op));
            if let Command::Publish(publish) = &command {
                assert!(is_valid(publish.payload));
                let topic = field("topic").map(|topic| topic.as_str());
                assert!(topic.is_none_or(|topic| topic == Some(&*publish.topic)));
                if let Ok(raws) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(bytes) {
                    assert_eq!(raws["data"].get().as_bytes(), publish.payload);
                }
            }
        }
        Err(refused) => {
            let mut out = Vec::new();
            json::encode(&Outbound::Refused { id: refused.id.as_ref(), refusal: refused.refusal }, &mut out);
            let reply: serde_json::Value = serde_json::from_slice(&out).expect("a reply is JSON");
            assert_eq!(reply["op"], "err");
            // Echoed as it came, where serde_json can read it.
            if let (Some(id), Some(_)) = (field("id"), &refused.id) {
                assert_eq!(doubles(reply["id"].clone()), doubles(id.clone()));
            }
        }
    }
    if let Ok(publish) = json::decode_line(&mut Scratch::default(), bytes) {
        assert!(raw(bytes).is_some() && is_valid(publish.payload));
    }
}

fn check_strings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut escaped = Vec::new();
    escape_into(&mut escaped, &text);
    assert_eq!(serde_json::from_slice::<String>(&escaped).ok().as_deref(), Some(&*text));
    let object = [b"{\"a\":", &escaped[..], b"}"].concat();
    let mut scratch = Scratch::default();
    let object = parse_object(&mut scratch, &object).expect("an object of one string");
    assert_eq!(object.get("a").as_ref().and_then(Value::as_str), Some(&*text));
}

fn check_push(bytes: &[u8]) {
    for kind in [PayloadKind::Text, PayloadKind::Binary, PayloadKind::Json] {
        let is_possible = match kind {
            PayloadKind::Json => is_valid(bytes),
            kind => kind.allows(bytes),
        };
        if !is_possible {
            continue;
        }
        let publication = Publication {
            topic: TopicName::parse("px.\"\\A").expect("a valid name"),
            position: Position { epoch: Epoch(1), offset: u64::MAX },
            prev: 1,
            kind,
            payload: bytes.into(),
            key: None,
            origin: None,
            time: MonoTime::ZERO,
            extras: None,
        };
        let mut out = Vec::new();
        json::encode_push(&publication, &mut out);
        assert!(is_valid(&out) || depth(raw(&out).expect("a push is JSON")) == JSON_DEPTH_MAX + 1);
        let push: BTreeMap<String, &RawValue> = serde_json::from_slice(&out).expect("a push is an object");
        assert_eq!((push["t"].get(), push["o"].get()), (r#""px.\"\\A""#, "18446744073709551615"));
        match push.get("d") {
            None => {
                let text: String = serde_json::from_str(push["b"].get()).expect("a string");
                assert_eq!(BASE64.decode(text).as_deref(), Ok(bytes));
            }
            Some(data) if is_valid(bytes) => assert_eq!(Some(data.get()), raw(bytes)),
            Some(data) => {
                let text: String = serde_json::from_str(data.get()).expect("a string");
                assert_eq!(text.as_bytes(), bytes);
            }
        }
    }
}
