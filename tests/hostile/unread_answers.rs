//! Requests for large answers that nobody reads.
//!
//! 400 clients took 1.6 GiB, and 8 ms of CPU each. Reference: CVE-2019-9517 (internal data buffering) in its HTTP/1.1 form.

use std::net::SocketAddr;

use crate::common::Frame;
use crate::common::authority::Folder;
use crate::peer::Peer;
use crate::world::{Attack, Metrics, check_prepared, scale};

#[test]
fn an_answer_that_nobody_reads_ends_its_connection() {
    let attack = Attack::new("unread answers", "body_timeout, one encoding for all", 16 << 20);
    let connections = 40 * scale();
    let prepare = |address| {
        let body = vec![b'x'; 1 << 20];
        Peer::connect(address).publish("/publish/big", &body);
    };
    check_prepared(&attack, &["--body-timeout", "3s"], prepare, |address, ()| {
        let request = "GET /topics/big HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
        let mut peers: Vec<_> = (0..connections).map(|_| Peer::connect(address)).collect();
        for peer in &mut peers {
            peer.write_some(request.as_bytes());
        }
        // They look again only when they are gone.
        expect_gone(address);
        for peer in &mut peers {
            peer.read_to_end();
        }
    });
}

#[test]
fn histories_that_nobody_reads_are_let_go() {
    let bound = "memory_len_max, looked at when much has come";
    let attack = Attack::new("unread histories", bound, (16 + 64) << 20);
    let connections = 20 * scale();
    let folder = Folder::new();
    let config = folder.write("config.toml", "[[topics]]\nmatch = \"big\"\nhistory = 4\n");
    let prepare = |address| {
        for _ in 0..4 {
            Peer::connect(address).publish("/publish/big", &vec![b'x'; 1000 << 10]);
        }
    };
    let arguments = ["--body-timeout", "3s", "--memory-len-max", "16MiB", "--config", &config];
    check_prepared(&attack, &arguments, prepare, |address, ()| {
        let request = "GET /topics/big/history HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let operation = Frame::text(r#"{"op":"history","topic":"big","id":1}"#).encode();
        let mut peers = Vec::new();
        for at in 0..connections {
            if at % 2 == 0 {
                peers.push(Peer::connect(address));
                peers[at].write_some(request.as_bytes());
            } else {
                peers.push(Peer::websocket(address, "/ws"));
                peers[at].write_some(&operation);
            }
        }
        expect_gone(address);
        peers.into_iter().for_each(Peer::reset);
    });
}

fn expect_gone(address: SocketAddr) {
    // The one that asks is there, too.
    while Metrics::of(address).sum_where("fanwire_connections", "transport=\"http\"") > 1 {}
}
