//! The reader's side of the JSON dialect: which operations to send, what each object of the server means, and where
//! each topic stands, so that another connection can go on there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::cli::publisher::json_string;
use crate::cli::server_url::path_segment;
use crate::command::{Epoch, Position, Target};
use crate::limits::TOPICS_PER_OPERATION_MAX;

/// The topics followed, and the last position of each.
#[derive(Debug)]
pub(super) struct Session {
    /// As asked for; `None` for patterns, whose topics have no known epoch.
    targets: BTreeMap<String, Option<Followed>>,
    last: bool,
    /// Whether attributes are wanted.
    headers: bool,
}

/// How far one topic was read.
#[derive(Clone, Copy, Debug, Default)]
struct Followed {
    /// Behind which message to go on.
    position: Option<Position>,
    /// Whether the position is a message that was read, rather than where the topic stood on joining.
    was_read: bool,
    /// Whether the server answered on this connection, so that the epoch holds for what comes.
    is_joined: bool,
}

/// The meaning of one object from the server.
#[derive(Debug)]
pub(super) enum Event<'a> {
    Push(Push<'a>),
    Joined { not_recovered: Vec<String> },
    Gap { topic: String, skipped: u64 },
    Bye { retry_ms: u64 },
    Refused { code: String, message: String },
    Nothing,
}

/// One message.
#[derive(Debug)]
pub(super) struct Push<'a> {
    topic: Cow<'a, str>,
    offset: u64,
    event: Option<Cow<'a, str>>,
    /// Attributes, as they stand on the wire.
    headers: Option<&'a str>,
    payload: Payload<'a>,
}

#[derive(Debug)]
enum Payload<'a> {
    Json(&'a str),
    Text { json: &'a str, text: String },
    Binary { base64: Cow<'a, str>, bytes: Vec<u8> },
}

/// Any object of the server, as it stands on the wire.
#[derive(Deserialize)]
struct Object<'a> {
    op: Option<Cow<'a, str>>,
    #[serde(borrow)]
    t: Option<Cow<'a, str>>,
    o: Option<u64>,
    #[serde(borrow)]
    e: Option<Cow<'a, str>>,
    #[serde(borrow)]
    h: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    d: Option<&'a RawValue>,
    #[serde(borrow)]
    b: Option<Cow<'a, str>>,
    topics: Option<BTreeMap<String, Option<JoinedTopic>>>,
    code: Option<String>,
    message: Option<String>,
    skipped: Option<u64>,
    retry_ms: Option<u64>,
}

#[derive(Deserialize)]
struct JoinedTopic {
    epoch: Option<String>,
    offset: Option<u64>,
    recovered: Option<bool>,
}

/// `null` is a value too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Session {
    /// Follows nothing yet. `last`: whether last values are wanted on joining; `headers`: whether attributes are.
    pub(super) fn new(last: bool, headers: bool) -> Self {
        Self { targets: BTreeMap::new(), last, headers }
    }

    /// Follows one more topic or pattern.
    pub(super) fn add(&mut self, target: Target) {
        let followed = matches!(target, Target::Topic(_)).then(Followed::default);
        self.targets.insert(target.as_str().to_owned(), followed);
    }

    /// Begins behind `position`, if exactly one topic is followed.
    pub(super) fn begin_behind(&mut self, position: Position) -> bool {
        let is_one = self.targets.len() == 1;
        match self.targets.values_mut().next() {
            Some(Some(followed)) if is_one => {
                *followed = Followed { position: Some(position), was_read: true, is_joined: false };
                true
            }
            _ => false,
        }
    }

    /// The operations that a new connection begins with.
    pub(super) fn operations(&mut self) -> Vec<String> {
        self.targets.values_mut().flatten().for_each(|followed| followed.is_joined = false);
        let targets: Vec<_> = self.targets.iter().collect();
        let operation = |chunk: &[(&String, &Option<Followed>)]| {
            let topics: Vec<_> = chunk.iter().map(|(topic, _)| json_string(topic)).collect();
            let since: Vec<_> = chunk
                .iter()
                .filter_map(|(topic, followed)| Some((topic, followed.as_ref()?.position?)))
                .map(|(topic, position)| format!("{}:\"{position}\"", json_string(topic)))
                .collect();
            let (topics, since, last) = (topics.join(","), since.join(","), self.last);
            let headers = if self.headers { ",\"headers\":true" } else { "" };
            format!("{{\"op\":\"sub\",\"topics\":[{topics}],\"since\":{{{since}}},\"last\":{last}{headers},\"id\":1}}")
        };
        targets.chunks(TOPICS_PER_OPERATION_MAX).map(operation).collect()
    }

    /// The same for a request over HTTP: the topics that are named in it, and its query.
    pub(super) fn query(&mut self) -> (Vec<String>, String) {
        self.targets.values_mut().flatten().for_each(|followed| followed.is_joined = false);
        let targets: Vec<_> = self.targets.keys().map(|target| format!("topic={}", path_segment(target))).collect();
        let named = || self.targets.iter().filter_map(|(topic, followed)| Some((topic, followed.as_ref()?)));
        let positions: Option<Vec<_>> = named().map(|(_, followed)| Some(followed.position?.to_string())).collect();
        let last = if self.last { "" } else { "&last=0" };
        let headers = if self.headers { "&headers=1" } else { "" };
        let since = positions.filter(|positions| !positions.is_empty());
        let since = since.map(|positions| format!("&since={}", positions.join(","))).unwrap_or_default();
        (named().map(|(topic, _)| topic.clone()).collect(), format!("{}{last}{headers}{since}", targets.join("&")))
    }

    /// The meaning of one object from the server.
    ///
    /// # Errors
    /// It is no object of the dialect.
    pub(super) fn receive<'a>(&mut self, text: &'a str) -> Result<Event<'a>, String> {
        let object: Object<'a> =
            serde_json::from_str(text).map_err(|error| format!("the server's message is not understood: {error}"))?;
        Ok(match object.op.as_deref() {
            None => self.push(object)?,
            Some("ok") => Event::Joined { not_recovered: self.joined(object.topics.unwrap_or_default()) },
            Some("gap") => {
                Event::Gap { topic: object.t.unwrap_or_default().into_owned(), skipped: object.skipped.unwrap_or(0) }
            }
            Some("bye") => Event::Bye { retry_ms: object.retry_ms.unwrap_or(1000) },
            Some("err") => Event::Refused {
                code: object.code.unwrap_or_else(|| "error".to_owned()),
                message: object.message.unwrap_or_else(|| "no reason given".to_owned()),
            },
            Some(_) => Event::Nothing,
        })
    }

    fn push<'a>(&mut self, object: Object<'a>) -> Result<Event<'a>, String> {
        let (Some(topic), Some(offset)) = (object.t, object.o) else {
            return Err("the server sent an object that is no message".to_owned());
        };
        let payload = match (object.d, object.b) {
            (Some(data), _) => match serde_json::from_str::<String>(data.get()) {
                Ok(text) => Payload::Text { json: data.get(), text },
                Err(_) => Payload::Json(data.get()),
            },
            (None, Some(base64)) => {
                let bytes = STANDARD.decode(base64.as_bytes()).map_err(|_| "the server sent bad base64".to_owned())?;
                Payload::Binary { base64, bytes }
            }
            (None, None) => return Err("the server sent a message without a payload".to_owned()),
        };
        if let Some(Some(Followed { position: Some(position), was_read, is_joined: true })) =
            self.targets.get_mut(topic.as_ref())
        {
            if *was_read && offset <= position.offset {
                return Ok(Event::Nothing);
            }
            // A last value may be older than where the topic stands; behind it the reader is there, one further.
            let is_older = offset <= position.offset;
            (position.offset, *was_read) = (if is_older { position.offset + 1 } else { offset }, true);
        }
        let headers = object.h.map(RawValue::get);
        Ok(Event::Push(Push { topic, offset, event: object.e, headers, payload }))
    }

    /// Notes where each topic stands; gives back those that missed something.
    fn joined(&mut self, topics: BTreeMap<String, Option<JoinedTopic>>) -> Vec<String> {
        let mut not_recovered = Vec::new();
        for (topic, joined) in topics {
            let (Some(Some(followed)), Some(joined)) = (self.targets.get_mut(&topic), joined) else { continue };
            let epoch = joined.epoch.and_then(|epoch| u64::from_str_radix(&epoch, 16).ok()).map(Epoch);
            let (Some(epoch), Some(offset)) = (epoch, joined.offset) else { continue };
            let goes_on = followed.was_read && followed.position.is_some_and(|position| position.epoch == epoch);
            if !goes_on {
                // The last value may still be on its way: until it is read, it is not behind us.
                let offset = if self.last { offset.saturating_sub(1) } else { offset };
                *followed = Followed { position: Some(Position { epoch, offset }), was_read: false, is_joined: true };
            }
            followed.is_joined = true;
            if joined.recovered == Some(false) {
                not_recovered.push(topic);
            }
        }
        not_recovered
    }
}

impl Push<'_> {
    /// The payload as a line: JSON in one line, text and binary as they are; behind the topic, if `names_topic`.
    pub(super) fn as_payload(&self, names_topic: bool) -> Vec<u8> {
        let mut line = if names_topic { format!("{} ", self.topic).into_bytes() } else { Vec::new() };
        match &self.payload {
            Payload::Json(json) => line.extend_from_slice(in_one_line(json).as_bytes()),
            Payload::Text { text, .. } => line.extend_from_slice(text.as_bytes()),
            Payload::Binary { bytes, .. } => line.extend_from_slice(bytes),
        }
        line.push(b'\n');
        line
    }

    /// An object with topic, offset, time, event and attributes if it has them, and data as a line.
    pub(super) fn as_json(&self, time_ms: u64) -> Vec<u8> {
        let (name, value) = match &self.payload {
            Payload::Json(json) => ("data", in_one_line(json)),
            Payload::Text { json, .. } => ("data", Cow::Borrowed(*json)),
            Payload::Binary { base64, .. } => ("b64", Cow::Owned(json_string(base64))),
        };
        let (topic, offset) = (json_string(&self.topic), self.offset);
        let event = self.event.as_deref().map(|event| format!(",\"event\":{}", json_string(event))).unwrap_or_default();
        let headers = self.headers.map(|headers| format!(",\"headers\":{headers}")).unwrap_or_default();
        let fields = format!("\"topic\":{topic},\"offset\":{offset},\"time\":{time_ms}{event}{headers}");
        format!("{{{fields},\"{name}\":{value}}}\n").into_bytes()
    }
}

/// JSON without line feeds, which can only stand between its tokens.
fn in_one_line(json: &str) -> Cow<'_, str> {
    match json.contains(['\n', '\r']) {
        true => Cow::Owned(json.replace(['\n', '\r'], " ")),
        false => Cow::Borrowed(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn following(targets: &[&str], last: bool) -> Session {
        let mut session = Session::new(last, false);
        targets.iter().for_each(|target| session.add(target.parse().expect("a target")));
        session
    }

    /// The result of `receive`, as text; pushes as their payload line.
    fn receive(session: &mut Session, text: &str) -> String {
        match session.receive(text) {
            Ok(Event::Push(push)) => String::from_utf8_lossy(&push.as_payload(false)).into_owned(),
            Ok(event) => format!("{event:?}"),
            Err(error) => error,
        }
    }

    fn operation(session: &mut Session) -> String {
        session.operations().concat()
    }

    #[test]
    fn payloads_are_printed_as_they_were_published() {
        let mut session = following(&["a"], true);
        for (object, line) in [
            (r#"{"t":"a","o":1,"d":{"p": 1.50}}"#, "{\"p\": 1.50}\n"),
            (r#"{"t":"a","o":2,"d":"h\u00e9\nllo"}"#, "hé\nllo\n"),
            (r#"{"t":"a","o":3,"b":"AP8="}"#, "\0\u{fffd}\n"),
            (r#"{"t":"a","o":4,"d":null}"#, "null\n"),
            ("{\"t\":\"a\",\"o\":5,\"d\":[1,\n2]}", "[1, 2]\n"),
        ] {
            assert_eq!(receive(&mut session, object), line);
        }
    }

    #[test]
    fn the_topic_stands_before_the_payload_where_that_is_asked_for() {
        let mut session = following(&["a.*"], true);
        for (object, line) in [
            (r#"{"t":"a.x","o":1,"d":{"p":1}}"#, "a.x {\"p\":1}\n"),
            (r#"{"t":"a.y","o":2,"d":"hello"}"#, "a.y hello\n"),
            (r#"{"t":"a.z","o":3,"b":"AWI="}"#, "a.z \u{1}b\n"),
        ] {
            match session.receive(object) {
                Ok(Event::Push(push)) => assert_eq!(push.as_payload(true), line.as_bytes()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn json_lines_carry_topic_offset_time_and_data() {
        let mut session = following(&["a"], true);
        let mut json = |object| match session.receive(object) {
            Ok(Event::Push(push)) => String::from_utf8(push.as_json(99)).expect("text"),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            json(r#"{"t":"a\"","o":1,"d":[1.0]}"#),
            "{\"topic\":\"a\\\"\",\"offset\":1,\"time\":99,\"data\":[1.0]}\n"
        );
        assert_eq!(json(r#"{"t":"a","o":2,"d":"x"}"#), "{\"topic\":\"a\",\"offset\":2,\"time\":99,\"data\":\"x\"}\n");
        assert_eq!(
            json(r#"{"t":"a","o":3,"b":"AP8="}"#),
            "{\"topic\":\"a\",\"offset\":3,\"time\":99,\"b64\":\"AP8=\"}\n"
        );
    }

    #[test]
    fn another_connection_goes_on_behind_what_was_read() {
        let mut session = following(&["a", "b", "c.*"], true);
        assert_eq!(operation(&mut session), r#"{"op":"sub","topics":["a","b","c.*"],"since":{},"last":true,"id":1}"#);
        let ok = r#"{"op":"ok","id":1,"topics":{"a":{"epoch":"1f","offset":7},"b":{"epoch":"2","offset":9},"c.*":{}}}"#;
        receive(&mut session, ok);
        assert_eq!(receive(&mut session, r#"{"t":"a","o":7,"d":1}"#), "1\n");
        assert_eq!(receive(&mut session, r#"{"t":"a","o":8,"d":2}"#), "2\n");
        assert_eq!(receive(&mut session, r#"{"t":"c.x","o":1,"d":3}"#), "3\n");
        assert_eq!(
            operation(&mut session),
            r#"{"op":"sub","topics":["a","b","c.*"],"since":{"a":"1f-8","b":"2-8"},"last":true,"id":1}"#
        );
    }

    #[test]
    fn a_message_that_was_read_on_the_last_connection_is_not_printed_again() {
        let mut session = following(&["a"], true);
        let ok = r#"{"op":"ok","topics":{"a":{"epoch":"1","offset":7,"recovered":true}}}"#;
        receive(&mut session, ok);
        receive(&mut session, r#"{"t":"a","o":7,"d":1}"#);
        session.operations();
        receive(&mut session, ok);
        assert_eq!(receive(&mut session, r#"{"t":"a","o":7,"d":1}"#), "Nothing");
        assert_eq!(receive(&mut session, r#"{"t":"a","o":8,"d":2}"#), "2\n");
    }

    #[test]
    fn another_epoch_starts_over_and_what_was_missed_is_told() {
        let mut session = following(&["a"], false);
        assert!(session.begin_behind("1-50".parse().expect("a position")));
        assert!(operation(&mut session).contains(r#""since":{"a":"1-50"},"last":false"#));
        let ok = r#"{"op":"ok","topics":{"a":{"epoch":"2","offset":3,"recovered":false}}}"#;
        assert_eq!(receive(&mut session, ok), "Joined { not_recovered: [\"a\"] }");
        assert!(operation(&mut session).contains(r#""since":{"a":"2-3"}"#));
        receive(&mut session, ok);
        assert_eq!(receive(&mut session, r#"{"t":"a","o":4,"d":4}"#), "4\n");
    }

    #[test]
    fn a_query_names_targets_and_where_to_go_on() {
        let mut session = following(&["a", "b/?", "c.*"], false);
        let (topics, query) = session.query();
        assert_eq!(topics, ["a", "b/?"]);
        assert_eq!(query, "topic=a&topic=b%2F%3F&topic=c.%2A&last=0");
        receive(&mut session, r#"{"op":"ok","topics":{"a":{"epoch":"1f","offset":7},"b/?":{"epoch":"2","offset":9}}}"#);
        receive(&mut session, r#"{"t":"a","o":8,"d":1}"#);
        assert_eq!(session.query().1, "topic=a&topic=b%2F%3F&topic=c.%2A&last=0&since=1f-8,2-9");
    }

    #[test]
    fn many_topics_go_in_several_operations() {
        let mut session = Session::new(true, false);
        for n in 0..=TOPICS_PER_OPERATION_MAX {
            session.add(format!("t.{n}").parse().expect("a topic"));
        }
        let operations = session.operations();
        assert_eq!(operations.len(), 2);
        assert_eq!(operations.concat().matches("\"t.").count(), TOPICS_PER_OPERATION_MAX + 1);
    }

    #[test]
    fn the_other_objects_are_events() {
        let mut session = following(&["a"], true);
        for (object, event) in [
            (r#"{"op":"gap","t":"a","skipped":17,"o":140}"#, "Gap { topic: \"a\", skipped: 17 }"),
            (r#"{"op":"bye","code":"shutdown","retry_ms":5210}"#, "Bye { retry_ms: 5210 }"),
            (
                r#"{"op":"err","id":1,"code":"forbidden","message":"no"}"#,
                "Refused { code: \"forbidden\", message: \"no\" }",
            ),
            (r#"{"op":"of a later version"}"#, "Nothing"),
            ("{}", "the server sent an object that is no message"),
            (r#"{"t":"a","o":1}"#, "the server sent a message without a payload"),
            (r#"{"t":"a","o":1,"b":"?"}"#, "the server sent bad base64"),
        ] {
            assert_eq!(receive(&mut session, object), event, "{object}");
        }
        assert!(receive(&mut session, "[").starts_with("the server's message is not understood: "));
    }
}
