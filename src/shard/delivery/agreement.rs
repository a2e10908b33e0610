//! Compression as a connection meets it: what it agrees on in its opening handshake, what it sends, and its echo.

use crate::close::CloseReason;
use crate::command::{Compression, ConnId, MessageKind, SessionId, SessionIndex, TopicName};
use crate::dialect::Dialect;
use crate::limits::{INFLATED_AT_ONCE_MAX, INFLATED_KEPT_LEN_MAX, PRICE_INFLATE, PRICE_INFLATED_BYTE};
use crate::routes::Handshake;
use crate::shard::Shard;
use crate::shard::session::agreed::{Agreed, Window};
use crate::shard::session::session::Session;
use crate::shard::session::subscription::TargetKind;
use crate::transport::Framing;
use crate::wire::deflate::InflateError;
use crate::wire::ws::extension::{DeflateAnswer, DeflateOffer};
use crate::wire::ws::utf8::is_utf8;

impl Shard {
    /// Whether a topic that a connection is about to follow should stand first there, because it has a stream and what
    /// stands there has none.
    pub(in crate::shard) fn brings_a_stream(&self, index: SessionIndex, topic: &TopicName) -> bool {
        let session = &self.links.conns[index];
        let is_shared = |topic: &TopicName| self.settings.live.compression_of(topic.as_str()) == Compression::Shared;
        let first_is_shared = || match session.first.target.kind() {
            TargetKind::Topic(first) => is_shared(&self.hub.name(first)),
            TargetKind::Pattern(_) => false,
        };
        session.agreed.keeps_context() && !session.first.is_none() && is_shared(topic) && !first_is_shared()
    }

    /// The agreement on an offer, and the answer to it; `None` to decline.
    pub(in crate::shard) fn agree(
        &self,
        handshake: &Handshake,
        offer: DeflateOffer,
    ) -> Option<(Agreed, DeflateAnswer)> {
        let live = &self.settings.live;
        let default = live.compression.default;
        let stream_window_bits = self.delivery.compressor.stream_window_bits();
        let compression = match (&handshake.topic, handshake.dialect) {
            // Messages in frames of a service: its clients' libraries do not ask for it.
            _ if handshake.framing != Framing::WebSocket => Compression::Off,
            (_, Dialect::Echo) if default == Compression::Off => Compression::Off,
            (_, Dialect::Echo) => Compression::Message,
            (Some((topic, _)), _) => live.compression_of(topic.as_str()),
            // Any topic may be asked for later.
            (None, _) => live.rules.most_compression(default),
        };
        if compression == Compression::Off {
            return None;
        }
        let window = Window::at_most(offer.server_max_window_bits.unwrap_or(15));
        let keeps_context = compression == Compression::Shared
            && !offer.server_no_context_takeover
            && window.bits() >= stream_window_bits;
        let answer = DeflateAnswer {
            server_no_context_takeover: !keeps_context,
            server_max_window_bits: offer.server_max_window_bits.map(|_| window.bits()),
        };
        Some((Agreed::new(window, keeps_context, !offer.client_no_context_takeover), answer))
    }

    /// A whole message that is compressed; `false` if it is too long to be inflated now, which only one that `may_wait` is.
    pub(in crate::shard) fn on_deflated(
        &mut self,
        id: ConnId,
        kind: MessageKind,
        deflated: &[u8],
        may_wait: bool,
    ) -> bool {
        let message_len_max = self.settings.live.limits.message_len_max as usize;
        let len_max = if may_wait { message_len_max.min(INFLATED_AT_ONCE_MAX) } else { message_len_max };
        let compressor = &mut self.delivery.compressor;
        let mut message = std::mem::take(&mut compressor.inflated);
        message.clear();
        let inflater = compressor.inflater.get_or_insert_default();
        let outcome = inflater.inflate(compressor.windows.of(id), deflated, len_max, &mut message);
        if outcome.is_ok() && !message.is_empty() && self.links.conns[id.index].session.agreed.may_lean() {
            compressor.windows.keep(id, &message);
        }
        self.turn.budget.charge(PRICE_INFLATE + (deflated.len() + message.len()) as u64 * PRICE_INFLATED_BYTE);
        let has_to_wait = outcome == Err(InflateError::TooBig) && len_max < message_len_max;
        match outcome {
            _ if has_to_wait => {}
            Ok(()) if kind == MessageKind::Text && !is_utf8(&message) => {
                self.fail(id, CloseReason::InvalidUtf8, "text is not UTF-8")
            }
            Ok(()) => self.on_message(id.into(), kind, &message),
            Err(InflateError::TooBig) => self.fail(id, CloseReason::MessageTooBig, "message too big"),
            Err(InflateError::Garbage) => self.fail(id, CloseReason::InvalidDeflate, "not a compressed message"),
        }
        if message.capacity() <= INFLATED_KEPT_LEN_MAX {
            self.delivery.compressor.inflated = message;
        }
        !has_to_wait
    }

    /// Sends a message back to where it came from.
    pub(in crate::shard) fn echo(&mut self, id: SessionId, kind: MessageKind, message: &[u8]) {
        let Session { agreed, encoding, .. } = self.links.conns[id.index];
        let mut frame = Vec::new();
        if !agreed.is_none() && message.len() >= self.settings.live.compression.threshold as usize {
            self.delivery.compressor.frame_alone(agreed.window(), kind, message, &mut frame);
        }
        self.reply(id, |out| match frame.as_slice() {
            [] => encoding.row().framing.message(kind, message, out),
            frame => out.extend_from_slice(frame),
        });
    }
}
