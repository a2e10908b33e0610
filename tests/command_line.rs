//! The program from outside: what it prints, where, and its exit codes.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};

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
        (&["serve", "--config", "/nonexistent/fanwire.toml"], "--config: cannot read /nonexistent/fanwire.toml"),
        (&["serve", "--unknown"], "unexpected argument '--unknown' found"),
        (&["publish", "a b", "x"], "a b: a topic is 1 to 255 bytes"),
        (&["publish", "a", "x", "--message-id", "a b"], "\"a b\" is not an id: 1 to 255 visible"),
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
