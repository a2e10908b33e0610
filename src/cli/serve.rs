//! `fanwire serve`: the gateway.

use std::env;
use std::process::ExitCode;
use std::thread;

use super::{End, front, log, output};
use crate::config::{Config, ConfigFlags};
use crate::server::signals::Signals;
use crate::server::{self, Running};

/// Run the gateway
///
/// Every flag may also stand in the file (--config) and in the environment, where --ping-interval is
/// FANWIRE_PING_INTERVAL; flags win over the environment, the environment over the file. Sizes are bytes or have a
/// unit (64KiB, 1MiB), times have one (250ms, 10s, 2m).
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigFlags,
}

const EXAMPLES: &str = "\
Examples:
  fanwire serve
  fanwire serve --config fanwire.toml --log info
  fanwire serve --listen 127.0.0.1:9000 --listen '[::1]:9000' --shards 2
  fanwire serve --listen 0.0.0.0:8080 --insecure
  fanwire serve --topics 'log.> last=false' --message-len-max 64KiB
  FANWIRE_LISTEN=127.0.0.1:0 fanwire serve";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, End> {
    let mut config = load(&arguments.config)?;
    config.pages.extend(front::PAGES);
    let (signals, running) = start(&config)?;
    output::line("ready")?;
    Ok(signals.run_until_end(running))
}

/// The configuration of this process.
pub(super) fn load(flags: &ConfigFlags) -> Result<Config, End> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    };
    Config::load(flags, env::vars_os().map(text), cores).map_err(|error| End::Usage(error.to_string()))
}

/// Starts the log and the gateway, and prints where it listens. The signals are caught before.
pub(super) fn start(config: &Config) -> Result<(Signals, Running), End> {
    log::start(config);
    let signals = Signals::catch().map_err(|error| End::Failed(format!("cannot catch signals: {error}")))?;
    let running = server::start(config).map_err(|error| match error.may_pass() {
        true => End::Failed(error.to_string()),
        false => End::Usage(error.to_string()),
    })?;
    for listen in running.addrs() {
        output::line(&format!("listening on {listen}"))?;
    }
    Ok((signals, running))
}
