//! Bytes to messages and control frames.

use crate::command::MessageKind;
use std::ops::Range;

use super::close_code;
use super::error::WsError;
use super::header::{Expected, HEADER_LEN_MAX, Header, parse_header};
use super::inbox::{Inbox, Item, Payload};
use super::mask::unmask;
use super::opcode::Opcode;
use super::utf8::{InvalidUtf8, Utf8Validator};
use crate::buf::BlockPool;
use crate::limits::deflated_len_max;

/// Which end of the connection the decoder is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Its peer is a client, whose frames are masked.
    #[default]
    Server,
    /// Its peer is a server, whose frames are not.
    Client,
}

/// The state of one connection between two receives.
///
/// A frame that is whole in the received bytes is unmasked there and handed out as a range; nothing is copied. Only
/// bytes that must outlive the call are: an incomplete header into the decoder itself, an incomplete payload and the
/// fragments of an unfinished message into one pooled block, which grows by what arrives and never by what is
/// announced.
///
/// The states between two bytes, as `message` x (`header_len`, `frame`):
/// ```text
///                      header incomplete                 payload incomplete
///                 ┌──────────┐ complete ┌──────────────────────┐ complete, or whole at once
///   Between ─────▶│  Header  │─────────▶│       Payload        │──┬─────────────────────────────▶ Item
///   frames        └──────────┘          └──────────────────────┘  │ fin of a message, or control
///      ▲               │ breaks a rule        │ not UTF-8         │
///      └───────────────┼──────────────────────┼───────────────────┘ not fin: `message` stays open
///                      ▼                      ▼
///                    Ended  ◀── close frame ── ignores everything that follows
/// ```
/// A control frame goes through the same states while `message` is open, and leaves it as it was.
#[derive(Debug, Default)]
pub struct Decoder {
    /// `message_len` bytes of the message in progress, then the payload so far of a control frame.
    block: Option<Vec<u8>>,
    /// At most the greatest length of a message, compressed or not, which is at most `u32::MAX`.
    message_len: u32,
    /// Payload bytes that `frame` still lacks; not 0 while there is one.
    frame_rest: u32,
    /// For the next payload byte of `frame` first.
    masking_key: [u8; 4],
    utf8: Utf8Validator,
    header: [u8; HEADER_LEN_MAX],
    /// `header[..header_len]` arrived; 0 unless it is incomplete.
    header_len: u8,
    /// A frame whose payload is incomplete.
    frame: Option<Opcode>,
    /// The `fin` of `frame`.
    fin: bool,
    message: Message,
    deflate: Deflate,
    role: Role,
    /// A close frame was decoded, or a rule was broken.
    has_ended: bool,
}

/// The message in progress: from the header of its first frame to the end of its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Message {
    #[default]
    None,
    Text,
    Binary,
}

/// Whether messages may be compressed, and whether the one in progress is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Deflate {
    #[default]
    Refused,
    Agreed,
    InProgress,
}

const _: () = assert!(size_of::<Decoder>() <= 64);

impl Decoder {
    /// A decoder before the first frame.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self { role, ..Self::default() }
    }

    /// Takes compressed messages too, if that was agreed on.
    #[must_use]
    pub fn with_deflate(mut self, is_agreed: bool) -> Self {
        self.deflate = if is_agreed { Deflate::Agreed } else { Deflate::Refused };
        self
    }

    /// Whether it is between two messages and remembers nothing, so that a new one could take its place.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message == Message::None && !self.has_ended
    }

    /// Bytes of an unfinished message that it holds.
    #[must_use]
    pub fn held_len(&self) -> usize {
        self.block.as_ref().map_or(0, Vec::capacity)
    }

    /// Decodes all of `bytes`, unmasking them in place, and appends complete messages and control frames to `inbox`.
    /// Ranges in it count from the start of `bytes` and are valid as long as those are. After a close frame, or an
    /// error, what follows is ignored.
    ///
    /// # Errors
    /// The first rule that was broken, as soon as it is known. The messages before it are in `inbox`.
    pub fn decode(
        &mut self,
        bytes: &mut [u8],
        message_len_max: usize,
        pool: &mut BlockPool,
        inbox: &mut Inbox,
    ) -> Result<(), WsError> {
        self.decode_some(bytes, message_len_max, usize::MAX, pool, &mut inbox.items).map(|_| ())
    }

    /// Decodes `bytes` until `items` holds `items_max` or more; returns how many bytes that took. The rest is to be passed
    /// in before any others.
    ///
    /// # Errors
    /// As for [`Decoder::decode`].
    pub fn decode_some(
        &mut self,
        bytes: &mut [u8],
        message_len_max: usize,
        items_max: usize,
        pool: &mut BlockPool,
        items: &mut Vec<Item>,
    ) -> Result<usize, WsError> {
        let outcome = self.decode_frames(bytes, message_len_max, items_max, pool, items);
        if outcome.is_err() {
            self.end(pool);
        }
        outcome
    }

    /// Brings its block back; for a connection that ends.
    pub fn release(mut self, pool: &mut BlockPool) {
        self.end(pool);
    }

    fn decode_frames(
        &mut self,
        bytes: &mut [u8],
        message_len_max: usize,
        items_max: usize,
        pool: &mut BlockPool,
        items: &mut Vec<Item>,
    ) -> Result<usize, WsError> {
        let mut at = 0;
        while at < bytes.len() && !self.has_ended && items.len() < items_max {
            if let Some(opcode) = self.frame {
                at += self.take_payload(opcode, &mut bytes[at..], pool, items)?;
                continue;
            }
            // An incomplete one is kept, so that the bytes are used up.
            let Some(header) = self.take_header(bytes, &mut at, message_len_max)? else { return Ok(bytes.len()) };
            match header.opcode {
                Opcode::Text => self.message = Message::Text,
                Opcode::Binary => self.message = Message::Binary,
                _ => {}
            }
            if header.rsv1 {
                self.deflate = Deflate::InProgress;
            }
            // A frame that is incomplete in `bytes` is longer than they are, so that the comparison decides for any
            // length.
            let len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
            if len <= bytes.len() - at {
                unmask(&mut bytes[at..at + len], header.masking_key, 0);
                self.finish_whole(header, bytes, at..at + len, pool, items)?;
                at += len;
            } else {
                self.frame = Some(header.opcode);
                self.fin = header.fin;
                self.masking_key = header.masking_key;
                // No more than `message_len_max` or 125; both fit.
                self.frame_rest = header.payload_len as u32;
            }
        }
        Ok(if self.has_ended { bytes.len() } else { at })
    }

    /// The next header, and `at` moved past it; `None` if it is incomplete, and `bytes` used up.
    fn take_header(&mut self, bytes: &[u8], at: &mut usize, len_max: usize) -> Result<Option<Header>, WsError> {
        let deflated_len_max = u32::try_from(deflated_len_max(len_max)).unwrap_or(u32::MAX);
        let len_max = match self.deflate {
            Deflate::InProgress => deflated_len_max,
            _ => u32::try_from(len_max).unwrap_or(u32::MAX),
        };
        let expected = Expected {
            is_masked: self.role == Role::Server,
            is_in_message: self.message != Message::None,
            budget: u64::from(len_max.saturating_sub(self.message_len)),
            deflated_budget: (self.deflate != Deflate::Refused).then_some(u64::from(deflated_len_max)),
        };
        let had = usize::from(self.header_len);
        if had == 0
            && let Some((header, len)) = parse_header(&bytes[*at..], expected)?
        {
            *at += len;
            return Ok(Some(header));
        }
        let taken = (HEADER_LEN_MAX - had).min(bytes.len() - *at);
        self.header[had..had + taken].copy_from_slice(&bytes[*at..*at + taken]);
        match parse_header(&self.header[..had + taken], expected)? {
            Some((header, len)) => {
                *at += len - had;
                self.header_len = 0;
                Ok(Some(header))
            }
            None => {
                self.header_len = (had + taken) as u8;
                Ok(None)
            }
        }
    }

    /// A frame that is complete, and unmasked, at `range` of `bytes`.
    fn finish_whole(
        &mut self,
        header: Header,
        bytes: &[u8],
        range: Range<usize>,
        pool: &mut BlockPool,
        items: &mut Vec<Item>,
    ) -> Result<(), WsError> {
        let payload = &bytes[range.clone()];
        if header.opcode.is_control() {
            return self.push_control(header.opcode, Payload::InPlace(range), bytes, pool, items);
        }
        self.check_text(payload, header.fin)?;
        if header.fin && self.message_len == 0 {
            self.push_message(Payload::InPlace(range), items);
            return Ok(());
        }
        self.keep_data(payload, pool);
        self.finish_data(header.fin, items);
        Ok(())
    }

    /// Takes the part of the payload of `frame` that `bytes` hold, and returns its length. The frame's opcode is passed
    /// in.
    fn take_payload(
        &mut self,
        opcode: Opcode,
        bytes: &mut [u8],
        pool: &mut BlockPool,
        items: &mut Vec<Item>,
    ) -> Result<usize, WsError> {
        let len = bytes.len().min(self.frame_rest as usize);
        let piece = &mut bytes[..len];
        unmask(piece, self.masking_key, 0);
        self.masking_key.rotate_left(len % 4);
        self.frame_rest -= len as u32;
        let is_whole = self.frame_rest == 0;
        if is_whole {
            self.frame = None;
        }
        if opcode.is_control() {
            self.block.get_or_insert_with(|| pool.take()).extend_from_slice(piece);
            if is_whole {
                self.finish_kept_control(opcode, pool, items)?;
            }
        } else {
            self.check_text(piece, is_whole && self.fin)?;
            self.keep_data(piece, pool);
            self.finish_data(is_whole && self.fin, items);
        }
        Ok(len)
    }

    /// Text is checked as it comes, so that it fails with the first byte that cannot be UTF-8. [RFC 6455 8.1]
    fn check_text(&mut self, piece: &[u8], is_last: bool) -> Result<(), WsError> {
        if self.message == Message::Text && self.deflate != Deflate::InProgress {
            self.utf8.push(piece).map_err(|InvalidUtf8| WsError::InvalidUtf8)?;
            if is_last {
                self.utf8.finish().map_err(|InvalidUtf8| WsError::InvalidUtf8)?;
            }
        }
        Ok(())
    }

    fn keep_data(&mut self, piece: &[u8], pool: &mut BlockPool) {
        if !piece.is_empty() {
            self.block.get_or_insert_with(|| pool.take()).extend_from_slice(piece);
            // The header was checked against `message_len_max`, which is at most `u32::MAX`.
            self.message_len += piece.len() as u32;
        }
    }

    /// Hands out the block if its message is complete.
    fn finish_data(&mut self, is_complete: bool, items: &mut Vec<Item>) {
        if is_complete && let Some(block) = self.block.take() {
            self.message_len = 0;
            self.push_message(Payload::Block(block), items);
        }
    }

    fn push_message(&mut self, payload: Payload, items: &mut Vec<Item>) {
        let is_deflated = self.deflate == Deflate::InProgress;
        if is_deflated {
            self.deflate = Deflate::Agreed;
        }
        let is_text = self.message == Message::Text;
        let kind = if is_text { MessageKind::Text } else { MessageKind::Binary };
        items.push(Item::Message { kind, is_deflated, payload });
        self.message = Message::None;
    }

    /// Returns the control frame that is stored behind the message in progress in the block.
    fn finish_kept_control(
        &mut self,
        opcode: Opcode,
        pool: &mut BlockPool,
        items: &mut Vec<Item>,
    ) -> Result<(), WsError> {
        let Some(mut control) = self.block.take() else { return Ok(()) };
        let message_len = self.message_len as usize;
        if message_len > 0 {
            let mut message = std::mem::replace(&mut control, pool.take());
            control.extend_from_slice(&message[message_len..]);
            message.truncate(message_len);
            self.block = Some(message);
        }
        self.push_control(opcode, Payload::Block(control), &[], pool, items)
    }

    fn push_control(
        &mut self,
        opcode: Opcode,
        payload: Payload,
        bytes: &[u8],
        pool: &mut BlockPool,
        items: &mut Vec<Item>,
    ) -> Result<(), WsError> {
        let item = match opcode {
            Opcode::Ping => Item::Ping(payload),
            Opcode::Pong => Item::Pong(payload),
            _ => match check_close(payload.as_slice(bytes)) {
                Ok(code) => {
                    self.end(pool);
                    Item::Close { code, reason: without_close_code(payload) }
                }
                Err(error) => {
                    payload.recycle(pool);
                    return Err(error);
                }
            },
        };
        items.push(item);
        Ok(())
    }

    /// Forgets everything but that it has ended.
    fn end(&mut self, pool: &mut BlockPool) {
        if let Some(block) = self.block.take() {
            pool.put(block);
        }
        *self = Self { role: self.role, has_ended: true, ..Self::default() };
    }
}

/// The close code of a close frame. A payload of one byte was refused with its header.
fn check_close(payload: &[u8]) -> Result<Option<u16>, WsError> {
    let Some((code, reason)) = payload.split_first_chunk() else { return Ok(None) };
    let code = u16::from_be_bytes(*code);
    if !close_code::is_valid(code) {
        return Err(WsError::BadCloseCode);
    }
    // "the body ... MAY contain UTF-8-encoded data" [RFC 6455 5.5.1]
    simdutf8::basic::from_utf8(reason).map_err(|_| WsError::InvalidUtf8)?;
    Ok(Some(code))
}

/// The reason behind the two bytes of the close code, if there is one.
fn without_close_code(payload: Payload) -> Payload {
    match payload {
        Payload::InPlace(range) => Payload::InPlace(range.end.min(range.start + 2)..range.end),
        Payload::Block(mut block) => {
            block.drain(..block.len().min(2));
            Payload::Block(block)
        }
    }
}

#[cfg(test)]
mod tests;
