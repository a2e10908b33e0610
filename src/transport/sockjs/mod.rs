//! SockJS 0.3: messages as text over WebSocket, or over HTTP requests for clients without WebSocket.
//!
//! Over WebSocket a session belongs to the connection. Over HTTP it is a *detached* one: a receiving request carries it
//! while the request waits, and sending requests find it by the name that the client chose. The name decides which shard
//! holds the session, so that a balancer needs no sticky sessions.
//!
//! | file | content |
//! |---|---|
//! | `path` | from a path to the call of a client |
//! | `frames` | from messages to frames, and back |
//! | `answers` | the heads and bodies of responses |
//!
//! Source: sockjs-protocol 0.3.3. Not supported: `htmlfile`, `jsonp` and the page for `iframe` transports, which only
//! browsers without CORS need.

mod answers;
mod frames;
mod path;

pub use answers::{Receiver, fields, page, sent, taken};
pub use frames::{BrokenFrame, close, element, heartbeat, messages, open, wrap};
pub use path::call;
