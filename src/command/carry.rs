//! Operations of requests on detached sessions, and their results. A request may arrive at any shard; the session is at
//! home in one.

use super::{Owner, TopicName};
use crate::close::CloseReason;

/// The operation.
#[derive(Debug)]
pub enum Carry {
    /// Waits for messages of the session.
    Receive {
        /// Makes the session, if there is none.
        opening: Option<Box<Opening>>,
    },
    /// Brings messages of the client, in order.
    Send(Vec<Box<str>>),
    /// Waits no longer: its client is gone.
    Gone,
}

/// The properties of a new detached session.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The service, by its place in the configuration.
    pub service: u8,
    /// The listener that the request came in on.
    pub listener: u8,
    /// The owner in whose share the session counts.
    pub owner: Owner,
    /// The topic of its path.
    pub topic: Option<TopicName>,
}

/// The result.
#[derive(Debug, PartialEq, Eq)]
pub enum Carried {
    /// The session is new, or its client learns of it for the first time.
    Opened,
    /// Messages for the client, in the form of the framing.
    Told(Vec<u8>),
    /// Nothing for so long that something has to be said.
    Silence,
    /// Another request waits already.
    Busy,
    /// The session has ended.
    Ended(CloseReason, Box<str>),
    /// There is no such session.
    Unknown,
    /// The messages are taken.
    Taken,
    /// There are too many sessions, this one does not read its messages, or the gateway shuts down.
    Refused,
}

impl Carry {
    /// Payload bytes in it.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        if let Self::Send(messages) = self { messages.iter().map(|message| message.len()).sum() } else { 0 }
    }
}
