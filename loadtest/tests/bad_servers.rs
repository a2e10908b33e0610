//! Servers that are not there, refuse, break the rules or freeze: each is told by its kind, and none holds us up.

mod common;

use std::net::TcpListener;

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use common::server::{Fault, start};
use common::{children, is_asleep, load, measure, signal};

#[test]
fn a_server_that_misbehaves_is_told_by_its_kind() {
    for (fault, kind) in [
        (Fault::Refuses, "refused_503"),
        (Fault::SpeaksNoHttp, "bad_handshake"),
        (Fault::AcceptsAnotherKey, "bad_handshake"),
        (Fault::NeverAnswers, "handshake_timeout"),
        (Fault::NeverDelivers, "stalled"),
        (Fault::Closes, "closed"),
        (Fault::ClosesWith(1011), "closed_1011"),
        (Fault::SendsGarbage, "bad_frame"),
        (Fault::Masks, "masked_frame"),
        (Fault::AnnouncesTooMuch, "message_too_big"),
        (Fault::SendsBadText, "invalid_utf8"),
    ] {
        let (url, _told) = start(fault);
        let words = "fanout --connections 3 --duration 200ms --handshake-timeout 300ms --stall-timeout 400ms";
        let (code, report) = measure(words, &url);
        assert_eq!(code, Some(1), "{fault:?}: {report:#}");
        assert!(report["errors"][kind].as_u64() > Some(0), "{fault:?}: {:#}", report["errors"]);
        assert_eq!(report["is_ok"], false);
    }
}

#[test]
fn a_server_that_is_not_there_is_told_in_every_scenario() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("ws://{}", listener.local_addr().expect("it is bound"));
    drop(listener);
    for scenario in ["hold", "fanout", "echo", "storm", "stall", "ramp"] {
        let (code, report) = measure(&format!("{scenario} --connections 10 --duration 100ms"), &url);
        assert_eq!(code, Some(1), "{scenario}: {report:#}");
        // Half of them are asked for first where memory is measured.
        let asked = if scenario == "hold" { 5 } else { 10 };
        assert!(report["errors"]["connect_refused"].as_u64() >= Some(asked), "{scenario}: {:#}", report["errors"]);
        assert_eq!(report["connections"]["open"], 0);
    }
    let (code, report) = measure("connect --duration 100ms", &url);
    assert_eq!((code, report["errors"]["no_handshake"].as_u64()), (Some(1), Some(1)), "{report:#}");
}

#[test]
fn many_connections_to_a_server_that_never_answers_are_given_up() {
    let (url, _told) = start(Fault::NeverAnswers);
    let words = "hold --connections 500 --concurrency 10 --handshake-timeout 60s --stall-timeout 300ms";
    let (code, report) = measure(words, &url);
    assert_eq!(code, Some(1), "{report:#}");
    let kind = |name: &str| report["errors"][name].as_u64().unwrap_or(0);
    assert_eq!((kind("handshake_timeout"), kind("given_up")), (10, 240), "the first half was asked for: {report:#}");
}

/// The test of honest timing, from outside: what the client could not send meanwhile counts with its waiting.
#[test]
fn a_server_that_freezes_for_a_second_shows_it_in_the_report() {
    let (url, _told) = start(Fault::FreezesAfter(50));
    let (code, report) = measure("echo --connections 1 --rate 100 --duration 2s", &url);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["deliveries"], 200);
    // Half of the messages were meant to be sent while it was frozen, and waited from 0 to 1 s.
    let us = |field: &str| report[field].as_f64().expect(field);
    assert!(us("p90_us") > 700_000.0, "{report:#}");
    assert!(us("p99_us") > 900_000.0, "{report:#}");
    assert!(us("max_us") > 950_000.0, "{report:#}");
}

/// Readers of a process that had no core when the first messages came had them before they counted: they were missing.
#[test]
fn nothing_is_published_before_every_process_with_readers_counts() {
    let (url, told) = start(Fault::NeverDelivers);
    let words = "fanout --preset uws --connections 3 --rate 100 --duration 300ms --settle 1500ms --url";
    let arguments: Vec<&str> = words.split(' ').chain([url.as_str()]).collect();
    let mut parent = load(&arguments).spawn().expect("the program starts");
    // Each reader says what it subscribes to, and is ready when it has said so.
    (0..3).for_each(|_| told.recv().expect("the server lives"));
    let readers = children(parent.id()).into_iter().min().expect("the first process has the readers");
    while !is_asleep(readers) {
        std::thread::yield_now();
    }
    signal(readers, "STOP");
    let silence = told.recv_timeout(Duration::from_secs(3));
    signal(readers, "CONT");
    assert_eq!(silence, Err(RecvTimeoutError::Timeout), "a message came while the readers' process stood still");
    told.recv().expect("then messages come");
    parent.kill().expect("it is ours");
    parent.wait().expect("it is ours");
}
