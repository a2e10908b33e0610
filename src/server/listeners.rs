//! Opens all listeners, addresses and files, for each shard.

use std::io;

use super::StartError;
use crate::config::{Config, Listen, Place};
use crate::driver::{Listener, SocketFile, listen, listen_unix};

/// All listeners of the gateway.
#[derive(Debug)]
pub(super) struct Listeners {
    /// The addresses as bound, in the order of the configuration.
    pub addrs: Vec<Listen>,
    /// The listeners of each shard, in the same order.
    pub by_shard: Vec<Vec<Listener>>,
    /// Socket files, removed at the end.
    pub files: Vec<SocketFile>,
}

impl Listeners {
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let by_shard = (0..config.shards).map(|_| Vec::new()).collect();
        let mut listeners = Self { addrs: Vec::new(), by_shard, files: Vec::new() };
        for listen in &config.listen {
            let place = match &listen.place {
                Place::Tcp(addr) => addr.to_string(),
                Place::Unix(path) => path.display().to_string(),
            };
            listeners.add(listen, config).map_err(|error| {
                let why = match (error.kind(), &listen.place) {
                    (io::ErrorKind::AlreadyExists, _) => "a file with this name is not a socket".to_owned(),
                    (io::ErrorKind::AddrInUse, Place::Tcp(addr)) => {
                        let port = addr.port();
                        format!(
                            "{error}: another program listens there, which `ss -ltnp sport = :{port}` names; another \
                             port can be chosen with --listen"
                        )
                    }
                    (io::ErrorKind::AddrNotAvailable, _) => format!("{error}: this host does not have the address now"),
                    _ => error.to_string(),
                };
                let message = format!("cannot listen on {place}: {why}");
                // These may go away: an interface comes up, a descriptor or memory becomes free.
                match error.kind() {
                    io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory => StartError::passing(message),
                    _ => StartError::mistake(message),
                }
            })?;
        }
        Ok(listeners)
    }

    fn add(&mut self, wanted: &Listen, config: &Config) -> io::Result<()> {
        let (listeners, place) = match &wanted.place {
            Place::Tcp(addr) => {
                let listeners = listen(*addr, config.shards, config.limits.silence_max())?;
                let bound = listeners[0].local_addr()?;
                (listeners, Place::Tcp(bound))
            }
            Place::Unix(path) => {
                let (listeners, file) = listen_unix(path, config.shards)?;
                self.files.push(file);
                (listeners, wanted.place.clone())
            }
        };
        self.addrs.push(Listen { place, ..wanted.clone() });
        for (shard, listener) in self.by_shard.iter_mut().zip(listeners) {
            shard.push(listener);
        }
        Ok(())
    }
}
