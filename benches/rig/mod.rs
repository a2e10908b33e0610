//! A shard over a kernel that takes everything at once, and connections that come, speak and are counted: what the
//! benches of whole shards stand on.

#![allow(dead_code, reason = "each bench uses its own part")]

#[path = "../../tests/common/settings.rs"]
mod settings;

use std::time::{Duration, Instant};

use fanwire::command::ConnId;
use fanwire::driver::null::Null;
use fanwire::limits::{Limits, TOPICS_PER_CONNECTION_BOUND};
use fanwire::mailbox::Mailbox;
use fanwire::shard::{Shard, turn};
use fanwire::wire::ws::{Opcode, encode_client_frame};

use settings::settings;

/// One shard, and what it stands between.
pub struct Bench {
    pub driver: Null,
    pub shard: Shard,
    pub mailbox: Mailbox,
}

impl Bench {
    /// A shard by itself.
    pub fn new(connections: u32) -> Self {
        Self::with_limits(connections, Limits::default())
    }

    /// The same, with other bounds.
    pub fn with_limits(connections: u32, limits: Limits) -> Self {
        Self::mesh(1, connections, limits).remove(0)
    }

    /// Shards that send each other mail. Nothing wakes them: whoever steps them goes on until nothing more comes.
    pub fn mesh(shards: usize, connections: u32, limits: Limits) -> Vec<Self> {
        let limits = Limits {
            connections_max: connections + 16,
            topics_per_connection_max: TOPICS_PER_CONNECTION_BOUND,
            ..limits
        };
        let (mailboxes, _) = Mailbox::mesh(shards);
        let bench = |(settings, mailbox)| Self { driver: Null::default(), shard: Shard::new(settings), mailbox };
        settings(shards, &limits).into_iter().zip(mailboxes).map(bench).collect()
    }

    pub fn turn(&mut self) {
        turn(&mut self.driver, &mut self.shard, &mut self.mailbox, |_| {}).expect("nothing goes wrong");
    }

    /// Takes in what a client says, and answers.
    pub fn say(&mut self, conn: ConnId, frames: &[u8]) {
        self.driver.receive(conn, frames);
        self.turn();
    }

    /// The same, and how long the turn took.
    pub fn time(&mut self, conn: ConnId, frames: &[u8]) -> Duration {
        self.driver.receive(conn, frames);
        self.time_turn()
    }

    pub fn time_turn(&mut self) -> Duration {
        let begin = Instant::now();
        self.turn();
        begin.elapsed()
    }

    /// Brings in connections that have said their opening handshake.
    pub fn open(&mut self, count: u32, path: &str) -> Vec<ConnId> {
        self.open_each(count, |_| path.to_owned())
    }

    /// The same, each with a path of its own.
    pub fn open_each(&mut self, count: u32, path: impl Fn(u32) -> String) -> Vec<ConnId> {
        let before = self.driver.adopted().len();
        for from in (0..count).step_by(PORTION as usize) {
            let known = self.driver.adopted().len();
            self.driver.arrive(PORTION.min(count - from));
            self.turn();
            for index in known..self.driver.adopted().len() {
                let handshake = handshake(&path((index - before) as u32));
                self.driver.receive(self.driver.adopted()[index], handshake.as_bytes());
            }
            self.turn();
        }
        self.turn();
        self.driver.adopted()[before..].to_vec()
    }
}

/// A client's opening handshake.
pub fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// A client's text message.
pub fn text(message: &str) -> Vec<u8> {
    frame(Opcode::Text, message.as_bytes())
}

/// A client's frame.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_client_frame(&mut out, opcode, true, [1, 2, 3, 4], payload);
    out
}

/// Connections that come in with one wait, so that what they say fits the caches as it does from a kernel.
const PORTION: u32 = 256;
