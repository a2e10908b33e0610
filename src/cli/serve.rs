//! `fanwire serve`: the gateway.

use std::env;
use std::process::ExitCode;
use std::thread;

use super::log::Loudness;
use super::{End, front, log, output};
use crate::config::{Config, ConfigError, ConfigFlags};
use crate::driver::memory_max;
use crate::server::signals::Signals;
use crate::server::{self, Reloaded, Running, START};

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
    let gateway = Gateway::start(&arguments.config, |config| config.pages.extend(front::PAGES))?;
    output::line("ready")?;
    Ok(gateway.run_until_end())
}

/// The configuration of this process.
pub(super) fn load(flags: &ConfigFlags) -> Result<Config, ConfigError> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    };
    Ok(Config::load(flags, env::vars_os().map(text), cores)?.with_memory(memory_max()))
}

/// A gateway that runs in this process.
pub(super) struct Gateway {
    pub running: Running,
    signals: Signals,
    log: Loudness,
    flags: ConfigFlags,
    /// Settings that the command adds to the configuration.
    add: fn(&mut Config),
}

impl Gateway {
    /// Starts the log and the gateway, and prints where it listens. The signals are caught before.
    pub fn start(flags: &ConfigFlags, add: fn(&mut Config)) -> Result<Self, End> {
        let mut config = load(flags)?;
        add(&mut config);
        let log = log::start(&config);
        let signals = Signals::catch().map_err(|error| End::Failed(format!("cannot catch signals: {error}")))?;
        let running = server::start(&config).map_err(|error| match error.may_pass() {
            true => End::Failed(error.to_string()),
            false => End::Usage(error.to_string()),
        })?;
        for listen in running.addrs() {
            output::line(&format!("listening on {listen}"))?;
        }
        Ok(Self { running, signals, log, flags: flags.clone(), add })
    }

    /// Waits for its end. SIGHUP loads the configuration again.
    pub fn run_until_end(self) -> ExitCode {
        let Self { running, signals, log, flags, add } = self;
        let reloader = running.reloader();
        let load = move || {
            let mut config = load(&flags).map_err(|error| error.to_string())?;
            add(&mut config);
            let level = config.log;
            let reloaded = reloader.reload(config)?;
            log.set(level);
            Ok(reloaded)
        };
        signals.run_until_end(running, move || tell(load()))
    }
}

/// One line of what became of a configuration that was loaded again, and what is odd in it.
fn tell(outcome: Result<Reloaded, String>) {
    let names = |keys: &[&str]| if keys.is_empty() { "nothing".to_owned() } else { keys.join(" ") };
    match outcome {
        Ok(Reloaded { changed, needs_restart, warnings }) => {
            let (changed, restart) = (names(&changed), names(&needs_restart));
            if needs_restart.is_empty() {
                tracing::info!(target: START, changed, "configuration loaded again");
            } else {
                tracing::warn!(
                    changed,
                    needs_restart = restart,
                    "configuration loaded again; some of it needs a restart"
                );
            }
            for warning in warnings {
                tracing::warn!("{warning}");
            }
        }
        Err(error) => {
            tracing::error!(%error, "the configuration cannot be loaded again; going on with the one from before");
        }
    }
}
