//! The servers that are measured: how each is started and ended. Every run has a fresh process on a fresh port.

use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::case::Case;

/// A server to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Floor { driver: &'static str },
    Fanwire { driver: &'static str },
    Peer(Peer),
}

/// One of `scripts/peers.sh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) version: String,
}

/// Where programs are found, and the core that servers run on.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// This program.
    pub(super) load: PathBuf,
    pub(super) fanwire: PathBuf,
    pub(super) peers_script: PathBuf,
    pub(super) server_core: u32,
}

impl Server {
    /// By the name that it has on the command line and in the tables; not a peer.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "floor" => Some(Self::Floor { driver: "epoll" }),
            "floor-uring" => Some(Self::Floor { driver: "uring" }),
            "fanwire" => Some(Self::Fanwire { driver: "epoll" }),
            "fanwire-uring" => Some(Self::Fanwire { driver: "uring" }),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Floor { driver: "epoll" } => "floor",
            Self::Floor { .. } => "floor-uring",
            Self::Fanwire { driver: "epoll" } => "fanwire",
            Self::Fanwire { .. } => "fanwire-uring",
            Self::Peer(peer) => &peer.name,
        }
    }

    pub(super) fn version(&self) -> &str {
        match self {
            Self::Floor { .. } | Self::Fanwire { .. } => env!("CARGO_PKG_VERSION"),
            Self::Peer(peer) => &peer.version,
        }
    }

    /// The preset of the client.
    pub(super) fn preset(&self) -> &str {
        match self {
            Self::Peer(peer) if ["nchan", "nats", "socketio"].contains(&peer.name.as_str()) => &peer.name,
            // The small peers and the floor take any path for a topic, as fanwire's bare feed does.
            _ => "fanwire",
        }
    }

    /// Whether it can do what a case asks for. Echoes are not what brokers do.
    pub(super) fn can(&self, case: Case) -> bool {
        case != Case::Echo || self.preset() == "fanwire"
    }

    /// Starts it on its core, and waits until it is ready.
    pub(super) fn start(&self, case: Case, programs: &Programs) -> Result<Running, String> {
        let port = free_port().map_err(|error| format!("no free port: {error}"))?;
        let core = programs.server_core.to_string();
        let listen = format!("127.0.0.1:{port}");
        let mut command = Command::new("taskset");
        command.args(["-c", &core]).stdin(Stdio::null()).stdout(Stdio::piped());
        match self {
            Self::Floor { driver } => {
                let mode = match case.floor_mode() {
                    crate::floor::Mode::Hold => "hold",
                    crate::floor::Mode::Fanout => "fanout",
                    crate::floor::Mode::Batch => "batch",
                    crate::floor::Mode::Echo => "echo",
                };
                command.arg(&programs.load).args(["floor", "--listen", &listen, "--mode", mode, "--driver", driver]);
            }
            Self::Fanwire { driver } => {
                command.arg(&programs.fanwire);
                command.args(["serve", "--listen", &listen, "--shards", "1", "--driver", driver]);
            }
            Self::Peer(peer) => {
                command.arg(&programs.peers_script).args(["start", &peer.name, &port.to_string()]);
                let pid = start_peer(command)?;
                let stop = Stop::Peer { name: peer.name.clone(), script: programs.peers_script.clone() };
                return Ok(Running { port, pid, stop });
            }
        }
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", self.name()))?;
        let out = child.stdout.take();
        let running = Running { port, pid: child.id(), stop: Stop::Child(child) };
        let is_ready = out.is_some_and(says_ready);
        if is_ready { Ok(running) } else { Err(format!("{} did not become ready", self.name())) }
    }
}

/// A server that is ready. Ended when it is dropped.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) port: u16,
    pub(super) pid: u32,
    stop: Stop,
}

#[derive(Debug)]
enum Stop {
    Child(Child),
    Peer { name: String, script: PathBuf },
}

impl Drop for Running {
    fn drop(&mut self) {
        match &mut self.stop {
            Stop::Child(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Stop::Peer { name, script } => {
                let _ = Command::new(script).args(["stop", name]).stdin(Stdio::null()).status();
            }
        }
    }
}

/// The peers that are installed, as the script lists them.
pub(super) fn installed_peers(script: &Path) -> Result<Vec<Peer>, String> {
    let output = Command::new(script).arg("list").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", script.display()))?;
    Ok(parse_peers(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines of `NAME VERSION`; the version of one that is not installed is `-`.
fn parse_peers(list: &str) -> Vec<Peer> {
    let rows = list.lines().filter_map(|line| line.trim().split_once(' '));
    let rows = rows.filter(|(_, version)| *version != "-");
    rows.map(|(name, version)| Peer { name: name.to_owned(), version: version.to_owned() }).collect()
}

/// The script returns when the peer answers, and prints its process id.
fn start_peer(mut command: Command) -> Result<u32, String> {
    let output = command.stderr(Stdio::piped()).output().map_err(|error| format!("peers.sh: {error}"))?;
    let pid = String::from_utf8_lossy(&output.stdout).trim().parse();
    let complaint = String::from_utf8_lossy(&output.stderr);
    pid.map_err(|_| complaint.lines().last().unwrap_or("peers.sh said nothing").to_owned())
}

/// Waits for the line `ready`. What the server says afterwards is read and dropped, so that it never waits for us.
fn says_ready(out: ChildStdout) -> bool {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if line == "ready" {
                let _ = tell.send(());
            }
        }
    });
    match told.recv_timeout(READY_TIMEOUT) {
        Ok(()) => true,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

const READY_TIMEOUT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Server {
        Server::Peer(Peer { name: name.to_owned(), version: "1".to_owned() })
    }

    #[test]
    fn installed_peers_are_those_with_a_version() {
        let list = "nchan nginx 1.22.1, nchan 1.3.6\nnats -\nws 8.23.0\n\n";
        let peers = parse_peers(list);
        assert_eq!(peers.len(), 2);
        assert_eq!((peers[0].name.as_str(), peers[0].version.as_str()), ("nchan", "nginx 1.22.1, nchan 1.3.6"));
        assert_eq!(peers[1].name, "ws");
    }

    #[test]
    fn every_server_is_found_under_its_name() {
        for name in ["floor", "floor-uring", "fanwire", "fanwire-uring"] {
            assert_eq!(Server::named(name).expect("it is there").name(), name);
        }
        assert_eq!(Server::named("nchan"), None);
    }

    #[test]
    fn brokers_are_spoken_to_in_their_own_words_and_do_not_echo() {
        for (server, preset) in [(peer("nats"), "nats"), (peer("nchan"), "nchan"), (peer("socketio"), "socketio")] {
            assert_eq!(server.preset(), preset);
            assert!(!server.can(Case::Echo) && server.can(Case::Fanout));
        }
        for server in [peer("ws"), peer("bun"), peer("tungstenite"), Server::Floor { driver: "epoll" }] {
            assert_eq!(server.preset(), "fanwire");
            assert!(Case::ALL.iter().all(|case| server.can(*case)));
        }
    }

    #[test]
    fn a_server_that_ends_before_it_is_ready_is_an_error_and_no_hang() {
        let programs = Programs {
            load: "/bin/false".into(),
            fanwire: "/bin/false".into(),
            peers_script: "/bin/false".into(),
            server_core: 0,
        };
        for server in [Server::Floor { driver: "epoll" }, Server::Fanwire { driver: "epoll" }, peer("ws")] {
            let error = server.start(Case::Hold, &programs).expect_err("it ended");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
