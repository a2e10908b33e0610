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

/// What follows a version that is neither HTTP/1.0 nor HTTP/1.1, if it is a later HTTP/1: "The intention of HTTP's
/// versioning design is that the major number will only be incremented if an incompatible message syntax is introduced".
/// [RFC 9110 2.5]
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

/// Where the first LF without a CR stands. It ends a line to some and not to others, so that no head may reach it.
/// [RFC 9112 2.2]
fn find_lone_lf(bytes: &[u8]) -> Option<usize> {
    let follows_cr = |at: usize| at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\r');
    memchr_iter(b'\n', bytes).find(|&at| !follows_cr(at))
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

    /// The values of all fields of this name (any case), in order, without the white space around them. They are octets:
    /// what is no text is a value all the same. [RFC 9110 5.5]
    pub fn raw_values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'_, 'a, 'n> {
        let headers = self.headers.iter().take(self.header_count);
        headers.filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.trim_ascii())
    }

    /// The fields whose names begin so (any case): what follows in the name, as it was sent, and the value, in order.
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
mod tests {
    use super::*;
    use crate::wire::http1::BodyDecoder;
    use crate::wire::splits::{config, corrupt, corruptions, piece_lens, pieces};
    use proptest::prelude::*;

    fn parsed(text: &str) -> RequestHead<'_> {
        let (head, len) = parse_head(text.as_bytes()).expect(text).expect(text);
        assert_eq!(len, text.len(), "{text:?}");
        head
    }

    fn check_refused(text: &[u8], error: HttpError) {
        assert_eq!(parse_head(text).err(), Some(error), "{:?}", text.escape_ascii().to_string());
    }

    #[test]
    fn a_head_is_taken_apart() {
        let head =
            parsed("GET /raw/px.AAPL?last=0&x HTTP/1.1\r\nHost: a:1\r\nX-A:  one \t\r\nx-a: two\r\nX-B:\r\n\r\n");
        assert_eq!((head.method(), head.target()), ("GET", "/raw/px.AAPL?last=0&x"));
        assert_eq!((head.path(), head.query()), ("/raw/px.AAPL", Some("last=0&x")));
        assert_eq!((head.version(), head.body()), (Version::Http11, BodyFraming::None));
        assert_eq!((head.only_value("X-b"), head.only_value("x-c")), (Ok(Some(&b""[..])), Ok(None)));
        assert_eq!(head.only_value("x-a"), Err(NotOneValue));
        assert_eq!(head.raw_values("X-A").collect::<Vec<_>>(), [b"one", b"two"]);
        assert_eq!(head.authority(), "a:1");
    }

    #[test]
    fn targets_have_the_form_that_their_method_allows() {
        let target = |line: &str| {
            let text = format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n");
            parse_head(text.as_bytes()).map(|head| {
                let (head, _) = head.expect("complete");
                (head.path().to_owned(), head.query().map(str::to_owned), head.authority().to_owned())
            })
        };
        let parts = |path: &str, query: Option<&str>, authority: &str| {
            Ok((path.to_owned(), query.map(str::to_owned), authority.to_owned()))
        };
        assert_eq!(target("GET /?"), parts("/", Some(""), "h"));
        assert_eq!(target("GET //a//b?c?d"), parts("//a//b", Some("c?d"), "h"));
        assert_eq!(target("GET http://x:1/a?b"), parts("/a", Some("b"), "x:1"));
        assert_eq!(target("GET WSS://x"), parts("/", None, "x"));
        assert_eq!(target("GET ws://x?b"), parts("/", Some("b"), "x"));
        assert_eq!(target("OPTIONS *"), parts("*", None, "h"));
        assert_eq!(target("GET /gr%C3%B6%C3%9Fe"), parts("/gr%C3%B6%C3%9Fe", None, "h"));
        assert_eq!(target("GET /a|b[1]?c|[{^`\\}]d?/"), parts("/a|b[1]", Some("c|[{^`\\}]d?/"), "h"));
        assert_eq!(target("GET /ü?ü"), parts("/ü", Some("ü"), "h"));
        for byte in ['"', '<', '>', '\\', '^', '`', '{', '}'] {
            assert_eq!(target(&format!("GET /a{byte}")), Err(HttpError::BadTarget), "{byte}");
            assert_eq!(target(&format!("GET http://x/{byte}?a")), Err(HttpError::BadTarget), "{byte}");
        }
        assert_eq!(target("GET /sse?topic=px.>"), parts("/sse", Some("topic=px.>"), "h"));
        for byte in ['"', '<', '#'] {
            assert_eq!(target(&format!("GET /?a={byte}")), Err(HttpError::BadTarget), "{byte}");
        }
        for bad in ["GET http://[::1/", "GET http://x:y/", "GET http://a%b/"] {
            assert_eq!(target(bad), Err(HttpError::BadTarget), "{bad}");
        }
        for bad in ["GET *", "GET a", "GET ftp://x/", "GET http:///a", "GET http://u@x/", "GET /a#b", "GET x:1"] {
            assert_eq!(target(bad), Err(HttpError::BadTarget), "{bad}");
        }
        assert_eq!(target("CONNECT x:1"), Err(HttpError::UnsupportedMethod));
    }

    #[test]
    fn token_lists_are_read_over_all_their_fields_in_any_case() {
        let head = parsed("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive ,UPGRADE\r\nconnection:\tx,, y\r\n\r\n");
        for token in ["keep-alive", "upgrade", "Upgrade", "X", "y"] {
            assert!(head.has_token("CONNECTION", token), "{token}");
        }
        for token in ["keep", "upgrades", "x,, y", "z"] {
            assert!(!head.has_token("connection", token), "{token}");
        }
        let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: \xff, close ,\xe9\r\n\r\n";
        let (head, _) = parse_head(bytes).expect("valid").expect("complete");
        assert!(head.has_token("connection", "close") && !head.keep_alive(), "what is no text hides nothing");
    }

    #[test]
    fn a_connection_is_kept_as_its_version_and_fields_say() {
        let keep_alive = |version: &str, connection: &str| {
            parsed(&format!("GET / HTTP/{version}\r\nHost: h\r\nConnection: {connection}\r\n\r\n")).keep_alive()
        };
        assert!(keep_alive("1.1", "") && keep_alive("1.1", "Upgrade") && keep_alive("1.0", "Keep-Alive"));
        assert!(!keep_alive("1.1", "x, Close") && !keep_alive("1.0", "") && !keep_alive("1.0", "keep-alive, close"));
    }

    #[test]
    fn a_peer_expects_continue_only_with_a_body_to_send() {
        let expects = |version: &str, fields: &str| {
            parsed(&format!("POST / HTTP/{version}\r\nHost: h\r\n{fields}\r\n\r\n")).expects_continue()
        };
        assert!(expects("1.1", "Expect: 100-Continue\r\nContent-Length: 1"));
        assert!(expects("1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked"));
        assert!(!expects("1.1", "Expect: 100-continue\r\nContent-Length: 0"));
        assert!(!expects("1.1", "Expect: 100-continue"));
        assert!(!expects("1.0", "Expect: 100-continue\r\nContent-Length: 1"));
        assert!(!expects("1.1", "Content-Length: 1"));
    }

    #[test]
    fn framing_with_one_reading_is_accepted_and_any_other_refused() {
        use BodyFraming::{Chunked, Length, None};
        use HttpError::{BadFraming, BadHeader, BadRequestLine, UnsupportedCoding};
        let max = u64::MAX.to_string();
        let cases: [(&str, &str, Result<BodyFraming, HttpError>); 45] = [
            ("1.1", "X: y", Ok(None)),
            ("1.1", "Content-Length: 0", Ok(Length(0))),
            ("1.1", "Content-Length: 007", Ok(Length(7))),
            ("1.1", "content-LENGTH:\t5 ", Ok(Length(5))),
            ("1.0", "Content-Length: 5", Ok(Length(5))),
            ("1.1", &format!("Content-Length: {max}"), Ok(Length(u64::MAX))),
            ("1.1", "Transfer-Encoding: chunked", Ok(Chunked)),
            ("1.1", "transfer-encoding:CHUNKED", Ok(Chunked)),
            ("1.1", "Content-Length:", Err(BadFraming)),
            ("1.1", "Content-Length: 18446744073709551616", Err(BadFraming)),
            ("1.1", "Content-Length: +5", Err(BadFraming)),
            ("1.1", "Content-Length: -5", Err(BadFraming)),
            ("1.1", "Content-Length: 5 5", Err(BadFraming)),
            ("1.1", "Content-Length: 5, 5", Err(BadFraming)),
            ("1.1", "Content-Length: 5,", Err(BadFraming)),
            ("1.1", "Content-Length: 0x5", Err(BadFraming)),
            ("1.1", "Content-Length: 5.0", Err(BadFraming)),
            ("1.1", "Content-Length: 1_0", Err(BadFraming)),
            ("1.1", "Content-Length: \u{665}", Err(BadFraming)),
            ("1.1", "Content-Length: 5\r\nContent-Length: 5", Err(BadFraming)),
            ("1.1", "Content-Length: 5\r\nX: y\r\ncontent-length: 6", Err(BadFraming)),
            ("1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", Err(BadFraming)),
            ("1.0", "Transfer-Encoding: chunked", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: gzip", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: gzip, chunked", Err(UnsupportedCoding)),
            ("1.1", "Transfer-Encoding: chunked, chunked", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: chunked, identity", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: chunked, gzip", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: gzip, br;q=1,\tChunked", Err(UnsupportedCoding)),
            ("1.1", "Transfer-Encoding: , chunked", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: chunked,", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: xchunked", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: \"chunked\"", Err(BadFraming)),
            ("1.1", "Transfer-Encoding:", Err(BadFraming)),
            ("1.1", "Transfer-Encoding: chunked;q=1", Err(BadFraming)),
            ("1.1", "Transfer-Encoding : chunked", Err(BadHeader)),
            ("1.1", "Transfer-Encoding\t: chunked", Err(BadHeader)),
            ("1.1", " Transfer-Encoding: chunked", Err(BadHeader)),
            ("1.1", "X: y\r\n Transfer-Encoding: chunked", Err(BadHeader)),
            ("1.1", "Transfer-Encoding: \u{b}chunked", Err(BadHeader)),
            ("1.1", "X: y\nTransfer-Encoding: chunked", Err(BadRequestLine)),
            ("1.1", "X: y\rTransfer-Encoding: chunked", Err(BadHeader)),
        ];
        for (version, fields, expected) in cases {
            let text = format!("POST / HTTP/{version}\r\nHost: h\r\n{fields}\r\n\r\n");
            let framing = parse_head(text.as_bytes()).map(|head| head.expect("complete").0.body());
            assert_eq!(framing, expected, "HTTP/{version} {fields:?}");
        }
    }

    #[test]
    fn what_is_no_head_is_refused_with_its_status() {
        use HttpError::{BadHeader, BadHost, BadRequestLine, UnsupportedVersion};
        for (text, error, status) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], BadHost, 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", BadHost, 400),
            (b"GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", BadHost, 400),
            (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BadHost, 400),
            (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BadHost, 400),
            (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", BadHost, 400),
            (b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", BadHost, 400),
            (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", BadHost, 400),
            (b"GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", BadHost, 400),
            (b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", BadHost, 400),
            (b"GET / HTTP/1.1\r\nHost: a%b\r\n\r\n", BadHost, 400),
            (b"GET / HTTP/2.0\r\n", UnsupportedVersion, 505),
            (b"GET / HTTP/3.1\r\n", UnsupportedVersion, 505),
            (b"GET / HTTP/1.x\r\n", BadRequestLine, 400),
            (b"GET / HTTP/1.12\r\n", BadRequestLine, 400),
            (b"GET / HTTP/1.2 \r\n", BadRequestLine, 400),
            (b"GET / HTTP/x.1\r\n", BadRequestLine, 400),
            (b"GET / HTTP/1.2\r\nHost: a\r\n folded\r\n\r\n", BadHeader, 400),
            (b"GET / HTTP/1.2\r\n\r\n", BadHost, 400),
            (b"GET / HTTP/0.9\r\n", UnsupportedVersion, 505),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UnsupportedVersion, 505),
            (b"GET / http/1.1\r\n", BadRequestLine, 400),
            (b"GET / HTTP/1.1 \r\n", BadRequestLine, 400),
            (b"GET  / HTTP/1.1\r\n", BadRequestLine, 400),
            (b"GET /  HTTP/1.1\r\n", BadRequestLine, 400),
            (b" GET / HTTP/1.1\r\n", BadRequestLine, 400),
            (b"GET /\r\nHost: a\r\n\r\n", BadRequestLine, 400),
            (b"GET /\x00 HTTP/1.1\r\n", BadRequestLine, 400),
            (b"G(T / HTTP/1.1\r\n", BadRequestLine, 400),
            (b"\x16\x03\x01\x02\x00\x01\x00", BadRequestLine, 400),
            (b"GET / HTTP/1.1\nHost: a\n\n", BadRequestLine, 400),
            (b"GET / HTTP/1.1\rHost: a\r\n\r\n", BadRequestLine, 400),
            (b"GET / HTTP/1.1\r\nHost: a\n", BadRequestLine, 400),
            (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine, 400),
            (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine, 400),
            (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", BadHeader, 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", BadHeader, 400),
            (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", BadHeader, 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", BadHeader, 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", BadHeader, 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", BadHeader, 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", BadHeader, 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX(: a\r\n\r\n", BadHeader, 400),
        ] {
            check_refused(text, error);
            assert_eq!(error.status().code(), status);
        }
    }

    #[test]
    fn empty_lines_before_a_request_are_skipped_up_to_the_bound() {
        let head = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        parsed(&("\r\n".repeat(LEADING_EMPTY_LINES_MAX) + head));
        check_refused(("\r\n".repeat(LEADING_EMPTY_LINES_MAX + 1) + head).as_bytes(), HttpError::BadRequestLine);
        assert!(matches!(parse_head(b"\r\n\r"), Ok(None)));
    }

    #[test]
    fn a_head_of_the_longest_length_is_taken_and_a_longer_one_refused() {
        let head = |len: usize| {
            let start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
            format!("{start}{}\r\n\r\n", "x".repeat(len - start.len() - 4))
        };
        parsed(&head(HEAD_LEN_MAX));
        let pipelined = head(HEAD_LEN_MAX) + &head(100);
        assert!(matches!(parse_head(pipelined.as_bytes()), Ok(Some((_, HEAD_LEN_MAX)))));
        check_refused(head(HEAD_LEN_MAX + 1).as_bytes(), HttpError::HeadTooLong);
        let endless = vec![b'A'; HEAD_LEN_MAX + 1];
        check_refused(&endless, HttpError::HeadTooLong);
        assert!(matches!(parse_head(&endless[1..]), Ok(None)));
        assert_eq!(HttpError::HeadTooLong.status().code(), 431);
    }

    #[test]
    fn as_many_headers_as_the_bound_are_taken_and_one_more_refused() {
        let head = |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "x: y\r\n".repeat(count - 1));
        assert_eq!(parsed(&head(HEADERS_MAX)).raw_values("x").count(), HEADERS_MAX - 1);
        check_refused(head(HEADERS_MAX + 1).as_bytes(), HttpError::TooManyHeaders);
        assert_eq!(HttpError::TooManyHeaders.status().code(), 431);
    }

    #[test]
    fn a_later_minor_version_is_taken_as_http_1_1() {
        let head = parsed("POST /a HTTP/1.2\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
        assert_eq!((head.version(), head.path(), head.body()), (Version::Http11, "/a", BodyFraming::Length(5)));
        assert!(head.keep_alive());
        for part in ["GET / HTTP/1.9", "GET / HTTP/1.9\r", "GET / HTTP/1.9\r\n", "GET / HTTP/1.9\r\nHost: h\r\n"] {
            assert!(matches!(parse_head(part.as_bytes()), Ok(None)), "{part:?}");
        }
    }

    #[test]
    fn a_value_that_is_no_text_is_there() {
        let (head, _) = parse_head(b"GET / HTTP/1.1\r\nHost: h\r\nX: \xff\r\nX: \xc3\xb6\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.raw_values("x").collect::<Vec<_>>(), [&b"\xff"[..], "ö".as_bytes()]);
    }

    /// What each request of a stream said, how the stream failed, and the bytes left of it.
    type Served = (Vec<(String, Vec<u8>)>, Option<HttpError>, usize);

    /// All requests of a stream as a server would read them.
    fn serve<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Served {
        let (mut buffer, mut requests, mut body) = (Vec::new(), Vec::new(), None::<(String, BodyDecoder, Vec<u8>)>);
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                let outcome = match &mut body {
                    Some((_, decoder, out)) => decoder.decode(&buffer, out).map(|progress| progress.consumed),
                    None => parse_head(&buffer).and_then(|head| {
                        let Some((head, len)) = head else { return Ok(0) };
                        let said = format!("{} {} {:?}", head.method(), head.target(), head.only_value("x"));
                        body = Some((said, BodyDecoder::new(head.body(), 40)?, Vec::new()));
                        Ok(len)
                    }),
                };
                let consumed = match outcome {
                    Ok(consumed) => consumed,
                    Err(error) => return (requests, Some(error), 0),
                };
                buffer.drain(..consumed);
                if let Some((said, _, out)) = body.take_if(|(_, decoder, _)| decoder.is_complete()) {
                    requests.push((said, out));
                } else if consumed == 0 || buffer.is_empty() {
                    break;
                }
            }
        }
        (requests, None, buffer.len())
    }

    fn request() -> impl Strategy<Value = Vec<u8>> {
        let line = prop::sample::select(vec![
            "GET / HTTP/1.1",
            "POST /publish/a?x=%20 HTTP/1.1",
            "POST http://x/ HTTP/1.0",
            "\r\n\r\nGET /a HTTP/1.1",
            "GET / HTTP/2.0",
            "GET /b HTTP/1.7",
            "GET /\tx HTTP/1.1",
            "CONNECT a:1 HTTP/1.1",
        ]);
        let field = prop::sample::select(vec![
            "Host: h",
            "Host: h",
            "X: y",
            "Content-Length: 5",
            "Content-Length: 41",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: gzip",
            "Connection: close",
            "X : y",
            " folded",
            "X: \u{fc}",
        ]);
        let end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n"]);
        let body = prop::sample::select(vec![
            "",
            "hello",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;x=y\r\nhello\r\n1\r\n!\r\n00\r\nT: u\r\n\r\n",
            "29\r\n",
            "5\nhello",
        ]);
        (line, prop::collection::vec((field, end), 0..4), body).prop_map(|(line, fields, body)| {
            let fields: String = fields.iter().flat_map(|&(field, end)| [field, end]).collect();
            format!("{line}\r\nHost: h\r\n{fields}\r\n{body}").into_bytes()
        })
    }

    proptest! {
        #![proptest_config(config(3000))]

        #[test]
        fn a_stream_of_requests_reads_the_same_however_it_is_split(
            requests in prop::collection::vec(request(), 1..4), corruptions in corruptions(), lens in piece_lens(),
        ) {
            let mut stream = requests.concat();
            corrupt(&mut stream, &corruptions);
            let whole = serve(std::iter::once(&stream[..]));
            prop_assert_eq!(serve(pieces(&stream, &lens)), whole.clone());
            prop_assert_eq!(serve(pieces(&stream, &[1])), whole);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = serve(pieces(&bytes, &[7]));
        }
    }
}
