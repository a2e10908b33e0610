//! Kinds of values: how each is read from a word, described in a mistake, and written again.

use super::{Config, value};

/// A place in the configuration that holds the value of a key.
#[derive(Clone, Copy, Debug)]
pub struct Field<T> {
    pub(super) set: fn(&mut Config, T),
    pub(super) get: fn(&Config) -> T,
}

/// The type of a value, its bounds, and its field. Bounds are included; times are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A number, such as `connections_max`; `_` may stand between its digits.
    Count(u64, u64, Field<u64>),
    /// A number in a small range, such as `shards`. Every mistake names the range.
    Number(u64, u64, Field<u64>),
    /// Bytes.
    Size(u64, u64, Field<u64>),
    /// A duration.
    Time(u64, u64, Field<u64>),
    /// Yes or no.
    Bool(Field<bool>),
    /// One word of a list, stored as its place in the list.
    Word(&'static [&'static str], Field<usize>),
    /// One word that other code reads; the text describes the possible values.
    Text(&'static str),
    /// Several words that other code reads; with commas between in a flag or variable.
    List(&'static str),
    /// A list of tables, with the keys of a table.
    Tables(&'static [Column]),
}

/// One key of a table in a list of tables.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The name. The first column of a table begins a new table in a flag or variable.
    pub name: &'static str,
    /// The possible values, in words.
    pub values: &'static str,
    /// The default, as the page shows it.
    pub default: &'static str,
    /// The description for the page.
    pub help: &'static str,
}

impl Kind {
    /// Reads a word into its field. Leaves a kind alone that other code reads.
    ///
    /// # Errors
    /// The mistake, in words.
    pub(super) fn read(&self, key: &str, word: &str, config: &mut Config) -> Result<(), String> {
        match self {
            Self::Count(min, max, field) => {
                let value = value::count(word).ok_or_else(|| format!("{key} is a number, not \"{word}\""))?;
                (field.set)(config, within(key, word, value, (*min, *max), "")?);
            }
            Self::Number(min, max, field) => {
                let value = word.parse().ok().filter(|number| (min..=max).contains(&number));
                let value = value.ok_or_else(|| format!("{key} is a number from {min} to {max}, not \"{word}\""))?;
                (field.set)(config, value);
            }
            Self::Size(min, max, field) => {
                let value = value::size(word)
                    .ok_or_else(|| format!("{key} is a size such as \"64KiB\" or a number of bytes, not \"{word}\""))?;
                (field.set)(config, within(key, word, value, (*min, *max), " bytes")?);
            }
            Self::Time(min, max, field) => {
                let value = value::duration_ms(word).ok_or_else(|| {
                    format!("{key} is a duration with its unit such as \"250ms\", \"10s\" or \"2m\", not \"{word}\"")
                })?;
                (field.set)(config, within(key, word, value, (*min, *max), " ms")?);
            }
            Self::Bool(field) => {
                let value = value::boolean(word).map_err(|message| format!("{key} {message}"))?;
                (field.set)(config, value);
            }
            Self::Word(words, field) => {
                let place = words.iter().position(|known| *known == word);
                let place = place.ok_or_else(|| format!("{key} is {}, not \"{word}\"", one_of(words)))?;
                (field.set)(config, place);
            }
            Self::Text(_) | Self::List(_) | Self::Tables(_) => {}
        }
        Ok(())
    }

    /// The value in effect as it would be typed; `None` for a kind that other code reads.
    pub(super) fn word(&self, config: &Config) -> Option<String> {
        Some(match self {
            Self::Count(.., field) | Self::Number(.., field) => (field.get)(config).to_string(),
            Self::Size(.., field) => size((field.get)(config)),
            Self::Time(.., field) => time((field.get)(config)),
            Self::Bool(field) => (field.get)(config).to_string(),
            Self::Word(words, field) => words[(field.get)(config)].to_owned(),
            Self::Text(_) | Self::List(_) | Self::Tables(_) => return None,
        })
    }

    /// The value in effect, if it is a number.
    pub(super) fn number(&self, config: &Config) -> Option<u64> {
        match self {
            Self::Count(.., field) | Self::Number(.., field) | Self::Size(.., field) | Self::Time(.., field) => {
                Some((field.get)(config))
            }
            _ => None,
        }
    }

    /// Whether the key takes several words, with commas between where there is no array.
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }

    /// Whether a word stands in TOML without quotes.
    pub(super) fn is_bare(&self, word: &str) -> bool {
        match self {
            Self::Count(..) | Self::Number(..) | Self::Bool(_) => true,
            Self::Size(..) => word.bytes().all(|byte| byte.is_ascii_digit()),
            _ => false,
        }
    }
}

fn within(key: &str, word: &str, value: u64, (min, max): (u64, u64), unit: &str) -> Result<u64, String> {
    let is_within = (min..=max).contains(&value);
    is_within.then_some(value).ok_or_else(|| format!("{key} is {min} to {max}{unit}, not {word}"))
}

/// `"a", "b" or "c"`.
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

/// Bytes with the largest unit that divides them.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fit = units.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    fit.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

/// Milliseconds with the largest unit that divides them.
pub(super) fn time(millis: u64) -> String {
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let fit = units.iter().find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
    fit.map_or_else(|| format!("{millis}ms"), |(unit, name)| format!("{}{name}", millis / unit))
}
