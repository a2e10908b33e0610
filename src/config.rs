//! The configuration: [`RawConfig`] is what was typed, in a file, the environment and flags; [`Config`] is what is
//! meant. All validation happens on the way from one to the other, and every mistake is one line that names its place.
//!
//! Flags win over the environment, the environment over the file. What a later version will have is refused by name,
//! never ignored. A key is one row in `keys.rs`, and the line that uses its value. Tests: beside the code, `tests.rs` for
//! what crosses the files.

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
use crate::limits::{CONFIG_LEN_MAX, Limits, SHARDS_MAX};
use crate::live::{CompressionSettings, Live};
use crate::server::SnapshotSettings;
use crate::transport::http::{Page, Role};
use crate::transport::service::Service;

/// What the gateway runs with, valid as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; never empty.
    pub listen: Vec<Listen>,
    /// The certificates for those that speak TLS.
    pub tls: Option<TlsFiles>,
    /// The proxies before it.
    pub proxies: Proxies,
    /// Shards, `1..=SHARDS_MAX`.
    pub shards: usize,
    /// Which kernel interface.
    pub driver: DriverChoice,
    /// Whether an address that is not loopback may be listened on without credentials.
    pub insecure: bool,
    /// The file that it was read from, if any.
    pub file: Option<PathBuf>,
    /// How loud the log is.
    pub log: LogLevel,
    /// What its lines look like.
    pub log_format: LogFormat,
    /// Whether it names the addresses of peers.
    pub log_peers: bool,
    /// The bounds.
    pub limits: Limits,
    /// What holds for topics; the first match wins.
    pub topics: Vec<TopicRule>,
    /// What is compressed, and how.
    pub compression: CompressionSettings,
    /// The names that it answers to, and the pages that may use it.
    pub names: Names,
    /// Where topics are written down, if they are.
    pub snapshot: Option<PathBuf>,
    /// From the end of one snapshot to the beginning of the next, in milliseconds.
    pub snapshot_interval_ms: u64,
    /// Transports with sessions of their own.
    pub services: Vec<Service>,
    /// Pages of the program's own; only `demo` has any.
    pub pages: Vec<Page>,
    /// Where randomness starts from; `None` takes a fresh one.
    pub seed: Option<u64>,
    /// What is odd but no mistake, one line each, to be logged once there is a log.
    pub warnings: Vec<String>,
    /// What was typed, and where.
    typed: RawConfig,
}

/// Which driver the shards run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// What is best proven: epoll.
    #[default]
    Auto,
    /// epoll.
    Epoll,
    /// io_uring where the kernel has what it takes, epoll elsewhere.
    Uring,
}

impl DriverChoice {
    /// Every one, in the order of their words.
    const ALL: [Self; 3] = [Self::Auto, Self::Epoll, Self::Uring];
}

/// How loud the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what somebody should look at now.
    Error,
    /// And what is odd.
    #[default]
    Warn,
    /// And what happens now and then.
    Info,
    /// And each connection.
    Debug,
}

impl LogLevel {
    /// Every one, in the order of their words.
    const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];
}

/// What the lines of the log look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object each.
    Json,
}

impl LogFormat {
    /// Every one, in the order of their words.
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

/// A message in one line, whatever was typed: control characters of words and names are escaped.
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

    /// Validates what was typed. `cores` is the default of `shards`.
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
        config.topics = topics::rules(&raw.topics)?;
        config.services = sockjs::services(&raw.sockjs)?;
        config.warnings = raw.warnings.into_iter().map(one_line).collect();
        config.warn();
        Ok(config)
    }

    /// Every default. It listens nowhere yet.
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

    /// Notes what is odd but no mistake.
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

    /// What of it may change while a gateway runs that was started with `start`; the rest stays as it is there.
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

    /// The same with the connections that there is room for.
    #[must_use]
    pub fn with_room_for(&self, connections_max: u32) -> Self {
        Self { limits: Limits { connections_max, ..self.limits.clone() }, ..self.clone() }
    }

    /// Where topics are written down and how often, if they are.
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
