//! The house rules as a test: who may import whom, what may be called where, and how long a file may grow.
//!
//! The tables are here, so that a new arrow is a one-line diff that a reader sees; it comes with a
//! `docs/decisions/NNNN-*.md`. The rules are in `tidy/rules.rs`, and `tidy/fakes.rs` shows each of them failing.

mod tidy {
    pub mod circles;
    mod fakes;
    pub mod rules;
    pub mod source;
}

use tidy::circles::circles;
use tidy::rules::{self, Ban, Crate, Room, Violation};
use tidy::source::{Source, Tree};

/// Which room may import which; its own it may always. Rooms on one floor never import each other.
const ROOMS: &[Room] = &[
    // The ground floor, each only what stands above it here.
    Room { name: "limits", imports: &[] },
    Room { name: "close", imports: &["limits"] },
    Room { name: "command", imports: &["limits", "close", "time"] },
    Room { name: "time", imports: &["limits"] },
    Room { name: "buf", imports: &["limits"] },
    Room { name: "budget", imports: &["limits"] },
    Room { name: "metrics", imports: &["limits", "close"] },
    // Bytes.
    Room { name: "wire", imports: GROUND },
    Room { name: "driver", imports: GROUND },
    // The meaning of bytes, the readers, and the lanes between cores.
    Room { name: "transport", imports: GROUND_AND_WIRE },
    Room { name: "dialect", imports: GROUND_AND_WIRE },
    Room { name: "hub", imports: GROUND },
    Room { name: "auth", imports: GROUND_AND_WIRE },
    Room { name: "admin", imports: GROUND_AND_WIRE },
    Room { name: "snapshot", imports: GROUND },
    // The live configuration consists of values of these rooms (docs/decisions/0020).
    Room { name: "live", imports: GROUND_HUB_AND_TRANSPORT },
    Room { name: "mailbox", imports: GROUND_AND_LIVE },
    Room { name: "backplane", imports: GROUND },
    // The endpoints (docs/decisions/0021).
    Room { name: "routes", imports: GROUND_WIRE_TRANSPORT_AND_DIALECT },
    // One core.
    Room { name: "shard", imports: BELOW_SHARD },
    // Where everything is put together.
    Room { name: "config", imports: ANYTHING },
    Room { name: "server", imports: ANYTHING },
    Room { name: "cli", imports: ANYTHING },
    Room { name: "main", imports: ANYTHING },
    Room { name: "lib", imports: &[] },
];

const ANYTHING: &[&str] = &["*"];
const GROUND: &[&str] = &["limits", "close", "command", "time", "buf", "metrics"];
const GROUND_AND_WIRE: &[&str] = &["limits", "close", "command", "time", "buf", "metrics", "wire"];
const GROUND_WIRE_TRANSPORT_AND_DIALECT: &[&str] =
    &["limits", "close", "command", "time", "buf", "metrics", "wire", "transport", "dialect"];
const GROUND_HUB_AND_TRANSPORT: &[&str] =
    &["limits", "budget", "close", "command", "time", "buf", "metrics", "hub", "transport"];
const GROUND_AND_LIVE: &[&str] = &["limits", "budget", "close", "command", "time", "buf", "metrics", "live"];
const BELOW_SHARD: &[&str] = &[
    "limits",
    "budget",
    "close",
    "command",
    "time",
    "buf",
    "metrics",
    "wire",
    "driver",
    "transport",
    "dialect",
    "hub",
    "auth",
    "admin",
    "live",
    "mailbox",
    "backplane",
    "routes",
];

/// The shard's folders, and which of the others each may name. Its root (`mod`, `run`, `post`, `slot`) names them all, and
/// `slot` is there for all of them.
const SHARD_ROOMS: &[Room] = &[
    // A connection is a link and its own session in one slot: that is all that a link's room names of sessions.
    Room { name: "link", imports: &["session"] },
    Room { name: "session", imports: &["link"] },
    Room { name: "delivery", imports: &["link", "session"] },
    Room { name: "request", imports: &["link", "session", "delivery"] },
    Room { name: "upkeep", imports: &["link", "session", "request"] },
];

/// Where the dialect of the tests is named: its folder, its variant, its row, and what it proves. A dialect that is shipped
/// adds its row in the routes.
const TEST_DIALECT: &[&str] =
    &["src/dialect/mod.rs", "src/dialect/tagged/mod.rs", "src/shard/session/encoding.rs", "src/shard/tests.rs"];

/// Where the transport of the tests is named: its folder, its variants in two enumerations, its row, and what it proves.
const TEST_TRANSPORT: &[&str] = &[
    "src/shard/session/encoding.rs",
    "src/shard/tests.rs",
    "src/transport/framing.rs",
    "src/transport/mod.rs",
    "src/transport/packets/mod.rs",
    "src/transport/service.rs",
];

/// Rooms of which others see only what their `mod.rs` holds, and who may go further in.
const SEAMS: &[(&str, &[&str])] = &[("driver", &["server", "cli"])];

/// Where each third-party crate may be named: files and folders under `src/`; `""` is everywhere.
const CRATES: &[Crate] = &[
    Crate {
        name: "base64",
        places: &["wire/ws/handshake.rs", "dialect/json/encode.rs", "transport/sse", "cli/subscribe"],
    },
    Crate { name: "clap", places: &["cli", "config"] },
    Crate { name: "csv", places: &["cli"] },
    Crate { name: "fastrand", places: &[""] },
    Crate { name: "flate2", places: &["wire/deflate.rs"] },
    Crate { name: "hashbrown", places: &["hub", "shard"] },
    Crate { name: "httparse", places: &["wire/http1"] },
    Crate { name: "io_uring", places: &["driver/uring"] },
    Crate { name: "itoa", places: &[""] },
    Crate { name: "libc", places: &["driver"] },
    Crate { name: "memchr", places: &[""] },
    Crate { name: "mio", places: &["driver"] },
    Crate { name: "prometheus_client", places: &["metrics"] },
    Crate { name: "rlimit", places: &["driver"] },
    Crate { name: "rtrb", places: &["mailbox"] },
    // The mail that brings new certificates to the shards carries them as they are (docs/decisions/0010).
    Crate {
        name: "rustls",
        places: &["transport/tls", "mailbox/mail.rs", "cli/link.rs", "cli/trust.rs", "cli/server_url.rs"],
    },
    Crate { name: "serde", places: &["cli"] },
    Crate { name: "serde_json", places: &["cli"] },
    Crate { name: "sha1", places: &["wire/ws/handshake.rs"] },
    Crate { name: "signal_hook", places: &["server"] },
    Crate { name: "simdutf8", places: &["wire"] },
    Crate { name: "siphasher", places: &["hub", "shard", "snapshot"] },
    Crate { name: "slab", places: &["shard", "hub", "driver"] },
    Crate { name: "socket2", places: &["driver"] },
    Crate { name: "toml", places: &["config"] },
    Crate { name: "tracing", places: &[""] },
    Crate { name: "tracing_subscriber", places: &["cli"] },
    Crate { name: "tungstenite", places: &["cli"] },
];

/// The files in which `unsafe` may stand: those whose path under `src/` begins like this.
const UNSAFE: &[&str] = &[
    // A function of the C library (docs/decisions/0019).
    "driver/allocator.rs",
    "driver/listen.rs",
    "driver/epoll",
    "driver/uring/ring.rs",
    "driver/uring/buffer_ring.rs",
    "wire/ws/mask/x86_64.rs",
    "wire/ws/mask/aarch64.rs",
];

/// Likewise in `loadtest/src/`: the floor's io_uring entries name memory that the kernel reads (docs/decisions/0007).
const UNSAFE_LOADTEST: &[&str] = &["loadtest/src/floor/uring/ring.rs"];

/// Banned text in `src/`, with the places that may have it.
const BANS: &[Ban] = &[
    Ban { text: "Instant::now", places: &["driver"], instead: "take a MonoTime as an argument" },
    Ban { text: "SystemTime", places: &["driver"], instead: "ask the driver's clock" },
    Ban { text: "TcpStream", places: &["driver"], instead: "let the driver hold the socket" },
    Ban { text: "TcpListener", places: &["driver"], instead: "let the driver hold the socket" },
    Ban { text: "UdpSocket", places: &["driver"], instead: "let the driver hold the socket" },
    Ban { text: "thread::sleep", places: &["driver"], instead: "wait for an event, or use the driver's clock" },
    Ban { text: "WouldBlock", places: &["driver"], instead: "return a value that says what is missing" },
    Ban { text: "raw_os_error", places: &["driver"], instead: "map it to a NetError in the driver" },
    Ban { text: "last_os_error", places: &["driver"], instead: "map it to a NetError in the driver" },
    Ban { text: "RawFd", places: &["driver"], instead: "let the driver hold the descriptor" },
    // The count of connections is touched when one comes and goes, never for a message; the server holds no hot state.
    Ban { text: "Mutex", places: &["mailbox/admission.rs", "server"], instead: "send mail: one thread owns a shard" },
    Ban { text: "RwLock", places: &[], instead: "send mail: one thread owns a shard" },
    Ban { text: "fastrand::Rng::new", places: &["server", "cli"], instead: "seed it: same seed, same run" },
    Ban {
        text: "RandomState",
        places: &["driver/clock.rs"],
        instead: "use the shard's keyed hash: same seed, same run",
    },
    Ban { text: ".unwrap(", places: &[], instead: "handle it, or say the invariant in `.expect(..)`" },
    Ban { text: "todo!", places: &[], instead: "write it" },
    Ban { text: "unimplemented!", places: &[], instead: "write it" },
    Ban { text: "dbg!", places: &[], instead: "use `tracing`" },
    Ban { text: "println!", places: &["cli"], instead: "return it to `cli`, or use `tracing`" },
    Ban { text: "eprintln!", places: &["cli", "main.rs"], instead: "return it to `cli`, or use `tracing`" },
    Ban { text: "process::exit", places: &["cli", "main.rs"], instead: "return an exit code" },
];

/// Banned text in `tests/` and `benches/`, with the files that may have it and the reason.
const TEST_BANS: &[Ban] =
    &[Ban { text: "thread::sleep", places: &[], instead: "wait for what you wait for, not for a time" }];

/// Where the numbers and names of errors stand: their table, and the list of close codes that a peer may send.
const ERRORS: &[&str] = &["close", "wire/ws/close_code.rs"];

/// The codes of refusals, as they are written on the wire.
const ERROR_NAMES: &[&str] = &[
    "bad_request",
    "bad_topic",
    "forbidden",
    "unauthorized",
    "too_many_topics",
    "too_large",
    "rate_limited",
    "not_found",
    "not_supported",
    "overloaded",
];

/// Statuses and close codes. Without 100, 200, 400, 500 and 1000, which are also counts: `Status` has no number from
/// outside of its table, so that the compiler finds those.
const ERROR_NUMBERS: &[&str] = &[
    "101", "204", "304", "401", "403", "404", "405", "408", "412", "413", "415", "426", "429", "431", "501", "503",
    "505", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012", "1013", "1015",
];

/// Lines of a file, its tests among them.
const LINES_MAX: usize = 550;

/// Files that are longer, with their length today: it may only shrink, and the row goes with the last line too many.
const LONG: &[(&str, usize)] = &[];

/// Lines of documents that must stay short: two pages.
const DOCUMENTS: &[(&str, usize)] = &[("docs/ARCHITECTURE.md", 130), ("docs/WALKTHROUGH.md", 110)];

fn hold(violations: Vec<Violation>) {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} to tidy up:\n{}", lines.len(), lines.join("\n"));
}

/// The sources that are ours, under `folder`.
fn each(folder: &str, rule: impl Fn(&Source) -> Vec<Violation>) {
    let tree = Tree::read();
    let mut sources = tree.rust(folder).peekable();
    assert!(sources.peek().is_some(), "there are sources in {folder}");
    hold(sources.flat_map(|source| rule(&source)).collect());
}

#[test]
fn rooms_import_only_what_their_row_allows() {
    each("src/", |source| rules::imports(source, ROOMS, SEAMS));
}

#[test]
fn the_shards_folders_name_only_what_their_row_allows() {
    each("src/shard/", |source| rules::folders(source, "src/shard/", SHARD_ROOMS));
}

#[test]
fn a_dialect_is_its_folder_its_variant_and_its_row() {
    assert_eq!(files_that_name("tagged"), TEST_DIALECT);
}

#[test]
fn a_transport_with_sessions_is_its_folder_its_variants_and_its_row() {
    assert_eq!(files_that_name("packets"), TEST_TRANSPORT);
}

/// The files of the program that have a word in their path or text, however it is written.
fn files_that_name(word: &str) -> Vec<String> {
    let tree = Tree::read();
    let names_it = |(path, text): &(&str, &str)| {
        path.starts_with("src/") && (path.contains(word) || text.to_ascii_lowercase().contains(word))
    };
    let mut named: Vec<_> = tree.texts().filter(names_it).map(|(path, _)| path.to_owned()).collect();
    named.sort_unstable();
    named
}

#[test]
fn the_load_client_imports_in_one_direction() {
    let sources: Vec<Source> = Tree::read().rust("loadtest/src/").collect();
    assert!(sources.len() > 20, "there are sources");
    hold(circles(&sources, "loadtest/src/"));
}

#[test]
fn each_crate_is_named_in_its_places_only() {
    each("src/", |source| rules::crates(source, CRATES));
}

#[test]
fn each_dependency_has_its_row() {
    let tree = Tree::read();
    hold(rules::dependencies(tree.text("Cargo.toml").expect("a manifest"), CRATES));
    hold(rules::stale_places(&tree.rust("src/").collect::<Vec<_>>(), CRATES));
}

#[test]
fn unsafe_stands_in_its_files_only() {
    each("src/", |source| rules::unsafe_code(source, UNSAFE));
    each("loadtest/src/", |source| rules::unsafe_code(source, UNSAFE_LOADTEST));
}

#[test]
fn what_is_banned_is_not_called() {
    each("src/", |source| rules::bans(source, "src/", BANS));
    each("tests/", |source| rules::bans(source, "tests/", TEST_BANS));
}

#[test]
fn errors_are_named_and_numbered_in_one_table() {
    each("src/", |source| rules::error_literals(source, ERRORS, ERROR_NAMES, ERROR_NUMBERS));
}

#[test]
fn no_test_is_switched_off() {
    each("", rules::ignored_tests);
}

#[test]
fn files_stay_short() {
    let tree = Tree::read();
    let sources = tree.texts().filter(|(path, _)| path.ends_with(".rs"));
    hold(sources.flat_map(|(path, text)| rules::length(path, text, LINES_MAX, LONG)).collect());
    hold(rules::stale_lengths(LONG, |path| tree.text(path).is_some()));
    hold(rules::documents(DOCUMENTS, |path| tree.text(path)));
}

#[test]
fn each_source_says_what_it_is() {
    each("", rules::header);
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    hold(Tree::read().texts().flat_map(|(path, text)| rules::machine_paths(path, text)).collect());
}
