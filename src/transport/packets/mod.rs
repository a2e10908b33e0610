//! A polling transport for tests only. It proves that a transport with sessions of its own needs no more than its
//! folder, its variants and its rows. `POST BASE/SESSION` waits and is answered with lines; `POST BASE/SESSION/say`
//! sends lines. Tests: `shard/tests.rs`.

use super::service::{Answer, Frame, Messages, Receiver, ServiceCall};
use crate::close::Status;
use crate::command::Carried;

/// The media type of every answer.
pub const CONTENT_TYPE: &str = "text/plain";

/// The call of a path after the base.
pub fn call(rest: &str) -> Option<ServiceCall> {
    let session = rest.strip_prefix('/')?;
    match session.strip_suffix("/say") {
        Some(session) => Some(ServiceCall::Send { session: session.into() }),
        None => Some(ServiceCall::Receive { session: session.into(), receiver: Receiver::Packets }),
    }
}

/// The messages of a body: one a line.
pub fn messages(body: &[u8]) -> Result<Messages<'_>, Answer> {
    let text = std::str::from_utf8(body).map_err(|_| taken())?;
    Ok(text.lines().map(Into::into).collect())
}

/// The answer to messages, accepted or not.
pub fn taken() -> Answer {
    Answer { status: Status::Ok, content_type: CONTENT_TYPE, body: b"taken\n".into() }
}

/// Appends a message to a frame.
pub fn message(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(message);
    out.push(b'\n');
}

/// The answer to a request that waited.
pub fn frame(carried: &Carried) -> Option<Frame> {
    let bytes = match carried {
        Carried::Opened => b"open\n".to_vec(),
        Carried::Told(lines) => lines.clone(),
        Carried::Silence => b"\n".to_vec(),
        Carried::Ended(..) => b"ended\n".to_vec(),
        Carried::Busy | Carried::Unknown | Carried::Taken | Carried::Refused => return None,
    };
    Some(Frame { bytes, is_last: false })
}
