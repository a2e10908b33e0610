//! The choice of the driver: the configured one, or epoll if the kernel does not support it.

use std::io;

use super::StartError;
use super::capacity::Capacity;
use crate::config::{Config, DriverChoice};
use crate::driver::{EpollSetup, EpollWaker, Listener, UringIntake, UringSetup, UringWaker, Wake, descriptors_open};
use crate::limits::DESCRIPTORS_RESERVED_MAX;

/// The driver of one shard, opened and not yet on its thread.
pub(super) enum Setup {
    Epoll(EpollSetup),
    Uring(Box<UringSetup>, UringIntake),
}

/// Wakes a shard, with any driver.
#[derive(Clone, Debug)]
pub(super) enum ShardWaker {
    Epoll(EpollWaker),
    Uring(UringWaker),
}

/// A driver for each shard, and the capacity with them.
pub(super) struct Drivers {
    pub setups: Vec<Setup>,
    pub capacity: Capacity,
    /// The driver's name.
    pub name: &'static str,
}

impl Drivers {
    /// Opens a driver for each shard. All shards have the same one; `auto` is epoll until io_uring wins on every
    /// measure.
    ///
    /// # Errors
    /// The kernel's error for epoll.
    pub fn open(config: &Config, listeners: Vec<Vec<Listener>>, descriptors_max: u64) -> Result<Self, StartError> {
        let open = descriptors_open().unwrap_or(DESCRIPTORS_RESERVED_MAX);
        if config.driver == DriverChoice::Uring {
            let capacity = Capacity::new(config, DriverChoice::Uring, descriptors_max, open);
            let setups = listeners.iter().map(|_| {
                let mut setup = UringSetup::new(capacity.places)?;
                setup.set_accepts_per_wait(capacity.accepts_per_wait);
                Ok(setup)
            });
            match setups.collect::<io::Result<Vec<_>>>() {
                Ok(setups) => {
                    let intakes = UringSetup::intakes(&setups, listeners, capacity.seats.connections);
                    let setups = setups.into_iter().zip(intakes);
                    let setups = setups.map(|(setup, intake)| Setup::Uring(Box::new(setup), intake)).collect();
                    return Ok(Self { setups, capacity, name: "uring" });
                }
                Err(error) => tracing::warn!("cannot use io_uring: {error}; epoll is used instead"),
            }
        }
        let capacity = Capacity::new(config, DriverChoice::Epoll, descriptors_max, open);
        let setups = listeners.into_iter().map(|listeners| {
            let mut setup = EpollSetup::new(listeners, capacity.places)?;
            setup.set_accepts_per_wait(capacity.accepts_per_wait);
            Ok(Setup::Epoll(setup))
        });
        let setups = setups.collect::<io::Result<_>>();
        let setups = setups.map_err(|error| StartError::passing(format!("cannot use epoll: {error}")))?;
        Ok(Self { setups, capacity, name: "epoll" })
    }
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
