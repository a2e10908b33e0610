//! State that few sessions have besides their subscriptions: in a pool, so that other sessions need no memory for it.

use std::collections::HashMap;

use slab::Slab;

use super::subscription::TargetId;
use crate::command::{Policy, Position, Publication, TopicName};
use crate::dialect::DialectState;
use crate::shard::slot::Slot;

/// The rare state of one session.
#[derive(Debug, Default)]
pub(in crate::shard) struct Rest {
    /// The policies of subscriptions, if those or a rule may skip messages.
    pub policies: HashMap<TargetId, Policy>,
    /// The bandwidth that the client asked for, in bytes a second; 0 if it did not ask.
    pub bandwidth: u32,
    /// The position of the last event of each topic, for a reader that named several topics. Each event carries all
    /// of them, so that the reader can resume all of its topics.
    pub positions: Box<[(TopicName, Position)]>,
    /// The state of the session's dialect.
    pub state: DialectState,
}

impl Rest {
    /// Forgets the policies of all subscriptions.
    pub fn leave_all(&mut self) {
        *self = Self { state: std::mem::take(&mut self.state), ..Self::default() };
    }

    /// Moves the reader's position to a publication.
    pub fn advance(&mut self, publication: &Publication) {
        self.move_to(&publication.topic, publication.position);
    }

    /// Moves the reader's position in a topic.
    pub fn move_to(&mut self, topic: &TopicName, to: Position) {
        if let Some((_, position)) = self.positions.iter_mut().find(|(name, _)| name == topic) {
            // The last value for a pattern may be older than the reader's position.
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

    /// The number of entries, to be counted back to zero.
    pub fn len(&self) -> usize {
        self.policies.len() + usize::from(self.bandwidth > 0)
    }
}

/// The entry of a slot, created if there is none.
pub(in crate::shard) fn ensure<'a>(rests: &'a mut Slab<Rest>, slot: &mut Slot) -> &'a mut Rest {
    let index = slot.index().unwrap_or_else(|| {
        let index = rests.insert(Rest::default());
        *slot = Slot::new(index);
        index
    });
    &mut rests[index]
}

/// The entry of a slot, if there is one.
pub(in crate::shard) fn get(rests: &Slab<Rest>, slot: Slot) -> Option<&Rest> {
    rests.get(slot.index()?)
}

/// The entry of a slot, mutable.
pub(in crate::shard) fn get_mut(rests: &mut Slab<Rest>, slot: Slot) -> Option<&mut Rest> {
    rests.get_mut(slot.index()?)
}

/// Frees the entry of a slot, with its content.
pub(in crate::shard) fn release(rests: &mut Slab<Rest>, slot: &mut Slot) {
    if let Some(index) = std::mem::replace(slot, Slot::NONE).index() {
        rests.remove(index);
    }
}

/// Changes the entry of a slot, if there is one, and frees it if it is empty afterwards.
pub(in crate::shard) fn change(rests: &mut Slab<Rest>, slot: &mut Slot, change: impl FnOnce(&mut Rest)) {
    let Some(index) = slot.index() else { return };
    change(&mut rests[index]);
    if rests[index].is_empty() {
        rests.remove(index);
        *slot = Slot::NONE;
    }
}
