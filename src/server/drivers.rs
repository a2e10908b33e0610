//! Which driver the shards run on: what was asked for, or epoll where the kernel has no such thing.

use std::io;

use super::StartError;
use crate::config::DriverChoice;
use crate::driver::{EpollSetup, EpollWaker, Listener, UringSetup, UringWaker, Wake};

/// One shard's driver, opened and not yet on its thread.
pub(super) enum Setup {
    Epoll(EpollSetup),
    Uring(Box<UringSetup>, Vec<Listener>),
}

/// Wakes a shard, whatever its driver.
#[derive(Clone, Debug)]
pub(super) enum ShardWaker {
    Epoll(EpollWaker),
    Uring(UringWaker),
}

/// Opens a driver for each shard. All shards have the same; `auto` is epoll until io_uring wins on every measure.
///
/// # Errors
/// What the kernel says to epoll.
pub(super) fn open(
    choice: DriverChoice,
    listeners: Vec<Vec<Listener>>,
    connections_capacity: u32,
) -> Result<Vec<Setup>, StartError> {
    if choice == DriverChoice::Uring {
        let setups = listeners.iter().map(|_| UringSetup::new(connections_capacity));
        match setups.collect::<io::Result<Vec<_>>>() {
            Ok(setups) => {
                let setups = setups.into_iter().zip(listeners);
                return Ok(setups.map(|(setup, listeners)| Setup::Uring(Box::new(setup), listeners)).collect());
            }
            Err(error) => tracing::warn!("cannot use io_uring: {error}; epoll is used instead"),
        }
    }
    let setups = listeners.into_iter().map(|listeners| EpollSetup::new(listeners, connections_capacity));
    let setups = setups.map(|setup| setup.map(Setup::Epoll)).collect::<io::Result<_>>();
    setups.map_err(|error| StartError(format!("cannot use epoll: {error}")))
}

impl Setup {
    /// A handle that wakes the shard.
    pub(super) fn waker(&self) -> ShardWaker {
        match self {
            Self::Epoll(setup) => ShardWaker::Epoll(setup.waker()),
            Self::Uring(setup, _) => ShardWaker::Uring(setup.waker()),
        }
    }
}

impl Wake for ShardWaker {
    fn wake(&self) {
        match self {
            Self::Epoll(waker) => waker.wake(),
            Self::Uring(waker) => waker.wake(),
        }
    }
}
