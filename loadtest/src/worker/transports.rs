//! Readers over HTTP: events and lines as they come, and polls one after the other. And what publishers are answered.

use fanwire::wire::http1::BadAnswer;

use super::conn::{Kind, Phase};
use super::layers::MESSAGE_LEN_MAX;
use super::state::Worker;
use crate::clock::Clock;
use crate::plan::Transport;
use crate::wire::http::{Answers, Event, encode_get};

impl Worker {
    /// How a kind of connection is connected.
    pub(super) fn transport_of(&self, kind: Kind) -> Transport {
        match kind == Kind::Publisher || self.plan.is_echo {
            true => Transport::WebSocket,
            false => self.plan.dialogue.transport,
        }
    }

    /// Bytes of a response, or of one poll's answer after the other.
    pub(super) fn receive_http(&mut self, key: usize, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let kind = conn.who.kind;
        let mut answers = std::mem::take(&mut conn.layers.get_or_insert_default().answers);
        let outcome = match self.transport_of(kind) {
            Transport::Poll => self.take_answers(key, &mut answers, bytes),
            _ => self.take_lines(key, &mut answers, bytes),
        };
        if let Some(conn) = self.conns.get_mut(key) {
            conn.layers.get_or_insert_default().answers = answers;
        }
        if outcome.is_err() {
            self.lose(key, "bad_answer");
        }
    }

    /// Events and lines of a response that does not end.
    fn take_lines(&mut self, key: usize, answers: &mut Answers, mut bytes: &[u8]) -> Result<(), BadAnswer> {
        let mut has_ended = false;
        while let Some(event) = answers.next(&mut bytes)? {
            match event {
                Event::Head(200) => self.ready(key),
                Event::Head(status) => {
                    self.lose(key, &format!("refused_{status}"));
                    return Ok(());
                }
                Event::Body => {}
                Event::End => has_ended = true,
            }
        }
        let whole = memchr::memrchr(b'\n', &answers.body).map_or(0, |at| at + 1);
        self.take_messages(key, answers.body.get(..whole).unwrap_or_default());
        answers.body.drain(..whole);
        if answers.body.is_empty() {
            answers.body = Vec::new();
        }
        if answers.body.len() > MESSAGE_LEN_MAX {
            self.lose(key, "message_too_big");
        } else if has_ended {
            self.lose(key, "closed");
        }
        Ok(())
    }

    /// Answers to polls, each of which asks for the next.
    fn take_answers(&mut self, key: usize, answers: &mut Answers, mut bytes: &[u8]) -> Result<(), BadAnswer> {
        while let Some(event) = answers.next(&mut bytes)? {
            let Some((who, phase)) = self.conns.get(key).map(|conn| (conn.who, conn.phase)) else { break };
            match event {
                Event::Head(200 | 204) => {}
                Event::Head(status) => {
                    self.lose(key, &format!("refused_{status}"));
                    break;
                }
                Event::Body if answers.body.len() > MESSAGE_LEN_MAX => self.lose(key, "message_too_big"),
                Event::Body => {}
                Event::End => {
                    let (body, since) = (std::mem::take(&mut answers.body), answers.since.take().unwrap_or_default());
                    match phase {
                        Phase::Open => self.take_messages(key, &body),
                        _ => self.ready(key),
                    }
                    let host = self.server_of(who).map_or("", |server| &server.host);
                    let topic = self.topic_of(who);
                    let request = encode_get(host, &format!("/poll?topic={topic}&last=0&timeout=60s&since={since}"));
                    self.send(key, request.as_bytes());
                }
            }
        }
        Ok(())
    }

    fn take_messages(&mut self, key: usize, bytes: &[u8]) {
        let now = self.clock.now();
        let messages = self.message(key, bytes, now);
        if messages > 0
            && let Some(round) = &mut self.round
        {
            round.read(messages);
        }
    }

    /// Answers to POSTs. Their bodies are passed over.
    pub(super) fn receive_answers(&mut self, key: usize, mut bytes: &[u8]) {
        let Some(who) = self.conns.get(key).map(|conn| conn.who) else { return };
        let index = who.number.saturating_sub(self.plan.publishers.start) as usize;
        let Some(answers) = self.outlets.get_mut(index).and_then(|outlet| outlet.answers(who.slot)) else { return };
        let kind = loop {
            match answers.next(&mut bytes) {
                Ok(Some(Event::Head(status))) if !(200..300).contains(&status) => {
                    break format!("publish_refused_{status}");
                }
                Ok(Some(_)) => answers.body = Vec::new(),
                Ok(None) => return,
                Err(_) => break "bad_answer".to_owned(),
            }
        };
        self.lose(key, &kind);
    }
}
