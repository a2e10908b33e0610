//! One core: every connection that landed on it, its part of the topics, and the loop that moves values between the
//! rooms. The only room that changes a connection.
//!
//! A [`Shard`] is plain state: it takes completions, mail and the time, and leaves behind [`Op`]s for the driver and
//! [`Outgoing`] mail. It knows no kernel and no clock, so that `tests/simulator/` can run several of them in one
//! thread under a seed. What it must never do: block, lock, or trust a peer's bytes.
//!
//! | folder | what happens there |
//! |---|---|
//! | `run`, `post` | the loop; mail from other shards |
//! | `link` | one socket: arena, accept, PROXY and TLS, frames, outboxes, deadlines, the end |
//! | `session` | one subscriber: subscribing, catching up, what it skips, presence, what it publishes |
//! | `delivery` | one turn's publications to their readers: runs, encodings, compression |
//! | `request` | HTTP requests: answers and their date, batches, readers over HTTP |
//! | `upkeep` | memory, snapshots, the shutdown |

mod delivery;
mod link;
mod post;
mod request;
mod run;
mod session;
mod upkeep;

pub use delivery::compression::CompressionSettings;
pub use link::edge::EdgeSettings;
pub use link::seats::Seats;
pub use run::{run, turn};

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::Arc;

use slab::Slab;

use crate::budget::{Budget, Part, TurnCharge};
use crate::buf::BlockPool;
use crate::command::{ConnId, Policy, ShardId, TopicName};
use crate::driver::{Completion, Op};
use crate::hub::{Hub, HubSettings, TopicRules, TopicSettings, epoch_seed};
use crate::limits::{Limits, PATTERNS_MAX, REFUSALS_MAX, TURN_SLOW_LOG_MS, TURN_SLOW_MS};
use crate::mailbox::{Admission, Outgoing, PortionLane};
use crate::metrics::{ProcessMetrics, ShardMetrics};
use crate::time::{MonoTime, Wheel};
use crate::transport::http::{Access, Page};
use crate::wire::json::Scratch;
use crate::wire::ws::Inbox;
use delivery::compression::Compressor;
use delivery::fanout::Runs;
use link::arena::Conns;
use link::edge::Edge;
use link::outbox::Outboxes;
use link::put_off::{PutOff, Unfinished};
use link::seats::Refused;
use link::tls::TlsTurn;
use request::date::Dates;
use request::exchanges::HttpSession;
use request::follow::Vectors;
use session::alarms::Alarms;
use session::join::Pending;
use session::join_pattern::Search;
use session::lag::Lag;
use session::presence::PresenceReaders;
use session::subscription::TargetId;
use session::subscriptions::Subscriptions;
use session::tickets::Ticket;
use upkeep::drain::Drain;
use upkeep::memory::Survey;
use upkeep::snapshot::Taking;

/// What a shard is told once, at the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which shard this is.
    pub shard: ShardId,
    /// How many there are.
    pub shards: usize,
    /// Every bound that the configuration sets.
    pub limits: Limits,
    /// What the configuration says of topics.
    pub rules: Arc<TopicRules>,
    /// What it says of compression.
    pub compression: CompressionSettings,
    /// Pages served beside the endpoints.
    pub pages: Arc<[Page]>,
    /// By listener: what its clients may do. One that is not named has no bounds.
    pub access: Arc<[Access]>,
    /// The key of every hash of a topic name, the same in all shards.
    pub hash_key: (u64, u64),
    /// Where this shard's random numbers start.
    pub seed: u64,
    /// The count that all shards share.
    pub admission: Admission,
    /// How many connections this shard holds.
    pub seats: Seats,
    /// What `/metrics` tells of the process.
    pub process: Arc<ProcessMetrics>,
    /// Whether the log names the addresses of peers.
    pub log_peers: bool,
    /// What connections go through before they speak HTTP.
    pub edge: EdgeSettings,
    /// Where portions of snapshots go, if any are taken.
    pub snapshots: Option<PortionLane>,
}

/// One core's share of the gateway.
#[derive(Debug)]
pub struct Shard {
    settings: Settings,
    conns: Conns,
    subscriptions: Subscriptions,
    outboxes: Outboxes,
    decoders: Slab<Unfinished>,
    /// When unfinished messages are looked at next, and from which place on.
    unfinished_look: MonoTime,
    unfinished_next: usize,
    exchanges: Slab<HttpSession>,
    pendings: Slab<Pending>,
    lags: Slab<Lag>,
    /// Where the readers of events of several topics are.
    vectors: Vectors,
    /// What subscriptions ask for beside their topic, where that or a rule may say that they skip.
    policies: HashMap<(u32, TargetId), Policy>,
    /// What connections asked not to get more of than so many bytes a second.
    bandwidths: HashMap<u32, u32>,
    alarms: Alarms,
    last_rule: Option<(TopicName, TopicSettings)>,
    presence: PresenceReaders,
    tickets: Slab<Ticket>,
    /// The other ends as the log names them, kept only if it does.
    peers: HashMap<u32, SocketAddr>,
    /// The other ends, kept only while addresses are counted.
    addresses: HashMap<u32, IpAddr>,
    hub: Hub,
    runs: Runs,
    compressor: Compressor,
    wheel: Wheel,
    pool: BlockPool,
    /// What this turn has cost so far.
    budget: Budget,
    /// What waits for a part in a turn.
    put_off: PutOff,
    /// When the first completion of this turn came.
    woken_at: Option<MonoTime>,
    /// When a turn that took long was last told of.
    slow_told: Option<MonoTime>,
    rng: fastrand::Rng,
    dates: Dates,
    metrics: ShardMetrics,
    drain: Option<Drain>,
    taking: Option<Taking>,
    /// When the last snapshot was written, or the shard began.
    snapshot_time: MonoTime,
    /// When it is next looked at how much is held.
    memory_look: MonoTime,
    /// That look, while it is under way.
    survey: Option<Survey>,
    /// The time of the last call that gave one: what happens in between is of that time.
    now: MonoTime,
    /// Connections to send to at the end of the turn.
    dirty: Vec<ConnId>,
    /// Connections not read from until other shards have caught up.
    congested: Vec<ConnId>,
    /// Polls that have something to be answered with.
    polls_ready: Vec<ConnId>,
    /// Connections whose HTTP request was answered in this turn.
    answered: Vec<ConnId>,
    is_congested: bool,
    refusals: u32,
    refused: Refused,
    edges: Slab<Edge>,
    tls: TlsTurn,
    /// Joins of patterns, by ticket, that every shard has noted in this turn.
    noted: Vec<u32>,
    /// Searches for last values, oldest first.
    searches: VecDeque<Search>,
    /// Kept between calls so that they stop allocating.
    inbox: Inbox,
    json: Option<Box<Scratch>>,
    message: Vec<u8>,
    due: Vec<u32>,
    /// For the driver, at the end of the turn.
    pub ops: Vec<Op>,
    /// For other shards, at the end of the turn.
    pub outgoing: Outgoing,
}

impl Shard {
    /// A shard without connections.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let limits = &settings.limits;
        let capacity = limits.connections_max.min(settings.seats.connections).saturating_add(2 * REFUSALS_MAX);
        let share = |total: u64| total.div_ceil(settings.shards as u64);
        let hub = Hub::new(HubSettings {
            shard: settings.shard,
            shards: settings.shards,
            hash_key: settings.hash_key,
            epoch_seed: epoch_seed(settings.hash_key),
            topics_max: share(u64::from(limits.topics_max)) as usize,
            patterns_max: PATTERNS_MAX,
            retained_len_max: share(limits.retained_len_max),
            message_id_ttl_ms: limits.message_id_ttl_ms,
            rules: Arc::clone(&settings.rules),
        });
        Self {
            conns: Conns::new(capacity as usize),
            subscriptions: Subscriptions::default(),
            outboxes: Outboxes::default(),
            decoders: Slab::new(),
            unfinished_look: MonoTime::ZERO,
            unfinished_next: 0,
            exchanges: Slab::new(),
            pendings: Slab::new(),
            lags: Slab::new(),
            vectors: Vectors::default(),
            policies: HashMap::new(),
            bandwidths: HashMap::new(),
            alarms: Alarms::default(),
            last_rule: None,
            presence: PresenceReaders::default(),
            tickets: Slab::new(),
            peers: HashMap::new(),
            addresses: HashMap::new(),
            hub,
            runs: Runs::default(),
            compressor: Compressor::new(settings.compression),
            wheel: Wheel::new(capacity),
            pool: BlockPool::default(),
            budget: Budget::default(),
            put_off: PutOff::default(),
            woken_at: None,
            slow_told: None,
            rng: fastrand::Rng::with_seed(settings.seed),
            dates: Dates::default(),
            metrics: ShardMetrics::default(),
            drain: None,
            taking: None,
            snapshot_time: MonoTime::ZERO,
            memory_look: MonoTime::ZERO,
            survey: None,
            now: MonoTime::ZERO,
            dirty: Vec::new(),
            congested: Vec::new(),
            polls_ready: Vec::new(),
            answered: Vec::new(),
            is_congested: false,
            refusals: 0,
            refused: Refused::default(),
            edges: Slab::new(),
            tls: TlsTurn::default(),
            noted: Vec::new(),
            searches: VecDeque::new(),
            inbox: Inbox::default(),
            json: None,
            message: Vec::new(),
            due: Vec::new(),
            ops: Vec::new(),
            outgoing: Outgoing::default(),
            settings,
        }
    }

    /// Takes in what the kernel did; `Break` when this turn has received enough.
    pub fn handle(&mut self, now: MonoTime, completion: Completion<'_>) -> ControlFlow<()> {
        self.now = now;
        self.woken_at.get_or_insert(now);
        self.budget.begin_item();
        match completion {
            Completion::Accepted { socket, peer, listener } => self.on_accepted(socket, peer, listener),
            Completion::Received { conn, bytes } => self.on_received(conn, bytes),
            Completion::ReceiveClosed { conn, cause } => self.on_receive_closed(conn, cause),
            Completion::Sent { conn, result, rest } => self.on_sent(conn, result, rest),
            Completion::Closed { conn } => self.on_closed(conn),
            Completion::Connected { .. } | Completion::Woken => {}
        }
        if self.is_turn_full() || self.is_put_off_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Gives each turn another budget than [`TURN_BUDGET`](crate::limits::TURN_BUDGET); for tests.
    pub fn set_turn_budget(&mut self, units: u64) {
        self.budget = Budget::new(units);
    }

    /// Begins a turn.
    pub fn begin_turn(&mut self) {
        self.woken_at = None;
    }

    /// Begins the next part of the turn.
    pub(super) fn begin_part(&mut self, part: Part) {
        self.budget.begin_part(part);
    }

    /// When this turn began to cost time: with the first completion, or `now` if there was none.
    pub(super) fn woken_at(&self, now: MonoTime) -> MonoTime {
        self.woken_at.unwrap_or(now)
    }

    /// When this shard next has something to do by itself.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        let drain = self.drain.as_ref().map(Drain::next_step);
        let snapshot = self.taking.as_ref().map(Taking::next_step);
        let presence = [self.hub.next_presence(), self.presence.next_look()].into_iter().flatten().min();
        let looks = [self.next_memory_look(), self.hub.next_sweep(), self.next_unfinished_look()];
        let others = [drain, snapshot, presence].into_iter().chain(looks);
        [self.wheel.next_deadline(), self.alarms.next()].into_iter().chain(others).flatten().min()
    }

    /// Whether work is left over from the last turn, so that the next one must not wait.
    pub(super) fn has_work(&self) -> bool {
        let has_put_off = self.put_off.has_work() && !self.is_congested;
        has_put_off || !self.searches.is_empty() || !self.answered.is_empty() || self.tls.has_work()
    }

    /// What this shard counts, with its gauges filled in.
    #[must_use]
    pub fn measure(&self) -> ShardMetrics {
        let hub = self.hub.sizes();
        ShardMetrics {
            topics: hub.topics as u64,
            patterns: hub.patterns as u64,
            retained_len: hub.retained_len,
            subscriptions: self.subscriptions.len() as u64,
            poll_connections: self.polls() as u64,
            outbox_len: self.outboxes.len_of_all() as u64,
            compression_streams: self.compressor.streams() as u64,
            lag_len: self.lags.iter().map(|(_, lag)| lag.len() as u64).sum(),
            shed_histories: hub.shed_histories,
            shed_last_values: hub.shed_last_values,
            tls_expires_s: self.settings.edge.tls.as_ref().map_or(0, |(_, expires_s)| *expires_s),
            message_ids: hub.message_ids as u64,
            memory: self.memory(),
            snapshot_age_s: self.snapshot_age_s(),
            blocks_in_use: self.pool.in_use() as u64,
            ..self.metrics.clone()
        }
    }

    /// Ends a turn: its budget is whole again. Notes what the loop knows and the shard does not: how long the turn took,
    /// and how much mail waits.
    pub fn note_turn(&mut self, turn_nanos: u64, mailbox_depth: usize) {
        let TurnCharge { charged, largest_item, was_spent } = self.budget.begin_turn();
        self.metrics.turn_charge_max = self.metrics.turn_charge_max.max(charged);
        self.metrics.item_charge_max = self.metrics.item_charge_max.max(largest_item);
        self.metrics.turns_spent += u64::from(was_spent);
        self.metrics.turns.record(turn_nanos);
        self.metrics.turn_longest_us = self.metrics.turn_longest_us.max(turn_nanos / 1_000);
        self.metrics.mailbox_depth = mailbox_depth as u64;
        let is_told = self.slow_told.is_some_and(|told| self.now < told.plus_millis(TURN_SLOW_LOG_MS));
        if turn_nanos > TURN_SLOW_MS * 1_000_000 && !is_told {
            self.slow_told = Some(self.now);
            tracing::warn!(shard = self.settings.shard.0, ms = turn_nanos / 1_000_000, "a turn took long");
        }
    }

    /// What is still held, for tests that count everything back to zero.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            connections: self.conns.len(),
            subscriptions: self.subscriptions.len(),
            outboxes: self.outboxes.in_use(),
            decoders: self.decoders.len(),
            exchanges: self.exchanges.len(),
            pendings: self.pendings.len(),
            lags: self.lags.len() + self.policies.len() + self.bandwidths.len() + self.alarms.len(),
            watched: self.presence.len(),
            vectors: self.vectors.len(),
            tickets: self.tickets.len(),
            edges: self.edges.len(),
            streams: self.compressor.streams() + self.compressor.windows(),
            deadlines: self.wheel.len(),
            put_off: self.put_off.connections(),
            blocks: self.pool.in_use(),
        }
    }
}

/// What a shard holds for its connections. All zero once they are gone and every ticket is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Arena slots.
    pub connections: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Outboxes.
    pub outboxes: usize,
    /// Unfinished frames and messages.
    pub decoders: usize,
    /// Unfinished requests.
    pub exchanges: usize,
    /// Connections with subscriptions under way.
    pub pendings: usize,
    /// Readers that are behind, what they asked for, and what waits for the time to pass.
    pub lags: usize,
    /// Readers of events of several topics.
    pub vectors: usize,
    /// Readers that are told counts, and the topics of which.
    pub watched: usize,
    /// Questions to other shards.
    pub tickets: usize,
    /// PROXY headers and TLS sessions.
    pub edges: usize,
    /// Shared compression streams, and windows of peers.
    pub streams: usize,
    /// Deadlines.
    pub deadlines: usize,
    /// Connections with frames that wait for a part in a turn.
    pub put_off: usize,
    /// Pooled blocks.
    pub blocks: usize,
}
