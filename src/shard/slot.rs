//! Places in pools.

/// A place in a pool, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Slot(u32);

impl Slot {
    pub const NONE: Self = Self(u32::MAX);

    pub fn new(index: usize) -> Self {
        Self(index as u32)
    }

    pub fn index(self) -> Option<usize> {
        (self != Self::NONE).then_some(self.0 as usize)
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}
