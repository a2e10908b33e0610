//! The messages to a server, and their framing.

use serde::{Deserialize, Serialize};

use super::template::Template;

/// How readers are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Transport {
    /// WebSocket
    #[default]
    #[value(name = "ws")]
    WebSocket,
    /// fanwire's server-sent events
    #[value(name = "sse")]
    Events,
    /// fanwire's lines of JSON
    #[value(name = "stream")]
    Lines,
    /// fanwire's long polling
    Poll,
}

impl Transport {
    /// Where readers begin, over HTTP.
    #[must_use]
    pub fn path(self) -> Option<&'static str> {
        match self {
            Self::WebSocket => None,
            Self::Events => Some("/sse?topic={topic}&last=0"),
            Self::Lines => Some("/stream?topic={topic}&last=0"),
            // It says where it is, at once; the polls from there on wait.
            Self::Poll => Some("/poll?topic={topic}&last=0&timeout=0s"),
        }
    }
}

/// The messages of readers and publishers to a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dialogue {
    /// How readers are connected.
    pub transport: Transport,
    /// Where readers upgrade, or what they ask for.
    pub path: Template,
    /// The `Sec-WebSocket-Protocol` to offer.
    pub subprotocol: Option<String>,
    /// The offer in `Sec-WebSocket-Extensions`: permessage-deflate.
    pub deflate: Option<String>,
    /// Whether our messages are binary.
    pub is_binary: bool,
    /// The first messages of every connection, one after the other.
    pub opening: Vec<Step>,
    /// The next messages of readers.
    pub subscribe: Vec<Step>,
    /// How messages are published.
    pub publish: Publish,
    /// A message that starts with the first is answered by the second: heartbeats of the server's own protocol.
    pub answers: Vec<(String, String)>,
    /// Where connections of the echo scenario upgrade. They say nothing of the above.
    pub echo_path: Template,
}

/// One thing to say, and what has to come before the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The message; none is sent if it is empty.
    pub send: Template,
    /// A part of the message that is waited for; none if it is empty.
    pub until: String,
}

/// The way of a publication.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Publish {
    /// As a message on a connection that was upgraded at `path`. If that names the topic, there is one connection for
    /// each topic.
    WebSocket {
        /// Where publishers upgrade.
        path: Template,
        /// Their messages.
        message: Template,
    },
    /// As the body of a POST, on a connection that stays open.
    Http {
        /// Where to.
        path: Template,
        /// The message.
        body: Template,
    },
}
