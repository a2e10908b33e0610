//! Requests for large answers that nobody reads.
//!
//! 400 clients took 1.6 GiB. Reference: CVE-2019-9517 (internal data buffering) in its HTTP/1.1 form.

use crate::peer::Peer;
use crate::world::{Attack, Metrics, check_prepared, scale};

#[test]
fn an_answer_that_nobody_reads_ends_its_connection() {
    let attack = Attack { name: "unread answers", bound: "body_timeout, memory_len_max", memory_len_max: 160 << 20 };
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

fn expect_gone(address: std::net::SocketAddr) {
    // The one that asks is there, too.
    while Metrics::of(address).sum_where("fanwire_connections", "transport=\"http\"") > 1 {}
}
