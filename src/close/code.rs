//! The codes of refused operations and requests.

use super::Status;

/// Why an operation or a request was refused; the names are those of the protocol page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Not an operation, or not with these fields.
    BadRequest,
    /// Not a topic name or pattern.
    BadTopic,
    /// Not allowed.
    Forbidden,
    /// Not without credentials.
    Unauthorized,
    /// More topics than a connection, or an operation, may have.
    TooManyTopics,
    /// A payload past its bound.
    TooLarge,
    /// Too often.
    RateLimited,
    /// No such thing.
    NotFound,
    /// A part of HTTP that the gateway does not have.
    NotSupported,
    /// The process is at one of its limits; later it may work.
    Overloaded,
    /// The topic does not stand where the publisher said. On the wire it is a bad request with a position.
    Moved,
    /// Our mistake.
    Internal,
}

impl ErrorCode {
    /// The name on the wire, and the HTTP status that goes with it.
    #[must_use]
    pub const fn row(self) -> (&'static str, Status) {
        match self {
            Self::BadRequest => ("bad_request", Status::BadRequest),
            Self::BadTopic => ("bad_topic", Status::BadRequest),
            Self::Forbidden => ("forbidden", Status::Forbidden),
            Self::Unauthorized => ("unauthorized", Status::Unauthorized),
            Self::TooManyTopics => ("too_many_topics", Status::BadRequest),
            Self::TooLarge => ("too_large", Status::ContentTooLarge),
            Self::RateLimited => ("rate_limited", Status::TooManyRequests),
            Self::NotFound => ("not_found", Status::NotFound),
            Self::NotSupported => ("not_supported", Status::NotImplemented),
            Self::Overloaded => ("overloaded", Status::ServiceUnavailable),
            Self::Moved => ("bad_request", Status::PreconditionFailed),
            Self::Internal => ("internal", Status::InternalServerError),
        }
    }

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> Status {
        self.row().1
    }

    /// Whether the name is one of a refusal after which the same operation may succeed later.
    #[must_use]
    pub fn may_pass_later(name: &str) -> bool {
        [Self::Overloaded, Self::RateLimited, Self::Internal].iter().any(|code| code.as_str() == name)
    }
}
