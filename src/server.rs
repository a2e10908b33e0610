//! The composition root. (A stub that holds the listeners only; to be replaced.)

pub mod signals;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;

use crate::config::Config;

/// A page of the program's own, served as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its path, exactly.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: &'static [u8],
}

/// Why the gateway did not start, in one line.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    addrs: Vec<SocketAddr>,
    shard_count: usize,
    drainer: Drainer,
    ended: mpsc::Receiver<()>,
    _listeners: Vec<TcpListener>,
}

/// Begins the shutdown of a [`Running`] from any thread.
#[derive(Clone, Debug)]
pub struct Drainer(mpsc::Sender<()>);

impl Drainer {
    /// Begins the shutdown; more than once is the same as once.
    pub fn drain(&self) {
        let _ = self.0.send(());
    }
}

/// Starts the gateway; it listens when this returns.
///
/// # Errors
/// [`StartError`], above all a port in use.
pub fn start(config: &Config) -> Result<Running, StartError> {
    let bind = |addr: &SocketAddr| {
        TcpListener::bind(addr).map_err(|error| StartError(format!("cannot listen on {addr}: {error}")))
    };
    let listeners = config.listen.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let addrs = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let (drain, ended) = mpsc::channel();
    Ok(Running { addrs, shard_count: config.shards, drainer: Drainer(drain), ended, _listeners: listeners })
}

impl Running {
    /// The addresses that it listens on, with their ports as bound.
    #[must_use]
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// How many shards it has.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shard_count
    }

    /// Something that begins the shutdown from another thread.
    #[must_use]
    pub fn drainer(&self) -> Drainer {
        self.drainer.clone()
    }

    /// Begins the shutdown.
    pub fn drain(&self) {
        self.drainer.drain();
    }

    /// Waits until every shard ended, by a shutdown or by an error of its own.
    ///
    /// # Errors
    /// What a shard ended with, in one line.
    pub fn join(self) -> Result<(), String> {
        self.ended.recv().map_err(|error| error.to_string())
    }
}
