//! SockJS 0.3: messages as text over WebSocket, or over HTTP requests where there is none.
//!
//! Over WebSocket a session is the connection's own. Over HTTP it is a *detached* one: a request that receives carries it
//! for as long as it waits, and requests that send find it by the name that the client chose. The name decides which
//! shard holds the session, so that a balancer in front needs no sticky sessions.
//!
//! | file | what stands there |
//! |---|---|
//! | `path` | from a path to what is asked for |
//! | `frames` | messages as frames, and back |
//! | `answers` | the heads and bodies of responses |
//!
//! Source: sockjs-protocol 0.3.3. What is not there: `htmlfile`, `jsonp` and the page for `iframe` transports, which only
//! browsers without CORS need.

mod answers;
mod frames;
mod path;

pub use answers::{Receiver, fields, page, sent, taken};
pub use frames::{BrokenFrame, close, element, heartbeat, messages, open, wrap};
pub use path::call;
