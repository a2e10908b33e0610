//! The program from outside: its words, its exit codes, what it writes, and what ends it.

mod common;

use std::process::Child;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use common::server::{Fault, start};
use common::{children, load, run, signal};
use serde_json::Value;

#[test]
fn a_mistake_is_one_line_on_standard_error_and_exit_code_2() {
    for (arguments, part) in [
        (&[][..], "which scenario?"),
        (&["fanoot"], "'fanout'"),
        (&["floor", "--mode", "what"], "invalid value 'what' for '--mode <MODE>'"),
        (&["floor", "--listen", "192.0.2.1:1"], "192.0.2.1:1: "),
        (&["compare", "--servers", "nginx", "--peers", "none"], "--servers: there is no \"nginx\""),
        (&["fanout", "--rat", "1"], "unexpected argument '--rat' found"),
        (
            &["fanout", "--url", "wss://127.0.0.1:1", "--ca", "/dev/null"],
            "--ca /dev/null: there is no certificate in it",
        ),
        (&["fanout", "--duration", "soon"], "a duration is a number and ms, s, m or h"),
        (&["fanout", "--json", "/nonexistent/report.json"], "/nonexistent/report.json: No such file"),
        (&["report", "/nonexistent/report.json"], "/nonexistent/report.json: No such file"),
        (&["report", "/proc/self/cmdline"], "it is no report"),
        (&["report"], "<FILE>"),
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {err}");
        assert!(out.is_empty(), "{arguments:?}: {out}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
        assert!(err.starts_with("fanwire-load: ") && err.contains(part), "{arguments:?}: {err}");
    }
}

#[test]
fn help_shows_examples_and_hides_the_worker() {
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("Examples:\n  fanwire-load fanout") && !out.contains("worker"), "{out}");
    let (code, out, _) = run(&["fanout", "--help"]);
    assert!(code == Some(0) && out.contains("--window <N>"), "{out}");
}

#[test]
fn a_report_goes_to_the_terminal_a_file_and_a_page_and_can_be_read_again() {
    let (url, _told) = start(Fault::None);
    let folder = std::env::temp_dir().join(format!("fanwire-load-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
    let path = |name: &str| folder.join(name).to_str().expect("text").to_owned();
    for label in ["one", "two"] {
        let (json, html) = (path(&format!("{label}.json")), path(&format!("{label}.html")));
        let words = ["echo", "-c", "2", "--duration", "100ms", "--url", &url, "--label", label];
        let (code, out, err) = run(&[&words[..], &["--json", &json, "--html", &html]].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        assert!(out.starts_with(&format!("echo against {url} ({label}): ok\n")), "{out}");
        let report: Value = serde_json::from_str(&std::fs::read_to_string(json).expect("written")).expect("JSON");
        assert_eq!(report["label"], label);
        assert!(std::fs::read_to_string(html).expect("written").contains("<svg"));
    }
    let both = path("both.html");
    let (code, out, _) = run(&["report", &path("one.json"), &path("two.json"), "--html", &both]);
    assert_eq!(code, Some(0));
    assert!(out.contains("(one): ok") && out.contains("(two): ok"), "{out}");
    let page = std::fs::read_to_string(both).expect("written");
    let latency = page.split("<svg").nth(1).expect("a first chart");
    assert_eq!(latency.split("</svg>").next().map(|chart| chart.matches("class=\"line\"").count()), Some(2));
    std::fs::remove_dir_all(folder).expect("it is ours");
}

/// A run that goes on until something happens to it, of which the server has heard already.
fn running(arguments: &[&str]) -> Child {
    let (url, told) = start(Fault::None);
    let words = ["echo", "-c", "4", "--stall-timeout", "1s", "--url", &url, "--json", "-"];
    let child = load(&[&words[..], arguments].concat()).spawn().expect("the program starts");
    told.recv().expect("a message comes");
    child
}

fn ended(child: Child) -> (Option<i32>, Value) {
    let output = child.wait_with_output().expect("it ends");
    let out = String::from_utf8(output.stdout).expect("text");
    (output.status.code(), serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}")))
}

#[test]
fn ctrl_c_prints_what_there_is() {
    let child = running(&["--duration", "60s"]);
    signal(child.id(), "INT");
    let (code, report) = ended(child);
    assert_eq!(code, Some(130), "{report:#}");
    assert_eq!(report["is_interrupted"], true);
    assert!(report["deliveries"].as_u64() > Some(0), "{report:#}");
    assert!(report["p99_us"].is_number());
    assert!(report["rounds"][0]["elapsed_ms"].as_f64() < Some(59_000.0));
}

#[test]
fn a_worker_that_is_lost_is_told_and_the_others_go_on() {
    let child = running(&["--workers", "2", "--duration", "2s"]);
    let workers = children(child.id());
    assert_eq!(workers.len(), 2);
    signal(workers[1], "KILL");
    let (code, report) = ended(child);
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(report["errors"]["worker_lost"], 1, "{:#}", report["errors"]);
    assert!(report["deliveries"].as_u64() > Some(0), "{report:#}");
}

#[test]
fn workers_end_with_their_parent() {
    let child = running(&["--workers", "2", "--duration", "60s"]);
    assert_eq!(children(child.id()).len(), 2);
    signal(child.id(), "KILL");
    // They hold its standard error, which ends with the last of them.
    let (sender, ended) = channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let output = ended.recv_timeout(Duration::from_secs(30)).expect("workers end").expect("the program was started");
    assert_eq!(output.status.code(), None, "it was killed");
}
