//! The configuration as it was typed: words and where they stand, from a file, the environment or flags.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{CONFIG_VARIABLE, ConfigError, LIMITS};

/// Where a value was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: a default.
    Default,
    /// In a file, at a line that counts from 1.
    File {
        /// The file's name.
        path: String,
        /// The line.
        line: usize,
    },
    /// In a variable of the environment.
    Environment(String),
    /// In a flag.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value as it was typed: one word, or several where the key is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// The words.
    pub words: Vec<String>,
    /// Where they stand.
    pub source: Source,
}

impl Typed {
    /// The word of a key that has one.
    pub(super) fn word(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

/// One table of a list of tables, `[[topics]]` or `[[listeners]]`, as it was typed.
#[derive(Clone, Debug)]
pub(super) struct RawTable {
    pub(super) fields: Vec<(&'static str, Typed)>,
    pub(super) source: Source,
}

/// One layer of the configuration, or several laid over each other.
#[derive(Clone, Debug, Default)]
pub struct RawConfig {
    values: BTreeMap<&'static str, Typed>,
    pub(super) topics: Vec<RawTable>,
    pub(super) listeners: Vec<RawTable>,
    /// What a later version will have, and where it was asked for.
    pub(super) not_yet: Vec<(String, Source)>,
    pub(super) warnings: Vec<String>,
}

/// Keys outside of `[limits]` and `[auth]`; `topics` and `listeners` are lists of tables.
const KEYS: [&str; 16] = [
    "listen",
    "server_names",
    "shards",
    "driver",
    "insecure",
    "log",
    "log_format",
    "log_peers",
    "seed",
    "compression",
    "compression_threshold",
    "compression_level",
    "compression_window",
    "compression_join_every",
    "snapshot",
    "snapshot_interval",
];

/// Keys of `[auth]`.
const AUTH_KEYS: [&str; 1] = ["allowed_origins"];

/// Keys of a topic rule; the first is the one that a list of words begins with.
pub(super) const TOPIC_KEYS: &[&str] = &[
    "match",
    "last",
    "mode",
    "max_rate",
    "max_age",
    "history",
    "history_ttl",
    "history_len_max",
    "compression",
    "publish",
];

/// Keys of a listener; the first is the one that a list of words begins with.
pub(super) const LISTENER_KEYS: &[&str] = &["address", "role", "tls"];

/// Keys of `[tls]` and `[proxy]`, by the name that they have outside of the file.
const SECTION_KEYS: [&str; 7] =
    ["tls_cert", "tls_key", "tls_client_ca", "tls_client_auth", "tls_certificates", "proxy_trusted", "proxy_protocol"];

/// Keys that are lists: in the environment and in flags with commas between.
const LISTS: [&str; 5] = ["listen", "server_names", "allowed_origins", "tls_certificates", "proxy_trusted"];

/// Sections that a later version will have.
const LATER: [&str; 1] = ["auth"];

/// Keys of `[auth]` that a later version will have.
const LATER_AUTH: [&str; 4] = ["hmac_secret_file", "jwks_file", "publish_keys_file", "anonymous"];

/// Variables that belong to other commands.
const OTHER_VARIABLES: [&str; 3] = [CONFIG_VARIABLE, "FANWIRE_URL", "FANWIRE_CA"];

impl RawConfig {
    /// Reads a TOML file's text; `path` is its name in errors.
    ///
    /// # Errors
    /// Not TOML, a key that does not exist, or a value that no key could have.
    pub fn from_file(path: &str, text: &str) -> Result<Self, ConfigError> {
        FileReader { path, text }.read()
    }

    /// Takes the `FANWIRE_...` variables. One that means nothing gives a warning, not an error: orchestrators set
    /// variables that start with the name of a service.
    pub(super) fn from_environment(environment: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut raw = Self::default();
        for (name, value) in environment {
            let Some(key) = name.strip_prefix("FANWIRE_") else { continue };
            let key = key.to_ascii_lowercase();
            let source = Source::Environment(name.clone());
            if key == "topics" {
                raw.topics = table_words([value.as_str()], TOPIC_KEYS, &source)?;
            } else if key == "listeners" {
                raw.listeners = table_words([value.as_str()], LISTENER_KEYS, &source)?;
            } else if let Some(key) = known(&key) {
                raw.values.insert(key, Typed { words: words(key, value), source });
            } else if LATER.iter().any(|section| key.starts_with(&format!("{section}_"))) {
                raw.not_yet.push((key, source));
            } else if !OTHER_VARIABLES.contains(&name.as_str()) {
                raw.warnings.push(format!("{name}: no such key; ignored"));
            }
        }
        Ok(raw)
    }

    /// Lays `upper` over this: what it has, wins.
    pub fn overlay(&mut self, upper: Self) {
        self.values.extend(upper.values);
        if !upper.topics.is_empty() {
            self.topics = upper.topics;
        }
        if !upper.listeners.is_empty() {
            self.listeners = upper.listeners;
        }
        self.not_yet.extend(upper.not_yet);
        self.warnings.extend(upper.warnings);
    }

    pub(super) fn put(&mut self, key: &'static str, typed: Typed) {
        self.values.insert(key, typed);
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Typed> {
        self.values.remove(key)
    }

    /// Takes the one value of a key and parses it.
    pub(super) fn one<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(typed) = self.take(key) else { return Ok(None) };
        let with_key = |message: String| match message.starts_with("is ") {
            true => format!("{key} {message}"),
            false => message,
        };
        parse(typed.word()).map(Some).map_err(|message| ConfigError::new(&typed.source, with_key(message)))
    }
}

/// The key's own spelling, if it is one of a single value, of the top level or of `[limits]`.
fn known(key: &str) -> Option<&'static str> {
    KEYS.into_iter().chain(AUTH_KEYS).chain(SECTION_KEYS).find(|known| *known == key).or_else(|| known_limit(key))
}

/// The words of a value outside of the file.
pub(super) fn words(key: &str, value: &str) -> Vec<String> {
    match LISTS.contains(&key) {
        true => value.split(',').map(|word| word.trim().to_owned()).collect(),
        false => vec![value.to_owned()],
    }
}

fn known_limit(key: &str) -> Option<&'static str> {
    LIMITS.iter().map(|row| row.key).find(|known| *known == key)
}

/// Reads tables as they stand in a flag or variable: words, where `key=value` belongs to the table that began before it
/// and any other word begins one with its first key, the pattern of a rule or the address of a listener.
pub(super) fn table_words<'a>(
    values: impl IntoIterator<Item = &'a str>,
    keys: &[&'static str],
    source: &Source,
) -> Result<Vec<RawTable>, ConfigError> {
    let mut tables: Vec<RawTable> = Vec::new();
    for word in values.into_iter().flat_map(str::split_whitespace) {
        let field = word.split_once('=');
        let field = field.and_then(|(name, value)| keys.iter().find(|key| **key == name).map(|key| (*key, value)));
        let (key, value) = field.unwrap_or((keys[0], word));
        if key == keys[0] {
            tables.push(RawTable { fields: Vec::new(), source: source.clone() });
        }
        let Some(table) = tables.last_mut() else {
            let first = if keys[0] == "match" { "a pattern" } else { "an address" };
            return Err(ConfigError::new(source, format!("{first} comes before {word}")));
        };
        table.fields.push((key, Typed { words: vec![value.to_owned()], source: source.clone() }));
    }
    Ok(tables)
}

struct FileReader<'a> {
    path: &'a str,
    text: &'a str,
}

impl FileReader<'_> {
    fn read(&self) -> Result<RawConfig, ConfigError> {
        let table = DeTable::parse(self.text).map_err(|error| {
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            ConfigError::new(&self.at(error.span().unwrap_or_default()), message)
        })?;
        let mut raw = RawConfig::default();
        for (key, value) in table.get_ref() {
            self.top_level(&mut raw, key, value)?;
        }
        Ok(raw)
    }

    fn top_level(
        &self,
        raw: &mut RawConfig,
        key: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let (name, source) = (key.get_ref().as_ref(), self.at(key.span()));
        match (name, value.get_ref()) {
            ("limits", DeValue::Table(table)) => {
                for (key, value) in table {
                    let Some(known) = known_limit(key.get_ref()) else {
                        let names = LIMITS.iter().map(|row| row.key).collect::<Vec<_>>().join(", ");
                        return Err(self.unknown(key.get_ref(), "[limits]", &names, key.span()));
                    };
                    raw.values.insert(known, self.typed(known, value)?);
                }
            }
            ("auth", DeValue::Table(table)) => {
                for (key, value) in table {
                    if let Some(known) = AUTH_KEYS.into_iter().find(|known| *known == key.get_ref()) {
                        raw.values.insert(known, self.typed(known, value)?);
                    } else if LATER_AUTH.contains(&key.get_ref().as_ref()) {
                        raw.not_yet.push((format!("{} of [auth]", key.get_ref()), self.at(key.span())));
                    } else {
                        return Err(self.unknown(key.get_ref(), "[auth]", &AUTH_KEYS.join(", "), key.span()));
                    }
                }
            }
            ("topics", DeValue::Array(rules)) => {
                raw.topics = self.tables(rules, "topics", TOPIC_KEYS)?;
            }
            ("listeners", DeValue::Array(tables)) => raw.listeners = self.tables(tables, "listeners", LISTENER_KEYS)?,
            ("tls" | "proxy", DeValue::Table(table)) => {
                for (key, value) in table {
                    let full = format!("{name}_{}", key.get_ref());
                    let Some(known) = SECTION_KEYS.into_iter().find(|known| *known == full) else {
                        let names = SECTION_KEYS.iter().filter_map(|key| key.strip_prefix(&format!("{name}_")));
                        let names = names.collect::<Vec<_>>().join(", ");
                        return Err(self.unknown(key.get_ref(), &format!("[{name}]"), &names, key.span()));
                    };
                    let typed = match known {
                        "tls_certificates" => self.certificates(value)?,
                        _ => self.typed(known, value)?,
                    };
                    raw.values.insert(known, typed);
                }
            }
            ("tls" | "proxy", _) => return Err(ConfigError::new(&source, format!("{name} is a table: [{name}]"))),
            ("limits", _) => return Err(ConfigError::new(&source, "limits is a table: [limits]")),
            ("topics" | "listeners", _) => {
                return Err(ConfigError::new(&source, format!("{name} is a list of tables: [[{name}]]")));
            }
            _ if LATER.contains(&name) => raw.not_yet.push((format!("[{name}]"), source)),
            _ => {
                let Some(known) = KEYS.into_iter().find(|known| *known == name) else {
                    let names = format!("{}, topics, listeners, limits, tls, proxy", KEYS.join(", "));
                    return Err(self.unknown(name, "the file", &names, key.span()));
                };
                raw.values.insert(known, self.typed(known, value)?);
            }
        }
        Ok(())
    }

    /// `[[topics]]` or `[[listeners]]`.
    fn tables(
        &self,
        tables: &[Spanned<DeValue<'_>>],
        name: &str,
        keys: &[&'static str],
    ) -> Result<Vec<RawTable>, ConfigError> {
        let table = |table: &Spanned<DeValue<'_>>| {
            let source = self.at(table.span());
            let DeValue::Table(table) = table.get_ref() else {
                return Err(ConfigError::new(&source, format!("{name} is a list of tables: [[{name}]]")));
            };
            let mut fields = Vec::with_capacity(table.len());
            for (key, value) in table {
                let Some(known) = keys.iter().find(|known| **known == key.get_ref()) else {
                    return Err(self.unknown(key.get_ref(), &format!("[[{name}]]"), &keys.join(", "), key.span()));
                };
                fields.push((*known, self.typed(known, value)?));
            }
            Ok(RawTable { fields, source })
        };
        tables.iter().map(table).collect()
    }

    fn typed(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Typed, ConfigError> {
        let source = self.at(value.span());
        let words = match value.get_ref() {
            DeValue::Array(values) if LISTS.contains(&key) => {
                values.iter().map(|value| word(value.get_ref())).collect()
            }
            value => word(value).map(|word| vec![word]),
        };
        match words {
            Some(words) => Ok(Typed { words, source }),
            None => Err(ConfigError::new(&source, format!("{key} cannot be of type {}", value.get_ref().type_str()))),
        }
    }

    /// `[[tls.certificates]]`: each a `cert` and its `key`.
    fn certificates(&self, value: &Spanned<DeValue<'_>>) -> Result<Typed, ConfigError> {
        let source = self.at(value.span());
        let fail = || ConfigError::new(&source, "tls.certificates is a list of tables, each with cert and key");
        let DeValue::Array(tables) = value.get_ref() else { return Err(fail()) };
        let mut words = Vec::with_capacity(2 * tables.len());
        for table in tables {
            let DeValue::Table(table) = table.get_ref() else { return Err(fail()) };
            let (Some(cert), Some(key), 2) = (table.get("cert"), table.get("key"), table.len()) else {
                return Err(fail());
            };
            words.extend([word(cert.get_ref()).ok_or_else(fail)?, word(key.get_ref()).ok_or_else(fail)?]);
        }
        Ok(Typed { words, source })
    }

    fn unknown(&self, key: &str, place: &str, names: &str, span: Range<usize>) -> ConfigError {
        ConfigError::new(&self.at(span), format!("unknown key {key:?}; {place} has {names}"))
    }

    fn at(&self, span: Range<usize>) -> Source {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        Source::File { path: self.path.to_owned(), line: before.matches('\n').count() + 1 }
    }
}

/// A string, number or boolean as a word.
fn word(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => Some(i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}
