//! Why a request is not served.

use crate::close::{ErrorCode, Status};
use crate::wire::http1::HttpError;

/// The reason why a request is not served, in the form for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// The status: that of the code, or one that says more.
    pub status: Status,
    /// The code for programs.
    pub code: ErrorCode,
    /// The sentence for people.
    pub message: &'static str,
    /// With 405: the methods that work.
    pub allow: Option<&'static str>,
}

impl RequestError {
    /// A refusal with the status that goes with its code.
    #[must_use]
    pub const fn new(code: ErrorCode, message: &'static str) -> Self {
        Self { status: code.status(), code, message, allow: None }
    }

    /// A refusal with a status that says more than the code of a bad request.
    #[must_use]
    pub const fn with_status(status: Status, message: &'static str) -> Self {
        Self { status, ..Self::new(ErrorCode::BadRequest, message) }
    }
}

impl From<HttpError> for RequestError {
    fn from(error: HttpError) -> Self {
        Self { status: error.status(), ..Self::new(error.code(), error.message()) }
    }
}
