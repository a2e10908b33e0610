//! How a text can fail to be the object that was asked for.

use std::fmt;

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsonError {
    /// Not JSON.
    Syntax,
    /// Not UTF-8.
    NotUtf8,
    /// A value nests deeper than `JSON_DEPTH_MAX`.
    TooDeep,
    /// JSON, but not an object.
    NotAnObject,
    /// More fields than `JSON_FIELDS_MAX`.
    TooManyFields,
    /// Two fields of one name, so that two readers could see two values.
    DuplicateField,
}

impl JsonError {
    /// One sentence for people, without the peer's bytes in it.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Syntax => "not valid JSON",
            Self::NotUtf8 => "the JSON is not UTF-8",
            Self::TooDeep => "the JSON nests deeper than 100 levels",
            Self::NotAnObject => "not a JSON object",
            Self::TooManyFields => "the JSON object has more than 64 fields",
            Self::DuplicateField => "the JSON object has a field twice",
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for JsonError {}
