//! The mailbox of the engine: one thread that is no shard and numbers publications for all of them.

use std::ops::ControlFlow;

use super::ends::Ends;
use super::{Mail, Outgoing};
use crate::command::{Peer, PeerSet};

/// The engine's end of all lanes. It keeps the rules of a shard: it always takes answers, and requests only while its own
/// answers find room (docs/decisions/0004). Beside them it has three of its own (docs/decisions/0023):
/// - It sends each publication that it numbers to the topic's home with [`Request::Take`](super::Request::Take), in the
///   order of the topic, and sends those between again when a home tells it of a break.
/// - It answers a shard's [`Fence`](super::Request::Fence) once the homes have taken every publication that it acknowledged:
///   each shard has answered a fence that the engine sent behind its last publication, without a break in between.
/// - It ends once every shard has said [`Drained`](super::Request::Drained), or is gone.
#[derive(Debug)]
pub struct EngineBox(pub(super) Ends);

impl EngineBox {
    /// Says that the engine is about to wait. `false` if mail is there already: then it must not wait.
    #[must_use]
    pub fn park(&self) -> bool {
        self.0.park()
    }

    /// Says that the engine is up again.
    pub fn unpark(&self) {
        self.0.unpark();
    }

    /// Hands over at most `budget` mails of each lane, as [`Mailbox::drain`](super::Mailbox::drain) does.
    pub fn drain(&mut self, budget: usize, mut sink: impl FnMut(Peer, Mail) -> ControlFlow<()>) {
        let _ = self.0.drain(budget, &mut sink);
    }

    /// Sends the outgoing mail, and the mail that waited before it. Returns the shards that wait and must be woken.
    #[must_use]
    pub fn post(&mut self, outgoing: &mut Outgoing) -> PeerSet {
        self.0.post(outgoing)
    }

    /// Whether so much mail waits for room that the engine should read no more from its source.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.0.is_congested()
    }

    /// Whether mail waits for room: the engine should not sleep long.
    #[must_use]
    pub fn has_spilled(&self) -> bool {
        self.0.spilled() > 0
    }

    /// Whether every shard is gone: nobody is left to answer.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.0.is_abandoned()
    }
}
