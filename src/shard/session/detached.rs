//! Sessions that belong to no link. Requests carry them: one request waits for messages, others bring messages.
//!
//! ```text
//!          first request                  messages, or a heartbeat
//! (none) ----------------> nobody waits <--------------------------- a request waits
//!                           |   |    |  --------- next request ---->       |
//!       too long: removed <-+   |    +- ended: each request is told so     +-> its client is gone: removed
//!                               +------ messages wait in the outbox
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;

use slab::Slab;

use super::session::Session;
use crate::close::CloseReason;
use crate::command::{SessionId, SessionIndex, SessionKey, ShardId};
use crate::shard::slot::Slot;
use crate::time::MonoTime;

/// One detached session.
#[derive(Debug)]
pub(in crate::shard) struct Detached {
    pub session: Session,
    /// The messages for its client, in the form of its framing.
    pub outbox: Slot,
    generation: u32,
    key: SessionKey,
    /// The listener of its first request.
    pub listener: u8,
    /// The request that waits: its shard, and the ticket there.
    pub receiver: Option<(ShardId, u32)>,
    /// While a request waits: the time to answer that there is nothing. Otherwise: the time to remove the session.
    due: MonoTime,
    /// The reason for its end, once it has ended.
    pub end: Option<(CloseReason, Box<str>)>,
    /// Whether its messages wait for an operation that is under way.
    pub is_held: bool,
    /// Messages that wait for that operation.
    pub unheard: VecDeque<Box<str>>,
}

/// All detached sessions of a shard.
#[derive(Debug, Default)]
pub(in crate::shard) struct DetachedSessions {
    slots: Slab<Detached>,
    by_key: HashMap<SessionKey, u32>,
    due: BTreeSet<(MonoTime, u32)>,
    made: u32,
    /// Sessions to look at, at the end of the turn.
    pub news: Vec<SessionId>,
}

impl DetachedSessions {
    /// Makes a session.
    pub fn insert(&mut self, key: SessionKey, listener: u8, due: MonoTime) -> SessionId {
        self.made = self.made.wrapping_add(1);
        let place = self.slots.insert(Detached {
            session: Session::default(),
            outbox: Slot::NONE,
            generation: self.made,
            key,
            listener,
            receiver: None,
            due,
            end: None,
            is_held: false,
            unheard: VecDeque::new(),
        });
        self.by_key.insert(key, place as u32);
        self.due.insert((due, place as u32));
        SessionId { index: SessionIndex::detached(place), generation: self.made }
    }

    /// Takes a session out.
    pub fn remove(&mut self, id: SessionId) -> Detached {
        let detached = self.slots.remove(id.index.place());
        self.by_key.remove(&detached.key);
        self.due.remove(&(detached.due, id.index.place() as u32));
        detached
    }

    /// The session with a client's name for it.
    pub fn find(&self, key: SessionKey) -> Option<SessionId> {
        self.by_key.get(&key).map(|&place| self.id_at(place as usize))
    }

    pub fn get(&self, id: SessionId) -> Option<&Detached> {
        self.slots.get(id.index.place()).filter(|detached| detached.generation == id.generation)
    }

    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Detached> {
        self.slots.get_mut(id.index.place()).filter(|detached| detached.generation == id.generation)
    }

    pub fn at(&self, place: usize) -> &Detached {
        &self.slots[place]
    }

    pub fn at_mut(&mut self, place: usize) -> &mut Detached {
        &mut self.slots[place]
    }

    /// The id of the session at an index, if it exists and has not ended.
    pub fn open_at(&self, place: usize) -> Option<SessionId> {
        let is_open = self.slots.get(place).is_some_and(|detached| detached.end.is_none());
        is_open.then(|| self.id_at(place))
    }

    /// Sets the time at which a session is looked at.
    pub fn set_due(&mut self, id: SessionId, due: MonoTime) {
        let place = id.index.place();
        let detached = &mut self.slots[place];
        self.due.remove(&(detached.due, place as u32));
        detached.due = due;
        self.due.insert((due, place as u32));
    }

    /// A session whose time has come.
    pub fn next_due(&self, now: MonoTime) -> Option<SessionId> {
        let (due, place) = *self.due.first()?;
        (due <= now).then(|| self.id_at(place as usize))
    }

    /// The time at which the next session is looked at.
    pub fn next_look(&self) -> Option<MonoTime> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Up to `count` sessions that have not ended.
    pub fn some_open(&self, count: usize) -> Vec<SessionId> {
        let open = self.slots.iter().filter(|(_, detached)| detached.end.is_none());
        open.map(|(place, _)| self.id_at(place)).take(count).collect()
    }

    /// The ids of all sessions.
    pub fn all(&self) -> Vec<SessionId> {
        self.slots.iter().map(|(place, _)| self.id_at(place)).collect()
    }

    /// The number of places, used or free.
    pub fn places(&self) -> usize {
        self.slots.capacity()
    }

    /// Bytes of messages that wait for operations, of the sessions in some places.
    pub fn unheard_len(&self, places: Range<usize>) -> usize {
        let slots = places.filter_map(|place| self.slots.get(place));
        slots.flat_map(|detached| &detached.unheard).map(|message| message.len()).sum()
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    fn id_at(&self, place: usize) -> SessionId {
        SessionId { index: SessionIndex::detached(place), generation: self.slots[place].generation }
    }
}
