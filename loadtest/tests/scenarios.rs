//! Each scenario end to end, in small, against the gateway.

mod common;

use common::{Gateway, measure};
use serde_json::Value;

/// Measures, and expects that all went well.
fn measured(words: &str, gateway: &Gateway) -> Value {
    let words = format!("{words} --pid {}", gateway.pid());
    let (code, report) = measure(&words, &gateway.url);
    assert_eq!(code, Some(0), "{words}: {report:#}");
    assert_eq!(report["errors"].as_object().map(serde_json::Map::len), Some(0), "{words}: {report:#}");
    assert_eq!(report["is_ok"], true);
    report
}

fn number(report: &Value, field: &str) -> f64 {
    report[field].as_f64().unwrap_or_else(|| panic!("{field}: {report:#}"))
}

#[test]
fn hold_counts_what_connections_cost_and_reaches_all_of_them() {
    let gateway = Gateway::start();
    let report = measured("hold --connections 200 --duration 100ms --broadcast 1 --workers 2", &gateway);
    assert_eq!(report["connections"]["open"], 200);
    assert_eq!(report["deliveries"], 200);
    assert_eq!(report["reach"], 1.0);
    assert_eq!(report["memory"]["pss"].as_array().map(|readings| readings.len()), Some(2));
    // So few may not show.
    let bytes = &report["bytes_per_connection_user"];
    assert!(bytes.is_null() || bytes.as_f64() > Some(0.0), "{bytes}");
    assert!(report["memory"]["idle_cpu_share"].is_number());
}

#[test]
fn several_servers_share_the_connections_and_hear_every_message() {
    let (first, second) = (Gateway::start(), Gateway::start());
    for (words, deliveries) in [
        ("hold --connections 51 --duration 100ms --broadcast 2 --workers 2", 102),
        ("fanout --connections 30 --topics 3 --publishers 2 --rate 100 --duration 300ms", 300),
        ("fanout --connections 30 --rate 50 --batch 5 --duration 500ms --publish-http /publish/{topic}", 750),
    ] {
        let words = format!("{words} --url {} --pid {}", second.url, second.pid());
        let report = measured(&words, &first);
        assert_eq!((report["deliveries"].as_u64(), report["reach"].as_f64()), (Some(deliveries), Some(1.0)), "{words}");
        assert_eq!(report["url"], format!("{} and 1 more", second.url));
    }
    let report = measured(&format!("fanout --connections 9 --window 4 --duration 200ms --url {}", second.url), &first);
    assert_eq!(report["reach"], 1.0);
    // Half of the connections are lost with their server, and only those.
    let url = second.url.clone();
    drop(second);
    let (code, report) = measure(&format!("hold --connections 20 --duration 100ms --url {url}"), &first.url);
    assert_eq!((code, report["connections"]["open"].as_u64()), (Some(1), Some(10)), "{report:#}");
}

#[test]
fn a_closed_window_delivers_every_message_to_every_reader() {
    let gateway = Gateway::start();
    let report = measured("fanout --connections 20 --window 8 --size 64 --duration 300ms", &gateway);
    let round = &report["rounds"][0];
    let published = round["published"].as_u64().expect("a count");
    assert!(published > 0 && published.is_multiple_of(8), "{report:#}");
    assert_eq!(report["deliveries"].as_u64(), Some(published * 20));
    assert_eq!(report["reach"], 1.0);
    assert!(number(&report, "p50_us") <= number(&report, "p99_us"));
    assert!(number(&report, "regime_messages_per_turn") >= 1.0);
    assert!(number(&report, "server_cpu_ns_per_delivery") > 0.0);
    assert!(number(&report, "client_cpu_share") > 0.0);
    assert_eq!(round["is_open_loop"], false);
    assert_eq!((&report["duplicates"], &report["out_of_order"]), (&Value::from(0), &Value::from(0)));
}

#[test]
fn an_open_loop_sends_what_was_intended_over_several_topics_and_publishers() {
    let gateway = Gateway::start();
    for preset in ["fanwire", "fanwire-json"] {
        let words = "fanout --connections 20 --topics 4 --publishers 2 --rate 200 --duration 500ms --preset";
        let report = measured(&format!("{words} {preset}"), &gateway);
        assert_eq!(report["rounds"][0]["published"], 100, "{preset}: {report:#}");
        // Five readers follow each topic.
        assert_eq!(report["deliveries"], 500, "{preset}: {report:#}");
        assert_eq!(report["rounds"][0]["is_open_loop"], true);
    }
}

#[test]
fn messages_go_over_http_and_in_words_of_the_users_choice() {
    let gateway = Gateway::start();
    let report = measured(
        "fanout --connections 5 --rate 50 --batch 5 --duration 500ms --publish-http /publish/{topic}",
        &gateway,
    );
    assert_eq!(report["deliveries"], 125, "{report:#}");
    let words = "fanout --connections 5 --rate 50 --duration 500ms --preset uws --subprotocol fanwire.json.v1";
    let subscribe = r#"{"op":"sub","topics":["{topic}"],"id":{n}}"#;
    let publish = r#"{"op":"pub","topic":"{topic}","data":{"n":{n},"p":"{payload}"}}"#;
    let url = format!("{}/ws", gateway.url);
    let (code, report) =
        measure(&format!(r#"{words} --subscribe {subscribe} --ready "op":"ok" --publish {publish}"#), &url);
    assert_eq!((code, &report["deliveries"]), (Some(0), &Value::from(125)), "{report:#}");
}

#[test]
fn the_pid_of_somebody_else_is_noticed() {
    let gateway = Gateway::start();
    let idle = Gateway::start();
    let words = format!("fanout --connections 20 --duration 300ms --pid {}", idle.pid());
    let (code, report) = measure(&words, &gateway.url);
    assert_eq!(code, Some(0), "{report:#}");
    assert!(report["warnings"].to_string().contains("are they the server?"), "{:#}", report["warnings"]);
}

#[test]
fn every_echo_comes_back() {
    let gateway = Gateway::start();
    let report = measured("echo --connections 5 --depth 3 --duration 300ms --workers 2", &gateway);
    assert!(number(&report, "deliveries") >= 15.0);
    assert_eq!(report["reach"], 1.0);
    let report = measured("echo --connections 5 --rate 100 --duration 500ms", &gateway);
    assert_eq!(report["deliveries"], 50);
}

#[test]
fn connect_counts_handshakes_and_what_they_cost() {
    let gateway = Gateway::start();
    let report = measured("connect --duration 300ms --concurrency 8", &gateway);
    assert!(report["rounds"][0]["handshakes"].as_u64() > Some(0));
    assert!(number(&report, "server_cpu_ns_per_handshake") > 0.0);
    let report = measured("connect --duration 500ms --rate 100", &gateway);
    assert_eq!(report["rounds"][0]["handshakes"], 50);
}

#[test]
fn everyone_comes_back_after_a_storm() {
    let gateway = Gateway::start();
    let report = measured("storm --connections 100 --share 60% --rate 50 --duration 500ms --workers 2", &gateway);
    let storm = &report["storm"];
    assert_eq!((storm["dropped"].as_u64(), storm["returned"].as_u64()), (Some(60), Some(60)), "{report:#}");
    assert!(storm["recovery_ms"].as_f64() > Some(0.0));
    assert_eq!(report["rounds"][0]["reach"], 1.0);
    // Forty stayed, and what came meanwhile reached each of them.
    assert_eq!(report["reach"], 1.0);
    assert_eq!(report["deliveries"].as_u64().map(|count| count % 40), Some(0));
}

#[test]
fn readers_that_stall_take_nothing_from_the_others() {
    let gateway = Gateway::start();
    let report = measured("stall --connections 50 --share 10% --rate 100 --duration 300ms", &gateway);
    assert_eq!(report["stall"]["stalled"], 5);
    assert_eq!(report["stall"]["closed"], 0);
    assert_eq!(report["rounds"][1]["expected"], 30 * 45);
    assert_eq!(report["reach"], 1.0);
}

#[test]
fn a_ramp_goes_up_until_it_is_too_slow() {
    let gateway = Gateway::start();
    let words = "ramp --connections 5 --from 20 --factor 100 --bound 2ms --duration 200ms --stall-timeout 2s";
    let (code, report) = measure(words, &gateway.url);
    assert_eq!(code, Some(0), "{report:#}");
    let steps = report["rounds"].as_array().expect("there are steps");
    let rates: Vec<f64> = steps.iter().filter_map(|step| step["rate"].as_f64()).collect();
    assert_eq!(rates[0], 20.0);
    let ramp = &report["ramp"];
    if let (Some(knee), Some(broken)) = (ramp["knee_per_second"].as_f64(), ramp["broken_per_second"].as_f64()) {
        assert!(knee < broken, "{ramp}");
    }
    assert!(!ramp["knee_per_second"].is_null() || !ramp["broken_by"].is_null(), "{ramp}");
}
