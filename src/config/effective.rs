//! The configuration in effect: as TOML with the place of each value, as numbers for the metrics, and compared with
//! another configuration.

use std::fmt::Write;

use super::keys::{self, Section, Without};
use super::kind::Kind;
use super::raw::{RawTable, Source, Typed};
use super::{Change, Config, KEYS, Key, one_line};

impl Config {
    /// The whole configuration as a file with the same meaning, and the place of each value.
    #[must_use]
    pub fn effective(&self) -> String {
        let mut text = String::new();
        for section in Section::ALL {
            let mut lines = String::new();
            keys::keys_of(section).for_each(|key| self.line(key, &mut lines));
            if section != Section::Top && !lines.is_empty() {
                let _ = write!(text, "\n[{}]\n", section.name());
            }
            text.push_str(&lines);
        }
        for key in KEYS {
            let Kind::Tables(columns) = key.kind else { continue };
            for table in self.typed.tables(key.name) {
                let _ = write!(text, "\n[[{}]]  # {}\n", key.name, one_line(table.source.to_string()));
                for column in columns {
                    // If a key of a table was typed twice, the last one is valid.
                    if let Some((name, typed)) = table.fields.iter().rfind(|(name, _)| *name == column.name) {
                        let _ = writeln!(text, "{name} = {}", bare_or_quoted(typed.word()));
                    }
                }
            }
        }
        text
    }

    /// The keys with one kind of change whose values differ from another configuration.
    #[must_use]
    pub fn differs_from(&self, other: &Self, change: Change) -> Vec<&'static str> {
        let of_change = KEYS.iter().filter(|key| key.change == change);
        of_change.filter(|key| self.value(key) != other.value(key)).map(|key| key.name).collect()
    }

    fn line(&self, key: &Key, text: &mut String) {
        let typed = self.typed.values.get(key.name);
        if key.name == "snapshot_interval" && typed.is_none() && self.snapshot.is_none() {
            return;
        }
        let source = typed.map_or(&Source::Default, |typed| &typed.source);
        let value = match (self.value(key), key.default) {
            (Value::Word(word), _) if key.kind.is_bare(&word) => word,
            (Value::Word(word), _) => quoted(&word),
            (Value::Words(words), _) if key.name == "tls_certificates" => pairs(&words),
            (Value::Words(words), _) => list(&words),
            (Value::Nothing, Without::Is(default))
                if key.name == "listen" && self.typed.tables("listeners").is_empty() =>
            {
                list(&[default.to_owned()])
            }
            _ => return,
        };
        let _ = writeln!(text, "{} = {value}  # {}", key.name_in_file(), one_line(source.to_string()));
    }

    fn value(&self, key: &Key) -> Value {
        let typed = self.typed.values.get(key.name);
        match (key.kind, typed) {
            (Kind::Tables(_), _) => Value::Tables(self.typed.tables(key.name).iter().map(words_of).collect()),
            (Kind::List(_), Some(typed)) => Value::Words(typed.words.clone()),
            (Kind::Text(_), Some(typed)) => Value::Word(typed.word().to_owned()),
            (Kind::List(_) | Kind::Text(_), None) => Value::Nothing,
            (kind, _) => kind.word(self).map_or(Value::Nothing, Value::Word),
        }
    }
}

/// A value in the form in which it can be typed.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    Nothing,
    Word(String),
    Words(Vec<String>),
    Tables(Vec<Vec<(&'static str, String)>>),
}

fn words_of(table: &RawTable) -> Vec<(&'static str, String)> {
    table.fields.iter().map(|(name, typed): &(_, Typed)| (*name, typed.word().to_owned())).collect()
}

fn list(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

/// Certificates and their keys.
fn pairs(words: &[String]) -> String {
    let pair = |pair: &[String]| format!("{{ cert = {}, key = {} }}", quoted(&pair[0]), quoted(&pair[1]));
    format!("[{}]", words.chunks_exact(2).map(pair).collect::<Vec<_>>().join(", "))
}

fn bare_or_quoted(word: &str) -> String {
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    let is_bare = is_number && !word.is_empty() || matches!(word, "true" | "false");
    if is_bare { word.to_owned() } else { quoted(word) }
}

/// A basic string. [TOML 1.0]
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(text, "\\u{:04X}", c as u32);
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Each limit by its key, in base units: a count, bytes or seconds.
#[must_use]
pub fn limits_in_effect(config: &Config) -> Vec<(&'static str, f64)> {
    let unit = |key: &Key| if matches!(key.kind, Kind::Time(..)) { 1_000.0 } else { 1.0 };
    let in_base_units = |key: &'static Key| Some((key.name, key.kind.number(config)? as f64 / unit(key)));
    keys::keys_of(Section::Limits).filter_map(in_base_units).collect()
}
