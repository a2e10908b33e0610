//! From messages to frames, and back. `o` opens, `h` is a heartbeat, `a["..",".."]` carries messages,
//! `c[code,"reason"]` closes.

use std::borrow::Cow;

use crate::limits::SOCKJS_MESSAGES_MAX;
use crate::wire::json::Value;

/// The frame that opens a session.
pub fn open() -> &'static [u8] {
    b"o"
}

/// A frame without content, so that no proxy takes the connection for dead.
pub fn heartbeat() -> &'static [u8] {
    b"h"
}

/// The frame that ends a session.
#[must_use]
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut frame = format!("c[{code},").into_bytes();
    escape(reason, &mut frame);
    frame.push(b']');
    frame
}

/// Appends a message as an element of an `a` frame, and the separator.
pub fn element(message: &[u8], out: &mut Vec<u8>) {
    escape(&String::from_utf8_lossy(message), out);
    out.push(ELEMENT_END);
}

/// Appends the frame of some elements.
pub fn wrap(elements: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"a[");
    out.extend_from_slice(elements.strip_suffix(&[ELEMENT_END]).unwrap_or(elements));
    out.push(b']');
}

/// The messages in a client's text: an array of strings, or one string.
///
/// # Errors
/// The text is neither, or has more than [`SOCKJS_MESSAGES_MAX`] messages.
pub fn messages(text: &[u8]) -> Result<Vec<Cow<'_, str>>, BrokenFrame> {
    match Value::parse(text).ok_or(BrokenFrame)? {
        Value::Array(elements) => {
            let mut messages = Vec::new();
            for element in elements {
                if messages.len() == SOCKJS_MESSAGES_MAX {
                    return Err(BrokenFrame);
                }
                messages.push(string(element)?);
            }
            Ok(messages)
        }
        value => Ok(vec![string(value)?]),
    }
}

/// A client's text is no array of strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenFrame;

fn string(value: Value<'_>) -> Result<Cow<'_, str>, BrokenFrame> {
    if let Value::String(text) = value { Ok(text) } else { Err(BrokenFrame) }
}

/// Appends a JSON string that old browsers accept too: they drop some characters, or take them for the end of a line.
fn escape(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            c if is_escaped(c) => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(b"\\u");
                    out.extend((0..4).rev().map(|digit| HEX[usize::from(*unit >> (4 * digit) & 0xf)]));
                }
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// Whether the reference server escapes a character; it escapes surrogate pairs as two halves.
fn is_escaped(c: char) -> bool {
    matches!(c, '\u{0}'..='\u{1f}' | '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fff0}'..)
}

const ELEMENT_END: u8 = b',';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_make_a_frame_whose_messages_are_what_they_were() {
        let all = ["", "plain", "\"quotes\", and \\", "\u{0}\u{7f}\u{2028}\u{ffff}\u{200d}", "ä€😀", "a\",\"b", "],["];
        let mut elements = Vec::new();
        all.iter().for_each(|message| element(message.as_bytes(), &mut elements));
        let mut frame = Vec::new();
        wrap(&elements, &mut frame);
        let text = std::str::from_utf8(&frame).expect("text").strip_prefix('a').expect("a frame of messages");
        assert_eq!(messages(text.as_bytes()).expect("JSON"), all);
        assert!(text.contains(r"\u2028\uffff\u200d"), "{text}");
    }

    #[test]
    fn one_string_is_one_message_and_nothing_else_is_any() {
        assert_eq!(messages(br#""one""#).expect("a string"), ["one"]);
        assert_eq!(messages(br#" [ "one" , "two" ] "#).expect("an array"), ["one", "two"]);
        assert_eq!(messages(b"[]").expect("an array"), [""; 0]);
        for text in ["", "[", "x", "[1]", "{}", "null", r#"["a",["b"]]"#, r#"["a" "b"]"#, r#"["\ud800"]"#] {
            assert_eq!(messages(text.as_bytes()), Err(BrokenFrame), "{text}");
        }
        let many = format!("[{}\"\"]", "\"\",".repeat(SOCKJS_MESSAGES_MAX));
        assert_eq!(messages(many.as_bytes()), Err(BrokenFrame));
    }

    #[test]
    fn a_close_has_its_code_and_its_reason() {
        assert_eq!(close(3000, "Go \"away\"!"), br#"c[3000,"Go \"away\"!"]"#);
    }
}
