//! The log: to standard error, one line an event.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;

use crate::config::{Config, LogLevel};

/// Starts the log as loud as the configuration says, and says what was odd about it.
pub(super) fn start(config: &Config) {
    let level = match config.log {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr);
    // The only way to fail is that there is a log already, which then serves.
    let _ = log.with_ansi(io::stderr().is_terminal()).with_target(false).try_init();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
}
