//! The configuration: [`RawConfig`] holds the words as typed in a file, the environment and flags; [`Config`] holds
//! their meaning. All validation happens between the two. Each mistake is one line that names its place.
//!
//! Flags win over the environment, the environment over the file. Keys of a later version are refused by name, never
//! ignored. A key is one row in `keys.rs`, and the line that uses its value. Tests: beside the code; `tests.rs` for
//! tests of several files.

mod edge;
mod effective;
mod flags;
mod keys;
mod kind;
#[cfg(test)]
mod page;
mod raw;
mod sockjs;
mod topics;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use edge::{Listen, Names, Place, Proxies, TlsFiles};
pub use flags::ConfigFlags;
pub use raw::{RawConfig, Source, Typed};

pub use effective::limits_in_effect;
pub use keys::{Change, KEYS, Key};

use crate::hub::{TopicRule, TopicRules};
use crate::limits::{CONFIG_LEN_MAX, Limits, MEMORY_LEN_MIN, MEMORY_PARTS, SHARDS_MAX};
use crate::live::{CompressionSettings, Live};
use crate::routes::Page;
use crate::server::SnapshotSettings;
use crate::transport::http::Role;
use crate::transport::service::Service;

/// The configuration of a gateway, valid as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listeners; never empty.
    pub listen: Vec<Listen>,
    /// The certificates of the listeners with TLS.
    pub tls: Option<TlsFiles>,
    /// The proxies in front of the gateway.
    pub proxies: Proxies,
    /// The number of shards, `1..=SHARDS_MAX`.
    pub shards: usize,
    /// The kernel interface.
    pub driver: DriverChoice,
    /// Whether the gateway may listen beyond loopback without credentials.
    pub insecure: bool,
    /// The file that the configuration was read from, if any.
    pub file: Option<PathBuf>,
    /// The level of the log.
    pub log: LogLevel,
    /// The format of the log's lines.
    pub log_format: LogFormat,
    /// Whether the log names the addresses of peers.
    pub log_peers: bool,
    /// The bounds.
    pub limits: Limits,
    /// Topic rules; the first match wins.
    pub topics: Vec<TopicRule>,
    /// Compression.
    pub compression: CompressionSettings,
    /// The host names of the gateway, and the origins of the pages that may use it.
    pub names: Names,
    /// The snapshot file, if there is one.
    pub snapshot: Option<PathBuf>,
    /// The time from the end of one snapshot to the beginning of the next, in milliseconds.
    pub snapshot_interval_ms: u64,
    /// Transports with sessions of their own.
    pub services: Vec<Service>,
    /// Pages that the program serves; only `demo` has any.
    pub pages: Vec<Page>,
    /// The seed of all randomness; `None` takes a fresh one.
    pub seed: Option<u64>,
    /// Warnings, one line each, to be logged once there is a log.
    pub warnings: Vec<String>,
    /// The words as typed, with their places.
    typed: RawConfig,
}

/// The driver that the shards run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// The best proven driver: epoll.
    #[default]
    Auto,
    /// epoll.
    Epoll,
    /// io_uring if the kernel supports it, otherwise epoll.
    Uring,
}

impl DriverChoice {
    /// Every driver, in the order of their words.
    const ALL: [Self; 3] = [Self::Auto, Self::Epoll, Self::Uring];
}

/// The level of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only failures that need attention now.
    Error,
    /// Errors, and warnings.
    #[default]
    Warn,
    /// Warnings, and rare events.
    Info,
    /// All of these, and each connection.
    Debug,
}

impl LogLevel {
    /// Every level, in the order of their words.
    const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];
}

/// The format of the log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Every format, in the order of their words.
    const ALL: [Self; 2] = [Self::Text, Self::Json];
}

/// A mistake in the configuration, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    source: Source,
    message: String,
}

impl ConfigError {
    fn new(source: &Source, message: impl Into<String>) -> Self {
        Self { source: source.clone(), message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(format!("{}: {}", self.source, self.message)))
    }
}

impl std::error::Error for ConfigError {}

/// Makes a message one line: escapes control characters, which may come from typed words and names.
fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(visible).collect()
}

impl Config {
    /// Reads the file that `flags` or `environment` name, lays the environment and the flags over it, and validates
    /// the whole. `cores` is the default of `shards`.
    ///
    /// # Errors
    /// The first mistake, in one line.
    pub fn load(
        flags: &ConfigFlags,
        environment: impl IntoIterator<Item = (String, String)>,
        cores: usize,
    ) -> Result<Self, ConfigError> {
        let environment: Vec<_> = environment.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let from_environment = || {
            let named = environment.iter().find(|(name, _)| name == CONFIG_VARIABLE);
            named.map(|(name, path)| (Source::Environment(name.clone()), path.into()))
        };
        let from_flags = flags.config.clone().map(|path| (Source::Flag("--config".to_owned()), path));
        let (mut raw, mut file) = (RawConfig::default(), None);
        if let Some((source, path)) = from_flags.or_else(from_environment) {
            raw = RawConfig::from_file(&path.display().to_string(), &read_file(&source, &path)?)?;
            file = Some(path);
        }
        raw.overlay(RawConfig::from_environment(&environment)?);
        raw.overlay(flags.to_raw()?);
        Ok(Self { file, ..Self::resolve(raw, cores)? })
    }

    /// Sets `memory_len_max`, where it was not typed, by the memory there is.
    #[must_use]
    pub fn with_memory(mut self, memory_max: Option<u64>) -> Self {
        if !self.typed.values.contains_key("memory_len_max") {
            self.limits.memory_len_max =
                memory_max.map_or(MEMORY_LEN_MIN, |len| (len / MEMORY_PARTS).max(MEMORY_LEN_MIN));
        }
        self
    }

    /// Validates the typed words. `cores` is the default of `shards`.
    ///
    /// # Errors
    /// The first mistake, in one line.
    pub fn resolve(mut raw: RawConfig, cores: usize) -> Result<Self, ConfigError> {
        if let Some((what, source)) = raw.not_yet.first() {
            return Err(ConfigError::new(source, format!("{what} is not in this version yet")));
        }
        let mut config = Self { typed: raw.clone(), ..Self::empty(cores) };
        for key in KEYS {
            if let Some(typed) = raw.values.get(key.name) {
                let read = key.kind.read(key.name, typed.word(), &mut config);
                read.map_err(|message| ConfigError::new(&typed.source, message))?;
            }
        }
        config.seed = raw.one("seed", value::seed)?;
        config.snapshot = raw.one("snapshot", |word| match word {
            "" => Err("snapshot is a file, such as \"fanwire.snapshot\"".to_owned()),
            word => Ok(PathBuf::from(word)),
        })?;
        config.tls = edge::tls(&mut raw)?;
        config.listen = edge::listen(&mut raw, config.insecure, config.tls.is_some())?;
        config.proxies = edge::proxies(&mut raw)?;
        config.names = edge::names(&mut raw)?;
        config.topics = topics::rules(raw.tables("topics"))?;
        config.services = sockjs::services(raw.tables("sockjs"))?;
        config.warnings = raw.warnings.into_iter().map(one_line).collect();
        config.warn();
        Ok(config)
    }

    /// The default of every key. It has no listener yet.
    fn empty(cores: usize) -> Self {
        Self {
            listen: Vec::new(),
            tls: None,
            proxies: Proxies::default(),
            shards: cores.clamp(1, SHARDS_MAX),
            driver: DriverChoice::default(),
            insecure: false,
            file: None,
            log: LogLevel::default(),
            log_format: LogFormat::default(),
            log_peers: false,
            limits: Limits::default(),
            topics: Vec::new(),
            compression: CompressionSettings::default(),
            names: Names::default(),
            snapshot: None,
            snapshot_interval_ms: SNAPSHOT_INTERVAL_MS_DEFAULT,
            pages: Vec::new(),
            services: Vec::new(),
            seed: None,
            warnings: Vec::new(),
            typed: RawConfig::default(),
        }
    }

    /// Adds warnings about settings that have no effect.
    fn warn(&mut self) {
        let is_reserved = self.topics.iter().any(|rule| !rule.settings.publish);
        if is_reserved && self.listen.iter().all(|listen| listen.role != Role::Publishers) {
            let warning = "topics: nothing can be published where publish = false, without a listener for publishers";
            self.warnings.push(warning.to_owned());
        }
        if self.snapshot.is_none() && self.typed.values.contains_key("snapshot_interval") {
            let warning = "snapshot_interval: no snapshot is taken without a file for it, snapshot";
            self.warnings.push(warning.to_owned());
        }
    }

    /// The part of the configuration that may change in a running gateway; `start` is the configuration it started
    /// with.
    #[must_use]
    pub fn live(&self, start: &Self) -> Live {
        let in_effect = self.with_room_for(start.limits.connections_max);
        Live {
            rules: Arc::new(TopicRules::new(self.topics.clone())),
            told_limits: limits_in_effect(&in_effect),
            limits: in_effect.limits,
            compression: CompressionSettings {
                stream_window_bits: start.compression.stream_window_bits,
                ..self.compression
            },
            access: self.names.access(&start.listen).into(),
        }
    }

    /// The same configuration with another `connections_max`.
    #[must_use]
    pub fn with_room_for(&self, connections_max: u32) -> Self {
        Self { limits: Limits { connections_max, ..self.limits.clone() }, ..self.clone() }
    }

    /// The file and the interval of snapshots, if there is a file.
    #[must_use]
    pub fn snapshot_settings(&self) -> Option<SnapshotSettings> {
        let interval_ms = self.snapshot_interval_ms;
        self.snapshot.clone().map(|path| SnapshotSettings { path, interval_ms })
    }
}

const SNAPSHOT_INTERVAL_MS_DEFAULT: u64 = 30_000;

/// The variable that names the configuration file.
const CONFIG_VARIABLE: &str = "FANWIRE_CONFIG";

fn read_file(source: &Source, path: &Path) -> Result<String, ConfigError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(CONFIG_LEN_MAX + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(ConfigError::new(source, format!("cannot read {}: {error}", path.display()))),
        Ok(_) if text.len() as u64 > CONFIG_LEN_MAX => {
            Err(ConfigError::new(source, format!("{} is longer than {CONFIG_LEN_MAX} bytes", path.display())))
        }
        Ok(_) => Ok(text),
    }
}
