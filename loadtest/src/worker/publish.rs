//! Sending what a round asks for, at the times that it intends.

use fanwire::wire::ws::{Opcode, encode_client_frame};

use super::commands;
use super::conn::{Conn, HELD_LEN_MAX, Kind, Phase, Who};
use super::outlet::{Link, Outlet};
use super::round::{OWN_MESSAGES_MAX, RoundState, Window};
use super::state::Worker;
use crate::clock::{Clock, NANOS_PER_MILLI, NANOS_PER_SECOND};
use crate::pace::Pacer;
use crate::plan::{Fill, Publish, Server};
use crate::protocol::{Event, Traffic};
use crate::stamp::Stamp;
use crate::wire::http::{self, Answers};

impl Worker {
    pub(super) fn set_outlet(&mut self, who: Who, key: Option<usize>) {
        let index = who.number.saturating_sub(self.plan.publishers.start) as usize;
        let Some(outlet) = self.outlets.get_mut(index) else { return };
        if let Some(link) = outlet.links.get_mut(who.slot as usize) {
            *link = Link { key, answers: Answers::default() };
        }
    }

    /// Sets the pacers of a round up that has its time.
    pub(super) fn begin_publishing(&mut self, round: &mut RoundState) {
        let plan = round.plan;
        match plan.traffic {
            Traffic::Rate { per_second, batch } => {
                let writes = per_second / f64::from(batch.max(1)) / f64::from(self.plan.publishers_count.max(1));
                let apart_ns = NANOS_PER_SECOND as f64 / (writes * f64::from(self.plan.publishers_count.max(1)));
                round.pacers = self
                    .plan
                    .publishers
                    .clone()
                    .map(|number| {
                        Pacer::new(plan.start_ns + (f64::from(number) * apart_ns) as u64, plan.end_ns, writes)
                    })
                    .collect();
            }
            Traffic::Own { per_second, broadcast_ms, .. } if !self.outlets.is_empty() => {
                let apart_ns = if broadcast_ms == 0 { u64::MAX } else { broadcast_ms * NANOS_PER_MILLI };
                round.pacers = vec![
                    Pacer::new(plan.start_ns, plan.end_ns, per_second),
                    Pacer::new(
                        plan.start_ns.saturating_add(apart_ns),
                        plan.end_ns,
                        NANOS_PER_SECOND as f64 / apart_ns as f64,
                    ),
                ];
            }
            Traffic::Echo { per_second, .. } if per_second > 0.0 => {
                round.pacers = vec![Pacer::new(plan.start_ns, plan.end_ns, per_second)];
            }
            Traffic::Handshakes { per_second } => {
                if per_second > 0.0 {
                    round.pacers = vec![Pacer::new(plan.start_ns, plan.end_ns, per_second)];
                }
                self.dialler.churn();
            }
            Traffic::Silence | Traffic::Window { .. } | Traffic::Echo { .. } | Traffic::Own { .. } => {}
        }
    }

    /// When there is something to publish, or the round's sending is over.
    pub(super) fn next_publication(&self) -> Option<u64> {
        let round = self.round.as_ref().filter(|round| !round.is_published)?;
        if round.is_stopped {
            return Some(round.window.map_or(0, |window| window.deadline_ns));
        }
        let now = self.clock.now();
        let is_paced = matches!(round.plan.traffic, Traffic::Rate { .. } | Traffic::Own { .. });
        let begins_or_ends = match now {
            now if now < round.plan.start_ns => Some(round.plan.start_ns),
            // Behind the end it is over with the last message that was due.
            now if is_paced && now >= round.plan.end_ns => None,
            _ => Some(round.plan.end_ns),
        };
        let paced = match round.plan.traffic {
            // A publisher that is blocked goes on when its socket takes bytes again.
            Traffic::Rate { .. } => {
                let free = round.pacers.iter().zip(&self.outlets).filter(|(_, outlet)| !self.is_blocked(outlet));
                free.filter_map(|(pacer, _)| pacer.next_due()).min()
            }
            Traffic::Echo { .. } => round.pacers.first().and_then(Pacer::next_due),
            Traffic::Own { .. } => {
                let is_free = self.outlets.first().is_some_and(|outlet| !self.is_blocked(outlet));
                round.pacers.iter().filter(|_| is_free).filter_map(Pacer::next_due).min()
            }
            Traffic::Window { .. } => round.window.map(|window| window.deadline_ns),
            Traffic::Silence | Traffic::Handshakes { .. } => None,
        };
        [paced, begins_or_ends].into_iter().flatten().min()
    }

    fn is_blocked(&self, outlet: &Outlet) -> bool {
        let held = |key| self.conns.get(key).and_then(|conn: &Conn| conn.held.as_ref());
        outlet.keys().any(|(_, key)| held(key).is_some_and(|held| held.len() > HELD_LEN_MAX))
    }

    /// Sends what is due.
    pub(super) fn publish(&mut self, now: u64) {
        // The last report to the parent is final: nothing is sent after it.
        let Some(mut round) = self.round.take_if(|round| !round.is_published) else { return };
        match round.plan.traffic {
            Traffic::Rate { batch, .. } => self.publish_at_rate(&mut round, now, batch),
            Traffic::Window { len, count } => self.publish_windows(&mut round, now, len, count),
            Traffic::Echo { depth, .. } => self.publish_echoes(&mut round, now, depth),
            Traffic::Own { readers, .. } => self.publish_own(&mut round, now, readers),
            Traffic::Silence | Traffic::Handshakes { .. } => {}
        }
        if self.has_published(&round, now) {
            round.is_published = true;
            let own = u64::from(round.own_published);
            commands::tell(&Event::Published { messages: round.published.clone(), own });
        }
        // A connection that was lost while its messages were sent may have left a window to shorten.
        self.round = Some(round);
    }

    fn has_published(&self, round: &RoundState, now: u64) -> bool {
        if now < round.plan.start_ns && !round.is_stopped {
            return false;
        }
        let is_over = round.is_stopped || now >= round.plan.end_ns;
        match round.plan.traffic {
            Traffic::Rate { .. } => round.has_sent_what_was_due(self.outlets.iter().map(Outlet::is_open)),
            Traffic::Own { .. } => {
                // One publisher sends at both paces.
                let is_open = self.outlets.first().is_some_and(Outlet::is_open);
                round.has_sent_what_was_due(std::iter::repeat(is_open))
            }
            Traffic::Window { count, .. } => {
                let is_done = is_over || (count > 0 && round.windows_sent >= count);
                self.outlets.is_empty() || (is_done && round.window.is_none())
            }
            Traffic::Silence | Traffic::Echo { .. } | Traffic::Handshakes { .. } => is_over,
        }
    }

    /// Open loop: every message carries the time that it was meant to be sent at, however late it goes.
    fn publish_at_rate(&mut self, round: &mut RoundState, now: u64, batch: u32) {
        for index in 0..self.outlets.len() {
            for _ in 0..WRITES_PER_TURN_MAX {
                let (Some(outlet), Some(pacer)) = (self.outlets.get(index), round.pacers.get_mut(index)) else {
                    return;
                };
                if !outlet.is_open() || self.is_blocked(outlet) {
                    break;
                }
                let outlet_topic = outlet.topic();
                let Some(intended_ns) = pacer.take_due(now) else { break };
                round.lateness.record_n(self.clock.now().saturating_sub(intended_ns), u64::from(batch));
                let stamp = Stamp { round: round.plan.number, seq: round.next_seq(outlet_topic), intended_ns };
                self.publish_batch(index, round, stamp, batch);
            }
        }
    }

    /// Open loop: messages to readers' own topics, and now and then one to all.
    fn publish_own(&mut self, round: &mut RoundState, now: u64, readers: u32) {
        for _ in 0..WRITES_PER_TURN_MAX {
            let Some(outlet) = self.outlets.first().filter(|outlet| outlet.is_open() && !self.is_blocked(outlet))
            else {
                return;
            };
            let Some(intended_ns) = round.pacers.first_mut().and_then(|pacer| pacer.take_due(now)) else { break };
            if round.own_published == OWN_MESSAGES_MAX {
                return round.stop();
            }
            round.lateness.record(self.clock.now().saturating_sub(intended_ns));
            let stamp = Stamp::own(round.plan.number, round.own_published, intended_ns);
            let owner = self.stamper.owner_of(round.plan.number, round.own_published, readers);
            let topic = self.plan.own_topic.to_text(&Fill { n: owner, topic: "", payload: b"" });
            let server = self.plan.server_of(owner);
            let key = outlet.keys().find(|&(of, _)| of == server).map(|(_, key)| key);
            let mut bytes = Vec::new();
            if let Some(server) = self.plan.servers.get(server).cloned() {
                self.encode_publication(&server, self.plan.publishers.start, &topic, stamp, &mut bytes);
            }
            round.own_published += 1;
            if let Some(key) = key {
                self.send(key, &bytes);
            }
        }
        let Some(outlet_topic) = self.outlets.first().map(Outlet::topic) else { return };
        while let Some(intended_ns) = round.pacers.get_mut(1).and_then(|pacer| pacer.take_due(now)) {
            let stamp = Stamp { round: round.plan.number, seq: round.next_seq(outlet_topic), intended_ns };
            self.publish_batch(0, round, stamp, 1);
        }
    }

    /// Closed loop: the next window follows when every reader of this process has the one before.
    fn publish_windows(&mut self, round: &mut RoundState, now: u64, len: u32, count: u32) {
        match round.window {
            Some(window) if window.awaited == 0 => round.window = None,
            Some(window) if window.deadline_ns <= now => {
                round.give_up_window();
                self.failures.add("stalled");
                self.failed += 1;
            }
            Some(_) => return,
            None => {}
        }
        let is_counted_out = count > 0 && round.windows_sent >= count;
        let Some(outlet) = self.outlets.first() else { return };
        if is_counted_out || !round.sends_at(now) || !outlet.is_open() {
            return;
        }
        let topic = outlet.topic();
        let readers = self.conns.iter().filter(|(_, conn)| {
            conn.who.kind == Kind::Reader
                && conn.who.slot == topic
                && conn.phase == Phase::Open
                && conn.who.is_counted
                && !conn.is_stalled
        });
        let readers = match round.readers_of_topic {
            Some((of, readers, open)) if (of, open) == (topic, self.open) => readers,
            _ => readers.count() as u64,
        };
        round.readers_of_topic = Some((topic, readers, self.open));
        round.windows_sent += 1;
        let seq = round.next_seq(topic);
        let deadline_ns = now + self.plan.stall_timeout_ms * NANOS_PER_MILLI;
        round.window = Some(Window { seq, topic, awaited: readers * u64::from(len), deadline_ns });
        let stamp = Stamp { round: round.plan.number, seq, intended_ns: self.clock.now() };
        self.publish_batch(0, round, stamp, len);
    }

    /// Sends `batch` messages, numbered from the stamp's on, on the topic of the publisher whose turn it is, to each server in one write. However many
    /// servers there are, it counts once: each reader hears one of them.
    fn publish_batch(&mut self, index: usize, round: &mut RoundState, stamp: Stamp, batch: u32) {
        let Some(outlet) = self.outlets.get_mut(index) else { return };
        let keys: Vec<(usize, usize)> = outlet.keys().collect();
        let topic = outlet.topic();
        let name = outlet.names.get(outlet.cursor).cloned().unwrap_or_default();
        outlet.advance();
        let number = self.plan.publishers.start + index as u32;
        let mut sent = Vec::with_capacity(self.plan.servers.len());
        for server in self.plan.servers.clone() {
            let mut bytes = Vec::new();
            for offset in 0..batch {
                let stamp = Stamp { seq: stamp.seq.wrapping_add(offset), ..stamp };
                self.encode_publication(&server, number, &name, stamp, &mut bytes);
            }
            sent.push(bytes);
        }
        if let Some(count) = round.published.get_mut(topic as usize) {
            *count += u64::from(batch);
        }
        for (server, key) in keys {
            if let Some(bytes) = sent.get(server) {
                self.send(key, bytes);
            }
        }
    }

    /// Appends what a publisher sends to publish a stamp.
    fn encode_publication(&mut self, server: &Server, number: u32, topic: &str, stamp: Stamp, out: &mut Vec<u8>) {
        let dialogue = &self.plan.dialogue;
        let (mut payload, mut message) = (Vec::with_capacity(self.plan.payload_len as usize), Vec::new());
        self.stamper.encode(stamp, self.plan.payload_len as usize, &mut payload);
        let fill = Fill { n: number, topic, payload: &payload };
        match &dialogue.publish {
            Publish::WebSocket { message: template, .. } => {
                template.fill(&fill, &mut message);
                let opcode = if dialogue.is_binary { Opcode::Binary } else { Opcode::Text };
                let masking_key = self.random.u32(..).to_ne_bytes();
                encode_client_frame(out, opcode, true, masking_key, &message);
            }
            Publish::Http { path, body } => {
                body.fill(&fill, &mut message);
                http::encode_post(&server.host, &path.to_text(&fill), &message, out);
            }
        }
    }

    /// A reader is gone: what the window still awaits of it does not come.
    pub(super) fn shorten_window(&mut self) {
        let soon = self.clock.now() + LOST_READER_NS;
        if let Some(window) = self.round.as_mut().and_then(|round| round.window.as_mut()) {
            window.deadline_ns = window.deadline_ns.min(soon);
        }
    }

    /// The first echoes of a closed loop, or those of an open one that are due.
    fn publish_echoes(&mut self, round: &mut RoundState, now: u64, depth: u32) {
        if !round.sends_at(now) || round.echoers.is_empty() {
            return;
        }
        if round.pacers.is_empty() {
            if std::mem::replace(&mut round.windows_sent, 1) == 0 {
                for key in round.echoers.clone() {
                    let intended_ns = self.clock.now();
                    self.echo(key, round, intended_ns, u64::from(depth));
                }
            }
            return;
        }
        for _ in 0..WRITES_PER_TURN_MAX {
            let Some(intended_ns) = round.pacers.first_mut().and_then(|pacer| pacer.take_due(now)) else { break };
            round.lateness.record(self.clock.now().saturating_sub(intended_ns));
            let turn = round.published.first().copied().unwrap_or(0) as usize;
            let Some(&key) = round.echoers.get(turn % round.echoers.len()) else { break };
            self.echo(key, round, intended_ns, 1);
        }
    }

    /// Closed loop: as many as came back.
    pub(super) fn send_echoes(&mut self, key: usize, count: u64) {
        let Some(mut round) = self.round.take() else { return };
        let now = self.clock.now();
        if matches!(round.plan.traffic, Traffic::Echo { .. }) && round.pacers.is_empty() && round.sends_at(now) {
            self.echo(key, &mut round, now, count);
        }
        self.round = Some(round);
    }

    fn echo(&mut self, key: usize, round: &mut RoundState, intended_ns: u64, count: u64) {
        if !self.conns.contains(key) {
            return;
        }
        let mut payload = Vec::with_capacity(self.plan.payload_len as usize);
        let stamp = Stamp { round: round.plan.number, seq: 0, intended_ns };
        self.stamper.encode(stamp, self.plan.payload_len as usize, &mut payload);
        for _ in 0..count {
            let masking_key = self.random.u32(..).to_ne_bytes();
            encode_client_frame(&mut self.scratch, Opcode::Text, true, masking_key, &payload);
        }
        if let Some(sum) = round.published.first_mut() {
            *sum += count;
        }
        self.send_scratch(key);
    }
}

/// Writes of one publisher in one turn, so that what comes in is read in between.
const WRITES_PER_TURN_MAX: usize = 256;

/// How much longer a window waits once one of its readers is lost.
const LOST_READER_NS: u64 = 200 * NANOS_PER_MILLI;
