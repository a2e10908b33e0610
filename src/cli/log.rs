//! The log: to standard error, one line an event, as text or as JSON.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Config, LogFormat, LogLevel};
use crate::server::START;

/// How loud the log is, to be changed while it runs.
#[derive(Debug)]
pub(super) struct Loudness(reload::Handle<Targets, Registry>);

impl Loudness {
    /// From now on.
    pub(super) fn set(&self, level: LogLevel) {
        // The only way to fail is that the log is gone.
        let _ = self.0.modify(|targets| *targets = targets_of(level));
    }
}

/// Starts the log as loud as the configuration says.
pub(super) fn start(config: &Config) -> Loudness {
    let (loudness, handle) = reload::Layer::new(targets_of(config.log));
    let layer = fmt::layer().with_writer(io::stderr).with_target(false);
    let layer = match config.log_format {
        LogFormat::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    // The only way to fail is that there is a log already, which then serves.
    let _ = tracing_subscriber::registry().with(layer.with_filter(loudness)).try_init();
    Loudness(handle)
}

/// The events logged at a level. The start of the gateway and changes of its configuration are logged unless only
/// errors are.
fn targets_of(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let told = if level == LevelFilter::ERROR { level } else { level.max(LevelFilter::INFO) };
    Targets::new().with_default(level).with_target(START, told)
}
