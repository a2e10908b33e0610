//! What some connections have between their socket and their messages: TLS, and compression.

use super::Worker;
use super::conn::{MESSAGE_LEN_MAX, Phase};
use crate::wire::deflate::{Agreed, BadMessage, Inflater, Mark, Marks};
use crate::wire::http::Answers;
use crate::wire::tls::Session;

/// What lies between the socket and the messages of one connection.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) tls: Option<Box<Session>>,
    pub(super) deflate: Option<Deflate>,
    /// Of a reader over HTTP.
    pub(super) answers: Answers,
}

/// Messages that come compressed.
#[derive(Debug)]
pub(super) struct Deflate {
    pub(super) marks: Marks,
    /// What remembers the messages before; without one, that of the worker does.
    inflater: Option<Inflater>,
}

impl Deflate {
    pub(super) fn new(agreed: Agreed) -> Self {
        let inflater = (!agreed.server_no_context_takeover).then(Inflater::default);
        Self { marks: Marks::default(), inflater }
    }

    /// Puts what the next message holds into `out` if it was compressed; says whether it was.
    ///
    /// # Errors
    /// What to call it in a report.
    pub(super) fn open(
        &mut self,
        message: &[u8],
        shared: &mut Inflater,
        out: &mut Vec<u8>,
    ) -> Result<bool, &'static str> {
        let mark = self.marks.take_next();
        if mark == Mark::Plain {
            return Ok(false);
        }
        out.clear();
        let outcome = match &mut self.inflater {
            Some(own) => own.inflate(message, MESSAGE_LEN_MAX, out),
            None => {
                shared.reset();
                shared.inflate(message, MESSAGE_LEN_MAX, out)
            }
        };
        match outcome {
            Err(BadMessage::Garbage) => Err("bad_deflate"),
            Err(BadMessage::TooBig) => Err("message_too_big"),
            Ok(()) if mark == Mark::CompressedText && std::str::from_utf8(out).is_err() => Err("invalid_utf8"),
            Ok(()) => Ok(true),
        }
    }
}

impl Worker {
    /// Begins TLS on a connection that has just been opened.
    pub(super) fn secure(&mut self, key: usize) {
        let Some(config) = &self.tls else { return };
        let Some(who) = self.conns.get(key).map(|conn| conn.who) else { return };
        let session = self.server_of(who).and_then(|server| Session::new(config, &server.host));
        match (session, self.conns.get_mut(key)) {
            (Some(session), Some(conn)) => {
                conn.layers.get_or_insert_default().tls = Some(Box::new(session));
                self.send(key, &[]);
            }
            _ => self.lose(key, "bad_server_name"),
        }
    }

    /// Sends bytes of HTTP or WebSocket, through TLS where there is one.
    pub(super) fn send(&mut self, key: usize, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        match conn.layers.as_deref_mut().and_then(|layers| layers.tls.as_mut()) {
            None => self.send_raw(key, bytes),
            Some(tls) => {
                let mut out = std::mem::take(&mut self.ciphertext);
                tls.encrypt(bytes, &mut out);
                self.send_ciphertext(key, out);
            }
        }
    }

    /// Takes bytes from a socket with TLS.
    pub(super) fn received_ciphertext(&mut self, key: usize, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(tls) = conn.layers.as_deref_mut().and_then(|layers| layers.tls.as_mut()) else { return };
        let (mut plain, mut out) = (std::mem::take(&mut self.plain), std::mem::take(&mut self.ciphertext));
        let outcome = tls.decrypt(bytes, &mut plain, &mut out);
        self.send_ciphertext(key, out);
        if !plain.is_empty() {
            self.received(key, &mut plain);
        }
        plain.clear();
        self.plain = plain;
        if let Err(kind) = outcome {
            self.lose(key, kind);
        }
    }

    fn send_ciphertext(&mut self, key: usize, mut out: Vec<u8>) {
        if !out.is_empty() {
            let Some(conn) = self.conns.get_mut(key) else { return };
            // While it is upgraded, what is held came from the server: it stands aside, and a new socket takes all.
            let is_upgrading = conn.phase == Phase::Upgrading;
            let answer = if is_upgrading { conn.held.take() } else { None };
            self.send_raw(key, &out);
            if is_upgrading && let Some(conn) = self.conns.get_mut(key) {
                match conn.held {
                    Some(_) => self.lose(key, "server_does_not_read"),
                    None => conn.held = answer,
                }
            }
        }
        out.clear();
        self.ciphertext = out;
    }
}
