//! `million` end to end, in small: against the gateway, and against what only looks like one.

mod common;

use common::server::{Fault, start};
use common::{Gateway, measure};
use serde_json::Value;

/// The phases, short.
const SMALL: &str = "million --connections 200 --workers 2 --idle 100ms --keep 5s --rate 300 --broadcasts 2";

fn rounds<'a>(report: &'a Value, name: &str) -> Vec<&'a Value> {
    let rounds = report["rounds"].as_array().expect("there are rounds");
    rounds.iter().filter(|round| round["name"] == name).collect()
}

#[test]
fn everybody_is_told_everything_and_everyone_what_is_theirs_before_and_after_a_drop() {
    // A pinged connection is checked, and pinged again, when the time for the answer is over.
    let gateway = Gateway::start_with(&["--shards", "2", "--ping-interval", "300ms", "--ping-timeout", "3s"]);
    let words = format!("{SMALL} --pinged --broadcast-every 2s --share 25% --pid {}", gateway.pid());
    let (code, report) = measure(&words, &gateway.url);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!((&report["connections"]["open"], &report["is_ok"]), (&Value::from(200), &Value::from(true)));
    let broadcasts = rounds(&report, "broadcast");
    assert_eq!(broadcasts.len(), 4);
    for round in broadcasts {
        assert_eq!((&round["published"], &round["deliveries"]), (&Value::from(1), &Value::from(200)), "{round:#}");
        assert!(round["first_us"].as_f64() <= round["latency"]["max_us"].as_f64(), "{round:#}");
    }
    let keep = rounds(&report, "keep")[0];
    let own = &keep["own"];
    assert_eq!((&own["published"], &own["deliveries"]), (&Value::from(1_500), &Value::from(1_500)), "{keep:#}");
    assert_eq!((&own["strays"], &own["duplicates"]), (&Value::from(0), &Value::from(0)), "{keep:#}");
    assert_eq!(own["latency"]["count"], 1_500);
    // Two to all, after 2 and 4 s.
    assert_eq!((&keep["deliveries"], &keep["latency"]["count"]), (&Value::from(1_900), &Value::from(400)), "{keep:#}");
    assert_eq!(keep["pinged"], 200, "{keep:#}");
    assert!(keep["pings"].as_u64() >= keep["pinged"].as_u64());
    let storm = &report["storm"];
    assert_eq!((&storm["dropped"], &storm["returned"]), (&Value::from(50), &Value::from(50)), "{storm:#}");
    let left = &report["left"];
    assert_eq!((&left["connections"], &left["subscriptions"]), (&Value::from(0), &Value::from(0)), "{left:#}");
    assert!(left["topics"].as_u64() > Some(0), "{left:#}");
    assert!(report["memory"]["open_files"].as_u64() > Some(0), "{report:#}");
}

#[test]
fn who_is_never_pinged_is_noticed_where_that_was_asked_for() {
    let gateway = Gateway::start();
    let words = "million --connections 20 --idle 50ms --keep 300ms --rate 50 --broadcasts 1 --share 0 --pinged";
    let (code, report) = measure(words, &gateway.url);
    assert_eq!((code, &report["errors"]["not_pinged"]), (Some(1), &Value::from(20)), "{report:#}");
    assert_eq!(report["reach"], 1.0);
    assert_eq!(report["storm"], Value::Null);
}

#[test]
fn a_publisher_that_is_late_counts_what_it_sends_behind_the_end() {
    let gateway = Gateway::start();
    // More in 100 ms than any client can send.
    let words = "million --connections 2 --idle 10ms --keep 100ms --rate 300000 --broadcasts 1 --share 0 --workers 2";
    let (code, report) = measure(&format!("{words} --stall-timeout 60s"), &gateway.url);
    let keep = report["rounds"].as_array().and_then(|rounds| rounds.iter().find(|it| it["name"] == "keep"));
    let keep = keep.expect("a round");
    assert_eq!(code, Some(0), "{:#} {:#}", report["errors"], keep["own"]);
    assert_eq!(keep["own"]["published"], 30_000, "{:#}", keep["own"]);
    assert_eq!(keep["own"]["deliveries"], 30_000, "{:#}", keep["own"]);
}

#[test]
fn a_server_that_delivers_nothing_and_has_no_metrics_fails_in_words() {
    // It echoes what it is told, so that nobody gets to know anything from anybody else.
    let (url, _told) = start(Fault::NeverDelivers);
    let words = "million --connections 3 --idle 50ms --keep 200ms --rate 50 --broadcasts 1 --stall-timeout 300ms";
    let words = format!("{words} --preset uws --handshake-timeout 300ms");
    let (code, report) = measure(&words, &url);
    assert_eq!(code, Some(1), "{report:#}");
    assert!(report["errors"]["not_delivered"].as_u64() > Some(0), "{report:#}");
    assert_eq!(report["errors"]["no_metrics"], 1, "{report:#}");
}
