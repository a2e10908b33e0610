//! The messages that one turn brings to readers, and those that wait for the next.

use fanwire::limits::{Limits, TURN_LEN_MAX};

use crate::world::{World, post};

const LEN: usize = 200_000;
/// The messages of one turn: its bound, and one message beyond it.
const PER_TURN_MAX: usize = TURN_LEN_MAX / LEN + 1;

/// Fault: the bound of a turn has no effect on what the kernel brings.
#[test]
fn what_many_connections_say_at_once_is_brought_to_readers_in_portions() {
    let mut world = World::new(1, 1 << 23, Limits::default());
    world.upgrade(0, "/raw/a?last=0");
    let count = 4 * PER_TURN_MAX;
    let publishers: Vec<_> = (0..count).map(|_| world.connect(0)).collect();
    for publisher in publishers {
        world.say(publisher, post("a", &"x".repeat(LEN)).as_bytes());
    }
    for turn in 1..=4 {
        world.turn_of(0);
        let brought = world.measure(0).deliveries as usize;
        assert!((turn..=turn * PER_TURN_MAX).contains(&brought), "{brought} in {turn} turns");
    }
    world.turns(count);
    assert_eq!(world.measure(0).deliveries as usize, count);
}
