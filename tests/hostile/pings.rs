//! Pings without end by clients that do not read the answers.
//!
//! References: CVE-2019-9512 (ping floods of HTTP/2) in the form that WebSocket has; uWebSockets bounds its backpressure for it.

use crate::common::Frame;
use crate::peer::Peer;
use crate::world::{Attack, check, scale};

#[test]
fn pongs_that_nobody_reads_take_no_memory() {
    let attack = Attack::new("pings, answers unread", "control queue of 1 KiB", 64 << 20);
    let connections = 20 * scale();
    let pings = Frame::ping("x".repeat(125)).encode().repeat(20_000);
    check(&attack, &[], |address| {
        let mut peers: Vec<_> = (0..connections).map(|_| Peer::websocket(address, "/ws")).collect();
        for peer in &mut peers {
            peer.write_some(&pings);
        }
        for peer in peers {
            peer.reset();
        }
    });
}
