//! TLS and compression: every scenario's messages come through, and a server that gets them wrong is told by its kind.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::measure;
use common::server::{Fault, Layers, start, start_with};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;

/// A configuration for a server on 127.0.0.1, and the file that trusts it. Each test has a file of its own.
fn secured(test: &str) -> (Layers, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a key can be made");
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.pem"));
    std::fs::write(&path, made.cert.pem()).expect("the folder is ours");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("it is a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key is that of the certificate");
    (Layers { tls: Some(Arc::new(config)), deflate: None }, path.to_str().expect("text").to_owned())
}

fn deflated(parameters: &'static str) -> Layers {
    Layers { tls: None, deflate: Some(parameters) }
}

/// Echoes all that was sent, in a closed loop with messages of several reads and in an open one.
fn check_echoes(flags: &str, url: &str) {
    for words in ["--connections 3 --depth 2 --size 300000", "--connections 20 --depth 4", "--connections 5 --rate 100"]
    {
        let words = format!("echo {words} --duration 300ms {flags}");
        let (code, report) = measure(&words, url);
        assert_eq!((code, report["reach"].as_f64()), (Some(0), Some(1.0)), "{words}: {report:#}");
        assert!(report["deliveries"].as_u64() >= Some(6), "{words}: {report:#}");
        assert_eq!(report["errors"].as_object().map(serde_json::Map::len), Some(0), "{words}: {report:#}");
    }
}

#[test]
fn echoes_come_back_over_tls() {
    let (layers, ca) = secured("echoes_come_back_over_tls");
    let (url, _told) = start_with(Fault::None, layers);
    check_echoes(&format!("--ca {ca}"), &url);
    check_echoes("--insecure", &url);
    let (code, report) = measure("connect --duration 200ms --insecure", &url);
    assert_eq!(code, Some(0), "{report:#}");
}

#[test]
fn a_certificate_of_nobody_we_know_ends_the_handshake() {
    let (layers, _) = secured("of_the_server");
    let (_, other) = secured("of_another");
    let (url, _told) = start_with(Fault::None, layers);
    let (code, report) = measure(&format!("echo --connections 3 --duration 100ms --ca {other}"), &url);
    assert_eq!((code, report["errors"]["bad_certificate"].as_u64()), (Some(1), Some(3)), "{report:#}");
}

#[test]
fn a_server_without_tls_is_told_by_its_kind_and_so_is_one_that_closes_or_keeps_silent() {
    let (layers, ca) = secured("other_ends");
    let secure = |url: String| url.replace("ws://", "wss://");
    for (url, kind) in [
        (secure(start(Fault::SpeaksNoHttp).0), "bad_tls"),
        (secure(start(Fault::NeverAnswers).0), "handshake_timeout"),
        (start_with(Fault::Refuses, layers.clone()).0, "refused_503"),
        (start_with(Fault::Closes, layers.clone()).0, "closed"),
        (start_with(Fault::SendsGarbage, layers).0, "bad_frame"),
    ] {
        let words =
            format!("echo --connections 3 --duration 200ms --handshake-timeout 300ms --stall-timeout 400ms --ca {ca}");
        let (code, report) = measure(&words, &url);
        assert_eq!(code, Some(1), "{kind}: {report:#}");
        assert!(report["errors"][kind].as_u64() > Some(0), "{kind}: {:#}", report["errors"]);
    }
}

#[test]
fn compressed_echoes_come_back_with_and_without_a_memory_of_those_before() {
    for (flag, agreed) in [
        ("--deflate", ""),
        ("--deflate=server_no_context_takeover", "; server_no_context_takeover"),
        ("--deflate=server_max_window_bits=15", "; server_max_window_bits=15; client_no_context_takeover"),
    ] {
        check_echoes(flag, &start_with(Fault::None, deflated(agreed)).0);
    }
    let (layers, ca) = secured("both");
    let both = Layers { deflate: Some(""), ..layers };
    check_echoes(&format!("--deflate --ca {ca}"), &start_with(Fault::None, both).0);
    // A server that does not know the extension is no mistake.
    check_echoes("--deflate", &start(Fault::None).0);
}

#[test]
fn compression_that_is_wrong_is_told_by_its_kind() {
    for (fault, agreed, kind) in [
        (Fault::SendsBadDeflate, "", "bad_deflate"),
        (Fault::SendsBadTextDeflated, "", "invalid_utf8"),
        (Fault::SendsBomb, "", "message_too_big"),
        (Fault::SendsGarbage, "", "bad_frame"),
        (Fault::None, "; fast", "bad_handshake"),
    ] {
        let (url, _told) = start_with(fault, deflated(agreed));
        let words = "echo --connections 2 --duration 200ms --handshake-timeout 30s --stall-timeout 30s --deflate";
        let (code, report) = measure(words, &url);
        assert_eq!(code, Some(1), "{fault:?}: {report:#}");
        assert!(report["errors"][kind].as_u64() > Some(0), "{fault:?}: {:#}", report["errors"]);
    }
}
