//! Blocks for bytes that must outlive the call that lent them: a split head, a partial message, a batch body.

use crate::limits::{POOL_BLOCK_KEPT_LEN_MAX, POOL_BLOCKS_KEPT_MAX};

/// Growable blocks for reuse. A shard has one pool. Every block that is taken comes back through [`BlockPool::put`], or
/// through [`BlockPool::forget`] if its bytes move to another owner, so that `in_use` counts to zero.
#[derive(Debug, Default)]
pub struct BlockPool {
    free: Vec<Vec<u8>>,
    in_use: usize,
}

impl BlockPool {
    /// An empty block, with the capacity of its last use.
    pub fn take(&mut self) -> Vec<u8> {
        self.in_use += 1;
        self.free.pop().unwrap_or_default()
    }

    /// Brings a block back.
    pub fn put(&mut self, mut block: Vec<u8>) {
        self.forget();
        if block.capacity() > 0 && block.capacity() <= POOL_BLOCK_KEPT_LEN_MAX && self.free.len() < POOL_BLOCKS_KEPT_MAX
        {
            block.clear();
            self.free.push(block);
        }
    }

    /// Counts a block as returned after its bytes moved to another owner.
    pub fn forget(&mut self) {
        self.in_use = self.in_use.checked_sub(1).expect("a block comes back once, after it was taken");
    }

    /// Gives what is kept for reuse back to the allocator.
    pub fn release_spare(&mut self) {
        self.free = Vec::new();
    }

    /// Blocks taken and not yet returned.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_blocks_are_not_kept_and_the_count_returns_to_zero() {
        let mut pool = BlockPool::default();
        let mut small = pool.take();
        small.extend_from_slice(b"head");
        let mut large = pool.take();
        large.reserve(POOL_BLOCK_KEPT_LEN_MAX + 1);
        pool.put(small);
        pool.put(large);
        assert_eq!(pool.in_use(), 0);
        assert_eq!(pool.free.len(), 1);
        assert!(pool.take().is_empty(), "a block comes out empty");
    }
}
