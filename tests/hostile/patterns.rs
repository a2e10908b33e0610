//! Patterns that one topic has to be compared with, and new readers of patterns among many topics.
//!
//! With 2,048 patterns of `a` and `*` a publication took 6 to 10 ms. Among 300,000 topics each new pattern was 33 ms of a turn.

use crate::common::Frame;
use crate::peer::Peer;
use crate::world::{Attack, check, check_prepared, scale};

/// Tokens of `a` or `*` that a pattern begins with.
const BRANCHES: usize = 11;
const TOKENS: usize = 125;
const TOPICS: usize = 16 * 1024;

#[test]
fn a_publication_is_matched_in_bounded_time_whatever_patterns_there_are() {
    let attack = Attack::new("patterns that branch", "PATTERN_VISITS_MAX", 64 << 20);
    let publications = 100 * scale();
    check(&attack, &[], |address| {
        let pattern = |bits: usize| {
            let head: String = (0..BRANCHES).map(|at| if bits >> at & 1 == 1 { "*." } else { "a." }).collect();
            format!("{head}{}>", "a.".repeat(TOKENS - 1 - BRANCHES))
        };
        let mut readers: Vec<_> = (0..8).map(|_| Peer::websocket(address, "/ws")).collect();
        let (mut taken, mut refused) = (0, 0);
        // Few at a time: more than that may wait for no answer.
        let all: Vec<usize> = (0..1 << BRANCHES).collect();
        for (portion, at) in all.chunks(128).zip(0..) {
            let reader = &mut readers[at % 8];
            for &bits in portion {
                let pattern = pattern(bits);
                reader.write(Frame::text(format!("{{\"op\":\"sub\",\"topics\":[\"{pattern}\"],\"id\":1}}")).encode());
            }
            for _ in portion {
                let (_, answer) = reader.read_frame().expect("an answer");
                let answer = String::from_utf8(answer).expect("text");
                let is_refused = answer.contains("\"overloaded\"");
                assert!(is_refused || answer.contains("\"op\":\"ok\""), "{answer}");
                *if is_refused { &mut refused } else { &mut taken } += 1;
            }
        }
        assert!(taken > 8 && refused > 1_000, "{taken} taken, {refused} refused");
        // Each of another topic, so that each is matched anew.
        let mut publisher = Peer::websocket(address, "/ws");
        for at in 0..publications {
            let topic = format!("{}{at}", "a.".repeat(TOKENS - 1));
            publisher.write(Frame::text(format!("{{\"op\":\"pub\",\"topic\":\"{topic}\",\"data\":1}}")).encode());
        }
        // The first has the patterns that came first.
        readers[0].expect_messages(publications, "\"d\":1");
    });
}

#[test]
fn new_patterns_among_many_topics_are_searched_for_step_by_step() {
    let attack =
        Attack { kept_len: 80 << 20, ..Attack::new("new patterns among many topics", "turn budget", 96 << 20) };
    let batches = scale();
    let prepare = |address| {
        let mut publisher = Peer::connect(address);
        for batch in 0..batches {
            let line = |at: usize| format!("{{\"topic\":\"px.{batch}.{at}\",\"data\":1}}\n");
            publisher.publish("/publish", (0..TOPICS).map(line).collect::<String>().as_bytes());
        }
    };
    check_prepared(&attack, &[], prepare, |address, ()| {
        // No topic has this, and every topic has to be looked at for it.
        for client in 0..64 {
            let mut peer = Peer::websocket(address, "/ws");
            peer.write(Frame::text(format!("{{\"op\":\"sub\",\"topics\":[\"px.*.{client}.*\"]}}")).encode());
            peer.reset();
        }
        let mut peer = Peer::websocket(address, "/ws");
        peer.write(Frame::text("{\"op\":\"sub\",\"topics\":[\"px.>\"],\"id\":1}").encode());
        peer.expect_messages(1, "\"op\":\"ok\"");
        peer.expect_messages(batches * TOPICS, "\"t\":\"px.");
    });
}
