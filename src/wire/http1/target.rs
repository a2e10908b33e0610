//! Request targets: their forms, percent-encoding, and the pairs of a query.

use std::borrow::Cow;

use memchr::memchr;

use super::authority::is_authority;
use super::error::HttpError;

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
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    if !path.bytes().all(is_path_byte) || !query.bytes().all(is_query_byte) {
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
    if authority.is_empty() || !is_authority(authority.as_bytes()) {
        return Err(HttpError::BadTarget);
    }
    let mut parts = split_query(Some(authority), path);
    if parts.path.is_empty() {
        parts.path = "/";
    }
    Ok(parts)
}

/// What may stand in front of a query: the characters of [RFC 3986 3.3], those that browsers leave as they are, and what
/// is not ASCII. A fragment never travels, and white space or a control character would have ended the target.
fn is_path_byte(byte: u8) -> bool {
    byte >= 0x80 || byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%|[]".contains(&byte)
}

/// Characters allowed in a query: likewise, and browsers leave more of them as they are; `>` ends a pattern. [RFC
/// 3986 3.4]
fn is_query_byte(byte: u8) -> bool {
    is_path_byte(byte) || b"?>\\^`{}".contains(&byte)
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

/// Decodes percent-encoded text; borrowed where nothing is encoded. `+` stands for itself. [RFC 3986 2.1]
///
/// # Errors
/// [`HttpError::BadPercentEncoding`] for a `%` without two hexadecimal digits, and where the outcome is not UTF-8.
pub fn percent_decode(text: &str) -> Result<Cow<'_, str>, HttpError> {
    if memchr(b'%', text.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    decode(text, false).map(Cow::Owned)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryPair<'a> {
    /// Decoded.
    pub name: Cow<'a, str>,
    value: &'a str,
}

impl<'a> QueryPair<'a> {
    /// The value, decoded.
    ///
    /// # Errors
    /// [`HttpError::BadPercentEncoding`]. An endpoint looks at it only for a name that it reads.
    pub fn value(&self) -> Result<Cow<'a, str>, HttpError> {
        form_decode(self.value)
    }
}

/// The pairs of a query, in order. `+` stands for a space, a missing `=` for an empty value, and nothing between two
/// `&` for nothing. A pair with a name that cannot be decoded is left out: no route reads it.
pub fn query_pairs(query: Option<&str>) -> impl Iterator<Item = QueryPair<'_>> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some(QueryPair { name: form_decode(name).ok()?, value })
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
        let pairs = |query| {
            let pairs = query_pairs(query).map(|pair| Ok((pair.name.clone().into_owned(), pair.value()?.into_owned())));
            pairs.collect::<Result<Vec<_>, _>>()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs(None), Ok(vec![]));
        assert_eq!(pairs(Some("")), Ok(vec![]));
        assert_eq!(
            pairs(Some("topic=a.*&&topic=b+c%2B&=x&flag&k=a=b%26")),
            Ok(vec![pair("topic", "a.*"), pair("topic", "b c+"), pair("", "x"), pair("flag", ""), pair("k", "a=b&")])
        );
        assert_eq!(pairs(Some("%zz=1&%ff=2&a=1")), Ok(vec![pair("a", "1")]), "nobody reads such names");
        assert_eq!(pairs(Some("a=%zz")), Err(HttpError::BadPercentEncoding));
    }
}
