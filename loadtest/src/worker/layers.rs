//! The layers of some connections between socket and messages: TLS and compression.

use crate::wire::deflate::{Agreed, BadMessage, Inflater, Mark, Marks};
use crate::wire::http::Answers;
use crate::wire::tls::Session;

/// The layers between the socket and the messages of one connection.
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
    /// The inflater with the earlier messages; without one, that of the worker is used.
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
    /// Its name in a report.
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

/// Bytes of a message that a server may send.
pub(super) const MESSAGE_LEN_MAX: usize = 64 * 1024 * 1024;
