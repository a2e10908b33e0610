//! The table of keys: every key of the configuration is one row here, and nowhere else. Flags, the keys of the file, the
//! variables of the environment, `--help`, suggestions, what `check-config` prints and `docs/CONFIGURATION.md` come from it.

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
    /// What its value may be, and where it goes.
    pub kind: Kind,
    /// What holds without it.
    pub default: Without,
    /// Whether it may change while the gateway runs.
    pub change: Change,
    /// What `--help` calls its value.
    pub value_name: &'static str,
    /// The heading of `--help` that it stands under.
    pub heading: Heading,
    /// What it is, in one line.
    pub help: &'static str,
    /// What else the page says of it.
    pub note: &'static str,
}

/// A table of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Before any table.
    Top,
    /// `[auth]`.
    Auth,
    /// `[tls]`, whose keys are `tls_...` elsewhere.
    Tls,
    /// `[proxy]`, likewise.
    Proxy,
    /// `[limits]`.
    Limits,
}

/// A heading of `--help` and of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heading {
    /// What has no other.
    General,
    /// Certificates and proxies.
    Edge,
    /// Compression.
    Compression,
    /// Bounds.
    Limits,
}

/// What holds without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// A value.
    Is(&'static str),
    /// Something that no value says.
    Said(&'static str),
    /// Nothing, or what goes without saying.
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

    /// What keys of the table begin with outside of it.
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

    /// As `--help` and the page show it.
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

    /// As a flag.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// As a variable of the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_ascii_uppercase())
    }
}

/// What the variables of the configuration begin with.
pub(super) const VARIABLE_PREFIX: &str = "FANWIRE_";

/// The key of a name as it is in variables and flags.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key of a table of the file.
pub(super) fn find_in(section: Section, name: &str) -> Option<&'static Key> {
    keys_of(section).find(|key| key.name_in_file() == name)
}

/// The keys of a table of the file.
pub(super) fn keys_of(section: Section) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

/// A field of the configuration by its path: as a number (each bound fits its field, which a test holds), as the place of a
/// word, or as it is.
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

/// What most keys of a heading share.
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
    Key { name: "listen", kind: Kind::List("addresses"), default: Is("127.0.0.1:8080"), value_name: "ADDR:PORT", ..GENERAL
    }.says("Where to listen; again for more addresses",
        "Literal addresses with a port, or `localhost:PORT` (IPv4). Port 0 takes a free one. `http://ADDR` and `https://ADDR` say what is spoken there; a bare one speaks TLS if there is a certificate. `unix:/path` is a socket's file. At most 64"),
    Key { name: "listeners", kind: Kind::Tables(LISTENER_COLUMNS), value_name: "LISTENER", ..GENERAL
    }.says("A listener that is not for all, such as \"0.0.0.0:8080 role=readers\" (or publishers; tls=yes or no); again for more, beside --listen",
        "See [listeners](OPERATING.md#listeners)"),
    Key { name: "server_names", kind: Kind::List("names"), default: Said("where it listens on loopback those of this machine, elsewhere all"), change: Live, value_name: "NAME", ..GENERAL
    }.says("A name that the gateway answers to, * for all; again for more",
        "Without a port, such as `[\"push.example.com\"]`; see [security](OPERATING.md#security)"),
    Key { name: "tls_cert", kind: Kind::Text("a file"), ..TLS
    }.says("The certificate and its chain, in PEM; with it a bare --listen speaks TLS",
        "While running the files may change, but not whether there is a certificate. [How they are used](DEPLOY.md)"),
    Key { name: "tls_key", kind: Kind::Text("a file"), ..TLS
    }.says("Its private key, in PEM", ""),
    Key { name: "tls_certificates", kind: Kind::List("pairs of files"), value_name: "CERT,KEY", ..TLS
    }.says("Further certificates, for other names",
        "In the file `[[tls.certificates]]` with `cert` and `key`"),
    Key { name: "tls_client_ca", kind: Kind::Text("a file"), ..TLS
    }.says("Who signs the certificates that clients have to show", ""),
    Key { name: "tls_client_auth", kind: Kind::Text("`required`, `optional`"), default: Is("required"), value_name: "HOW", ..TLS
    }.says("Whether they have to: required or optional", ""),
    Key { name: "proxy_trusted", kind: Kind::List("networks"), value_name: "NETWORK", ..PROXY
    }.says("Proxies whose word on a client's address is taken, such as 10.0.0.0/8 or unix:",
        "`unix:` is for clients that come in through a file"),
    Key { name: "proxy_protocol", kind: Kind::Text("`v1v2`, `off`"), default: Is("off"), value_name: "VERSIONS", ..PROXY
    }.says("Whether they begin with a PROXY header: v1v2 or off", ""),
    Key { name: "shards", kind: Kind::Number(1, SHARDS_MAX as u64, field!(shards as usize)), default: Said("one a core"), value_name: "N", ..GENERAL
    }.says("Shards, one thread each", ""),
    Key { name: "driver", kind: Kind::Word(&["auto", "epoll", "uring"], field!(driver of DriverChoice)), default: Is("auto"), value_name: "NAME", ..GENERAL
    }.says("Kernel interface: auto (epoll), epoll or uring",
        "[io_uring](OPERATING.md#io_uring) is by choice"),
    Key { name: "insecure", kind: Kind::Bool(field!(insecure)), default: Is("false"), value_name: "BOOL", ..GENERAL
    }.says("Listen beyond loopback although whoever reaches it may publish",
        "See [security](OPERATING.md#security)"),
    Key { name: "log", kind: Kind::Word(&["error", "warn", "info", "debug"], field!(log of LogLevel)), default: Is("warn"), change: Live, value_name: "LEVEL", ..GENERAL
    }.says("Log to standard error: error, warn, info or debug",
        "What each level has is under [logs](OPERATING.md#logs)"),
    Key { name: "log_format", kind: Kind::Word(&["text", "json"], field!(log_format of LogFormat)), default: Is("text"), value_name: "FORMAT", ..GENERAL
    }.says("What its lines look like: text or json",
        "A line for people, or a JSON object"),
    Key { name: "log_peers", kind: Kind::Bool(field!(log_peers)), default: Is("false"), value_name: "BOOL", ..GENERAL
    }.says("Name the addresses of peers in it",
        "In lines about their connections"),
    Key { name: "seed", kind: Kind::Text("a number, decimal or `0x`"), default: Said("random"), value_name: "NUMBER", ..GENERAL
    }.says("Make randomness repeatable, hashing included: for tests",
        "Never in production: it makes the keyed hash known"),
    Key { name: "allowed_origins", section: Section::Auth, kind: Kind::List("origins"), default: Said("all, but only those of this machine where it listens on loopback alone"), change: Live, value_name: "ORIGIN", ..GENERAL
    }.says("A web origin whose pages may use the gateway from a browser, * for all; again for more",
        "Such as `[\"https://example.com\"]`; see [pages and origins](PROTOCOL.md#pages-and-origins)"),
    Key { name: "snapshot", kind: Kind::Text("a file"), value_name: "FILE", ..GENERAL
    }.says("Write topics to this file now and then and at the end, and read it at the start",
        "See [snapshots](OPERATING.md#snapshots)"),
    Key { name: "snapshot_interval", kind: Kind::Time(SNAPSHOT_INTERVAL_MS_MIN, DAY_MS, field!(snapshot_interval_ms as u64)), default: Is("30s"), value_name: "TIME", ..GENERAL
    }.says("From one snapshot to the next",
        "From the end of one to the beginning of the next"),
    Key { name: "sockjs", kind: Kind::Tables(SOCKJS_COLUMNS), value_name: "SERVICE", ..GENERAL
    }.says("A service for clients of SockJS, such as \"/sockjs dialect=json\"; again for more",
        "See [SockJS](PROTOCOL.md#sockjs)"),
    Key { name: "topics", kind: Kind::Tables(TOPIC_COLUMNS), change: Live, value_name: "RULE", ..GENERAL
    }.says("A topic rule, such as \"px.> last=false\"; again for more, the first match wins; replaces those of the file",
        "See [topic rules](OPERATING.md#topic-rules)"),
    Key { name: "compression", kind: Kind::Word(&["off", "message", "shared"], field!(compression.default of Compression)), default: Is("message"), value_name: "MODE", ..COMPRESSION
    }.says("For readers that take it: off, message (each for itself) or shared (one stream a topic)",
        "[How](PROTOCOL.md#compression) messages are compressed for readers that offer it; topic rules may say otherwise. With `off` and no rule nothing is agreed on, in either direction. What a connection agreed on stays"),
    Key { name: "compression_threshold", kind: Kind::Size(0, MESSAGE_LEN_BOUND as u64, field!(compression.threshold as u32)), default: Is("256"), value_name: "SIZE", ..COMPRESSION
    }.says("Payload of the shortest message that is compressed for itself", ""),
    Key { name: "compression_level", kind: Kind::Number(1, 9, field!(compression.level as u8)), default: Is("1"), ..COMPRESSION
    }.says("From 1, fast, to 9, small",
        "For messages that stand for themselves 4 costs three times as much as 1 and saves a fifth more ([measured](BENCHMARKS.md#compression)). Shared streams, which are compressed once for all, have 4 at least"),
    Key { name: "compression_window", kind: Kind::Number(WINDOW_BITS_MIN as u64, 15, field!(compression.stream_window_bits as u8)), default: Is("12"), change: Restart, value_name: "BITS", ..COMPRESSION
    }.says("Window of shared streams in bits, 9 to 15",
        "Each stream keeps so much, 4 KiB for 12 bits"),
    Key { name: "compression_join_every", kind: Kind::Number(1, JOIN_EVERY_MAX as u64, field!(compression.join_every as u32)), default: Is("20"), ..COMPRESSION
    }.says("Messages from one joining point of a shared stream to the next",
        "100 saves a tenth more, and new readers get messages uncompressed for longer"),
    Key { name: "connections_max", kind: Kind::Count(1, 100_000_000, field!(limits.connections_max as u32)), default: Is("1000000"), change: Restart, ..COUNT
    }.says("Live connections in the process",
        "[Past it](OPERATING.md#more-clients-than-fit) 503. In effect is at most what the open files allow. Address space for all of them is reserved in every shard at the start (two shards: 350 MB virtual, 4 MB resident), memory is used as they come"),
    Key { name: "connections_per_ip_max", kind: Kind::Count(0, 100_000_000, field!(limits.connections_per_ip_max as u32)), default: Is("0"), ..COUNT
    }.says("Live connections from one address, 0 for no limit",
        "In IPv6 of one network of 64 bits; past it 429. Behind a proxy that is [trusted](DEPLOY.md#behind-a-proxy) WebSockets, `/sse`, `/stream`, and `/poll` while it waits are counted by their client. Keeps a table of addresses. Connections that came while there was no limit are not counted"),
    Key { name: "topics_per_connection_max", kind: Kind::Count(1, TOPICS_PER_CONNECTION_BOUND as u64, field!(limits.topics_per_connection_max as u32)), default: Is("1024"), ..COUNT
    }.says("Topics and patterns that one connection may follow", ""),
    Key { name: "topics_max", kind: Kind::Count(1, 1_000_000_000, field!(limits.topics_max as u32)), default: Is("4000000"), ..COUNT
    }.says("Topics alive in the process",
        "Past it new ones are refused with `overloaded`. A topic that was ever published to stays until the process ends; one that was only read goes with its last reader"),
    Key { name: "message_len_max", kind: Kind::Size(1, MESSAGE_LEN_BOUND as u64, field!(limits.message_len_max as u32)), default: Is("1MiB"), ..SIZE
    }.says("Payload of one message",
        "Past it 1009 or 413. An unfinished message holds what has come of it"),
    Key { name: "outbox_len_max", kind: Kind::Size(1024, GIB, field!(limits.outbox_len_max as u32)), default: Is("1MiB"), ..SIZE
    }.says("What may wait for one reader before it is disconnected",
        "Past it 1013. The bytes are shared between readers of the same message; a waiting piece costs 16 bytes of its own. Where it is lowered, a reader for which more waits is disconnected by the next message"),
    Key { name: "reader_bandwidth_max", kind: Kind::Size(0, GIB, field!(limits.reader_bandwidth_max as u32)), default: Is("0"), ..SIZE
    }.says("Bytes a second that one reader gets; 0 for no limit",
        "Over WebSocket, `/sse` and `/stream`. `/poll` has none: each answer holds [about 1 MiB](PROTOCOL.md#get-poll) at most, and how often a client polls is a matter of its rate of requests, which a proxy can limit"),
    Key { name: "retained_len_max", kind: Kind::Size(0, 1024 * GIB, field!(limits.retained_len_max as u64)), default: Is("1GiB"), ..SIZE
    }.says("Last values of all topics together",
        "What all last values and histories take, about 200 bytes each beside the payload; past it the largest history among 64 topics is halved, and where there is none the newest message is delivered, but not kept"),
    Key { name: "memory_len_max", kind: Kind::Size(0, 1024 * GIB, field!(limits.memory_len_max as u64)), default: Is("0"), ..SIZE
    }.says("Histories, outboxes and unfinished messages together, 0 for no limit",
        "[Lags](PROTOCOL.md#slow-readers) count too; see [too much memory](OPERATING.md#too-much-memory)"),
    Key { name: "message_id_ttl", kind: Kind::Time(0, DAY_MS, field!(limits.message_id_ttl_ms as u64)), default: Is("5m"), ..TIME
    }.says("How long a repeat is known by its message id, 0s for not at all",
        "About 100 bytes and the [id](PROTOCOL.md#said-once-fanwire-id) itself for each, at most 64 MiB of ids a shard. Ids that are known keep the time that they came with"),
    Key { name: "handshake_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.handshake_timeout_ms as u64)), default: Is("10s"), ..TIME
    }.says("For a whole opening handshake or request head", ""),
    Key { name: "body_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.body_timeout_ms as u64)), default: Is("30s"), ..TIME
    }.says("For a whole request body", "Also for a whole WebSocket message, and for a peer to take something of an answer"),
    Key { name: "http_idle_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.http_idle_timeout_ms as u64)), default: Is("75s"), ..TIME
    }.says("Between two requests on one connection", ""),
    Key { name: "ping_interval", kind: Kind::Time(1, DAY_MS, field!(limits.ping_interval_ms as u64)), default: Is("30s"), ..TIME
    }.says("From the last sign of life to a ping",
        "Up to a tenth less. The kernel gives up peers that acknowledge nothing after the sum of this and `ping_timeout` as they were at the start"),
    Key { name: "ping_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.ping_timeout_ms as u64)), default: Is("10s"), ..TIME
    }.says("From a ping to the close of a silent connection", ""),
    Key { name: "close_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.close_timeout_ms as u64)), default: Is("2s"), ..TIME
    }.says("For the closing handshake and what is queued before it", ""),
    Key { name: "drain_timeout", kind: Kind::Time(1, DAY_MS, field!(limits.drain_timeout_ms as u64)), default: Is("10s"), ..TIME
    }.says("For the whole shutdown", ""),
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
    column("role", "`readers`, `publishers`, `all`", "`all`", "what it is for"),
    column("tls", "true or false", "true where there is a certificate", "whether it speaks TLS"),
];

/// Keys of `[[sockjs]]`.
#[rustfmt::skip]
pub(super) static SOCKJS_COLUMNS: &[Column] = &[
    column("base", "a path", "required", "what clients are made with, such as `/sockjs`"),
    column("dialect", "`json`, `raw`, `echo`", "`json`", "what messages mean: those of `/ws`, the bare feed of the topic in `BASE/TOPIC`, or an echo"),
    column("websocket", "true or false", "`true`", "whether clients may use WebSocket"),
    column("response_len_max", "1 byte to 1 GiB", "`\"128KiB\"`", "bytes of messages after which a streaming response ends and the client asks anew"),
];

/// Keys of `[[topics]]`.
#[rustfmt::skip]
pub(super) static TOPIC_COLUMNS: &[Column] = &[
    column("match", "a topic or pattern", "required", "what the rule is for"),
    column("last", "true or false", "`true`", "keep the last value"),
    column("mode", "`queue`, `drop_oldest`, `latest`", "`\"queue\"`", "what readers get that are [behind](PROTOCOL.md#slow-readers) and did not ask"),
    column("max_rate", "0, or 0.001 to 1,000,000", "`0`", "messages a second that one reader gets of one such topic; [the newest wins](PROTOCOL.md#rates-ages-and-bandwidth); 0 for all"),
    column("max_age", "a duration up to a day", "`\"0s\"`", "how old a message may be that waited for a reader that is behind; 0 for any age"),
    column("history", "0 to 1,000,000", "`0`", "messages kept for those who come back"),
    column("history_ttl", "a duration", "`\"0s\"`", "how long each is kept; 0 for as long as there is room. It is never told after that, and its memory is given back within a second, also in silence; of a million topics that are due at once within 16 s"),
    column("history_len_max", "a size", "`\"16MiB\"`", "bytes kept of one topic, at what they take; the oldest go first"),
    column("topic_ttl", "a duration", "`\"0s\"`", "how long a topic stays in which nothing is said and that nobody reads; then it [ends](PROTOCOL.md#topics-end). 0 for ever"),
    column("compression", "`off`, `message`, `shared`", "that of the top level", "how it is compressed"),
    column("publish", "true or false", "`true`", "`false`: only [listeners](OPERATING.md#listeners) for publishers take messages for it"),
];
