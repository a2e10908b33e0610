//! A scanner that checks a whole text and builds nothing: its state is a position and one bit for each open level.

use std::ops::Range;

use super::error::JsonError;
use super::value::unescape;
use crate::limits::{JSON_DEPTH_MAX, JSON_FIELDS_MAX};

/// Whether the whole of `text` is one JSON value of at most `JSON_DEPTH_MAX` levels. Never allocates.
#[must_use]
pub fn is_valid(text: &[u8]) -> bool {
    simdutf8::basic::from_utf8(text).is_ok_and(|text| scan_value(text).is_ok())
}

/// Checks that a text is one value.
pub(super) fn scan_value(text: &str) -> Result<(), JsonError> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    scanner.value(&mut Few::default())?;
    scanner.end()
}

/// Where a field stands in the text of its object.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// Between its quotes.
    pub name: Range<usize>,
    /// Whether something in the name is escaped.
    pub has_escape: bool,
    pub value: Range<usize>,
}

impl Field {
    pub fn is_named(&self, text: &str, name: &str) -> bool {
        let raw = text.get(self.name.clone()).unwrap_or_default();
        if self.has_escape { unescape(raw).as_deref() == Some(name) } else { raw == name }
    }
}

/// Checks a text that is an object, and notes where its fields stand. Each of its values may have as many levels as a
/// text that stands for itself. Past a bound the rest is read nevertheless, since the `id` may be there.
pub(super) fn scan_fields(text: &str, fields: &mut Vec<Field>) -> Result<(), JsonError> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
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
    let mut outcome = Ok(());
    loop {
        let (name, has_escape) = scanner.name()?;
        scanner.space();
        let start = scanner.at;
        if let Err(error) = scanner.value(&mut Few::default()) {
            if error != JsonError::TooDeep {
                return Err(error);
            }
            outcome = outcome.and(Err(error));
            scanner.at = start;
            scanner.value(&mut Many::default())?;
        }
        let field = Field { name, has_escape, value: start..scanner.at };
        if fields.len() < JSON_FIELDS_MAX {
            fields.push(field);
        } else {
            outcome = outcome.and(Err(JsonError::TooManyFields));
            if fields.len() < JSON_FIELDS_MAX + 2 && field.is_named(text, "id") {
                fields.push(field);
            }
        }
        scanner.space();
        match scanner.next()? {
            b',' => {}
            b'}' => return scanner.end().and(outcome),
            _ => return Err(JsonError::Syntax),
        }
    }
}

/// The open levels of a value, by kind.
trait Levels {
    /// Opens an object or an array.
    fn open(&mut self, is_object: bool) -> Result<(), JsonError>;
    /// The innermost one.
    fn is_object(&self) -> Option<bool>;
    fn close(&mut self);
}

/// As many as may be: one bit each.
#[derive(Default)]
struct Few {
    is_object: u128,
    depth: usize,
}

impl Levels for Few {
    fn open(&mut self, is_object: bool) -> Result<(), JsonError> {
        const { assert!(JSON_DEPTH_MAX <= u128::BITS as usize) };
        if self.depth == JSON_DEPTH_MAX {
            return Err(JsonError::TooDeep);
        }
        self.depth += 1;
        self.is_object = self.is_object << 1 | u128::from(is_object);
        Ok(())
    }

    fn is_object(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.is_object & 1 == 1)
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.is_object >>= 1;
    }
}

/// As many as a text can have that is refused: at most a byte for each of its bytes.
#[derive(Default)]
struct Many(Vec<bool>);

impl Levels for Many {
    fn open(&mut self, is_object: bool) -> Result<(), JsonError> {
        self.0.push(is_object);
        Ok(())
    }

    fn is_object(&self) -> Option<bool> {
        self.0.last().copied()
    }

    fn close(&mut self) {
        self.0.pop();
    }
}

/// A walk along a text.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Behind the first `open` of a text that begins with it.
    pub fn behind(text: &'a str, open: u8) -> Self {
        let at = memchr::memchr(open, text.as_bytes()).map_or(text.len(), |at| at + 1);
        Self { bytes: text.as_bytes(), at }
    }

    /// Where the next element of an array stands, of a text that was checked.
    pub fn next_element(&mut self) -> Option<Range<usize>> {
        self.space();
        if self.peek()? == b',' {
            self.at += 1;
            self.space();
        }
        if self.peek()? == b']' {
            return None;
        }
        let start = self.at;
        self.value(&mut Few::default()).ok()?;
        Some(start..self.at)
    }

    /// Where the next field of an object stands, of a text that was checked.
    pub fn next_member(&mut self) -> Option<Field> {
        self.space();
        if self.peek()? == b',' {
            self.at += 1;
            self.space();
        }
        if self.peek()? == b'}' {
            return None;
        }
        let (name, has_escape) = self.name().ok()?;
        self.space();
        let start = self.at;
        self.value(&mut Few::default()).ok()?;
        Some(Field { name, has_escape, value: start..self.at })
    }

    /// One value, with white space before it. No recursion: the open levels are in `levels`, which is empty before and
    /// after.
    fn value(&mut self, levels: &mut impl Levels) -> Result<(), JsonError> {
        loop {
            self.space();
            match self.next()? {
                open @ (b'{' | b'[') => {
                    levels.open(open == b'{')?;
                    self.space();
                    // `{` and `[` stand two before the bracket that closes them.
                    if self.peek() != Some(open + 2) {
                        if open == b'{' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                b'"' => {
                    self.string()?;
                }
                b't' => self.literal(b"rue")?,
                b'f' => self.literal(b"alse")?,
                b'n' => self.literal(b"ull")?,
                first @ (b'-' | b'0'..=b'9') => self.number(first)?,
                _ => return Err(JsonError::Syntax),
            }
            // A value has ended, or an empty container is about to.
            loop {
                let Some(is_object) = levels.is_object() else { return Ok(()) };
                self.space();
                match (self.next()?, is_object) {
                    (b',', true) => {
                        self.space();
                        self.name()?;
                        break;
                    }
                    (b',', false) => break,
                    (b'}', true) | (b']', false) => levels.close(),
                    _ => return Err(JsonError::Syntax),
                }
            }
        }
    }

    /// The name of a field and its colon: where it stands, and whether something in it is escaped.
    fn name(&mut self) -> Result<(Range<usize>, bool), JsonError> {
        self.space();
        self.expect(b'"')?;
        let start = self.at;
        let has_escape = self.string()?;
        let name = start..self.at - 1;
        self.space();
        self.expect(b':')?;
        Ok((name, has_escape))
    }

    /// The rest of a string, behind its opening quote; whether something in it is escaped.
    fn string(&mut self) -> Result<bool, JsonError> {
        let mut has_escape = false;
        loop {
            self.at += plain_len(self.bytes.get(self.at..).unwrap_or_default());
            match self.next()? {
                b'"' => return Ok(has_escape),
                b'\\' => {
                    has_escape = true;
                    self.escape()?;
                }
                // "All Unicode characters may be placed within the quotation marks, except for the characters that
                // MUST be escaped" [RFC 8259 7]
                0..0x20 => return Err(JsonError::Syntax),
                _ => {}
            }
        }
    }

    /// "\\u" and any four digits: the grammar "allows member names and string values to contain bit sequences that cannot
    /// encode Unicode characters". [RFC 8259 8.2]
    fn escape(&mut self) -> Result<(), JsonError> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                (0..4).try_for_each(|_| if self.next()?.is_ascii_hexdigit() { Ok(()) } else { Err(JsonError::Syntax) })
            }
            _ => Err(JsonError::Syntax),
        }
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
pub(super) fn plain_len(bytes: &[u8]) -> usize {
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

#[cfg(test)]
mod tests;
