//! An input in parts: single choices from its start, the rest as a stream in pieces.

/// The rest of an input. After its end every choice is 0.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many bytes, or fewer at the end.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(len).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }

    /// Bytes behind their length.
    pub fn counted(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.take(len)
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Lengths of pieces: up to seven, none of them 0. Without any, all is one piece.
    pub fn lens(&mut self) -> Vec<usize> {
        let count = usize::from(self.byte() % 8);
        let lens: Vec<usize> = self.take(count).iter().map(|&len| usize::from(len).max(1)).collect();
        if lens.is_empty() { vec![usize::MAX] } else { lens }
    }
}

/// `bytes` in pieces of these lengths, over and over until all is used.
pub fn pieces<'a>(bytes: &'a [u8], lens: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    let mut lens = lens.iter().cycle();
    std::iter::from_fn(move || {
        let len = *lens.next()?;
        let (piece, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The same, a stretch of 64 for each where there is much: an input of a few bytes may stand for many.
pub fn for_len(lens: Vec<usize>, len: usize) -> Vec<usize> {
    let stretch = if len > MUCH { 64 } else { 1 };
    lens.into_iter().map(|len| len.saturating_mul(stretch)).collect()
}

const MUCH: usize = 8192;
