//! The promises of `fanwire::driver`, each as a case that runs against every driver.
//!
//! A case is written once, against a [`World`](world::World): one driver, its peers, and an auditor that holds every
//! completion to the promises. The simulated kernel runs twice: without faults, and with the faults of many seeds. A
//! new driver needs a [`Harness`](harness::Harness) and one more `contract!` line.

#[path = "driver_contract/accept_cases.rs"]
mod accept_cases;
#[path = "driver_contract/cases.rs"]
mod cases;
#[path = "driver_contract/harness.rs"]
mod harness;
#[path = "driver_contract/neighbour_cases.rs"]
mod neighbour_cases;
#[path = "driver_contract/random_case.rs"]
mod random_case;
#[path = "driver_contract/world.rs"]
mod world;

macro_rules! contract {
    ($driver:ident, $harness:ty, $seeds:expr) => {
        mod $driver {
            contract! { @cases cases, $harness, $seeds;
                received_bytes_are_lent_and_may_be_changed_in_place
                sent_gives_back_what_was_not_taken_and_order_holds
                a_send_of_many_segments_arrives_in_order
                a_send_without_room_is_held_until_there_is_some
                a_send_to_many_brings_back_only_those_who_did_not_take_all
                a_close_is_answered_once_and_drops_what_is_in_flight
                an_id_is_used_again_after_its_closed
                a_close_in_order_delivers_what_was_sent_before
                an_aborted_connection_is_reset
                completions_come_with_the_next_wait_and_not_later
                a_fast_peer_gets_its_budget_and_its_neighbour_is_served
                nothing_is_lost_while_receiving_is_paused
                a_reset_is_told_while_receiving_is_paused
                a_reset_ends_receiving_once_and_fails_sends
                a_failed_send_ends_receiving_as_a_reset
                a_reset_fails_the_send_that_is_held
                a_finished_side_ends_behind_what_was_sent_and_receiving_goes_on
                a_half_closed_peer_can_still_be_sent_to
                an_end_behind_bytes_is_not_lost
                ids_that_are_not_held_are_ignored
                a_shard_that_has_enough_gets_no_more_and_the_rest_comes_first
                what_a_shard_had_enough_of_is_received_in_order_to_its_end
                an_echo_survives_backpressure
            }
            contract! { @cases random_case, $harness, $seeds;
                a_random_conversation_keeps_every_promise
            }
            contract! { @cases accept_cases, $harness, $seeds;
                running_out_of_descriptors_rests_the_listener
                a_burst_of_connections_is_accepted_completely
                a_refused_connection_is_closed
                a_refused_connection_hears_the_words_before_its_end
                no_connection_is_accepted_after_stop_accepting
                connecting_reaches_a_listener_and_nothing_else
                a_connect_that_is_closed_stays_silent
                a_wake_ends_the_wait
                a_wait_ends_at_its_deadline
            }
        }
    };
    (@cases $file:ident, $harness:ty, $seeds:expr; $($case:ident)*) => {
        $(#[test]
        fn $case() {
            for seed in $seeds {
                println!("seed {seed}");
                crate::$file::$case::<$harness>(&mut crate::world::World::open(seed));
            }
        })*
    };
}

/// A simulated wait never blocks, so only real ones can be ended from another thread.
mod epoll_blocking {
    contract! { @cases accept_cases, crate::harness::RealHarness<fanwire::driver::Epoll>, 1..=1;
        a_wake_during_the_wait_ends_it
    }
}
mod uring_blocking {
    contract! { @cases accept_cases, crate::harness::RealHarness<fanwire::driver::Uring>, 1..=1;
        a_wake_during_the_wait_ends_it
    }
}

contract! { epoll, crate::harness::RealHarness<fanwire::driver::Epoll>, 1..=1 }
contract! { uring, crate::harness::RealHarness<fanwire::driver::Uring>, 1..=2 }
contract! { uring_eager, crate::harness::RealHarness<crate::harness::EagerUring>, 1..=2 }
contract! { sim, crate::harness::SimHarness<false>, 1..=4 }
contract! { sim_with_faults, crate::harness::SimHarness<true>, 1..=32 }
