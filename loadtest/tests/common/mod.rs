//! Shared by the tests from outside: the program, a gateway to measure, and servers that misbehave.

#![allow(dead_code, reason = "each test program uses its part")]

pub mod server;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The program, with an environment that nobody else fills, and no progress line.
pub fn load(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanwire-load"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end: exit code, standard output, standard error.
pub fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = load(arguments).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Measures `words` and reads the report: exit code and report.
pub fn measure(words: &str, url: &str) -> (Option<i32>, Value) {
    let mut arguments: Vec<&str> = words.split_whitespace().collect();
    arguments.extend(["--url", url, "--json", "-", "--seed", "7"]);
    let (code, out, err) = run(&arguments);
    let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words}: {error}: {out}{err}"));
    (code, report)
}

/// A gateway that said that it is ready.
pub struct Gateway {
    child: Child,
    pub url: String,
}

impl Gateway {
    /// Starts the program beside ours: a build of the workspace puts both into one folder.
    pub fn start() -> Self {
        Self::start_with(&["--shards", "1"])
    }

    /// Likewise, with flags.
    pub fn start_with(flags: &[&str]) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_fanwire-load")).with_file_name("fanwire");
        assert!(program.exists(), "there is no {}: build the whole workspace", program.display());
        let child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut gateway = Self { child, url: String::new() };
        let out = BufReader::new(gateway.child.stdout.take().expect("it is piped"));
        for line in out.lines() {
            let line = line.expect("text");
            if let Some(authority) = line.strip_prefix("listening on http://") {
                gateway.url = format!("ws://{authority}");
            }
            if line == "ready" {
                return gateway;
            }
        }
        panic!("it ended before it was ready");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process that we started, or that one of those started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.expect("there is kill").success());
}

/// The processes that `parent` started.
pub fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("this is Linux").flatten();
    let is_child = |pid: &u32| stat(*pid).1.parse() == Ok(parent);
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

/// Whether a process waits for something to happen.
pub fn is_asleep(pid: u32) -> bool {
    stat(pid).0 == "S"
}

/// The state of a process, and its parent.
fn stat(pid: u32) -> (String, String) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // They stand behind the name in parentheses.
    let mut words = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().map(str::to_owned);
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}
