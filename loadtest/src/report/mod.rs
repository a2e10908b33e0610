//! The report of a run: one object, as JSON, as text for a terminal and as a page with charts.
//!
//! Fields keep their names and units from release to release; the ones at the top are those that `compare` and scripts
//! read. What this room must never know: how the figures came about. Tests: beside the code.

pub mod html;
pub mod svg;
pub mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::latency::Percentiles;
use crate::protocol::Failures;

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// `hold`, `million`, `fanout`, `echo`, `connect`, `storm`, `stall` or `ramp`.
    pub scenario: String,
    /// The name of this run, or that of the preset.
    pub label: String,
    /// The program and its version.
    pub tool: String,
    /// The words of the command line.
    pub command: Vec<String>,
    /// Where the server is.
    pub url: String,
    /// The preset.
    pub preset: String,
    /// When it began, in Unix milliseconds.
    pub began_unix_ms: u64,
    /// The server's program and version, if it says so at /metrics and --pid says that it is on this host.
    pub server: Option<String>,
    /// The kernel's release.
    pub kernel: String,
    /// The processor of the client's host.
    pub processor: String,
    /// Bytes of memory of the client's host.
    pub memory_len: Option<u64>,
    /// Cores that the client may run on.
    pub client_cores: u32,
    /// The options.
    pub settings: Settings,

    /// CPU of the server's processes over the messages that readers received, in nanoseconds.
    pub server_cpu_ns_per_delivery: Option<f64>,
    /// CPU of the server's processes over the opening handshakes that succeeded, in nanoseconds.
    pub server_cpu_ns_per_handshake: Option<f64>,
    /// From the intended send time to the delivery, in microseconds.
    pub p50_us: Option<f64>,
    /// The same.
    pub p90_us: Option<f64>,
    /// The same.
    pub p99_us: Option<f64>,
    /// The same.
    pub p999_us: Option<f64>,
    /// The longest.
    pub max_us: Option<f64>,
    /// Messages that readers received while it was measured.
    pub deliveries: u64,
    /// The same, a second.
    pub deliveries_per_second: Option<f64>,
    /// Received over expected.
    pub reach: Option<f64>,
    /// Slope of the PSS of the server's processes over the connection count; unknown where it did not grow.
    pub bytes_per_connection_user: Option<f64>,
    /// Slope of the kernel's slab over the connection count, with both ends of a loopback pair.
    pub bytes_per_connection_kernel: Option<f64>,
    /// Messages that a reader got right after themselves; unknown where a topic has several publishers.
    pub duplicates: Option<u64>,
    /// Messages that a reader got after a later one of its topic; unknown where a topic has several publishers.
    pub out_of_order: Option<u64>,
    /// Messages that one reader got per read, on average.
    pub regime_messages_per_turn: Option<f64>,
    /// CPU of the busiest client process over the wall time.
    pub client_cpu_share: Option<f64>,
    /// Failures, by kind.
    pub errors: Failures,
    /// Whether nothing did, and enough arrived.
    pub is_ok: bool,
    /// Whether it was ended before its time.
    pub is_interrupted: bool,
    /// Cautions for the reader of the figures.
    pub warnings: Vec<String>,

    /// Opening the connections.
    pub connections: Option<Connections>,
    /// The rounds that were measured, in order.
    pub rounds: Vec<RoundReport>,
    /// The memory of connections.
    pub memory: Option<Memory>,
    /// The figures of a storm.
    pub storm: Option<Storm>,
    /// The figures of stalled readers.
    pub stall: Option<Stall>,
    /// Where the knee is.
    pub ramp: Option<Ramp>,
    /// The connections that the server still had when its clients were gone.
    pub left: Option<Left>,
    /// How it went over time.
    pub samples: Vec<Sample>,
}

/// The options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Readers.
    pub connections: u32,
    /// Client processes.
    pub workers: u32,
    pub topics: u32,
    pub publishers: u32,
    /// Bytes of a payload.
    pub size: u32,
    /// Messages a second, or handshakes.
    pub rate: Option<f64>,
    /// Messages in one write of an open loop.
    pub batch: Option<u32>,
    /// Messages in flight in a closed loop.
    pub window: Option<u32>,
    /// Echoes in flight on a connection.
    pub depth: Option<u32>,
    /// Milliseconds of one round.
    pub duration_ms: u64,
    /// The share that drops or stalls.
    pub share: Option<f64>,
}

/// Opening connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connections {
    /// How many there should have been.
    pub asked: u64,
    /// How many there were.
    pub open: u64,
    /// How many came to be in a second.
    pub per_second: f64,
    /// From dialling to ready.
    pub handshake: Option<Percentiles>,
}

/// One measured round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoundReport {
    /// The purpose of the round.
    pub name: String,
    /// Whether messages were sent at their intended times, even if earlier ones were late.
    pub is_open_loop: bool,
    /// Messages a second that were intended.
    pub rate: Option<f64>,
    /// Messages published; echoes or handshakes begun.
    pub published: u64,
    /// Deliveries that these should have led to.
    pub expected: u64,
    pub deliveries: u64,
    /// Of these, messages to readers' own topics.
    pub own: Option<OwnReport>,
    /// Pings that were answered.
    pub pings: u64,
    /// Readers that had one.
    pub pinged: u64,
    /// From the start to the first delivery, in microseconds.
    pub first_us: Option<f64>,
    /// Deliveries to readers that did not count.
    pub deliveries_to_others: u64,
    /// Deliveries a second, from the first to the last.
    pub deliveries_per_second: f64,
    /// Received over expected.
    pub reach: Option<f64>,
    /// From the intended send time to the delivery.
    pub latency: Option<Percentiles>,
    /// The same as a curve: share above, microseconds.
    pub curve: Vec<(f64, f64)>,
    /// How late the client sent.
    pub lateness: Option<Percentiles>,
    /// From dialling to open, in a round of handshakes.
    pub handshake: Option<Percentiles>,
    /// Opening handshakes that succeeded.
    pub handshakes: u64,
    /// Messages that one reader got per read.
    pub messages_per_read: Option<f64>,
    /// Messages that a reader got right after themselves.
    pub duplicates: Option<u64>,
    /// Messages that a reader got after a later one.
    pub out_of_order: Option<u64>,
    /// Windows that were given up.
    pub windows_given_up: u64,
    /// CPU of the server's processes, in nanoseconds.
    pub server_cpu_ns: Option<u64>,
    /// The same over the wall time: 1 is one core.
    pub server_cpu_share: Option<f64>,
    /// CPU of the busiest client process over the wall time.
    pub client_cpu_share: f64,
    /// CPU of all client processes over the wall time: 1 is one core.
    pub client_cpu_cores: f64,
    /// How long client processes waited for a core, over the wall time.
    pub client_waited_share: f64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: f64,
}

/// Messages to readers' own topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnReport {
    /// How many there were.
    pub published: u64,
    /// Those that came to their reader, each counted once.
    pub deliveries: u64,
    /// Messages that came to another reader.
    pub strays: u64,
    /// Those that came again.
    pub duplicates: u64,
    /// From the intended send time to the delivery.
    pub latency: Option<Percentiles>,
}

/// The memory of connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// (connections, bytes of PSS of the server's processes) where it was read.
    pub pss: Vec<(u64, u64)>,
    /// (connections, bytes of slab) where it was read.
    pub slab: Vec<(u64, u64)>,
    /// (connections, bytes of this host's memory that are not available) where it was read.
    pub host: Vec<(u64, u64)>,
    /// Slope of that over the connection count: with the server, both ends of a loopback pair, and the client.
    pub host_bytes_per_connection: Option<f64>,
    /// Open files of the server's processes, with all connections.
    pub open_files: Option<u64>,
    /// The caches that grew most: (name, bytes a connection).
    pub caches: Vec<(String, f64)>,
    /// CPU of the server while nothing happened: 1 is one core.
    pub idle_cpu_share: Option<f64>,
    /// Slope of the PSS of all client processes over the connection count.
    pub client_bytes_per_connection: Option<f64>,
}

/// The figures of a storm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Storm {
    /// Readers that dropped.
    pub dropped: u64,
    /// Readers that came back.
    pub returned: u64,
    /// Attempts that failed on the way, by kind.
    pub refused: Failures,
    /// From the drop to the last reader that came back, in milliseconds.
    pub recovery_ms: Option<f64>,
    /// CPU of the server's processes meanwhile, in nanoseconds.
    pub server_cpu_ns: Option<u64>,
    /// From dialling to ready, of readers that came back.
    pub handshake: Option<Percentiles>,
    /// p99 of the readers that stayed: before, in microseconds.
    pub p99_before_us: Option<f64>,
    /// p99 of the readers that stayed: during the storm, in microseconds.
    pub p99_during_us: Option<f64>,
}

/// The figures of stalled readers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stall {
    /// Readers that did not read.
    pub stalled: u64,
    /// How many of them the server had closed.
    pub closed: u64,
    /// p99 of the rest before, in microseconds.
    pub p99_before_us: Option<f64>,
    /// p99 of the rest meanwhile, in microseconds.
    pub p99_during_us: Option<f64>,
    /// PSS of the server that came on top, in bytes.
    pub pss_growth: Option<i64>,
    /// The same over stalled readers and the messages each missed.
    pub bytes_per_stalled_message: Option<f64>,
}

/// The connections that the server still had when its clients were gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Left {
    /// Connections, but for the one that asks.
    pub connections: u64,
    pub subscriptions: u64,
    /// Topics: those that something was published in stay.
    pub topics: u64,
    /// Bytes held, by class, but for the question itself.
    pub memory: BTreeMap<String, u64>,
    /// Its PSS, in bytes.
    pub pss: Option<u64>,
    /// From the end of the clients until nothing was left, or the wait was given up, in milliseconds.
    pub after_ms: f64,
}

/// Where the knee is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ramp {
    /// The bound on p99, in microseconds.
    pub bound_us: f64,
    /// The highest rate that stayed below, in messages a second.
    pub knee_per_second: Option<f64>,
    /// Deliveries a second at that rate.
    pub knee_deliveries_per_second: Option<f64>,
    /// The lowest rate that did not.
    pub broken_per_second: Option<f64>,
    /// The reason of the failure.
    pub broken_by: Option<String>,
}

impl Left {
    /// Bytes held for connections.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.memory.iter().filter(|(class, _)| !OF_TOPICS.contains(&class.as_str())).map(|(_, bytes)| bytes).sum()
    }

    /// Bytes kept of topics, whose readers may come back.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.memory.values().sum::<u64>() - self.held()
    }
}

/// Classes of memory that outlive connections.
const OF_TOPICS: [&str; 4] = ["topics", "last_values", "history", "message_ids"];

/// How it stood at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// Readers that were open.
    pub open: u64,
    /// Opening handshakes so far.
    pub handshakes: u64,
    /// Deliveries so far.
    pub delivered: u64,
    /// Publications so far.
    pub published: u64,
    /// PSS of the server's processes, in bytes.
    pub server_pss: Option<u64>,
}

impl Report {
    /// Reads one that was written by [`Report::to_json`].
    ///
    /// # Errors
    /// If it is none.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// One object and a line feed.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is data") + "\n"
    }
}

/// The client is what was measured past this share of a core.
pub const CLIENT_SHARE_MAX: f64 = 0.7;
