//! Messages of a byte that the gateway keeps: each takes a few hundred.
//!
//! 768,000 with keys took 347 MiB while their topics were polled, with `retained_len_max` and `memory_len_max` at 16 MiB.

use crate::peer::Peer;
use crate::world::{Attack, check, scale};

const MIB: u64 = 1 << 20;
/// Messages that a topic without a history keeps while it is polled.
const KEPT: usize = fanwire::limits::POLL_KEPT_MAX as usize;

#[test]
fn messages_kept_for_polls_count_what_they_take() {
    // Few topics, and what both limits leave.
    let attack = Attack {
        kept_len: 6 * MIB,
        ..Attack::new("messages kept for polls", "retained_len_max, memory_len_max", (4 + 4 + 8) * MIB)
    };
    let topics = 240 * scale();
    let arguments = ["--memory-len-max", "4MiB", "--retained-len-max", "4MiB"];
    check(&attack, &arguments, |address| {
        let names: Vec<_> = (0..topics).map(|topic| format!("topic=kept.{topic}")).collect();
        for names in names.chunks(100) {
            let answer = Peer::connect(address).request("GET", &format!("/poll?{}&timeout=0s", names.join("&")), b"");
            assert!(matches!(answer, Some((204, _))), "{answer:?}");
        }
        let mut publisher = Peer::connect(address);
        for topic in 0..topics {
            let line = |n| format!("{{\"topic\":\"kept.{topic}\",\"key\":\"key {n:08}\",\"data\":1}}\n");
            let lines: String = (0..KEPT).map(line).collect();
            publisher.publish("/publish", lines.as_bytes());
        }
    });
}
