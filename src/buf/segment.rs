//! A range of shared, encoded bytes.

use std::fmt;
use std::ops::{Deref, Range};
use std::rc::Rc;

use crate::limits::MESSAGE_LEN_BOUND;

/// A range of a shared block. Cloning it copies a pointer; 16 bytes in size, so that a stalled reader costs no more
/// than that for each run that waits for it.
#[derive(Clone)]
pub struct Segment {
    block: Rc<Vec<u8>>,
    start: u32,
    end: u32,
}

impl Segment {
    /// All of `bytes`, copied once into a new block.
    ///
    /// # Panics
    /// If `bytes` is 4 GiB or longer; every encoder is bounded far below.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self::from(bytes.to_vec())
    }

    /// A part of this segment, without a copy. `range` counts from the start of this segment.
    ///
    /// # Panics
    /// If the range does not lie inside the segment.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len(), "a slice lies inside its segment");
        Self {
            block: Rc::clone(&self.block),
            start: self.start + range.start as u32,
            end: self.start + range.end as u32,
        }
    }

    /// Drops the first `count` bytes, as after a partial send.
    ///
    /// # Panics
    /// If the segment is shorter.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "no more is sent than there was");
        self.start += count as u32;
    }

    /// Whether it is the same part of the same block.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.block, &other.block) && (self.start, self.end) == (other.start, other.end)
    }

    /// Whether nothing else refers to its block.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        Rc::strong_count(&self.block) == 1
    }

    /// Its part of the block that it keeps alive, in bytes: all that refer to the block have equal parts.
    #[must_use]
    pub fn own_len(&self) -> usize {
        self.block.capacity() / Rc::strong_count(&self.block)
    }

    /// Takes `next` into this segment if its bytes follow directly in the same block; gives it back otherwise.
    ///
    /// # Errors
    /// The segment that was passed in.
    pub fn extend_with(&mut self, next: Segment) -> Result<(), Segment> {
        if self.end == next.start && Rc::ptr_eq(&self.block, &next.block) {
            self.end = next.end;
            return Ok(());
        }
        Err(next)
    }
}

impl From<Vec<u8>> for Segment {
    fn from(block: Vec<u8>) -> Self {
        let end = u32::try_from(block.len()).expect("encoders stay far below 4 GiB");
        Self { block: Rc::new(block), start: 0, end }
    }
}

impl Deref for Segment {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block[self.start as usize..self.end as usize]
    }
}

const _: () = assert!(size_of::<Segment>() == 16);
// A message whose every byte is escaped as six, with a run before it and replies behind it.
const _: () = assert!(6 * (MESSAGE_LEN_BOUND as u64) + (64 << 20) < u32::MAX as u64);

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Segment({}..{} of {})", self.start, self.end, self.block.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_share_the_block_and_join_again() {
        let whole = Segment::copy_of(b"one two three");
        let mut first = whole.slice(0..4);
        let second = whole.slice(4..8);
        assert_eq!(&*second, b"two ");
        assert!(first.extend_with(second).is_ok());
        assert_eq!(&*first, b"one two ");
        assert!(first.extend_with(whole.slice(9..10)).is_err());
        assert!(first.extend_with(Segment::copy_of(b"two ")).is_err());
        first.advance(4);
        assert_eq!(&*first, b"two ");
        assert_eq!(Rc::strong_count(&whole.block), 2);
    }
}
