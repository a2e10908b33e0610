//! The request of each row of the table, from its head: its topic, query and header fields.

use std::borrow::Cow;

use super::route::{RawOptions, Route};
use crate::close::Status;
use crate::command::{
    Attributes, Condition, ErrorCode, Extras, HistoryQuery, ListCursor, Mode, Owner, PayloadKind, Policy, Position,
    Target, Terms, TopicName, is_event, is_message_id, parse_age, parse_rate,
};
use crate::limits::{BANDWIDTH_MIN, KEY_LEN_MAX, TOPICS_LISTED_MAX};
use crate::transport::http::RequestError;
use crate::wire::http1::{NotOneValue, RequestHead, percent_decode, query_pairs};

/// `POST /publish/TOPIC`.
pub(super) fn publish(head: &RequestHead<'_>, topic: &str) -> Result<Route, RequestError> {
    check_encoding(head)?;
    decode_publish(head, decode_topic(topic)?)
}

/// `POST /publish`.
pub(super) fn publish_many(head: &RequestHead<'_>, _: &str) -> Result<Route, RequestError> {
    check_encoding(head).map(|()| Route::PublishMany)
}

/// `GET /topics`.
pub(super) fn topics(head: &RequestHead<'_>, _: &str) -> Result<Route, RequestError> {
    decode_list(head.query())
}

/// `GET /topics/TOPIC`.
pub(super) fn topic(_: &RequestHead<'_>, topic: &str) -> Result<Route, RequestError> {
    decode_topic(topic).map(Route::Topic)
}

/// `GET /topics/TOPIC/history`.
pub(super) fn history(head: &RequestHead<'_>, topic: &str) -> Result<Route, RequestError> {
    decode_history(decode_topic(topic)?, head.query())
}

/// `DELETE /topics/TOPIC/last`.
pub(super) fn forget_last(_: &RequestHead<'_>, topic: &str) -> Result<Route, RequestError> {
    decode_topic(topic).map(Route::ForgetLast)
}

/// `DELETE /topics/TOPIC`.
pub(super) fn end_topic(_: &RequestHead<'_>, topic: &str) -> Result<Route, RequestError> {
    decode_topic(topic).map(Route::EndTopic)
}

/// `GET /healthz`.
pub(super) fn health(_: &RequestHead<'_>, _: &str) -> Result<Route, RequestError> {
    Ok(Route::Health)
}

/// `GET /readyz`.
pub(super) fn ready(_: &RequestHead<'_>, _: &str) -> Result<Route, RequestError> {
    Ok(Route::Ready)
}

/// `GET /metrics`.
pub(super) fn metrics(_: &RequestHead<'_>, _: &str) -> Result<Route, RequestError> {
    Ok(Route::Metrics)
}

/// The topic of `GET /raw/TOPIC`, and how it is followed.
pub(super) fn raw(head: &RequestHead<'_>, topic: &str) -> Result<Option<(TopicName, RawOptions)>, RequestError> {
    Ok(Some((decode_topic(topic)?, decode_raw_options(head.query())?)))
}

/// For a session that begins without a topic.
pub(super) fn no_topic(_: &RequestHead<'_>, _: &str) -> Result<Option<(TopicName, RawOptions)>, RequestError> {
    Ok(None)
}

fn decode_publish(head: &RequestHead<'_>, topic: TopicName) -> Result<Route, RequestError> {
    let content_type =
        head.only_value("content-type").map_err(|NotOneValue| bad_request("there is one Content-Type"))?;
    let content_type = content_type.unwrap_or_default();
    let kind = if is_media_type(content_type, OCTETS) { PayloadKind::Binary } else { PayloadKind::Text };
    let bad_key = bad_request("Fanwire-Key is one text of UTF-8, at most 255 bytes");
    let key = only_text(head, "fanwire-key").ok().filter(|key| key.is_none_or(|key| key.len() <= KEY_LEN_MAX));
    let key = key.ok_or(bad_key)?.filter(|key| !key.is_empty()).map(Box::from);
    let id = only_text(head, "fanwire-id").ok().filter(|id| id.is_none_or(is_message_id));
    let message_id = id.ok_or(bad_request("Fanwire-Id is 1 to 255 visible ASCII characters"))?.map(Box::from);
    let terms = Box::new(Terms { message_id, condition: decode_condition(head)?, owner: Owner::default() });
    let extras = decode_extras(head, content_type)?.boxed();
    Ok(Route::PublishOne { topic, kind, key, terms, extras })
}

fn is_media_type(content_type: &[u8], media_type: &str) -> bool {
    let told = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    told.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
}

/// The optional fields of a publication.
fn decode_extras(head: &RequestHead<'_>, content_type: &[u8]) -> Result<Extras, RequestError> {
    let bad_event = bad_request("Fanwire-Event is one text of UTF-8, 1 to 255 bytes without control characters");
    let event = only_text(head, "fanwire-event").ok().filter(|event| event.is_none_or(is_event)).ok_or(bad_event)?;
    let is_passing = match only_text(head, "fanwire-last") {
        Ok(None | Some("1")) => false,
        Ok(Some("0")) => true,
        _ => return Err(bad_request("Fanwire-Last is 0 or 1")),
    };
    let mut pairs = Vec::new();
    for (name, value) in head.fields_with_prefix("fanwire-attribute-") {
        let value = std::str::from_utf8(value).map_err(|_| bad_request("Fanwire-Attribute-NAME is text of UTF-8"))?;
        // Names of fields have no case.
        pairs.push((Cow::from(name.to_ascii_lowercase()), Cow::from(value)));
    }
    let attributes = Attributes::new(told_type(content_type), pairs.into_iter())
        .map_err(|refusal| RequestError::new(refusal.code, refusal.message))?;
    Ok(Extras { event: event.map(Box::from), attributes, is_passing, except: None })
}

/// The media type for readers. That it is text, or octets, they know; and a form is what curl says of any body.
fn told_type(content_type: &[u8]) -> Option<&str> {
    let says_nothing = [OCTETS, "text/plain", "application/x-www-form-urlencoded"];
    let text = std::str::from_utf8(content_type).ok().filter(|text| !text.chars().any(char::is_control));
    text.filter(|text| !text.is_empty() && !says_nothing.iter().any(|it| is_media_type(content_type, it)))
}

const OCTETS: &str = "application/octet-stream";

/// A body is taken as it is: what is compressed would reach readers as that. [RFC 9110 8.4]
fn check_encoding(head: &RequestHead<'_>) -> Result<(), RequestError> {
    let mut codings = head.raw_values("content-encoding").flat_map(|list| list.split(|&byte| byte == b','));
    let is_plain =
        |coding: &[u8]| matches!(coding.trim_ascii(), b"") || coding.trim_ascii().eq_ignore_ascii_case(b"identity");
    if codings.all(is_plain) { Ok(()) } else { Err(ENCODED) }
}

/// `If-Match: EPOCH-OFFSET`, in quotes or not; `If-None-Match: *`.
fn decode_condition(head: &RequestHead<'_>) -> Result<Option<Condition>, RequestError> {
    let bad = bad_request("If-Match is one \"EPOCH-OFFSET\", or If-None-Match is *");
    let fields = only_text(head, "if-match").and_then(|at| Ok((at, only_text(head, "if-none-match")?)));
    match fields.map_err(|()| bad)? {
        (None, None) => Ok(None),
        (None, Some("*")) => Ok(Some(Condition::Nothing)),
        (Some(tag), None) => {
            let unquoted = tag.strip_prefix('"').map_or(Some(tag), |rest| rest.strip_suffix('"'));
            let position = unquoted.and_then(|text| text.parse().ok());
            position.map(|position| Some(Condition::At(position))).ok_or(bad)
        }
        _ => Err(bad),
    }
}

/// A header field that changes what is published or whether: nobody may overlook it, so it is there once and is text, or
/// the request is refused.
fn only_text<'a>(head: &RequestHead<'a>, name: &str) -> Result<Option<&'a str>, ()> {
    let value = head.only_value(name).map_err(|NotOneValue| ())?;
    value.map(std::str::from_utf8).transpose().map_err(|_| ())
}

fn decode_raw_options(query: Option<&str>) -> Result<RawOptions, RequestError> {
    let mut options = RawOptions::DEFAULT;
    each_pair(query, &["last", "echo", "since", "mode", "max_rate", "max_age_ms"], |name, value| {
        match name {
            "last" => options.last = decode_flag(value)?,
            "echo" => options.echo = decode_flag(value)?,
            "since" => options.since = Some(decode_since(value)?),
            _ => decode_policy(name, value, &mut options.policy)?,
        }
        Ok(())
    })?;
    Ok(options)
}

fn decode_history(topic: TopicName, query: Option<&str>) -> Result<Route, RequestError> {
    let mut wanted = HistoryQuery::ALL;
    each_pair(query, &["since", "limit", "order"], |name, value| {
        match name {
            "since" if !value.is_empty() => wanted.since = Some(decode_since(value)?),
            "limit" if !value.is_empty() => {
                wanted.limit = decode_limit(value)?;
            }
            "order" => match value {
                "oldest" => wanted.newest_first = false,
                "newest" => wanted.newest_first = true,
                _ => return Err(bad_request("order is oldest or newest")),
            },
            _ => {}
        }
        Ok(())
    })?;
    Ok(Route::History { topic, query: wanted })
}

fn decode_list(query: Option<&str>) -> Result<Route, RequestError> {
    let (mut wanted, mut limit, mut after) = (None, TOPICS_LISTED_MAX, ListCursor::default());
    each_pair(query, &["match", "limit", "after"], |name, value| {
        match name {
            _ if value.is_empty() => {}
            "match" => wanted = Some(Target::parse(value).map_err(|_| BAD_TOPIC)?),
            "limit" => limit = decode_limit(value)?.clamp(1, TOPICS_LISTED_MAX),
            _ => after = ListCursor::parse(value).ok_or(bad_request("after is what the answer before called next"))?,
        }
        Ok(())
    })?;
    Ok(Route::Topics { wanted, limit, after })
}

/// Reads the pairs of a query that `names` stand for. What others say is not looked at.
pub(super) fn each_pair(
    query: Option<&str>,
    names: &[&str],
    mut each: impl FnMut(&str, &str) -> Result<(), RequestError>,
) -> Result<(), RequestError> {
    let mut pairs = query_pairs(query).filter(|pair| names.contains(&&*pair.name));
    pairs.try_for_each(|pair| each(&pair.name, &pair.value()?))
}

/// Digits; more than can be counted is all that there is.
fn decode_limit(value: &str) -> Result<u32, RequestError> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u32::MAX)).ok_or(bad_request("limit is a number of publications"))
}

fn decode_topic(path: &str) -> Result<TopicName, RequestError> {
    TopicName::parse(&percent_decode(path)?).map_err(|_| BAD_TOPIC)
}

pub(super) fn decode_flag(value: &str) -> Result<bool, RequestError> {
    match value {
        "0" | "false" => Ok(false),
        "1" | "true" => Ok(true),
        _ => Err(bad_request("last, echo and headers are 0 or 1")),
    }
}

pub(super) fn decode_since(value: &str) -> Result<Position, RequestError> {
    value.parse().map_err(|_| bad_request("since is EPOCH-OFFSET"))
}

/// Reads what a reader may ask for beside its topics; leaves other names alone.
pub(super) fn decode_policy(name: &str, value: &str, policy: &mut Option<Policy>) -> Result<(), RequestError> {
    let before = policy.unwrap_or_default();
    let after = match name {
        "mode" => Policy { mode: Some(decode_mode(value)?), ..before },
        "max_rate" => {
            let rate = value.parse().unwrap_or(f64::NAN);
            Policy { max_rate: parse_rate(rate).map_err(bad_request)?, ..before }
        }
        "max_age_ms" => {
            let millis = value.parse().unwrap_or(u64::MAX);
            Policy { max_age_ms: parse_age(millis).map_err(bad_request)?, ..before }
        }
        _ => return Ok(()),
    };
    *policy = Some(after);
    Ok(())
}

/// `bandwidth=BYTES`: the most a reader wants in a second.
pub(super) fn decode_bandwidth(query: Option<&str>) -> Result<Option<u32>, RequestError> {
    let mut bandwidth = None;
    each_pair(query, &["bandwidth"], |_, value| {
        let bytes = value.parse().ok().filter(|bytes| *bytes >= BANDWIDTH_MIN);
        bandwidth = Some(bytes.ok_or(bad_request("bandwidth is bytes a second, 1400 or more"))?);
        Ok(())
    })?;
    Ok(bandwidth)
}

pub(super) fn decode_mode(value: &str) -> Result<Mode, RequestError> {
    value.parse().map_err(|()| bad_request("mode is queue, drop_oldest or latest"))
}

pub(super) const fn bad_request(message: &'static str) -> RequestError {
    RequestError::new(ErrorCode::BadRequest, message)
}

const ENCODED: RequestError = RequestError::with_status(
    Status::UnsupportedMediaType,
    "a body is taken as it is: send it without Content-Encoding",
);

pub(super) const BAD_TOPIC: RequestError = RequestError::new(
    ErrorCode::BadTopic,
    "a topic is 1 to 255 bytes: tokens of visible characters but '.', '*', '>' and space, joined by dots",
);
