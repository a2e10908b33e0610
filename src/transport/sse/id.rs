//! The id line of a reader of several topics. It is kept as text: an event changes one position of it, and copies the
//! others.

use crate::command::Position;

/// `id: POSITION,POSITION`, with its line end; empty for no position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdLine {
    text: Vec<u8>,
    /// Where each position ends.
    ends: Box<[u32]>,
}

impl IdLine {
    /// The line of these positions.
    pub fn new(positions: impl Iterator<Item = Position>) -> Self {
        let mut text = Vec::new();
        let mut ends = Vec::new();
        for position in positions {
            text.extend_from_slice(if ends.is_empty() { PREFIX } else { b"," });
            position.write(&mut text);
            ends.push(text.len() as u32);
        }
        if !ends.is_empty() {
            text.push(b'\n');
        }
        Self { text, ends: ends.into_boxed_slice() }
    }

    /// Replaces one of the positions.
    pub fn set(&mut self, place: usize, position: Position) {
        let mut written = Vec::with_capacity(POSITION_LEN_MAX);
        position.write(&mut written);
        let end = self.ends[place] as usize;
        let start = place.checked_sub(1).map_or(PREFIX.len(), |before| self.ends[before] as usize + b",".len());
        if written.len() == end - start {
            self.text[start..end].copy_from_slice(&written);
            return;
        }
        self.text.splice(start..end, written.iter().copied());
        let (old_len, len) = (end - start, written.len());
        for end in &mut self.ends[place..] {
            *end = (*end as usize - old_len + len) as u32;
        }
    }

    /// The line.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

const PREFIX: &[u8] = b"id: ";

/// Characters of `EPOCH-OFFSET`: up to 16 hexadecimal digits, and 20 decimal ones.
const POSITION_LEN_MAX: usize = 16 + 1 + 20;

#[cfg(test)]
mod tests {
    use super::super::id;
    use super::*;
    use crate::command::Epoch;

    #[test]
    fn a_line_that_is_changed_is_the_line_of_its_positions() {
        let seed = 0x5eed_0032;
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for count in [1, 2, 3, 128] {
            let mut positions = vec![Position { epoch: Epoch(1), offset: 0 }; count];
            let mut line = IdLine::new(positions.iter().copied());
            for _ in 0..500 {
                let place = rng.usize(0..count);
                positions[place] =
                    Position { epoch: Epoch(rng.u64(..) >> rng.u8(0..64)), offset: rng.u64(..) >> rng.u8(0..64) };
                line.set(place, positions[place]);
                let mut expected = Vec::new();
                id(positions.iter().copied(), &mut expected);
                assert_eq!(String::from_utf8_lossy(line.as_bytes()), String::from_utf8_lossy(&expected));
            }
        }
        assert_eq!(IdLine::new(std::iter::empty()).as_bytes(), b"");
    }
}
