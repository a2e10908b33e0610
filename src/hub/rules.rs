//! What the configuration says of topics.

use crate::command::Mode;

/// What holds for one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicRule {
    /// Whether the last value is kept for those who join.
    pub last: bool,
    /// What readers get unless they ask.
    pub mode: Mode,
}

/// Rules by pattern.
#[derive(Clone, Debug, Default)]
pub struct TopicRules {}

impl TopicRules {
    /// The first rule that matches.
    #[must_use]
    pub fn find(&self, _topic: &str) -> TopicRule {
        TopicRule { last: true, mode: Mode::Queue }
    }
}
