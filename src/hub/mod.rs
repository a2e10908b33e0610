//! Who listens and what was said. What this room must never know: the bytes of any protocol.

mod rules;

pub use rules::{TopicRule, TopicRules, TopicSettings};
