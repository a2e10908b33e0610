//! Sessions that are no link's own: requests carry them, one that waits and others that bring messages.
//!
//! ```text
//!          first request                  something to tell, or silence
//! (none) ----------------> nobody waits <------------------------------- a request waits
//!                           |   |    |  --------- next request -------->       |
//!       too long: removed <-+   |    +- ended: told to each request            +-> its client is gone: removed
//!                               +------ what it is told waits in its outbox
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};

use slab::Slab;

use super::session::Session;
use crate::close::CloseReason;
use crate::command::{SessionId, SessionIndex, SessionKey, ShardId};
use crate::shard::slot::Slot;
use crate::time::MonoTime;

/// One of them.
#[derive(Debug)]
pub(in crate::shard) struct Detached {
    pub session: Session,
    /// What it is to be told, as its framing writes it.
    pub outbox: Slot,
    generation: u32,
    key: SessionKey,
    /// The listener that its first request came in on.
    pub listener: u8,
    /// The request that waits: its shard, and the ticket there.
    pub receiver: Option<(ShardId, u32)>,
    /// While a request waits: when it is told that there is nothing. Otherwise: when the session is removed.
    due: MonoTime,
    /// Why it has ended, once it has.
    pub end: Option<(CloseReason, Box<str>)>,
    /// Whether its client knows that it is open.
    pub is_open: bool,
    /// Whether an operation is under way behind which its messages wait.
    pub is_held: bool,
    /// Those messages.
    pub unheard: VecDeque<Box<str>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(in crate::shard) struct DetachedSessions {
    slots: Slab<Detached>,
    by_key: HashMap<SessionKey, u32>,
    due: BTreeSet<(MonoTime, u32)>,
    made: u32,
    /// Those to look at, at the end of the turn.
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
            is_open: false,
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

    /// The session of a client's name for it.
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

    /// The id of the session at a place, if it is there and has not ended.
    pub fn open_at(&self, place: usize) -> Option<SessionId> {
        let is_open = self.slots.get(place).is_some_and(|detached| detached.end.is_none());
        is_open.then(|| self.id_at(place))
    }

    /// Sets when a session is to be looked at.
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

    /// When the next one is to be looked at.
    pub fn next_look(&self) -> Option<MonoTime> {
        self.due.first().map(|(due, _)| *due)
    }

    /// So many of those that have not ended.
    pub fn some_open(&self, count: usize) -> Vec<SessionId> {
        let open = self.slots.iter().filter(|(_, detached)| detached.end.is_none());
        open.map(|(place, _)| self.id_at(place)).take(count).collect()
    }

    /// All of them.
    pub fn all(&self) -> Vec<SessionId> {
        self.slots.iter().map(|(place, _)| self.id_at(place)).collect()
    }

    /// Places, taken or not.
    pub fn places(&self) -> usize {
        self.slots.capacity()
    }

    /// Bytes of messages that wait behind an operation.
    pub fn unheard_len(&self) -> usize {
        self.slots.iter().flat_map(|(_, detached)| &detached.unheard).map(|message| message.len()).sum()
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    fn id_at(&self, place: usize) -> SessionId {
        SessionId { index: SessionIndex::detached(place), generation: self.slots[place].generation }
    }
}
