//! Request heads, borrowed from the bytes they came in.

use std::str;

use httparse::{EMPTY_HEADER, Header};
use memchr::memchr_iter;

use super::authority::is_authority;
use super::body::BodyFraming;
use super::error::HttpError;
use super::target::{Target, split_target};
use crate::limits::{HEAD_LEN_MAX, HEADERS_MAX, LEADING_EMPTY_LINES_MAX};

/// The version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: one request a connection unless it says otherwise.
    Http10,
    /// HTTP/1.1, or a later minor version, which is taken as that.
    Http11,
}

/// A complete, valid request head. It borrows the bytes it was parsed from; about 2 KiB, so it lives on the stack.
#[derive(Clone, Debug)]
pub struct RequestHead<'a> {
    method: &'a str,
    target: &'a str,
    parts: Target<'a>,
    version: Version,
    headers: [Header<'a>; HEADERS_MAX],
    header_count: usize,
    body: BodyFraming,
    len: usize,
}

/// A field that may be there once is there several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOneValue;

/// Parses the head at the start of `bytes`: `None` while it is incomplete, else the head and the bytes it took.
///
/// A few empty lines before the request line are skipped, as [RFC 9112 2.2] asks; they count as bytes taken.
///
/// # Errors
/// As soon as the bytes cannot become a head of at most `HEAD_LEN_MAX` bytes that this server understands.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(RequestHead<'_>, usize)>, HttpError> {
    // A head past the bound fails in the same way whether its end is here or not.
    let window = bytes.get(..HEAD_LEN_MAX).unwrap_or(bytes);
    let lone_lf = find_lone_lf(window);
    let window = &window[..lone_lf.unwrap_or(window.len())];
    let start = skip_empty_lines(window)?;
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let line = match parse_lines(&window[start..], &mut headers) {
        Ok(httparse::Status::Complete(line)) => line,
        Ok(httparse::Status::Partial) if lone_lf.is_some() => return Err(HttpError::BadRequestLine),
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_LEN_MAX => return Err(HttpError::HeadTooLong),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Line { method, target, version, header_count, len } = line;
    let parts = split_target(method, target)?;
    let mut head = RequestHead { method, target, parts, version, headers, header_count, body: BodyFraming::None, len };
    head.check_host()?;
    head.body = BodyFraming::of(&head)?;
    Ok(Some((head, start + len)))
}

/// The request line, and how many fields and bytes the whole head has.
struct Line<'a> {
    method: &'a str,
    target: &'a str,
    version: Version,
    header_count: usize,
    len: usize,
}

fn parse_lines<'a>(
    bytes: &'a [u8],
    headers: &mut [Header<'a>; HEADERS_MAX],
) -> Result<httparse::Status<Line<'a>>, HttpError> {
    let mut request = httparse::Request::new(headers);
    let outcome = request.parse(bytes);
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let line = |header_count, len| Line { method, target, version, header_count, len };
    match outcome {
        Ok(httparse::Status::Complete(len)) => {
            let header_count = request.headers.len();
            Ok(httparse::Status::Complete(line(header_count, len)))
        }
        Ok(httparse::Status::Partial) => Ok(httparse::Status::Partial),
        Err(httparse::Error::Version) => {
            let version_at = method.len() + 1 + target.len() + 1;
            let Some(fields) = fields_behind_version(bytes.get(version_at..).unwrap_or_default())? else {
                return Ok(httparse::Status::Partial);
            };
            let before = bytes.len() - fields.len();
            match httparse::parse_headers(fields, headers).map_err(refusal)? {
                httparse::Status::Complete((len, fields)) => {
                    Ok(httparse::Status::Complete(line(fields.len(), before + len)))
                }
                httparse::Status::Partial => Ok(httparse::Status::Partial),
            }
        }
        Err(error) => Err(refusal(error)),
    }
}

/// The bytes behind a version that is neither HTTP/1.0 nor HTTP/1.1, if it is a later HTTP/1: "The intention of HTTP's
/// versioning design is that the major number will only be incremented if an incompatible message syntax is
/// introduced". [RFC 9110 2.5]
fn fields_behind_version(bytes: &[u8]) -> Result<Option<&[u8]>, HttpError> {
    match bytes.strip_prefix(b"HTTP/").ok_or(HttpError::BadRequestLine)? {
        [b'1', b'.', b'2'..=b'9', b'\r', b'\n', fields @ ..] => Ok(Some(fields)),
        [b'1', b'.', b'2'..=b'9'] | [b'1', b'.', b'2'..=b'9', b'\r'] => Ok(None),
        [b'0' | b'2'..=b'9', ..] => Err(HttpError::UnsupportedVersion),
        _ => Err(HttpError::BadRequestLine),
    }
}

/// Empty lines at the start, in bytes.
fn skip_empty_lines(bytes: &[u8]) -> Result<usize, HttpError> {
    let lines = bytes.chunks_exact(2).take_while(|line| line == b"\r\n").count();
    if lines > LEADING_EMPTY_LINES_MAX { Err(HttpError::BadRequestLine) } else { Ok(2 * lines) }
}

/// Where the first LF without a CR stands. Some parsers end a line there and others do not, so that no head may reach
/// it. [RFC 9112 2.2] What is behind the head is not looked at: many requests may stand there.
fn find_lone_lf(bytes: &[u8]) -> Option<usize> {
    let (mut line, mut has_begun) = (0, false);
    for at in memchr_iter(b'\n', bytes) {
        let len = at - line;
        if len == 0 || bytes[at - 1] != b'\r' {
            return Some(at);
        }
        let is_empty = len == 1;
        if is_empty && has_begun {
            return None;
        }
        has_begun |= !is_empty;
        line = at + 1;
    }
    None
}

fn refusal(error: httparse::Error) -> HttpError {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue => HttpError::BadHeader,
        httparse::Error::TooManyHeaders => HttpError::TooManyHeaders,
        _ => HttpError::BadRequestLine,
    }
}

impl<'a> RequestHead<'a> {
    /// The method, as sent; methods are case-sensitive.
    #[must_use]
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The whole request target, as sent.
    #[must_use]
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// The path of the target, still percent-encoded: starts with `/`, or is `*`.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.parts.path
    }

    /// The query of the target, still percent-encoded, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.parts.query
    }

    /// The authority that the request is for: that of an absolute target, else the `Host`. [RFC 9112 3.3]
    #[must_use]
    pub fn authority(&self) -> &'a str {
        // A valid one is ASCII.
        let host = || self.raw_values("host").next().and_then(|host| str::from_utf8(host).ok());
        self.parts.authority.or_else(host).unwrap_or_default()
    }

    /// Bytes of the head.
    #[must_use]
    pub fn head_len(&self) -> usize {
        self.len
    }

    /// How many fields it has.
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.header_count
    }

    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is framed.
    #[must_use]
    pub fn body(&self) -> BodyFraming {
        self.body
    }

    /// The value of a field (any case) that a request has once or not at all; empty counts as there.
    ///
    /// # Errors
    /// [`NotOneValue`] if there are several.
    pub fn only_value(&self, name: &str) -> Result<Option<&'a [u8]>, NotOneValue> {
        let mut values = self.raw_values(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(NotOneValue),
        }
    }

    /// The values of all fields of this name (any case), in order, without the white space around them. They are
    /// octets: a value need not be UTF-8. [RFC 9110 5.5]
    pub fn raw_values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'_, 'a, 'n> {
        let headers = self.headers.iter().take(self.header_count);
        headers.filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.trim_ascii())
    }

    /// The fields with names that begin like this (any case), in order: the rest of each name as it was sent, and the
    /// value.
    pub fn fields_with_prefix<'n>(
        &self,
        prefix: &'n str,
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'_, 'a, 'n> {
        let headers = self.headers.iter().take(self.header_count);
        headers.filter_map(move |header| {
            let (start, rest) = header.name.split_at_checked(prefix.len())?;
            start.eq_ignore_ascii_case(prefix).then(|| (rest, header.value.trim_ascii()))
        })
    }

    /// Whether the comma-separated list of this name, over all its fields, holds `token` (any case). [RFC 9110 5.6.1]
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.raw_values(name)
            .flat_map(|list| list.split(|&byte| byte == b','))
            .any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether the connection outlives this request. [RFC 9112 9.3]
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        !self.has_token("connection", "close")
            && (self.version == Version::Http11 || self.has_token("connection", "keep-alive"))
    }

    /// Whether the peer waits for `100 Continue` before it sends the body. [RFC 9110 10.1.1]
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11
            && !matches!(self.body, BodyFraming::None | BodyFraming::Length(0))
            && self.has_token("expect", "100-continue")
    }

    /// "A server MUST respond with a 400 status code to any HTTP/1.1 request message that lacks a Host header field
    /// and to any request message that contains more than one Host header field line or a Host header field with an
    /// invalid field value." [RFC 9112 3.2]
    fn check_host(&self) -> Result<(), HttpError> {
        let mut hosts = self.raw_values("host");
        match (hosts.next(), hosts.next()) {
            (Some(host), None) if is_authority(host) => Ok(()),
            (None, None) if self.version == Version::Http10 => Ok(()),
            _ => Err(HttpError::BadHost),
        }
    }
}

#[cfg(test)]
mod tests;
