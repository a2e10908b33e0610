//! A gateway of a few shards on the simulated kernel, with peers that say bytes: as a conversation reads.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use fanwire::command::ShardId;
use fanwire::driver::sim::{Faults, PeerEnd, PeerId, SimDriver, SimNet};
use fanwire::hub::{Hub, HubSettings, TopicRules};
use fanwire::limits::Limits;
use fanwire::live::Live;
use fanwire::mailbox::{Admission, Control, EngineBox, Mailbox, Portion, PortionLane, Request};
use fanwire::metrics::ShardMetrics;
use fanwire::shard::{Census, EdgeSettings, Seats, Settings, Shard, turn};
use fanwire::transport::http::{Access, Origins};
use fanwire::transport::service::{Meaning, Service};
use fanwire::wire::ws::{Opcode, encode_client_frame};

/// Mailboxes for the shards of a world.
struct Mesh {
    mailboxes: Vec<Mailbox>,
    control: Control,
    has_engine: bool,
}

/// Those of shards without an engine.
fn mesh(shards: usize) -> Mesh {
    let (mailboxes, control) = Mailbox::mesh(shards);
    Mesh { mailboxes, control, has_engine: false }
}

/// The shards, stepped in order.
pub struct World {
    pub net: SimNet,
    cores: Vec<(SimDriver, Shard, Mailbox)>,
    pub control: Control,
    /// Portions of snapshots.
    pub portions: Receiver<Portion>,
    /// The last live configuration of the shards.
    live: Arc<Live>,
    hub: Hub,
}

impl World {
    /// A gateway whose kernel takes `outbound_len_max` bytes before a peer reads.
    pub fn new(shards: usize, outbound_len_max: usize, limits: Limits) -> Self {
        Self::with_rules(shards, outbound_len_max, limits, TopicRules::default())
    }

    /// One with rules for topics.
    pub fn with_rules(shards: usize, outbound_len_max: usize, limits: Limits, rules: TopicRules) -> Self {
        Self::with(mesh(shards), outbound_len_max, limits, rules, &Access::OPEN, EdgeSettings::default())
    }

    /// One that looks at the origins of pages.
    pub fn with_origins(shards: usize, outbound_len_max: usize, limits: Limits, origins: Origins) -> Self {
        let access = Access { origins, ..Access::OPEN };
        Self::with_access(shards, outbound_len_max, limits, TopicRules::default(), &access)
    }

    /// One whose listener is not for everything.
    pub fn with_access(
        shards: usize,
        outbound_len_max: usize,
        limits: Limits,
        rules: TopicRules,
        access: &Access,
    ) -> Self {
        Self::with(mesh(shards), outbound_len_max, limits, rules, access, EdgeSettings::default())
    }

    /// One with something before HTTP.
    pub fn with_edge(shards: usize, outbound_len_max: usize, limits: Limits, edge: EdgeSettings) -> Self {
        Self::with(mesh(shards), outbound_len_max, limits, TopicRules::default(), &Access::OPEN, edge)
    }

    /// One whose publications are numbered by an engine, which has this mailbox.
    pub fn with_engine(shards: usize, limits: Limits) -> (Self, EngineBox) {
        let (mailboxes, engine, control) = Mailbox::mesh_with_engine(shards);
        let mesh = Mesh { mailboxes, control, has_engine: true };
        let rules = TopicRules::default();
        (Self::with(mesh, 1 << 20, limits, rules, &Access::OPEN, EdgeSettings::default()), engine)
    }

    fn with(
        Mesh { mailboxes, control, has_engine }: Mesh,
        outbound_len_max: usize,
        limits: Limits,
        rules: TopicRules,
        access: &Access,
        edge: EdgeSettings,
    ) -> Self {
        let shards = mailboxes.len();
        let access = [access.clone()].into();
        let live = Arc::new(Live { rules: Arc::new(rules), limits, access, ..Live::default() });
        let faults = Faults { outbound_len_max, inbound_len_max: 1 << 20, ..Faults::NONE };
        let net = SimNet::new(1, shards, faults);
        let hash_key = HASH_KEY;
        let admission = Admission::new(live.limits.connections_max);
        let (lane, portions) = PortionLane::new();
        let settings = |index: usize| Settings {
            shard: ShardId(index as u8),
            shards,
            has_engine,
            live: Arc::clone(&live),
            edge: edge.clone(),
            pages: Arc::default(),
            hash_key,
            seed: 3,
            admission: admission.clone(),
            seats: Seats::default(),
            process: Arc::default(),
            services: services().into(),
            log_peers: false,
            snapshots: Some(lane.clone()),
        };
        let hub = Hub::new(HubSettings {
            shard: ShardId(0),
            shards,
            hash_key,
            epoch_seed: 0,
            topics_max: 1,
            patterns_max: 1,
            retained_len_max: 0,
            message_id_ttl_ms: 0,
            rules: Arc::default(),
        });
        let cores = mailboxes.into_iter().enumerate();
        let cores = cores.map(|(index, mailbox)| (net.driver(index), Shard::new(settings(index)), mailbox)).collect();
        Self { net, cores, control, portions, live, hub }
    }

    /// Names that have their home at a shard.
    pub fn topics_at(&self, shard: usize) -> impl Iterator<Item = String> {
        (0..).map(|n| format!("t.{n}")).filter(move |topic| self.hub.home_of(topic).index() == shard)
    }

    /// A connection to a shard.
    pub fn connect(&mut self, shard: usize) -> PeerId {
        let peer = self.net.connect(Some(shard));
        self.turns(1);
        peer
    }

    /// An upgraded connection.
    pub fn upgrade(&mut self, shard: usize, path: &str) -> PeerId {
        let peer = self.connect(shard);
        self.say(peer, handshake(path).as_bytes());
        self.turns(2);
        assert!(self.hear(peer).starts_with("HTTP/1.1 101"), "{path} upgrades");
        peer
    }

    /// All of `bytes` reach the kernel of the shard.
    pub fn say(&mut self, peer: PeerId, bytes: &[u8]) {
        assert_eq!(self.net.write(peer, bytes), bytes.len(), "there is room");
    }

    /// A whole text message.
    pub fn say_text(&mut self, peer: PeerId, text: &str) {
        self.say(peer, &text_frame(text));
    }

    /// Bytes that the peer reads now, as text; invalid UTF-8 is replaced.
    pub fn hear(&mut self, peer: PeerId) -> String {
        String::from_utf8_lossy(&self.net.read(peer)).into_owned()
    }

    /// Bytes that the peer reads in some turns.
    pub fn hear_for(&mut self, peer: PeerId, turns: usize) -> String {
        let mut heard = String::new();
        for _ in 0..turns {
            self.turns(1);
            heard.push_str(&self.hear(peer));
        }
        heard
    }

    /// Each shard has its turn, so many times.
    pub fn turns(&mut self, count: usize) {
        for _ in 0..count {
            for shard in 0..self.cores.len() {
                self.turn_of(shard);
            }
        }
    }

    /// One shard has one turn.
    pub fn turn_of(&mut self, shard: usize) {
        let (driver, shard, mailbox) = &mut self.cores[shard];
        turn(driver, shard, mailbox, |_| {}).expect("the simulated kernel does not fail as a whole");
    }

    /// Time passes in small steps, with turns in between.
    pub fn pass_ms(&mut self, millis: u64) {
        for _ in 0..millis / STEP_MS {
            self.net.advance_ms(STEP_MS);
            self.turns(1);
        }
    }

    /// Tells every shard what holds from now on; it has its mail a turn later.
    pub fn change(&mut self, change: impl FnOnce(&mut Live)) {
        change(Arc::make_mut(&mut self.live));
        let live = Arc::clone(&self.live);
        assert!(self.control.tell_all(|| Request::Live(Arc::clone(&live))), "there is room for a request");
        self.turns(1);
    }

    /// Tells every shard to shut down.
    pub fn drain(&mut self) {
        assert!(self.control.tell_all(|| Request::Drain), "there is room for a request");
    }

    pub fn is_drained(&self) -> bool {
        self.cores.iter().all(|(_, shard, _)| shard.is_drained())
    }

    pub fn end(&self, peer: PeerId) -> Option<PeerEnd> {
        self.net.end(peer)
    }

    pub fn measure(&self, shard: usize) -> ShardMetrics {
        self.cores[shard].1.measure()
    }

    /// Mails that wait, as far as a shard can see.
    pub fn depth(&self, shard: usize) -> usize {
        self.cores[shard].2.depth()
    }

    /// Nothing is held for anybody any more.
    pub fn assert_empty(&self) {
        for (_, shard, mailbox) in &self.cores {
            assert_eq!((shard.census(), mailbox.depth()), (Census::default(), 0));
        }
    }
}

/// A masked text frame.
pub fn text_frame(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_client_frame(&mut bytes, Opcode::Text, true, [1, 2, 3, 4], text.as_bytes());
    bytes
}

/// A publication over HTTP.
pub fn post(topic: &str, payload: &str) -> String {
    format!("POST /publish/{topic} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{payload}", payload.len())
}

/// A request without a body.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// The request of an opening handshake.
pub fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The key of topic names in these shards.
pub const HASH_KEY: (u64, u64) = (1, 2);

/// So much time at once.
const STEP_MS: u64 = 10;

/// A service of SockJS for each dialect.
fn services() -> Vec<Service> {
    let service = |base: &str, dialect| Service { response_len_max: 1_000, ..Service::sockjs(base, dialect) };
    vec![service("/sockjs", Meaning::Json), service("/feed", Meaning::Raw), service("/mirror", Meaning::Echo)]
}
