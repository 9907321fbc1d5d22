//! The bookkeeping of the guest's heap: addresses only, no memory.
//!
//! Blocks are handed out in ascending order and counted. When the last one is given back, the next
//! starts at the base again. Apart from the unsafe code that uses it, so that it is tested natively.

/// Addresses from a base upwards.
#[derive(Debug)]
pub(crate) struct Arena {
    base: usize,
    top: usize,
    in_use: usize,
}

impl Arena {
    pub(crate) const fn new(base: usize) -> Self {
        Self { base, top: base, in_use: 0 }
    }

    /// The start of a fresh block, or `None` if addresses run out. `align` is a power of two.
    pub(crate) fn reserve(&mut self, size: usize, align: usize) -> Option<usize> {
        let start = self.top.checked_next_multiple_of(align)?;
        self.top = start.checked_add(size)?;
        self.in_use += 1;
        Some(start)
    }

    /// Takes one block back.
    pub(crate) fn release(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
        if self.in_use == 0 {
            self.top = self.base;
        }
    }

    /// The end of the highest block since the last reset.
    pub(crate) const fn top(&self) -> usize {
        self.top
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_are_aligned_and_disjoint(
            base in 0..10_000usize,
            blocks in prop::collection::vec((0..500usize, 0..7u32), 1..50),
        ) {
            let mut arena = Arena::new(base);
            let mut end = base;
            for (size, log_align) in &blocks {
                let align = 1usize << log_align;
                let start = arena.reserve(*size, align).unwrap();
                prop_assert!(start >= end && start.is_multiple_of(align));
                end = start + size;
                prop_assert_eq!(arena.top(), end);
            }
            for _ in 1..blocks.len() {
                arena.release();
                prop_assert_eq!(arena.top(), end, "still in use");
            }
            arena.release();
            prop_assert_eq!(arena.top(), base);
        }
    }

    #[test]
    fn an_impossible_block_is_refused_and_changes_nothing() {
        let mut arena = Arena::new(1024);
        assert_eq!(arena.reserve(usize::MAX, 8), None);
        assert_eq!(arena.reserve(8, 8), Some(1024));
        arena.release();
        assert_eq!(arena.top(), 1024);
    }
}
