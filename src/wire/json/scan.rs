//! A scanner that checks a whole text and builds nothing: its state is a position and one bit for each open level.

use std::ops::Range;

use super::error::JsonError;
use crate::limits::{JSON_DEPTH_MAX, JSON_FIELDS_MAX};

/// Whether the whole of `text` is one JSON value of at most `JSON_DEPTH_MAX` levels. Never allocates.
#[must_use]
pub fn is_valid(text: &[u8]) -> bool {
    simdutf8::basic::from_utf8(text).is_ok_and(|text| scan_value(text).is_ok())
}

fn scan_value(text: &str) -> Result<(), JsonError> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    scanner.value(0)?;
    scanner.end()
}

/// Checks a text that is an object, and notes where the values of its fields stand.
pub(super) fn scan_fields(text: &str, fields: &mut Vec<Range<usize>>) -> Result<(), JsonError> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    fields.clear();
    scanner.space();
    if scanner.peek() != Some(b'{') {
        scan_value(text)?;
        return Err(JsonError::NotAnObject);
    }
    scanner.at += 1;
    scanner.space();
    if scanner.peek() == Some(b'}') {
        scanner.at += 1;
        return scanner.end();
    }
    loop {
        scanner.name()?;
        scanner.space();
        let start = scanner.at;
        scanner.value(1)?;
        if fields.len() == JSON_FIELDS_MAX {
            return Err(JsonError::TooManyFields);
        }
        fields.push(start..scanner.at);
        scanner.space();
        match scanner.next()? {
            b',' => {}
            b'}' => return scanner.end(),
            _ => return Err(JsonError::Syntax),
        }
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// One value, with white space before it, that `outer` levels are open around. No recursion: the kinds of the
    /// levels inside are the bits of one integer.
    fn value(&mut self, outer: usize) -> Result<(), JsonError> {
        const { assert!(JSON_DEPTH_MAX <= u128::BITS as usize) };
        let (mut depth, mut is_object) = (outer, 0u128);
        loop {
            self.space();
            match self.next()? {
                open @ (b'{' | b'[') => {
                    if depth == JSON_DEPTH_MAX {
                        return Err(JsonError::TooDeep);
                    }
                    depth += 1;
                    is_object = is_object << 1 | u128::from(open == b'{');
                    self.space();
                    // `{` and `[` stand two before the bracket that closes them.
                    if self.peek() != Some(open + 2) {
                        if open == b'{' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.literal(b"rue")?,
                b'f' => self.literal(b"alse")?,
                b'n' => self.literal(b"ull")?,
                first @ (b'-' | b'0'..=b'9') => self.number(first)?,
                _ => return Err(JsonError::Syntax),
            }
            // A value has ended, or an empty container is about to.
            loop {
                if depth == outer {
                    return Ok(());
                }
                self.space();
                match (self.next()?, is_object & 1 == 1) {
                    (b',', true) => {
                        self.space();
                        self.name()?;
                        break;
                    }
                    (b',', false) => break,
                    (b'}', true) | (b']', false) => {
                        depth -= 1;
                        is_object >>= 1;
                    }
                    _ => return Err(JsonError::Syntax),
                }
            }
        }
    }

    /// The name of a field and its colon.
    fn name(&mut self) -> Result<(), JsonError> {
        self.space();
        self.expect(b'"')?;
        self.string()?;
        self.space();
        self.expect(b':')
    }

    /// The rest of a string, behind its opening quote.
    fn string(&mut self) -> Result<(), JsonError> {
        loop {
            self.at += plain_len(self.bytes.get(self.at..).unwrap_or_default());
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                // "All Unicode characters may be placed within the quotation marks, except for the characters that
                // MUST be escaped" [RFC 8259 7]
                0..0x20 => return Err(JsonError::Syntax),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.code_unit()? {
                0xd800..0xdc00 => {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    if matches!(self.code_unit()?, 0xdc00..0xe000) { Ok(()) } else { Err(JsonError::Syntax) }
                }
                0xdc00..0xe000 => Err(JsonError::Syntax),
                _ => Ok(()),
            },
            _ => Err(JsonError::Syntax),
        }
    }

    fn code_unit(&mut self) -> Result<u32, JsonError> {
        (0..4).try_fold(0, |unit, _| {
            let digit = char::from(self.next()?).to_digit(16).ok_or(JsonError::Syntax)?;
            Ok(unit << 4 | digit)
        })
    }

    /// The rest of a number, behind its first character. [RFC 8259 6]
    fn number(&mut self, first: u8) -> Result<(), JsonError> {
        let first = if first == b'-' { self.next()? } else { first };
        match first {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return Err(JsonError::Syntax),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit()?;
            self.digits();
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digit()?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self) -> Result<(), JsonError> {
        if self.next()?.is_ascii_digit() { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn literal(&mut self, rest: &[u8]) -> Result<(), JsonError> {
        rest.iter().try_for_each(|&byte| self.expect(byte))
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.peek().is_none() { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.next()? == byte { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, JsonError> {
        let byte = self.peek().ok_or(JsonError::Syntax)?;
        self.at += 1;
        Ok(byte)
    }
}

/// Bytes at the start of `bytes` that need no look: eight at a time, as long as none of them is a quote, a backslash
/// or a control character.
fn plain_len(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let is_plain = |word: &&[u8; 8]| {
        let word = u64::from_ne_bytes(**word);
        let lacks = |byte: u8| {
            let zeroed = word ^ (LOW_BITS * u64::from(byte));
            zeroed.wrapping_sub(LOW_BITS) & !zeroed & HIGH_BITS == 0
        };
        let has_no_control = word.wrapping_sub(LOW_BITS * 0x20) & !word & HIGH_BITS == 0;
        has_no_control && lacks(b'"') && lacks(b'\\')
    };
    words.iter().take_while(is_plain).count() * 8
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
