//! The hands of the outside judges: the gateway as a child process, and a raw TCP client that can say anything.
//!
//! Nothing here uses the crate's own codecs: both ends sharing one would hide shared mistakes. Read timeouts are
//! only there to end a hang; no test waits for one.

#![allow(dead_code, reason = "each test binary uses its own part of the harness")]

pub mod authority;
pub mod deflate;
mod frame;
mod http;
mod socket;
mod wire;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

pub use frame::{Frame, Length, Opcode};
pub use http::Response;
pub use socket::Socket;
pub use wire::Wire;

/// Ends a hang; long enough that a loaded machine never meets it.
pub const HANG: Duration = Duration::from_secs(10);

/// Names a server that already runs, `127.0.0.1:9001`, to judge it instead of our own.
const JUDGED_ADDRESS: &str = "FANWIRE_JUDGED_ADDRESS";

/// Names another build of the gateway, to judge that instead of the tests' own.
const JUDGED_PROGRAM: &str = "FANWIRE_JUDGED_PROGRAM";

/// A gateway process on a port of its own; killed on drop.
pub struct Gateway {
    process: Option<Process>,
    /// One for each `--listen` that is no file, in that order.
    addresses: Vec<SocketAddr>,
}

struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Gateway {
    /// Starts `fanwire serve --listen 127.0.0.1:0 ARGS...` and waits for its `ready`.
    pub fn start(args: &[&str]) -> Self {
        if let Ok(address) = std::env::var(JUDGED_ADDRESS) {
            return Self { process: None, addresses: vec![address.parse().expect("an address and port to judge")] };
        }
        Self::ready(Process::spawn(program(), &[&["serve", "--listen", "127.0.0.1:0"], args].concat()))
    }

    fn ready(mut process: Process) -> Self {
        let mut addresses = Vec::new();
        loop {
            let line = process.line();
            if let Some(url) = line.strip_prefix("listening on ") {
                let address = url.trim_start_matches("http://").trim_start_matches("https://");
                addresses.extend(address.trim_end_matches('/').parse::<SocketAddr>().ok());
            }
            if line.trim() == "ready" {
                break;
            }
        }
        assert!(!addresses.is_empty(), "a `listening on http://127.0.0.1:PORT` line before `ready`");
        Self { process: Some(process), addresses }
    }

    /// Likewise with so many descriptors; the log goes to a file.
    pub fn start_with_descriptors(count: u32, log: &Path, args: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -n {count} && exec \"$0\" \"$@\" 2>'{}'", log.display());
        shell.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_fanwire")).env_clear();
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        Self::ready(Process::spawn(shell, &[&serve, args].concat()))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where it listens, by `--listen`; the first is the one of its own.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a gateway of our own").child.id()
    }

    /// A bare TCP connection.
    pub fn connect(&self) -> Socket {
        Socket::connect(self.address())
    }

    /// A connection past its opening handshake on `target`.
    pub fn websocket(&self, target: &str) -> Socket {
        let mut socket = self.connect();
        socket.open(target);
        socket
    }

    /// Asks it to end: SIGTERM, to its own pid only.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal, to its own pid only.
    pub fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("a gateway of our own");
        let status = Command::new("kill").args(["-s", name, &process.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success(), "the gateway was there to be told");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let process = self.process.as_mut().expect("a gateway of our own");
        let deadline = Instant::now() + HANG * 2;
        // The end of its output comes with the end of the process.
        loop {
            match process.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the gateway did not end"),
            }
        }
        process.child.wait().expect("its exit status")
    }
}

/// The program, without what the environment has for it or for these tests; `scripts/test.sh` may say which driver.
pub fn program() -> Command {
    let built = env!("CARGO_BIN_EXE_fanwire").into();
    let mut command = Command::new(std::env::var_os(JUDGED_PROGRAM).unwrap_or(built));
    let ours = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let ours = ours.filter(|name| name.starts_with("FANWIRE_") && name != "FANWIRE_DRIVER");
    for name in ours {
        command.env_remove(name);
    }
    command
}

impl Process {
    fn spawn(mut program: Command, args: &[&str]) -> Self {
        let mut child = program
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the gateway's binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let (sender, lines) = mpsc::channel();
        // Reads to the end even when nobody listens any more, so that the gateway never meets a full pipe.
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        match self.lines.recv_timeout(HANG) {
            Ok(line) => line,
            Err(error) => {
                let _ = self.child.kill();
                panic!("the gateway did not get ready ({error}), {:?}", self.child.wait());
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
