//! The counts of one round.

use std::cmp::Ordering;

use crate::clock::Clock;
use crate::latency::Latencies;
use crate::measure::process::Cpu;
use crate::pace::Pacer;
use crate::protocol::{Ended, Failures, Own, Round, Traffic};
use crate::stamp::{Stamp, Stamper};

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
    /// Messages to own topics that were published, and those that came.
    pub(super) own_published: u32,
    own: OwnCount,
    /// Pings that were answered, and readers that had one.
    pub(super) pings: u64,
    pub(super) pinged: u64,
    pub(super) handshake: Latencies,
    pub(super) lateness: Latencies,
    latency: Latencies,
    delivered_to_others: u64,
    reads: u64,
    messages: u64,
    windows_given_up: u64,
    duplicates: u64,
    out_of_order: u64,
    first_last_ns: (u64, u64),
    cpu_at_start: Cpu,
}

/// Messages in flight, in a closed loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The number of its first message.
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
            own_published: 0,
            own: OwnCount::default(),
            pings: 0,
            pinged: 0,
            handshake: Latencies::default(),
            lateness: Latencies::default(),
            latency: Latencies::default(),
            delivered_to_others: 0,
            reads: 0,
            messages: 0,
            windows_given_up: 0,
            duplicates: 0,
            out_of_order: 0,
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
        if let Some(window) = self.window.as_mut().filter(|window| window.topic == topic && stamp.seq >= window.seq) {
            window.awaited = window.awaited.saturating_sub(1);
        }
        true
    }

    /// Counts a message to the own topic of the reader with this number, if it is one of this round.
    pub(super) fn deliver_own(&mut self, stamp: Stamp, seq: u32, reader: u32, stamper: &Stamper, now_ns: u64) {
        let Traffic::Own { readers, .. } = self.plan.traffic else { return };
        if stamp.round != self.plan.number {
            return;
        }
        if stamper.owner_of(stamp.round, seq, readers) != reader {
            self.own.strays += 1;
        } else if self.own.is_first(seq) {
            self.delivered += 1;
            self.own.latency.record(now_ns.saturating_sub(stamp.intended_ns));
        } else {
            self.own.duplicates += 1;
        }
    }

    /// The number of the next message of a topic; the first is 1.
    pub(super) fn next_seq(&self, topic: u32) -> u32 {
        self.published.get(topic as usize).map_or(0, |&count| count as u32).wrapping_add(1)
    }

    /// Looks at the number of a message that counts, against the last that its reader got in this round. One after
    /// itself is a duplicate, one after a later one out of order: with the last number alone, it may be both.
    pub(super) fn follow(&mut self, last_seq: &mut u32, seq: u32) {
        match seq.cmp(last_seq) {
            // Echoes have no numbers.
            _ if seq == 0 => {}
            Ordering::Greater => *last_seq = seq,
            Ordering::Equal => self.duplicates += 1,
            Ordering::Less => self.out_of_order += 1,
        }
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

    /// Whether every message that was to be sent by now or later is, or cannot be: `are_open` says of each pacer in turn
    /// whether its publisher has a connection. A publisher that is late has messages to send behind the end of the round,
    /// and they count.
    pub(super) fn has_sent_what_was_due(&self, are_open: impl Iterator<Item = bool>) -> bool {
        let mut waiting = self.pacers.iter().zip(are_open);
        self.is_stopped || !waiting.any(|(pacer, is_open)| is_open && pacer.next_due().is_some())
    }

    /// Ends the pacers, and drops the messages that are still to be sent.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
        self.pacers.iter_mut().for_each(Pacer::stop);
    }

    /// The report to the parent.
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
            duplicates: self.duplicates,
            out_of_order: self.out_of_order,
            own: Own {
                delivered: self.own.latency.count(),
                strays: self.own.strays,
                duplicates: self.own.duplicates,
                latency: self.own.latency.buckets(),
            },
            pings: self.pings,
            pinged: self.pinged,
            failures,
            first_last_ns: self.first_last_ns,
            elapsed_ns: clock.now().saturating_sub(self.plan.start_ns),
            cpu_ns: cpu.ran_ns,
            waited_ns: cpu.waited_ns,
        }
    }
}

/// Messages to own topics.
#[derive(Debug, Default)]
struct OwnCount {
    /// One bit a number that came. Each is for one reader, so that one set does for all of a worker's.
    seen: Vec<u64>,
    strays: u64,
    duplicates: u64,
    latency: Latencies,
}

impl OwnCount {
    /// Whether the message with this number came for the first time. Of numbers that nobody can have got to it is not.
    fn is_first(&mut self, seq: u32) -> bool {
        if seq >= OWN_MESSAGES_MAX {
            return false;
        }
        let (word, bit) = (seq as usize / 64, 1 << (seq % 64));
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let is_first = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        is_first
    }
}

/// Messages to own topics in one round. Memory: a bit each, in every worker.
pub(super) const OWN_MESSAGES_MAX: u32 = 1 << 28;

/// The worker's own CPU.
pub(super) fn own_cpu() -> Cpu {
    Cpu::of(std::process::id()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::by_hand::VirtualClock;
    use crate::clock::{NANOS_PER_MILLI, NANOS_PER_SECOND};
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
        // Of a window that was given up.
        assert!(round.deliver(stamp(2, 4), true, 1, 9));
        assert!(round.deliver(stamp(2, 5), true, 0, 9));
        assert_eq!(round.window.map(|window| window.awaited), Some(2));
        assert!(round.deliver(stamp(2, 5), true, 1, 9));
        assert!(round.deliver(stamp(2, 6), true, 1, 9));
        assert_eq!(round.window.map(|window| window.awaited), Some(0));
        let ended = round.into_ended(&VirtualClock::default(), Failures::default());
        assert_eq!((ended.delivered, ended.delivered_to_others), (4, 1));
    }

    #[test]
    fn a_publisher_that_is_late_has_not_sent_all_before_the_last_message() {
        let traffic = Traffic::Own { per_second: 10.0, readers: 1, broadcast_ms: 0 };
        let plan = Round { number: 1, start_ns: 0, end_ns: NANOS_PER_SECOND, traffic };
        let mut round = RoundState::new(plan, 1);
        round.pacers = vec![Pacer::new(0, NANOS_PER_SECOND, 10.0), Pacer::new(0, NANOS_PER_SECOND, 1.0)];
        let late = 70 * NANOS_PER_SECOND;
        let open = || std::iter::repeat(true);
        for _ in 0..10 {
            assert!(!round.has_sent_what_was_due(open()));
            assert!(round.pacers[0].take_due(late).is_some());
        }
        assert!(!round.has_sent_what_was_due(open()), "one to all is left");
        assert!(round.has_sent_what_was_due(std::iter::repeat(false)), "without a connection nothing can be sent");
        assert!(round.pacers[1].take_due(late).is_some());
        assert!(round.has_sent_what_was_due(open()));
    }

    #[test]
    fn messages_to_own_topics_count_once_and_for_their_owner_alone() {
        let traffic = Traffic::Own { per_second: 1.0, readers: 10, broadcast_ms: 0 };
        let plan = Round { number: 2, start_ns: 0, end_ns: 1, traffic };
        let (mut round, stamper) = (RoundState::new(plan, 1), Stamper::new(9));
        let owner = stamper.owner_of(2, 77, 10);
        let mut deliver = |number, seq, reader| {
            round.deliver_own(Stamp::own(number, seq, 0), seq, reader, &stamper, 9);
        };
        deliver(1, 77, owner);
        deliver(2, 77, owner);
        deliver(2, 77, owner);
        deliver(2, 77, owner + 1);
        deliver(2, OWN_MESSAGES_MAX, stamper.owner_of(2, OWN_MESSAGES_MAX, 10));
        let ended = round.into_ended(&VirtualClock::default(), Failures::default());
        assert_eq!((ended.delivered, ended.own.delivered), (1, 1));
        assert_eq!((ended.own.duplicates, ended.own.strays), (2, 1));
    }

    #[test]
    fn numbers_that_repeat_or_go_back_are_counted_and_gaps_are_not() {
        let plan = Round { number: 1, start_ns: 0, end_ns: 1, traffic: Traffic::Window { len: 1, count: 0 } };
        for (numbers, duplicates, out_of_order) in [
            (&[1, 2, 3][..], 0, 0),
            (&[1, 5, 9], 0, 0),
            (&[1, 1, 2, 2, 2], 3, 0),
            (&[2, 1, 4, 3, 5], 0, 2),
            (&[0, 0], 0, 0),
        ] {
            let (mut round, mut last_seq) = (RoundState::new(plan, 1), 0);
            numbers.iter().for_each(|&seq| round.follow(&mut last_seq, seq));
            let ended = round.into_ended(&VirtualClock::default(), Failures::default());
            assert_eq!((ended.duplicates, ended.out_of_order), (duplicates, out_of_order), "{numbers:?}");
        }
    }
}
