//! TLS under HTTP and WebSocket.

use super::conn::Phase;
use super::state::Worker;
use crate::wire::tls::Session;

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
