//! Compressed messages as the judge writes and reads them. [RFC 7692 7.2]

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Reads compressed messages with no more memory than the gateway agreed to.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    /// Whether messages may lean on those before.
    pub keeps_context: bool,
}

impl Inflater {
    /// The parameters for the gateway's messages in its `Sec-WebSocket-Extensions`.
    pub fn new(answer: &str) -> Self {
        let mut parts = answer.split("; ");
        assert_eq!(parts.next(), Some("permessage-deflate"));
        let parameters: Vec<_> = parts.collect();
        assert!(parameters.contains(&"client_no_context_takeover"), "nothing is kept of a client: {answer}");
        let bits = parameters.iter().find_map(|parameter| parameter.strip_prefix("server_max_window_bits="));
        let bits = bits.map_or(15, |bits| bits.parse().expect("a number of bits"));
        let keeps_context = !parameters.contains(&"server_no_context_takeover");
        Self { stream: Decompress::new_with_window_bits(false, bits), keeps_context }
    }

    /// The content of a message; it refers to nothing further back than the window.
    pub fn inflate(&mut self, message: &[u8]) -> Vec<u8> {
        if !self.keeps_context {
            self.stream.reset(false);
        }
        let with_tail = [message, &[0, 0, 0xff, 0xff]].concat();
        let (mut rest, mut message) = (with_tail.as_slice(), Vec::new());
        loop {
            // In pieces, so that the window is the library's and not what was put out.
            let mut piece = [0; 64];
            let (taken, given) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(rest, &mut piece, FlushDecompress::Sync);
            assert!(matches!(status, Ok(Status::Ok | Status::BufError)), "a compressed message, got {status:?}");
            rest = &rest[(self.stream.total_in() - taken) as usize..];
            let given = (self.stream.total_out() - given) as usize;
            message.extend_from_slice(&piece[..given]);
            if rest.is_empty() && given < piece.len() {
                return message;
            }
        }
    }
}

/// A message as a client compresses it, for itself.
pub fn deflated(message: impl AsRef<[u8]>) -> Vec<u8> {
    let message = message.as_ref();
    let mut out = Vec::with_capacity(message.len() + message.len() / 8 + 64);
    let status = Compress::new(Compression::default(), false).compress_vec(message, &mut out, FlushCompress::Sync);
    assert!(status.is_ok() && out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}
