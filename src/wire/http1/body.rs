//! Request bodies: how they are framed, and a decoder that takes them as they arrive.

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
    /// The one reading of a head's framing fields. Whatever a proxy in front of us could have read differently is
    /// refused, even where the RFC lets a server repair it.
    pub(super) fn of(head: &RequestHead<'_>) -> Result<Self, HttpError> {
        let mut codings = head.raw_values("transfer-encoding");
        let mut lengths = head.raw_values("content-length");
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(Self::None),
            (Some(_), Some(_)) => Err(HttpError::BadFraming),
            (Some(coding), None) => {
                if codings.next().is_some() || head.version() == Version::Http10 {
                    Err(HttpError::BadFraming)
                } else if coding.eq_ignore_ascii_case(b"chunked") {
                    Ok(Self::Chunked)
                } else {
                    Err(HttpError::UnsupportedCoding)
                }
            }
            (None, Some(length)) => match (parse_length(length), lengths.next()) {
                (Some(length), None) => Ok(Self::Length(length)),
                _ => Err(HttpError::BadFraming),
            },
        }
    }
}

/// Digits only: no sign, no list, no space inside, no overflow.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// What one call of [`BodyDecoder::decode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyProgress {
    /// Bytes that belonged to the body; what follows is the next request.
    pub consumed: usize,
    /// Whether the body has ended.
    pub is_complete: bool,
}

/// Takes one body as it arrives, in pieces of any size.
///
/// ```text
///                  0 left
///    Length(n) ───────────────────────────────────────────────▶ Complete
///                                                                  ▲
///    Size ──digits──▶ Size                                         │ LF
///      │ ';'                                                   LastEnd ◀─┐
///      ▼        CR           LF, size > 0                          ▲ CR  │
///    Extension ────▶ SizeEnd ────────────▶ Data ──0 left──▶ DataCr │     │
///      ▲               │   LF, size = 0                       │ CR │     │
///      │               └────────────────▶ TrailerStart ────────┼────┘     │
///      │                                    │   ▲              ▼          │
///      └────────────── Size ◀── LF ─────────┼───┼────────── DataEnd       │
///                                     token ▼   │ LF                      │
///                                  TrailerName ─▶ TrailerValue ─▶ TrailerEnd
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
    Extension(usize),
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

    /// Takes what it needs from `bytes` and appends what the body says to `out`, which grows by no more than what
    /// arrived.
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
            (State::Size { size, has_digit: true } | State::Extension(size), b'\r') => State::SizeEnd(size),
            (State::Size { size, has_digit: true }, b';') => State::Extension(size),
            (State::Extension(size), _) if is_field_byte(byte) => State::Extension(size),
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
fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// `tchar`. [RFC 9110 5.6.2]
pub(in crate::wire) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
