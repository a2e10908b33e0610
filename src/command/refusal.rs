//! A refused operation.

use super::{ErrorCode, Position};

/// A refused operation: a code for programs, a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    /// The sentence.
    pub message: &'static str,
    /// The topic's position, if the condition on it is the reason.
    pub position: Option<Position>,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub const fn new(code: ErrorCode, message: &'static str) -> Self {
        Self { code, message, position: None }
    }
}

/// Why a publication that another source has numbered was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It does not follow what the topic holds: something between the two is missing.
    Break {
        /// Where the topic stands.
        held: Position,
    },
    /// There is no room for the topic.
    Refused(Refusal),
}
