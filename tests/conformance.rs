//! RFC 6455 and HTTP/1.1 as a table: one named case per MUST and per case family of the Autobahn suite, written as
//! octets on a socket, plus what that suite lacks: unmasked frames and every negative opening handshake.
//!
//! The cases of an area share one gateway and run one after the other. Behind each of them a second connection, which
//! lives through the whole area, must still be served: whatever one peer does, nobody else notices.
//! `FANWIRE_CASE=text` runs only the cases with that text in their names; `FANWIRE_JUDGED_ADDRESS=127.0.0.1:9001`
//! judges a server that already runs.

mod common;

mod conformance {
    mod bounds;
    pub mod closing;
    pub mod compression;
    pub mod control;
    pub mod fragmentation;
    pub mod framing;
    pub mod handshake;
    pub mod http;
    pub mod limits;
    pub mod publishing;
    mod shutdown;
    pub mod slow;
    pub mod smuggling;
    pub mod terms;
    pub mod utf8;
    pub mod vanishing;
}

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{Frame, Gateway, Socket};

/// One thing that a server must do.
pub struct Case {
    source: &'static str,
    name: String,
    act: Box<dyn Fn(&Gateway)>,
}

/// A row of the table: where it is written (a section of RFC 6455 unless it says otherwise), what must be, and how
/// to see it.
pub fn case(source: &'static str, name: impl Into<String>, act: impl Fn(&Gateway) + 'static) -> Case {
    Case { source, name: name.into(), act: Box::new(act) }
}

/// A row about a conversation on `/echo`.
pub fn echo(source: &'static str, name: impl Into<String>, act: impl Fn(&mut Socket) + 'static) -> Case {
    case(source, name, move |gateway| act(&mut gateway.websocket("/echo")))
}

/// Runs the cases of one area against one gateway, all of them, and tells which failed.
fn check(args: &[&str], cases: Vec<Case>) {
    let wanted = std::env::var("FANWIRE_CASE").unwrap_or_default();
    let gateway = Gateway::start(args);
    let mut witness = gateway.websocket("/echo");
    let (mut names, mut failed) = (HashSet::new(), Vec::new());
    for Case { source, name, act } in cases {
        assert!(names.insert(name.clone()), "two cases are called {name:?}");
        if !name.contains(&wanted) {
            continue;
        }
        let talk = || {
            act(&gateway);
            // Nobody else notices.
            witness.send(Frame::text(&name)).expect_text(&name);
        };
        if let Err(cause) = catch_unwind(AssertUnwindSafe(talk)) {
            let cause = cause.downcast_ref::<String>().map_or("see above", String::as_str);
            failed.push(format!("[{source}] {name}: {cause}"));
            // The failure may have cost the witness its place in the conversation.
            match catch_unwind(|| gateway.websocket("/echo")) {
                Ok(next) => witness = next,
                Err(_) => break,
            }
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed:\n  {}", failed.len(), names.len(), failed.join("\n  "));
}

const TWO_SHARDS: &[&str] = &["--shards", "2"];

#[test]
fn the_opening_handshake_follows_section_4() {
    check(TWO_SHARDS, conformance::handshake::cases());
}

#[test]
fn framing_follows_sections_5_1_and_5_2() {
    check(TWO_SHARDS, conformance::framing::cases());
}

#[test]
fn control_frames_follow_section_5_5() {
    check(TWO_SHARDS, conformance::control::cases());
}

#[test]
fn fragmentation_follows_section_5_4() {
    check(TWO_SHARDS, conformance::fragmentation::cases());
}

#[test]
fn text_is_utf8_as_section_8_1_wants() {
    check(TWO_SHARDS, conformance::utf8::cases());
}

#[test]
fn the_closing_handshake_follows_section_7() {
    check(TWO_SHARDS, conformance::closing::cases());
}

#[test]
fn messages_are_bounded_at_the_bound_and_not_before() {
    check(TWO_SHARDS, conformance::limits::cases());
}

#[test]
fn compression_follows_rfc_7692() {
    check(TWO_SHARDS, conformance::compression::cases());
}

#[test]
fn publishers_terms_are_kept() {
    check(TWO_SHARDS, conformance::terms::cases());
}

#[test]
fn publishing_follows_http_1_1() {
    check(TWO_SHARDS, conformance::publishing::cases());
}

#[test]
fn requests_and_answers_follow_http_1_1() {
    check(TWO_SHARDS, conformance::http::cases());
}

#[test]
fn no_request_is_smuggled_behind_another() {
    check(TWO_SHARDS, conformance::smuggling::cases());
}

#[test]
fn a_peer_may_vanish_between_any_two_octets() {
    check(TWO_SHARDS, conformance::vanishing::cases());
}

#[test]
fn a_peer_that_takes_too_long_is_disconnected() {
    let timeouts = ["--handshake-timeout", "--body-timeout", "--http-idle-timeout", "--close-timeout"];
    let args: Vec<&str> = timeouts.into_iter().flat_map(|timeout| [timeout, "300ms"]).collect();
    check(&[TWO_SHARDS, &args].concat(), conformance::slow::cases());
}
