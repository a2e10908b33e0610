//! The protocol of the floor's connections, without the kernel.

use std::collections::HashMap;

use fanwire::buf::BlockPool;
use fanwire::close::Status;
use fanwire::command::MessageKind;
use fanwire::transport::websocket;
use fanwire::wire::http1::{encode_response_head, parse_head};
use fanwire::wire::ws::handshake::{accept, encode_switching_protocols};
use fanwire::wire::ws::{Decoder, Inbox, Item, Opcode, Role, encode_close, encode_frame};

use super::mode::Mode;

/// All connections, by the index that their driver gave them: one byte each in `phases`, and in the modes that send
/// to readers eight more.
#[derive(Debug)]
pub(super) struct Peers {
    mode: Mode,
    phases: Vec<Phase>,
    /// The readers, dense.
    readers: Vec<u32>,
    /// Where a connection stands in `readers`; `NO_READER` where it does not.
    places: Vec<u32>,
    /// Only of connections that split a head or a frame between two receives.
    splits: HashMap<u32, Split>,
    pool: BlockPool,
    inbox: Inbox,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No connection has this index.
    Free,
    /// Before the end of the opening handshake.
    Opening,
    Open,
}

/// Bytes that must outlive a receive.
#[derive(Debug)]
enum Split {
    Head(Vec<u8>),
    Frame(Decoder),
}

/// The results of received bytes. Kept by the driver, which empties it.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// For the connection that was received from.
    pub(super) answer: Vec<u8>,
    /// Frames for every reader.
    pub(super) frames: Vec<u8>,
    /// Where each of `frames` ends.
    pub(super) ends: Vec<usize>,
}

impl Said {
    /// Each of the frames for every reader.
    pub(super) fn each_frame(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.frames[start..end])
    }

    /// Forgets the frames, once they are on their way.
    pub(super) fn clear_frames(&mut self) {
        self.frames.clear();
        self.ends.clear();
    }
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// Close it, once the answer was given to the kernel.
    Close,
}

impl Peers {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            phases: Vec::new(),
            readers: Vec::new(),
            places: Vec::new(),
            splits: HashMap::new(),
            pool: BlockPool::default(),
            inbox: Inbox::default(),
        }
    }

    /// The mode it runs in.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// The readers.
    pub(super) fn readers(&self) -> &[u32] {
        &self.readers
    }

    /// A connection came in. Its index is below 2^32 - 1 and not in use.
    pub(super) fn insert(&mut self, conn: u32) {
        let at = conn as usize;
        if at >= self.phases.len() {
            self.phases.resize(at + 1, Phase::Free);
        }
        self.phases[at] = Phase::Opening;
    }

    /// A connection is gone.
    pub(super) fn remove(&mut self, conn: u32) {
        self.leave(conn);
        self.phases[conn as usize] = Phase::Free;
        if !self.splits.is_empty()
            && let Some(Split::Frame(decoder)) = self.splits.remove(&conn)
        {
            decoder.release(&mut self.pool);
        }
    }

    /// Bytes came in from a connection; they are unmasked in place. What they lead to is added to `said`.
    pub(super) fn receive(&mut self, conn: u32, bytes: &mut [u8], said: &mut Said) -> Verdict {
        match self.phases.get(conn as usize) {
            Some(Phase::Open) => self.receive_frames(conn, bytes, said),
            Some(Phase::Opening) => self.receive_head(conn, bytes, said),
            _ => Verdict::Close,
        }
    }

    fn receive_head(&mut self, conn: u32, bytes: &mut [u8], said: &mut Said) -> Verdict {
        let kept = if self.splits.is_empty() { None } else { self.splits.remove(&conn) };
        if let Some(Split::Head(mut head)) = kept {
            head.extend_from_slice(bytes);
            return self.receive_whole_head(conn, &mut head, said);
        }
        self.receive_whole_head(conn, bytes, said)
    }

    fn receive_whole_head(&mut self, conn: u32, bytes: &mut [u8], said: &mut Said) -> Verdict {
        let len = match parse_head(bytes) {
            Ok(None) => {
                // Bounded: past the longest head, parsing fails.
                self.splits.insert(conn, Split::Head(bytes.to_vec()));
                return Verdict::Keep;
            }
            Ok(Some((head, len))) => match accept(&head) {
                Ok(upgrade) => {
                    encode_switching_protocols(&mut said.answer, &upgrade.accept, upgrade.protocols().next(), None);
                    len
                }
                Err(error) => return refuse(error.status(), said),
            },
            Err(_) => return refuse(Status::BadRequest, said),
        };
        self.phases[conn as usize] = Phase::Open;
        self.join(conn);
        if len < bytes.len() { self.receive_frames(conn, &mut bytes[len..], said) } else { Verdict::Keep }
    }

    fn receive_frames(&mut self, conn: u32, bytes: &mut [u8], said: &mut Said) -> Verdict {
        let kept = if self.splits.is_empty() { None } else { self.splits.remove(&conn) };
        let mut decoder = match kept {
            Some(Split::Frame(decoder)) => decoder,
            _ => Decoder::new(Role::Server),
        };
        let outcome = decoder.decode(bytes, MESSAGE_LEN_MAX, &mut self.pool, &mut self.inbox);
        let mut verdict = Verdict::Keep;
        let mut publishes = false;
        for item in self.inbox.items.drain(..) {
            match &item {
                Item::Message { kind, payload, .. } => {
                    let opcode = if *kind == MessageKind::Text { Opcode::Text } else { Opcode::Binary };
                    match self.mode {
                        Mode::Hold => {}
                        Mode::Echo => encode_frame(&mut said.answer, opcode, payload.as_slice(bytes)),
                        Mode::Fanout | Mode::Batch => {
                            encode_frame(&mut said.frames, opcode, payload.as_slice(bytes));
                            said.ends.push(said.frames.len());
                            publishes = true;
                        }
                    }
                }
                Item::Ping(payload) => encode_frame(&mut said.answer, Opcode::Pong, payload.as_slice(bytes)),
                Item::Pong(_) => {}
                Item::Close { code, .. } => {
                    match code {
                        Some(code) => encode_close(&mut said.answer, *code, ""),
                        None => encode_frame(&mut said.answer, Opcode::Close, &[]),
                    }
                    verdict = Verdict::Close;
                }
            }
            item.into_payload().recycle(&mut self.pool);
        }
        if publishes {
            self.leave(conn);
        }
        if let Err(error) = outcome {
            websocket::close(error.close_reason(), "", &mut said.answer);
            verdict = Verdict::Close;
        }
        if verdict == Verdict::Close || decoder.is_idle() {
            decoder.release(&mut self.pool);
        } else {
            self.splits.insert(conn, Split::Frame(decoder));
        }
        verdict
    }

    fn join(&mut self, conn: u32) {
        if matches!(self.mode, Mode::Fanout | Mode::Batch) {
            let at = conn as usize;
            if at >= self.places.len() {
                self.places.resize(at + 1, NO_READER);
            }
            self.places[at] = self.readers.len() as u32;
            self.readers.push(conn);
        }
    }

    fn leave(&mut self, conn: u32) {
        let Some(place) = self.places.get_mut(conn as usize) else { return };
        let place = std::mem::replace(place, NO_READER) as usize;
        if place < self.readers.len() {
            self.readers.swap_remove(place);
            if let Some(&moved) = self.readers.get(place) {
                self.places[moved as usize] = place as u32;
            }
        }
    }
}

fn refuse(status: Status, said: &mut Said) -> Verdict {
    encode_response_head(&mut said.answer, status, &[("Sec-WebSocket-Version", "13")], Some(0), &["close"]);
    Verdict::Close
}

const NO_READER: u32 = u32::MAX;

/// Payload bytes of one message, as in the gateway's default configuration.
const MESSAGE_LEN_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use fanwire::wire::ws::encode_client_frame;

    use super::*;

    const HEAD: &[u8] = b"GET /any HTTP/1.1\r\nHost: floor\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_client_frame(&mut out, opcode, true, [1, 2, 3, 4], payload);
        out
    }

    fn open(mode: Mode, count: u32) -> Peers {
        let mut peers = Peers::new(mode);
        for conn in 0..count {
            peers.insert(conn);
            assert_eq!(peers.receive(conn, &mut HEAD.to_vec(), &mut Said::default()), Verdict::Keep);
        }
        peers
    }

    /// The result of a stream that is received in pieces of `step` bytes.
    fn in_pieces(mode: Mode, stream: &[u8], step: usize) -> (Vec<u8>, Vec<u8>, Verdict, usize) {
        let mut peers = Peers::new(mode);
        peers.insert(0);
        let mut said = Said::default();
        let mut verdict = Verdict::Keep;
        for piece in stream.chunks(step) {
            verdict = peers.receive(0, &mut piece.to_vec(), &mut said);
            if verdict == Verdict::Close {
                break;
            }
        }
        peers.remove(0);
        assert!(peers.readers.is_empty() && peers.splits.is_empty() && peers.pool.in_use() == 0);
        (said.answer, said.frames, verdict, said.ends.len())
    }

    #[test]
    fn any_split_of_the_bytes_leads_to_the_same_and_leaves_nothing_behind() {
        let messages =
            [frame(Opcode::Text, b"Hello"), frame(Opcode::Ping, b"?"), frame(Opcode::Binary, &[7; 300])].concat();
        for mode in [Mode::Hold, Mode::Fanout, Mode::Batch, Mode::Echo] {
            let stream = [HEAD, &messages, &frame(Opcode::Close, &1000_u16.to_be_bytes())].concat();
            let whole = in_pieces(mode, &stream, stream.len());
            assert_eq!(whole.2, Verdict::Close);
            assert_eq!(whole.3, if matches!(mode, Mode::Fanout | Mode::Batch) { 2 } else { 0 });
            assert!(whole.0.starts_with(b"HTTP/1.1 101 ") && whole.0.ends_with(b"\x88\x02\x03\xe8"));
            for step in 1..stream.len() {
                assert_eq!(in_pieces(mode, &stream, step), whole, "{mode:?} in pieces of {step}");
            }
        }
    }

    #[test]
    fn who_sends_a_message_is_no_reader_from_then_on() {
        let mut peers = open(Mode::Fanout, 4);
        assert_eq!(peers.readers(), [0, 1, 2, 3]);
        let mut said = Said::default();
        peers.receive(1, &mut frame(Opcode::Text, b"a"), &mut said);
        peers.receive(1, &mut frame(Opcode::Text, b"b"), &mut said);
        assert_eq!(peers.readers(), [0, 3, 2]);
        assert_eq!(said.each_frame().collect::<Vec<_>>(), [b"\x81\x01a", b"\x81\x01b"]);
        peers.remove(0);
        peers.remove(1);
        assert_eq!(peers.readers(), [2, 3]);
        peers.remove(3);
        peers.remove(2);
        assert!(peers.readers().is_empty());
    }

    #[test]
    fn a_ping_makes_nobody_a_publisher() {
        let mut peers = open(Mode::Fanout, 2);
        let mut said = Said::default();
        peers.receive(0, &mut frame(Opcode::Ping, b""), &mut said);
        assert_eq!((peers.readers(), said.answer), (&[0, 1][..], b"\x8a\x00".to_vec()));
    }

    #[test]
    fn what_is_no_opening_handshake_is_refused_and_what_breaks_a_rule_is_closed() {
        let cases: [(&[u8], &[u8]); 3] = [
            (b"GET / HTTP/1.1\r\nHost: floor\r\n\r\n", b"HTTP/1.1 400 "),
            (b"\x16\x03\x01 nonsense\r\n\r\n", b"HTTP/1.1 400 "),
            (b"POST / HTTP/1.1\r\nHost: floor\r\n\r\n", b"HTTP/1.1 405 "),
        ];
        for (bytes, start) in cases {
            let (answer, _, verdict, _) = in_pieces(Mode::Echo, bytes, bytes.len());
            assert_eq!(verdict, Verdict::Close);
            assert!(answer.starts_with(start), "{}", answer.escape_ascii());
        }
        let unmasked = [HEAD, b"\x81\x01a"].concat();
        let (answer, _, verdict, _) = in_pieces(Mode::Echo, &unmasked, unmasked.len());
        assert_eq!(verdict, Verdict::Close);
        assert!(answer.ends_with(b"\x88\x02\x03\xea"), "{}", answer.escape_ascii());
        let (_, _, verdict, _) = in_pieces(Mode::Echo, &[b'x'; 20_000], 1000);
        assert_eq!(verdict, Verdict::Close, "a head without an end is not kept for ever");
    }
}
