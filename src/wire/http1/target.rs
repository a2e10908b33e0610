//! Request targets: their forms, percent-encoding, and the pairs of a query.

use std::borrow::Cow;

use memchr::memchr;

use super::error::HttpError;
use super::head::is_authority_byte;

/// A request target in its parts, still percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Only the absolute form has one.
    pub(super) authority: Option<&'a str>,
    /// Starts with `/`, or is `*`.
    pub(super) path: &'a str,
    /// Without its `?`.
    pub(super) query: Option<&'a str>,
}

/// Takes apart an origin-form, absolute-form or asterisk-form target. [RFC 9112 3.2]
pub(super) fn split_target<'a>(method: &str, target: &'a str) -> Result<Target<'a>, HttpError> {
    if method == "CONNECT" {
        return Err(HttpError::UnsupportedMethod);
    }
    // A fragment never travels, and white space or a control character would have ended the target.
    if target.contains('#') {
        return Err(HttpError::BadTarget);
    }
    if target.starts_with('/') {
        return Ok(split_query(None, target));
    }
    if target == "*" && method == "OPTIONS" {
        return Ok(Target { authority: None, path: target, query: None });
    }
    let rest =
        SCHEMES.iter().find_map(|scheme| strip_prefix_ignore_case(target, scheme)).ok_or(HttpError::BadTarget)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.is_empty() || !authority.bytes().all(is_authority_byte) {
        return Err(HttpError::BadTarget);
    }
    let mut parts = split_query(Some(authority), path);
    if parts.path.is_empty() {
        parts.path = "/";
    }
    Ok(parts)
}

const SCHEMES: [&str; 4] = ["http://", "https://", "ws://", "wss://"];

fn split_query<'a>(authority: Option<&'a str>, rest: &'a str) -> Target<'a> {
    match rest.split_once('?') {
        Some((path, query)) => Target { authority, path, query: Some(query) },
        None => Target { authority, path: rest, query: None },
    }
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// What percent-encoded text stands for; borrowed where nothing is encoded. `+` stands for itself. [RFC 3986 2.1]
///
/// # Errors
/// [`HttpError::BadPercentEncoding`] for a `%` without two hexadecimal digits, and where the outcome is not UTF-8.
pub fn percent_decode(text: &str) -> Result<Cow<'_, str>, HttpError> {
    if memchr(b'%', text.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    decode(text, false).map(Cow::Owned)
}

/// The pairs of a query, in order, names and values decoded. `+` stands for a space, a missing `=` for an empty
/// value, and nothing between two `&` for nothing.
///
/// # Errors
/// Each pair by itself: [`HttpError::BadPercentEncoding`].
pub fn query_pairs(query: Option<&str>) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), HttpError>> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((form_decode(name)?, form_decode(value)?))
    })
}

fn form_decode(text: &str) -> Result<Cow<'_, str>, HttpError> {
    if memchr::memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    decode(text, true).map(Cow::Owned)
}

fn decode(text: &str, plus_is_space: bool) -> Result<String, HttpError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => match (bytes.next().and_then(hex_digit), bytes.next().and_then(hex_digit)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(HttpError::BadPercentEncoding),
            },
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(out).map_err(|_| HttpError::BadPercentEncoding)
}

/// The value of a hexadecimal digit.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_decoded_and_must_be_utf_8() {
        for (text, expected) in [
            ("", Some("")),
            ("px.AAPL", Some("px.AAPL")),
            ("a%20b+c", Some("a b+c")),
            ("gr%C3%B6%c3%9fe", Some("größe")),
            ("%25%32%35", Some("%25")),
            ("%00", Some("\0")),
            ("%", None),
            ("%4", None),
            ("%4g", None),
            ("%+4", None),
            ("%%41", None),
            ("%ff", None),
            ("%C3", None),
            ("%ED%A0%80", None),
        ] {
            assert_eq!(percent_decode(text).ok().as_deref(), expected, "{text}");
        }
        assert!(matches!(percent_decode("plain"), Ok(Cow::Borrowed("plain"))));
    }

    #[test]
    fn a_query_is_its_pairs_in_order() {
        let pairs = |query| query_pairs(query).collect::<Result<Vec<_>, _>>();
        let pair = |name: &'static str, value: &'static str| (Cow::from(name), Cow::from(value));
        assert_eq!(pairs(None), Ok(vec![]));
        assert_eq!(pairs(Some("")), Ok(vec![]));
        assert_eq!(
            pairs(Some("topic=a.*&&topic=b+c%2B&=x&flag&k=a=b%26")),
            Ok(vec![pair("topic", "a.*"), pair("topic", "b c+"), pair("", "x"), pair("flag", ""), pair("k", "a=b&")])
        );
        let mut mixed = query_pairs(Some("%zz=1&a=1"));
        assert_eq!(mixed.next(), Some(Err(HttpError::BadPercentEncoding)));
        assert_eq!(mixed.next(), Some(Ok(pair("a", "1"))));
    }
}
