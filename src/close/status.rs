//! The HTTP statuses that the gateway answers with, and how a client sorts those that it reads. [RFC 9110 15]

/// The status of a response. [`Status::row`] has its number and its reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Interim: the client may send the body.
    Continue,
    /// The opening handshake is accepted.
    SwitchingProtocols,
    /// The response has what was asked for.
    Ok,
    /// The request succeeded, and the response has no body.
    NoContent,
    /// The request is not valid.
    BadRequest,
    /// The request needs credentials.
    Unauthorized,
    /// The client may not do this.
    Forbidden,
    /// Nothing has this path or name.
    NotFound,
    /// The path is known, but not for this method; `Allow` lists those that work.
    MethodNotAllowed,
    /// The request took too long to arrive.
    RequestTimeout,
    /// `If-Match` or `If-None-Match` does not hold.
    PreconditionFailed,
    /// The body is too large.
    ContentTooLarge,
    /// The body has a coding, or a type, that is not taken.
    UnsupportedMediaType,
    /// The path is for WebSocket.
    UpgradeRequired,
    /// The client asks too often.
    TooManyRequests,
    /// The request head is too large.
    RequestHeaderFieldsTooLarge,
    /// The gateway made a mistake.
    InternalServerError,
    /// The gateway has no such method or transfer coding.
    NotImplemented,
    /// The gateway is at a limit, or shuts down.
    ServiceUnavailable,
    /// The request has another major version of HTTP.
    HttpVersionNotSupported,
}

impl Status {
    /// The number and the reason phrase.
    #[must_use]
    pub const fn row(self) -> (u16, &'static str) {
        match self {
            Self::Continue => (100, "Continue"),
            Self::SwitchingProtocols => (101, "Switching Protocols"),
            Self::Ok => (200, "OK"),
            Self::NoContent => (204, "No Content"),
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthorized => (401, "Unauthorized"),
            Self::Forbidden => (403, "Forbidden"),
            Self::NotFound => (404, "Not Found"),
            Self::MethodNotAllowed => (405, "Method Not Allowed"),
            Self::RequestTimeout => (408, "Request Timeout"),
            Self::PreconditionFailed => (412, "Precondition Failed"),
            Self::ContentTooLarge => (413, "Content Too Large"),
            Self::UnsupportedMediaType => (415, "Unsupported Media Type"),
            Self::UpgradeRequired => (426, "Upgrade Required"),
            Self::TooManyRequests => (429, "Too Many Requests"),
            Self::RequestHeaderFieldsTooLarge => (431, "Request Header Fields Too Large"),
            Self::InternalServerError => (500, "Internal Server Error"),
            Self::NotImplemented => (501, "Not Implemented"),
            Self::ServiceUnavailable => (503, "Service Unavailable"),
            Self::HttpVersionNotSupported => (505, "HTTP Version Not Supported"),
        }
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.row().0
    }

    /// Whether the response says when to ask again.
    #[must_use]
    pub const fn has_retry_after(self) -> bool {
        matches!(self, Self::TooManyRequests | Self::ServiceUnavailable)
    }
}

/// Whether another response to the same request follows. [RFC 9110 15.2]
#[must_use]
pub const fn is_interim(status_code: u16) -> bool {
    status_code < 200
}

/// Whether the request succeeded. [RFC 9110 15.3]
#[must_use]
pub const fn is_success(status_code: u16) -> bool {
    status_code >= 200 && status_code < 300
}

/// Whether the response has no body, whatever its header fields say. [RFC 9112 6.3]
#[must_use]
pub const fn is_without_body(status_code: u16) -> bool {
    is_interim(status_code) || status_code == Status::NoContent.code() || status_code == 304
}

/// Whether the same request may succeed later: the fault is the server's, or the client asked too often.
#[must_use]
pub const fn may_pass_later(status_code: u16) -> bool {
    status_code >= 500 || status_code == Status::TooManyRequests.code()
}
