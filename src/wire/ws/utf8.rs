//! UTF-8 that arrives in pieces.

use std::str;

/// Bytes that are not UTF-8, and cannot become it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUtf8;

/// Validates text across the fragments and partial frames of a message. Keeps at most the three bytes of an
/// unfinished character, and fails with the first byte after which no valid text can follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8Validator {
    /// The start of an unfinished character: `pending[..pending_len]`.
    pending: [u8; 3],
    pending_len: u8,
}

/// Whether bytes that are there whole are UTF-8.
#[must_use]
pub fn is_utf8(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok()
}

impl Utf8Validator {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`InvalidUtf8`] if what was taken so far is not the start of any valid text.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), InvalidUtf8> {
        let rest = self.finish_pending(bytes)?;
        let (whole, tail) = rest.split_at(unfinished_start(rest));
        simdutf8::basic::from_utf8(whole).map_err(|_| InvalidUtf8)?;
        self.keep_pending(tail)
    }

    /// Ends the text, and is ready for the next.
    ///
    /// # Errors
    /// [`InvalidUtf8`] if a character is unfinished.
    pub fn finish(&mut self) -> Result<(), InvalidUtf8> {
        let outcome = if self.pending_len == 0 { Ok(()) } else { Err(InvalidUtf8) };
        *self = Self::default();
        outcome
    }

    /// Completes the pending character from the start of `bytes` and returns the rest.
    fn finish_pending<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], InvalidUtf8> {
        let had = usize::from(self.pending_len);
        if had == 0 {
            return Ok(bytes);
        }
        let mut character = [0; 4];
        character[..had].copy_from_slice(&self.pending[..had]);
        for (taken, &byte) in bytes.iter().enumerate() {
            let len = had + taken + 1;
            character[len - 1] = byte;
            if is_start_of_text(&character[..len])? {
                self.pending_len = 0;
                return Ok(&bytes[taken + 1..]);
            }
        }
        self.keep_pending(&character[..had + bytes.len()])?;
        Ok(&[])
    }

    fn keep_pending(&mut self, tail: &[u8]) -> Result<(), InvalidUtf8> {
        if is_start_of_text(tail)? {
            return Ok(());
        }
        // An unfinished character has at most three bytes; `is_start_of_text` refuses four bytes that are no character.
        self.pending[..tail.len()].copy_from_slice(tail);
        self.pending_len = tail.len() as u8;
        Ok(())
    }
}

/// Whether `bytes` end with a whole character (`Ok(true)`) or in the middle of one that may yet become valid.
fn is_start_of_text(bytes: &[u8]) -> Result<bool, InvalidUtf8> {
    match str::from_utf8(bytes) {
        Ok(_) => Ok(true),
        Err(error) if error.error_len().is_none() => Ok(false),
        Err(_) => Err(InvalidUtf8),
    }
}

/// Where the character begins that `bytes` end in the middle of, judged by its first byte alone; their length if
/// they end with a whole one, or with what is no character at all.
fn unfinished_start(bytes: &[u8]) -> usize {
    let len = bytes.len();
    for back in 1..=len.min(3) {
        let character_len = match bytes[len - back] {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            _ => 1,
        };
        return if character_len > back { len - back } else { len };
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::splits::{config, piece_lens, pieces};
    use proptest::prelude::*;

    /// Takes the pieces in turn: where the text could no longer become valid, in bytes, or whether it ended whole.
    fn validate<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<bool, usize> {
        let (mut validator, mut taken) = (Utf8Validator::default(), 0);
        for piece in pieces {
            taken += piece.len();
            validator.push(piece).map_err(|InvalidUtf8| taken)?;
        }
        let is_whole = validator.finish().is_ok();
        assert_eq!(validator, Utf8Validator::default(), "it is ready for the next text");
        Ok(is_whole)
    }

    /// The standard library says the same of the whole text, and of every prefix.
    fn check(bytes: &[u8], lens: &[usize]) {
        let hopeless = |len: &usize| str::from_utf8(&bytes[..*len]).is_err_and(|error| error.error_len().is_some());
        let expected = match (0..=bytes.len()).find(hopeless) {
            Some(len) => Err(len),
            None => Ok(str::from_utf8(bytes).is_ok()),
        };
        assert_eq!(validate(pieces(bytes, &[1])), expected, "{bytes:x?}");
        let in_pieces = validate(pieces(bytes, lens));
        assert_eq!(in_pieces.is_err(), expected.is_err(), "{bytes:x?} by {lens:?}");
        assert!(in_pieces.is_err() || in_pieces == expected, "{bytes:x?} by {lens:?}");
    }

    #[test]
    fn every_kind_of_four_bytes_is_judged_as_the_standard_library_does_at_each_byte() {
        let kinds: &[u8] = if cfg!(miri) {
            &[0x7f, 0x80, 0xa0, 0xe0, 0xf4]
        } else {
            &[0, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5]
        };
        let product = || kinds.iter().flat_map(|a| kinds.iter().map(move |b| [*a, *b]));
        for ([a, b], [c, d]) in product().flat_map(|ab| product().map(move |cd| (ab, cd))) {
            for lens in [&[4][..], &[1, 3], &[2]] {
                check(&[a, b, c, d], lens);
            }
        }
    }

    #[test]
    fn an_unfinished_character_is_no_text() {
        for text in [&b"\xc3"[..], b"a\xe2\x82", b"\xf0\x9f\x98"] {
            assert_eq!(validate(std::iter::once(text)), Ok(false), "{text:x?}");
        }
        assert_eq!(validate([&b"\xf0\x9f"[..], b"", b"\x98\x80"].into_iter()), Ok(true));
    }

    proptest! {
        #![proptest_config(config(2000))]

        #[test]
        fn text_is_judged_the_same_however_it_is_split(
            text in "\\PC{0,120}", cut in 0..4usize, at in any::<prop::sample::Index>(), byte: u8, lens in piece_lens(),
        ) {
            let mut bytes = text.into_bytes();
            check(&bytes, &lens);
            bytes.truncate(bytes.len().saturating_sub(cut));
            check(&bytes, &lens);
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            check(&bytes, &lens);
        }
    }
}
