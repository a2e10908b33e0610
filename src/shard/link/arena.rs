//! The arena: every live connection of a shard, at its full capacity from the start. Untouched pages cost nothing.

use std::ops::{Index, IndexMut};

use slab::Slab;

use super::conn::{Conn, Link};
use crate::command::{ConnId, SessionId, SessionIndex};
use crate::shard::session::detached::DetachedSessions;
use crate::shard::session::session::Session;
use crate::shard::slot::Slot;
use crate::time::MonoTime;

#[derive(Debug)]
pub(in crate::shard) struct Conns {
    slots: Slab<Conn>,
    capacity: usize,
    made: u32,
    end: u32,
    /// Detached sessions: those that belong to no connection.
    pub detached: DetachedSessions,
}

impl Conns {
    pub fn new(capacity: usize) -> Self {
        Self { slots: Slab::with_capacity(capacity), capacity, made: 0, end: 0, detached: DetachedSessions::default() }
    }

    /// Makes a connection; `None` if the arena is full. The vector never grows past its first capacity.
    pub fn insert(&mut self, now: MonoTime) -> Option<ConnId> {
        if self.slots.len() >= self.capacity {
            return None;
        }
        self.made = self.made.wrapping_add(1);
        let generation = self.made;
        let index = self.slots.insert(Conn::new(generation, now)) as u32;
        self.end = self.end.max(index + 1);
        Some(ConnId { index, generation })
    }

    pub fn remove(&mut self, id: ConnId) -> Conn {
        self.slots.remove(id.index as usize)
    }

    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        self.slots.get(id.index as usize).filter(|conn| conn.link.generation == id.generation)
    }

    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slots.get_mut(id.index as usize).filter(|conn| conn.link.generation == id.generation)
    }

    /// The id of the connection at an index, if there is one.
    pub fn id_at(&self, index: u32) -> Option<ConnId> {
        self.slots.get(index as usize).map(|conn| conn.id(index))
    }

    /// A session, if it exists and has not ended.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        match id.conn() {
            Some(conn) => self.get(conn).map(|conn| &conn.session),
            None => self.detached.get(id).filter(|detached| detached.end.is_none()).map(|detached| &detached.session),
        }
    }

    /// The id of the session at an index, if there is one.
    pub fn session_at(&self, index: SessionIndex) -> Option<SessionId> {
        match index.conn() {
            Some(index) => self.id_at(index).map(SessionId::from),
            None => self.detached.open_at(index.place()),
        }
    }

    /// The link that a session belongs to.
    pub fn link_of(&self, index: SessionIndex) -> Option<&Link> {
        Some(&self[index.conn()?].link)
    }

    /// The listener through which a session's client connected.
    pub fn listener_of(&self, index: SessionIndex) -> u8 {
        match index.conn() {
            Some(index) => self[index].link.listener,
            None => self.detached.at(index.place()).listener,
        }
    }

    /// Whether publications on its topics are for this session.
    pub fn is_reader(&self, index: SessionIndex) -> bool {
        index.conn().is_none_or(|index| self[index].is_reader())
    }

    /// A session, and the slot of its outbox.
    pub fn parts_mut(&mut self, index: SessionIndex) -> (&mut Session, &mut Slot) {
        if let Some(index) = index.conn() {
            let conn = &mut self[index];
            return (&mut conn.session, &mut conn.link.outbox);
        }
        let detached = self.detached.at_mut(index.place());
        (&mut detached.session, &mut detached.outbox)
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// One past the highest index that was ever used.
    pub fn end(&self) -> u32 {
        self.end
    }
}

impl Index<u32> for Conns {
    type Output = Conn;

    fn index(&self, index: u32) -> &Conn {
        &self.slots[index as usize]
    }
}

impl IndexMut<u32> for Conns {
    fn index_mut(&mut self, index: u32) -> &mut Conn {
        &mut self.slots[index as usize]
    }
}

impl Index<SessionIndex> for Conns {
    type Output = Session;

    fn index(&self, index: SessionIndex) -> &Session {
        match index.conn() {
            Some(index) => &self[index].session,
            None => &self.detached.at(index.place()).session,
        }
    }
}

impl IndexMut<SessionIndex> for Conns {
    fn index_mut(&mut self, index: SessionIndex) -> &mut Session {
        match index.conn() {
            Some(index) => &mut self[index].session,
            None => &mut self.detached.at_mut(index.place()).session,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_of_the_arena_is_no_larger_than_its_connection() {
        assert!(size_of::<Slab<Conn>>() < 64 && Slab::<Conn>::with_capacity(1).capacity() == 1);
        let mut conns = Conns::new(2);
        let first = conns.insert(MonoTime::ZERO).expect("there is room");
        let second = conns.insert(MonoTime::ZERO).expect("there is room");
        assert_eq!(conns.insert(MonoTime::ZERO), None);
        let bytes = std::ptr::from_ref(&conns[second.index]).addr() - std::ptr::from_ref(&conns[first.index]).addr();
        assert!(bytes <= 64, "{bytes}");
        conns.remove(first);
        let third = conns.insert(MonoTime::ZERO).expect("there is room again");
        assert_eq!(third.index, first.index);
        assert!(conns.get(first).is_none() && conns.get_mut(first).is_none() && conns.session(first.into()).is_none());
        assert!(conns.get(third).is_some() && conns.get_mut(third).is_some() && conns.session(third.into()).is_some());
    }

    #[test]
    fn the_end_stays_where_it_was_when_the_count_of_connections_comes_round() {
        let mut conns = Conns::new(8);
        let ids = [(); 5].map(|()| conns.insert(MonoTime::ZERO).expect("there is room"));
        conns.remove(ids[0]);
        conns.made = u32::MAX;
        conns.insert(MonoTime::ZERO).expect("there is room");
        assert_eq!(conns.end(), 5);
    }
}
