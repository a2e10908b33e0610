//! What one round counted.

use crate::clock::Clock;
use crate::latency::Latencies;
use crate::measure::process::Cpu;
use crate::pace::Pacer;
use crate::protocol::{Ended, Failures, Round, Traffic};
use crate::stamp::Stamp;

/// A round in progress.
#[derive(Debug)]
pub(super) struct RoundState {
    pub(super) plan: Round,
    /// Whether the parent knows what was published.
    pub(super) is_published: bool,
    /// Nothing more is to be sent.
    pub(super) is_stopped: bool,
    /// By topic; of echoes and handshakes, one sum.
    pub(super) published: Vec<u64>,
    /// One for each publisher; or one for all echoes, or all handshakes.
    pub(super) pacers: Vec<Pacer>,
    pub(super) window: Option<Window>,
    pub(super) windows_sent: u32,
    /// A topic, its readers, and how many readers of all topics were open when they were counted.
    pub(super) readers_of_topic: Option<(u32, u64, u32)>,
    /// Connections that send echoes.
    pub(super) echoers: Vec<usize>,
    pub(super) delivered: u64,
    pub(super) handshake: Latencies,
    pub(super) lateness: Latencies,
    latency: Latencies,
    delivered_to_others: u64,
    reads: u64,
    messages: u64,
    windows_given_up: u64,
    first_last_ns: (u64, u64),
    cpu_at_start: Cpu,
}

/// Messages in flight, in a closed loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) seq: u32,
    pub(super) topic: u32,
    /// Deliveries until the next window.
    pub(super) awaited: u64,
    /// When it is given up.
    pub(super) deadline_ns: u64,
}

impl RoundState {
    pub(super) fn new(plan: Round, topics: u32) -> Self {
        let sums = match plan.traffic {
            Traffic::Echo { .. } | Traffic::Handshakes { .. } => 1,
            _ => topics as usize,
        };
        Self {
            plan,
            is_published: false,
            is_stopped: false,
            published: vec![0; sums],
            pacers: Vec::new(),
            window: None,
            windows_sent: 0,
            readers_of_topic: None,
            echoers: Vec::new(),
            delivered: 0,
            handshake: Latencies::default(),
            lateness: Latencies::default(),
            latency: Latencies::default(),
            delivered_to_others: 0,
            reads: 0,
            messages: 0,
            windows_given_up: 0,
            first_last_ns: (0, 0),
            cpu_at_start: own_cpu(),
        }
    }

    /// Whether something may still be sent.
    pub(super) fn sends_at(&self, now_ns: u64) -> bool {
        !self.is_stopped && (self.plan.start_ns..self.plan.end_ns).contains(&now_ns)
    }

    /// Counts a message of a reader; says whether it is one of this round that counts.
    pub(super) fn deliver(&mut self, stamp: Stamp, is_counted: bool, topic: u32, now_ns: u64) -> bool {
        if stamp.round != self.plan.number {
            return false;
        }
        if !is_counted {
            self.delivered_to_others += 1;
            return false;
        }
        self.delivered += 1;
        self.latency.record(now_ns.saturating_sub(stamp.intended_ns));
        if self.first_last_ns.0 == 0 {
            self.first_last_ns.0 = now_ns;
        }
        self.first_last_ns.1 = now_ns;
        if let Some(window) = self.window.as_mut().filter(|window| (window.seq, window.topic) == (stamp.seq, topic)) {
            window.awaited = window.awaited.saturating_sub(1);
        }
        true
    }

    /// Counts a read with `messages` of this round in it.
    pub(super) fn read(&mut self, messages: u64) {
        if messages > 0 {
            self.reads += 1;
            self.messages += messages;
        }
    }

    /// Gives the window in flight up.
    pub(super) fn give_up_window(&mut self) {
        self.window = None;
        self.windows_given_up += 1;
    }

    /// Ends the pacers, and with them whatever is still to be sent.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
        self.pacers.iter_mut().for_each(Pacer::stop);
    }

    /// What the parent is told.
    pub(super) fn into_ended(self, clock: &impl Clock, failures: Failures) -> Ended {
        let cpu = own_cpu().since(self.cpu_at_start);
        Ended {
            delivered: self.delivered,
            delivered_to_others: self.delivered_to_others,
            latency: self.latency.buckets(),
            lateness: self.lateness.buckets(),
            handshake: self.handshake.buckets(),
            reads: self.reads,
            messages: self.messages,
            windows_given_up: self.windows_given_up,
            failures,
            first_last_ns: self.first_last_ns,
            elapsed_ns: clock.now().saturating_sub(self.plan.start_ns),
            cpu_ns: cpu.ran_ns,
            waited_ns: cpu.waited_ns,
        }
    }
}

/// The worker's own CPU.
pub(super) fn own_cpu() -> Cpu {
    Cpu::of(std::process::id()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{NANOS_PER_MILLI, NANOS_PER_SECOND, VirtualClock};
    use crate::latency::Latencies;

    /// An open loop against a server of one queue, which serves at once but for a second of silence: every message
    /// that was meant to go out meanwhile counts with the time it waited.
    #[test]
    fn a_server_that_freezes_for_a_second_shows_it_in_the_percentiles() {
        let clock = VirtualClock::default();
        let plan = Round {
            number: 1,
            start_ns: 0,
            end_ns: 10 * NANOS_PER_SECOND,
            traffic: Traffic::Rate { per_second: 1000.0, batch: 1 },
        };
        let mut round = RoundState::new(plan, 1);
        let mut pacer = Pacer::new(plan.start_ns, plan.end_ns, 1000.0);
        let freeze = 5 * NANOS_PER_SECOND..6 * NANOS_PER_SECOND;
        while pacer.next_due().is_some() {
            // A frozen server blocks the publisher too: nothing is sent, and nothing must be forgotten.
            if !freeze.contains(&clock.now()) {
                while let Some(intended_ns) = pacer.take_due(clock.now()) {
                    let stamp = Stamp { round: 1, seq: 0, intended_ns };
                    assert!(round.deliver(stamp, true, 0, clock.now()));
                }
            }
            clock.advance(NANOS_PER_MILLI / 10);
        }
        let ended = round.into_ended(&clock, Failures::default());
        assert_eq!(ended.delivered, 10_000);
        let mut latency = Latencies::default();
        latency.merge(&ended.latency);
        let told = latency.percentiles().expect("there were deliveries");
        // 1,000 of 10,000 waited, evenly from 0 to 1 s: one in ten is late, and one in a hundred by 0.9 s.
        assert!(told.p50_us < 1_000.0, "{told:?}");
        assert!((890_000.0..910_000.0).contains(&told.p99_us), "{told:?}");
        assert!((990_000.0..1_010_000.0).contains(&told.max_us), "{told:?}");
    }

    #[test]
    fn messages_of_another_round_do_not_count_and_those_who_came_back_count_apart() {
        let plan = Round { number: 2, start_ns: 0, end_ns: 1, traffic: Traffic::Window { len: 1, count: 0 } };
        let mut round = RoundState::new(plan, 2);
        round.window = Some(Window { seq: 5, topic: 1, awaited: 2, deadline_ns: 9 });
        let stamp = |round, seq| Stamp { round, seq, intended_ns: 0 };
        assert!(!round.deliver(stamp(1, 5), true, 1, 9));
        assert!(!round.deliver(stamp(2, 5), false, 1, 9));
        assert!(round.deliver(stamp(2, 4), true, 1, 9));
        assert!(round.deliver(stamp(2, 5), true, 0, 9));
        assert_eq!(round.window.map(|window| window.awaited), Some(2));
        assert!(round.deliver(stamp(2, 5), true, 1, 9));
        assert_eq!(round.window.map(|window| window.awaited), Some(1));
        let ended = round.into_ended(&VirtualClock::default(), Failures::default());
        assert_eq!((ended.delivered, ended.delivered_to_others), (3, 1));
    }
}
