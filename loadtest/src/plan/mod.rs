//! The plan of a run, validated: the servers, the messages to them, and the connections that send them.
//!
//! A plan is made by the parent from flags and travels to its workers as one line of JSON. What this room must never
//! know: sockets and clocks. Tests: beside the code.

pub mod dialogue;
pub mod preset;
pub mod target;
pub mod template;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use dialogue::{Dialogue, Publish, Step, Transport};
pub use fanwire::cli::trust::Trust;
pub use preset::Preset;
pub use target::Target;
pub use template::{Fill, Template};

impl Publish {
    /// Whether a connection serves one topic only.
    #[must_use]
    pub fn is_per_topic(&self) -> bool {
        matches!(self, Self::WebSocket { path, .. } if path.names_topic())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The address that connections go to.
    pub addr: SocketAddr,
    /// For the `Host` field.
    pub host: String,
}

/// The task of one worker process. The run's numbers count over all workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerPlan {
    /// Which of the workers.
    pub index: u32,
    /// The run's number, part of every stamp.
    pub run: u32,
    /// The seed of its random numbers.
    pub seed: u64,
    /// The servers. Reader `n` is at server `n % servers`; what is published goes to every one of them.
    pub servers: Vec<Server>,
    /// The trusted certificates, for connections with TLS.
    pub trust: Option<Trust>,
    /// The messages to them.
    pub dialogue: Dialogue,
    /// Whether this is about echoes: `echo_path` and no subscription.
    pub is_echo: bool,
    /// How many topics there are. Reader `n` follows topic `n % topics`.
    pub topics: u32,
    /// The name of topic `{n}`.
    pub topic: Template,
    /// The name of the topic that reader `{n}` alone follows, where readers have such.
    pub own_topic: Template,
    /// Bytes of a payload.
    pub payload_len: u32,
    /// The numbers of its readers.
    pub readers: Range<u32>,
    /// The numbers of its publishers.
    pub publishers: Range<u32>,
    /// The publishers of all workers.
    pub publishers_count: u32,
    /// Where its connections come from, in turn; empty leaves it to the kernel.
    pub sources: Vec<IpAddr>,
    /// Opening handshakes in progress at once.
    pub concurrency: u32,
    /// For one connection to be ready.
    pub handshake_timeout_ms: u64,
    /// Without any progress.
    pub stall_timeout_ms: u64,
}

impl WorkerPlan {
    /// Which of the servers the reader, or the handshake, with this number is for.
    #[must_use]
    pub fn server_of(&self, number: u32) -> usize {
        number as usize % self.servers.len().max(1)
    }

    /// Connections that a publisher has to each server.
    #[must_use]
    pub fn slots_of_publisher(&self, number: u32) -> usize {
        if self.dialogue.publish.is_per_topic() { self.topics_of_publisher(number).len() } else { 1 }
    }

    #[must_use]
    pub fn topic_of_reader(&self, number: u32) -> u32 {
        number % self.topics.max(1)
    }

    /// The topics of a publisher: those that are its own if there are at least as many as publishers.
    #[must_use]
    pub fn topics_of_publisher(&self, number: u32) -> Vec<u32> {
        let (topics, publishers) = (self.topics.max(1), self.publishers_count.max(1));
        if publishers >= topics {
            return vec![number % topics];
        }
        (number..topics).step_by(publishers as usize).collect()
    }

    #[must_use]
    pub fn topic_name(&self, topic: u32) -> String {
        self.topic.to_text(&Fill { n: topic, topic: "", payload: b"" })
    }
}

/// How connections are dealt out to processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The numbers of one worker's readers.
    pub readers: Range<u32>,
    /// Where they come from.
    pub sources: Vec<IpAddr>,
}

/// Deals `connections` out to the fewest workers that hold at most `per_worker_max` each, or to `workers_min`.
///
/// To a loopback server every worker gets source addresses of its own in 127.0.0.0/8, else those that were `given`, in
/// turn; without any the kernel chooses.
#[must_use]
pub fn deal(connections: u32, per_worker_max: u32, workers_min: u32, to: IpAddr, given: &[IpAddr]) -> Vec<Share> {
    let workers = connections.div_ceil(per_worker_max.max(1)).max(workers_min).clamp(1, WORKERS_MAX);
    let bound = |worker: u32| (u64::from(connections) * u64::from(worker) / u64::from(workers)) as u32;
    (0..workers)
        .map(|worker| Share { readers: bound(worker)..bound(worker + 1), sources: sources_of(worker, to, given) })
        .collect()
}

fn sources_of(worker: u32, to: IpAddr, given: &[IpAddr]) -> Vec<IpAddr> {
    match to {
        _ if !given.is_empty() => given.to_vec(),
        IpAddr::V4(to) if to.is_loopback() => {
            let first = u32::from(Ipv4Addr::new(127, 16, 0, 1)) + worker * SOURCES_PER_WORKER;
            (first..first + SOURCES_PER_WORKER).map(|address| IpAddr::V4(Ipv4Addr::from(address))).collect()
        }
        _ => Vec::new(),
    }
}

/// Worker processes of one run: 1,024 of 19,000 connections each.
pub const WORKERS_MAX: u32 = 1024;

/// Loopback source addresses of one worker: about 28,000 ports each.
pub const SOURCES_PER_WORKER: u32 = 8;

/// Topics of one run. Memory: a count each, in every worker.
pub const TOPICS_MAX: u32 = 1_000_000;

/// Publishers of one run.
pub const PUBLISHERS_MAX: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn connections_are_dealt_out_evenly_without_gaps() {
        for (connections, max, min, workers) in
            [(0, 10, 1, 1), (10, 10, 1, 1), (11, 10, 1, 2), (200_000, 19_000, 1, 11), (5, 10, 3, 3)]
        {
            let shares = deal(connections, max, min, LOOPBACK, &[]);
            assert_eq!(shares.len(), workers);
            let mut next = 0;
            for share in &shares {
                assert_eq!(share.readers.start, next);
                assert!(share.readers.len() as u32 <= max);
                next = share.readers.end;
            }
            assert_eq!(next, connections);
        }
    }

    #[test]
    fn loopback_workers_share_no_source_address() {
        let shares = deal(100_000, 1_000, 1, LOOPBACK, &[]);
        let mut sources: Vec<_> = shares.iter().flat_map(|share| share.sources.clone()).collect();
        let count = sources.len();
        sources.sort_unstable();
        sources.dedup();
        assert_eq!(sources.len(), count);
        assert!(sources.iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn given_source_addresses_are_used_and_elsewhere_the_kernel_chooses() {
        let far: IpAddr = [10, 0, 0, 1].into();
        let given = [[10, 0, 0, 2].into(), [10, 0, 0, 3].into()];
        assert_eq!(deal(1, 1, 1, far, &given)[0].sources, given);
        assert!(deal(1, 1, 1, far, &[])[0].sources.is_empty());
    }

    #[test]
    fn every_topic_has_a_publisher_and_every_publisher_a_topic() {
        let mut plan = crate::plan::preset::tests::worker_plan();
        for (topics, publishers) in [(1, 1), (1, 4), (10, 3), (3, 10), (7, 7)] {
            (plan.topics, plan.publishers_count) = (topics, publishers);
            let mut seen = vec![0; topics as usize];
            for publisher in 0..publishers {
                let topics = plan.topics_of_publisher(publisher);
                assert!(!topics.is_empty());
                topics.iter().for_each(|&topic| seen[topic as usize] += 1);
            }
            assert!(seen.iter().all(|&count| count > 0), "{topics} topics, {publishers} publishers");
        }
    }
}
