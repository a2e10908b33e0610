//! The `[[topics]]` rules of the configuration: the settings of a topic, by its name.

use crate::command::{Compression, Mode, Rate, Target};
use crate::limits::HISTORY_LEN_MAX;

/// One `[[topics]]` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRule {
    /// The topic or pattern that it is for.
    pub pattern: Target,
    /// Its settings.
    pub settings: TopicSettings,
}

/// The settings of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// Whether the last value is kept for new readers.
    pub last: bool,
    /// The mode of readers that ask for none.
    pub mode: Mode,
    /// The most that one reader gets of one topic; the newest wins.
    pub max_rate: Option<Rate>,
    /// How old a publication may be that waited for a reader, in milliseconds; 0 for any age.
    pub max_age_ms: u32,
    /// Publications kept for readers that come back; 0 keeps none.
    pub history: u32,
    /// How long each is kept, in milliseconds; 0 for as long as there is room.
    pub history_ttl_ms: u64,
    /// Payload bytes kept of one topic's history; the oldest go first.
    pub history_len_max: u64,
    /// The time for which a topic stays without publications and readers, in seconds; 0 for ever.
    pub topic_ttl_s: u32,
    /// Whether clients may publish to it on any listener that is not for readers; else only on one for publishers.
    pub publish: bool,
    /// How it is compressed; `None` for what holds everywhere.
    pub compression: Option<Compression>,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            last: true,
            mode: Mode::Queue,
            max_rate: None,
            max_age_ms: 0,
            history: 0,
            history_ttl_ms: 0,
            history_len_max: HISTORY_LEN_MAX,
            topic_ttl_s: 0,
            publish: true,
            compression: None,
        }
    }
}

/// Every rule, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicRules(Box<[TopicRule]>);

impl TopicRules {
    /// The rules, the first of which that matches wins.
    #[must_use]
    pub fn new(rules: Vec<TopicRule>) -> Self {
        Self(rules.into())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether any rule lets a reader skip.
    #[must_use]
    pub fn has_policies(&self) -> bool {
        let skips = |s: &TopicSettings| s.mode != Mode::Queue || s.max_rate.is_some() || s.max_age_ms > 0;
        self.0.iter().any(|rule| skips(&rule.settings))
    }

    /// Whether any rule has a rate.
    #[must_use]
    pub fn has_rates(&self) -> bool {
        self.0.iter().any(|rule| rule.settings.max_rate.is_some())
    }

    /// Whether any rule keeps clients from publishing.
    #[must_use]
    pub fn has_reserved(&self) -> bool {
        self.0.iter().any(|rule| !rule.settings.publish)
    }

    /// The most that any topic may be compressed, where `default` is what holds without a rule.
    #[must_use]
    pub fn most_compression(&self, default: Compression) -> Compression {
        self.0.iter().filter_map(|rule| rule.settings.compression).fold(default, Compression::max)
    }

    /// The settings of `topic`: the first rule that matches, or the defaults. Costs one look at each rule, so it is
    /// asked once in a topic's life.
    #[must_use]
    pub fn find(&self, topic: &str) -> TopicSettings {
        self.0.iter().find(|rule| rule.pattern.matches(topic)).map(|rule| rule.settings).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str, last: bool) -> TopicRule {
        TopicRule {
            pattern: pattern.parse().expect("a pattern"),
            settings: TopicSettings { last, ..TopicSettings::default() },
        }
    }

    #[test]
    fn the_first_rule_that_matches_wins_and_the_defaults_hold_for_the_rest() {
        let rules = TopicRules::new(vec![rule("px.AAPL", true), rule("px.>", false), rule("px.IBM", true)]);
        assert!(rules.find("px.AAPL").last);
        assert!(!rules.find("px.IBM").last);
        assert!(!rules.find("px.IBM.bid").last);
        assert_eq!(rules.find("scores.1"), TopicSettings::default());
        assert!(TopicRules::default().find("px.IBM").last);
    }
}
