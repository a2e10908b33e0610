//! The table of keys: every key of the configuration is one row here, and nowhere else. Flags, keys of the file,
//! variables of the environment, `--help`, suggestions, the output of `check-config` and `docs/CONFIGURATION.md` come
//! from it.

use super::edge::LISTEN_DEFAULT;
use super::kind::{Column, Field, Kind};
use super::{DriverChoice, LogFormat, LogLevel};
use crate::command::Compression;
use crate::limits::{JOIN_EVERY_MAX, MESSAGE_LEN_BOUND, SHARDS_MAX, TOPICS_PER_CONNECTION_BOUND};
use crate::wire::ws::extension::WINDOW_BITS_MIN;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the environment, in lower case, and as a flag, with dashes. Unique.
    pub name: &'static str,
    /// The table of the file that it stands in.
    pub section: Section,
    /// Its type and bounds, and its field in [`super::Config`].
    pub kind: Kind,
    /// Its default.
    pub default: Without,
    /// Whether it may change while the gateway runs.
    pub change: Change,
    /// The name of its value in `--help`.
    pub value_name: &'static str,
    /// Its heading in `--help`.
    pub heading: Heading,
    /// Its description, in one line.
    pub help: &'static str,
    /// Further text for the page.
    pub note: &'static str,
}

/// A table of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Before any table.
    Top,
    /// `[auth]`.
    Auth,
    /// `[tls]`, whose keys begin with `tls_` elsewhere.
    Tls,
    /// `[proxy]`, whose keys begin with `proxy_` elsewhere.
    Proxy,
    /// `[limits]`.
    Limits,
}

/// A heading of `--help` and of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heading {
    /// Keys without a heading of their own.
    General,
    /// Certificates and proxies.
    Edge,
    /// Compression.
    Compression,
    /// Limits.
    Limits,
}

/// The default of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// A value.
    Is(&'static str),
    /// A sentence: no value expresses it.
    Said(&'static str),
    /// No default, or one that needs no words.
    Nothing,
}

/// Whether a key may change while the gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// With the next SIGHUP.
    Live,
    /// With the next start.
    Restart,
}

impl Section {
    /// Every table.
    pub const ALL: [Self; 5] = [Self::Top, Self::Auth, Self::Limits, Self::Tls, Self::Proxy];

    /// The table's name; empty before any table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Auth => "auth",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Limits => "limits",
        }
    }

    /// The prefix of the table's keys outside of the table.
    fn prefix(self) -> &'static str {
        match self {
            Self::Tls => "tls_",
            Self::Proxy => "proxy_",
            Self::Top | Self::Auth | Self::Limits => "",
        }
    }
}

impl Heading {
    /// Every heading.
    pub const ALL: [Self; 4] = [Self::General, Self::Edge, Self::Compression, Self::Limits];

    /// The heading in `--help` and on the page.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::General => "General",
            Self::Edge => "TLS and proxies",
            Self::Compression => "Compression",
            Self::Limits => "Limits",
        }
    }
}

impl Key {
    /// Its name in its table of the file.
    #[must_use]
    pub fn name_in_file(&self) -> &'static str {
        self.name.strip_prefix(self.section.prefix()).unwrap_or(self.name)
    }

    /// The name of its flag.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// The name of its variable in the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_ascii_uppercase())
    }
}

/// The prefix of all variables of the configuration.
pub(super) const VARIABLE_PREFIX: &str = "FANWIRE_";

/// The key with a name as used in variables and flags.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key with a name as used in a table of the file.
pub(super) fn find_in(section: Section, name: &str) -> Option<&'static Key> {
    keys_of(section).find(|key| key.name_in_file() == name)
}

/// The keys of a table of the file.
pub(super) fn keys_of(section: Section) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

/// A field of the configuration by its path: a number (a test checks that each bound fits its field), a word's place
/// among its words, or a plain value.
macro_rules! field {
    ($($path:ident).+ as $number:ty) => {
        Field { set: |config, value| config.$($path).+ = value as $number, get: |config| config.$($path).+ as u64 }
    };
    ($($path:ident).+ of $words:ty) => {
        Field { set: |config, place| config.$($path).+ = <$words>::ALL[place], get: |config| config.$($path).+ as usize }
    };
    ($($path:ident).+) => {
        Field { set: |config, value| config.$($path).+ = value, get: |config| config.$($path).+ }
    };
}

/// The shortest time from one snapshot to the next, in milliseconds.
const SNAPSHOT_INTERVAL_MS_MIN: u64 = 10;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const GIB: u64 = 1024 * 1024 * 1024;

/// The fields that most keys of a heading share.
const GENERAL: Key = Key {
    name: "",
    section: Section::Top,
    kind: Kind::Tables(&[]),
    default: Without::Nothing,
    change: Change::Restart,
    value_name: "",
    heading: Heading::General,
    help: "",
    note: "",
};
const TLS: Key =
    Key { section: Section::Tls, heading: Heading::Edge, change: Change::Live, value_name: "FILE", ..GENERAL };
const PROXY: Key = Key { section: Section::Proxy, heading: Heading::Edge, ..GENERAL };
const COMPRESSION: Key = Key { heading: Heading::Compression, change: Change::Live, value_name: "N", ..GENERAL };
const COUNT: Key =
    Key { section: Section::Limits, heading: Heading::Limits, change: Change::Live, value_name: "N", ..GENERAL };
const SIZE: Key = Key { value_name: "SIZE", ..COUNT };
const TIME: Key = Key { value_name: "TIME", ..COUNT };

use Change::{Live, Restart};
use Without::{Is, Said};

/// Every key, in the order in which `--help` and the page show them.
#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    Key { name: "listen", kind: Kind::List("addresses"), default: Is(LISTEN_DEFAULT), value_name: "ADDR:PORT", ..GENERAL
    }.says("Address to listen on; repeat for more",
        "Literal addresses with a port, or `localhost:PORT` (IPv4). Port 0 takes a free one. `http://ADDR` is without TLS, `https://ADDR` with TLS; an address alone uses TLS if there is a certificate. `unix:/path` is a Unix-domain socket. At most 64 addresses"),
    Key { name: "listeners", kind: Kind::Tables(LISTENER_COLUMNS), value_name: "LISTENER", ..GENERAL
    }.says("Listener with a role, such as \"0.0.0.0:8080 role=readers\" (or publishers; tls=yes or no); repeat for more, in addition to --listen",
        "See [listeners](OPERATING.md#listeners)"),
    Key { name: "server_names", kind: Kind::List("names"), default: Said("on loopback the names of this machine, elsewhere all"), change: Live, value_name: "NAME", ..GENERAL
    }.says("Host name that the gateway answers to, * for all; repeat for more",
        "Without a port, such as `[\"push.example.com\"]`; see [security](OPERATING.md#security)"),
    Key { name: "tls_cert", kind: Kind::Text("a file"), ..TLS
    }.says("Certificate with its chain, in PEM; an address alone in --listen then uses TLS",
        "The files may change while the gateway runs; adding or removing TLS needs a restart. See [deployment](DEPLOY.md)"),
    Key { name: "tls_key", kind: Kind::Text("a file"), ..TLS
    }.says("Private key of the certificate, in PEM", ""),
    Key { name: "tls_certificates", kind: Kind::List("pairs of files"), value_name: "CERT,KEY", ..TLS
    }.says("Further certificates, for other host names; repeat for more",
        "In the file `[[tls.certificates]]` with `cert` and `key`"),
    Key { name: "tls_client_ca", kind: Kind::Text("a file"), ..TLS
    }.says("Certificate authority, in PEM, for the certificates of clients", ""),
    Key { name: "tls_client_auth", kind: Kind::Text("`required`, `optional`"), default: Is("required"), value_name: "HOW", ..TLS
    }.says("Whether clients need a certificate: required or optional", ""),
    Key { name: "proxy_trusted", kind: Kind::List("networks"), value_name: "NETWORK", ..PROXY
    }.says("Network of proxies that may name a client's address, such as 10.0.0.0/8 or unix:; repeat for more",
        "`unix:` stands for connections over a Unix-domain socket"),
    Key { name: "proxy_protocol", kind: Kind::Text("`v1v2`, `off`"), default: Is("off"), value_name: "VERSIONS", ..PROXY
    }.says("Whether connections of the proxies begin with a PROXY header: v1v2 or off", ""),
    Key { name: "shards", kind: Kind::Number(1, SHARDS_MAX as u64, field!(shards as usize)), default: Said("one a core"), value_name: "N", ..GENERAL
    }.says("Number of shards, one thread each", ""),
    Key { name: "driver", kind: Kind::Word(&["auto", "epoll", "uring"], field!(driver of DriverChoice)), default: Is("auto"), value_name: "NAME", ..GENERAL
    }.says("Kernel interface: auto (epoll), epoll or uring",
        "See [io_uring](OPERATING.md#io_uring)"),
    Key { name: "insecure", kind: Kind::Bool(field!(insecure)), default: Is("false"), value_name: "BOOL", ..GENERAL
    }.says("Listen beyond loopback, although every client that reaches the gateway may publish",
        "See [security](OPERATING.md#security)"),
    Key { name: "log", kind: Kind::Word(&["error", "warn", "info", "debug"], field!(log of LogLevel)), default: Is("warn"), change: Live, value_name: "LEVEL", ..GENERAL
    }.says("Log to standard error: error, warn, info or debug",
        "See [logs](OPERATING.md#logs)"),
    Key { name: "log_format", kind: Kind::Word(&["text", "json"], field!(log_format of LogFormat)), default: Is("text"), value_name: "FORMAT", ..GENERAL
    }.says("Format of the log's lines: text or json",
        "`json` is one object a line"),
    Key { name: "log_peers", kind: Kind::Bool(field!(log_peers)), default: Is("false"), value_name: "BOOL", ..GENERAL
    }.says("Log the addresses of peers",
        "In lines about their connections. Off, the log names no client"),
    Key { name: "seed", kind: Kind::Text("a number, decimal or `0x`"), default: Said("random"), value_name: "NUMBER", ..GENERAL
    }.says("Seed of all randomness, for repeatable tests",
        "Never in production: with a known seed the keyed hash is no protection"),
    Key { name: "allowed_origins", section: Section::Auth, kind: Kind::List("origins"), default: Said("on loopback those of this machine, elsewhere all"), change: Live, value_name: "ORIGIN", ..GENERAL
    }.says("Web origin whose pages may use the gateway, * for all; repeat for more",
        "Such as `[\"https://example.com\"]`; see [pages and origins](PROTOCOL.md#pages-and-origins)"),
    Key { name: "snapshot", kind: Kind::Text("a file"), value_name: "FILE", ..GENERAL
    }.says("File for topics: read at the start, written at an interval and at the end",
        "See [snapshots](OPERATING.md#snapshots)"),
    Key { name: "snapshot_interval", kind: Kind::Time(SNAPSHOT_INTERVAL_MS_MIN, DAY_MS, field!(snapshot_interval_ms as u64)), default: Is("30s"), value_name: "TIME", ..GENERAL
    }.says("Time between two snapshots",
        "From the end of one to the beginning of the next"),
    Key { name: "sockjs", kind: Kind::Tables(SOCKJS_COLUMNS), value_name: "SERVICE", ..GENERAL
    }.says("SockJS service, such as \"/sockjs dialect=json\"; repeat for more",
        "See [SockJS](PROTOCOL.md#sockjs)"),
    Key { name: "topics", kind: Kind::Tables(TOPIC_COLUMNS), change: Live, value_name: "RULE", ..GENERAL
    }.says("Topic rule, such as \"px.> last=false\"; repeat for more, the first match wins; replaces the rules of the file",
        "See [topic rules](OPERATING.md#topic-rules)"),
    Key { name: "compression", kind: Kind::Word(&["off", "message", "shared"], field!(compression.default of Compression)), default: Is("message"), value_name: "MODE", ..COMPRESSION
    }.says("Compression for readers that offer it: off, message (each message alone) or shared (one stream a topic)",
        "Topic rules override it. With `off` and no rule with compression the gateway accepts no offer. A connection keeps its agreement. See [compression](PROTOCOL.md#compression)"),
    Key { name: "compression_threshold", kind: Kind::Size(0, MESSAGE_LEN_BOUND as u64, field!(compression.threshold as u32)), default: Is("256"), value_name: "SIZE", ..COMPRESSION
    }.says("Shortest payload that mode message compresses", ""),
    Key { name: "compression_level", kind: Kind::Number(1, 9, field!(compression.level as u8)), default: Is("1"), ..COMPRESSION
    }.says("Level, from 1 (fast) to 9 (small)",
        "In mode `message`, 4 costs three times as much as 1 and saves a fifth more ([measured](BENCHMARKS.md#compression)). Shared streams are compressed once for all readers and use at least 4"),
    Key { name: "compression_window", kind: Kind::Number(WINDOW_BITS_MIN as u64, 15, field!(compression.stream_window_bits as u8)), default: Is("12"), change: Restart, value_name: "BITS", ..COMPRESSION
    }.says("Window of shared streams in bits, 9 to 15",
        "Memory of each stream: 4 KiB for 12 bits"),
    Key { name: "compression_join_every", kind: Kind::Number(1, JOIN_EVERY_MAX as u64, field!(compression.join_every as u32)), default: Is("20"), ..COMPRESSION
    }.says("Messages between two points where new readers can join a shared stream",
        "100 saves a tenth more, but new readers get uncompressed messages for longer"),
    Key { name: "connections_max", kind: Kind::Count(1, 100_000_000, field!(limits.connections_max as u32)), default: Is("1000000"), change: Restart, ..COUNT
    }.says("Live connections in the process",
        "Above it the answer is [503](OPERATING.md#more-clients-than-fit). The limit of open files may lower it. Every shard reserves address space for all of them at the start (two shards: 350 MB virtual, 4 MB resident), and uses memory as connections come"),
    Key { name: "connections_per_ip_max", kind: Kind::Count(0, 100_000_000, field!(limits.connections_per_ip_max as u32)), default: Is("0"), ..COUNT
    }.says("Live connections from one address, 0 for no limit",
        "For IPv6, from one /64 network. Above it the answer is 429. Behind a [trusted proxy](DEPLOY.md#behind-a-proxy) WebSockets, `/sse`, `/stream` and waiting `/poll` requests count for the address of the client. The gateway then keeps a table of addresses. Connections from a time without the limit do not count"),
    Key { name: "topics_per_connection_max", kind: Kind::Count(1, TOPICS_PER_CONNECTION_BOUND as u64, field!(limits.topics_per_connection_max as u32)), default: Is("1024"), ..COUNT
    }.says("Topics and patterns that one connection may subscribe to", ""),
    Key { name: "topics_max", kind: Kind::Count(1, 1_000_000_000, field!(limits.topics_max as u32)), default: Is("4000000"), ..COUNT
    }.says("Topics in the process",
        "Above it new topics are refused with `overloaded`. A topic without publications goes with its last reader; others stay until the process ends, unless a rule sets `topic_ttl`"),
    Key { name: "message_len_max", kind: Kind::Size(1, MESSAGE_LEN_BOUND as u64, field!(limits.message_len_max as u32)), default: Is("1MiB"), ..SIZE
    }.says("Payload of one message",
        "A longer message gets close code 1009 or status 413. An unfinished message takes memory only for the bytes that arrived"),
    Key { name: "outbox_len_max", kind: Kind::Size(1024, GIB, field!(limits.outbox_len_max as u32)), default: Is("1MiB"), ..SIZE
    }.says("Bytes that may wait for one reader; with more it is disconnected",
        "The close code is 1013. Readers of the same message share its bytes; each waiting piece costs 16 bytes more. After a lower value is loaded, a reader with more waiting bytes is disconnected at the next message"),
    Key { name: "reader_bandwidth_max", kind: Kind::Size(0, GIB, field!(limits.reader_bandwidth_max as u32)), default: Is("0"), ..SIZE
    }.says("Bytes a second for one reader, 0 for no limit",
        "Over WebSocket, `/sse` and `/stream`. Not over `/poll`: each answer has [about 1 MiB](PROTOCOL.md#get-poll) at most, and a proxy can limit the rate of requests"),
    Key { name: "retained_len_max", kind: Kind::Size(0, 1024 * GIB, field!(limits.retained_len_max as u64)), default: Is("1GiB"), ..SIZE
    }.says("Memory of all last values and histories",
        "About 200 bytes a message and its payload. Above it the largest history among 64 topics is halved. If none of them has a history, the newest message is delivered, but not kept"),
    Key { name: "memory_len_max", kind: Kind::Size(0, 1024 * GIB, field!(limits.memory_len_max as u64)), default: Said("a quarter of the memory, at least 64 MiB"), ..SIZE
    }.says("Memory of histories, outboxes and unfinished messages, 0 for no limit",
        "The memory is that of the machine or of the control group, if that has less. [Lags](PROTOCOL.md#slow-readers) and message ids count too; see [too much memory](OPERATING.md#too-much-memory)"),
    Key { name: "message_id_ttl", kind: Kind::Time(0, DAY_MS, field!(limits.message_id_ttl_ms as u64)), default: Is("5m"), ..TIME
    }.says("Time for which a message id is remembered to detect repeats, 0s for never",
        "Each [id](PROTOCOL.md#said-once-fanwire-id) takes about 100 bytes and its own length; all of them at most 64 MiB a shard. A new value holds for new ids"),
    Key { name: "handshake_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.handshake_timeout_ms as u64)), default: Is("10s"), ..TIME
    }.says("Time for a whole opening handshake or request head", ""),
    Key { name: "body_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.body_timeout_ms as u64)), default: Is("30s"), ..TIME
    }.says("Time for a whole request body", "Also for a whole WebSocket message, and for a peer that reads nothing of an answer"),
    Key { name: "http_idle_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.http_idle_timeout_ms as u64)), default: Is("75s"), ..TIME
    }.says("Time between two requests on one connection", ""),
    Key { name: "ping_interval", kind: Kind::Time(1, DAY_MS, field!(limits.ping_interval_ms as u64)), default: Is("30s"), ..TIME
    }.says("Time from the last bytes of a client to a ping",
        "Shortened by up to a tenth, at random. The kernel gives up a peer that acknowledges nothing for `ping_interval` and `ping_timeout` together, with their values at the start"),
    Key { name: "ping_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.ping_timeout_ms as u64)), default: Is("10s"), ..TIME
    }.says("Time from a ping to the close of a silent connection", ""),
    Key { name: "close_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.close_timeout_ms as u64)), default: Is("2s"), ..TIME
    }.says("Time for the closing handshake and the messages queued before it", ""),
    Key { name: "drain_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.drain_timeout_ms as u64)), default: Is("10s"), ..TIME
    }.says("Time for the whole shutdown", ""),
];

impl Key {
    const fn says(self, help: &'static str, note: &'static str) -> Self {
        Self { help, note, ..self }
    }
}

const fn column(name: &'static str, values: &'static str, default: &'static str, help: &'static str) -> Column {
    Column { name, values, default, help }
}

/// Keys of `[[listeners]]`.
#[rustfmt::skip]
pub(super) static LISTENER_COLUMNS: &[Column] = &[
    column("address", "an address", "required", "as in `listen`"),
    column("role", "`readers`, `publishers`, `all`", "`all`", "which clients it is for"),
    column("tls", "true or false", "true where there is a certificate", "whether it uses TLS"),
];

/// Keys of `[[sockjs]]`.
#[rustfmt::skip]
pub(super) static SOCKJS_COLUMNS: &[Column] = &[
    column("base", "a path", "required", "the path that clients connect to, such as `/sockjs`"),
    column("dialect", "`json`, `raw`, `echo`", "`json`", "the messages: as on `/ws`, the bare feed of the topic in `BASE/TOPIC`, or an echo"),
    column("websocket", "true or false", "`true`", "whether clients may use WebSocket"),
    column("response_len_max", "1 byte to 1 GiB", "`\"128KiB\"`", "bytes of messages after which a streaming response ends and the client sends a new request"),
];

/// Keys of `[[topics]]`.
#[rustfmt::skip]
pub(super) static TOPIC_COLUMNS: &[Column] = &[
    column("match", "a topic or pattern", "required", "the topics of the rule"),
    column("last", "true or false", "`true`", "keep the last value"),
    column("mode", "`queue`, `drop_oldest`, `latest`", "`\"queue\"`", "the mode of readers that are [behind](PROTOCOL.md#slow-readers) and asked for none"),
    column("max_rate", "0, or 0.001 to 1,000,000", "`0`", "messages a second of one such topic for one reader; [the newest wins](PROTOCOL.md#rates-ages-and-bandwidth); 0 for all"),
    column("max_age", "a duration up to a day", "`\"0s\"`", "the greatest age of a message for a reader that is behind; 0 for any age"),
    column("history", "0 to 1,000,000", "`0`", "messages kept for readers that come back"),
    column("history_ttl", "a duration", "`\"0s\"`", "how long each message is kept; 0 for as long as there is room. It is never delivered after that, and its memory is freed within a second, even if nothing more is published; within 16 s if a million topics are due at once"),
    column("history_len_max", "a size", "`\"16MiB\"`", "memory for the history of one topic; the oldest messages go first"),
    column("topic_ttl", "a duration", "`\"0s\"`", "how long a topic stays without readers and without a publication; then it [ends](PROTOCOL.md#topics-end). 0 for ever"),
    column("compression", "`off`, `message`, `shared`", "that of the top level", "how its messages are compressed"),
    column("publish", "true or false", "`true`", "`false`: only [listeners](OPERATING.md#listeners) for publishers take messages for it"),
];
