//! The configuration, loaded again while the gateway runs: what may change goes to every shard, and the rest is named.

use std::sync::{Arc, Mutex, PoisonError};

use super::certificates::Watch;
use super::{Drainer, check};
use crate::config::{Change, Config};
use crate::mailbox::Request;

/// Brings another configuration to a gateway that runs. Clones do it together.
#[derive(Clone, Debug)]
pub struct Reloader {
    drainer: Drainer,
    certificates: Option<Watch>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// What the gateway was started with, as it was asked for.
    start: Config,
    /// The same with what it could have.
    in_effect: Config,
    /// What it got last.
    last: Config,
}

/// What came of a configuration that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The keys that have another value now.
    pub changed: Vec<&'static str>,
    /// The keys whose value needs a restart.
    pub needs_restart: Vec<&'static str>,
    /// What is odd, and was not before.
    pub warnings: Vec<String>,
}

impl Reloader {
    pub(super) fn new(start: &Config, in_effect: &Config, certificates: Option<Watch>, drainer: Drainer) -> Self {
        let state = State { start: start.clone(), in_effect: in_effect.clone(), last: start.clone() };
        Self { drainer, certificates, state: Arc::new(Mutex::new(state)) }
    }

    /// Takes another configuration as far as it may change while running. The files of certificates are read again, whether
    /// or not they are others.
    ///
    /// # Errors
    /// If those are of no use, or if a shard is too far behind: then all stays as it was.
    pub fn reload(&self, config: Config) -> Result<Reloaded, String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let keeps_tls = match (&self.certificates, &config.tls) {
            (Some(certificates), Some(files)) => certificates.load(files).map(|()| true)?,
            (certificates, files) => {
                check(&config).map_err(|error| error.to_string())?;
                certificates.is_some() == files.is_some()
            }
        };
        let live = Arc::new(config.live(&state.in_effect));
        if !self.drainer.tell(|| Request::Live(Arc::clone(&live))) {
            return Err("a shard is too far behind to take it: try again".to_owned());
        }
        let mut needs_restart = config.differs_from(&state.start, Change::Restart);
        // Whether there is TLS at all is a matter of the listeners.
        let is_changed = |key: &&str| keeps_tls || !key.starts_with("tls_");
        let (changed, at_restart): (Vec<_>, Vec<_>) =
            config.differs_from(&state.last, Change::Live).into_iter().partition(is_changed);
        needs_restart.extend(at_restart);
        let is_new = |warning: &&String| !state.last.warnings.contains(warning);
        let warnings = config.warnings.iter().filter(is_new).cloned().collect();
        state.last = config;
        Ok(Reloaded { changed, needs_restart, warnings })
    }
}
