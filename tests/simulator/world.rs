//! Shards, their mailboxes and their peers in one thread, stepped in the order that the seed picks.

use std::sync::Arc;

use fanwire::budget::TurnCharge;
use fanwire::command::{Compression, ShardId};
use fanwire::driver::sim::{Faults, Holdings, PeerEnd, SimDriver, SimNet};
use fanwire::hub::TopicSettings;
use fanwire::limits::{Limits, PRICE_FOUR_BYTES, PRICE_MESSAGE, PRICE_PUBLICATION, TURN_BUDGET};
use fanwire::live::{CompressionSettings, Live};
use fanwire::mailbox::{Admission, Control, Mailbox, Request};
use fanwire::metrics::ShardMetrics;
use fanwire::shard::{Census, Seats, Settings, Shard, turn};
use rustls::version::{TLS12, TLS13};

use crate::auditor::{Auditor, FLOOD_TOPICS};
use crate::changes::rule;
use crate::peers::{OFFERS, Pace, Part, Peer, hostile_bytes};
use crate::tls_peer::Tls;
use crate::totals::Totals;

/// The scenario of one seed.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub seed: u64,
    pub faults: Faults,
    pub hostile: bool,
    /// Much is said to readers that read nothing, in a short run over several shards.
    pub floods: bool,
    pub ending: Ending,
    /// The fault to be found: the shards have no budget and the auditor believes that they have.
    pub is_budget_blind: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    PeersLeave,
    Shutdown,
}

/// Parts of a turn that may each go past their bound by one item.
const PARTS_PER_TURN: u64 = 3;

struct Core {
    driver: SimDriver,
    shard: Shard,
    mailbox: Mailbox,
    before: ShardMetrics,
}

pub(super) struct World {
    pub(super) run: Run,
    pub(super) rng: fastrand::Rng,
    net: SimNet,
    tls: Tls,
    cores: Vec<Core>,
    pub(super) control: Control,
    peers: Vec<Peer>,
    pub(super) auditor: Auditor,
    floods: u64,
    /// The last live configuration of the shards; whether it does in this run, and how often it did.
    pub(super) live: Arc<Live>,
    changes: bool,
    pub(super) changed: u64,
    /// Of each turn.
    budget: u64,
}

impl Run {
    /// Plays the run.
    ///
    /// # Panics
    /// If the auditor finds something.
    pub fn play(self) -> Totals {
        let mut world = World::new(self);
        let acts = if self.floods { world.rng.usize(10..30) } else { world.rng.usize(100..400) };
        let flood_at = world.floods().then(|| world.rng.usize(0..acts));
        for act in 0..acts {
            if flood_at == Some(act) {
                world.flood();
            }
            world.act();
            world.step();
        }
        world.settle();
        world.auditor.audit_all(&mut world.peers, &world.net, self.faults == Faults::NONE);
        match self.ending {
            Ending::PeersLeave => world.let_peers_leave(),
            Ending::Shutdown => world.shut_down(),
        }
        world.audit_leaks();
        world.totals()
    }
}

impl World {
    fn new(run: Run) -> Self {
        let mut rng = fastrand::Rng::with_seed(run.seed);
        let shards = rng.usize(if run.floods { 2 } else { 1 }..=3);
        let net = SimNet::new(run.seed, shards, run.faults);
        let (mailboxes, control) = Mailbox::mesh(shards);
        // Small enough to be passed by who stalls, but only where faults permit that somebody is disconnected.
        let outbox_len_max = if run.faults == Faults::NONE { 1 << 18 } else { 1 << rng.u32(9..14) };
        let memory_len_max = match (run.faults == Faults::NONE, rng.u8(0..3)) {
            (false, 0 | 1) if !run.floods => (shards as u64) << rng.u32(9..14),
            _ => 0,
        };
        let limits = Limits { connections_max: 64, outbox_len_max, memory_len_max, ..Limits::default() };
        let history = rng.u32(0..30);
        let tls = Tls::new();
        let compression = CompressionSettings {
            default: [Compression::Off, Compression::Message, Compression::Shared, Compression::Shared]
                [rng.usize(0..4)],
            threshold: rng.u32(0..30),
            level: rng.u8(1..=9),
            stream_window_bits: rng.u8(9..=15),
            join_every: rng.u32(1..12),
        };
        let rules = rule(TopicSettings { history, ..TopicSettings::default() });
        let live = Arc::new(Live { rules, limits, compression, ..Live::default() });
        let settings = Settings {
            shard: ShardId(0),
            shards,
            has_engine: false,
            live: Arc::clone(&live),
            edge: tls.settings(),
            pages: Arc::default(),
            hash_key: (rng.u64(..), rng.u64(..)),
            seed: run.seed,
            admission: Admission::new(live.limits.connections_max),
            seats: Seats::default(),
            process: Arc::default(),
            services: Arc::default(),
            log_peers: false,
            snapshots: None,
        };
        // From one receive a turn to more than ever comes.
        let budget = [2_000, 20_000, 200_000, TURN_BUDGET][fastrand::Rng::with_seed(!run.seed).usize(0..4)];
        let cores = mailboxes.into_iter().enumerate().map(|(index, mailbox)| {
            let mut shard = Shard::new(Settings { shard: ShardId(index as u8), ..settings.clone() });
            shard.set_turn_budget(if run.is_budget_blind { u64::MAX / 8 } else { budget });
            Core { driver: net.driver(index), shard, mailbox, before: ShardMetrics::default() }
        });
        let cores = cores.collect();
        Self {
            run,
            rng,
            net,
            tls,
            cores,
            control,
            peers: Vec::new(),
            auditor: Auditor::new(u64::from(history), memory_len_max > 0),
            floods: 0,
            live,
            changes: fastrand::Rng::with_seed(run.seed ^ 0x6c69_7665).bool(),
            changed: 0,
            budget,
        }
    }

    /// One peer does something, or a new one comes.
    fn act(&mut self) {
        let roll = self.rng.u8(0..100);
        if self.peers.len() < 4 || (roll < 12 && self.peers.len() < 40) {
            return self.connect();
        }
        if roll == 17 && self.changes {
            return self.change();
        }
        let index = self.rng.usize(0..self.peers.len());
        let Self { peers, rng, net, auditor, .. } = self;
        let peer = &mut peers[index];
        if roll < 16 {
            let is_reading = net.is_reading(peer.id);
            net.set_reading(peer.id, !is_reading);
            peer.was_slow = true;
        }
        if roll == 16 && self.run.faults != Faults::NONE {
            match rng.u8(0..4) {
                0 => net.reset(peer.id),
                1 => net.half_close(peer.id),
                2 if peer.is_websocket() => peer.say_goodbye(),
                _ => net.close(peer.id),
            }
            auditor.note_left(peer.id);
            return;
        }
        if !peer.is_open(net) {
            return;
        }
        match peer.part {
            Part::Raw { .. } => auditor.publish_raw(peer, rng),
            Part::Json { .. } if roll < 50 => auditor.subscribe(peer, rng),
            Part::Json { .. } => auditor.publish_json(peer, rng),
            Part::Http => auditor.publish_http(peer, rng),
            Part::Follow { .. } => {}
            Part::Poll { .. } => auditor.poll(peer),
            Part::Hostile => peer.say_bytes(&hostile_bytes(rng)),
        }
    }

    fn connect(&mut self) {
        let topic = format!("t.{}", self.rng.u8(0..3));
        let mode = ["queue", "queue", "drop_oldest", "latest"][self.rng.usize(0..4)];
        let pace = Pace {
            max_rate: [0, 0, 20, 200][self.rng.usize(0..4)],
            max_age_ms: [0, 0, 0, 30][self.rng.usize(0..4)],
            // In the settling time of a run it is enough for the outboxes of faulty runs.
            bandwidth: [0, 0, 0, 50_000][self.rng.usize(0..4)],
        };
        let part = match self.rng.u8(0..14) {
            0..4 => Part::Raw { topic, echo: self.rng.u8(0..3) > 0, mode, pace },
            4..8 => Part::Json { mode: if self.rng.bool() { "mixed" } else { mode }, pace },
            8 if self.run.hostile => Part::Hostile,
            10.. => self.follower(mode),
            _ => Part::Http,
        };
        let offer = OFFERS[self.rng.usize(0..OFFERS.len())];
        let mut peer = Peer::new(self.net.connect(None), part, self.peers.len().is_multiple_of(2), offer);
        // Some speak TLS, and some who mean no good go where they would have to.
        if self.rng.u8(0..6) == 0 {
            self.net.set_listener(peer.id, 1);
            if peer.part != Part::Hostile || self.rng.bool() {
                let version = if self.rng.bool() { &TLS13 } else { &TLS12 };
                peer.tls = Some(self.tls.peer(version));
            }
        }
        if peer.part == Part::Hostile {
            peer.say_bytes(&hostile_bytes(&mut self.rng));
        }
        self.auditor.enter(&peer);
        self.peers.push(peer);
    }

    /// Whether much is to be said in the run: where it fits through the kernel, and nobody is closed for it.
    fn floods(&mut self) -> bool {
        self.run.floods
            || self.run.hostile
                && self.run.faults.inbound_len_max >= 1 << 16
                && !self.auditor.is_bounded
                && self.rng.bool()
    }

    /// Much is said in topics that nobody follows by name, while readers of everything read nothing: some wait for last
    /// values, so that what is said is held for them, and some are only behind.
    fn flood(&mut self) {
        let post = |n: usize| {
            let body = format!("\"{}\"", "x".repeat(FLOOD_LEN));
            format!("POST /publish/big.{n} HTTP/1.1\r\nHost: sim\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        let publisher = self.enter(Part::Hostile);
        for (round, topics) in [0..FLOOD_TOPICS / 2, FLOOD_TOPICS / 2..FLOOD_TOPICS].into_iter().enumerate() {
            topics.for_each(|n| self.peers[publisher].say_bytes(post(n).as_bytes()));
            self.rounds(100);
            for sleeper in 0..if round == 0 { SLEEPERS } else { 0 } {
                let index = self.enter(Part::Json { mode: "latest", pace: Pace::default() });
                let Self { peers, auditor, rng, net, .. } = self;
                auditor.follow_everything(&mut peers[index], sleeper % 2 == 0, rng);
                net.set_reading(peers[index].id, false);
                peers[index].was_slow = true;
            }
            self.rounds(20);
        }
        self.floods += 1;
        // A reader that asked for no last values need not have the newest message from before it came.
        for index in self.peers.len() - SLEEPERS + 1..self.peers.len() {
            self.net.reset(self.peers[index].id);
            self.auditor.note_left(self.peers[index].id);
        }
    }

    fn enter(&mut self, part: Part) -> usize {
        let peer = Peer::new(self.net.connect(None), part, true, "");
        self.auditor.enter(&peer);
        self.peers.push(peer);
        self.peers.len() - 1
    }

    fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            self.round();
            self.auditor.listen(&mut self.peers);
        }
    }

    /// A reader over HTTP: a new one, or one that comes back to where it was.
    fn follower(&mut self, mode: &'static str) -> Part {
        let is_gone = |peer: &&mut Peer| peer.end.is_some() || self.net.has_peer_ended(peer.id);
        let gone = self.peers.iter_mut().filter(is_gone).find(|peer| peer.position.is_some());
        if let Some(peer) = gone {
            let position = peer.position.take();
            self.auditor.returns += 1;
            return match peer.part.clone() {
                Part::Follow { topics, mode, is_events, .. } => {
                    Part::Follow { topics, mode, is_events, since: position }
                }
                Part::Poll { topics, .. } => Part::Poll { topics, since: position },
                part => panic!("{part:?} has no position"),
            };
        }
        let mut topics = vec!["t.0", "t.1", "t.2", "u.0"];
        self.rng.shuffle(&mut topics);
        topics.truncate(self.rng.usize(1..=3));
        match self.rng.u8(0..3) {
            0 => Part::Poll { topics, since: None },
            kind => {
                if self.rng.u8(0..4) == 0 {
                    topics.push("*.1");
                }
                Part::Follow { topics, mode, is_events: kind == 1, since: None }
            }
        }
    }

    /// Some peers and some shards get on, in an order that the seed picks; time passes.
    fn step(&mut self) {
        for _ in 0..self.rng.usize(1..6) {
            if self.rng.bool() {
                let core = self.rng.usize(0..self.cores.len());
                self.turn(core);
            } else {
                let peer = self.rng.usize(0..self.peers.len());
                self.peers[peer].exchange(&self.net);
            }
        }
        if self.rng.u8(0..4) == 0 {
            self.net.advance_ms(self.rng.u64(0..40));
        }
        self.auditor.listen(&mut self.peers);
    }

    /// One turn of one shard. Who is to be woken is not: every shard is stepped anyway, in any order.
    fn turn(&mut self, index: usize) {
        let Core { driver, shard, mailbox, before } = &mut self.cores[index];
        turn(driver, shard, mailbox, |_| {}).expect("the simulated kernel does not fail as a whole");
        // The work of the turn, at the prices that it should have charged.
        let after = shard.measure();
        let said = (after.publications - before.publications) * PRICE_PUBLICATION;
        let heard = (after.messages_received - before.messages_received) * PRICE_MESSAGE;
        let cost = said + heard + (after.received_len - before.received_len) / 4 * PRICE_FOUR_BYTES;
        let TurnCharge { charged, largest_item, .. } = shard.last_charge();
        let bound = self.budget + PARTS_PER_TURN * largest_item;
        assert!(cost <= charged, "a turn cost {cost} and charged {charged}");
        assert!(charged <= bound, "a turn charged {charged}, of {} and items of {largest_item}", self.budget);
        *before = after;
    }

    /// Lets everything that is under way come to its end, without letting deadlines pass that need a stalled peer.
    fn settle(&mut self) {
        for peer in &self.peers {
            self.net.set_reading(peer.id, true);
        }
        let mut idle_rounds = 0;
        for _ in 0..20_000 {
            let moved = self.round();
            let is_busy = moved
                || (0..self.cores.len()).any(|core| self.net.has_work(core))
                || self.cores.iter().any(|core| core.mailbox.depth() > 0);
            let is_waited_for = self.net.holdings().backlog > 0;
            idle_rounds = if is_busy || is_waited_for { 0 } else { idle_rounds + 1 };
            // A listener rests after a failure, and may fail again.
            self.net.advance_ms(if is_busy { 0 } else { 10 });
            if idle_rounds == 30 {
                break;
            }
        }
        assert_eq!(idle_rounds, 30, "what is under way comes to its end");
        self.auditor.listen(&mut self.peers);
    }

    /// Every shard and every peer gets on; says whether any peer wrote or read something.
    fn round(&mut self) -> bool {
        for index in 0..self.cores.len() {
            self.turn(index);
        }
        self.peers.iter_mut().filter_map(|peer| peer.exchange(&self.net).then_some(())).count() > 0
    }

    fn let_peers_leave(&mut self) {
        for index in 0..self.peers.len() {
            let peer = &mut self.peers[index];
            match self.rng.u8(0..4) {
                0 => self.net.reset(peer.id),
                1 => self.net.close(peer.id),
                2 if peer.is_websocket() => peer.say_goodbye(),
                // Nothing is sent to it that could show that it is gone.
                _ if matches!(peer.part, Part::Follow { .. }) => self.net.close(peer.id),
                // It stays without a word until the gateway asks for a sign of life and gets none.
                _ => self.net.set_reading(peer.id, false),
            }
        }
        for round in 0..400 {
            // A stream to who neither reads nor leaves may stay.
            let hostile = self.peers.iter().filter(|peer| round == 350 && peer.part == Part::Hostile);
            hostile.for_each(|peer| self.net.close(peer.id));
            for index in 0..self.cores.len() {
                self.turn(index);
            }
            for peer in &mut self.peers {
                if self.net.is_reading(peer.id) {
                    peer.exchange(&self.net);
                }
            }
            self.net.advance_ms(500);
        }
    }

    fn shut_down(&mut self) {
        let open: Vec<bool> = self.peers.iter().map(|peer| peer.is_upgraded && peer.is_open(&self.net)).collect();
        assert!(self.control.tell_all(|| Request::Drain));
        for _ in 0..1_500 {
            self.round();
            self.net.advance_ms(10);
        }
        for (peer, was_open) in self.peers.iter().zip(open) {
            if was_open && peer.end != Some(PeerEnd::Reset) && !peer.was_slow && !self.net.has_peer_ended(peer.id) {
                self.auditor.audit_goodbye(peer);
            }
        }
        for core in &self.cores {
            assert!(core.shard.is_drained(), "a shutdown ends within its bound");
        }
        self.auditor.goodbyes +=
            self.peers.iter().filter(|peer| matches!(peer.close, Some((Some(1001), _)))).count() as u64;
    }

    fn audit_leaks(&mut self) {
        for _ in 0..200 {
            for index in 0..self.cores.len() {
                self.turn(index);
            }
        }
        for core in &self.cores {
            assert_eq!(core.shard.census(), Census::default(), "a shard holds something that nobody needs");
            let metrics = core.shard.measure();
            assert_eq!((metrics.subscriptions, metrics.outbox_len, metrics.patterns, metrics.lag_len), (0, 0, 0, 0));
            assert_eq!((metrics.http_connections, metrics.websocket_connections), (0, 0));
            assert_eq!((metrics.event_connections, metrics.line_connections, metrics.poll_connections), (0, 0, 0));
            assert_eq!(metrics.closes.iter().sum::<u64>(), metrics.accepted, "every connection ended once");
            assert_eq!(core.mailbox.depth(), 0);
        }
        let backlog = if self.run.ending == Ending::Shutdown { self.net.holdings().backlog } else { 0 };
        assert_eq!(self.net.holdings(), Holdings { backlog, ..Holdings::default() });
    }

    fn totals(&self) -> Totals {
        let metrics: Vec<_> = self.cores.iter().map(|core| core.shard.measure()).collect();
        let sum = |value: fn(&fanwire::metrics::ShardMetrics) -> u64| metrics.iter().map(value).sum();
        Totals {
            publications: sum(|metrics| metrics.publications),
            deliveries: sum(|metrics| metrics.deliveries),
            complete_readers: self.auditor.complete_readers,
            slow_closes: sum(|metrics| metrics.closes[fanwire::close::CloseReason::SlowReader.index()]),
            resets: sum(|metrics| metrics.closes[fanwire::close::CloseReason::Reset.index()]),
            goodbyes: self.auditor.goodbyes,
            resumed: self.auditor.resumed,
            presences: self.auditor.presences,
            skipped: sum(|metrics| metrics.skipped),
            shed: sum(|metrics| metrics.shed.iter().sum()),
            returns: self.auditor.returns,
            polled: self.auditor.polled,
            zipped_alone: self.peers.iter().map(|peer| peer.zipped.alone).sum(),
            zipped_streamed: self.peers.iter().map(|peer| peer.zipped.streamed).sum(),
            zipped_between: self.peers.iter().map(|peer| peer.zipped.between).sum(),
            floods: self.floods,
            changes: self.changed,
            turns_spent: sum(|metrics| metrics.turns_spent),
            raw_readers: self.auditor.raw_readers,
            raw_unknown: self.auditor.raw_unknown,
            carried: self.auditor.carried.counts,
        }
    }
}

/// Readers in a flood.
const SLEEPERS: usize = 12;
/// Bytes of each of its messages: with half of the topics, more than the kernel takes and a shard catches up with or holds.
const FLOOD_LEN: usize = 40_000;
