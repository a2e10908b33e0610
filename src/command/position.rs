//! Positions: places in a topic's sequence of publications.

use std::fmt;
use std::str::FromStr;

/// The life of a topic that an offset belongs to. A topic that is forgotten and made again gets another epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A place in a topic's sequence of publications; its text form is `EPOCH-OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The topic's life.
    pub epoch: Epoch,
    /// The number of the publication; the first is 1, and 0 is before the first.
    pub offset: u64,
}

impl Position {
    /// Appends the text form.
    pub fn write(&self, out: &mut Vec<u8>) {
        let digits = (u64::BITS - self.epoch.0.leading_zeros()).div_ceil(4).max(1);
        out.extend((0..digits).rev().map(|digit| b"0123456789abcdef"[(self.epoch.0 >> (4 * digit) & 0xf) as usize]));
        out.push(b'-');
        out.extend_from_slice(itoa::Buffer::new().format(self.offset).as_bytes());
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// Not an `EPOCH-OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPosition;

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let (epoch, offset) = text.split_once('-').ok_or(BadPosition)?;
        let plain = |part: &str| part.len() <= 20 && part.bytes().all(|b| b.is_ascii_hexdigit());
        if !plain(epoch) || !plain(offset) {
            return Err(BadPosition);
        }
        Ok(Self {
            epoch: Epoch(u64::from_str_radix(epoch, 16).map_err(|_| BadPosition)?),
            offset: offset.parse().map_err(|_| BadPosition)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_as_it_was_written() {
        let position = Position { epoch: Epoch(0xdead_beef), offset: 123 };
        assert_eq!(position.to_string(), "deadbeef-123");
        assert_eq!("deadbeef-123".parse(), Ok(position));
        for epoch in [0, 1, 0xf, 0x10, 0xdead_beef, u64::MAX] {
            let position = Position { epoch: Epoch(epoch), offset: u64::MAX - 1 };
            let mut text = Vec::new();
            position.write(&mut text);
            assert_eq!(text, position.to_string().as_bytes());
        }
        for bad in ["", "-", "1", "1-", "-1", "x-1", "1-x", "1-f", "+1-1", "1-+1", "11111111111111111-1", "1-1-1"] {
            assert_eq!(bad.parse::<Position>(), Err(BadPosition), "{bad}");
        }
    }
}
