//! The JSON dialect: one object a message, subprotocol `fanwire.json.v1`. docs/PROTOCOL.md is its reference.

mod encode;

pub use encode::{
    encode, encode_kept, encode_messages, encode_position, encode_presence, encode_push, encode_push_with_headers,
    encode_refusal, encode_taken,
};

use std::borrow::Cow;

use crate::command::{
    Attributes, Command, Condition, ErrorCode, Extras, HistoryQuery, OperationId, PayloadKind, Policy, Position,
    Publish, Refusal, Subscribe, Target, TopicName, is_event, is_message_id, parse_age, parse_rate,
};
use crate::limits::{ATTRIBUTES_MAX, KEY_LEN_MAX, TOPICS_PER_OPERATION_MAX};
use crate::wire::json::{JsonError, Object, Scratch, Value, parse_object};

/// The subprotocol's name.
pub const SUBPROTOCOL: &str = "fanwire.json.v1";

/// An operation that cannot be carried out, with its id if one could be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The id, to be echoed.
    pub id: Option<OperationId>,
    /// The reason.
    pub refusal: Refusal,
}

/// Reads one operation. Unknown fields are ignored.
///
/// # Errors
/// [`Refused`], to be sent to the peer; the connection goes on.
pub fn decode<'a>(scratch: &'a mut Scratch, text: &'a [u8]) -> Result<Command<'a>, Refused> {
    let object = parse_object(scratch, text).map_err(|broken| {
        // With two ids it is not clear which one is meant.
        let is_clear = broken.object.count("id") == 1;
        let id = if is_clear { decode_id(&broken.object).unwrap_or_default() } else { None };
        Refused { id, refusal: refusal_of(broken.error, "a message is one JSON object") }
    })?;
    let id = decode_id(&object).map_err(|refusal| Refused { id: None, refusal })?;
    decode_operation(&object, id.clone()).map_err(|refusal| Refused { id, refusal })
}

fn decode_id(object: &Object<'_>) -> Result<Option<OperationId>, Refusal> {
    match object.raw("id") {
        None | Some("null") => Ok(None),
        Some(id) if id.starts_with(['[', '{', 't', 'f']) => Err(bad_request("an id is a number or a string")),
        Some(id) => OperationId::new(id).map(Some).ok_or(bad_request("an id has at most 128 bytes")),
    }
}

fn refusal_of(error: JsonError, not_an_object: &'static str) -> Refusal {
    bad_request(match error {
        JsonError::Syntax | JsonError::NotAnObject => not_an_object,
        JsonError::NotUtf8 | JsonError::TooDeep | JsonError::TooManyFields | JsonError::DuplicateField => {
            error.message()
        }
    })
}

fn decode_operation<'a>(object: &Object<'a>, id: Option<OperationId>) -> Result<Command<'a>, Refusal> {
    let op = object.get("op").ok_or(bad_request("an operation has an op"))?;
    match op.as_str() {
        Some("sub") => Ok(Command::Subscribe(decode_subscribe(object, id)?)),
        Some("unsub") => Ok(Command::Unsubscribe { id, targets: decode_targets(object)? }),
        Some("pub") => {
            let known = 1 + usize::from(id.is_some());
            Ok(Command::Publish(decode_publish(object, id, known)?))
        }
        Some("history") => Ok(Command::History {
            id,
            topic: TopicName::parse(&decode_topic(object)?).map_err(|_| BAD_TOPIC)?,
            query: decode_query(object)?,
        }),
        Some("ping") => Ok(Command::Ping { id }),
        Some("token") => Err(bad_request("tokens are not in use on this gateway")),
        _ => Err(bad_request("op is one of sub, unsub, pub, history, token, ping")),
    }
}

fn decode_query(object: &Object<'_>) -> Result<HistoryQuery, Refusal> {
    Ok(HistoryQuery {
        since: match object.get("since") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(decode_position(&text)?),
            Some(_) => return Err(bad_request("since is EPOCH-OFFSET")),
        },
        limit: match object.get("limit") {
            None | Some(Value::Null) => u32::MAX,
            Some(_) => decode_limit(object.raw("limit").unwrap_or_default())?,
        },
        newest_first: match object.get("order") {
            None | Some(Value::Null) => false,
            Some(order) => match order.as_str() {
                Some("oldest") => false,
                Some("newest") => true,
                _ => return Err(bad_request("order is oldest or newest")),
            },
        },
    })
}

/// Reads a limit in digits. A number that does not fit means no limit.
fn decode_limit(digits: &str) -> Result<u32, Refusal> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u32::MAX)).ok_or(bad_request("limit is a number of publications"))
}

fn decode_subscribe(object: &Object<'_>, id: Option<OperationId>) -> Result<Subscribe, Refusal> {
    let targets = decode_targets(object)?;
    let mut since = Vec::new();
    match object.get("since") {
        None | Some(Value::Null) => {}
        Some(Value::Object(positions)) => {
            for (topic, position) in positions {
                let Value::String(position) = position else { return Err(bad_request("since is EPOCH-OFFSET")) };
                let topic = topic.as_deref().map(TopicName::parse);
                since.push((topic.and_then(Result::ok).ok_or(BAD_TOPIC)?, decode_position(&position)?));
                if since.len() > TOPICS_PER_OPERATION_MAX {
                    return Err(TOO_MANY_TOPICS);
                }
            }
        }
        Some(_) => return Err(bad_request("since is an object of positions by topic")),
    }
    let last = decode_bool(object, "last", "last is true or false")?.unwrap_or(true);
    let policy = decode_policy(object)?;
    let presence = decode_bool(object, "presence", "presence is true or false")?.unwrap_or(false);
    let headers = decode_bool(object, "headers", "headers is true or false")?;
    if presence && targets.iter().any(|target| matches!(target, Target::Pattern(_))) {
        return Err(bad_request("presence is told of topics, not of patterns"));
    }
    Ok(Subscribe { id, targets, since, last, policy, presence, headers })
}

fn decode_bool(object: &Object<'_>, name: &str, wrong: &'static str) -> Result<Option<bool>, Refusal> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(value)),
        Some(_) => Err(bad_request(wrong)),
    }
}

fn decode_policy(object: &Object<'_>) -> Result<Option<Policy>, Refusal> {
    let mode = match object.get("mode") {
        None | Some(Value::Null) => None,
        Some(Value::String(mode)) => Some(mode.parse().map_err(|()| bad_request(MODES))?),
        Some(_) => return Err(bad_request(MODES)),
    };
    let max_rate = match object.get("max_rate") {
        None | Some(Value::Null) => None,
        Some(Value::Unsigned(rate)) => Some(parse_rate(rate as f64).map_err(bad_request)?),
        Some(Value::Number(rate)) => Some(parse_rate(rate).map_err(bad_request)?),
        Some(_) => return Err(bad_request("max_rate is messages a second")),
    };
    let max_age_ms = match object.get("max_age_ms") {
        None | Some(Value::Null) => None,
        Some(Value::Unsigned(millis)) => Some(parse_age(millis).map_err(bad_request)?),
        Some(_) => return Err(bad_request("max_age_ms is whole milliseconds")),
    };
    let is_asked = mode.is_some() || max_rate.is_some() || max_age_ms.is_some();
    let policy = Policy { mode, max_rate: max_rate.flatten(), max_age_ms: max_age_ms.flatten() };
    Ok(is_asked.then_some(policy))
}

/// Reads a publication; `known` is the number of fields that the caller has read already.
fn decode_publish<'a>(object: &Object<'a>, id: Option<OperationId>, known: usize) -> Result<Publish<'a>, Refusal> {
    let topic = decode_topic(object)?;
    let payload = object.raw("data").ok_or(bad_request("a publication has data"))?.as_bytes();
    let (kind, known) = (PayloadKind::Json, known + 2);
    if object.len() == known {
        let (key, message_id, condition, extras) = (None, None, None, None);
        return Ok(Publish { id, topic, kind, payload, key, message_id, condition, extras, echo: true });
    }
    let key = match object.get("key") {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) if key.len() <= KEY_LEN_MAX => Some(key).filter(|key| !key.is_empty()),
        Some(_) => return Err(bad_request("a key is a string of at most 255 bytes")),
    };
    let message_id = match object.get("message_id") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) if is_message_id(&id) => Some(id),
        Some(_) => return Err(bad_request(MESSAGE_ID)),
    };
    let condition = decode_condition(object)?;
    let extras = decode_extras(object)?.boxed();
    let echo = decode_bool(object, "echo", "echo is true or false")?.unwrap_or(true);
    Ok(Publish { id, topic, kind, payload, key, message_id, condition, extras, echo })
}

fn decode_extras(object: &Object<'_>) -> Result<Extras, Refusal> {
    let event = match object.get("event") {
        None | Some(Value::Null) => None,
        Some(Value::String(event)) if is_event(&event) => Some(event.into()),
        Some(_) => return Err(bad_request(EVENT)),
    };
    let attributes = match object.get("headers") {
        None | Some(Value::Null) => Attributes::default(),
        Some(Value::Object(members)) => {
            let pairs: Option<Vec<_>> = members
                .take(ATTRIBUTES_MAX + 2)
                .map(|(name, value)| match value {
                    Value::String(value) => name.map(|name| (name, value)),
                    _ => None,
                })
                .collect();
            Attributes::new(None, pairs.ok_or(bad_request(HEADERS))?.into_iter())?
        }
        Some(_) => return Err(bad_request(HEADERS)),
    };
    let is_passing = !decode_bool(object, "last", "last is true or false")?.unwrap_or(true);
    Ok(Extras { event, attributes, is_passing, except: None })
}

fn decode_condition(object: &Object<'_>) -> Result<Option<Condition>, Refusal> {
    let at = match object.get("if_match") {
        None | Some(Value::Null) => None,
        Some(Value::String(position)) => Some(Condition::At(decode_position(&position)?)),
        Some(_) => return Err(bad_request("if_match is EPOCH-OFFSET")),
    };
    match object.get("if_none_match") {
        None | Some(Value::Null) => Ok(at),
        Some(Value::String(any)) if any == "*" && at.is_none() => Ok(Some(Condition::Nothing)),
        Some(_) => Err(bad_request("if_none_match is \"*\", without if_match")),
    }
}

/// Reads one line of `POST /publish`: a `pub` without its `op`. The connection receives no publications, so `echo`
/// has no effect.
///
/// # Errors
/// The reason why the line is refused.
pub fn decode_line<'a>(scratch: &'a mut Scratch, line: &'a [u8]) -> Result<Publish<'a>, Refusal> {
    let object = parse_object(scratch, line).map_err(|broken| refusal_of(broken.error, "a line is one JSON object"))?;
    decode_publish(&object, None, 0).map(|publish| Publish { echo: true, ..publish })
}

fn decode_topic<'a>(object: &Object<'a>) -> Result<Cow<'a, str>, Refusal> {
    match object.get("topic") {
        Some(Value::String(topic)) if TopicName::is_valid(&topic) => Ok(topic),
        Some(Value::String(_) | Value::NotText) => Err(BAD_TOPIC),
        _ => Err(bad_request("topic is a string")),
    }
}

fn decode_targets(object: &Object<'_>) -> Result<Vec<Target>, Refusal> {
    let Some(Value::Array(topics)) = object.get("topics") else {
        return Err(bad_request("topics is a list of topics and patterns"));
    };
    let mut targets = Vec::new();
    for topic in topics {
        let topic = match topic {
            Value::String(topic) => topic,
            Value::NotText => return Err(BAD_TOPIC),
            _ => return Err(bad_request("a topic is a string")),
        };
        if targets.len() == TOPICS_PER_OPERATION_MAX {
            return Err(TOO_MANY_TOPICS);
        }
        targets.push(Target::parse(&topic).map_err(|_| BAD_TOPIC)?);
    }
    if targets.is_empty() {
        return Err(bad_request("topics names at least one"));
    }
    targets.sort_unstable();
    targets.dedup();
    Ok(targets)
}

fn decode_position(text: &str) -> Result<Position, Refusal> {
    text.parse().map_err(|_| bad_request("a position is EPOCH-OFFSET"))
}

const fn bad_request(message: &'static str) -> Refusal {
    Refusal::new(ErrorCode::BadRequest, message)
}

const BAD_TOPIC: Refusal = Refusal::new(
    ErrorCode::BadTopic,
    "a topic is 1 to 255 bytes: tokens of visible characters but '.', '*', '>' and space, joined by dots",
);
const TOO_MANY_TOPICS: Refusal = Refusal::new(ErrorCode::TooManyTopics, "an operation names at most 1024 topics");
const MESSAGE_ID: &str = "a message_id is a string of 1 to 255 visible ASCII characters";
const EVENT: &str = "an event is a string of 1 to 255 bytes without control characters";
const HEADERS: &str = "headers is an object of names and strings";
const MODES: &str = "mode is queue, drop_oldest or latest";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Epoch;

    fn check_refused(text: &str, code: ErrorCode, id: Option<&str>) {
        let mut scratch = Scratch::default();
        let refused = decode(&mut scratch, text.as_bytes()).expect_err(text);
        assert_eq!(refused.refusal.code, code, "{text}");
        assert_eq!(refused.id.as_ref().map(OperationId::as_json), id, "{text}");
    }

    #[test]
    fn every_operation_of_the_protocol_page_is_read() {
        let mut scratch = Scratch::default();
        let text = br#"{"op":"sub","topics":["px.*","a"],"since":{"a":"1f-2"},"last":false,"mode":"queue","id":1}"#;
        let Ok(Command::Subscribe(subscribe)) = decode(&mut scratch, text) else { panic!("a subscription") };
        assert_eq!(subscribe.id, OperationId::new("1"));
        assert_eq!(subscribe.targets.iter().map(Target::as_str).collect::<Vec<_>>(), ["a", "px.*"]);
        assert_eq!(subscribe.since[0].1, Position { epoch: Epoch(0x1f), offset: 2 });
        assert!(!subscribe.last);
        let text = br#"{ "op" : "pub", "topic":"a", "data" : {"x": 1.50 }, "key":"k\n", "id":"q" }"#;
        let Ok(Command::Publish(publish)) = decode(&mut scratch, text) else { panic!("a publication") };
        assert_eq!((&*publish.topic, publish.payload), ("a", &br#"{"x": 1.50 }"#[..]));
        assert_eq!(publish.key.as_deref(), Some("k\n"));
        let text = br#"{"op":"history","topic":"a","since":"1-2","limit":5}"#;
        assert!(matches!(
            decode(&mut scratch, text),
            Ok(Command::History { query: HistoryQuery { limit: 5, .. }, .. })
        ));
        assert!(matches!(decode(&mut scratch, br#"{"op":"ping"}"#), Ok(Command::Ping { id: None })));
        assert!(matches!(decode(&mut scratch, br#"{"op":"unsub","topics":["a"]}"#), Ok(Command::Unsubscribe { .. })));
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused_with_its_code_and_id() {
        let too_many = format!(r#"{{"op":"sub","topics":[{}"a"]}}"#, r#""a","#.repeat(TOPICS_PER_OPERATION_MAX));
        for (text, code, id) in [
            ("", ErrorCode::BadRequest, None),
            ("[]", ErrorCode::BadRequest, None),
            ("{\"op\":\"sub\"", ErrorCode::BadRequest, None),
            (r#"{"op":"sub","id":7}"#, ErrorCode::BadRequest, Some("7")),
            (r#"{"op":"sub","topics":[],"id":7}"#, ErrorCode::BadRequest, Some("7")),
            (r#"{"op":"sub","topics":["a b"],"id":"x"}"#, ErrorCode::BadTopic, Some("\"x\"")),
            (r#"{"op":"sub","topics":[1]}"#, ErrorCode::BadRequest, None),
            (r#"{"op":"sub","topics":["a"],"since":{"a":"zz"}}"#, ErrorCode::BadRequest, None),
            (r#"{"op":"sub","topics":["a"],"mode":"fast"}"#, ErrorCode::BadRequest, None),
            (r#"{"op":"pub","topic":"a.*","data":1}"#, ErrorCode::BadTopic, None),
            (r#"{"op":"pub","topic":"a"}"#, ErrorCode::BadRequest, None),
            (r#"{"op":"dance","id":[1]}"#, ErrorCode::BadRequest, None),
            (r#"{"op":"dance","id":1}"#, ErrorCode::BadRequest, Some("1")),
            (&too_many, ErrorCode::TooManyTopics, None),
        ] {
            check_refused(text, code, id);
        }
        let long = format!(r#"{{"op":"ping","id":"{}"}}"#, "x".repeat(200));
        check_refused(&long, ErrorCode::BadRequest, None);
    }

    #[test]
    fn an_id_is_echoed_wherever_it_can_be_read_and_the_message_names_what_is_wrong() {
        let many: String = (0..64).map(|index| format!("\"{index}\":0,")).collect();
        let deep = "[".repeat(101) + &"]".repeat(101);
        for (text, message) in [
            (r#"{"op":"sub","topics":["a\ud800"],"id":7}"#.to_owned(), BAD_TOPIC.message),
            (r#"{"op":"pub","topic":"\udc00","data":1,"id":7}"#.to_owned(), BAD_TOPIC.message),
            (r#"{"op":"sub","topics":["a"],"since":{"\ud800":"1-1"},"id":7}"#.to_owned(), BAD_TOPIC.message),
            (r#"{"op":"pub","topic":"a","data":1,"key":"\ud800","id":7}"#.to_owned(), "a key is a string of"),
            (r#"{"op":"\ud800","id":7}"#.to_owned(), "op is one of"),
            (r#"{"op":"sub","topics":["a"],"max_rate":1e400,"id":7}"#.to_owned(), "max_rate"),
            (format!(r#"{{"op":"pub","topic":"a","data":{deep},"id":7}}"#), "the JSON nests deeper than 100 levels"),
            (format!(r#"{{"op":"ping",{many}"id":7}}"#), "the JSON object has more than 64 fields"),
            (r#"{"op":"ping","x":1,"\u0078":2,"id":7}"#.to_owned(), "the JSON object has a field twice"),
            (r#"{"id":7,"op":"ping","#.to_owned(), "a message is one JSON object"),
        ] {
            let mut scratch = Scratch::default();
            let refused = decode(&mut scratch, text.as_bytes()).expect_err(&text);
            assert!(refused.refusal.message.starts_with(message), "{text}: {}", refused.refusal.message);
            assert_eq!(refused.id.as_ref().map(OperationId::as_json), Some("7"), "{text}");
        }
        check_refused(r#"{"op":"ping","id":1,"id":2}"#, ErrorCode::BadRequest, None);
    }

    #[test]
    fn data_is_json_on_every_way_by_one_grammar() {
        let (deep, deeper) = ("[".repeat(100) + &"]".repeat(100), "[".repeat(101) + &"]".repeat(101));
        let fields: String = (0..1000).map(|index| format!("\"a{index}\":0,")).collect();
        for (data, is_json) in [
            (r#"{"text":"cut \ud83d"}"#, true),
            ("1e400", true),
            ("-123456789012345678901234567890.5", true),
            (r#"{"a":1,"a":2}"#, true),
            (&deep, true),
            (&deeper, false),
            (&format!("{{{fields}\"z\":0}}"), true),
            ("01", false),
            ("NaN", false),
            ("\"\\x\"", false),
        ] {
            let mut scratch = Scratch::default();
            let line = format!(r#"{{"topic":"a","data":{data}}}"#);
            assert_eq!(decode_line(&mut scratch, line.as_bytes()).is_ok(), is_json, "{data:.40}");
            let operation = format!(r#"{{"op":"pub","topic":"a","data":{data}}}"#);
            assert_eq!(decode(&mut scratch, operation.as_bytes()).is_ok(), is_json, "{data:.40}");
            let pushed = super::encode::tests::push(PayloadKind::Text, data.as_bytes());
            assert_eq!(pushed.ends_with(&format!("\"d\":{data}}}")), is_json, "{data:.40}");
        }
    }

    #[test]
    fn a_limit_past_what_can_be_counted_is_all_there_is() {
        let limit = |limit: &str| {
            let text = format!(r#"{{"op":"history","topic":"a","limit":{limit}}}"#);
            match decode(&mut Scratch::default(), text.as_bytes()) {
                Ok(Command::History { query, .. }) => Some(query.limit),
                _ => None,
            }
        };
        for all in ["null", "4294967295", "99999999999", "99999999999999999999999"] {
            assert_eq!(limit(all), Some(u32::MAX), "{all}");
        }
        assert_eq!(limit("5"), Some(5));
        for bad in ["-1", "1.5", "1e3", "\"5\"", "true"] {
            assert_eq!(limit(bad), None, "{bad}");
        }
    }
}
