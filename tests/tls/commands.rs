//! The client commands over TLS, and what they say where it cannot be.

use std::process::{Command, Stdio};

use crate::World;
use crate::common::authority::{Authority, Folder};

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
        (&url, &ca, 1, "invalid peer certificate: certificate not valid for name \"localhost\""),
        // Its name is that of the right one.
        (&url, &stranger, 1, "invalid peer certificate: BadSignature"),
        (&plain, &ca, 1, "cannot connect to localhost:"),
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
