//! The configuration: [`RawConfig`] is what was typed, in a file, the environment and flags; [`Config`] is what is
//! meant. All validation happens on the way from one to the other, and every mistake is one line that names its place.
//!
//! Flags win over the environment, the environment over the file. What a later version will have is refused by name,
//! never ignored. Tests: beside the code, `tests.rs` for what crosses the files.

mod edge;
mod flags;
mod raw;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use edge::{Listen, Place, Proxies, TlsFiles};
pub use flags::ConfigFlags;
pub use raw::{RawConfig, Source, Typed};

use crate::command::{Compression, Mode, Target, parse_age, parse_rate};
use crate::hub::{TopicRule, TopicSettings};
use crate::limits::{
    CONFIG_LEN_MAX, HISTORY_MAX, JOIN_EVERY_MAX, Limits, MESSAGE_LEN_BOUND, SHARDS_MAX, TOPIC_RULES_MAX,
    TOPICS_PER_CONNECTION_BOUND,
};
use crate::server::SnapshotSettings;
use crate::shard::CompressionSettings;
use crate::transport::http::{Access, Page, Role};
use crate::wire::ws::extension::WINDOW_BITS_MIN;
use raw::RawTable;

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
    /// What the clients of each listener may do, in the order of `listen`.
    pub access: Vec<Access>,
    /// Where topics are written down, if they are.
    pub snapshot: Option<SnapshotSettings>,
    /// Pages of the program's own; only `demo` has any.
    pub pages: Vec<Page>,
    /// Where randomness starts from; `None` takes a fresh one.
    pub seed: Option<u64>,
    /// What is odd but no mistake, one line each, to be logged once there is a log.
    pub warnings: Vec<String>,
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

/// What the lines of the log look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object each.
    Json,
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
        write!(f, "{}: {}", self.source, self.message)
    }
}

impl std::error::Error for ConfigError {}

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
        let from_flags = flags.config.clone().map(|path| (Source::Flag("--config"), path));
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
        let insecure = raw.one("insecure", value::boolean)?.unwrap_or(false);
        let (driver, log) = (raw.one("driver", driver)?, raw.one("log", log_level)?);
        let log_format = raw.one("log_format", log_format)?.unwrap_or_default();
        let log_peers = raw.one("log_peers", value::boolean)?.unwrap_or(false);
        let tls = edge::tls(&mut raw)?;
        let listen = edge::listen(&mut raw, insecure, tls.is_some())?;
        let topics = topics(&raw.topics)?;
        let is_reserved = topics.iter().any(|rule| !rule.settings.publish);
        if is_reserved && listen.iter().all(|listen| listen.role != Role::Publishers) {
            let warning = "topics: nothing can be published where publish = false, without a listener for publishers";
            raw.warnings.push(warning.to_owned());
        }
        Ok(Self {
            access: edge::access(&mut raw, &listen)?,
            listen,
            tls,
            proxies: edge::proxies(&mut raw)?,
            shards: raw.one("shards", shards)?.unwrap_or_else(|| cores.clamp(1, SHARDS_MAX)),
            driver: driver.unwrap_or_default(),
            insecure,
            file: None,
            log: log.unwrap_or_default(),
            log_format,
            log_peers,
            limits: limits(&mut raw)?,
            topics,
            compression: compression(&mut raw)?,
            snapshot: snapshot(&mut raw)?,
            pages: Vec::new(),
            seed: raw.one("seed", value::seed)?,
            warnings: raw.warnings,
        })
    }
}

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

fn snapshot(raw: &mut RawConfig) -> Result<Option<SnapshotSettings>, ConfigError> {
    let path = raw.one("snapshot", |word| match word {
        "" => Err("snapshot is a file, such as \"fanwire.snapshot\"".to_owned()),
        word => Ok(PathBuf::from(word)),
    })?;
    let interval = |word: &str| match value::duration_ms(word) {
        Some(millis @ SNAPSHOT_INTERVAL_MS_MIN..=DAY_MS) => Ok(millis),
        _ => Err(format!("is a duration from {SNAPSHOT_INTERVAL_MS_MIN}ms to 24h, not \"{word}\"")),
    };
    let interval_ms = raw.one("snapshot_interval", interval)?;
    if path.is_none() && interval_ms.is_some() {
        raw.warnings.push("snapshot_interval: no snapshot is taken without a file for it, snapshot".to_owned());
    }
    let interval_ms = interval_ms.unwrap_or(SNAPSHOT_INTERVAL_MS_DEFAULT);
    Ok(path.map(|path| SnapshotSettings { path, interval_ms }))
}

fn shards(word: &str) -> Result<usize, String> {
    let count = word.parse().ok().filter(|count| (1..=SHARDS_MAX).contains(count));
    count.ok_or_else(|| format!("shards is a number from 1 to {SHARDS_MAX}, not \"{word}\""))
}

fn driver(word: &str) -> Result<DriverChoice, String> {
    match word {
        "auto" => Ok(DriverChoice::Auto),
        "epoll" => Ok(DriverChoice::Epoll),
        "uring" => Ok(DriverChoice::Uring),
        _ => Err(format!("driver is \"auto\", \"epoll\" or \"uring\", not \"{word}\"")),
    }
}

fn log_level(word: &str) -> Result<LogLevel, String> {
    match word {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        _ => Err(format!("log is \"error\", \"warn\", \"info\" or \"debug\", not \"{word}\"")),
    }
}

fn log_format(word: &str) -> Result<LogFormat, String> {
    match word {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("log_format is \"text\" or \"json\", not \"{word}\"")),
    }
}

/// One key of `[limits]`: how it is written, what it may be, and where it goes.
struct LimitRow {
    key: &'static str,
    unit: Unit,
    min: u64,
    max: u64,
    set: fn(&mut Limits, u64),
    value: fn(&Limits) -> u64,
}

#[derive(Clone, Copy)]
enum Unit {
    Count,
    Bytes,
    Millis,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const SNAPSHOT_INTERVAL_MS_MIN: u64 = 10;
const SNAPSHOT_INTERVAL_MS_DEFAULT: u64 = 30_000;
const GIB: u64 = 1024 * 1024 * 1024;

/// Every key of `[limits]`. The casts lose nothing: each `max` fits its field, which a test holds.
#[rustfmt::skip]
const LIMITS: &[LimitRow] = &[
    LimitRow { key: "connections_max", unit: Unit::Count, min: 1, max: 100_000_000, set: |l, v| l.connections_max = v as u32, value: |l| l.connections_max.into() },
    LimitRow { key: "connections_per_ip_max", unit: Unit::Count, min: 0, max: 100_000_000, set: |l, v| l.connections_per_ip_max = v as u32, value: |l| l.connections_per_ip_max.into() },
    LimitRow { key: "topics_per_connection_max", unit: Unit::Count, min: 1, max: TOPICS_PER_CONNECTION_BOUND as u64, set: |l, v| l.topics_per_connection_max = v as u32, value: |l| l.topics_per_connection_max.into() },
    LimitRow { key: "topics_max", unit: Unit::Count, min: 1, max: 1_000_000_000, set: |l, v| l.topics_max = v as u32, value: |l| l.topics_max.into() },
    LimitRow { key: "message_len_max", unit: Unit::Bytes, min: 1, max: MESSAGE_LEN_BOUND as u64, set: |l, v| l.message_len_max = v as u32, value: |l| l.message_len_max.into() },
    LimitRow { key: "outbox_len_max", unit: Unit::Bytes, min: 1024, max: GIB, set: |l, v| l.outbox_len_max = v as u32, value: |l| l.outbox_len_max.into() },
    LimitRow { key: "reader_bandwidth_max", unit: Unit::Bytes, min: 0, max: GIB, set: |l, v| l.reader_bandwidth_max = v as u32, value: |l| l.reader_bandwidth_max.into() },
    LimitRow { key: "retained_len_max", unit: Unit::Bytes, min: 0, max: 1024 * GIB, set: |l, v| l.retained_len_max = v, value: |l| l.retained_len_max },
    LimitRow { key: "memory_len_max", unit: Unit::Bytes, min: 0, max: 1024 * GIB, set: |l, v| l.memory_len_max = v, value: |l| l.memory_len_max },
    LimitRow { key: "message_id_ttl", unit: Unit::Millis, min: 0, max: DAY_MS, set: |l, v| l.message_id_ttl_ms = v, value: |l| l.message_id_ttl_ms },
    LimitRow { key: "handshake_timeout", unit: Unit::Millis, min: 1, max: DAY_MS, set: |l, v| l.handshake_timeout_ms = v, value: |l| l.handshake_timeout_ms },
    LimitRow { key: "body_timeout", unit: Unit::Millis, min: 1, max: DAY_MS, set: |l, v| l.body_timeout_ms = v, value: |l| l.body_timeout_ms },
    LimitRow { key: "http_idle_timeout", unit: Unit::Millis, min: 1, max: DAY_MS, set: |l, v| l.http_idle_timeout_ms = v, value: |l| l.http_idle_timeout_ms },
    LimitRow { key: "ping_interval", unit: Unit::Millis, min: 1, max: DAY_MS, set: |l, v| l.ping_interval_ms = v, value: |l| l.ping_interval_ms },
    LimitRow { key: "ping_timeout", unit: Unit::Millis, min: 1, max: DAY_MS, set: |l, v| l.ping_timeout_ms = v, value: |l| l.ping_timeout_ms },
    LimitRow { key: "close_timeout", unit: Unit::Millis, min: 1, max: DAY_MS, set: |l, v| l.close_timeout_ms = v, value: |l| l.close_timeout_ms },
    LimitRow { key: "drain_timeout", unit: Unit::Millis, min: 1, max: DAY_MS, set: |l, v| l.drain_timeout_ms = v, value: |l| l.drain_timeout_ms },
];

/// Each limit by its key, in base units: a count, bytes or seconds.
#[must_use]
pub fn limits_in_effect(limits: &Limits) -> Vec<(&'static str, f64)> {
    let base = |row: &LimitRow| match row.unit {
        Unit::Count | Unit::Bytes => (row.value)(limits) as f64,
        Unit::Millis => (row.value)(limits) as f64 / 1_000.0,
    };
    LIMITS.iter().map(|row| (row.key, base(row))).collect()
}

impl LimitRow {
    fn parse(&self, word: &str) -> Result<u64, String> {
        let (value, kind) = match self.unit {
            Unit::Count => (value::count(word), "a number"),
            Unit::Bytes => (value::size(word), "a size such as \"64KiB\" or a number of bytes"),
            Unit::Millis => (value::duration_ms(word), "a duration with its unit such as \"250ms\", \"10s\" or \"2m\""),
        };
        let value = value.ok_or_else(|| format!("{} is {kind}, not \"{word}\"", self.key))?;
        if (self.min..=self.max).contains(&value) {
            return Ok(value);
        }
        let unit = match self.unit {
            Unit::Count => "",
            Unit::Bytes => " bytes",
            Unit::Millis => " ms",
        };
        Err(format!("{} is {} to {}{unit}, not {word}", self.key, self.min, self.max))
    }
}

fn limits(raw: &mut RawConfig) -> Result<Limits, ConfigError> {
    let mut limits = Limits::default();
    for row in LIMITS {
        if let Some(value) = raw.one(row.key, |word| row.parse(word))? {
            (row.set)(&mut limits, value);
        }
    }
    Ok(limits)
}

fn topics(rules: &[RawTable]) -> Result<Vec<TopicRule>, ConfigError> {
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

fn compression(raw: &mut RawConfig) -> Result<CompressionSettings, ConfigError> {
    let mut settings = CompressionSettings::default();
    if let Some(default) = raw.one("compression", compression_mode)? {
        settings.default = default;
    }
    if let Some(threshold) = raw.one("compression_threshold", size_of_a_message)? {
        settings.threshold = threshold;
    }
    if let Some(level) = raw.one("compression_level", |word| number(word, 1, 9))? {
        settings.level = level as u8;
    }
    if let Some(bits) = raw.one("compression_window", |word| number(word, WINDOW_BITS_MIN.into(), 15))? {
        settings.stream_window_bits = bits as u8;
    }
    if let Some(every) = raw.one("compression_join_every", |word| number(word, 1, JOIN_EVERY_MAX))? {
        settings.join_every = every;
    }
    Ok(settings)
}

fn compression_mode(word: &str) -> Result<Compression, String> {
    word.parse().map_err(|()| format!("is \"off\", \"message\" or \"shared\", not \"{word}\""))
}

fn size_of_a_message(word: &str) -> Result<u32, String> {
    let len = value::size(word).and_then(|len| u32::try_from(len).ok()).filter(|&len| len <= MESSAGE_LEN_BOUND);
    len.ok_or_else(|| format!("is a size such as \"256\" or \"1KiB\", not \"{word}\""))
}

fn number(word: &str, min: u32, max: u32) -> Result<u32, String> {
    let number = word.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("is a number from {min} to {max}, not \"{word}\""))
}

fn topic_mode(word: &str) -> Result<Mode, String> {
    word.parse().map_err(|()| format!("is \"queue\", \"drop_oldest\" or \"latest\", not \"{word}\""))
}
