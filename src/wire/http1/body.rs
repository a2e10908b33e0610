//! Request bodies: how they are framed, and a decoder that takes them as they arrive.

use super::chunk_extension::Extension;
use super::error::HttpError;
use super::head::{RequestHead, Version};
use super::target::hex_digit;
use crate::limits::CHUNK_LINE_LEN_MAX;

/// How the end of a body is found. [RFC 9112 6.3]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, up to an empty one.
    Chunked,
}

impl BodyFraming {
    /// The one reading of a head's framing fields. A head that a proxy in front of the gateway could read differently
    /// is refused, even where the RFC lets a server repair it.
    pub(super) fn of(head: &RequestHead<'_>) -> Result<Self, HttpError> {
        let mut codings = head.raw_values("transfer-encoding");
        let mut lengths = head.raw_values("content-length");
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(Self::None),
            (Some(_), Some(_)) => Err(HttpError::BadFraming),
            (Some(coding), None) => {
                if codings.next().is_some() || head.version() == Version::Http10 {
                    Err(HttpError::BadFraming)
                } else {
                    of_codings(coding)
                }
            }
            (None, Some(length)) => match (parse_length(length), lengths.next()) {
                (Some(length), None) => Ok(Self::Length(length)),
                _ => Err(HttpError::BadFraming),
            },
        }
    }
}

/// The framing of a list of transfer codings. "If a Transfer-Encoding header field is present in a request and the
/// chunked transfer coding is not the final encoding, the message body length cannot be determined reliably; the server
/// MUST respond with the 400 (Bad Request) status code". [RFC 9112 6.3]
fn of_codings(list: &[u8]) -> Result<BodyFraming, HttpError> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let mut codings = list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).rev();
    if !codings.next().is_some_and(is_chunked) {
        return Err(HttpError::BadFraming);
    }
    // It may be applied only once, and an empty element is no coding.
    match codings.try_fold(0, |count, coding| (!coding.is_empty() && !is_chunked(coding)).then_some(count + 1)) {
        Some(0) => Ok(BodyFraming::Chunked),
        Some(_) => Err(HttpError::UnsupportedCoding),
        None => Err(HttpError::BadFraming),
    }
}

/// Digits only: no sign, no list, no space inside, no overflow.
pub(super) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// The result of one call of [`BodyDecoder::decode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyProgress {
    /// Bytes that belonged to the body; those behind them are the next request.
    pub consumed: usize,
    /// Whether the body has ended.
    pub is_complete: bool,
}

/// Takes one body as it arrives, in pieces of any size.
///
/// ```text
///    Length ──all of it──▶ Complete
///
///    Size ──';', space──▶ Extension
///     │ CR                 │ CR
///     ▼               ▼
///    SizeEnd ──LF, size > 0──▶ Data ──all of it──▶ DataCr ──CR──▶ DataEnd ──LF──▶ Size
///     │
///     │ LF, size = 0              CR              LF
///     └─────────────▶ TrailerStart ──▶ LastEnd ──────▶ Complete
///                      │ token    ▲
///                      ▼          └────────────────LF──────────────┐
///                     TrailerName ──':'──▶ TrailerValue ──CR──▶ TrailerEnd
/// ```
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    state: State,
    /// Bytes that the body may still grow by.
    budget: usize,
    /// Of the chunk-size line or the trailer section, so far.
    line_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Complete,
    /// Bytes left; never 0.
    Length(usize),
    /// The size so far, and whether it has a digit yet.
    Size {
        size: usize,
        has_digit: bool,
    },
    Extension {
        size: usize,
        at: Extension,
    },
    SizeEnd(usize),
    /// Bytes left; never 0.
    Data(usize),
    DataCr,
    DataEnd,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastEnd,
}

impl BodyDecoder {
    /// A decoder at the start of a body of at most `len_max` bytes.
    ///
    /// # Errors
    /// [`HttpError::BodyTooLarge`] if the length is already known to be more.
    pub fn new(framing: BodyFraming, len_max: usize) -> Result<Self, HttpError> {
        let (state, budget) = match framing {
            BodyFraming::None | BodyFraming::Length(0) => (State::Complete, 0),
            BodyFraming::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= len_max => (State::Length(length), 0),
                _ => return Err(HttpError::BodyTooLarge),
            },
            BodyFraming::Chunked => (State::START, len_max),
        };
        Ok(Self { state, budget, line_len: 0 })
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Takes the body's bytes from `bytes` and appends the content to `out`, which grows by no more than what arrived.
    ///
    /// # Errors
    /// [`HttpError::BadChunk`], or [`HttpError::BodyTooLarge`] as soon as a chunk announces more than is allowed.
    /// The decoder must not be used afterwards.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<BodyProgress, HttpError> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.state {
                State::Complete => break,
                State::Length(left) => {
                    let (taken, rest) = take(rest, left, out);
                    self.state = if taken == left { State::Complete } else { State::Length(left - taken) };
                    rest
                }
                State::Data(left) => {
                    let (taken, rest) = take(rest, left, out);
                    self.state = if taken == left { State::DataCr } else { State::Data(left - taken) };
                    rest
                }
                _ => {
                    self.step(byte)?;
                    after
                }
            };
        }
        Ok(BodyProgress { consumed: bytes.len() - rest.len(), is_complete: self.is_complete() })
    }

    /// One byte of the framing between the data.
    fn step(&mut self, byte: u8) -> Result<(), HttpError> {
        let is_in_line = !matches!(self.state, State::DataCr | State::DataEnd);
        self.line_len = if is_in_line { self.line_len + 1 } else { 0 };
        if self.line_len > CHUNK_LINE_LEN_MAX {
            return Err(HttpError::BadChunk);
        }
        self.state = match (self.state, byte) {
            (State::Size { size, .. }, _) if hex_digit(byte).is_some() => {
                let digit = hex_digit(byte).map_or(0, usize::from);
                let size = size.saturating_mul(16).saturating_add(digit);
                if size > self.budget {
                    return Err(HttpError::BodyTooLarge);
                }
                State::Size { size, has_digit: true }
            }
            (State::Size { size, has_digit: true }, b'\r') => State::SizeEnd(size),
            (State::Extension { size, at }, b'\r') if at.may_end() => State::SizeEnd(size),
            (State::Size { size, has_digit: true }, _) => {
                State::Extension { size, at: Extension::Gap.step(byte).ok_or(HttpError::BadChunk)? }
            }
            (State::Extension { size, at }, _) => {
                State::Extension { size, at: at.step(byte).ok_or(HttpError::BadChunk)? }
            }
            (State::SizeEnd(0), b'\n') => {
                self.line_len = 0;
                State::TrailerStart
            }
            (State::SizeEnd(size), b'\n') => {
                self.line_len = 0;
                self.budget -= size;
                State::Data(size)
            }
            (State::DataCr, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::START,
            (State::TrailerStart, b'\r') => State::LastEnd,
            (State::TrailerStart | State::TrailerName, _) if is_token_byte(byte) => State::TrailerName,
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerEnd,
            (State::TrailerValue, _) if is_field_byte(byte) => State::TrailerValue,
            (State::TrailerEnd, b'\n') => State::TrailerStart,
            (State::LastEnd, b'\n') => State::Complete,
            _ => return Err(HttpError::BadChunk),
        };
        Ok(())
    }
}

impl State {
    const START: Self = Self::Size { size: 0, has_digit: false };
}

fn take<'a>(bytes: &'a [u8], left: usize, out: &mut Vec<u8>) -> (usize, &'a [u8]) {
    let (data, rest) = bytes.split_at(left.min(bytes.len()));
    out.extend_from_slice(data);
    (data.len(), rest)
}

/// Visible characters, space, tab and `obs-text`. [RFC 9110 5.5]
pub(super) fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// `tchar`. [RFC 9110 5.6.2]
pub(in crate::wire) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::splits::{config, corrupt, corruptions, piece_lens, pieces};
    use proptest::prelude::*;

    /// The body, how many bytes it took, and whether it is complete.
    fn decode<'a>(
        framing: BodyFraming,
        len_max: usize,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(Vec<u8>, usize, bool), HttpError> {
        let mut decoder = BodyDecoder::new(framing, len_max)?;
        let (mut out, mut consumed) = (Vec::new(), 0);
        for piece in pieces {
            let progress = decoder.decode(piece, &mut out)?;
            assert_eq!(progress.is_complete, decoder.is_complete());
            consumed += progress.consumed;
            if progress.consumed < piece.len() {
                assert!(progress.is_complete, "only the end of the body leaves bytes behind");
                break;
            }
        }
        Ok((out, consumed, decoder.is_complete()))
    }

    /// Expects a body, how many of `bytes` are left behind it, and whether it is complete.
    fn check(framing: BodyFraming, bytes: &[u8], expected: Result<(&[u8], usize, bool), HttpError>) {
        let expected = expected.map(|(body, left, is_complete)| (body.to_vec(), bytes.len() - left, is_complete));
        for lens in [&[1][..], &[2], &[3], &[bytes.len().max(1)]] {
            let outcome = decode(framing, 16, pieces(bytes, lens));
            assert_eq!(outcome, expected, "{:?} by {lens:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_body_with_a_length_ends_where_it_says() {
        check(BodyFraming::None, b"GET", Ok((b"", 3, true)));
        check(BodyFraming::Length(0), b"GET", Ok((b"", 3, true)));
        check(BodyFraming::Length(5), b"helloGET", Ok((b"hello", 3, true)));
        check(BodyFraming::Length(5), b"hell", Ok((b"hell", 0, false)));
    }

    #[test]
    fn chunks_are_joined_and_extensions_and_trailers_dropped() {
        for (bytes, expected) in [
            (&b"0\r\n\r\nGET"[..], (&b""[..], 3, true)),
            (b"5\r\nhello\r\n0\r\n\r\n", (b"hello", 0, true)),
            (b"5\r\nhello\r\n00B\r\n, over here\r\n000\r\n\r\n", (b"hello, over here", 0, true)),
            (b"a;name=\"v;\\\"\";x\r\n0123456789\r\n0;y\r\n\r\n", (b"0123456789", 0, true)),
            (b"5 ;a=b\r\nhello\r\n0\r\n\r\n", (b"hello", 0, true)),
            (b"5\t ;\ta =\t\"b\\\";\" ; c;d = e\r\nhello\r\n0 ;x\r\n\r\n", (b"hello", 0, true)),
            (b"1\r\n\r\r\n0\r\nA: b\r\nC:\r\n\r\nGET", (b"\r", 3, true)),
            (b"5\r\nhe", (b"he", 0, false)),
            (b"5\r\nhello\r\n0\r\n\r", (b"hello", 0, false)),
        ] {
            check(BodyFraming::Chunked, bytes, Ok(expected));
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for bytes in [
            &b"\r\n"[..],
            b"g\r\n",
            b"0x5\r\n",
            b"+5\r\n",
            b"-5\r\n",
            b" 5\r\n",
            b"5 \r\n",
            b"5;\r\n",
            b"5;;a\r\n",
            b"5;=x\r\n",
            b"5;a=\r\n",
            b"5;a==b\r\n",
            b"5;a b\r\n",
            b"5;a \r\n",
            b"5;a=b \r\n",
            b"5;a=b=c\r\n",
            b"5;a=\"b\r\n",
            b"5;a=\"b\"c\r\n",
            b"5;a=\"b\\\r\n",
            b"5;(\r\n",
            b"5\nhello",
            b"5\r\r\n",
            b"5\rhello",
            b"5;x\nhello\r\n",
            b"5;x\x00\r\n",
            b"5\r\nhelloX",
            b"5\r\nhello\n",
            b"5\r\nhello\rX",
            b"5\r\nhello0\r\n\r\n",
            b"0\r\n\n",
            b"0\r\n\rX",
            b"0\r\n folded\r\n",
            b"0\r\n: x\r\n",
            b"0\r\nA\r\n",
            b"0\r\nA : b\r\n",
            b"0\r\nA: b\n",
            b"0\r\nA: b\rX",
            b"0\r\nA: \x00\r\n",
            b"0\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            check(BodyFraming::Chunked, bytes, Err(HttpError::BadChunk));
        }
    }

    #[test]
    fn a_body_at_its_bound_is_taken_and_one_past_it_refused_when_announced() {
        check(BodyFraming::Length(16), &[b'x'; 16], Ok((&[b'x'; 16], 0, true)));
        for length in [17, u64::MAX] {
            assert_eq!(BodyDecoder::new(BodyFraming::Length(length), 16).err(), Some(HttpError::BodyTooLarge));
        }
        check(BodyFraming::Chunked, b"10\r\n0123456789abcdef\r\n0\r\n\r\n", Ok((b"0123456789abcdef", 0, true)));
        for bytes in
            [&b"11"[..], b"8\r\n01234567\r\n9", b"fffffffffffffffffffffffffffffffff", b"10\r\n0123456789abcdef\r\n1"]
        {
            check(BodyFraming::Chunked, bytes, Err(HttpError::BodyTooLarge));
        }
        assert_eq!(HttpError::BodyTooLarge.status().code(), 413);
    }

    #[test]
    fn chunk_lines_and_trailers_are_bounded() {
        let line = |len: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(len - 4)).into_bytes();
        let longest = line(CHUNK_LINE_LEN_MAX);
        check(BodyFraming::Chunked, &longest, Ok((b"x", 0, true)));
        check(BodyFraming::Chunked, &line(CHUNK_LINE_LEN_MAX + 1), Err(HttpError::BadChunk));
        check(BodyFraming::Chunked, &[b'0'; CHUNK_LINE_LEN_MAX + 1], Err(HttpError::BadChunk));

        let trailers =
            |len: usize| format!("0\r\n{}{}:\r\n\r\n", "a:\r\n".repeat(10), "a".repeat(len - 45)).into_bytes();
        let longest = trailers(CHUNK_LINE_LEN_MAX);
        check(BodyFraming::Chunked, &longest, Ok((b"", 0, true)));
        check(BodyFraming::Chunked, &trailers(CHUNK_LINE_LEN_MAX + 1), Err(HttpError::BadChunk));
    }

    proptest! {
        #![proptest_config(config(2000))]

        #[test]
        fn a_chunked_body_reads_back_however_it_is_split(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..30), 0..6), lens in piece_lens(),
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            let len = bytes.len();
            bytes.extend_from_slice(b"GET / HTTP/1.1");
            let expected = (chunks.concat(), len, true);
            prop_assert_eq!(decode(BodyFraming::Chunked, 1000, pieces(&bytes, &lens)), Ok(expected));
        }

        #[test]
        fn a_corrupted_chunked_body_reads_the_same_however_it_is_split(
            corruptions in corruptions(), lens in piece_lens(), cut in 0..=58usize,
        ) {
            let mut bytes = b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\nC: d\r\n\r\nGET / HTTP/1.1\r\n".to_vec();
            bytes.truncate(cut);
            corrupt(&mut bytes, &corruptions);
            let whole = decode(BodyFraming::Chunked, 16, std::iter::once(&bytes[..]));
            prop_assert_eq!(decode(BodyFraming::Chunked, 16, pieces(&bytes, &lens)), whole);
        }
    }
}
