//! Values, decoded from the text when they are read. The text was checked before: text that does not fit the grammar
//! here ends a walk, and never panics.

use std::borrow::Cow;

use super::scan::{Scanner, scan_value};

/// A JSON value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without sign, fraction and exponent that fits.
    Unsigned(u64),
    /// Any other number, as near as a double comes; infinite where none is near.
    Number(f64),
    /// A string, unescaped; it borrows the text unless something in it is escaped.
    String(Cow<'a, str>),
    /// A string that is valid JSON but not text: it has half of a surrogate pair. [RFC 8259 8.2]
    NotText,
    /// An array: its elements.
    Array(Elements<'a>),
    /// An object: its fields. Names may stand in it more than once.
    Object(Members<'a>),
}

impl<'a> Value<'a> {
    /// Reads a text that is one value, perhaps with white space around it; `None` if it is not JSON.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = simdutf8::basic::from_utf8(text).ok()?;
        scan_value(text).ok()?;
        Some(Self::read(text.trim_ascii()))
    }

    /// Reads a text that is one value, without white space around it.
    pub(super) fn read(raw: &'a str) -> Self {
        match raw.as_bytes() {
            [b'n', ..] => Self::Null,
            [b't', ..] => Self::Bool(true),
            [b'f', ..] => Self::Bool(false),
            [b'"', ..] => {
                let inside = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
                unescape(inside).map_or(Self::NotText, Self::String)
            }
            [b'[', ..] => Self::Array(Elements { scanner: Scanner::behind(raw, b'['), text: raw }),
            [b'{', ..] => Self::Object(Members::of(raw)),
            _ => raw.parse().map_or_else(|_| Self::Number(raw.parse().unwrap_or(f64::NAN)), Self::Unsigned),
        }
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, if it is one without sign, fraction and exponent.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Unsigned(number) = *self { Some(number) } else { None }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = *self { Some(value) } else { None }
    }
}

/// The elements of an array, in order.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    scanner: Scanner<'a>,
    text: &'a str,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let range = self.scanner.next_element()?;
        self.text.get(range).map(Value::read)
    }
}

/// The fields of an object and their values, in order. A name is `None` if it is no text.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    scanner: Scanner<'a>,
    text: &'a str,
}

impl<'a> Members<'a> {
    /// Of a text that is an object, perhaps with white space around it.
    pub(super) fn of(text: &'a str) -> Self {
        Self { scanner: Scanner::behind(text, b'{'), text }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Option<Cow<'a, str>>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.scanner.next_member()?;
        let name = unescape(self.text.get(field.name)?);
        Some((name, self.text.get(field.value).map(Value::read)?))
    }
}

/// Decodes the text between the quotes of a string; `None` if it has half of a surrogate pair. [RFC 8259 7]
pub(super) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    let Some(first) = memchr::memchr(b'\\', raw.as_bytes()) else { return Some(Cow::Borrowed(raw)) };
    let mut text = String::with_capacity(raw.len());
    let (plain, mut rest) = raw.split_at(first);
    text.push_str(plain);
    while let Some(escape) = rest.strip_prefix('\\') {
        let (escaped, behind) = unescape_one(escape)?;
        text.push(escaped);
        let plain_len = memchr::memchr(b'\\', behind.as_bytes()).unwrap_or(behind.len());
        let (plain, after) = behind.split_at(plain_len);
        text.push_str(plain);
        rest = after;
    }
    Some(Cow::Owned(text))
}

/// The character behind a backslash, and the text behind that.
fn unescape_one(escape: &str) -> Option<(char, &str)> {
    let mut chars = escape.chars();
    let character = match chars.next()? {
        'u' => return unescape_unicode(chars.as_str()),
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    };
    Some((character, chars.as_str()))
}

fn unescape_unicode(digits: &str) -> Option<(char, &str)> {
    let (unit, rest) = code_unit(digits)?;
    if !matches!(unit, 0xd800..0xdc00) {
        return char::from_u32(unit).map(|character| (character, rest));
    }
    let (low, rest) = code_unit(rest.strip_prefix("\\u")?)?;
    let is_low = matches!(low, 0xdc00..0xe000);
    let character = is_low.then(|| char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)))?;
    character.map(|character| (character, rest))
}

fn code_unit(digits: &str) -> Option<(u32, &str)> {
    let (digits, rest) = digits.split_at_checked(4)?;
    u32::from_str_radix(digits, 16).ok().map(|unit| (unit, rest))
}
