//! A run as bytes.

use crate::buf::Segment;

/// A run in one encoding: the frames of all its publications, and where each ends.
#[derive(Debug)]
pub(in crate::shard) struct Encoded {
    pub segment: Segment,
    pub ends: Vec<u32>,
    /// By how many bytes it is shorter than it would be uncompressed, up to the end of each publication; empty if it
    /// is not compressed.
    pub saved: Vec<u32>,
}

impl Encoded {
    pub fn plain(segment: Segment, ends: Vec<u32>) -> Self {
        Self { segment, ends, saved: Vec::new() }
    }

    /// By how many bytes it is shorter, its first publications left out.
    pub fn saved_from(&self, first: usize) -> u64 {
        let up_to = |end: Option<usize>| end.and_then(|end| self.saved.get(end)).copied().unwrap_or(0);
        u64::from(up_to(self.saved.len().checked_sub(1)) - up_to(first.checked_sub(1)))
    }
}
