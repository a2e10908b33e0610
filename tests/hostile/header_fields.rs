//! Opening handshakes whose header fields are made to be dear: very many of them, lists of thousands of words, white space
//! that a careless parser goes over again and again.
//!
//! References: CVE-2023-43669 (tungstenite: a long head is parsed anew with each piece), CVE-2021-32640 (npm `ws`: white space
//! in `Sec-WebSocket-Protocol`), CVE-2024-37890 (npm `ws`: more fields than the limit end the process).

use crate::peer::Peer;
use crate::world::{Attack, check, scale};

#[test]
fn header_fields_cost_what_their_bytes_cost() {
    let attack = Attack::new("dear header fields", "request head of 16 KiB, 64 fields", 64 << 20);
    let rounds = 20 * scale();
    let handshake = |fields: &str| {
        format!(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
        )
    };
    let words =
        |name: &str, word: &str| handshake(&format!("{name}: {}\r\n", vec![word; 14_000 / (word.len() + 1)].join(",")));
    let heads = [
        (handshake(&(0..2_000).map(|n| format!("x-{n}: y\r\n")).collect::<String>()), 431),
        (handshake(&format!("x: {}\r\n", "y".repeat(20_000))), 431),
        (words("Sec-WebSocket-Protocol", "a"), 101),
        (words("Sec-WebSocket-Extensions", "permessage-deflate"), 101),
        (handshake(&format!("Sec-WebSocket-Protocol: a,{}b\r\n", " ".repeat(14_000))), 101),
        (words("Connection", "Upgrade"), 101),
    ];
    check(&attack, &[], |address| {
        for round in 0..rounds {
            for (head, status) in &heads {
                let mut peer = Peer::connect(address);
                // In pieces, so that a head that is looked at from its beginning each time is quadratic.
                let piece_len = if round % 2 == 0 { head.len() } else { 97 };
                for piece in head.as_bytes().chunks(piece_len) {
                    peer.write(piece);
                }
                let answer = peer.read_status();
                assert_eq!(answer, Some(*status), "{:.300}", head);
            }
        }
    });
}
