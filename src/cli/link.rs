//! The way to a gateway: TCP, and TLS over it where the URL says so.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::trust;
use crate::driver::Stream;

/// A connected stream, with TLS or without.
pub(super) enum Link {
    Plain(Stream),
    Tls(Box<StreamOwned<ClientConnection, Stream>>),
}

impl Link {
    /// Goes through the handshake with `host`, a name or an address, if there is a configuration for TLS.
    pub(super) fn new(mut stream: Stream, tls: Option<&Arc<ClientConfig>>, host: &str) -> io::Result<Self> {
        let Some(config) = tls else { return Ok(Self::Plain(stream)) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            let (read_len, written_len) =
                connection.complete_io(&mut stream).map_err(|error| explained(error, host))?;
            if (read_len, written_len) == (0, 0) {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    /// As [`Stream::set_read_timeout_ms`].
    pub(super) fn set_read_timeout_ms(&self, timeout_ms: Option<u64>) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.set_read_timeout_ms(timeout_ms),
            Self::Tls(stream) => stream.sock.set_read_timeout_ms(timeout_ms),
        }
    }
}

/// In words for a person, where it is TLS that failed.
fn explained(error: io::Error, host: &str) -> io::Error {
    let told = error.get_ref().and_then(|error| error.downcast_ref()).map(|error| trust::told(error, host));
    match told {
        Some(told) => io::Error::new(error.kind(), told),
        None => error,
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            // An end without a farewell is an end: every message that is read here has a length of its own.
            Self::Tls(stream) => match stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                outcome => outcome,
            },
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
