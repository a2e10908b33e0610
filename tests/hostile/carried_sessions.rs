//! Sessions over HTTP requests, made and left alone, and one that is sent to and never read.

use crate::peer::Peer;
use crate::world::{Attack, check, scale};

#[test]
fn sessions_that_nobody_asks_for_end() {
    let attack = Attack::new("sessions left alone", "65,536 a shard, 5 s each", 64 << 20);
    let sessions = 2_000 * scale();
    check(&attack, &["--sockjs", "/mirror dialect=echo"], |address| {
        let mut peer = Peer::connect(address);
        for number in 0..sessions {
            let answer = peer.request("POST", &format!("/mirror/0/s{number}/xhr"), b"");
            assert_eq!(answer, Some((200, b"o\n".to_vec())));
        }
        let body = format!("[\"{}\"]", "x".repeat(100_000));
        let mut refused = 0;
        for _ in 0..20 {
            let answer = peer.request("POST", "/mirror/0/s0/xhr_send", body.as_bytes()).expect("an answer");
            refused += usize::from(answer.0 == 503);
        }
        assert!(refused > 10, "what it does not read bounds what it may say: {refused}");
    });
}
