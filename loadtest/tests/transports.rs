//! Readers over HTTP, against the gateway: the same messages, and each of them once.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use common::{Gateway, measure};
use fanwire::wire::http1::{AnswerBody, BodyFraming, parse_answer_head, parse_head};
use serde_json::Value;

#[test]
fn readers_by_every_transport_get_every_message_once_and_in_order() {
    let gateway = Gateway::start();
    for transport in ["ws", "sse", "stream", "poll"] {
        for (words, deliveries) in [
            ("fanout --connections 30 --topics 3 --publishers 2 --rate 100 --duration 300ms", 300),
            ("hold --connections 51 --duration 100ms --broadcast 2 --workers 2", 102),
        ] {
            let (code, report) = measure(&format!("{words} --transport {transport}"), &gateway.url);
            assert_eq!(code, Some(0), "{transport}: {words}: {report:#}");
            let found = (report["deliveries"].as_u64(), report["reach"].as_f64());
            assert_eq!(found, (Some(deliveries), Some(1.0)), "{transport}: {words}: {report:#}");
        }
        let words = format!("fanout --connections 20 --window 8 --duration 300ms --transport {transport}");
        let (code, report) = measure(&words, &gateway.url);
        assert_eq!((code, report["reach"].as_f64()), (Some(0), Some(1.0)), "{transport}: {report:#}");
        assert_eq!((&report["duplicates"], &report["out_of_order"]), (&Value::from(0), &Value::from(0)), "{transport}");
    }
}

#[test]
fn another_server_has_no_such_transport() {
    let (code, _, err) = common::run(&["fanout", "--transport", "sse", "--preset", "uws"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("only preset fanwire"), "{err}");
}

/// A proxy that hands every answer on in chunks, too short for a stamp to be in one; gives its URL.
fn proxy_in_chunks(gateway: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("ws://{}", listener.local_addr().expect("it is bound"));
    let gateway = gateway.trim_start_matches("ws://").to_owned();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&gateway).expect("the gateway accepts");
            thread::spawn(move || relay(client, server));
        }
    });
    url
}

/// One request and its answer after the other, to the end of the connection.
fn relay(mut client: TcpStream, mut server: TcpStream) -> Option<()> {
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    loop {
        let request_len = loop {
            let head = parse_head(&asked).expect("the client speaks HTTP");
            let len = head.map(|(head, len)| match head.body() {
                BodyFraming::Length(body_len) => len + usize::try_from(body_len).expect("a short body"),
                _ => len,
            });
            match len.filter(|&len| len <= asked.len()) {
                Some(len) => break len,
                None => receive(&mut client, &mut asked)?,
            }
        };
        server.write_all(&asked.drain(..request_len).collect::<Vec<_>>()).ok()?;
        let (status, since, framing, head_len) = loop {
            if let Some((head, len)) = parse_answer_head(&answered).expect("the gateway speaks HTTP") {
                let since = head.header("fanwire-since").map(|since| format!("Fanwire-Since: {since}\r\n"));
                break (head.status(), since.unwrap_or_default(), head.framing(), len);
            }
            receive(&mut server, &mut answered)?;
        };
        answered.drain(..head_len);
        let (mut body, mut text) = (AnswerBody::new(framing, 1 << 20).expect("a short body"), Vec::new());
        loop {
            let taken = body.decode(&answered, &mut text).expect("a body");
            answered.drain(..taken);
            if body.is_complete() {
                break;
            }
            receive(&mut server, &mut answered)?;
        }
        let mut out = format!("HTTP/1.1 {status} As It Is\r\n{since}").into_bytes();
        match status {
            204 => out.extend_from_slice(b"\r\n"),
            _ => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in text.chunks(7) {
                    out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    out.extend_from_slice(chunk);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
            }
        }
        client.write_all(&out).ok()?;
    }
}

fn receive(stream: &mut TcpStream, into: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 4096];
    let len = stream.read(&mut chunk).ok().filter(|&len| len > 0)?;
    into.extend_from_slice(&chunk[..len]);
    Some(())
}

#[test]
fn polls_and_publications_that_are_answered_in_chunks_count_like_others() {
    let gateway = Gateway::start();
    let url = proxy_in_chunks(&gateway.url);
    let words = "fanout --connections 10 --rate 50 --duration 300ms --transport poll --publish-http /publish/{topic}";
    let (code, report) = measure(words, &url);
    assert_eq!(code, Some(0), "{report:#}");
    let found = (report["deliveries"].as_u64(), report["reach"].as_f64());
    assert_eq!(found, (Some(150), Some(1.0)), "{report:#}");
}
