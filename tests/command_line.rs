//! The program from outside: what it prints, where, and its exit codes.

use std::fs::{self, DirEntry};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// The program, with an environment that nobody else fills.
fn fanwire(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanwire"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs to the end: exit code, standard output, standard error.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A gateway that said that it is ready, and what it said before.
struct Gateway {
    child: Child,
    said: Vec<String>,
}

impl Gateway {
    fn start(arguments: &[&str]) -> Self {
        let child = fanwire(arguments).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut gateway = Self { child, said: Vec::new() };
        let out = BufReader::new(gateway.child.stdout.take().expect("it is piped"));
        for line in out.lines() {
            let line = line.expect("text");
            if line == "ready" {
                return gateway;
            }
            gateway.said.push(line);
        }
        panic!("it ended before it was ready: {:?}", gateway.said);
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("there is kill").success());
    }

    fn end(mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_mistake_is_one_line_on_standard_error_and_exit_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().expect("it is bound").to_string();
    for (arguments, part) in [
        (&["serve", "--shards", "0"][..], "--shards: shards is a number from 1 to 128"),
        (&["serve", "--listen", "nowhere"], "--listen: \"nowhere\" is not an address and port"),
        (&["serve", "--listen", "0.0.0.0:0"], "--listen: 0.0.0.0:0 is not a loopback address"),
        (&["serve", "--driver", "kqueue"], "driver is \"auto\", \"epoll\" or \"uring\", not \"kqueue\""),
        (&["check-config", "--shards", "0"], "--shards: shards is a number from 1 to 128"),
        (&["check-config", "--tls-cert", "/nonexistent/c", "--tls-key", "k"], "cannot read /nonexistent/c"),
        (&["serve", "--config", "/nonexistent/fanwire.toml"], "--config: cannot read /nonexistent/fanwire.toml"),
        (&["serve", "--unknown"], "unexpected argument '--unknown' found"),
        (&["publish", "a b", "x"], "a b: a topic is 1 to 255 bytes"),
        (&["publish", "a", "x", "--message-id", "a b"], "\"a b\" is not an id: 1 to 255 visible"),
        (&["publish", "a", "x", "--event", "a\nb"], "\"a\\nb\" is not an event: 1 to 255 bytes"),
        (&["publish", "a", "x", "--attribute", "color"], "\"color\" is not an attribute: NAME=VALUE"),
        (&["publish", "a", "x", "--attribute", "a b=1"], "\"a b=1\" is not an attribute: NAME=VALUE"),
        (&["publish", "a", "--attribute", "a=1", "--attribute", "A=2"], "--attribute: an attribute is there twice"),
        (
            &["subscribe", "--url", "https://localhost", "--ca", "/nonexistent/ca.pem", "a"],
            "--ca: /nonexistent/ca.pem: ",
        ),
        (&["replay", "/nonexistent/file.csv"], "/nonexistent/file.csv: No such file"),
        (&["serve", "--listen", &taken], &taken),
        (&["demo", "--listen", &taken], &taken),
        (&["serve", "--listen", &taken, "--listen", "127.0.0.1:0", "--shards", "2"], &taken),
        (&[], "which command?"),
    ] {
        let (code, out, err) = run(&mut fanwire(arguments));
        assert_eq!(code, Some(2), "{arguments:?}: {err}");
        assert!(out.is_empty(), "{arguments:?}: {out}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
        assert!(err.starts_with("fanwire: ") && err.contains(part), "{arguments:?}: {err}");
    }
}

#[test]
fn a_port_in_use_comes_with_a_hint() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let (_, _, err) = run(&mut fanwire(&["serve", "--listen", &taken]));
    assert!(err.contains("another program listens there") && err.contains("--listen"), "{err}");
}

#[test]
fn an_address_that_is_not_there_yet_ends_with_a_code_that_the_unit_retries() {
    // Of a network for documentation, which no host has. [RFC 5737]
    let (code, out, err) = run(&mut fanwire(&["serve", "--listen", "192.0.2.1:0", "--insecure"]));
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{err}");
    assert!(err.contains("192.0.2.1:0") && err.contains("this host does not have the address now"), "{err}");
    let page = include_str!("../docs/OPERATING.md");
    let kept: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("RestartPreventExitStatus=")).collect();
    assert_eq!(kept, ["2"]);
}

/// The log of a gateway with these flags while one client connects and leaves, and the client's address.
fn logged(flags: &[&str]) -> (String, String) {
    let arguments = [&["serve", "--listen", "127.0.0.1:0", "--shards", "1"], flags].concat();
    let mut child =
        fanwire(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let first = lines.next().expect("a line").expect("text");
    assert_eq!(lines.next().expect("a line").expect("text"), "ready");
    let mut client = TcpStream::connect(first.trim_start_matches("listening on http://")).expect("it listens");
    let client_address = client.local_addr().expect("it is connected").to_string();
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.write_all(request).and_then(|()| client.read_to_end(&mut Vec::new())).expect("it answers");
    drop(client);
    let sent = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
    assert!(sent.expect("there is kill").success());
    let mut said = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{said}");
    (said, client_address)
}

#[test]
fn the_log_begins_with_what_runs() {
    let (said, _) = logged(&["--driver", "epoll"]);
    let first = said.lines().next().expect("a line");
    for part in [" INFO fanwire starts version=", "config=\"none\"", "shards=1", "driver=\"epoll\"", "connections_max="]
    {
        assert!(first.contains(part), "{part} is not in {first}");
    }
    assert_eq!((said.lines().count(), logged(&["--log", "error"]).0.as_str()), (1, ""), "{said}");
    let (said, _) = logged(&["--log-format", "json", "--log", "info"]);
    for line in said.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("an object");
        assert!(line["timestamp"].is_string() && line["level"] == "INFO" && line["message"].is_string(), "{line}");
    }
    let first: serde_json::Value = serde_json::from_str(said.lines().next().expect("a line")).expect("an object");
    assert_eq!((&first["version"], &first["shards"]), (&env!("CARGO_PKG_VERSION").into(), &1.into()), "{first}");
}

#[test]
fn the_log_names_the_addresses_of_peers_if_it_is_asked_to() {
    let (said, address) = logged(&["--log", "debug", "--log-peers"]);
    assert!(said.contains(&format!("peer={address}")), "{said}");
    let (said, address) = logged(&["--log", "debug"]);
    assert!(said.contains("closed") && !said.contains(&address), "{said}");
}

#[test]
fn signals_without_a_meaning_end_nothing() {
    let gateway = Gateway::start(&["serve", "--listen", "127.0.0.1:0", "--shards", "1"]);
    for signal in ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO"] {
        gateway.signal(signal);
    }
    gateway.signal("TERM");
    assert_eq!(gateway.end().code(), Some(0));
}

#[test]
fn a_configuration_is_checked_and_told_with_where_each_value_was_typed() {
    let file = temporary_file("check", "shards = 2\n[limits]\nping_interval = \"5s\"\n");
    let name = file.display().to_string();
    let check = |arguments: &[&str]| {
        let arguments = [&["check-config", "--config", &name], arguments].concat();
        run(fanwire(&arguments).env("FANWIRE_LOG", "info").env("FANWIRE_LOGS", "1"))
    };
    let (code, out, err) = check(&["--driver", "epoll"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(err, "fanwire: warning: FANWIRE_LOGS: no such key; ignored; did you mean FANWIRE_LOG?\n");
    for line in [
        format!("shards = 2  # {name}:1"),
        "driver = \"epoll\"  # --driver".to_owned(),
        "log = \"info\"  # FANWIRE_LOG".to_owned(),
        format!("ping_interval = \"5s\"  # {name}:3"),
        "ping_timeout = \"10s\"  # default".to_owned(),
    ] {
        assert!(out.lines().any(|other| other == line), "{line} is not in\n{out}");
    }
    fs::write(&file, "shards = 2\n[limits]\nping_intervall = \"5s\"\n").expect("it can be written");
    let (code, out, err) = check(&[]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    let told = format!("fanwire: {name}:3: unknown key \"ping_intervall\", did you mean \"ping_interval\"?\n");
    assert_eq!(err, told);
    let _ = fs::remove_file(&file);
}

/// The whole answer to a request.
fn get(url: &str, target: &str) -> String {
    let mut client = TcpStream::connect(url.trim_start_matches("http://")).expect("it listens");
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    client.write_all(request.as_bytes()).and_then(|()| client.read_to_string(&mut answer)).expect("it answers");
    answer
}

/// Asks for a limit in effect until it is this one: a shard takes it with its next mail.
fn wait_for_limit(url: &str, key: &str, value: f64) {
    let wanted = format!("fanwire_limit{{limit=\"{key}\"}} {value:?}");
    for _ in 0..10_000 {
        if get(url, "/metrics").lines().any(|line| line == wanted) {
            return;
        }
    }
    panic!("{wanted} never came");
}

/// A file of this test's own.
fn temporary_file(name: &str, text: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("fanwire-{name}-{}.toml", std::process::id()));
    fs::write(&file, text).expect("it can be written");
    file
}

#[test]
fn a_hangup_loads_the_configuration_again_and_a_bad_file_changes_nothing() {
    let listen = "listen = \"127.0.0.1:0\"\nshards = 1\n";
    let file = temporary_file("hangup", listen);
    let name = file.display().to_string();
    let mut command = fanwire(&["serve", "--config", &name]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut next = || said.next().expect("a line").expect("text");
    let url = next().trim_start_matches("listening on ").to_owned();
    assert_eq!(next(), "ready");
    let gateway = Gateway { child, said: Vec::new() };
    let mut hang_up = |text: &str, part: &str| {
        // At once, as an administrator should: the signal before may still be read from the file.
        let new = file.with_extension("new");
        fs::write(&new, text).expect("it can be written");
        fs::rename(&new, &file).expect("it takes the old one's place");
        gateway.signal("HUP");
        log.by_ref().map(|line| line.expect("text")).find(|line| line.contains(part)).expect("a line")
    };
    let publish = |message: &str| run(fanwire(&["publish", "a", message]).env("FANWIRE_URL", &url)).0;
    assert_eq!(publish("0123456789"), Some(0));

    let good =
        format!("{listen}log = \"info\"\n[limits]\nmessage_len_max = 5\n[[topics]]\nmatch = \"a\"\nhistory = 3\n");
    let line = hang_up(&good, "configuration loaded again");
    assert!(line.contains("changed=\"log topics message_len_max\""), "{line}");
    wait_for_limit(&url, "message_len_max", 5.0);
    assert_eq!((publish("0123456789"), publish("01234")), (Some(1), Some(0)));
    // The new level holds: an ignored signal is logged at `info` only.
    gateway.signal("USR1");
    let line = hang_up(&good, "signal ignored");
    assert!(line.contains("INFO"), "{line}");
    let line = hang_up(&good, "configuration loaded again");
    assert!(line.contains("changed=\"nothing\""), "{line}");

    let bad = good.replace("message_len_max = 5", "message_len_max = \"much\"").replace("history = 3", "history = 9");
    let line = hang_up(&bad, "cannot be loaded again");
    assert!(line.contains(&format!("{name}:5: message_len_max is a size")) && line.contains("ERROR"), "{line}");
    assert_eq!((publish("0123456789"), publish("01234")), (Some(1), Some(0)));

    let fixed = good.replace("shards = 1", "shards = 2").replace("[limits]\n", "[limits]\nconnections_max = 7\n");
    let line = hang_up(&fixed, "configuration loaded again");
    assert!(line.contains("needs_restart=\"shards connections_max\"") && line.contains(" WARN "), "{line}");
    gateway.signal("TERM");
    assert_eq!(gateway.end().code(), Some(0));
    let _ = fs::remove_file(&file);
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (arguments, part) in [
        (&["--help"][..], "Examples:\n  fanwire demo"),
        (&["serve", "--help"], "FANWIRE_LISTEN=127.0.0.1:0 fanwire serve"),
        (&["replay", "-h"], "Examples:\n  fanwire replay stocks.csv"),
        (&["--version"], concat!("fanwire ", env!("CARGO_PKG_VERSION"))),
    ] {
        let (code, out, err) = run(&mut fanwire(arguments));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(out.contains(part), "{arguments:?}: {out}");
    }
}

#[test]
fn a_gateway_says_where_it_listens_and_ends_in_order_by_a_signal() {
    for signal in ["TERM", "INT"] {
        let gateway = Gateway::start(&["serve", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--shards", "1"]);
        assert_eq!(gateway.said.len(), 2, "{:?}", gateway.said);
        for line in &gateway.said {
            let port = line.strip_prefix("listening on http://127.0.0.1:").expect("an address");
            assert_ne!(port.parse::<u16>().expect("a port"), 0);
        }
        gateway.signal(signal);
        assert_eq!(gateway.end().code(), Some(0), "SIG{signal}");
    }
}

#[test]
fn a_message_with_an_id_is_said_once_however_often_it_is_published() {
    let gateway = Gateway::start(&["serve", "--listen", "127.0.0.1:0", "--shards", "2"]);
    let url = gateway.said[0].strip_prefix("listening on ").expect("an address");
    let arguments = ["publish", "-v", "orders.new", "{\"total\":12}", "--message-id", "order-7713"];
    for repeat in [false, true] {
        let (code, out, err) = run(fanwire(&arguments).env("FANWIRE_URL", url));
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains("\"offset\":1") && out.contains("\"duplicate\":true") == repeat, "{out}");
    }
}

/// A single message says it in header fields, lines in fields of theirs.
#[test]
fn published_messages_carry_what_the_flags_say() {
    let gateway = Gateway::start(&["serve", "--listen", "127.0.0.1:0", "--shards", "1"]);
    let url = gateway.said[0].strip_prefix("listening on ").expect("an address");
    let flags = ["--event", "größer", "--attribute", "Color=a red=1", "--attribute", "content-type=text/x"];
    let carrying = |arguments: &[&str]| {
        let mut command = fanwire(&["publish", "shop.shirts"]);
        command.args(arguments).args(flags).env("FANWIRE_URL", url);
        command
    };
    let lasting = run(&mut carrying(&["one"]));
    assert_eq!(lasting.0, Some(0), "{}", lasting.2);
    let passing = run(&mut carrying(&["two", "--no-last"]));
    assert_eq!(passing.0, Some(0), "{}", passing.2);
    let mut lines = carrying(&["--no-last"]).stdin(Stdio::piped()).spawn().expect("it starts");
    lines.stdin.take().expect("a pipe").write_all(b"3\n{\"four\":4}\n").expect("it is read");
    assert!(lines.wait().expect("it ends").success());

    let told = get(url, "/poll?topic=shop.shirts&headers=1&timeout=0s");
    let carried = "\"e\":\"größer\",\"h\":{\"content-type\":\"text/x\",\"color\":\"a red=1\"}";
    assert!(told.contains(carried) && told.contains("\"d\":\"one\""), "the last value is the first: {told}");
    assert!(get(url, "/topics/shop.shirts").contains("\"offset\":4"), "all four were published");
}

#[test]
fn the_demo_prints_the_url_to_open() {
    let gateway = Gateway::start(&["demo", "--listen", "127.0.0.1:0", "--shards", "1"]);
    let url = gateway.said[0].strip_prefix("listening on ").expect("an address");
    assert_eq!(gateway.said[1], format!("open {url}/ in a browser; Ctrl-C ends the demo"));
    gateway.signal("INT");
    assert_eq!(gateway.end().code(), Some(0));
}

#[test]
fn without_a_gateway_the_clients_say_so_and_exit_with_1() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    drop(listener);
    for arguments in [&["publish", "a", "x"][..], &["subscribe", "a"]] {
        let (code, out, err) = run(fanwire(arguments).env("FANWIRE_URL", &url));
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{arguments:?}: {err}");
        assert!(err.starts_with("fanwire: cannot connect to 127.0.0.1:"), "{err}");
    }
}

#[test]
fn a_reader_of_the_output_that_goes_away_ends_the_program_quietly() {
    let mut child = fanwire(&["doctor"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // The pipe closes before the program can have written into it, or behind that: both are fine.
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut err).expect("text");
    let code = child.wait().expect("it ends").code();
    assert_eq!(err, "");
    assert!(matches!(code, Some(0 | 1)), "{code:?}");
}

/// The exit code of a program that ends by itself, with nothing more to read or to write.
fn ends(mut child: Child) -> Option<i32> {
    let (sender, ended) = channel();
    thread::spawn(move || sender.send(child.wait().expect("it can be waited for").code()));
    ended.recv_timeout(Duration::from_secs(60)).expect("it ends without another message")
}

#[test]
fn a_subscriber_ends_with_the_reader_of_its_output_before_another_message_comes() {
    let gateway = Gateway::start(&["serve", "--listen", "127.0.0.1:0", "--shards", "1"]);
    let url = gateway.said[0].strip_prefix("listening on ").expect("an address");
    run(fanwire(&["publish", "a", "one"]).env("FANWIRE_URL", url));
    for transport in ["ws", "sse", "stream", "poll"] {
        let mut command = fanwire(&["subscribe", "a", "--transport", transport]);
        let mut child = command.env("FANWIRE_URL", url).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("text");
        assert_eq!(line, "one\n");
        drop(out);
        assert_eq!(ends(child), Some(0), "{transport}");
    }
}

#[test]
fn a_publisher_that_prints_ends_with_the_reader_of_its_output_before_another_line_comes() {
    let gateway = Gateway::start(&["serve", "--listen", "127.0.0.1:0", "--shards", "1"]);
    let url = gateway.said[0].strip_prefix("listening on ").expect("an address");
    let mut command = fanwire(&["publish", "-v", "a"]);
    let command = command.env("FANWIRE_URL", url).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(b"one\n").expect("it reads");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("text");
    assert!(line.contains("\"offset\":1"), "{line}");
    drop(out);
    assert_eq!(ends(child), Some(0));
    drop(input);
}

#[test]
fn topics_stand_before_messages_where_there_can_be_several() {
    let gateway = Gateway::start(&["serve", "--listen", "127.0.0.1:0", "--shards", "1"]);
    let url = gateway.said[0].strip_prefix("listening on ").expect("an address");
    run(fanwire(&["publish", "px.A", "{\"last\":1}"]).env("FANWIRE_URL", url));
    for (topics, expected) in [
        (&["px.*"][..], "px.A {\"last\":1}\n"),
        (&["px.A", "px.B"], "px.A {\"last\":1}\n"),
        (&["px.A"], "{\"last\":1}\n"),
    ] {
        let words = [&["subscribe", "--count", "1"], topics].concat();
        let (code, out, err) = run(fanwire(&words).env("FANWIRE_URL", url));
        assert_eq!((code, out.as_str()), (Some(0), expected), "{topics:?}: {err}");
    }
}

/// A server that answers each request in chunks, as a proxy may; counts its connections.
fn server_in_chunks(answers: &'static [&'static str]) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let connections = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&connections);
    thread::spawn(move || {
        let mut answers = answers.iter();
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = answer_in_chunks(stream, &mut answers);
        }
    });
    (url, connections)
}

fn answer_in_chunks(stream: TcpStream, answers: &mut std::slice::Iter<'_, &str>) -> std::io::Result<()> {
    let mut requests = BufReader::new(stream);
    loop {
        let (mut line, mut body_len) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(len) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                body_len = len.trim().parse().expect("a number");
            }
        }
        requests.read_exact(&mut vec![0; body_len])?;
        let Some(answer) = answers.next() else { return Ok(()) };
        let (one, two) = answer.split_at(answer.len() / 2);
        let chunks = [one, two].map(|chunk| format!("{:x};a=b\r\n{chunk}\r\n", chunk.len())).concat();
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        requests.get_mut().write_all(format!("{head}{chunks}0\r\nX-Trailer: y\r\n\r\n").as_bytes())?;
    }
}

#[test]
fn answers_in_chunks_are_read_and_the_connection_goes_on() {
    let (url, connections) = server_in_chunks(&[
        "{\"topic\":\"t\",\"epoch\":\"1\",\"offset\":1}",
        "{\"messages\":[{\"t\":\"t\",\"o\":1,\"d\":\"one\"}],\"since\":\"1-1\"}",
        "{\"messages\":[{\"t\":\"t\",\"o\":2,\"d\":\"two\"}],\"since\":\"1-2\"}",
        "{\"messages\":[{\"t\":\"t\",\"o\":3,\"d\":\"three\"}],\"since\":\"1-3\"}",
    ]);
    let (code, out, err) = run(&mut fanwire(&["publish", "-v", "t", "x", "--url", &url]));
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "{\"topic\":\"t\",\"epoch\":\"1\",\"offset\":1}\n", ""));
    let (code, out, err) = run(&mut fanwire(&["subscribe", "--transport", "poll", "--count", "3", "t", "--url", &url]));
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "one\ntwo\nthree\n", ""));
    assert_eq!(connections.load(Ordering::Relaxed), 2, "one for each command");
}

#[test]
fn every_script_says_what_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let scripts = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let is_program = |entry: &DirEntry| {
        let metadata = entry.metadata().expect("metadata");
        metadata.is_file() && metadata.permissions().mode() & 0o100 != 0
    };
    let scripts: Vec<_> = scripts.filter(is_program).map(|entry| entry.path()).collect();
    assert!(scripts.len() > 5, "{scripts:?}");
    for script in scripts {
        let name = script.file_name().and_then(|name| name.to_str()).expect("a name");
        for flag in ["--help", "-h"] {
            let (code, out, err) = run(Command::new(&script).arg(flag).stdin(Stdio::null()));
            assert_eq!((code, err.as_str()), (Some(0), ""), "{name} {flag}");
            assert!(out.contains(&format!("scripts/{name}")) && out.lines().count() > 2, "{name} {flag}: {out}");
            assert!(!out.contains("set -"), "only its head: {out}");
        }
    }
}
