//! The edge from outside: TLS by a client that others wrote, certificates, PROXY headers, socket files.

#[path = "../common/mod.rs"]
mod common;

mod certificates;
mod commands;
mod hostile;
mod idle;
mod proxies;
mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use common::authority::{Authority, Folder, Issued};
use common::{Gateway, HANG, Socket, Wire};
use rustls::ClientConfig;
use rustls::version::TLS13;

/// A gateway with a certificate for `localhost`; its first address speaks TLS, the second does not.
struct World {
    gateway: Gateway,
    authority: Authority,
    folder: Folder,
}

impl World {
    fn new(arguments: &[&str]) -> Self {
        let authority = Authority::new();
        let issued = authority.issue(&["localhost"]);
        Self::with(authority, &issued, arguments)
    }

    fn with(authority: Authority, issued: &Issued, arguments: &[&str]) -> Self {
        Self::in_folder(Folder::new(), authority, issued, arguments)
    }

    fn in_folder(folder: Folder, authority: Authority, issued: &Issued, arguments: &[&str]) -> Self {
        let (cert, key) = (folder.write("cert.pem", &issued.cert), folder.write("key.pem", &issued.key));
        let own = ["--listen", "http://127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
        let gateway = Gateway::start(&[&own, arguments].concat());
        Self { gateway, authority, folder }
    }

    fn tls_address(&self) -> SocketAddr {
        self.gateway.addresses()[0]
    }

    fn plain_address(&self) -> SocketAddr {
        self.gateway.addresses()[1]
    }

    fn client(&self) -> Arc<ClientConfig> {
        self.authority.client(&TLS13, None)
    }

    fn connect(&self) -> Socket {
        self.connect_as(&self.client(), "localhost")
    }

    fn connect_as(&self, config: &Arc<ClientConfig>, name: &str) -> Socket {
        connect_tls(self.tls_address(), config, name)
    }

    fn websocket(&self, target: &str) -> Socket {
        let mut socket = self.connect();
        socket.open(target);
        socket
    }

    /// Waits until so many connections have ended for a reason; each look is a conversation with the gateway.
    fn wait_for_closes(&self, reason: &str, count: u64) {
        let line = |shard: u32| format!("fanwire_closes_total{{shard=\"{shard}\",reason=\"{reason}\"");
        wait_for(|| (0..4).map(|shard| self.metric(&line(shard))).sum::<u64>() == count);
    }

    /// One line of `/metrics`, summed over the shards.
    fn metric(&self, family: &str) -> u64 {
        metric(self.plain_address(), family)
    }
}

fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Socket {
    let stream = std::net::TcpStream::connect_timeout(&address, HANG).expect("the gateway accepts");
    Socket::over(Wire::tls(stream, config, name))
}

/// Sums what begins with `family` in the metrics.
fn metric(address: SocketAddr, family: &str) -> u64 {
    let mut socket = Socket::connect(address);
    socket.write("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let response = socket.expect_http_status(200);
    let lines = response.text().lines().filter(|line| line.starts_with(family));
    lines.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).expect("a number")).sum()
}

/// The certificate that the gateway showed.
fn shown(socket: &mut Socket) -> Vec<u8> {
    match socket.wire() {
        Wire::Tls(stream) => stream.conn.peer_certificates().expect("a handshake was made")[0].to_vec(),
        Wire::Plain(_) => panic!("only TLS has certificates"),
    }
}

/// Asks until it is so.
fn wait_for(mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < HANG, "it did not come to be");
    }
}

/// Says that it is alive: an answer over a connection that stays.
fn assert_echo(socket: &mut Socket, text: &str) {
    socket.send(common::Frame::text(text)).expect_text(text);
}
