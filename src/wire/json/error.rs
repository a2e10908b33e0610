//! How a text can fail to be the object that was asked for.

use std::fmt;

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsonError {
    /// Not JSON, or not UTF-8.
    Syntax,
    /// Nests deeper than `JSON_DEPTH_MAX`.
    TooDeep,
    /// JSON, but not an object.
    NotAnObject,
    /// More fields than `JSON_FIELDS_MAX`.
    TooManyFields,
    /// Two fields of one name, so that two readers could see two values.
    DuplicateField,
    /// A number that no double is near to.
    NumberOutOfRange,
}

impl JsonError {
    /// One sentence for people, without the peer's bytes in it.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Syntax => "not valid JSON",
            Self::TooDeep => "the JSON nests too deeply",
            Self::NotAnObject => "not a JSON object",
            Self::TooManyFields => "the JSON object has too many fields",
            Self::DuplicateField => "the JSON object has a field twice",
            Self::NumberOutOfRange => "a number is out of range",
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for JsonError {}
