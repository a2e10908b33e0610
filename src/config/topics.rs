//! Topic rules, from typed words to their meaning.

use super::raw::RawTable;
use super::{ConfigError, value};
use crate::command::{Compression, Mode, Target, parse_age, parse_rate};
use crate::hub::{TopicRule, TopicSettings};
use crate::limits::{HISTORY_MAX, TOPIC_RULES_MAX};

/// Reads all rules, in order.
pub(super) fn rules(rules: &[RawTable]) -> Result<Vec<TopicRule>, ConfigError> {
    if let Some(rule) = rules.get(TOPIC_RULES_MAX) {
        return Err(ConfigError::new(&rule.source, format!("there are more than {TOPIC_RULES_MAX} topic rules")));
    }
    rules.iter().map(topic_rule).collect()
}

fn topic_rule(raw: &RawTable) -> Result<TopicRule, ConfigError> {
    let (mut pattern, mut settings) = (None, TopicSettings::default());
    for (key, typed) in &raw.fields {
        let word = typed.word();
        let set = match *key {
            "match" => Target::parse(word).map(|target| pattern = Some(target)).map_err(|error| error.to_string()),
            "last" => value::boolean(word).map(|value| settings.last = value),
            "publish" => value::boolean(word).map(|value| settings.publish = value),
            "mode" => topic_mode(word).map(|value| settings.mode = value),
            "max_rate" => match word.parse().map(parse_rate) {
                Ok(Ok(rate)) => {
                    settings.max_rate = rate;
                    Ok(())
                }
                _ => Err(format!("is messages a second, 0.001 to 1000000, or 0 for no limit, not \"{word}\"")),
            },
            "max_age" => match value::duration_ms(word).map(parse_age) {
                Some(Ok(age)) => {
                    settings.max_age_ms = age.unwrap_or(0);
                    Ok(())
                }
                _ => Err(format!("is a duration up to a day with its unit such as \"5s\", not \"{word}\"")),
            },
            "history" => match value::count(word).and_then(|count| u32::try_from(count).ok()) {
                Some(count) if count <= HISTORY_MAX => {
                    settings.history = count;
                    Ok(())
                }
                _ => Err(format!("is a number of messages up to {HISTORY_MAX}, not \"{word}\"")),
            },
            "history_ttl" => match value::duration_ms(word) {
                Some(millis) => {
                    settings.history_ttl_ms = millis;
                    Ok(())
                }
                None => Err(format!("is a duration with its unit such as \"60s\", not \"{word}\"")),
            },
            "topic_ttl" => match value::duration_ms(word).map(|millis| u32::try_from(millis.div_ceil(1_000))) {
                Some(Ok(seconds)) => {
                    settings.topic_ttl_s = seconds;
                    Ok(())
                }
                _ => Err(format!("is a duration of whole seconds such as \"1h\", not \"{word}\"")),
            },
            "history_len_max" => match value::size(word) {
                Some(len) => {
                    settings.history_len_max = len;
                    Ok(())
                }
                None => Err(format!("is a size such as \"16MiB\", not \"{word}\"")),
            },
            "compression" => compression_mode(word).map(|value| settings.compression = Some(value)),
            _ => Err("is not in this version yet".to_owned()),
        };
        set.map_err(|message| ConfigError::new(&typed.source, format!("topics: {key}: {message}")))?;
    }
    match pattern {
        Some(pattern) => Ok(TopicRule { pattern, settings }),
        None => Err(ConfigError::new(&raw.source, "topics: a rule needs match, a topic or pattern")),
    }
}

fn compression_mode(word: &str) -> Result<Compression, String> {
    word.parse().map_err(|()| format!("is \"off\", \"message\" or \"shared\", not \"{word}\""))
}

fn topic_mode(word: &str) -> Result<Mode, String> {
    word.parse().map_err(|()| format!("is \"queue\", \"drop_oldest\" or \"latest\", not \"{word}\""))
}
