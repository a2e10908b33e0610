//! State that few sessions have besides their subscriptions: in a pool, so that other sessions need no memory for it.

use std::collections::HashMap;

use slab::Slab;

use super::subscription::TargetId;
use super::vector::Vector;
use crate::command::Policy;
use crate::dialect::DialectState;
use crate::shard::slot::Slot;

/// The rare state of one session.
#[derive(Debug, Default)]
pub(in crate::shard) struct Rest {
    /// The policies of subscriptions, if those or a rule may skip messages.
    pub policies: HashMap<TargetId, Policy>,
    /// The bandwidth that the client asked for, in bytes a second; 0 if it did not ask.
    pub bandwidth: u32,
    /// The positions of a reader of the events of several topics.
    pub vector: Option<Box<Vector>>,
    /// The state of the session's dialect.
    pub state: DialectState,
}

impl Rest {
    /// Forgets the policies of all subscriptions.
    pub fn leave_all(&mut self) {
        *self = Self { state: std::mem::take(&mut self.state), ..Self::default() };
    }

    fn is_empty(&self) -> bool {
        self.policies.is_empty()
            && self.bandwidth == 0
            && self.vector.is_none()
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
