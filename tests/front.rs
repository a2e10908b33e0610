//! The pages that `serve` has beside its endpoints, from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A gateway on a port of its own, ended with the test.
struct Gateway {
    child: Child,
    addr: String,
}

impl Gateway {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanwire"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--shards", "1"]).env_clear().stdout(Stdio::piped());
        let mut child = command.stdin(Stdio::null()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let lines: Vec<String> = lines.map(|line| line.expect("text")).take_while(|line| line != "ready").collect();
        let addr = lines[0].strip_prefix("listening on http://").expect("an address").to_owned();
        Self { child, addr }
    }

    /// The head of the response and its body.
    fn ask(&self, method: &str, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.addr).expect("it listens");
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.addr).expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response in UTF-8");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        (head.to_ascii_lowercase(), body.to_owned())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_root_is_a_page_that_says_what_this_is() {
    let gateway = Gateway::start();
    let (head, body) = gateway.ask("GET", "/");
    assert!(head.starts_with("http/1.1 200 ") && head.contains("content-type: text/html; charset=utf-8"), "{head}");
    assert!(body.contains("This is a push gateway") && body.ends_with("</html>\n"), "{body}");
    let (of_head, nothing) = gateway.ask("HEAD", "/");
    let length = format!("content-length: {}", body.len());
    assert!(of_head.starts_with("http/1.1 200 ") && of_head.contains(&length), "{of_head}");
    assert_eq!(nothing, "");
    assert!(gateway.ask("POST", "/").0.starts_with("http/1.1 405 "));
}

#[test]
fn what_the_page_names_is_there() {
    let gateway = Gateway::start();
    for path in ["/healthz", "/readyz", "/metrics", "/fanwire.js"] {
        assert!(gateway.ask("GET", path).0.starts_with("http/1.1 200 "), "{path}");
    }
    assert!(gateway.ask("GET", "/fanwire.js").0.contains("content-type: text/javascript"));
    assert!(gateway.ask("GET", "/nothing").0.starts_with("http/1.1 404 "));
}
