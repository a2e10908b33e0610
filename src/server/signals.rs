//! SIGTERM and SIGINT: the first begins the shutdown, a second ends the process at once. SIGHUP loads the
//! configuration again. Other signals that end a process by default are ignored.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM};
use signal_hook::{flag, iterator};

use super::Running;

/// The signals that the gateway catches. They are caught before the program reports that it is ready, so that none of
/// them has its default effect.
#[derive(Debug)]
pub struct Signals(iterator::Signals);

impl Signals {
    /// Catches the signals.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn catch() -> io::Result<Self> {
        let is_second = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // The order matters. At the first signal the flag is false and gets set. At a second it is set, and the
            // handler exits, whatever the threads do.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&is_second))?;
            flag::register(signal, Arc::clone(&is_second))?;
        }
        let ignored = [SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO];
        Ok(Self(iterator::Signals::new([SIGTERM, SIGINT, SIGHUP].iter().chain(&ignored))?))
    }

    /// Waits until `running` ends, by the first signal or by an error of its own. Calls `reload` for each SIGHUP, on
    /// another thread.
    #[must_use]
    pub fn run_until_end(mut self, running: Running, mut reload: impl FnMut() + Send + 'static) -> ExitCode {
        let drainer = running.drainer();
        let waiting = thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in self.0.forever() {
                match signal {
                    SIGHUP => reload(),
                    SIGTERM | SIGINT => {
                        tracing::info!(signal, "shutting down");
                        drainer.drain();
                    }
                    _ => tracing::info!(signal, "signal ignored"),
                }
            }
        });
        if let Err(error) = waiting {
            tracing::error!(%error, "cannot wait for signals; only a second one ends the process");
        }
        match running.join() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(%error, "ended by an error");
                ExitCode::FAILURE
            }
        }
    }
}
