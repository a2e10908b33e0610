//! One connection's TLS: rustls without buffers of its own.

use std::fmt;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{Error, HandshakeKind};

use super::SharedConfig;
use crate::buf::BlockPool;
use crate::limits::TLS_HELD_LEN_MAX;

/// A connection's keys and what is left of an unfinished record. Between two records it holds no block.
pub struct Session {
    connection: UnbufferedServerConnection,
    /// The beginning of a record, from the pool; without a block while there is none.
    held: Vec<u8>,
    is_peer_closed: bool,
}

/// Why a session cannot go on.
#[derive(Clone, Debug)]
pub struct TlsError(Failure);

#[derive(Clone, Debug)]
enum Failure {
    Rustls(Error),
    HeldTooLong,
}

impl TlsError {
    /// Whether it was the peer that gave up.
    #[must_use]
    pub fn is_alert(&self) -> bool {
        matches!(self.0, Failure::Rustls(Error::AlertReceived(_)))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failure::Rustls(error) => error.fmt(f),
            Failure::HeldTooLong => f.write_str("a message of the handshake is too long"),
        }
    }
}

impl std::error::Error for TlsError {}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_handshaking", &self.is_handshaking()).finish_non_exhaustive()
    }
}

impl Session {
    /// Before its first byte.
    ///
    /// # Errors
    /// Never with a configuration of ours; rustls could refuse one.
    pub fn new(config: &SharedConfig) -> Result<Self, TlsError> {
        let connection = UnbufferedServerConnection::new(Arc::clone(config));
        let connection = connection.map_err(|error| TlsError(Failure::Rustls(error)))?;
        Ok(Self { connection, held: Vec::new(), is_peer_closed: false })
    }

    /// Takes records in, which are decrypted in place. What they say is appended to `plain`, and to `out` what has to go
    /// to the peer.
    ///
    /// # Errors
    /// The error that ends the session; `out` then ends with the alert that says so.
    pub fn receive(
        &mut self,
        bytes: &mut [u8],
        pool: &mut BlockPool,
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        if self.held.capacity() == 0 {
            let taken = self.drive(bytes, plain, out)?;
            let rest = &bytes[taken..];
            if !rest.is_empty() && !self.is_peer_closed {
                let mut block = pool.take();
                // A pooled block may come without memory, and the memory says whether it is one.
                block.reserve(rest.len().max(1));
                block.extend_from_slice(rest);
                self.held = block;
            }
        } else {
            self.held.extend_from_slice(bytes);
            let mut held = std::mem::take(&mut self.held);
            let outcome = self.drive(&mut held, plain, out);
            let taken = if self.is_peer_closed { held.len() } else { *outcome.as_ref().unwrap_or(&0) };
            held.drain(..taken);
            if held.is_empty() {
                pool.put(held);
            } else {
                self.held = held;
            }
            outcome?;
        }
        if self.held.len() > TLS_HELD_LEN_MAX { Err(TlsError(Failure::HeldTooLong)) } else { Ok(()) }
    }

    /// Encrypts `plain` behind what is in `out`.
    ///
    /// # Errors
    /// If the keys are used up, or the session has failed.
    pub fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        let records = plain.len() / RECORD_PLAIN_LEN + 1;
        self.write(out, plain.len() + records * RECORD_OVERHEAD + KEY_UPDATE_LEN, |traffic, out| {
            traffic.encrypt(plain, out)
        })
    }

    /// Says in `out` that nothing more will be sent: `close_notify`. [RFC 8446 6.1]
    ///
    /// # Errors
    /// As for [`Session::encrypt`].
    pub fn say_goodbye(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.write(out, RECORD_OVERHEAD + KEY_UPDATE_LEN, |traffic, out| traffic.queue_close_notify(out))
    }

    /// Gives its block back.
    pub fn release(&mut self, pool: &mut BlockPool) {
        if self.held.capacity() > 0 {
            pool.put(std::mem::take(&mut self.held));
        }
    }

    /// Bytes of an unfinished record.
    #[must_use]
    pub fn held_len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing can be said yet.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the session goes on from an earlier one; known once it is not handshaking.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Whether the peer has said that it will send nothing more.
    #[must_use]
    pub fn is_peer_closed(&self) -> bool {
        self.is_peer_closed
    }

    /// Lets rustls go through `bytes`; returns how many of them it has done with.
    fn drive(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<usize, TlsError> {
        let mut taken = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut bytes[taken..]);
            let is_done = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        plain.extend_from_slice(record.map_err(|error| TlsError(Failure::Rustls(error)))?.payload);
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, out);
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // The bytes in `out` are sent before everything else.
                    data.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.is_peer_closed = true;
                    false
                }
                // Blocked, or complete; early data is never offered.
                Ok(_) => true,
                Err(error) => {
                    self.take_alert(&mut bytes[taken + discard..], out);
                    if matches!(&error, Error::General(text) if text == NO_CERTIFICATE) {
                        name_handshake_failure(out);
                    }
                    return Err(TlsError(Failure::Rustls(error)));
                }
            };
            taken += discard;
            if is_done {
                return Ok(taken);
            }
        }
    }

    /// After a failure: the alert that tells the peer. Nothing more of `bytes` is looked at.
    fn take_alert(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) {
        while self.connection.wants_write()
            && let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(data)), .. } =
                self.connection.process_tls_records(bytes)
        {
            encode(data, out);
        }
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        len_max: usize,
        write: impl Fn(&mut Traffic<'_>, &mut [u8]) -> Result<usize, rustls::unbuffered::EncryptError>,
    ) -> Result<(), TlsError> {
        // The part of a message of the handshake that is here is looked at again, so it has to be there.
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut self.held);
            debug_assert_eq!(discard, 0, "what was received was gone through before");
            match state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.is_peer_closed = true,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let start = out.len();
                    out.resize(start + len_max, 0);
                    let written = write(&mut traffic, &mut out[start..]);
                    out.truncate(start + *written.as_ref().unwrap_or(&0));
                    return written.map(|_| ()).map_err(|_| TlsError(Failure::Rustls(Error::EncryptError)));
                }
                Ok(_) => return Err(TlsError(Failure::Rustls(Error::HandshakeNotComplete))),
                Err(error) => return Err(TlsError(Failure::Rustls(error))),
            }
        }
    }
}

type Traffic<'a> = rustls::unbuffered::WriteTraffic<'a, rustls::server::ServerConnectionData>;

/// The error of rustls if client and gateway share no kind of certificate, or no suite for one.
const NO_CERTIFICATE: &str = "no server certificate chain resolved";

/// rustls calls that `access_denied`. "If the server is unable to negotiate a supported set of parameters ... it MUST abort
/// the handshake with either a "handshake_failure" or "insufficient_security" fatal alert". [RFC 8446 4.1.1]
fn name_handshake_failure(out: &mut [u8]) {
    const ACCESS_DENIED: u8 = 49;
    const HANDSHAKE_FAILURE: u8 = 40;
    if let [.., 0x15, 3, _, 0, 2, 2, description @ ACCESS_DENIED] = out {
        *description = HANDSHAKE_FAILURE;
    }
}

fn encode<Side>(mut data: EncodeTlsData<'_, Side>, out: &mut Vec<u8>) {
    // Asked without room, it says how much it needs.
    if let Err(EncodeError::InsufficientSize(need)) = data.encode(&mut []) {
        let start = out.len();
        out.resize(start + need.required_size, 0);
        let written = data.encode(&mut out[start..]).unwrap_or(0);
        out.truncate(start + written);
    }
}

/// Bytes of plain text in one record. [RFC 8446 5.1]
const RECORD_PLAIN_LEN: usize = 16 * 1024;
/// More than any cipher adds to a record: its head, a nonce, the type and the tag.
const RECORD_OVERHEAD: usize = 64;
/// More than a key update or an alert takes that goes out before.
const KEY_UPDATE_LEN: usize = 128;
