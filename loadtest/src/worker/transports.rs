//! Readers over HTTP: events and lines as they come, and polls one after the other.

use super::Worker;
use super::conn::{Kind, Phase};
use super::receive::MESSAGE_LEN_MAX;
use crate::clock::Clock;
use crate::plan::Door;

impl Worker {
    /// The way in of a kind of connection.
    pub(super) fn door_of(&self, kind: Kind) -> Door {
        if kind == Kind::Publisher || self.plan.is_echo { Door::WebSocket } else { self.plan.dialogue.door }
    }

    /// Bytes of a response, or of one poll's answer after the other.
    pub(super) fn receive_http(&mut self, key: usize, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let is_open = conn.phase == Phase::Open;
        let door = self.door_of(self.conns[key].who.kind);
        let mut unread = self.conns[key].layers.as_deref_mut().map(|layers| std::mem::take(&mut layers.unread));
        // What ends with a line is not copied.
        let is_whole = unread.as_ref().is_none_or(Vec::is_empty) && is_open && door != Door::Poll;
        if is_whole && bytes.last() == Some(&b'\n') {
            return self.take_messages(key, bytes);
        }
        let mut bytes = match unread.take() {
            Some(mut unread) => {
                unread.extend_from_slice(bytes);
                unread
            }
            None => bytes.to_vec(),
        };
        if bytes.len() > MESSAGE_LEN_MAX {
            return self.lose(key, "message_too_big");
        }
        match door {
            Door::Poll => self.take_answers(key, &mut bytes),
            _ if is_open || self.take_head(key, &mut bytes) => {
                let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
                let lines: Vec<u8> = bytes.drain(..whole).collect();
                self.take_messages(key, &lines);
            }
            _ => {}
        }
        if let Some(conn) = self.conns.get_mut(key)
            && !bytes.is_empty()
        {
            conn.layers.get_or_insert_default().unread = bytes;
        }
    }

    /// The head of a response that does not end.
    fn take_head(&mut self, key: usize, bytes: &mut Vec<u8>) -> bool {
        let Some(head) = Head::parse(bytes) else { return false };
        if head.status != 200 {
            self.lose(key, &format!("refused_{}", head.status));
            return false;
        }
        bytes.drain(..head.len);
        self.ready(key);
        true
    }

    /// Answers to polls, each of which asks for the next.
    fn take_answers(&mut self, key: usize, bytes: &mut Vec<u8>) {
        while let Some(head) = Head::parse(bytes) {
            if bytes.len() < head.len + head.body_len {
                return;
            }
            if head.status != 200 && head.status != 204 {
                return self.lose(key, &format!("refused_{}", head.status));
            }
            let answer: Vec<u8> = bytes.drain(..head.len + head.body_len).collect();
            let Some(conn) = self.conns.get(key) else { return };
            let who = conn.who;
            if conn.phase == Phase::Open {
                self.take_messages(key, answer.get(head.len..).unwrap_or_default());
            } else {
                self.ready(key);
            }
            let host = self.server_of(who).map_or("", |server| &server.host);
            let (topic, since) = (self.topic_of(who), head.since);
            let path = format!("/poll?topic={topic}&last=0&timeout=60s&since={since}");
            let request = request(host, &path);
            self.send(key, request.as_bytes());
        }
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
}

/// A request without a body.
pub(super) fn request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// What a response head says.
struct Head {
    len: usize,
    status: u16,
    body_len: usize,
    /// `Fanwire-Since`.
    since: String,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let len = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(bytes.get(..len)?).into_owned();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        Some(Self {
            len,
            status: text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0),
            body_len: field("Content-Length: ").parse().unwrap_or(0),
            since: field("Fanwire-Since: "),
        })
    }
}
