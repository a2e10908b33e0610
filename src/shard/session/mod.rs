//! One subscriber: its subscriptions, the publications that wait for it, those that it missed, and its rates.
//!
//! A session never knows a socket. Tests: beside the code, `tests/shard_limits/`, `tests/simulator/`.

pub(in crate::shard) mod agreed;
pub(in crate::shard) mod alarms;
pub(in crate::shard) mod carry;
pub(in crate::shard) mod catch_up;
pub(in crate::shard) mod commands;
pub(in crate::shard) mod detached;
pub(in crate::shard) mod encoding;
pub(in crate::shard) mod gate;
pub(in crate::shard) mod join;
pub(in crate::shard) mod join_pattern;
pub(in crate::shard) mod lag;
pub(in crate::shard) mod pace;
pub(in crate::shard) mod pending;
pub(in crate::shard) mod presence;
pub(in crate::shard) mod publish;
pub(in crate::shard) mod rest;
#[expect(clippy::module_inception, reason = "the room is named after what it is about")]
pub(in crate::shard) mod session;
pub(in crate::shard) mod shares;
pub(in crate::shard) mod subscription;
pub(in crate::shard) mod subscriptions;
pub(in crate::shard) mod tickets;
pub(in crate::shard) mod vector;

use crate::shard::session::pending::Pending;
use std::collections::VecDeque;

use slab::Slab;

use crate::command::TopicName;
use crate::hub::TopicSettings;
use alarms::Alarms;
use join_pattern::Search;
use lag::Lag;
use presence::PresenceReaders;
use rest::Rest;
use shares::Shares;
use subscriptions::Subscriptions;
use tickets::Ticket;

/// The pools of a shard's sessions, and the tickets of their requests.
#[derive(Debug, Default)]
pub(in crate::shard) struct Sessions {
    pub subscriptions: Subscriptions,
    pub pendings: Slab<Pending>,
    pub lags: Slab<Lag>,
    pub rests: Slab<Rest>,
    pub alarms: Alarms,
    pub presence: PresenceReaders,
    pub tickets: Slab<Ticket>,
    /// Tokens of the patterns that each owner's sessions follow.
    pub pattern_tokens: Shares,
    /// Joins of patterns, by ticket, that every shard has noted in this turn.
    pub noted: Vec<u32>,
    /// Searches for last values, oldest first.
    pub searches: VecDeque<Search>,
    /// The topic of the last look-up of settings.
    pub last_rule: Option<(TopicName, TopicSettings)>,
}
