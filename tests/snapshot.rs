//! Snapshots from outside: the gateway is killed, ended in order, and given files that are not what they should be.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{Frame, Gateway, HANG, program};
use serde_json::{Value, json};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fanwire-snapshot-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("topics")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("it is there");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A gateway that keeps a history of topics under `t`, with its snapshots in a folder.
fn start(folder: &Folder, shards: &str, interval: &str) -> Gateway {
    let file = folder.file();
    let file = file.to_str().expect("a temporary folder has a name of text");
    Gateway::start(&[
        "--shards",
        shards,
        "--snapshot",
        file,
        "--snapshot-interval",
        interval,
        "--topics",
        "t.> history=100",
    ])
}

fn get(gateway: &Gateway, path: &str) -> String {
    let mut socket = gateway.connect();
    socket.write(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    socket.expect_http_status_of(&[200, 404]).text().to_owned()
}

fn topic(gateway: &Gateway, name: &str) -> Value {
    serde_json::from_str(&get(gateway, &format!("/topics/{name}"))).expect("an answer of JSON")
}

/// Publishes numbers to a topic, and returns its epoch and the last offset.
fn publish(gateway: &Gateway, topic: &str, numbers: std::ops::RangeInclusive<u64>) -> (String, u64) {
    let body: String = numbers.map(|n| json!({"topic": topic, "data": n}).to_string() + "\n").collect();
    let mut socket = gateway.connect();
    socket.write(format!("POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let answer = socket.expect_http_status(200);
    let last: Value = serde_json::from_str(answer.text().lines().last().expect("a line")).expect("a line of JSON");
    (last["epoch"].as_str().expect("an epoch").to_owned(), last["offset"].as_u64().expect("an offset"))
}

fn count(gateway: &Gateway, metric: &str) -> u64 {
    let text = get(gateway, "/metrics");
    let line = text.lines().find(|line| line.starts_with(&format!("{metric}{{shard=\"0\"}}")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{metric} in {text}"))
}

/// Waits for a snapshot that began after this call: the one under way may have passed by, the next has not.
fn wait_for_snapshot(gateway: &Gateway) {
    let before = count(gateway, "fanwire_snapshots_total");
    let deadline = Instant::now() + HANG;
    while count(gateway, "fanwire_snapshots_total") < before + 2 {
        assert!(Instant::now() < deadline, "no snapshot is taken");
    }
}

/// Joins over `/ws` with a position; returns whether it was recovered, and the numbers that came.
fn resume_json(gateway: &Gateway, topic: &str, since: &str, expected: usize) -> (Value, Vec<u64>) {
    let mut socket = gateway.websocket("/ws");
    socket.send(Frame::text(json!({"op": "sub", "topics": [topic], "since": {topic: since}}).to_string()));
    let mut message = || -> Value { serde_json::from_slice(&socket.read_message().1).expect("JSON") };
    let reply = message();
    let numbers = (0..expected).map(|_| message()["d"].as_u64().expect("a number")).collect();
    (reply["topics"][topic]["recovered"].clone(), numbers)
}

fn resume_raw(gateway: &Gateway, topic: &str, since: &str, expected: usize) -> Vec<String> {
    let mut socket = gateway.websocket(&format!("/raw/{topic}?since={since}"));
    (0..expected).map(|_| String::from_utf8(socket.read_message().1).expect("text")).collect()
}

fn text(numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

#[test]
fn what_messages_carry_and_an_older_last_value_outlive_a_restart() {
    let folder = Folder::new("carries");
    let mut gateway = start(&folder, "2", "1h");
    for (name, field) in [("t.a", ""), ("plain", ""), ("t.a", "Fanwire-Last: 0\r\n"), ("plain", "Fanwire-Last: 0\r\n")]
    {
        let mut socket = gateway.connect();
        let fields = format!("Host: localhost\r\nFanwire-Event: sold\r\nFanwire-Attribute-Color: red\r\n{field}");
        socket.write(format!("POST /publish/{name} HTTP/1.1\r\n{fields}Content-Length: 1\r\n\r\n7"));
        socket.expect_http_status(200);
    }
    let before = ["t.a", "plain"].map(|name| get(&gateway, &format!("/topics/{name}/history")));
    gateway.terminate();
    assert!(gateway.wait().success());
    let gateway = start(&folder, "1", "1h");
    let kept = |offset: u64| json!({"o": offset, "e": "sold", "h": {"color": "red"}, "d": 7});
    for (name, before) in ["t.a", "plain"].into_iter().zip(before) {
        let state = topic(&gateway, name);
        assert_eq!((&state["last"], &state["offset"]), (&kept(1), &json!(2)), "{name}");
        assert_eq!(get(&gateway, &format!("/topics/{name}/history")), before, "{name}");
    }
}

#[test]
fn after_a_death_readers_resume_from_what_the_snapshot_knew() {
    let folder = Folder::new("death");
    let gateway = start(&folder, "2", "20ms");
    let (old_epoch, _) = publish(&gateway, "t.a", 1..=10);
    publish(&gateway, "plain", 1..=3);
    wait_for_snapshot(&gateway);
    // The process is killed, not asked.
    drop(gateway);
    let gateway = start(&folder, "2", "1h");
    let (new_epoch, offset) = publish(&gateway, "t.a", 11..=12);
    assert_eq!(offset, 12, "offsets go on");
    assert_ne!(new_epoch, old_epoch, "what was said after the snapshot is not known");
    assert_eq!(resume_raw(&gateway, "t.a", &format!("{old_epoch}-4"), 8), text(5..=12));
    assert_eq!(resume_json(&gateway, "t.a", &format!("{old_epoch}-10"), 2), (json!(true), vec![11, 12]));
    assert_eq!(resume_json(&gateway, "t.a", &format!("{new_epoch}-11"), 1), (json!(true), vec![12]));
    // Beyond the snapshot: the reader heard something that is lost.
    assert_eq!(resume_json(&gateway, "t.a", &format!("{old_epoch}-11"), 1), (json!(false), vec![12]));
    assert_eq!(topic(&gateway, "plain")["last"], json!({"o": 3, "d": 3}));
    assert_eq!(folder.names(), ["topics", "topics.lock"]);
}

#[test]
fn after_a_shutdown_nothing_is_new_but_the_process() {
    let folder = Folder::new("shutdown");
    let mut gateway = start(&folder, "2", "1h");
    let (epoch, _) = publish(&gateway, "t.a", 1..=10);
    let many = [0, 1, 2, 3, 4, 5, 6, 7];
    for n in many {
        publish(&gateway, &format!("many.{n}"), n + 1..=n + 1);
    }
    gateway.terminate();
    assert!(gateway.wait().success());
    // Another number of shards, so that topics have other homes.
    let mut gateway = start(&folder, "3", "1h");
    assert_eq!(publish(&gateway, "t.a", 11..=11), (epoch.clone(), 11));
    assert_eq!(resume_raw(&gateway, "t.a", &format!("{epoch}-1"), 10), text(2..=11));
    for n in many {
        assert_eq!(topic(&gateway, &format!("many.{n}"))["last"]["d"], json!(n + 1));
    }
    gateway.terminate();
    assert!(gateway.wait().success());
    let gateway = start(&folder, "1", "1h");
    assert_eq!(topic(&gateway, "t.a")["epoch"], json!(epoch));
    assert_eq!(resume_raw(&gateway, "t.a", &format!("{epoch}-9"), 2), text(10..=11));
}

/// Where a topic stands that is read and in which nothing was said.
fn quiet_position(gateway: &Gateway, topic: &str) -> String {
    let mut socket = gateway.websocket("/ws");
    socket.send(Frame::text(json!({"op": "sub", "topics": [topic]}).to_string()));
    let reply: Value = serde_json::from_slice(&socket.read_message().1).expect("JSON");
    let joined = &reply["topics"][topic];
    assert_eq!(joined["offset"], json!(0));
    format!("{}-0", joined["epoch"].as_str().expect("an epoch"))
}

#[test]
fn a_topic_in_which_nothing_was_said_stands_where_it_stood_after_a_shutdown_and_not_after_a_death() {
    let folder = Folder::new("quiet");
    let mut gateway = start(&folder, "2", "1h");
    let position = quiet_position(&gateway, "t.a");
    gateway.terminate();
    assert!(gateway.wait().success());
    let mut gateway = start(&folder, "3", "1h");
    assert_eq!(quiet_position(&gateway, "t.a"), position);
    publish(&gateway, "t.a", 1..=2);
    assert_eq!(resume_json(&gateway, "t.a", &position, 2), (json!(true), vec![1, 2]));
    assert_eq!(resume_raw(&gateway, "t.a", &position, 2), text(1..=2));
    let other = quiet_position(&gateway, "t.b");
    gateway.terminate();
    assert!(gateway.wait().success());
    let gateway = start(&folder, "1", "1h");
    assert_eq!(quiet_position(&gateway, "t.b"), other, "and after the next");
    // Its messages before the crash are unknown.
    drop(gateway);
    let gateway = start(&folder, "1", "1h");
    assert_ne!(quiet_position(&gateway, "t.b"), other);
    assert_eq!(resume_json(&gateway, "t.b", &other, 0).0, json!(false));
}

#[test]
fn a_file_that_was_read_counts_as_unclean_until_the_next_shutdown() {
    let folder = Folder::new("unclean");
    let mut gateway = start(&folder, "1", "1h");
    let (first, _) = publish(&gateway, "t.a", 1..=2);
    gateway.terminate();
    assert!(gateway.wait().success());
    let gateway = start(&folder, "1", "1h");
    assert_eq!(publish(&gateway, "t.a", 3..=3), (first.clone(), 3));
    // Killed before any snapshot: the third message was heard under the first epoch and is lost.
    drop(gateway);
    let gateway = start(&folder, "1", "1h");
    let (second, offset) = publish(&gateway, "t.a", 4..=4);
    assert_eq!(offset, 3);
    assert_ne!(first, second);
    assert_eq!(resume_json(&gateway, "t.a", &format!("{first}-3"), 1), (json!(false), vec![4]));
    assert_eq!(resume_json(&gateway, "t.a", &format!("{first}-2"), 1), (json!(true), vec![4]));
}

/// Starts a gateway on a file, and returns what it said on standard error until it was ready.
fn complaint(file: &Path) -> String {
    let mut child = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--shards", "1", "--snapshot"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the gateway's binary starts");
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let is_ready = stdout.lines().map_while(Result::ok).any(|line| line == "ready");
    child.kill().expect("it runs");
    let mut said = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("text");
    child.wait().expect("it ended");
    assert!(is_ready, "{said}");
    // The first line is what it starts with.
    let complaints = said.lines().filter(|line| !line.contains(" INFO ")).map(|line| format!("{line}\n"));
    complaints.collect()
}

#[test]
fn a_file_that_is_not_right_is_told_kept_aside_and_never_written_over() {
    let folder = Folder::new("refused");
    let mut gateway = start(&folder, "1", "1h");
    publish(&gateway, "t.a", 1..=20);
    gateway.terminate();
    assert!(gateway.wait().success());
    let right = fs::read(folder.file()).expect("a snapshot");
    let torn = right[..right.len() / 2].to_vec();
    let mut damaged = right.clone();
    // In the body of the first record: a length that is damaged may as well be one that is not all there.
    damaged[35] ^= 4;
    let mut newer = right.clone();
    newer[8] = 9;
    let cases = [
        (torn, "it is cut off"),
        (damaged, "is damaged"),
        (newer, "it is of version 9, from a later fanwire"),
        (b"px.AAPL,1,2\n".to_vec(), "it is not a snapshot"),
        (Vec::new(), "it is cut off"),
    ];
    for (n, (bytes, reason)) in cases.iter().enumerate() {
        fs::write(folder.file(), bytes).expect("it is writable");
        let said = complaint(&folder.file());
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(reason) && said.contains(folder.file().to_str().expect("text")), "{said}");
        let aside = if n == 0 { "topics.refused".to_owned() } else { format!("topics.refused.{n}") };
        assert!(said.contains(&aside), "{said}");
        assert_eq!(&fs::read(folder.0.join(aside)).expect("it is kept"), bytes);
        assert!(!folder.file().exists());
    }
    // And the right one is taken, with nothing to complain about.
    fs::write(folder.file(), right).expect("it is writable");
    assert_eq!(complaint(&folder.file()), "");
}

#[test]
fn a_gateway_that_could_write_no_snapshot_does_not_start() {
    let folder = Folder::new("nowhere");
    let file = folder.0.join("missing").join("topics");
    let output = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--snapshot"])
        .arg(&file)
        .output()
        .expect("the gateway's binary starts");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("cannot write the snapshot") && said.contains(file.to_str().expect("text")), "{said}");
}

/// The error of a gateway that does not start with this snapshot.
fn refusal(file: &Path) -> String {
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--snapshot"]).arg(file);
    let output = command.output().expect("the gateway's binary starts");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    said
}

#[test]
fn snapshots_and_locks_are_their_owners_alone() {
    let folder = Folder::new("private");
    let mut gateway = start(&folder, "1", "1h");
    publish(&gateway, "t.a", 1..=3);
    gateway.terminate();
    assert!(gateway.wait().success());
    for name in folder.names() {
        let mode = fs::metadata(folder.0.join(&name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn neither_a_link_nor_a_fifo_is_taken_for_a_snapshot_or_a_lock() {
    for suffix in ["", ".lock"] {
        let folder = Folder::new(&format!("odd{suffix}"));
        let place = PathBuf::from(format!("{}{suffix}", folder.file().display()));
        symlink("/dev/null", &place).expect("a link can be made");
        assert!(refusal(&folder.file()).contains("it is a symbolic link"), "{suffix}");
        fs::remove_file(&place).expect("it is ours");
        let made = Command::new("mkfifo").arg(&place).status().expect("mkfifo runs");
        assert!(made.success());
        assert!(refusal(&folder.file()).contains("it is not a regular file"), "{suffix}");
    }
}

#[test]
fn a_last_snapshot_that_could_not_be_written_ends_the_process_with_1() {
    let folder = Folder::new("last");
    let mut gateway = start(&folder, "2", "1h");
    publish(&gateway, "t.a", 1..=3);
    fs::remove_dir_all(&folder.0).expect("it is ours");
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(1));
}

#[test]
fn a_second_gateway_on_the_same_file_does_not_start_until_the_first_is_gone() {
    let folder = Folder::new("two");
    let gateway = start(&folder, "1", "1h");
    let (epoch, _) = publish(&gateway, "t.a", 1..=3);
    let output = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--snapshot"])
        .arg(folder.file())
        .output()
        .expect("the gateway's binary starts");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains(folder.file().to_str().expect("text")) && said.contains("another process uses it"), "{said}");
    // The first does not notice, and one that is killed leaves nothing that has to be removed.
    assert_eq!(publish(&gateway, "t.a", 4..=4), (epoch, 4));
    drop(gateway);
    start(&folder, "1", "1h");
}

#[test]
fn a_snapshot_that_cannot_be_written_is_counted_and_the_gateway_goes_on() {
    let folder = Folder::new("vanished");
    let gateway = start(&folder, "2", "10ms");
    wait_for_snapshot(&gateway);
    let elsewhere = Folder(folder.0.with_extension("moved"));
    fs::rename(&folder.0, &elsewhere.0).expect("it is ours");
    let deadline = Instant::now() + HANG;
    while count(&gateway, "fanwire_snapshot_errors_total") < 2 {
        assert!(Instant::now() < deadline, "no failure is counted");
    }
    publish(&gateway, "t.a", 1..=3);
    fs::create_dir_all(&folder.0).expect("a folder can be made");
    wait_for_snapshot(&gateway);
    let mut socket = gateway.connect();
    socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect_http_status(200);
}
