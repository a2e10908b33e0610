//! Readers over HTTP, against the gateway: the same messages, and each of them once.

mod common;

use common::{Gateway, measure};
use serde_json::Value;

#[test]
fn readers_by_every_door_get_every_message_once_and_in_order() {
    let gateway = Gateway::start();
    for door in ["ws", "sse", "stream", "poll"] {
        for (words, deliveries) in [
            ("fanout --connections 30 --topics 3 --publishers 2 --rate 100 --duration 300ms", 300),
            ("hold --connections 51 --duration 100ms --broadcast 2 --workers 2", 102),
        ] {
            let (code, report) = measure(&format!("{words} --door {door}"), &gateway.url);
            assert_eq!(code, Some(0), "{door}: {words}: {report:#}");
            let found = (report["deliveries"].as_u64(), report["reach"].as_f64());
            assert_eq!(found, (Some(deliveries), Some(1.0)), "{door}: {words}: {report:#}");
        }
        let words = format!("fanout --connections 20 --window 8 --duration 300ms --door {door}");
        let (code, report) = measure(&words, &gateway.url);
        assert_eq!((code, report["reach"].as_f64()), (Some(0), Some(1.0)), "{door}: {report:#}");
        assert_eq!((&report["duplicates"], &report["out_of_order"]), (&Value::from(0), &Value::from(0)), "{door}");
    }
}

#[test]
fn another_server_has_no_such_door() {
    let (code, _, err) = common::run(&["fanout", "--door", "sse", "--preset", "uws"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("only preset fanwire"), "{err}");
}
