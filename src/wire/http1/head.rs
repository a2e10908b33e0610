//! Request heads, borrowed from the bytes they came in.

use std::str;

use httparse::{EMPTY_HEADER, Header};
use memchr::memchr_iter;

use super::body::BodyFraming;
use super::error::HttpError;
use super::target::{Target, split_target};
use crate::limits::{HEAD_LEN_MAX, HEADERS_MAX, LEADING_EMPTY_LINES_MAX};

/// The version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: one request a connection unless it says otherwise.
    Http10,
    /// HTTP/1.1.
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
}

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
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(&window[start..]) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if lone_lf.is_some() => return Err(HttpError::BadRequestLine),
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_LEN_MAX => return Err(HttpError::HeadTooLong),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(refusal(error, &window[start..])),
    };

    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let header_count = request.headers.len();
    let parts = split_target(method, target)?;
    let mut head = RequestHead { method, target, parts, version, headers, header_count, body: BodyFraming::None };
    head.check_host()?;
    head.body = BodyFraming::of(&head)?;
    Ok(Some((head, start + len)))
}

/// Empty lines at the start, in bytes.
fn skip_empty_lines(bytes: &[u8]) -> Result<usize, HttpError> {
    let lines = bytes.chunks_exact(2).take_while(|line| line == b"\r\n").count();
    if lines > LEADING_EMPTY_LINES_MAX { Err(HttpError::BadRequestLine) } else { Ok(2 * lines) }
}

/// Where the first LF without a CR stands. It ends a line to some and not to others, so that no head may reach it.
/// [RFC 9112 2.2]
fn find_lone_lf(bytes: &[u8]) -> Option<usize> {
    let follows_cr = |at: usize| at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\r');
    memchr_iter(b'\n', bytes).find(|&at| !follows_cr(at))
}

fn refusal(error: httparse::Error, bytes: &[u8]) -> HttpError {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue => HttpError::BadHeader,
        httparse::Error::TooManyHeaders => HttpError::TooManyHeaders,
        httparse::Error::Version => {
            let version = bytes.split(|&byte| byte == b' ').nth(2).unwrap_or_default();
            if version.starts_with(b"HTTP/") { HttpError::UnsupportedVersion } else { HttpError::BadRequestLine }
        }
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
        self.parts.authority.or_else(|| self.header("host")).unwrap_or_default()
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is framed.
    #[must_use]
    pub fn body(&self) -> BodyFraming {
        self.body
    }

    /// The value of the first field of this name (any case), without the white space around it; `None` also where
    /// it is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.raw_values(name).next().and_then(text)
    }

    /// The values of all fields of this name (any case), in order. What is not UTF-8 is left out.
    pub fn header_values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'_, 'a, 'n> {
        self.raw_values(name).filter_map(text)
    }

    /// The values of all fields of this name, as bytes: what nobody may overlook is counted here.
    pub(in crate::wire) fn raw_values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'_, 'a, 'n> {
        let headers = self.headers.iter().take(self.header_count);
        headers.filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// Whether the comma-separated list of this name, over all its fields, holds `token` (any case). [RFC 9110 5.6.1]
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.header_values(name)
            .flat_map(|list| list.split(','))
            .any(|one| one.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
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
            (Some(host), None) if host.iter().all(|&byte| is_authority_byte(byte)) => Ok(()),
            (None, None) if self.version == Version::Http10 => Ok(()),
            _ => Err(HttpError::BadHost),
        }
    }
}

/// `uri-host [ ":" port ]` holds no other bytes. [RFC 3986 3.2.2]
pub(super) fn is_authority_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%[]".contains(&byte)
}

fn text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value).ok().map(|value| value.trim_matches([' ', '\t']))
}
