//! The outcome of a round, summed over workers.

use crate::clock::NANOS_PER_MILLI;
use crate::latency::Latencies;
use crate::protocol::Ended;

/// The outcome of a round, of all workers together.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Messages published, or echoes or handshakes begun.
    pub published: u64,
    /// Of these, messages to readers' own topics.
    pub own_published: u64,
    /// Deliveries that the published messages should have led to.
    pub expected: u64,
    /// The sums and histograms of the workers. CPU is the sum, too.
    pub ended: Ended,
    /// From the intended send time to the delivery; not of messages to own topics.
    pub latency: Latencies,
    /// The same of messages to own topics.
    pub own_latency: Latencies,
    /// How late the client sent.
    pub lateness: Latencies,
    /// From dialling to open.
    pub handshake: Latencies,
    /// CPU of the busiest worker over the wall time.
    pub busiest_share: f64,
    /// CPU of the server's processes, if they were given and lived.
    pub server_cpu_ns: Option<u64>,
    /// When it began, on the machine's clock.
    pub start_ns: u64,
    /// From the start to the last thing that happened.
    pub elapsed_ns: u64,
}

impl Outcome {
    /// Adds what one worker counted; one that was lost adds nothing.
    pub(super) fn add(&mut self, ended: Option<Ended>) {
        let Some(ended) = ended else { return };
        self.latency.merge(&ended.latency);
        self.lateness.merge(&ended.lateness);
        self.handshake.merge(&ended.handshake);
        self.busiest_share = self.busiest_share.max(ended.cpu_ns as f64 / ended.elapsed_ns.max(ELAPSED_NS_MIN) as f64);
        let sum = &mut self.ended;
        sum.delivered += ended.delivered;
        sum.delivered_to_others += ended.delivered_to_others;
        sum.reads += ended.reads;
        sum.messages += ended.messages;
        sum.windows_given_up += ended.windows_given_up;
        sum.duplicates += ended.duplicates;
        sum.out_of_order += ended.out_of_order;
        self.own_latency.merge(&ended.own.latency);
        sum.own.delivered += ended.own.delivered;
        sum.own.strays += ended.own.strays;
        sum.own.duplicates += ended.own.duplicates;
        sum.pings += ended.pings;
        sum.pinged += ended.pinged;
        sum.failures.merge(&ended.failures);
        sum.cpu_ns += ended.cpu_ns;
        sum.waited_ns += ended.waited_ns;
        sum.elapsed_ns = sum.elapsed_ns.max(ended.elapsed_ns);
        let (first, last) = ended.first_last_ns;
        if first > 0 {
            let is_first = sum.first_last_ns.0 == 0 || first < sum.first_last_ns.0;
            sum.first_last_ns = (if is_first { first } else { sum.first_last_ns.0 }, sum.first_last_ns.1.max(last));
        }
    }
}

/// The least time that shares of a core are told over: a round that was interrupted before its start has none.
pub const ELAPSED_NS_MIN: u64 = 10 * NANOS_PER_MILLI;
