//! Why an operation was refused.

use super::Position;

/// Why an operation was refused; the names are those of the protocol page.
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
    /// The process is at one of its limits; later it may work.
    Overloaded,
    /// The topic does not stand where the publisher said.
    Moved,
    /// Our mistake.
    Internal,
}

impl ErrorCode {
    /// The name on the wire, and the HTTP status that goes with it.
    #[must_use]
    pub const fn row(self) -> (&'static str, u16) {
        match self {
            Self::BadRequest => ("bad_request", 400),
            Self::BadTopic => ("bad_topic", 400),
            Self::Forbidden => ("forbidden", 403),
            Self::Unauthorized => ("unauthorized", 401),
            Self::TooManyTopics => ("too_many_topics", 400),
            Self::TooLarge => ("too_large", 413),
            Self::RateLimited => ("rate_limited", 429),
            Self::NotFound => ("not_found", 404),
            Self::Overloaded => ("overloaded", 503),
            Self::Moved => ("bad_request", 412),
            Self::Internal => ("internal", 500),
        }
    }

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }
}

/// A refused operation: a code for programs, a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ErrorCode,
    /// The sentence.
    pub message: &'static str,
    /// Where the topic stands, if that is why.
    pub position: Option<Position>,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub const fn new(code: ErrorCode, message: &'static str) -> Self {
        Self { code, message, position: None }
    }
}
