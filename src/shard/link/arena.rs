//! The arena: every live connection of a shard, each in a cache line of its own that never moves.
//!
//! ```text
//! slots   | conn | -- | conn | conn | -- |  reserved, never touched ...
//! free      4  1                               places that were used, the last given back on top
//! ```
//!
//! Both vectors have their full capacity from the start, and pages that no connection has touched cost nothing. A place
//! that was given back is taken first, since it is more likely to be in a cache. [`image`](super::image) writes one
//! connection down as plain data and reads it back.

use std::ops::{Index, IndexMut};

use super::conn::{Conn, Link};
use crate::command::{ConnId, SessionId, SessionIndex};
use crate::shard::session::detached::DetachedSessions;
use crate::shard::session::session::Session;
use crate::shard::slot::Slot;
use crate::time::MonoTime;

#[derive(Debug)]
pub(in crate::shard) struct Conns {
    /// By place, up to the highest that was ever used.
    slots: Vec<Place>,
    /// Places in `slots` that hold nothing.
    free: Vec<u32>,
    capacity: usize,
    /// Connections made, modulo 2^32: the generation of the newest.
    made: u32,
    /// Detached sessions: those that belong to no connection.
    pub detached: DetachedSessions,
}

/// A connection, or nothing.
#[derive(Debug)]
#[repr(align(64))]
struct Place(Option<Conn>);

// Nothing but the connection: whether there is one stands in its bytes, too.
const _: () = assert!(size_of::<Place>() == 64);

impl Conns {
    pub fn new(capacity: usize) -> Self {
        let (slots, free) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        Self { slots, free, capacity, made: 0, detached: DetachedSessions::default() }
    }

    /// Makes a connection; `None` if the arena is full. O(1).
    pub fn insert(&mut self, now: MonoTime) -> Option<ConnId> {
        if self.len() >= self.capacity {
            return None;
        }
        self.made = self.made.wrapping_add(1);
        let generation = self.made;
        let place = Place(Some(Conn::new(generation, now)));
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = place;
                index
            }
            None => {
                self.slots.push(place);
                self.slots.len() as u32 - 1
            }
        };
        Some(ConnId { index, generation })
    }

    /// Takes a connection out. O(1).
    ///
    /// # Panics
    /// If it is not there.
    pub fn remove(&mut self, id: ConnId) -> Conn {
        let conn = self.slots[id.index as usize].0.take_if(|conn| conn.link.generation == id.generation);
        self.free.push(id.index);
        conn.expect("only a connection that is there is taken out")
    }

    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        self.at(id.index).filter(|conn| conn.link.generation == id.generation)
    }

    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let conn = self.slots.get_mut(id.index as usize)?.0.as_mut();
        conn.filter(|conn| conn.link.generation == id.generation)
    }

    /// The id of the connection at an index, if there is one.
    pub fn id_at(&self, index: u32) -> Option<ConnId> {
        self.at(index).map(|conn| conn.id(index))
    }

    fn at(&self, index: u32) -> Option<&Conn> {
        self.slots.get(index as usize)?.0.as_ref()
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
        self.slots.len() - self.free.len()
    }

    /// One past the highest index that was ever used.
    pub fn end(&self) -> u32 {
        self.slots.len() as u32
    }
}

impl Index<u32> for Conns {
    type Output = Conn;

    fn index(&self, index: u32) -> &Conn {
        self.slots[index as usize].0.as_ref().expect(THERE)
    }
}

impl IndexMut<u32> for Conns {
    fn index_mut(&mut self, index: u32) -> &mut Conn {
        self.slots[index as usize].0.as_mut().expect(THERE)
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

const THERE: &str = "a place is named only while its connection is there";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(conns: &Conns, id: ConnId) -> usize {
        std::ptr::from_ref(&conns[id.index]).addr()
    }

    #[test]
    fn a_place_is_a_cache_line_and_a_stale_id_names_nothing() {
        let mut conns = Conns::new(2);
        let first = conns.insert(MonoTime::ZERO).expect("there is room");
        let second = conns.insert(MonoTime::ZERO).expect("there is room");
        assert_eq!(conns.insert(MonoTime::ZERO), None);
        assert_eq!((address(&conns, first) % 64, address(&conns, second)), (0, address(&conns, first) + 64));
        conns.remove(first);
        let third = conns.insert(MonoTime::ZERO).expect("there is room again");
        assert_eq!(third.index, first.index);
        assert!(conns.get(first).is_none() && conns.get_mut(first).is_none() && conns.session(first.into()).is_none());
        assert!(conns.get(third).is_some() && conns.get_mut(third).is_some() && conns.session(third.into()).is_some());
    }

    #[test]
    #[should_panic(expected = "only a connection that is there")]
    fn a_connection_is_not_taken_out_by_the_id_of_the_one_before_it() {
        let mut conns = Conns::new(1);
        let first = conns.insert(MonoTime::ZERO).expect("there is room");
        conns.remove(first);
        conns.insert(MonoTime::ZERO).expect("there is room again");
        conns.remove(first);
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

    /// Connections by id, each with its `listener` and its address, and the places that were given back.
    #[derive(Debug, Default)]
    struct Model {
        live: Vec<(ConnId, u8, usize)>,
        free: Vec<u32>,
        end: u32,
        stale: Vec<ConnId>,
    }

    fn check(conns: &mut Conns, model: &Model) {
        assert_eq!((conns.len(), conns.end()), (model.live.len(), model.end));
        for &(id, listener, at) in &model.live {
            assert_eq!((conns.get(id).map(|conn| conn.link.listener), address(conns, id)), (Some(listener), at));
            assert!(conns.get_mut(id).is_some() && conns.id_at(id.index) == Some(id));
        }
        assert!(model.stale.iter().all(|&id| conns.get(id).is_none() && conns.get_mut(id).is_none()));
        let mut places: Vec<u32> = (0..conns.end()).filter(|&index| conns.id_at(index).is_none()).collect();
        places.sort_unstable();
        let mut free = model.free.clone();
        free.sort_unstable();
        assert_eq!(places, free, "a survey by place meets all that is there and nothing else");
        assert!(conns.id_at(conns.end()).is_none());
    }

    proptest! {
        #[test]
        fn the_arena_does_as_a_list_does(steps in prop::collection::vec((any::<bool>(), any::<u16>()), 0..200)) {
            const CAPACITY: usize = 20;
            let mut conns = Conns::new(CAPACITY);
            let (slots, free) = (conns.slots.capacity(), conns.free.capacity());
            let mut model = Model::default();
            for (inserts, number) in steps {
                if inserts {
                    let id = conns.insert(MonoTime::ZERO);
                    prop_assert_eq!(id.is_some(), model.live.len() < CAPACITY);
                    let Some(id) = id else { continue };
                    prop_assert_eq!(id.index, model.free.pop().unwrap_or(model.end), "the last that was given back");
                    model.end = model.end.max(id.index + 1);
                    conns[id.index].link.listener = number as u8;
                    model.live.push((id, number as u8, address(&conns, id)));
                } else if !model.live.is_empty() {
                    let (id, listener, _) = model.live.swap_remove(usize::from(number) % model.live.len());
                    prop_assert_eq!(conns.remove(id).link.listener, listener);
                    model.free.push(id.index);
                    model.stale.push(id);
                }
                check(&mut conns, &model);
            }
            prop_assert_eq!((conns.slots.capacity(), conns.free.capacity()), (slots, free), "nothing grew");
        }
    }
}
