//! Opening connections: how many at once, how many a second, how long they may take.

use fanwire::wire::ws::{Opcode, encode_client_frame};
use mio::Token;

use super::conn::{Conn, Kind, Phase, Who};
use super::round::own_cpu;
use super::state::{INTEREST, Worker};
use super::{commands, socket};
use crate::clock::{Clock, NANOS_PER_MILLI};
use crate::pace::Pacer;
use crate::plan::{Fill, Publish, Server, Template, Transport};
use crate::protocol::{Connected, Event, share_of};
use crate::wire::handshake;
use crate::wire::http::encode_get;

impl Worker {
    /// Asks for publishers and for readers up to a share of them, and for those who were lost.
    pub(super) fn connect(&mut self, up_to_permille: u32, per_second: f64) {
        let now = self.clock.now();
        self.dialler.begin(now, per_second);
        self.dialler.retries = false;
        if !std::mem::replace(&mut self.dialler.are_publishers_asked, true) {
            for number in self.plan.publishers.clone() {
                let slots = self.plan.slots_of_publisher(number) * self.plan.servers.len();
                let whos = (0..slots as u32).map(|slot| Who { kind: Kind::Publisher, number, slot, ..NOBODY });
                self.dialler.waiting.extend(whos);
            }
        }
        self.dialler.waiting.extend(self.dialler.lost.drain(..));
        let count = share_of(self.plan.readers.len() as u32, up_to_permille);
        for offset in self.dialler.asked..count {
            let number = self.plan.readers.start + offset;
            let slot = self.plan.topic_of_reader(number);
            self.dialler.waiting.push_back(Who { kind: Kind::Reader, number, slot, is_counted: true, ..NOBODY });
        }
        self.dialler.asked = self.dialler.asked.max(count);
    }

    /// Resets a share of the readers; they come back, and count no more unless they `still_count`.
    pub(super) fn drop_readers(&mut self, permille: u32, still_counts: bool) {
        let now = self.clock.now();
        self.dialler.begin(now, 0.0);
        self.dialler.retries = true;
        for key in self.first_readers(permille) {
            let conn = self.conns.remove(key);
            self.open -= 1;
            if let Some(decoder) = conn.partial {
                decoder.release(&mut self.pool);
            }
            self.dialler.waiting.push_back(Who { is_counted: still_counts, ..conn.who });
        }
    }

    /// When there is something to dial or to give up; at once if it could be now.
    pub(super) fn next_dial(&self) -> Option<u64> {
        let dialler = &self.dialler;
        let has_room = dialler.in_progress < self.plan.concurrency;
        let is_churning = dialler.churns && self.round.as_ref().is_some_and(|round| !round.is_published);
        let dial = (has_room && !dialler.waiting.is_empty())
            .then(|| dialler.pacer.as_ref().and_then(Pacer::next_due).unwrap_or(0));
        let churn = (has_room && is_churning).then(|| self.next_churn()).flatten();
        let retry = dialler.retrying.first_key_value().map(|(&(at, _), _)| at);
        let deadline = dialler.deadlines.front().map(|&(at, ..)| at);
        let stall = (dialler.is_awaited && dialler.in_progress > 0).then(|| self.stalls_at());
        [dial, churn, retry, deadline, stall].into_iter().flatten().min()
    }

    fn stalls_at(&self) -> u64 {
        self.dialler.last_success_ns + self.plan.stall_timeout_ms * NANOS_PER_MILLI
    }

    /// When the next connection is opened in a round of handshakes.
    fn next_churn(&self) -> Option<u64> {
        let round = self.round.as_ref()?;
        match round.pacers.first() {
            Some(pacer) => pacer.next_due(),
            None => Some(round.plan.start_ns),
        }
    }

    /// Opens what is due.
    pub(super) fn dial(&mut self, now: u64) {
        while let Some(entry) = self.dialler.retrying.first_entry().filter(|entry| entry.key().0 <= now) {
            self.dialler.waiting.push_back(entry.remove());
        }
        for _ in 0..DIALS_PER_TURN_MAX {
            if self.dialler.in_progress >= self.plan.concurrency {
                break;
            }
            let Some((who, intended)) = self.next_who(now) else { break };
            self.open(who, intended);
        }
        self.finish_connecting(now);
    }

    fn next_who(&mut self, now: u64) -> Option<(Who, u64)> {
        if !self.dialler.waiting.is_empty() {
            let intended = match &mut self.dialler.pacer {
                Some(pacer) => pacer.take_due(now)?,
                None => now,
            };
            return self.dialler.waiting.pop_front().map(|who| (who, intended));
        }
        let round = self.round.as_mut().filter(|round| self.dialler.churns && round.sends_at(now))?;
        let intended = match round.pacers.first_mut() {
            Some(pacer) => pacer.take_due(now)?,
            None => now,
        };
        let sum = round.published.first_mut()?;
        let number = *sum as u32;
        *sum += 1;
        Some((Who { kind: Kind::Churn, number, ..NOBODY }, intended))
    }

    fn open(&mut self, who: Who, dialled_ns: u64) {
        self.dialler.in_progress += 1;
        self.dialler.serial = self.dialler.serial.wrapping_add(1);
        let serial = self.dialler.serial;
        // The serial goes round all source addresses even if every other connection is of another kind.
        let source = match self.plan.sources.len() {
            0 => None,
            count => self.plan.sources.get(serial as usize % count).copied(),
        };
        let Some(addr) = self.server_of(who).map(|server| server.addr) else {
            return self.failed_to_open(who, "no_server");
        };
        let stream = match socket::connect(addr, source) {
            Ok(stream) => stream,
            Err(error) => return self.failed_to_open(who, socket::kind_of(&error)),
        };
        let conn = Conn {
            stream,
            who,
            serial,
            phase: Phase::Connecting,
            is_stalled: false,
            is_pinged: false,
            last_seq: 0,
            dialled_ns,
            partial: None,
            held: None,
            layers: None,
        };
        let key = self.conns.insert(conn);
        let Some(conn) = self.conns.get_mut(key) else { return };
        if let Err(error) = self.poll.registry().register(&mut conn.stream, Token(key), INTEREST) {
            self.conns.remove(key);
            return self.failed_to_open(who, socket::kind_of(&error));
        }
        let deadline = self.clock.now() + self.plan.handshake_timeout_ms * NANOS_PER_MILLI;
        self.dialler.deadlines.push_back((deadline, key, serial));
    }

    /// The other end took the connection, or did not.
    pub(super) fn connected(&mut self, key: usize) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        match conn.stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return self.lose(key, socket::kind_of(&error)),
        }
        if conn.stream.peer_addr().is_err() {
            return;
        }
        self.secure(key);
        let Some(conn) = self.conns.get_mut(key) else { return };
        let who = conn.who;
        let path = match (&self.plan.dialogue.publish, who.kind) {
            (Publish::Http { .. }, Kind::Publisher) => return self.ready(key),
            (Publish::WebSocket { path, .. }, Kind::Publisher) => path,
            _ if self.plan.is_echo => &self.plan.dialogue.echo_path,
            _ => &self.plan.dialogue.path,
        };
        conn.phase = Phase::Upgrading;
        if self.transport_of(who.kind) != Transport::WebSocket {
            let path = path.to_text(&Fill { n: who.number, topic: &self.topic_of(who), payload: b"" });
            let host = self.server_of(who).map_or("", |server| &server.host);
            let request = encode_get(host, &path);
            return self.send(key, request.as_bytes());
        }
        let Some(conn) = self.conns.get(key) else { return };
        let nonce = handshake::nonce(self.plan.seed, u64::from(conn.serial));
        let path = path.to_text(&Fill { n: who.number, topic: &self.topic_of(who), payload: b"" });
        let offer = handshake::Offer {
            subprotocol: self.plan.dialogue.subprotocol.as_deref(),
            extension: self.plan.dialogue.deflate.as_deref(),
        };
        let host = self.server_of(who).map_or("", |server| &server.host);
        let mut request = Vec::new();
        handshake::encode_request(host, &path, offer, nonce, &mut request);
        // A new socket takes a request whole; what is held is the server's answer from here on.
        self.send(key, &request);
        if self.conns.get(key).is_some_and(|conn| conn.held.is_some()) {
            self.lose(key, "server_does_not_read");
        }
    }

    /// The server that a connection is to.
    pub(super) fn server_of(&self, who: Who) -> Option<&Server> {
        let index = match who.kind {
            Kind::Reader | Kind::Churn => self.plan.server_of(who.number),
            Kind::Publisher => who.slot as usize / self.plan.slots_of_publisher(who.number).max(1),
        };
        self.plan.servers.get(index)
    }

    /// The name of the topic that a connection is about.
    pub(super) fn topic_of(&self, who: Who) -> String {
        let topic = match who.kind {
            Kind::Reader => who.slot,
            Kind::Publisher => {
                let topics = self.plan.topics_of_publisher(who.number);
                topics.get(who.slot as usize % self.plan.slots_of_publisher(who.number).max(1)).copied().unwrap_or(0)
            }
            Kind::Churn => who.number % self.plan.topics.max(1),
        };
        self.plan.topic_name(topic)
    }

    /// Says what comes before, or at, step `index` of joining, until one has an answer to wait for.
    pub(super) fn join(&mut self, key: usize, index: u8) {
        let Some(who) = self.conns.get(key).map(|conn| conn.who) else { return };
        let mut index = index;
        loop {
            let Some((send, waits)) = self.step(who, index).map(|step| (step.0.clone(), !step.1.is_empty())) else {
                return self.ready(key);
            };
            if !send.is_empty() {
                self.say(key, &send);
            }
            let Some(conn) = self.conns.get_mut(key) else { return };
            if waits {
                conn.phase = Phase::Joining(index);
                return;
            }
            index += 1;
        }
    }

    /// The message of a connection at a step of joining, and the answer that it waits for.
    pub(super) fn step(&self, who: Who, index: u8) -> Option<(&Template, &str)> {
        let dialogue = &self.plan.dialogue;
        let subscribe = if who.kind == Kind::Publisher { &[][..] } else { &dialogue.subscribe };
        let mut steps = dialogue.opening.iter().chain(subscribe).filter(|_| !self.plan.is_echo);
        steps.nth(usize::from(index)).map(|step| (&step.send, step.until.as_str()))
    }

    /// Sends a message that is not about a payload.
    fn say(&mut self, key: usize, message: &Template) {
        let Some(who) = self.conns.get(key).map(|conn| conn.who) else { return };
        let text = message.to_text(&Fill { n: who.number, topic: &self.topic_of(who), payload: b"" });
        self.say_text(key, &text);
    }

    /// Sends a message as it is.
    pub(super) fn say_text(&mut self, key: usize, text: &str) {
        let opcode = if self.plan.dialogue.is_binary { Opcode::Binary } else { Opcode::Text };
        let masking_key = self.random.u32(..).to_ne_bytes();
        encode_client_frame(&mut self.scratch, opcode, true, masking_key, text.as_bytes());
        self.send_scratch(key);
    }

    /// A connection is what it was opened for.
    pub(super) fn ready(&mut self, key: usize) {
        let now = self.clock.now();
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.phase = Phase::Open;
        conn.who.refusals = 0;
        let (who, took) = (conn.who, now.saturating_sub(conn.dialled_ns));
        self.dialler.in_progress -= 1;
        self.dialler.last_success_ns = now;
        match who.kind {
            Kind::Reader => {
                self.dialler.handshakes += 1;
                self.dialler.last_ready_ns = now;
                self.dialler.latencies.record(took);
                self.open += 1;
            }
            Kind::Publisher => {
                self.dialler.publishers += 1;
                self.set_outlet(who, Some(key));
            }
            Kind::Churn => {
                self.dialler.handshakes += 1;
                if let Some(round) = &mut self.round {
                    round.handshake.record(took);
                }
                self.conns.remove(key);
            }
        }
    }

    /// A connection is no more, and not because we wanted it.
    pub(super) fn lose(&mut self, key: usize, kind: &str) {
        let Some(conn) = self.conns.try_remove(key) else { return };
        if let Some(decoder) = conn.partial {
            decoder.release(&mut self.pool);
        }
        if conn.phase != Phase::Open {
            return self.failed_to_open(conn.who, kind);
        }
        match conn.who.kind {
            Kind::Reader => self.open -= 1,
            Kind::Publisher => {
                self.dialler.publishers -= 1;
                self.set_outlet(conn.who, None);
            }
            Kind::Churn => {}
        }
        if conn.is_stalled {
            self.stalled_closed += 1;
            return;
        }
        self.dialler.lost.push(conn.who);
        self.failures.add(kind);
        self.failed += 1;
        self.shorten_window();
    }

    fn failed_to_open(&mut self, who: Who, kind: &str) {
        self.dialler.in_progress -= 1;
        self.failures.add(kind);
        self.failed += 1;
        if self.dialler.retries && who.kind == Kind::Reader {
            let delay_ns = (RETRY_NS << who.refusals).min(RETRY_NS_MAX);
            // Half of it by chance, so that those who were refused together do not come together again.
            let at = self.clock.now() + delay_ns / 2 + self.random.u64(0..=delay_ns / 2);
            // The serial says nothing here but keeps those of one moment apart.
            self.dialler.serial = self.dialler.serial.wrapping_add(1);
            let who = Who { refusals: (who.refusals + 1).min(REFUSALS_MAX), ..who };
            self.dialler.retrying.insert((at, self.dialler.serial), who);
        } else if who.kind == Kind::Reader {
            self.dialler.lost.push(who);
        }
    }

    /// Gives up what took too long.
    pub(super) fn expire(&mut self, now: u64) {
        while let Some(&(at, key, serial)) = self.dialler.deadlines.front() {
            let phase = self.conns.get(key).filter(|conn| conn.serial == serial).map(|conn| conn.phase);
            let kind = match phase {
                None | Some(Phase::Open) => "",
                Some(_) if at > now => break,
                Some(Phase::Connecting) => "connect_timeout",
                Some(Phase::Upgrading) => "handshake_timeout",
                Some(Phase::Joining(_)) => "join_timeout",
            };
            self.dialler.deadlines.pop_front();
            if !kind.is_empty() {
                self.lose(key, kind);
            }
        }
    }

    /// Tells the parent when all are open, or when nothing has come of it for too long.
    fn finish_connecting(&mut self, now: u64) {
        let dialler = &mut self.dialler;
        if !dialler.is_awaited {
            return;
        }
        if now >= dialler.last_success_ns + self.plan.stall_timeout_ms * NANOS_PER_MILLI
            && (dialler.in_progress > 0 || !dialler.retrying.is_empty())
        {
            let given_up = dialler.waiting.len() + dialler.retrying.len();
            dialler.waiting.clear();
            dialler.retrying.clear();
            dialler.retries = false;
            self.failures.add_n("given_up", given_up as u64);
            self.failed += given_up as u64;
            let stuck: Vec<usize> = self.conns.iter().filter(|(_, c)| c.phase != Phase::Open).map(|(k, _)| k).collect();
            stuck.into_iter().for_each(|key| self.lose(key, "handshake_timeout"));
        }
        let dialler = &mut self.dialler;
        if dialler.in_progress > 0 || !dialler.waiting.is_empty() || !dialler.retrying.is_empty() {
            return;
        }
        dialler.is_awaited = false;
        dialler.retries = false;
        commands::tell(&Event::Connected(Connected {
            open: self.open,
            publishers: dialler.publishers,
            handshake: std::mem::take(&mut dialler.latencies).buckets(),
            failures: std::mem::take(&mut self.failures),
            last_ready_ns: dialler.last_ready_ns,
            cpu_ns: own_cpu().since(dialler.cpu_at_start).ran_ns,
        }));
    }

    /// Resets what a round of handshakes left behind.
    pub(super) fn remove_churn(&mut self) {
        let churned: Vec<usize> =
            self.conns.iter().filter(|(_, conn)| conn.who.kind == Kind::Churn).map(|(key, _)| key).collect();
        for key in churned {
            self.conns.remove(key);
            self.dialler.in_progress -= 1;
        }
    }
}

/// Connections opened in one turn, so that answers are read in between.
const DIALS_PER_TURN_MAX: usize = 64;

/// Somebody to say the rest of.
const NOBODY: Who = Who { kind: Kind::Churn, number: 0, slot: 0, is_counted: false, refusals: 0 };

/// How long a refused connection waits before it tries again in a storm, at most: twice as long each time.
const RETRY_NS: u64 = 200 * NANOS_PER_MILLI;

/// It never waits for longer.
const RETRY_NS_MAX: u64 = 3_000 * NANOS_PER_MILLI;

/// Refusals of one connection that are counted.
const REFUSALS_MAX: u8 = 8;
