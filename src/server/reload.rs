//! Loading the configuration again while the gateway runs. Live keys go to every shard; the others are reported.

use std::sync::{Arc, Mutex, PoisonError};

use super::certificates::Watch;
use super::{Drainer, check};
use crate::config::{Change, Config};
use crate::mailbox::Request;

/// Gives another configuration to a running gateway. Clones share their state.
#[derive(Clone, Debug)]
pub struct Reloader {
    drainer: Drainer,
    certificates: Option<Watch>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The configuration at the start, as it was asked for.
    start: Config,
    /// The configuration at the start, limited to what fits.
    in_effect: Config,
    /// The last configuration that was loaded.
    last: Config,
}

/// The result of a configuration that was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The keys that have a new value now.
    pub changed: Vec<&'static str>,
    /// The keys whose new value needs a restart.
    pub needs_restart: Vec<&'static str>,
    /// Warnings that are new.
    pub warnings: Vec<String>,
}

impl Reloader {
    pub(super) fn new(start: &Config, in_effect: &Config, certificates: Option<Watch>, drainer: Drainer) -> Self {
        let state = State { start: start.clone(), in_effect: in_effect.clone(), last: start.clone() };
        Self { drainer, certificates, state: Arc::new(Mutex::new(state)) }
    }

    /// Applies another configuration as far as it may change while running. The certificate files are always read
    /// again.
    ///
    /// # Errors
    /// The certificate files are invalid, or a shard is too far behind. Then nothing changes.
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
        // Whether there is TLS at all depends on the listeners, which need a restart.
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
