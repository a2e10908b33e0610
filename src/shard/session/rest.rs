//! What few sessions have beside their subscriptions: in a pool, so that the others pay nothing for it.

use std::collections::HashMap;

use slab::Slab;

use super::subscription::TargetId;
use crate::command::{Policy, Position, Publication, TopicName};
use crate::dialect::DialectState;
use crate::shard::slot::Slot;

/// What one session has of that.
#[derive(Debug, Default)]
pub(in crate::shard) struct Rest {
    /// What subscriptions ask for beside their topic, where that or a rule may say that they skip.
    pub policies: HashMap<TargetId, Policy>,
    /// Bytes a second that the peer asked not to get more of; 0 if it did not ask.
    pub bandwidth: u32,
    /// The position behind the last event, of each topic that a reader of several named. It is said with every event, so
    /// that the reader may come back to all of its topics.
    pub positions: Box<[(TopicName, Position)]>,
    /// What the session's dialect keeps.
    pub state: DialectState,
}

impl Rest {
    /// Forgets what subscriptions asked for.
    pub fn leave_all(&mut self) {
        *self = Self { state: std::mem::take(&mut self.state), ..Self::default() };
    }

    /// Moves the reader behind a publication.
    pub fn advance(&mut self, publication: &Publication) {
        self.move_to(&publication.topic, publication.position);
    }

    /// Moves the reader on to a position of a topic.
    pub fn move_to(&mut self, topic: &TopicName, to: Position) {
        if let Some((_, position)) = self.positions.iter_mut().find(|(name, _)| name == topic) {
            // The last value that a pattern brings may be one that the reader is behind already.
            let is_behind = position.epoch == to.epoch && to.offset < position.offset;
            *position = if is_behind { *position } else { to };
        }
    }

    fn is_empty(&self) -> bool {
        self.policies.is_empty()
            && self.bandwidth == 0
            && self.positions.is_empty()
            && matches!(self.state, DialectState::None)
    }

    /// Entries, to be counted back to zero.
    pub fn len(&self) -> usize {
        self.policies.len() + usize::from(self.bandwidth > 0)
    }
}

/// The rest of a slot, made if there is none.
pub(in crate::shard) fn ensure<'a>(rests: &'a mut Slab<Rest>, slot: &mut Slot) -> &'a mut Rest {
    let index = slot.index().unwrap_or_else(|| {
        let index = rests.insert(Rest::default());
        *slot = Slot::new(index);
        index
    });
    &mut rests[index]
}

/// The rest of a slot, if there is one.
pub(in crate::shard) fn get(rests: &Slab<Rest>, slot: Slot) -> Option<&Rest> {
    rests.get(slot.index()?)
}

/// The same, to be changed.
pub(in crate::shard) fn get_mut(rests: &mut Slab<Rest>, slot: Slot) -> Option<&mut Rest> {
    rests.get_mut(slot.index()?)
}

/// Gives the rest of a slot back, with whatever is in it.
pub(in crate::shard) fn release(rests: &mut Slab<Rest>, slot: &mut Slot) {
    if let Some(index) = std::mem::replace(slot, Slot::NONE).index() {
        rests.remove(index);
    }
}

/// Changes the rest of a slot, if there is one, and gives it back if nothing is left in it.
pub(in crate::shard) fn change(rests: &mut Slab<Rest>, slot: &mut Slot, change: impl FnOnce(&mut Rest)) {
    let Some(index) = slot.index() else { return };
    change(&mut rests[index]);
    if rests[index].is_empty() {
        rests.remove(index);
        *slot = Slot::NONE;
    }
}
