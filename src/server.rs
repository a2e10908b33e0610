//! The composition root: opens listeners and drivers, runs shards on their threads, and ends them.

mod capacity;
mod certificates;
mod drivers;
mod listeners;
mod reload;
pub mod signals;
mod snapshots;

pub use snapshots::SnapshotSettings;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use crate::command::{Peer, ShardId};
use crate::config::{Config, Listen, limits_in_effect};
use crate::driver::{Claim, Driver, SocketFile, Wake, entropy_seed, process_usage, raise_descriptors_max};
use crate::mailbox::{Admission, Control, Mailbox, PortionLane, Request};
use crate::metrics::ProcessMetrics;
use crate::shard::{self, EdgeSettings, Seats, Settings, Shard};
use crate::transport::tls::Certificates;
use drivers::{Drivers, Setup, ShardWaker};
use listeners::Listeners;
pub use reload::{Reloaded, Reloader};

/// The reason why the gateway did not start, in one line.
#[derive(Debug)]
pub struct StartError {
    message: String,
    may_pass: bool,
}

impl StartError {
    /// An error that the operator must mend.
    fn mistake(message: impl Into<String>) -> Self {
        Self { message: message.into(), may_pass: false }
    }

    /// An error that may go away by itself.
    fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), may_pass: true }
    }

    /// Whether another start without a change may succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.may_pass
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StartError {}

/// A running gateway.
#[derive(Debug)]
pub struct Running {
    addrs: Vec<Listen>,
    shards: Vec<JoinHandle<()>>,
    drainer: Drainer,
    reloader: Reloader,
    /// Socket files, removed with the gateway.
    _files: Vec<SocketFile>,
    snapshots: Option<JoinHandle<bool>>,
    /// The claim on the snapshot file, until the last snapshot is written.
    _claim: Option<Claim>,
    /// The result of each shard, in the order in which they end.
    ended: mpsc::Receiver<Result<(), String>>,
}

/// Begins the shutdown of a [`Running`] from any thread.
#[derive(Clone, Debug)]
pub struct Drainer {
    control: Arc<Mutex<Control>>,
    wakers: Arc<[ShardWaker]>,
}

impl Drainer {
    /// Begins the shutdown. A second call has no effect.
    pub fn drain(&self) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        // A full lane already holds the same request.
        let _ = control.tell_all(|| Request::Drain);
        self.wakers.iter().for_each(Wake::wake);
    }

    /// Sends a request to all shards that is repeated anyway; `false` if a shard is too far behind.
    fn offer_all(&self, request: impl Fn() -> Request) -> bool {
        let is_told = self.control.lock().unwrap_or_else(PoisonError::into_inner).offer_all(request);
        self.wakers.iter().for_each(Wake::wake);
        is_told
    }
}

/// Starts the gateway. It listens when this returns.
///
/// # Errors
/// [`StartError`], most often because a port is in use.
pub fn start(config: &Config) -> Result<Running, StartError> {
    let descriptors_max = raise_descriptors_max();
    let certificates = load_certificates(config)?;
    let snapshot = config.snapshot_settings();
    let claim = snapshot.as_ref().map(SnapshotSettings::claim).transpose()?;
    let Listeners { addrs, by_shard: listeners, files } = Listeners::open(config)?;
    let Drivers { setups: drivers, capacity, name: driver } = Drivers::open(config, listeners, descriptors_max)?;
    let (asked, config) = (config, &config.with_room_for(capacity.connections_max));
    tell_start(config, driver, descriptors_max);
    let seed = config.seed.unwrap_or_else(entropy_seed);
    let (lane, portions) = PortionLane::new();
    let mut settings = settings(config, seed, certificates.as_ref(), driver);
    settings.seats = capacity.seats;
    let loaded = snapshot.as_ref().map(|snapshot| snapshot.load(settings.hash_key, config.shards)).transpose()?;
    settings.snapshots = snapshot.as_ref().map(|_| lane);
    let wakers: Arc<[ShardWaker]> = drivers.iter().map(Setup::waker).collect();
    let (mailboxes, control) = Mailbox::mesh(config.shards);
    let drainer = Drainer { control: Arc::new(Mutex::new(control)), wakers: Arc::clone(&wakers) };
    let (report, ended) = mpsc::channel();
    let mut shards = Vec::new();
    let snapshots::Loaded { mut by_shard, is_clean, epoch_seed } = loaded.unwrap_or_default();
    by_shard.resize_with(config.shards, Vec::new);
    let mut by_shard = by_shard.into_iter();
    let (has_restored, all_restored) = mpsc::channel::<()>();
    for (index, (driver, mailbox)) in drivers.into_iter().zip(mailboxes).enumerate() {
        // Each shard has its own random numbers: otherwise two shards would draw the same delays.
        let seed = settings.seed.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let settings = Settings { shard: ShardId(index as u8), seed, ..settings.clone() };
        let (wakers, report) = (Arc::clone(&wakers), report.clone());
        let topics = by_shard.next().unwrap_or_default();
        let has_restored = has_restored.clone();
        let run = move || {
            let mut shard = Shard::new(settings);
            snapshots::restore(&mut shard, ShardId(index as u8), topics, is_clean, epoch_seed);
            drop(has_restored);
            run_shard(shard, index, driver, mailbox, &wakers, &report);
        };
        let thread = thread::Builder::new().name(format!("shard-{index}")).spawn(run);
        shards.push(thread.map_err(|error| StartError::passing(format!("cannot start a thread: {error}")))?);
    }
    let watch = match (config.tls.clone(), certificates) {
        (Some(files), Some(loaded)) => Some(certificates::watch(files, loaded, drainer.clone())?),
        _ => None,
    };
    let reloader = Reloader::new(asked, config, watch, drainer.clone());
    // The gateway is ready when every shard has restored its topics.
    drop(has_restored);
    let _ = all_restored.recv();
    let write = |snapshot: &SnapshotSettings| {
        let writer = snapshots::Writer::new(snapshot.clone(), portions, drainer.clone(), config.shards);
        thread::Builder::new().name("snapshot".to_owned()).spawn(move || writer.run())
    };
    let snapshots = snapshot.as_ref().map(write).transpose();
    let snapshots = snapshots.map_err(|error| StartError::passing(format!("cannot start a thread: {error}")))?;
    Ok(Running { addrs, shards, drainer, reloader, snapshots, ended, _claim: claim, _files: files })
}

/// Checks the files that a configuration names, as far as possible without starting.
///
/// # Errors
/// A certificate or key cannot be used.
pub fn check(config: &Config) -> Result<(), StartError> {
    load_certificates(config).map(drop)
}

fn load_certificates(config: &Config) -> Result<Option<Certificates>, StartError> {
    let certificates = config.tls.as_ref().map(|files| certificates::load(files, None));
    certificates.transpose().map_err(StartError::mistake)
}

impl Running {
    /// The addresses that the gateway listens on, with the ports that were bound.
    #[must_use]
    pub fn addrs(&self) -> &[Listen] {
        &self.addrs
    }

    /// A handle that begins the shutdown from another thread.
    #[must_use]
    pub fn drainer(&self) -> Drainer {
        self.drainer.clone()
    }

    /// A handle that changes the configuration from another thread.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Waits until every shard has ended, by a shutdown or by an error of its own. If one shard fails, the others end
    /// too: the topics at home in the failed shard would be lost.
    ///
    /// # Errors
    /// The error of a shard, or the reason why the last snapshot was not written, in one line.
    pub fn join(self) -> Result<(), String> {
        let mut outcome = Ok(());
        for _ in 0..self.shards.len() {
            let ended = self.ended.recv().unwrap_or_else(|_| Err("a shard ended by a panic".to_owned()));
            if ended.is_err() && outcome.is_ok() {
                outcome = ended;
                self.drainer.drain();
            }
        }
        for shard in self.shards {
            if shard.join().is_err() && outcome.is_ok() {
                outcome = Err("a shard ended by a panic".to_owned());
            }
        }
        // This thread ends when the shards have ended and all their portions are written.
        let written = self.snapshots.map(JoinHandle::join);
        outcome.and(match written {
            None | Some(Ok(true)) => Ok(()),
            Some(Ok(false)) => Err("the last snapshot could not be written".to_owned()),
            Some(Err(_)) => Err("the thread that writes snapshots ended by a panic".to_owned()),
        })
    }
}

/// Logs the first lines.
fn tell_start(config: &Config, driver: &str, descriptors_max: u64) {
    let file = config.file.as_ref().map_or("none".to_owned(), |file| file.display().to_string());
    let limits = limits_in_effect(config);
    let limits: Vec<_> = limits.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let (version, shards) = (env!("CARGO_PKG_VERSION"), config.shards);
    tracing::info!(
        target: START, version, config = file, shards, driver, open_files = descriptors_max, limits = limits.join(" "),
        "fanwire starts"
    );
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
}

/// The target of the log's first line. It is logged at every level except `error`.
pub const START: &str = "fanwire::start";

fn settings(config: &Config, seed: u64, certificates: Option<&Certificates>, driver: &'static str) -> Settings {
    let mut rng = fastrand::Rng::with_seed(seed);
    Settings {
        shard: ShardId(0),
        shards: config.shards,
        has_engine: false,
        live: Arc::new(config.live(config)),
        edge: EdgeSettings {
            tls_listeners: config.listen.iter().map(|listen| listen.is_tls).collect(),
            tls: certificates.map(|loaded| (Arc::clone(loaded.config()), loaded.expires_s())),
            trusted: Arc::new(config.proxies.trusted.clone()),
            proxy_protocol: config.proxies.protocol,
        },
        pages: config.pages.clone().into(),
        hash_key: (rng.u64(..), rng.u64(..)),
        seed: rng.u64(..),
        admission: Admission::new(config.limits.connections_max),
        seats: Seats::default(),
        process: Arc::new(ProcessMetrics { version: env!("CARGO_PKG_VERSION"), driver, usage: Some(process_usage) }),
        log_peers: config.log_peers,
        services: config.services.clone().into(),
        snapshots: None,
    }
}

fn run_shard(
    shard: Shard,
    index: usize,
    setup: Setup,
    mailbox: Mailbox,
    wakers: &[ShardWaker],
    report: &mpsc::Sender<Result<(), String>>,
) {
    let run = || match setup {
        Setup::Epoll(setup) => run_on(setup.into_driver(), shard, mailbox, wakers),
        Setup::Uring(setup, intake) => run_on(setup.into_driver(intake)?, shard, mailbox, wakers),
    };
    let outcome = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(|error: std::io::Error| format!("shard {index}: {error}")),
        Err(_) => Err(format!("shard {index} ended by a panic")),
    };
    let _ = report.send(outcome);
}

fn run_on(
    mut driver: impl Driver,
    mut shard: Shard,
    mut mailbox: Mailbox,
    wakers: &[ShardWaker],
) -> std::io::Result<()> {
    let wake = |peer| match peer {
        Peer::Shard(shard) => wakers[shard.index()].wake(),
        Peer::Engine => unreachable!("nothing makes an engine yet"),
    };
    shard::run(&mut driver, &mut shard, &mut mailbox, wake)?;
    shard.hand_over_last_snapshot();
    Ok(())
}
