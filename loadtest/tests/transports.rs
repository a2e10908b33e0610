//! Readers over HTTP, against the gateway: the same messages, and each of them once.

mod common;

use common::{Gateway, measure};
use serde_json::Value;

#[test]
fn readers_by_every_transport_get_every_message_once_and_in_order() {
    let gateway = Gateway::start();
    for transport in ["ws", "sse", "stream", "poll"] {
        for (words, deliveries) in [
            ("fanout --connections 30 --topics 3 --publishers 2 --rate 100 --duration 300ms", 300),
            ("hold --connections 51 --duration 100ms --broadcast 2 --workers 2", 102),
        ] {
            let (code, report) = measure(&format!("{words} --transport {transport}"), &gateway.url);
            assert_eq!(code, Some(0), "{transport}: {words}: {report:#}");
            let found = (report["deliveries"].as_u64(), report["reach"].as_f64());
            assert_eq!(found, (Some(deliveries), Some(1.0)), "{transport}: {words}: {report:#}");
        }
        let words = format!("fanout --connections 20 --window 8 --duration 300ms --transport {transport}");
        let (code, report) = measure(&words, &gateway.url);
        assert_eq!((code, report["reach"].as_f64()), (Some(0), Some(1.0)), "{transport}: {report:#}");
        assert_eq!((&report["duplicates"], &report["out_of_order"]), (&Value::from(0), &Value::from(0)), "{transport}");
    }
}

#[test]
fn another_server_has_no_such_transport() {
    let (code, _, err) = common::run(&["fanout", "--transport", "sse", "--preset", "uws"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("only preset fanwire"), "{err}");
}
