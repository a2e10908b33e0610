//! The floor's treatment of messages, and its bounds over every kernel interface.

/// The floor's treatment of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Nothing: connections are accepted and held.
    Hold,
    /// Send each message to every reader, one send a message. A connection that sends one is no reader from then on.
    Fanout,
    /// Gather what one turn of the loop brought and send it to every reader in one send.
    Batch,
    /// Send it back.
    Echo,
}

/// Bytes that may wait for a connection that does not read; past it the connection is closed.
pub(super) const REST_LEN_MAX: usize = 1024 * 1024;

/// How long accepting rests when the process has no descriptor left.
pub(super) const ACCEPT_PAUSE_MS: u64 = 100;
