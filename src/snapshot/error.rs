//! Reasons why a file is no valid snapshot.

use std::fmt;

/// The reason why a snapshot is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// The file is no snapshot.
    Foreign,
    /// A later version of the program wrote the file; the number is the version of its format.
    TooNew(u32),
    /// The file is cut off.
    Torn,
    /// A record is damaged. Records count from 1; 0 is the header.
    Damaged(u64),
    /// There are more bytes after the end.
    Overlong,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it is not a snapshot"),
            Self::TooNew(version) => write!(f, "it is of version {version}, from a later fanwire"),
            Self::Torn => f.write_str("it is cut off"),
            Self::Damaged(0) => f.write_str("its header is damaged"),
            Self::Damaged(record) => write!(f, "record {record} is damaged"),
            Self::Overlong => f.write_str("there are more bytes after its end"),
        }
    }
}

impl std::error::Error for SnapshotError {}
