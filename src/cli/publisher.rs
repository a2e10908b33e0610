//! Publishing over `POST /publish` and `POST /publish/TOPIC`, many messages in one exchange.
//!
//! JSON goes as newline-delimited JSON, many messages a request. Text that is not JSON and binary go as requests of
//! their own, pipelined, because there the body is the payload, byte for byte. The order of messages is kept.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use serde_json::value::RawValue;

use super::answers::HttpError;
use super::http_client::{Answer, HttpClient, Request};
use super::link::Link;
use super::server_url::{Server, path_segment};
use crate::close::is_success;
use crate::command::Extras;

/// The kind of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// JSON, in one line.
    Json,
    /// Text that is not JSON.
    Text,
    /// Any bytes.
    Binary,
}

/// One message to publish.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) topic: &'a str,
    pub(super) key: Option<&'a str>,
    /// The id of a message that is sent alone.
    pub(super) id: Option<&'a str>,
    /// Its optional fields.
    pub(super) extras: Option<&'a Extras>,
    pub(super) kind: Kind,
    pub(super) payload: &'a [u8],
}

/// The outcome of one message: the server's result in JSON, or the reason of the refusal.
pub(super) type Verdict = Result<String, String>;

/// Publishes to one server over one connection.
pub(super) struct Publisher<S, D> {
    client: HttpClient<S, D>,
}

/// How long an answer may take, in milliseconds.
const ANSWER_TIMEOUT_MS: u64 = 30_000;

/// A publisher over the network.
pub(super) fn to(server: &Server) -> Publisher<Link, impl FnMut() -> io::Result<Link> + use<>> {
    let authority = server.authority.clone();
    let server = server.clone();
    let dial = move || {
        let stream = server.dial()?;
        stream.set_read_timeout_ms(Some(ANSWER_TIMEOUT_MS))?;
        Ok(stream)
    };
    Publisher { client: HttpClient::new(&authority, dial) }
}

impl<S: Read + Write, D: FnMut() -> io::Result<S>> Publisher<S, D> {
    /// Publishes every message, in order, and waits for every result.
    pub(super) fn publish(&mut self, messages: &[Message<'_>]) -> Result<Vec<Verdict>, HttpError> {
        let runs = runs(messages);
        let requests: Vec<_> = runs.iter().map(|run| request(run)).collect();
        let answers = self.client.exchange(&requests)?;
        let mut verdicts = Vec::with_capacity(messages.len());
        for (run, answer) in runs.iter().zip(&answers) {
            match run.first().map(|message| message.kind) {
                Some(Kind::Json) => batch_verdicts(answer, run.len(), &mut verdicts)?,
                _ => verdicts.push(verdict(answer)),
            }
        }
        Ok(verdicts)
    }
}

/// The kind of `bytes` without the flag for binary; `None` if they are not text.
pub(super) fn kind_of(bytes: &[u8]) -> Option<Kind> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
    Some(if is_json && !text.contains(['\n', '\r']) { Kind::Json } else { Kind::Text })
}

/// Cuts messages into what goes in one request: neighbours that are JSON, or a single one that is not.
fn runs<'a, 'b>(messages: &'b [Message<'a>]) -> Vec<&'b [Message<'a>]> {
    messages.chunk_by(|one, next| one.kind == Kind::Json && next.kind == Kind::Json).collect()
}

fn request<'a>(run: &[Message<'a>]) -> Request<'a> {
    match run {
        [message] if message.kind != Kind::Json => Request {
            path: format!("/publish/{}", path_segment(message.topic)),
            content_type: match message.kind {
                Kind::Binary => "application/octet-stream",
                _ => "text/plain; charset=utf-8",
            },
            fields: fields(message),
            body: message.payload.into(),
        },
        _ => Request {
            path: "/publish".to_owned(),
            content_type: "application/x-ndjson",
            fields: Vec::new(),
            body: Cow::Owned(ndjson(run)),
        },
    }
}

/// A message's fields as header fields, since its body is the payload.
fn fields<'a>(message: &Message<'a>) -> Vec<(Cow<'static, str>, &'a str)> {
    let own = [("Fanwire-Key", message.key), ("Fanwire-Id", message.id)];
    let mut fields: Vec<_> = own.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect();
    if let Some(extras) = message.extras {
        fields.extend(extras.event.as_deref().map(|event| ("Fanwire-Event".into(), event)));
        fields.extend(extras.is_passing.then_some(("Fanwire-Last".into(), "0")));
        let attribute = |(name, value)| (Cow::from(format!("Fanwire-Attribute-{name}")), value);
        fields.extend(extras.attributes.iter().map(attribute));
    }
    fields
}

fn ndjson(run: &[Message<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for message in run {
        body.extend_from_slice(b"{\"topic\":");
        body.extend_from_slice(json_string(message.topic).as_bytes());
        if let Some(key) = message.key {
            body.extend_from_slice(b",\"key\":");
            body.extend_from_slice(json_string(key).as_bytes());
        }
        if let Some(extras) = message.extras {
            encode_extras(extras, &mut body);
        }
        body.extend_from_slice(b",\"data\":");
        body.extend_from_slice(message.payload);
        body.extend_from_slice(b"}\n");
    }
    body
}

/// A message's optional fields, as fields of its line.
fn encode_extras(extras: &Extras, body: &mut Vec<u8>) {
    if let Some(event) = &extras.event {
        body.extend_from_slice(format!(",\"event\":{}", json_string(event)).as_bytes());
    }
    if extras.is_passing {
        body.extend_from_slice(b",\"last\":false");
    }
    if !extras.attributes.is_empty() {
        let pair = |(name, value)| format!("{}:{}", json_string(name), json_string(value));
        let pairs: Vec<_> = extras.attributes.iter().map(pair).collect();
        body.extend_from_slice(format!(",\"headers\":{{{}}}", pairs.join(",")).as_bytes());
    }
}

/// `text` as a JSON string.
pub(super) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The verdicts of a batch: one line each, or one refusal for all.
fn batch_verdicts(answer: &Answer, count: usize, verdicts: &mut Vec<Verdict>) -> Result<(), HttpError> {
    let text = String::from_utf8_lossy(&answer.body);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.len() == count && (is_success(answer.status) || count > 1) {
        verdicts.extend(lines.into_iter().map(line_verdict));
    } else if is_success(answer.status) {
        return Err(HttpError::BadAnswer("it has not one result for each message"));
    } else {
        verdicts.extend(std::iter::repeat_n(verdict(answer), count));
    }
    Ok(())
}

/// One result line: taken if it has an offset.
fn line_verdict(line: &str) -> Verdict {
    let parsed: Option<serde_json::Value> = serde_json::from_str(line).ok();
    match &parsed {
        Some(result) if result.get("offset").is_some_and(serde_json::Value::is_u64) => Ok(line.to_owned()),
        Some(result) => Err(reason(result).unwrap_or_else(|| line.to_owned())),
        None => Err(line.to_owned()),
    }
}

fn verdict(answer: &Answer) -> Verdict {
    let text = String::from_utf8_lossy(&answer.body);
    if is_success(answer.status) {
        return Ok(text.trim_end().to_owned());
    }
    let told = serde_json::from_str(&text).ok().and_then(|body| reason(&body));
    let first_line = text.lines().next().filter(|line| !line.is_empty()).map(str::to_owned);
    let why = told.or(first_line).unwrap_or_else(|| "no reason given".to_owned());
    Err(format!("{why} (status {})", answer.status))
}

/// The code and message of an error object, which may stand in `error`.
fn reason(result: &serde_json::Value) -> Option<String> {
    let object = result.get("error").filter(|error| error.is_object()).unwrap_or(result);
    let text = |name| object.get(name).and_then(serde_json::Value::as_str);
    match (text("code").or_else(|| text("error")), text("message")) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (Some(only), None) | (None, Some(only)) => Some(only.to_owned()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Attributes;

    fn message<'a>(kind: Kind, payload: &'a str) -> Message<'a> {
        Message { topic: "a/b", key: None, id: None, extras: None, kind, payload: payload.as_bytes() }
    }

    #[test]
    fn a_line_is_json_text_or_neither() {
        for json in ["1", "\"x\"", "null", "{\"a\": [1, 2.50]}", " true "] {
            assert_eq!(kind_of(json.as_bytes()), Some(Kind::Json), "{json}");
        }
        for text in ["", "hello", "{\"a\":1", "01", "1 2", "{\n}", "NaN"] {
            assert_eq!(kind_of(text.as_bytes()), Some(Kind::Text), "{text:?}");
        }
        assert_eq!(kind_of(b"\xff"), None);
    }

    #[test]
    fn neighbours_that_are_json_share_a_request_and_the_rest_goes_as_it_is() {
        let messages = [
            message(Kind::Json, "1"),
            Message { key: Some("k\""), ..message(Kind::Json, "{\"a\":2}") },
            message(Kind::Text, "hi"),
            message(Kind::Binary, "\u{1}"),
            message(Kind::Json, "3"),
        ];
        let requests: Vec<_> = runs(&messages).into_iter().map(request).collect();
        let shown: Vec<_> = requests.iter().map(|r| (r.path.as_str(), String::from_utf8_lossy(&r.body))).collect();
        assert_eq!(
            shown,
            [
                (
                    "/publish",
                    "{\"topic\":\"a/b\",\"data\":1}\n{\"topic\":\"a/b\",\"key\":\"k\\\"\",\"data\":{\"a\":2}}\n".into()
                ),
                ("/publish/a%2Fb", "hi".into()),
                ("/publish/a%2Fb", "\u{1}".into()),
                ("/publish", "{\"topic\":\"a/b\",\"data\":3}\n".into()),
            ]
        );
        assert_eq!(requests[3].content_type, "application/x-ndjson");
        assert_eq!(requests[2].content_type, "application/octet-stream");
    }

    #[test]
    fn what_a_message_carries_stands_in_its_line_or_in_header_fields() {
        let pairs =
            [("color", "a \"red\""), ("content-type", "image/png")].map(|(name, value)| (name.into(), value.into()));
        let attributes = Attributes::new(None, pairs.into_iter()).expect("valid");
        let extras = Extras { event: Some("stock".into()), attributes, is_passing: true, except: None };
        let carrying = |kind, payload| [Message { extras: Some(&extras), ..message(kind, payload) }];
        let line = carrying(Kind::Json, "1");
        let expected = "{\"topic\":\"a/b\",\"event\":\"stock\",\"last\":false,\
            \"headers\":{\"content-type\":\"image/png\",\"color\":\"a \\\"red\\\"\"},\"data\":1}\n";
        assert_eq!(String::from_utf8_lossy(&request(&line).body), expected);
        let alone = carrying(Kind::Text, "x");
        let fields: Vec<_> =
            request(&alone).fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let expected = [
            "Fanwire-Event: stock",
            "Fanwire-Last: 0",
            "Fanwire-Attribute-content-type: image/png",
            "Fanwire-Attribute-color: a \"red\"",
        ];
        assert_eq!(fields, expected);
    }

    fn batch(status: u16, body: &str, count: usize) -> Result<Vec<Verdict>, String> {
        let mut verdicts = Vec::new();
        let answer = Answer { status, body: body.as_bytes().to_vec() };
        batch_verdicts(&answer, count, &mut verdicts).map(|()| verdicts).map_err(|error| error.to_string())
    }

    #[test]
    fn each_message_of_a_batch_has_its_own_verdict() {
        let good = "{\"topic\":\"t\",\"epoch\":\"1\",\"offset\":7}";
        let verdicts = batch(200, &format!("{good}\n{{\"code\":\"bad_topic\",\"message\":\"no\"}}\n"), 2);
        assert_eq!(verdicts, Ok(vec![Ok(good.to_owned()), Err("bad_topic: no".to_owned())]));
        let nested = batch(200, "{\"error\":{\"code\":\"too_large\",\"message\":\"no\"}}\n", 1);
        assert_eq!(nested, Ok(vec![Err("too_large: no".to_owned())]));
        assert_eq!(batch(200, "what\n", 1), Ok(vec![Err("what".to_owned())]));
    }

    #[test]
    fn a_batch_that_is_refused_as_a_whole_refuses_each_message() {
        let refused = Err("overloaded: later (status 503)".to_owned());
        let body = "{\"code\":\"overloaded\",\"message\":\"later\"}";
        assert_eq!(batch(503, body, 1), Ok(vec![refused.clone()]));
        assert_eq!(batch(503, body, 3), Ok(vec![refused; 3]));
        assert_eq!(batch(500, "", 1), Ok(vec![Err("no reason given (status 500)".to_owned())]));
        assert!(batch(200, body, 3).is_err());
    }
}
