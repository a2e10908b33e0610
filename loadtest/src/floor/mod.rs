//! The floor: a server that does the least the kernel allows, with real WebSocket framing, so that every figure of
//! another server can be divided by it.
//!
//! One thread, no topics, no authentication, no pings of its own, no time-outs, nothing counted. What a client sees is
//! still RFC 6455: the opening handshake is checked and answered, frames are decoded by the gateway's own codec, a
//! ping is answered, a close frame too. Bytes are kept for a connection only where it split a head or a frame, or
//! does not read.
//!
//! `peers.rs` knows what bytes mean and no kernel; `epoll.rs` and `uring/` know the kernel and not what bytes mean.
//! Tests: beside `peers.rs`, and `tests.rs` over real sockets, every mode with every driver.

mod epoll;
mod mode;
mod peers;
mod uring;

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

pub use self::mode::Mode;

/// Serve the least the kernel allows, for other figures to be divided by
///
/// One thread. Any path is accepted. Ends with a signal.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct FloorArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
    /// Treatment of messages
    #[arg(long, value_enum, default_value = "hold")]
    pub mode: Mode,
    /// Which kernel interface to use
    #[arg(long, value_enum, default_value = "epoll")]
    pub driver: DriverKind,
}

const EXAMPLES: &str = "\
Examples:
  fanwire-load floor --mode hold
  fanwire-load floor --listen 127.0.0.1:9000 --mode fanout --driver uring";

/// Which kernel interface the floor uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DriverKind {
    /// epoll, and a bare `send()` a reader.
    Epoll,
    /// `io_uring`: multishot accept and poll, direct descriptors, SEND entries 256 a submit.
    Uring,
}

/// Runs the floor until a signal ends the process. Prints `listening on http://ADDR:PORT`, then `ready`.
///
/// # Errors
/// A port in use, a kernel without the driver's interface, or a failure that no connection is to blame for, as one line.
pub fn run(args: &FloorArgs) -> Result<(), String> {
    let outcome = serve(args, |addr| {
        let mut out = io::stdout().lock();
        writeln!(out, "listening on http://{addr}\nready")?;
        out.flush()
    });
    outcome.map_err(|error| format!("{}: {error}", args.listen))
}

/// Runs the floor for ever, after `announce` was told where it listens.
fn serve(args: &FloorArgs, announce: impl FnOnce(SocketAddr) -> io::Result<()>) -> io::Result<()> {
    let listener = listen(args.listen)?;
    let addr = listener.local_addr()?;
    match args.driver {
        DriverKind::Epoll => epoll::Epoll::new(listener, args.mode)?.run(|| announce(addr)),
        DriverKind::Uring => uring::Uring::new(listener, args.mode)?.run(|| announce(addr)),
    }
}

/// The same options as the gateway's listeners, so that accepted sockets cost the kernel the same.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Connections that wait to be accepted; the kernel cuts this down to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
