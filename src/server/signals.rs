//! SIGTERM and SIGINT: the first begins the shutdown, a second ends the process at once. SIGHUP loads the
//! configuration again. Signals that mean something to other programs and would end this one mean nothing here.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM};
use signal_hook::{flag, iterator};

use super::Running;

/// The signals that end the gateway, caught from now on. Made before the program says that it is ready, so that no
/// signal finds the default behaviour.
#[derive(Debug)]
pub struct Signals(iterator::Signals);

impl Signals {
    /// Catches the signals.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn catch() -> io::Result<Self> {
        let is_second = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // The order counts: the first signal finds the flag down and raises it, a second finds it up and exits
            // inside the handler, whatever state the threads are in.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&is_second))?;
            flag::register(signal, Arc::clone(&is_second))?;
        }
        let ignored = [SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO];
        Ok(Self(iterator::Signals::new([SIGTERM, SIGINT, SIGHUP].iter().chain(&ignored))?))
    }

    /// Waits for the end of `running`: by the first signal, in order, or by an error of its own. `reload` is called for each
    /// SIGHUP, on another thread.
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
                    _ => tracing::info!(signal, "a signal without a meaning here; going on"),
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
