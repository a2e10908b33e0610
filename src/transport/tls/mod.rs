//! TLS under HTTP and WebSocket: records in, plain bytes out, and back; certificates, and which of them a client gets.
//! [RFC 8446] [RFC 5246]
//!
//! The protocol is rustls's; here is how a connection goes through it without a buffer of its own: records are decrypted
//! where they were received, and what is to be sent is encrypted when it is about to be. What must never happen here:
//! reading a file or a clock. Tests: beside the code, `tests/tls/` from outside, `tests/shard_limits/tls.rs` record by record.

mod certificates;
mod names;
mod session;
mod validity;

pub use certificates::{BadCertificates, Certificates, ClientAuth, Material, PemFile};
pub use session::{Session, TlsError};

/// The configuration of handshakes, shared by all shards and every session.
pub type SharedConfig = std::sync::Arc<rustls::ServerConfig>;

/// The first byte of every record that begins a handshake. No HTTP request begins with it. [RFC 8446 5.1]
pub const HANDSHAKE: u8 = 0x16;

/// The answer to TLS on a port without TLS: a fatal alert, `handshake_failure`. [RFC 8446 6]
pub const NO_TLS_HERE: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 40];

/// Whether bytes where a first record should be are the beginning of an HTTP request: capital letters, up to a space.
#[must_use]
pub fn looks_like_http(bytes: &[u8]) -> bool {
    let method = bytes.split(|&byte| byte == b' ').next().unwrap_or_default();
    !method.is_empty() && method.iter().take(METHOD_LEN_MAX).all(u8::is_ascii_uppercase)
}

/// Letters of the longest method that is looked at, `OPTIONS` and `CONNECT`.
const METHOD_LEN_MAX: usize = 7;

/// Whether `bytes` hold a whole first record, so that a handshake can begin.
#[must_use]
pub fn has_record(bytes: &[u8]) -> bool {
    let &[_, _, _, high, low, ref payload @ ..] = bytes else { return false };
    payload.len() >= usize::from(u16::from_be_bytes([high, low]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_told_from_tls_by_its_first_bytes() {
        for http in ["G", "GET / HTTP/1.1", "OPTIONS * HTTP/1.1", "PROPPATCH"] {
            assert!(looks_like_http(http.as_bytes()), "{http}");
        }
        for other in [&b""[..], b" ", b"get /", &[HANDSHAKE, 3, 1], &[0x80, 0x2e]] {
            assert!(!looks_like_http(other), "{other:?}");
        }
    }

    #[test]
    fn a_record_is_whole_with_its_last_byte() {
        let record = [HANDSHAKE, 3, 1, 0, 2, 7, 7];
        for len in 0..record.len() {
            assert!(!has_record(&record[..len]), "{len}");
        }
        assert!(has_record(&record));
    }
}
