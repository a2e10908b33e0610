//! Shares of memory that all clients of a shard share: an owner may take as much as is still free. So a single owner
//! gets half, many owners get equal parts, and something is always left for the next one.

use std::collections::HashMap;

use crate::command::{ErrorCode, Owner, Pattern, Refusal, SessionId};
use crate::limits::SUBSCRIPTIONS_MAX;
use crate::shard::Shard;

/// The share of each owner.
#[derive(Debug, Default)]
pub(in crate::shard) struct Shares(HashMap<Owner, u32>);

impl Shares {
    /// The share of an owner.
    pub fn of(&self, owner: Owner) -> usize {
        self.0.get(&owner).map_or(0, |count| *count as usize)
    }

    pub fn add(&mut self, owner: Owner, count: usize) {
        *self.0.entry(owner).or_default() += count as u32;
    }

    pub fn take_back(&mut self, owner: Owner, count: usize) {
        if let Some(had) = self.0.get_mut(&owner) {
            *had = had.saturating_sub(count as u32);
            if *had == 0 {
                self.0.remove(&owner);
            }
        }
    }

    /// The number of owners with a share, to be counted back to zero.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Shard {
    /// Whether the owner of a session may have `count` more subscriptions.
    pub(in crate::shard) fn has_share_of_subscriptions(&self, id: SessionId, count: usize) -> Result<(), Refusal> {
        let subscriptions = &self.sessions.subscriptions;
        let has = subscriptions.of_owner(self.links.conns[id.index].owner);
        let free = SUBSCRIPTIONS_MAX.saturating_sub(subscriptions.len());
        if has + count <= free { Ok(()) } else { Err(Refusal::new(ErrorCode::Overloaded, NO_SUBSCRIPTIONS)) }
    }

    /// Whether the owner of a session may create a pattern that nobody follows yet.
    pub(in crate::shard) fn has_share_of_patterns(&self, id: SessionId, pattern: &Pattern) -> Result<(), Refusal> {
        if self.hub.find_pattern(pattern).is_some() {
            return Ok(());
        }
        let has = self.sessions.pattern_tokens.of(self.links.conns[id.index].owner);
        let is_within = self.hub.has_room_for(pattern, has + pattern.token_count());
        if is_within { Ok(()) } else { Err(Refusal::new(ErrorCode::Overloaded, NO_PATTERNS)) }
    }
}

const NO_SUBSCRIPTIONS: &str = "the client's address has its share of subscriptions";
const NO_PATTERNS: &str = "the client's address has its share of patterns";
