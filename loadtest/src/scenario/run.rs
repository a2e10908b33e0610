//! The options of every scenario.

use std::net::IpAddr;

use crate::plan::{Dialogue, Preset, Target, Template, Trust};

/// The options of every scenario, validated.
#[derive(Clone, Debug)]
pub struct Run {
    /// The URL as it was typed; of several, the first and how many more.
    pub url: String,
    /// The servers, at least one. They hear the same words.
    pub targets: Vec<Target>,
    /// Which certificates to believe, where connections are secured by TLS.
    pub trust: Option<Trust>,
    /// The preset.
    pub preset: Preset,
    /// The words.
    pub dialogue: Dialogue,
    /// The name of the run.
    pub label: String,
    /// The words of the command line.
    pub command: Vec<String>,
    /// Readers.
    pub connections: u32,
    pub topics: u32,
    /// The name of topic `{n}`.
    pub topic: Template,
    pub publishers: u32,
    /// Bytes of a payload.
    pub payload_len: u32,
    /// The server's processes.
    pub pids: Vec<u32>,
    /// The fewest workers.
    pub workers_min: u32,
    /// The most connections of one worker.
    pub per_worker_max: u32,
    /// Where connections come from; empty leaves it to `plan::deal`.
    pub sources: Vec<IpAddr>,
    /// Opening handshakes in progress at once, of all workers.
    pub concurrency: u32,
    /// New connections a second; 0 is as fast as it goes.
    pub connect_rate: f64,
    /// For one connection to be ready.
    pub handshake_timeout_ms: u64,
    /// Without any progress.
    pub stall_timeout_ms: u64,
    /// Between opening connections and measuring.
    pub settle_ms: u64,
    /// The seed of random numbers.
    pub seed: u64,
    /// The least reach that is no failure.
    pub reach_min: f64,
    /// Without a progress line.
    pub is_quiet: bool,
}
