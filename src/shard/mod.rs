//! One core: every connection that landed on it, its part of the topics, and the loop that moves values between the
//! rooms. The only room that changes a connection.
//!
//! A [`Shard`] is plain state: it takes completions, mail and the time, and leaves behind [`Op`]s for the driver and
//! [`Outgoing`] mail. It knows no kernel and no clock, so that `tests/simulator/` can run several of them in one
//! thread under a seed. What it must never do: block, lock, or trust a peer's bytes.
//!
//! | folder | what happens there |
//! |---|---|
//! | `run`, `turn`, `post` | the loop; a turn's budget; mail from other shards |
//! | `link` | one socket: arena, accept, PROXY and TLS, frames, outboxes, deadlines, the end |
//! | `session` | one subscriber: subscribing, catching up, what it skips, presence, what it publishes |
//! | `delivery` | one turn's publications to their readers: runs, encodings, compression |
//! | `request` | HTTP requests: answers and their date, batches, readers over HTTP |
//! | `upkeep` | memory, snapshots, the shutdown |

#[cfg(test)]
mod costs;
mod delivery;
mod link;
mod post;
mod request;
mod run;
mod session;
mod slot;
#[cfg(test)]
mod tests;
mod turn;
mod upkeep;

pub use link::edge::EdgeSettings;
pub use link::seats::Seats;
pub use run::{run, turn};

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::command::ShardId;
use crate::driver::{Completion, Op};
use crate::hub::{Hub, HubSettings, epoch_seed};
use crate::limits::{PATTERNS_MAX, REFUSALS_MAX};
use crate::live::Live;
use crate::mailbox::{Admission, Outgoing, PortionLane};
use crate::metrics::{ProcessMetrics, ShardMetrics};
use crate::routes::Page;
use crate::time::MonoTime;
use crate::transport::service::Service;
use delivery::Delivery;
use link::Links;
use request::Requests;
use session::Sessions;
use session::rest::Rest;
use turn::Turn;
use upkeep::Upkeep;
use upkeep::drain::Drain;
use upkeep::live::Change;
use upkeep::snapshot::Taking;
use upkeep::tally::Busy;

/// The settings of a shard at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The number of this shard.
    pub shard: ShardId,
    /// The number of all shards.
    pub shards: usize,
    /// Whether the engine numbers publications, instead of each topic's home.
    pub has_engine: bool,
    /// The configuration that may change while the shard runs.
    pub live: Arc<Live>,
    /// Pages served beside the endpoints.
    pub pages: Arc<[Page]>,
    /// The key of every hash of a topic name, the same in all shards.
    pub hash_key: (u64, u64),
    /// The seed of this shard's random numbers.
    pub seed: u64,
    /// The count of connections that all shards share.
    pub admission: Admission,
    /// The number of connections that this shard may hold.
    pub seats: Seats,
    /// The metrics of the process, for `/metrics`.
    pub process: Arc<ProcessMetrics>,
    /// Whether the log names the addresses of peers.
    pub log_peers: bool,
    /// The layers between sockets and HTTP.
    pub edge: EdgeSettings,
    /// Transports with sessions of their own.
    pub services: Arc<[Service]>,
    /// The lane for portions of snapshots, if any are taken.
    pub snapshots: Option<PortionLane>,
}

/// One core's part of the gateway: a value for each room, and its input and output.
#[derive(Debug)]
pub struct Shard {
    settings: Settings,
    links: Links,
    sessions: Sessions,
    delivery: Delivery,
    requests: Requests,
    upkeep: Upkeep,
    hub: Hub,
    turn: Turn,
    metrics: ShardMetrics,
    /// The time of the last call that had a time; it stands for everything until the next such call.
    now: MonoTime,
    /// Operations for the driver, at the end of the turn.
    pub ops: Vec<Op>,
    /// Mail for other shards, at the end of the turn.
    pub outgoing: Outgoing,
}

/// The settings of this shard's part of the topics.
fn hub_settings(settings: &Settings) -> HubSettings {
    let limits = &settings.live.limits;
    let share = |total: u64| total.div_ceil(settings.shards as u64);
    HubSettings {
        shard: settings.shard,
        shards: settings.shards,
        hash_key: settings.hash_key,
        epoch_seed: epoch_seed(settings.hash_key),
        topics_max: share(u64::from(limits.topics_max)) as usize,
        patterns_max: PATTERNS_MAX,
        retained_len_max: share(limits.retained_len_max),
        message_id_ttl_ms: limits.message_id_ttl_ms,
        rules: Arc::clone(&settings.live.rules),
    }
}

impl Shard {
    /// A shard without connections.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let limits = &settings.live.limits;
        let capacity = limits.connections_max.min(settings.seats.connections).saturating_add(2 * REFUSALS_MAX);
        let hub = Hub::new(hub_settings(&settings));
        Self {
            links: Links::new(capacity),
            sessions: Sessions::default(),
            delivery: Delivery::new(settings.live.compression),
            requests: Requests::default(),
            upkeep: Upkeep::new(settings.seed),
            hub,
            turn: Turn::default(),
            metrics: ShardMetrics::default(),
            now: MonoTime::ZERO,
            ops: Vec::new(),
            outgoing: Outgoing::default(),
            settings,
        }
    }

    /// Handles a completion of the kernel. Returns `Break` when this turn has received enough.
    pub fn handle(&mut self, now: MonoTime, completion: Completion<'_>) -> ControlFlow<()> {
        self.now = now;
        self.begin_completion();
        match completion {
            Completion::Accepted { socket, peer, listener } => self.on_accepted(socket, peer, listener),
            Completion::Received { conn, bytes } => self.on_received(conn, bytes),
            Completion::ReceiveClosed { conn, cause } => self.on_receive_closed(conn, cause),
            Completion::Sent { conn, result, rest } => self.on_sent(conn, result, rest),
            Completion::Closed { conn } => self.on_closed(conn),
            Completion::Connected { .. } | Completion::Woken => {}
        }
        self.receives_more()
    }

    /// The time at which this shard next has something to do by itself.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        // This runs twice in each turn, so it is written out for speed.
        let mut next = earlier(self.links.wheel.next_deadline(), self.sessions.alarms.next());
        next = earlier(next, self.next_unfinished_look());
        next = earlier(next, self.links.conns.detached.next_look());
        next = earlier(next, self.upkeep.drain.as_ref().map(Drain::next_step));
        next = earlier(next, self.upkeep.taking.as_ref().map(Taking::next_step));
        next = earlier(next, self.upkeep.change.as_ref().map(Change::next_step));
        next = earlier(next, self.hub.next_presence());
        next = earlier(next, self.sessions.presence.next_look());
        next = earlier(next, self.next_memory_look());
        earlier(next, self.hub.next_sweep())
    }

    /// Whether work is left from the last turn, so that the next turn must not wait.
    pub(super) fn has_work(&self) -> bool {
        let has_put_off = self.links.put_off.has_work() && !self.links.is_congested;
        let has_news = !self.links.conns.detached.news.is_empty();
        has_put_off
            || has_news
            || !self.sessions.searches.is_empty()
            || !self.requests.answered.is_empty()
            || self.upkeep.tally.is_asked()
            || self.links.tls.has_work()
    }

    /// The metrics of this shard, with gauges filled in; `busy` is what its pools hold.
    fn metrics_with(&self, busy: &Busy) -> ShardMetrics {
        let hub = self.hub.sizes();
        ShardMetrics {
            topics: hub.topics as u64,
            patterns: hub.patterns as u64,
            retained_len: hub.retained_len,
            subscriptions: self.sessions.subscriptions.len() as u64,
            poll_connections: self.polls() as u64,
            outbox_len: busy.outboxes_len,
            compression_streams: self.delivery.compressor.streams() as u64,
            lag_len: busy.lags,
            shed_histories: hub.shed_histories,
            shed_last_values: hub.shed_last_values,
            tls_expires_s: self.settings.edge.tls.as_ref().map_or(0, |(_, expires_s)| *expires_s),
            message_ids: hub.message_ids as u64,
            memory: self.memory(busy),
            snapshot_age_s: self.snapshot_age_s(),
            blocks_in_use: self.links.pool.in_use() as u64,
            ..self.metrics.clone()
        }
    }

    /// Everything that is still held, for tests that count it back to zero.
    #[must_use]
    pub fn census(&self) -> Census {
        let sum = |len: &dyn Fn(&Rest) -> usize| self.sessions.rests.iter().map(|(_, rest)| len(rest)).sum::<usize>();
        Census {
            connections: self.links.conns.len(),
            subscriptions: self.sessions.subscriptions.len(),
            outboxes: self.links.outboxes.in_use(),
            decoders: self.links.decoders.len(),
            exchanges: self.requests.exchanges.len(),
            pendings: self.sessions.pendings.len(),
            lags: self.sessions.lags.len() + sum(&|rest| rest.len()) + self.sessions.alarms.len(),
            watched: self.sessions.presence.len(),
            vectors: sum(&|rest| usize::from(rest.vector.is_some())),
            tickets: self.sessions.tickets.len(),
            shares: self.sessions.subscriptions.owners() + self.sessions.pattern_tokens.len(),
            edges: self.links.edges.len(),
            streams: self.delivery.compressor.streams() + self.delivery.compressor.windows(),
            deadlines: self.links.wheel.len(),
            put_off: self.links.put_off.connections(),
            detached: self.links.conns.detached.len(),
            blocks: self.links.pool.in_use(),
        }
    }
}

fn earlier(one: Option<MonoTime>, other: Option<MonoTime>) -> Option<MonoTime> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}

/// Everything that a shard holds for its connections. All zero once they are gone and every ticket is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Arena slots.
    pub connections: usize,
    pub subscriptions: usize,
    pub outboxes: usize,
    /// Unfinished frames and messages.
    pub decoders: usize,
    /// Unfinished requests.
    pub exchanges: usize,
    /// Connections with subscriptions under way.
    pub pendings: usize,
    /// Readers that are behind, their policies, and deliveries that wait for their time.
    pub lags: usize,
    /// Readers of events that named several topics.
    pub vectors: usize,
    /// Readers of presence counts, and the topics they watch.
    pub watched: usize,
    /// Questions to other shards.
    pub tickets: usize,
    /// Owners with a share of something.
    pub shares: usize,
    /// PROXY headers and TLS sessions.
    pub edges: usize,
    /// Shared compression streams, and windows of peers.
    pub streams: usize,
    pub deadlines: usize,
    /// Connections with frames that wait for a part in a turn.
    pub put_off: usize,
    /// Detached sessions.
    pub detached: usize,
    /// Pooled blocks.
    pub blocks: usize,
}
