//! Text with holes: `{n}`, `{topic}`, `{payload}` and `{len}`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text with holes. Other braces stand for themselves, so that JSON needs no escaping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    N,
    Topic,
    Payload,
    Len,
}

/// The values for the holes.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// `{n}`: the number of the connection, or of the topic in a topic's name.
    pub n: u32,
    /// `{topic}`: the topic's name.
    pub topic: &'a str,
    /// `{payload}`: the payload; `{len}` is its length in bytes.
    pub payload: &'a [u8],
}

/// A `{word}` that is none of the four.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownHole(pub String);

impl fmt::Display for UnknownHole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}} is none of {{n}}, {{topic}}, {{payload}} and {{len}}", self.0)
    }
}

impl std::error::Error for UnknownHole {}

impl Template {
    /// Appends the text with its holes filled.
    pub fn fill(&self, fill: &Fill<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::N => out.extend_from_slice(fill.n.to_string().as_bytes()),
                Part::Topic => out.extend_from_slice(fill.topic.as_bytes()),
                Part::Payload => out.extend_from_slice(fill.payload),
                Part::Len => out.extend_from_slice(fill.payload.len().to_string().as_bytes()),
            }
        }
    }

    /// The text with its holes filled, for where it must be text.
    #[must_use]
    pub fn to_text(&self, fill: &Fill<'_>) -> String {
        let mut out = Vec::new();
        self.fill(fill, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether it differs from topic to topic.
    #[must_use]
    pub fn names_topic(&self) -> bool {
        self.parts.contains(&Part::Topic)
    }

    /// Whether it carries the payload.
    #[must_use]
    pub fn has_payload(&self) -> bool {
        self.parts.contains(&Part::Payload)
    }
}

impl FromStr for Template {
    type Err = UnknownHole;

    fn from_str(text: &str) -> Result<Self, UnknownHole> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from_brace) = rest.split_at(at);
            plain.push_str(before);
            let word_len =
                from_brace[1..].bytes().take_while(|byte| byte.is_ascii_alphabetic() || *byte == b'_').count();
            let word = &from_brace[1..1 + word_len];
            if word.is_empty() || from_brace.as_bytes().get(1 + word_len) != Some(&b'}') {
                plain.push('{');
                rest = &from_brace[1..];
                continue;
            }
            let part = match word {
                "n" => Part::N,
                "topic" => Part::Topic,
                "payload" => Part::Payload,
                "len" => Part::Len,
                unknown => return Err(UnknownHole(unknown.to_owned())),
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
            rest = &from_brace[word_len + 2..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl TryFrom<String> for Template {
    type Error = UnknownHole;

    fn try_from(text: String) -> Result<Self, UnknownHole> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Characters that are hard to type in a shell: `\r`, `\n`, `\t`, `\0` and `\\`. Anything else behind a backslash
/// stays as it is.
#[must_use]
pub fn unescape(typed: &str) -> String {
    let mut out = String::with_capacity(typed.len());
    let mut characters = typed.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('r') => out.push('\r'),
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('0') => out.push('\0'),
            Some('\\') | None => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let template: Template = text.parse().expect("its holes are known");
        assert_eq!(template.to_string(), text);
        template.to_text(&Fill { n: 7, topic: "a.b", payload: b"xyz" })
    }

    #[test]
    fn holes_are_filled_and_other_braces_stay() {
        for (text, expected) in [
            ("", ""),
            ("/raw/{topic}", "/raw/a.b"),
            ("PUB {topic} {len}\r\n{payload}\r\n", "PUB a.b 3\r\nxyz\r\n"),
            (r#"{"id":{n},"subscribe":{"channel":"{topic}"}}"#, r#"{"id":7,"subscribe":{"channel":"a.b"}}"#),
            ("{}{{n}}{", "{}{7}{"),
            ("ö{n}ö", "ö7ö"),
        ] {
            assert_eq!(filled(text), expected);
        }
    }

    #[test]
    fn a_word_in_braces_that_is_no_hole_is_a_mistake() {
        for text in ["{topics}", "a{N}", "{{to_pic}}"] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
        let error = "{foo}".parse::<Template>().expect_err("no hole");
        assert_eq!(error.to_string(), "{foo} is none of {n}, {topic}, {payload} and {len}");
    }

    #[test]
    fn escapes_of_the_shell_are_read() {
        assert_eq!(unescape(r"SUB a 1\r\n\\\x\"), "SUB a 1\r\n\\\\x\\");
    }
}
