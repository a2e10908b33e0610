//! Reading: answers to opening handshakes, and frames.

use std::io::{self, Read};

use fanwire::wire::ws::{Decoder, Item, Opcode, Payload, Role, WsError, encode_client_frame};

use super::conn::{Kind, Phase};
use super::layers::{Deflate, MESSAGE_LEN_MAX};
use super::socket;
use super::state::Worker;
use crate::clock::Clock;
use crate::plan::{Publish, Transport};
use crate::wire::handshake::{self, Answer};

impl Worker {
    /// Reads all there is. `is_ended`: the other end is behind it.
    pub(super) fn receive(&mut self, key: usize, is_ended: bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(conn) = self.conns.get_mut(key) {
            match conn.stream.read(&mut buffer) {
                Ok(0) => {
                    let kind = if conn.phase == Phase::Open { "closed" } else { "closed_in_handshake" };
                    self.lose(key, kind);
                }
                Ok(len) => {
                    let is_short = len < buffer.len();
                    let bytes = buffer.get_mut(..len).unwrap_or_default();
                    if conn.layers.as_ref().is_some_and(|layers| layers.tls.is_some()) {
                        self.received_ciphertext(key, bytes);
                    } else {
                        self.received(key, bytes);
                    }
                    // A short read has emptied the socket; what comes later is another edge.
                    if is_short && !is_ended {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Before the first event the socket may not be connected yet.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => break,
                Err(error) => self.lose(key, socket::kind_of(&error)),
            }
        }
        self.buffer = buffer;
    }

    pub(super) fn received(&mut self, key: usize, bytes: &mut [u8]) {
        let Some(conn) = self.conns.get(key) else { return };
        match (conn.phase, conn.who.kind) {
            (Phase::Connecting, _) => self.lose(key, "bad_handshake"),
            (_, kind) if self.transport_of(kind) != Transport::WebSocket => self.receive_http(key, bytes),
            (Phase::Upgrading, _) => self.upgrade(key, bytes),
            (_, Kind::Publisher) if matches!(self.plan.dialogue.publish, Publish::Http { .. }) => {
                self.receive_answers(key, bytes);
            }
            _ => self.receive_frames(key, bytes),
        }
    }

    /// The answer to the opening handshake, and what came behind it.
    fn upgrade(&mut self, key: usize, bytes: &mut [u8]) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let nonce = handshake::nonce(self.plan.seed, u64::from(conn.serial));
        let mut joined;
        let bytes = match conn.held.take() {
            Some(held) => {
                joined = *held;
                joined.extend_from_slice(bytes);
                &mut joined[..]
            }
            None => bytes,
        };
        let head_len = match handshake::parse_answer(bytes, self.plan.dialogue.deflate.is_some(), nonce) {
            Answer::Open(head_len) => head_len,
            Answer::OpenWithDeflate(head_len, agreed) => {
                conn.layers.get_or_insert_default().deflate = Some(Deflate::new(agreed));
                head_len
            }
            Answer::Incomplete => return conn.held = Some(Box::new(bytes.to_vec())),
            Answer::Refused(status) => return self.lose(key, &format!("refused_{status}")),
            Answer::Bad => return self.lose(key, "bad_handshake"),
        };
        self.join(key, 0);
        let rest = bytes.get_mut(head_len..).unwrap_or_default();
        if !rest.is_empty() {
            self.receive_frames(key, rest);
        }
    }

    fn receive_frames(&mut self, key: usize, bytes: &mut [u8]) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut deflate = conn.layers.as_deref_mut().and_then(|layers| layers.deflate.take());
        if let Some(deflate) = &mut deflate {
            deflate.marks.take_off(bytes);
        }
        let mut decoder = conn.partial.take().map_or_else(|| Decoder::new(Role::Client), |decoder| *decoder);
        let outcome = decoder.decode(bytes, MESSAGE_LEN_MAX, &mut self.pool, &mut inbox);
        let now = self.clock.now();
        let mut messages = 0;
        for item in &inbox.items {
            match item {
                Item::Message { payload, .. } => match &mut deflate {
                    None => messages += self.message(key, payload.as_slice(bytes), now),
                    Some(deflate) => messages += self.compressed_message(key, payload.as_slice(bytes), deflate, now),
                },
                Item::Ping(payload) => {
                    self.pong(key, payload, bytes);
                    self.note_ping(key);
                }
                Item::Pong(_) => {}
                Item::Close { code, .. } => {
                    let kind = code.map_or_else(|| "closed".to_owned(), |code| format!("closed_{code}"));
                    self.lose(key, &kind);
                }
            }
        }
        inbox.clear(&mut self.pool);
        self.inbox = inbox;
        match self.conns.get_mut(key) {
            Some(conn) if !decoder.is_idle() && outcome.is_ok() => conn.partial = Some(Box::new(decoder)),
            _ => decoder.release(&mut self.pool),
        }
        if let Some(layers) = self.conns.get_mut(key).and_then(|conn| conn.layers.as_deref_mut()) {
            layers.deflate = deflate;
        }
        if let Err(error) = outcome {
            self.lose(key, kind_of(error));
        }
        if messages > 0 {
            if let Some(round) = &mut self.round {
                round.read(messages);
            }
            self.send_echoes(key, messages);
        }
    }

    /// One message that may be compressed.
    fn compressed_message(&mut self, key: usize, message: &[u8], deflate: &mut Deflate, now: u64) -> u64 {
        let mut inflated = std::mem::take(&mut self.inflated);
        let outcome = deflate.open(message, &mut self.inflater, &mut inflated);
        let count = match outcome {
            Ok(true) => self.message(key, &inflated, now),
            Ok(false) => self.message(key, message, now),
            Err(kind) => {
                self.lose(key, kind);
                0
            }
        };
        self.inflated = inflated;
        count
    }

    /// One message; says how many payloads of this round were in it.
    pub(super) fn message(&mut self, key: usize, message: &[u8], now: u64) -> u64 {
        let Some(conn) = self.conns.get(key) else { return 0 };
        let (who, is_stalled) = (conn.who, conn.is_stalled);
        if let Phase::Joining(index) = conn.phase
            && self.step(who, index).is_some_and(|(_, until)| contains(message, until))
        {
            self.join(key, index + 1);
        }
        let answers = &self.plan.dialogue.answers;
        if let Some((_, answer)) = answers.iter().find(|(start, _)| message.starts_with(start.as_bytes())) {
            let answer = answer.clone();
            self.say_text(key, &answer);
        }
        if who.kind != Kind::Reader || is_stalled {
            return 0;
        }
        let (Some(round), Some(conn)) = (&mut self.round, self.conns.get_mut(key)) else { return 0 };
        let mut count = 0;
        for stamp in self.stamper.find(message) {
            if let Some(seq) = stamp.own_seq() {
                round.deliver_own(stamp, seq, who.number, &self.stamper, now);
                continue;
            }
            if round.deliver(stamp, who.is_counted, who.slot, now) {
                round.follow(&mut conn.last_seq, stamp.seq);
                count += 1;
            }
        }
        count
    }

    fn note_ping(&mut self, key: usize) {
        let (Some(round), Some(conn)) = (&mut self.round, self.conns.get_mut(key)) else { return };
        if conn.who.kind == Kind::Reader {
            round.pings += 1;
            round.pinged += u64::from(!std::mem::replace(&mut conn.is_pinged, true));
        }
    }

    fn pong(&mut self, key: usize, payload: &Payload, bytes: &[u8]) {
        let masking_key = self.random.u32(..).to_ne_bytes();
        encode_client_frame(&mut self.scratch, Opcode::Pong, true, masking_key, payload.as_slice(bytes));
        self.send_scratch(key);
    }
}

fn contains(message: &[u8], part: &str) -> bool {
    memchr::memmem::find(message, part.as_bytes()).is_some()
}

fn kind_of(error: WsError) -> &'static str {
    match error {
        WsError::Masked => "masked_frame",
        WsError::InvalidUtf8 => "invalid_utf8",
        WsError::MessageTooBig => "message_too_big",
        _ => "bad_frame",
    }
}
