//! A server that repeats messages and swaps them is told so, though every message arrives.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use common::measure;
use fanwire::buf::BlockPool;
use fanwire::wire::http1::parse_head;
use fanwire::wire::ws::handshake::{accept, encode_switching_protocols};
use fanwire::wire::ws::{Decoder, Inbox, Item, Opcode, Role, encode_frame};

type Readers = Arc<Mutex<Vec<TcpStream>>>;

/// Starts a server of one topic that sends the 10th and the 20th message twice, and the 5th and the 15th behind the
/// one that follows.
fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("ws://{}", listener.local_addr().expect("it is bound"));
    let readers = Readers::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let readers = Arc::clone(&readers);
            thread::spawn(move || serve(stream, &readers));
        }
    });
    url
}

/// One connection, to its end. Whatever fails ends it.
fn serve(mut stream: TcpStream, readers: &Readers) -> Option<()> {
    let (mut request, mut out, mut chunk) = (Vec::new(), Vec::new(), [0; 4096]);
    let accepted = loop {
        let len = stream.read(&mut chunk).ok().filter(|&len| len > 0)?;
        request.extend_from_slice(&chunk[..len]);
        if let Some((head, _)) = parse_head(&request).expect("the client speaks HTTP") {
            break accept(&head).expect("the client means to upgrade").accept;
        }
    };
    encode_switching_protocols(&mut out, &accepted, None, None);
    stream.write_all(&out).ok()?;
    readers.lock().expect("nobody panics with it").push(stream.try_clone().ok()?);
    let (mut decoder, mut pool, mut inbox) = (Decoder::new(Role::Server), BlockPool::default(), Inbox::default());
    let (mut count, mut kept) = (0, Vec::new());
    loop {
        let len = stream.read(&mut chunk).ok().filter(|&len| len > 0)?;
        decoder.decode(&mut chunk[..len], 1 << 20, &mut pool, &mut inbox).expect("the client keeps the rules");
        out.clear();
        for item in &inbox.items {
            let Item::Message { payload, .. } = item else { continue };
            count += 1;
            let times = match count {
                5 | 15 => 0,
                10 | 20 => 2,
                _ => 1,
            };
            let mut frame = Vec::new();
            encode_frame(&mut frame, Opcode::Text, payload.as_slice(&chunk));
            (0..times).for_each(|_| out.extend_from_slice(&frame));
            out.append(&mut kept);
            if times == 0 {
                kept = frame;
            }
        }
        inbox.clear(&mut pool);
        for mut reader in readers.lock().expect("nobody panics with it").iter() {
            let _ = reader.write_all(&out);
        }
    }
}

#[test]
fn messages_that_come_twice_or_out_of_order_are_counted() {
    let (code, report) = measure("fanout --connections 4 --rate 100 --duration 500ms", &start());
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!((report["duplicates"].as_u64(), report["out_of_order"].as_u64()), (Some(8), Some(8)), "{report:#}");
    assert!(report["warnings"].to_string().contains("8 messages came twice and 8 out of order"), "{report:#}");
}

#[test]
fn several_publishers_of_one_topic_have_no_order_to_break() {
    let words = "fanout --connections 4 --rate 100 --publishers 2 --duration 200ms";
    let (code, report) = measure(words, &start());
    assert_eq!(code, Some(0), "{report:#}");
    assert!(report["duplicates"].is_null() && report["out_of_order"].is_null(), "{report:#}");
}
