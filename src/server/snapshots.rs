//! Snapshots on the disk: read once before the shards run, written by a thread of its own.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::{Drainer, StartError};
use crate::command::{ShardId, ShardSet, TopicImage};
use crate::driver::{
    AsideFile, Claim, check_readable, monotonic_now, overwrite_end, read_portions, set_aside, wall_millis,
};
use crate::hub;
use crate::mailbox::{Portion, Request, SnapshotNumber};
use crate::snapshot::{Decoder, Encoder, Snapshot, SnapshotError};

/// The snapshot file and its interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// The file.
    pub path: PathBuf,
    /// The time from the end of one snapshot to the beginning of the next, in milliseconds.
    pub interval_ms: u64,
}

/// The content of a file, by home shard.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub by_shard: Vec<Vec<TopicImage>>,
    pub is_clean: bool,
    /// The seed of the epochs of topics without publications.
    pub epoch_seed: Option<u64>,
}

enum ReadError {
    Io(io::Error),
    Refused(SnapshotError),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl SnapshotSettings {
    /// Claims the file for this process, before any client is accepted.
    ///
    /// # Errors
    /// Another process uses the file: two would write over each other's topics. Or the file cannot be read or
    /// written: the operator should learn that at the start, not at the first snapshot.
    pub(super) fn claim(&self) -> Result<Claim, StartError> {
        let fail = |what: &str, error: io::Error| {
            let why = match error.kind() {
                io::ErrorKind::ResourceBusy => "another process uses it".to_owned(),
                _ => error.to_string(),
            };
            StartError::mistake(format!("cannot {what} the snapshot {}: {why}", self.path.display()))
        };
        let claim = Claim::on(&self.path).map_err(|error| fail("write", error))?;
        check_readable(&self.path).map_err(|error| fail("read", error))?;
        AsideFile::create(&self.path).map_err(|error| fail("write", error))?;
        Ok(claim)
    }

    /// Reads the file. If it is invalid, it is set aside, and the gateway starts empty.
    ///
    /// # Errors
    /// The file exists and cannot be read or set aside.
    pub(super) fn load(&self, hash_key: (u64, u64), shards: usize) -> Result<Loaded, StartError> {
        let fail = |what: &str, error| StartError::mistake(format!("cannot {what} {}: {error}", self.path.display()));
        let empty = Loaded { by_shard: vec![Vec::new(); shards], is_clean: true, epoch_seed: None };
        let snapshot = match self.read() {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => return Ok(empty),
            Err(ReadError::Io(error)) => return Err(fail("read the snapshot", error)),
            Err(ReadError::Refused(reason)) => {
                let aside = set_aside(&self.path).map_err(|error| fail("set aside the snapshot", error))?;
                let (file, aside) = (self.path.display(), aside.display());
                tracing::error!(
                    "the snapshot {file} is refused: {reason}; it is kept as {aside}, and nothing is restored"
                );
                return Ok(empty);
            }
        };
        let mut is_clean = snapshot.is_clean;
        if is_clean && let Err(error) = overwrite_end(&self.path, &snapshot.unclean_tail) {
            let file = self.path.display();
            tracing::warn!(%error, "cannot write to the snapshot {file}; topics go on under new epochs");
            is_clean = false;
        }
        let Loaded { mut by_shard, .. } = empty;
        tracing::info!(topics = snapshot.topics.len(), is_clean, "restored from {}", self.path.display());
        for image in snapshot.topics {
            by_shard[hub::home_of(hash_key, shards, image.topic.as_str()).index()].push(image);
        }
        Ok(Loaded { by_shard, is_clean, epoch_seed: snapshot.epoch_seed })
    }

    fn read(&self) -> Result<Option<Snapshot>, ReadError> {
        let mut decoder = Decoder::new(monotonic_now(), wall_millis());
        let left = read_portions(&self.path, |bytes| {
            let mut done = 0;
            while let Some(len) = decoder.take(&bytes[done..]).map_err(ReadError::Refused)? {
                done += len;
            }
            Ok::<_, ReadError>(done)
        })?;
        match left {
            None => Ok(None),
            Some(0) => decoder.finish().map(Some).map_err(ReadError::Refused),
            Some(_) => Err(ReadError::Refused(SnapshotError::Torn)),
        }
    }
}

/// Requests snapshots at the interval and writes them; the body of a thread.
pub(super) struct Writer {
    settings: SnapshotSettings,
    portions: Receiver<Portion>,
    drainer: Drainer,
    shards: usize,
    /// Number of snapshots requested.
    count: u64,
    is_last_begun: bool,
    is_last_written: bool,
    open: Option<Open>,
}

/// A snapshot that is being written.
struct Open {
    number: SnapshotNumber,
    file: AsideFile,
    encoder: Encoder,
    /// The shards that have not sent their last portion.
    waits: ShardSet,
    /// The seed of epochs of each shard that has sent its last portion.
    epoch_seeds: Vec<u64>,
}

impl Writer {
    pub fn new(settings: SnapshotSettings, portions: Receiver<Portion>, drainer: Drainer, shards: usize) -> Self {
        Self { settings, portions, drainer, shards, count: 0, is_last_begun: false, is_last_written: false, open: None }
    }

    /// Runs until every shard has ended. Returns whether the last snapshot, that of an orderly shutdown, was written.
    pub fn run(mut self) -> bool {
        let interval = Duration::from_millis(self.settings.interval_ms);
        loop {
            match self.portions.recv_timeout(interval) {
                Ok(portion) => self.take(portion),
                Err(RecvTimeoutError::Timeout) => self.ask(),
                Err(RecvTimeoutError::Disconnected) => return self.is_last_written,
            }
        }
    }

    fn ask(&mut self) {
        // A snapshot that takes longer than the interval delays the next one.
        if self.open.is_some() || self.is_last_begun {
            return;
        }
        self.count += 1;
        let number = self.count;
        self.open(SnapshotNumber::Running(number));
        if self.open.is_some() && !self.drainer.offer_all(|| Request::Snapshot { number }) {
            self.open = None;
            self.fail(&io::Error::other("a shard is too far behind to be asked"));
        }
    }

    fn open(&mut self, number: SnapshotNumber) {
        let mut bytes = Vec::new();
        let encoder = Encoder::new(wall_millis(), &mut bytes);
        // The unfinished snapshot is given up before its file is created again.
        self.open = None;
        let file = AsideFile::create(&self.settings.path).and_then(|mut file| file.write(&bytes).map(|()| file));
        match file {
            Ok(file) => {
                let waits = ShardSet::all(self.shards);
                self.open = Some(Open { number, file, encoder, waits, epoch_seeds: Vec::new() });
            }
            Err(error) => self.fail(&error),
        }
    }

    fn take(&mut self, portion: Portion) {
        let is_of_open = self.open.as_ref().is_some_and(|open| open.number == portion.number);
        if !is_of_open && portion.number == SnapshotNumber::Last && !self.is_last_begun {
            // If the last snapshot fails, it does not begin again with a later portion.
            self.is_last_begun = true;
            self.open(SnapshotNumber::Last);
        }
        let Some(open) = self.open.as_mut().filter(|open| open.number == portion.number) else { return };
        let mut bytes = Vec::new();
        for image in &portion.topics {
            open.encoder.topic(image, portion.time, &mut bytes);
        }
        if portion.is_last {
            open.waits.remove(portion.shard);
            open.epoch_seeds.push(portion.epoch_seed);
        }
        if let Err(error) = open.file.write(&bytes) {
            self.open = None;
            return self.fail(&error);
        }
        if let Some(done) = self.open.take_if(|open| open.waits.is_empty()) {
            self.finish(done);
        }
    }

    fn finish(&mut self, mut done: Open) {
        let mut bytes = Vec::new();
        // If a shard had no room for some topics when it restored, its seed of epochs is a new one.
        if let [first, others @ ..] = &*done.epoch_seeds
            && others.iter().all(|other| other == first)
        {
            done.encoder.epochs(*first, &mut bytes);
        }
        let is_last = done.number == SnapshotNumber::Last;
        done.encoder.end(is_last, &mut bytes);
        match done.file.write(&bytes).and_then(|()| done.file.put_in_place()) {
            Ok(()) => {
                self.is_last_written |= is_last;
                self.tell(true);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&self, error: &io::Error) {
        tracing::error!("cannot write the snapshot {}: {error}", self.settings.path.display());
        self.tell(false);
    }

    fn tell(&self, is_written: bool) {
        // The shards count it. A shard that cannot be reached is too busy to be asked for its counters as well.
        let _ = self.drainer.offer_all(|| Request::SnapshotEnded { is_written });
    }
}

/// Restores the topics of a shard, on its own thread.
pub(super) fn restore(
    shard: &mut crate::shard::Shard,
    index: ShardId,
    topics: Vec<TopicImage>,
    is_clean: bool,
    epoch_seed: Option<u64>,
) {
    let left_out = shard.restore(monotonic_now(), topics, is_clean, epoch_seed);
    if left_out > 0 {
        tracing::warn!(shard = index.0, left_out, "topics_max leaves no room for all topics of the snapshot");
    }
}
