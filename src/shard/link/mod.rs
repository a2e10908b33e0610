//! One socket and its protocol: accepted, wrapped in an edge, read from, sent to, timed and ended.
//!
//! A link never knows a topic. Tests: beside the code, `tests/shard_limits/`, `tests/tls/`.

pub(in crate::shard) mod accept;
pub(in crate::shard) mod arena;
pub(in crate::shard) mod conn;
pub(in crate::shard) mod deadlines;
pub(in crate::shard) mod edge;
pub(in crate::shard) mod ending;
#[cfg_attr(not(test), expect(dead_code, reason = "written before the hand-over that will use it"))]
pub(in crate::shard) mod image;
pub(in crate::shard) mod inbound;
pub(in crate::shard) mod outbox;
pub(in crate::shard) mod outflow;
pub(in crate::shard) mod put_off;
pub(in crate::shard) mod seats;
pub(in crate::shard) mod tls;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use slab::Slab;

use crate::buf::BlockPool;
use crate::command::ConnId;
use crate::time::{MonoTime, Wheel};
use crate::wire::ws::Inbox;
use arena::Conns;
use edge::Edge;
use outbox::Outboxes;
use put_off::{PutOff, Unfinished};
use seats::Refused;
use tls::TlsTurn;

/// All links of a shard, and what they have in pools.
#[derive(Debug)]
pub(in crate::shard) struct Links {
    pub conns: Conns,
    pub outboxes: Outboxes,
    pub decoders: Slab<Unfinished>,
    /// When unfinished messages are looked at next, and from which place on.
    pub unfinished_look: MonoTime,
    pub unfinished_next: usize,
    /// Received bytes that wait for a part in a turn.
    pub put_off: PutOff,
    pub edges: Slab<Edge>,
    pub tls: TlsTurn,
    pub wheel: Wheel,
    pub pool: BlockPool,
    /// Those to send to at the end of the turn.
    pub dirty: Vec<ConnId>,
    /// Those not read from until other shards have caught up.
    pub congested: Vec<ConnId>,
    pub is_congested: bool,
    /// Those past a limit.
    pub refusals: u32,
    /// The same, oldest first; some of them are gone.
    pub refused: Refused,
    /// The other ends as the log names them, kept only if it does.
    pub peers: HashMap<u32, SocketAddr>,
    /// The other ends, kept only while addresses are counted.
    pub addresses: HashMap<u32, IpAddr>,
    /// A longer time for a pong than the one in effect, and until when somebody may have it.
    pub earlier_ping_timeout: Option<(u64, MonoTime)>,
    /// Kept between calls so that they stop allocating.
    pub due: Vec<u32>,
    pub inbox: Inbox,
}

impl Links {
    /// Room for so many links.
    pub fn new(capacity: u32) -> Self {
        Self {
            conns: Conns::new(capacity as usize),
            outboxes: Outboxes::default(),
            decoders: Slab::new(),
            unfinished_look: MonoTime::ZERO,
            unfinished_next: 0,
            put_off: PutOff::default(),
            edges: Slab::new(),
            tls: TlsTurn::default(),
            wheel: Wheel::new(capacity),
            pool: BlockPool::default(),
            dirty: Vec::new(),
            congested: Vec::new(),
            is_congested: false,
            refusals: 0,
            refused: Refused::default(),
            peers: HashMap::new(),
            addresses: HashMap::new(),
            earlier_ping_timeout: None,
            due: Vec::new(),
            inbox: Inbox::default(),
        }
    }
}
