//! Topic names and patterns.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::visible::is_visible;
use crate::limits::TOPIC_LEN_MAX;

/// A valid topic name: 1 to 255 bytes, tokens of any visible character but `.`, `*`, `>` and space, joined by dots.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// A valid pattern with at least one wildcard: `*` stands for one token, a last `>` for one or more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Arc<str>);

/// The target of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    Topic(TopicName),
    /// Every topic that the pattern matches, also those that come to be later.
    Pattern(Pattern),
}

/// Not a topic name, or not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTopic;

impl fmt::Display for BadTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a topic is 1 to 255 bytes: tokens of visible characters but '.', '*', '>' and space, joined by dots",
        )
    }
}

impl std::error::Error for BadTopic {}

impl TopicName {
    /// Checks a name and keeps a copy of it.
    ///
    /// # Errors
    /// [`BadTopic`] if it breaks a rule, or holds a wildcard.
    pub fn parse(name: &str) -> Result<Self, BadTopic> {
        check_tokens(name, |token, _| !token.contains(['*', '>']))?;
        Ok(Self(name.into()))
    }

    /// Whether `name` would parse; makes no copy.
    #[must_use]
    pub fn is_valid(name: &str) -> bool {
        check_tokens(name, |token, _| !token.contains(['*', '>'])).is_ok()
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Pattern {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its tokens.
    #[must_use]
    pub fn token_count(&self) -> usize {
        self.0.split('.').count()
    }

    /// Whether the pattern stands for `topic`.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        let mut tokens = topic.split('.');
        for want in self.0.split('.') {
            match (want, tokens.next()) {
                (">", Some(_)) => return true,
                (_, None) => return false,
                ("*", Some(_)) => {}
                (want, Some(token)) if want == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }
}

impl Target {
    /// Checks a topic name or pattern and keeps a copy of it.
    ///
    /// # Errors
    /// [`BadTopic`] if it is neither.
    pub fn parse(text: &str) -> Result<Self, BadTopic> {
        let mut is_pattern = false;
        check_tokens(text, |token, is_last| {
            is_pattern |= token == "*" || token == ">";
            token == "*" || (token == ">" && is_last) || !token.contains(['*', '>'])
        })?;
        Ok(if is_pattern { Self::Pattern(Pattern(text.into())) } else { Self::Topic(TopicName(text.into())) })
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Topic(topic) => topic.as_str(),
            Self::Pattern(pattern) => pattern.as_str(),
        }
    }

    /// Whether a topic is this one, or matches the pattern.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Topic(name) => name.as_str() == topic,
            Self::Pattern(pattern) => pattern.matches(topic),
        }
    }
}

impl FromStr for Target {
    type Err = BadTopic;

    fn from_str(text: &str) -> Result<Self, BadTopic> {
        Self::parse(text)
    }
}

impl FromStr for TopicName {
    type Err = BadTopic;

    fn from_str(text: &str) -> Result<Self, BadTopic> {
        Self::parse(text)
    }
}

fn check_tokens(text: &str, mut token_ok: impl FnMut(&str, bool) -> bool) -> Result<(), BadTopic> {
    if text.is_empty() || text.len() > TOPIC_LEN_MAX {
        return Err(BadTopic);
    }
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        let visible = !token.is_empty() && token.chars().all(is_visible);
        if !visible || !token_ok(token, tokens.peek().is_none()) {
            return Err(BadTopic);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_and_patterns_are_told_apart_and_bad_ones_refused() {
        for good in ["px.AAPL", "a", "größe.€", "a-b_c/d:e", &"x".repeat(TOPIC_LEN_MAX)] {
            assert!(matches!(Target::parse(good), Ok(Target::Topic(_))), "{good}");
            assert!(TopicName::parse(good).is_ok(), "{good}");
        }
        for pattern in ["*", ">", "px.*", "*.a", "px.>", "a.*.b.>"] {
            assert!(matches!(Target::parse(pattern), Ok(Target::Pattern(_))), "{pattern}");
            assert!(TopicName::parse(pattern).is_err(), "{pattern}");
        }
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "a\tb",
            "a\u{7f}",
            ">.a",
            "a*",
            "a.b>",
            "\u{a0}",
            "a\u{202e}b",
            "a\u{200b}",
            "\u{feff}a",
            "a\u{ad}b",
            "a.\u{e0001}",
            "\u{2028}",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
            assert!(!TopicName::is_valid(bad), "{bad:?}");
        }
        assert!(Target::parse(&"x".repeat(TOPIC_LEN_MAX + 1)).is_err());
    }

    #[test]
    fn a_star_stands_for_one_token_and_a_last_arrow_for_the_rest() {
        let matches = |pattern: &str, topic: &str| match Target::parse(pattern) {
            Ok(Target::Pattern(pattern)) => pattern.matches(topic),
            _ => panic!("{pattern} is a pattern"),
        };
        assert!(matches("px.*", "px.AAPL"));
        assert!(!matches("px.*", "px"));
        assert!(!matches("px.*", "px.AAPL.bid"));
        assert!(matches("px.>", "px.AAPL.bid"));
        assert!(!matches("px.>", "px"));
        assert!(matches("*.AAPL", "px.AAPL"));
        assert!(matches(">", "anything.at.all"));
        assert!(!matches("a.*.c", "a.b.d"));
    }
}
