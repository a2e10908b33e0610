//! Connections that ask for the metrics, again and again, and all at once.
//!
//! Each was a look at all that is busy, in one turn, and a page of text that nobody was charged for.

use crate::peer::Peer;
use crate::world::{Attack, check, scale};

/// Asked for at a time: their answers are no more than the gateway keeps for a peer that does not read.
const PORTION: usize = 8;

#[test]
fn scrapes_are_charged_for_what_is_looked_at_and_written() {
    let attack = Attack::new("scrapes", "turn budget", 64 << 20);
    let (connections, rounds) = (10 * scale(), 4);
    check(&attack, &[], |address| {
        let requests = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(PORTION);
        let mut peers: Vec<_> = (0..connections).map(|_| Peer::connect(address)).collect();
        for _ in 0..rounds {
            for peer in &mut peers {
                peer.write(&requests);
            }
            for peer in &mut peers {
                for _ in 0..PORTION {
                    let (status, body) = peer.read_response().expect("an answer and not an end");
                    assert!(status == 200 && body.ends_with(b"# EOF\n"), "{status}");
                }
            }
        }
    });
}
