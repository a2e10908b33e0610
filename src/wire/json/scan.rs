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
mod tests {
    use super::*;
    use crate::wire::splits::{config, corrupt, corruptions};
    use proptest::prelude::*;

    fn check(text: &[u8], expected: bool) {
        assert_eq!(is_valid(text), expected, "{}", text.escape_ascii());
    }

    #[test]
    fn texts_that_are_one_value_are_valid() {
        for text in [
            "0",
            "-0",
            "1",
            "-10.25",
            "1e5",
            "1E+5",
            "1.0e-05",
            "0.0",
            "0e0",
            "123456789012345678901234567890",
            "1e400",
            "true",
            "false",
            "null",
            "\"\"",
            "\"a\u{7f}€\u{10ffff}\"",
            r#""\"\\\/\b\f\n\r\t\u00e9\uD834\udd1e""#,
            "[]",
            "{}",
            "[[]]",
            "[{}]",
            "[[],[]]",
            "{\"\":{}}",
            " \t\r\n[ 1 , 2 ] \n",
            "{ \"a\" : [ ] , \"a\" : { } }",
            r#"{"a":{"b":[1,{"c":[]}],"d":"]}"},"e":null}"#,
            "\"exactly.8\"",
            "\"\u{1f600}\u{1f600}\u{1f600}\"",
        ] {
            check(text.as_bytes(), true);
        }
    }

    #[test]
    fn texts_that_are_not_are_not() {
        for text in [
            "",
            " ",
            "{",
            "[",
            "}",
            "]",
            "[}",
            "{]",
            "[1",
            "[1,",
            "[,1]",
            "[1,]",
            "[1 2]",
            "[1]]",
            "[1],",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1 \"b\":2}",
            "{1:2}",
            "{a:1}",
            "{'a':1}",
            "{\"a\"1}",
            "{\"a\",1}",
            "{null:1}",
            "[\"a\":1]",
            "{\"a\":1]",
            "[1}",
            "[[1,2]",
            "01",
            "-",
            "+1",
            "-01",
            "1.",
            ".5",
            "1.e5",
            "1e",
            "1e+",
            "1.5.5",
            "0x1",
            "1_0",
            "Infinity",
            "NaN",
            "-Infinity",
            "1 2",
            "--1",
            "1-",
            "tru",
            "truE",
            "trueX",
            "nul",
            "nulll",
            "fals",
            "True",
            "t",
            "n",
            "\"",
            "\"a",
            "a\"",
            "\"\\",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\u+123\"",
            "\"\\ud834\"",
            "\"\\udd1e\"",
            "\"\\ud834\\u0041\"",
            "\"\\ud834x\"",
            "\"\\ud834\\n\"",
            "\"\\udd1e\\ud834\"",
            "\"a\nb\"",
            "\"a\tb\"",
            "\"\0\"",
            "\"1234567\u{1f}\"",
            "\u{feff}1",
            "\u{a0}1",
            "1\u{b}",
            "/**/1",
            "1//",
            "\"a\" \"b\"",
            "{\"a\":1}{\"b\":2}",
            "undefined",
            "'a'",
            "\0",
        ] {
            check(text.as_bytes(), false);
        }
        for bytes in [&b"\"\xff\""[..], b"\"\xc3\"", b"\"\xed\xa0\x80\"", b"\"\xc0\x80\"", b"\xff", b"1\xff"] {
            check(bytes, false);
        }
    }

    #[test]
    fn a_control_character_or_quote_is_found_at_every_place_of_a_long_string() {
        for place in 0..40 {
            for (byte, expected) in [
                (0x1f, false),
                (b'\n', false),
                (0, false),
                (b'\\', false),
                (b' ', true),
                (b'!', true),
                (b'#', true),
                (b'"', false),
            ] {
                let mut text = [&b"\""[..], &[b'x'; 40], b"\""].concat();
                text[1 + place] = byte;
                check(&text, expected);
            }
        }
    }

    #[test]
    fn levels_are_bounded_and_cost_no_stack() {
        let arrays = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let objects = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        for nest in [&arrays as &dyn Fn(usize) -> String, &objects] {
            check(nest(JSON_DEPTH_MAX).as_bytes(), true);
            check(nest(JSON_DEPTH_MAX + 1).as_bytes(), false);
        }
        assert_eq!(scan_value(&arrays(JSON_DEPTH_MAX + 1)), Err(JsonError::TooDeep));
        check(("[".repeat(1 << 20)).as_bytes(), false);
        check(arrays(JSON_DEPTH_MAX).replace("[]", "[[],[]]").as_bytes(), false);
        let wide = format!("[{}]", vec![arrays(JSON_DEPTH_MAX - 1); 50].join(","));
        check(wide.as_bytes(), true);
    }

    /// As serde_json judges; `None` where it stops at a number that no double is near to, which is JSON all the same.
    fn judge(text: &[u8]) -> Option<bool> {
        match serde_json::from_slice::<serde_json::Value>(text) {
            Ok(_) => Some(true),
            Err(error) => (!error.to_string().contains("number out of range")).then_some(false),
        }
    }

    proptest! {
        #![proptest_config(config(3000))]

        #[test]
        fn a_text_is_valid_if_serde_json_says_so(text in super::super::tests::json(), corruptions in corruptions()) {
            prop_assert!(is_valid(text.as_bytes()), "{}", text);
            prop_assert_eq!(judge(text.as_bytes()), Some(true), "{}", text);
            let mut bytes = text.into_bytes();
            corrupt(&mut bytes, &corruptions);
            let expected = judge(&bytes).unwrap_or(is_valid(&bytes));
            prop_assert_eq!(is_valid(&bytes), expected, "{}", bytes.escape_ascii());
        }

        #[test]
        fn short_texts_of_the_grammar_are_judged_as_serde_json_does(text in r#"[\[\]{}",:0-9.eE+\-tru\\ "]{0,12}"#) {
            let expected = judge(text.as_bytes()).unwrap_or(is_valid(text.as_bytes()));
            prop_assert_eq!(is_valid(text.as_bytes()), expected, "{}", text);
        }
    }
}
