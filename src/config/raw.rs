//! The configuration as it was typed: words and their places, from a file, the environment or flags.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Key, Section, VARIABLE_PREFIX};
use super::kind::{Column, Kind};
use super::{CONFIG_VARIABLE, ConfigError, KEYS};

/// The place of a typed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Not typed: a default.
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
    Flag(String),
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

/// A typed value: one word, or several if the key is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// The words.
    pub words: Vec<String>,
    /// Their place.
    pub source: Source,
}

impl Typed {
    /// The word of a key that has only one.
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
    pub(super) values: BTreeMap<&'static str, Typed>,
    /// The tables of keys whose values are lists of tables.
    tables: BTreeMap<&'static str, Vec<RawTable>>,
    /// Keys that a later version will have, and their places.
    pub(super) not_yet: Vec<(String, Source)>,
    pub(super) warnings: Vec<String>,
}

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
    /// The text is no TOML, a key does not exist, or a value has a type that the key cannot have.
    pub fn from_file(path: &str, text: &str) -> Result<Self, ConfigError> {
        FileReader { path, text }.read()
    }

    /// Reads the `FANWIRE_...` variables. An unknown one gives a warning, not an error: orchestrators set variables
    /// that start with the name of a service.
    pub(super) fn from_environment(environment: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut raw = Self::default();
        for (name, value) in environment {
            let Some(lower) = name.strip_prefix(VARIABLE_PREFIX).map(str::to_ascii_lowercase) else { continue };
            let source = Source::Environment(name.clone());
            if let Some(key) = keys::find(&lower) {
                raw.put(key, [value.as_str()], source)?;
            } else if LATER.iter().any(|section| lower.starts_with(&format!("{section}_"))) {
                raw.not_yet.push((lower, source));
            } else if !OTHER_VARIABLES.contains(&name.as_str()) {
                let names = KEYS.iter().map(|key| key.name);
                let near = nearest(&lower, names).and_then(keys::find);
                let hint = near.map(|key| format!("; did you mean {}?", key.variable())).unwrap_or_default();
                raw.warnings.push(format!("{name}: no such key; ignored{hint}"));
            }
        }
        Ok(raw)
    }

    /// Lays `upper` over this layer: a value in `upper` wins.
    pub fn overlay(&mut self, upper: Self) {
        self.values.extend(upper.values);
        self.tables.extend(upper.tables.into_iter().filter(|(_, tables)| !tables.is_empty()));
        self.not_yet.extend(upper.not_yet);
        self.warnings.extend(upper.warnings);
    }

    /// Sets a key from a variable or from flags, which may repeat.
    pub(super) fn put<'a>(
        &mut self,
        key: &'static Key,
        values: impl IntoIterator<Item = &'a str>,
        source: Source,
    ) -> Result<(), ConfigError> {
        let values = values.into_iter();
        let words = match key.kind {
            Kind::Tables(columns) => {
                self.tables.insert(key.name, table_words(values, columns, &source)?);
                return Ok(());
            }
            Kind::List(_) => values.flat_map(|value| value.split(',')).map(|word| word.trim().to_owned()).collect(),
            _ => values.map(str::to_owned).collect(),
        };
        self.values.insert(key.name, Typed { words, source });
        Ok(())
    }

    /// The tables of a key whose value is a list of tables.
    pub(super) fn tables(&self, key: &str) -> &[RawTable] {
        self.tables.get(key).map_or(&[], Vec::as_slice)
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
        parse(typed.word()).map(Some).map_err(|message| ConfigError::new(&typed.source, message))
    }
}

/// Reads tables from a flag or variable. A word `key=value` belongs to the table before it. Any other word is the
/// first key of a new table: the pattern of a rule or the address of a listener.
fn table_words<'a>(
    values: impl IntoIterator<Item = &'a str>,
    columns: &[Column],
    source: &Source,
) -> Result<Vec<RawTable>, ConfigError> {
    let mut tables: Vec<RawTable> = Vec::new();
    let begins = columns[0].name;
    for word in values.into_iter().flat_map(str::split_whitespace) {
        let field = word.split_once('=').and_then(|(name, value)| Some((column(columns, name)?, value)));
        let (key, value) = field.unwrap_or((begins, word));
        if key == begins {
            tables.push(RawTable { fields: Vec::new(), source: source.clone() });
        }
        let Some(table) = tables.last_mut() else {
            let first = if begins == "match" { "a pattern" } else { "an address" };
            return Err(ConfigError::new(source, format!("{first} comes before {word}")));
        };
        table.fields.push((key, Typed { words: vec![value.to_owned()], source: source.clone() }));
    }
    Ok(tables)
}

/// The static name of a column.
fn column(columns: &[Column], name: &str) -> Option<&'static str> {
    columns.iter().map(|column| column.name).find(|known| *known == name)
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
        let section = Section::ALL.into_iter().find(|section| *section != Section::Top && section.name() == name);
        match (section, value.get_ref()) {
            (Some(section), DeValue::Table(table)) => {
                for (key, value) in table {
                    self.key(raw, section, key, value)?;
                }
                Ok(())
            }
            _ if LATER.contains(&name) => {
                raw.not_yet.push((format!("[{name}]"), source));
                Ok(())
            }
            (Some(_), _) => Err(ConfigError::new(&source, format!("{name} is a table: [{name}]"))),
            (None, _) => self.key(raw, Section::Top, key, value),
        }
    }

    /// Reads one key of a table, or one before any table.
    fn key(
        &self,
        raw: &mut RawConfig,
        section: Section,
        key: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let name = key.get_ref().as_ref();
        let Some(known) = keys::find_in(section, name) else {
            if section == Section::Auth && LATER_AUTH.contains(&name) {
                raw.not_yet.push((format!("{name} of [auth]"), self.at(key.span())));
                return Ok(());
            }
            return Err(self.unknown_key(section, name, key.span()));
        };
        match (known.kind, value.get_ref()) {
            (Kind::Tables(columns), DeValue::Array(tables)) => {
                raw.tables.insert(known.name, self.tables(tables, name, columns)?);
            }
            (Kind::Tables(_), _) => {
                let message = format!("{name} is a list of tables: [[{name}]]");
                return Err(ConfigError::new(&self.at(key.span()), message));
            }
            _ => {
                let typed = match known.name {
                    "tls_certificates" => self.certificates(value)?,
                    _ => self.typed(known.name, known.kind.is_list(), value)?,
                };
                raw.values.insert(known.name, typed);
            }
        }
        Ok(())
    }

    /// The error for an unknown key. It suggests a key with nearly the same spelling, or the table that the key
    /// belongs to.
    fn unknown_key(&self, section: Section, name: &str, span: Range<usize>) -> ConfigError {
        let place = match section {
            Section::Top => "the file".to_owned(),
            section => format!("[{}]", section.name()),
        };
        let is_table = |key: &&Key| matches!(key.kind, Kind::Tables(_));
        let plain = keys::keys_of(section).filter(|key| !is_table(key));
        let mut names: Vec<_> = plain.chain(keys::keys_of(section).filter(is_table)).map(Key::name_in_file).collect();
        if section == Section::Top {
            names.extend(Section::ALL.into_iter().map(Section::name).filter(|name| !name.is_empty()));
        }
        let mut error = self.unknown(name, &place, &names, span);
        let is_elsewhere = |key: &&Key| key.section != section && (key.name_in_file() == name || key.name == name);
        if let Some(key) = KEYS.iter().find(is_elsewhere) {
            let place = match key.section {
                Section::Top => "before any table".to_owned(),
                section => format!("of [{}]", section.name()),
            };
            let _ = write!(error.message, "; did you mean {} {place}?", key.name_in_file());
        }
        error
    }

    /// Reads `[[topics]]`, `[[listeners]]` or `[[sockjs]]`.
    fn tables(
        &self,
        tables: &[Spanned<DeValue<'_>>],
        name: &str,
        columns: &[Column],
    ) -> Result<Vec<RawTable>, ConfigError> {
        let table = |table: &Spanned<DeValue<'_>>| {
            let source = self.at(table.span());
            let DeValue::Table(table) = table.get_ref() else {
                return Err(ConfigError::new(&source, format!("{name} is a list of tables: [[{name}]]")));
            };
            let mut fields = Vec::with_capacity(table.len());
            for (key, value) in table {
                let Some(known) = column(columns, key.get_ref()) else {
                    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
                    return Err(self.unknown(key.get_ref(), &format!("[[{name}]]"), &names, key.span()));
                };
                fields.push((known, self.typed(known, false, value)?));
            }
            Ok(RawTable { fields, source })
        };
        tables.iter().map(table).collect()
    }

    fn typed(&self, key: &str, is_list: bool, value: &Spanned<DeValue<'_>>) -> Result<Typed, ConfigError> {
        let source = self.at(value.span());
        let words = match value.get_ref() {
            DeValue::Array(values) if is_list => values.iter().map(|value| word(value.get_ref())).collect(),
            value => word(value).map(|word| vec![word]),
        };
        match words {
            Some(words) => Ok(Typed { words, source }),
            None => Err(ConfigError::new(&source, format!("{key} cannot be of type {}", value.get_ref().type_str()))),
        }
    }

    /// Reads `[[tls.certificates]]`, each a `cert` and its `key`.
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

    fn unknown(&self, key: &str, place: &str, names: &[&str], span: Range<usize>) -> ConfigError {
        let message = match nearest(key, names.iter().copied()) {
            Some(near) => format!("unknown key {key:?}, did you mean {near:?}?"),
            None => format!("unknown key {key:?}; {place} has {}", names.join(", ")),
        };
        ConfigError::new(&self.at(span), message)
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

/// The name with the spelling nearest to a word, if it is near enough.
fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.map(|name| (edits(word, name), name)).min_by_key(|(edits, _)| *edits);
    near.filter(|(edits, name)| *edits <= name.len().div_ceil(4).min(3)).map(|(_, name)| name)
}

/// The least number of letters to insert, remove, change or swap with a neighbour that makes one word of the other.
fn edits(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let is_same = one[i - 1] == other[j - 1];
            let mut least = (rows[i - 1][j - 1] + usize::from(!is_same)).min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}
