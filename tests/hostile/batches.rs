//! Batches of as many lines as one may have, all completed at the same moment.
//!
//! 40 of them were one turn of 2.1 s.

use crate::peer::Peer;
use crate::world::{Attack, check, scale};

const LINES: usize = 16 * 1024;

#[test]
fn a_batch_is_published_step_by_step_and_answered_whole() {
    let attack = Attack::new("batches completed at once", "turn budget", 64 << 20);
    let batches = 3 * scale();
    check(&attack, &[], |address| {
        let body = |number: usize| {
            let line = |at: usize| format!("{{\"topic\":\"batch.{number}\",\"data\":{at}}}\n");
            (0..LINES).map(line).collect::<String>()
        };
        let mut peers: Vec<_> = (0..batches).map(|_| Peer::connect(address)).collect();
        for (number, peer) in peers.iter_mut().enumerate() {
            let body = body(number);
            peer.write(format!("POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len()));
            peer.write(&body.as_bytes()[..body.len() - 1]);
        }
        for peer in &mut peers {
            peer.write("\n");
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            let (status, answer) = peer.read_response().expect("an answer and not an end");
            let answer = String::from_utf8(answer).expect("text");
            assert_eq!((status, answer.lines().count()), (200, LINES));
            for (at, line) in (1..).zip(answer.lines()) {
                let offset = format!("\"offset\":{at}}}");
                assert!(line.contains(&format!("\"batch.{number}\"")) && line.ends_with(&offset), "{line}");
            }
        }
    });
}
