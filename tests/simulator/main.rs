//! Shards in a simulated kernel: publishers, readers, slow readers and hostile peers under faults, from a seed.
//!
//! Each seed draws how many shards there are, what goes wrong and what every peer does. The auditor holds, for every
//! run: a reader's publications are in order, without a gap and without a double, from the position it was told; all
//! readers of a topic see the same; a publisher's own order is kept; a reader that is still there at the end has
//! everything; who was disconnected was told a reason that permits it; and afterwards nothing is held any more.
//!
//! `FANWIRE_SIM_SEEDS` is how many seeds to run, `FANWIRE_SIM_SEED` runs a single one. A failure prints the command.

mod auditor;
mod carried;
mod changes;
#[path = "../common/deflate.rs"]
mod deflate;
mod followers;
mod peers;
mod raw_readers;
mod stream;
#[path = "../common/tls_peer.rs"]
mod tls_peer;
mod totals;
mod verdict;
mod world;

use fanwire::driver::sim::Faults;
use world::{Ending, Run};

/// Seeds of one run of the suite, unless the environment says otherwise.
const SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn check(name: &str, plan: impl Fn(u64) -> Run) {
    let seeds = match number("FANWIRE_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        // A flood takes as long as ten other runs.
        None => 0..number("FANWIRE_SIM_SEEDS").unwrap_or(SEEDS).div_ceil(if plan(0).floods { 10 } else { 1 }),
    };
    let mut totals = totals::Totals::default();
    for seed in seeds.clone() {
        let run = plan(seed);
        let outcome = std::panic::catch_unwind(|| run.play());
        match outcome {
            Ok(of_run) => totals.add(&of_run),
            Err(panic) => {
                eprintln!("to replay: FANWIRE_SIM_SEED={seed} cargo test --test simulator {name}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{name}: seeds {seeds:?}, {totals:?}");
    totals.assert_that_raw_readers_were_known();
    if plan(0).floods {
        assert_eq!(totals.floods, seeds.end - seeds.start);
    } else if seeds.end - seeds.start >= 100 {
        totals.assert_that_enough_happened(plan(0).faults != Faults::NONE);
    }
}

#[test]
fn readers_get_everything_in_order_while_nothing_goes_wrong() {
    check("readers_get_everything_in_order_while_nothing_goes_wrong", |seed| Run {
        seed,
        faults: Faults::NONE,
        hostile: false,
        floods: false,
        ending: Ending::PeersLeave,
        is_budget_blind: false,
    });
}

#[test]
fn readers_get_a_gapless_run_or_a_reason_under_faults_and_hostile_peers() {
    check("readers_get_a_gapless_run_or_a_reason_under_faults_and_hostile_peers", |seed| Run {
        seed,
        faults: Faults::draw(seed),
        hostile: true,
        floods: false,
        ending: Ending::PeersLeave,
        is_budget_blind: false,
    });
}

#[test]
fn a_shutdown_says_goodbye_and_ends_within_its_bound() {
    check("a_shutdown_says_goodbye_and_ends_within_its_bound", |seed| Run {
        seed,
        faults: Faults::draw(seed),
        hostile: true,
        floods: false,
        ending: Ending::Shutdown,
        is_budget_blind: false,
    });
}

#[test]
fn readers_of_everything_that_read_nothing_stop_no_shard_while_much_is_said() {
    check("readers_of_everything_that_read_nothing_stop_no_shard_while_much_is_said", |seed| Run {
        seed,
        // Much fits through the kernel.
        faults: Faults { inbound_len_max: 1 << 17, ..Faults::draw(seed) },
        hostile: true,
        floods: true,
        ending: Ending::PeersLeave,
        is_budget_blind: false,
    });
}

/// Seeds within which the auditor must find a budget that does not charge.
const BLIND_SEEDS: u64 = 40;

#[test]
fn a_budget_that_does_not_charge_is_found() {
    let is_found = |seed| {
        let faults = Faults::NONE;
        let run =
            Run { seed, faults, hostile: false, floods: false, ending: Ending::PeersLeave, is_budget_blind: true };
        let panic = std::panic::catch_unwind(|| run.play()).err();
        panic.is_some_and(|panic| panic.downcast_ref::<String>().is_some_and(|text| text.starts_with("a turn c")))
    };
    let found = (0..BLIND_SEEDS).find(|seed| is_found(*seed));
    println!("found with seed {found:?}");
    assert!(found.is_some(), "no run of {BLIND_SEEDS} noticed");
}
