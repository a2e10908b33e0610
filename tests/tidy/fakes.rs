//! Each rule, failing: what no source of ours may look like.

use super::circles::circles;
use super::rules::{self, Ban, Crate, Room, Violation};
use super::source::Source;

const ROOMS: &[Room] = &[
    Room { name: "limits", imports: &[] },
    Room { name: "driver", imports: &["limits"] },
    Room { name: "hub", imports: &["limits"] },
    Room { name: "shard", imports: &["limits", "hub", "driver"] },
    Room { name: "server", imports: &["*"] },
];
const SEAMS: &[(&str, &[&str])] = &[("driver", &["server"])];

/// The places of the violations, as they are told.
fn places(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(|it| it.to_string().split(": ").next().unwrap_or_default().to_owned()).collect()
}

fn check(rule: impl Fn(&Source) -> Vec<Violation>, path: &str, text: &str, wanted: &[&str]) {
    let violations = rule(&Source::new(path, text));
    let wanted: Vec<String> = wanted.iter().map(|line| format!("{path}{line}")).collect();
    assert_eq!(places(&violations), wanted, "{path}\n{text}\n{violations:?}");
}

fn check_imports(path: &str, text: &str, wanted: &[&str]) {
    check(|source| rules::imports(source, ROOMS, SEAMS), path, text, wanted);
}

#[test]
fn an_arrow_that_is_not_in_the_table_is_found() {
    check_imports("src/hub/mod.rs", "use crate::limits::TOPICS_MAX;\nuse crate::hub::home::Home;\n", &[]);
    check_imports("src/hub/mod.rs", "use std::fmt;\nuse crate::shard::Shard;\n", &[":2"]);
    check_imports("src/hub/mod.rs", "use crate::{limits, shard::Shard};\n", &[":1"]);
    check_imports("src/hub/home.rs", "fn f() {\n    crate::driver::Op::Close;\n}\n", &[":2"]);
    check_imports("src/limits.rs", "use crate::hub::Hub;\n", &[":1"]);
    check_imports("src/server.rs", "use crate::shard::Shard;\nuse crate::driver::epoll::Epoll;\n", &[]);
    check_imports("src/unheard_of/mod.rs", "", &[""]);
}

#[test]
fn an_arrow_between_folders_that_is_not_in_the_table_is_found() {
    const FOLDERS: &[Room] = &[Room { name: "link", imports: &[] }, Room { name: "session", imports: &["link"] }];
    let rule = |source: &Source| rules::folders(source, "src/shard/", FOLDERS);
    check(rule, "src/shard/session/join.rs", "use crate::shard::link::conn::Slot;\n", &[]);
    check(rule, "src/shard/link/conn.rs", "use crate::hub::Hub;\nuse crate::shard::session::Session;\n", &[":2"]);
    check(rule, "src/shard/link/conn.rs", "use crate::shard::{Shard, session::Session};\n", &[":1"]);
    check(rule, "src/shard/cellar/mod.rs", "", &[""]);
    check(rule, "src/shard/mod.rs", "use crate::shard::session::Session;\n", &[]);
}

#[test]
fn an_arrow_through_the_root_is_found() {
    check_imports("src/hub/home.rs", "use super::readers;\n", &[]);
    check_imports("src/hub/home.rs", "use super::super::shard;\n", &[":1"]);
    check_imports("src/hub/mod.rs", "use super::shard;\n", &[":1"]);
}

#[test]
fn a_way_around_a_seam_is_found() {
    check_imports("src/shard/mod.rs", "use crate::driver::{Completion, Driver, Op};\n", &[]);
    check_imports("src/shard/mod.rs", "use crate::driver::epoll::Epoll;\n", &[":1"]);
    check_imports("src/shard/mod.rs", "use crate::driver::{Op, epoll::Epoll};\n", &[":1"]);
}

#[test]
fn what_stands_in_comments_strings_and_tests_is_no_arrow() {
    check_imports("src/hub/mod.rs", "// crate::shard::x\n/* crate::shard /* */ crate::shard::y */\n", &[]);
    check_imports("src/hub/mod.rs", "//! [`crate::shard::Shard`]\nconst A: &str = \"crate::shard::Shard\";\n", &[]);
    check_imports("src/hub/mod.rs", "const A: &str = r#\"\"crate::shard::Shard\"#;\nuse crate::shard::S;\n", &[":2"]);
    check_imports("src/hub/mod.rs", "const A: char = '\"';\nuse crate::shard::S;\nconst B: char = '\\'';\n", &[":2"]);
    check_imports("src/hub/mod.rs", "fn f<'a>(a: &'a str) {}\nuse crate::shard::S;\n", &[":2"]);
    check_imports("src/hub/mod.rs", "#[cfg(test)]\nmod tests {\n    use crate::shard::S;\n}\n", &[]);
    check_imports("src/hub/mod.rs", "#[cfg(test)]\nuse crate::shard::S;\nuse crate::shard::T;\n", &[":3"]);
}

#[test]
fn a_crate_away_from_its_places_is_found() {
    let rows = &[Crate { name: "mio", places: &["driver"] }, Crate { name: "tracing", places: &[""] }];
    let crates = |source: &Source| rules::crates(source, rows);
    check(crates, "src/driver/epoll/mod.rs", "use mio::Poll;\n", &[]);
    check(crates, "src/driver.rs", "use mio::Poll;\n", &[]);
    check(crates, "src/shard/mod.rs", "use tracing::debug;\nuse crate::mio::x;\n", &[]);
    check(crates, "src/shard/mod.rs", "use mio::Poll;\n", &[":1"]);
    check(crates, "src/shard/mod.rs", "use ::mio::Poll;\n", &[":1"]);
    check(crates, "src/shard/mod.rs", "use mio as m;\n", &[":1"]);
    check(crates, "src/drivers/mod.rs", "fn f(a: &mio::Poll) {}\n", &[":1"]);
}

#[test]
fn a_place_that_a_crate_left_is_found() {
    let rows = &[Crate { name: "mio", places: &["driver", "shard"] }];
    let sources = [Source::new("src/driver/mod.rs", "use mio::Poll;\n"), Source::new("src/shard.rs", "// mio::Poll\n")];
    assert_eq!(places(&rules::stale_places(&sources, rows)), ["src/shard"]);
}

#[test]
fn a_dependency_without_a_row_and_a_row_without_one_are_found() {
    let rows = &[Crate { name: "signal_hook", places: &[] }, Crate { name: "gone", places: &[] }];
    let manifest = "[dependencies]\nsignal-hook = \"1\"\nadded = { version = \"2\" }\n";
    let violations = rules::dependencies(manifest, rows);
    assert_eq!(violations.len(), 2, "{violations:?}");
    assert!(violations[0].to_string().contains("added") && violations[1].to_string().contains("gone"));
}

#[test]
fn unsafe_code_away_from_its_files_is_found() {
    let unsafe_code = |source: &Source| rules::unsafe_code(source, &["driver/uring", "wire/ws/mask/x86_64.rs"]);
    let text = "#![allow(unsafe_code)]\nfn f() {\n    unsafe { g() }\n}\n";
    check(unsafe_code, "src/driver/uring/ring.rs", text, &[]);
    check(unsafe_code, "src/driver/uring.rs", text, &[]);
    check(unsafe_code, "src/wire/ws/mask/x86_64.rs", text, &[]);
    check(unsafe_code, "src/wire/ws/mask/scalar.rs", text, &[":3", ":1"]);
    check(unsafe_code, "src/hub/mod.rs", "// unsafe\n#![deny(unsafe_code)]\n", &[]);
}

#[test]
fn a_banned_call_is_found() {
    let rows = &[
        Ban { text: "Instant::now", places: &["driver"], instead: "" },
        Ban { text: ".unwrap(", places: &[], instead: "" },
        Ban { text: "println!", places: &["cli"], instead: "" },
    ];
    let bans = |source: &Source| rules::bans(source, "src/", rows);
    check(bans, "src/driver/clock.rs", "fn f() { Instant::now(); }\n", &[]);
    check(bans, "src/hub/mod.rs", "fn f() { Instant::now(); }\n", &[":1"]);
    check(
        bans,
        "src/hub/mod.rs",
        "fn f() {\n    a.unwrap();\n    b.unwrap_or(1);\n    c\n        .unwrap()\n}\n",
        &[":2", ":5"],
    );
    check(bans, "src/hub/mod.rs", "fn f() {\n    eprintln!();\n    println!();\n}\n", &[":3"]);
    check(bans, "src/hub/mod.rs", "/// `a.unwrap()`\n#[cfg(test)]\nmod tests {\n    fn f() { a.unwrap(); }\n}\n", &[]);
}

#[test]
fn a_name_or_a_number_of_an_error_away_from_its_table_is_found() {
    let literals = |source: &Source| rules::error_literals(source, &["close"], &["forbidden"], &["403", "1008"]);
    let text = "//! 403 is \"forbidden\".\nfn f() {\n    g(403, \"forbidden\");\n    h(4030);\n    close(1008);\n}\n";
    check(literals, "src/hub/mod.rs", text, &[":3", ":3", ":5"]);
    check(literals, "src/close.rs", text, &[]);
    check(literals, "src/close/status.rs", text, &[]);
    let tests = "#[cfg(test)]\nmod tests {\n    fn f() { g(403, \"forbidden\"); }\n}\n";
    check(literals, "src/hub/mod.rs", tests, &[]);
}

#[test]
fn a_test_that_is_switched_off_is_found() {
    let text = format!("#[test]\n{}]\nfn f() {{}}\n", concat!("#[", "ignore"));
    check(rules::ignored_tests, "tests/a.rs", &text, &[":2"]);
    check(rules::ignored_tests, "tests/a.rs", "#[test]\nfn ignored() {}\n", &[]);
}

#[test]
fn a_long_file_is_found_and_may_only_shrink() {
    let lines = |count: usize| "fn f() {}\n".repeat(count);
    let long = &[("src/long.rs", 20)];
    let found = |path: &str, count: usize| rules::length(path, &lines(count), 10, long).len();
    assert_eq!((found("src/short.rs", 10), found("src/short.rs", 11)), (0, 1));
    let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(5), lines(3));
    assert_eq!(rules::length("src/short.rs", &tests, 10, long).len(), 1, "tests are lines too");
    assert_eq!([20, 21, 19, 10].map(|count| found("src/long.rs", count)), [0, 1, 1, 1]);
    assert_eq!(rules::stale_lengths(long, |_| false).len(), 1);
    assert_eq!(rules::documents(&[("a.md", 2), ("b.md", 2)], |path| (path == "a.md").then_some("1\n2\n3\n")).len(), 1);
}

#[test]
fn a_source_that_does_not_say_what_it_is_is_found() {
    check(rules::header, "src/hub/mod.rs", "//! Who listens.\n", &[]);
    check(rules::header, "src/hub/mod.rs", "// Who listens.\nuse std::fmt;\n", &[":1"]);
}

#[test]
fn a_path_of_a_machine_is_found() {
    let folder = concat!("/wo", "rk");
    let found = |text: &str| rules::machine_paths("a.md", text).len();
    assert_eq!(found(&format!("run it in {folder}/main\nor in {folder}\n")), 2);
    assert_eq!(found(&format!("target={}/x", concat!("/ro", "ot"))), 1);
    assert_eq!(found(&format!("a{folder} {folder}space {folder}ers and/or frame{folder}\n")), 0);
}

#[test]
fn a_circle_of_imports_is_found() {
    let found = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        places(&circles(&sources, "x/src/"))
    };
    let root = ("x/src/lib.rs", "pub mod a;\npub mod c;\n");
    let parent = ("x/src/a/mod.rs", "mod b;\npub struct A;\npub fn f() {\n    b::g();\n}\n");
    let child = ("x/src/a/b.rs", "use super::A;\npub fn g() {}\n");
    assert_eq!(found(&[root, parent, child]), ["x/src/a/mod.rs", "x/src/a/b.rs"]);
    let child = ("x/src/a/b.rs", "use crate::c::{C, D};\npub fn g() {}\n");
    assert_eq!(found(&[root, parent, child, ("x/src/c.rs", "pub struct C;\n")]), [""; 0]);
    assert_eq!(found(&[root, parent, child, ("x/src/c.rs", "use crate::a::A;\n")]).len(), 3);
}
