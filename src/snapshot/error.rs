//! Why a file is not the snapshot that it should be.

use std::fmt;

/// Why a snapshot is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// Something else.
    Foreign,
    /// Written by a later version of the program.
    TooNew(u32),
    /// It ends before its end.
    Torn,
    /// A record, counted from 1, is not what was written; 0 is the header.
    Damaged(u64),
    /// There are bytes behind its end.
    Overlong,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it is not a snapshot"),
            Self::TooNew(version) => write!(f, "it is of version {version}, from a later fanwire"),
            Self::Torn => f.write_str("it ends before its end"),
            Self::Damaged(0) => f.write_str("its header is damaged"),
            Self::Damaged(record) => write!(f, "record {record} is damaged"),
            Self::Overlong => f.write_str("there is more behind its end"),
        }
    }
}

impl std::error::Error for SnapshotError {}
