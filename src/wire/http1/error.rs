//! How a request can fail to be HTTP/1.1.

use std::fmt;

use crate::close::{ErrorCode, Status};

/// Why a request is refused. The framing of the following bytes is unknown, so that the connection ends after the
/// answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpError {
    /// Not `method SP request-target SP HTTP-version`, or a line that does not end in CRLF. [RFC 9112 3]
    BadRequestLine,
    /// Not a request target that the method may have. [RFC 9112 3.2]
    BadTarget,
    /// An invalid field line: folded, space before its colon, a control character. [RFC 9112 5]
    BadHeader,
    /// Not exactly one valid `Host`. [RFC 9112 3.2]
    BadHost,
    /// A body whose length could be read in two ways. [RFC 9112 6.3]
    BadFraming,
    /// Not a chunk, or not a trailer section. [RFC 9112 7.1]
    BadChunk,
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8 behind it.
    BadPercentEncoding,
    /// The body is longer than the caller takes.
    BodyTooLarge,
    /// The head is longer than `HEAD_LEN_MAX`.
    HeadTooLong,
    /// More field lines than `HEADERS_MAX`.
    TooManyHeaders,
    /// A method that no server of ours can have: `CONNECT`.
    UnsupportedMethod,
    /// A transfer coding in front of `chunked`. [RFC 9112 6.1]
    UnsupportedCoding,
    /// Not HTTP/1.
    UnsupportedVersion,
}

impl HttpError {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> Status {
        self.row().0
    }

    /// The code of the answer.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self.status() {
            Status::ContentTooLarge => ErrorCode::TooLarge,
            Status::NotImplemented | Status::HttpVersionNotSupported => ErrorCode::NotSupported,
            _ => ErrorCode::BadRequest,
        }
    }

    /// One sentence for people, without the peer's bytes in it.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.row().1
    }

    const fn row(self) -> (Status, &'static str) {
        match self {
            Self::BadRequestLine => (Status::BadRequest, "the request line is not valid"),
            Self::BadTarget => (Status::BadRequest, "the request target is not valid"),
            Self::BadHeader => (Status::BadRequest, "a header field is not valid"),
            Self::BadHost => (Status::BadRequest, "a request needs exactly one valid Host"),
            Self::BadFraming => (Status::BadRequest, "the length of the body is ambiguous"),
            Self::BadChunk => (Status::BadRequest, "the chunked body is not valid"),
            Self::BadPercentEncoding => (Status::BadRequest, "the percent-encoding is not valid UTF-8"),
            Self::BodyTooLarge => (Status::ContentTooLarge, "the body is too large"),
            Self::HeadTooLong => (Status::RequestHeaderFieldsTooLarge, "the request head is too long"),
            Self::TooManyHeaders => (Status::RequestHeaderFieldsTooLarge, "the request has too many header fields"),
            Self::UnsupportedMethod => (Status::NotImplemented, "the method is not supported"),
            Self::UnsupportedCoding => (Status::NotImplemented, "the transfer coding is not supported"),
            Self::UnsupportedVersion => (Status::HttpVersionNotSupported, "only HTTP/1.1 and HTTP/1.0 are spoken here"),
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for HttpError {}
