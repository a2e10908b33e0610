//! The client commands over TLS, and what they say where it cannot be.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::World;
use crate::common::authority::{Authority, Folder, Issued};

/// Runs a client command to its end: exit code, standard output, standard error.
fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanwire"));
    let output = command.args(words).env_clear().stdin(Stdio::null()).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn done(words: &[&str]) -> String {
    let (code, out, err) = run(words);
    assert_eq!(code, Some(0), "{words:?}: {err}");
    out
}

#[test]
fn what_one_command_publishes_another_prints() {
    let world = World::new(&[]);
    let ca = world.folder.write("ca.pem", &world.authority.pem());
    let at = |scheme: &str| format!("{scheme}://localhost:{}", world.tls_address().port());
    let (https, wss) = (at("https"), at("wss"));
    done(&["publish", "cli.tls", r#"{"n":1}"#, "--url", &https, "--ca", &ca]);
    let rows = world.folder.write("rows.csv", "Ticker,Close\nAAPL,1.5\nAAPL,2.5\n");
    done(&["replay", &rows, "--speed", "max", "--url", &https, "--ca", &ca]);
    let heard = |topic: &str| done(&["subscribe", topic, "--count", "1", "--url", &wss, "--ca", &ca]);
    assert_eq!(heard("cli.tls"), "{\"n\":1}\n");
    assert_eq!(heard("px.AAPL"), "{\"Ticker\":\"AAPL\",\"Close\":2.5}\n");
    // One message longer than a record.
    let long = "ä".repeat(50_000);
    done(&["publish", "cli.tls", &long, "--url", &https, "--ca", &ca]);
    assert_eq!(heard("cli.tls"), format!("{long}\n"));
}

/// A `subscribe` that goes on, and what it prints.
struct Subscriber {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Subscriber {
    fn start(words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanwire"));
        let command = command.arg("subscribe").args(words).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("text");
        line
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_transport_prints_the_same_with_tls_and_without() {
    let world = World::new(&["--topics", "cli.> history=100"]);
    let ca = world.folder.write("ca.pem", &world.authority.pem());
    let plain = format!("http://localhost:{}", world.plain_address().port());
    let tls = format!("https://localhost:{}", world.tls_address().port());
    for (transport, url) in
        ["ws", "sse", "stream", "poll"].into_iter().flat_map(|transport| [(transport, &plain), (transport, &tls)])
    {
        let at = ["--url", url, "--ca", &ca];
        let topics = [&format!("cli.{transport}.{}", url.len())[..], &format!("cli.other.{transport}.{}", url.len())];
        let say = |topic: &str, words: &[&str]| done(&[&["publish", "-v", topic], words, &at].concat());
        let first = say(topics[0], &["first"]);
        let mut reader =
            Subscriber::start(&[&["--transport", transport, "--json", topics[0], topics[1]], &at[..]].concat());
        let untimed = |line: String| {
            let time = line.find("\"time\":").expect("there is a time");
            let end = line[time..].find(',').expect("it is not the last");
            line[..time].to_owned() + &line[time + end + 1..]
        };
        let line =
            |topic: &str, offset: u64, rest: &str| format!("{{\"topic\":\"{topic}\",\"offset\":{offset},{rest}}}\n");
        assert_eq!(untimed(reader.line()), line(topics[0], 1, "\"data\":\"first\""), "{transport} {url}");
        let said = [("{\n\"n\":\r\n 1}", "x"), ("two\nlines: ä", "y"), ("17", "z")];
        for (offset, (payload, other)) in (2..).zip(said) {
            say(topics[0], &[payload]);
            let parsed: Option<serde_json::Value> = serde_json::from_str(payload).ok();
            let heard = untimed(reader.line());
            let value = heard.split_once("\"data\":").and_then(|(_, rest)| rest.strip_suffix("}\n")).expect("data");
            let value: serde_json::Value = serde_json::from_str(value).expect("JSON");
            assert_eq!(value, parsed.unwrap_or_else(|| payload.into()), "{transport} {url}");
            assert!(heard.contains(&format!("\"offset\":{offset},")), "{transport} {url}: {heard}");
            say(topics[1], &[other]);
            let data = format!("\"data\":\"{other}\"");
            assert_eq!(untimed(reader.line()), line(topics[1], offset - 1, &data), "{transport} {url}");
        }
        say(topics[0], &["--binary", "\u{1}b"]);
        assert_eq!(untimed(reader.line()), line(topics[0], 5, "\"b64\":\"AWI=\""), "{transport} {url}");
        // Somebody who comes back.
        let epoch = first.split("\"epoch\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an epoch");
        let since = format!("{epoch}-3");
        let resume =
            [&["subscribe", "--transport", transport, "--since", &since, "--count", "2", topics[0]], &at[..]].concat();
        assert_eq!(done(&resume), "17\n\u{1}b\n", "{transport} {url}");
        let (code, _, err) = run(&[&["subscribe", "--transport", transport, "--count", "1", "a..b"], &at[..]].concat());
        assert_eq!(code, Some(2), "{err}");
    }
    let (code, out, err) = run(&["subscribe", "--transport", "poll", "a.*", "--url", &plain]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("(status 400)"), "{err}");
}

#[test]
fn a_certificate_that_signed_itself_is_believed_where_it_stands_in_the_file() {
    for is_authority in [true, false] {
        let issued = Issued::by_itself(&["localhost"], is_authority, (-1, 30));
        let world = World::with(Authority::new(), &issued, &[]);
        let own = world.folder.write("own.pem", &issued.cert);
        let other = world.folder.write("other.pem", &Issued::by_itself(&["localhost"], is_authority, (-1, 30)).cert);
        let authority = world.folder.write("authority.pem", &world.authority.pem());
        let url = format!("https://localhost:{}", world.tls_address().port());
        done(&["publish", "t", "x", "--url", &url, "--ca", &own]);
        assert_eq!(done(&["subscribe", "t", "--count", "1", "--url", &url, "--insecure"]), "x\n");
        done(&["publish", "t", "x", "--url", &url, "--insecure"]);
        for ca in [&other, &authority] {
            refused(&["publish", "t", "x", "--url", &url, "--ca", ca], "localhost:", "its certificate ");
        }
        // Its name counts, too.
        let url = format!("https://127.0.0.1:{}", world.tls_address().port());
        let part = "its certificate is for DnsName(\"localhost\"), not for \"127.0.0.1\"";
        refused(&["publish", "t", "x", "--url", &url, "--ca", &own], "127.0.0.1:", part);
    }
    let (code, _, err) = run(&["publish", "t", "x", "--url", "https://localhost:1", "--ca", "x", "--insecure"]);
    assert_eq!((code, err.lines().count()), (Some(2), 1), "{err}");
}

#[test]
fn a_certificate_that_names_no_host_is_refused_in_one_line() {
    for is_authority in [true, false] {
        // The certificate of `openssl req -x509` without -addext.
        let issued = Issued::by_itself(&[], is_authority, (-1, 9));
        let world = World::with(Authority::new(), &issued, &[]);
        let own = world.folder.write("own.pem", &issued.cert);
        let url = format!("https://localhost:{}", world.tls_address().port());
        let part = "its certificate names no host (it has no subjectAltName)";
        refused(&["publish", "t", "x", "--url", &url, "--ca", &own], "localhost:", part);
        done(&["publish", "t", "x", "--url", &url, "--insecure"]);
    }
}

/// One line that says where it could not connect and why, and exit code 1.
fn refused(words: &[&str], at: &str, part: &str) {
    let (code, out, err) = run(words);
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{words:?}: {err}");
    assert!(err.starts_with(&format!("fanwire: cannot connect to {at}")) && err.contains(part), "{words:?}: {err}");
}

#[test]
fn who_cannot_be_believed_is_told_not() {
    let authority = Authority::new();
    let issued = authority.issue(&["other.example"]);
    let world = World::with(authority, &issued, &[]);
    let folder = Folder::new();
    let ca = world.folder.write("ca.pem", &world.authority.pem());
    let stranger = folder.write("stranger.pem", &Authority::new().pem());
    let empty = folder.write("empty.pem", "");
    let url = format!("https://localhost:{}", world.tls_address().port());
    let plain = format!("https://localhost:{}", world.plain_address().port());
    for (url, ca, code, part) in [
        (&url, &ca, 1, ": its certificate is for DnsName(\"other.example\"), not for \"localhost\""),
        // Its name is that of the right one.
        (&url, &stranger, 1, ": its certificate has the signer's name, but not its signature"),
        (&plain, &ca, 1, ": it ended the handshake with the alert HandshakeFailure; is it http:// or ws://?"),
        (&url, &empty, 2, "empty.pem: there is no certificate in it"),
        (&url, &folder.file("none.pem"), 2, "none.pem: No such file"),
    ] {
        for words in [&["publish", "t", "x"][..], &["subscribe", "t"]] {
            let words = [words, &["--url", url, "--ca", ca]].concat();
            let (was, out, err) = run(&words);
            assert_eq!((was, out.as_str()), (Some(code), ""), "{words:?}: {err}");
            assert!(err.starts_with("fanwire: ") && err.lines().count() == 1 && err.contains(part), "{words:?}: {err}");
        }
    }
    // And HTTP where TLS is spoken, in the gateway's own words.
    let url = format!("http://localhost:{}", world.tls_address().port());
    let (code, _, err) = run(&["publish", "t", "x", "--url", &url]);
    assert_eq!(code, Some(1));
    assert!(err.contains("(status 400)"), "{err}");
}
