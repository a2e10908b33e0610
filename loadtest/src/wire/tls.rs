//! TLS on the client's side: bytes of the socket in and out, bytes of HTTP and WebSocket on the other side.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use fanwire::cli::trust::{Trust, client_config};
use rustls::client::{ClientConnection, Resumption};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, Error};

/// Shared by all connections. Every handshake is a full one: none resumes the session of another.
///
/// # Errors
/// One line: the certificates cannot be read, or there are none.
pub fn config(trust: &Trust) -> Result<Arc<ClientConfig>, String> {
    let mut config = client_config(trust)?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// One connection's TLS.
pub struct Session(ClientConnection);

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    /// Before its first byte. `host` is a name or an address, with or without a port.
    #[must_use]
    pub fn new(config: &Arc<ClientConfig>, host: &str) -> Option<Self> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).ok()?;
        let mut session = ClientConnection::new(Arc::clone(config), name).ok()?;
        // What is held is bounded where sockets are: nothing stays in here once the handshake is done.
        session.set_buffer_limit(None);
        Some(Self(session))
    }

    /// Appends to `out` what has to go to the socket so that `plain` arrives. Before the end of the handshake, `plain`
    /// is kept and goes out with a later call.
    pub fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        // Without a limit the writer takes everything, and so does a vector.
        let _ = self.0.writer().write_all(plain);
        self.flush(out);
    }

    /// Takes what came from the socket; appends what it says to `plain`, and to `out` what has to go back.
    ///
    /// # Errors
    /// Its name in a report; `out` then holds the alert to send.
    pub fn decrypt(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            // After a close_notify, what follows is not read. It is no TLS any more.
            if self.0.read_tls(&mut bytes).map_or(true, |len| len == 0) {
                break;
            }
            let outcome = self.0.process_new_packets();
            self.flush(out);
            outcome.map_err(|error| kind_of(&error))?;
            match self.0.reader().read_to_end(plain) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err("bad_tls"),
                _ => {}
            }
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        while self.0.wants_write() && self.0.write_tls(out).is_ok_and(|len| len > 0) {}
    }
}

fn kind_of(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => "bad_certificate",
        Error::AlertReceived(_) => "tls_alert",
        _ => "bad_tls",
    }
}
