//! A server that misbehaves in one way, for each way that there is.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use fanwire::buf::BlockPool;
use fanwire::wire::http1::parse_head;
use fanwire::wire::ws::handshake::{accept, encode_switching_protocols};
use fanwire::wire::ws::{Decoder, Inbox, Item, Opcode, Role, encode_client_frame, encode_close, encode_frame};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it echoes.
    None,
    /// It echoes, but after so many messages of all connections it does nothing for a second.
    FreezesAfter(u32),
    /// It answers upgrades with 503.
    Refuses,
    /// It answers upgrades with something that is no HTTP.
    SpeaksNoHttp,
    /// Its `Sec-WebSocket-Accept` is that of another key.
    AcceptsAnotherKey,
    /// It takes connections and says nothing at all.
    NeverAnswers,
    /// It upgrades and then says nothing.
    NeverDelivers,
    /// It upgrades and closes without a word.
    Closes,
    /// It upgrades and sends a close frame.
    ClosesWith(u16),
    /// It upgrades and sends bytes that are no frames.
    SendsGarbage,
    /// It upgrades and masks its frames.
    Masks,
    /// It upgrades and announces a message past every bound.
    AnnouncesTooMuch,
    /// It upgrades and sends text that is not UTF-8.
    SendsBadText,
}

/// Starts one; gives its URL, and a channel that tells of each message that it received.
pub fn start(fault: Fault) -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("ws://{}", listener.local_addr().expect("it is bound"));
    let (sender, receiver) = channel();
    let messages = Arc::new(AtomicU32::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (sender, messages) = (sender.clone(), Arc::clone(&messages));
            thread::spawn(move || serve(stream, fault, &sender, &messages));
        }
    });
    (url, receiver)
}

/// One connection, to its end. Whatever fails ends it.
fn serve(mut stream: TcpStream, fault: Fault, told: &Sender<()>, messages: &AtomicU32) -> Option<()> {
    if fault == Fault::NeverAnswers {
        return wait_for_the_end(&mut stream);
    }
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    let accepted = loop {
        let len = stream.read(&mut chunk).ok().filter(|&len| len > 0)?;
        request.extend_from_slice(&chunk[..len]);
        if let Some((head, _)) = parse_head(&request).expect("the client speaks HTTP") {
            break accept(&head).expect("the client means to upgrade").accept;
        }
    };
    let mut out = Vec::new();
    match fault {
        Fault::Refuses => out.extend_from_slice(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        Fault::SpeaksNoHttp => out.extend_from_slice(b"220 mail.example.com ESMTP\r\n"),
        Fault::AcceptsAnotherKey => encode_switching_protocols(&mut out, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", None),
        _ => encode_switching_protocols(&mut out, &accepted, None),
    }
    match fault {
        Fault::ClosesWith(code) => encode_close(&mut out, code, "enough"),
        Fault::SendsGarbage => out.extend_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        Fault::Masks => encode_client_frame(&mut out, Opcode::Text, true, [1, 2, 3, 4], b"hello"),
        Fault::AnnouncesTooMuch => out.extend_from_slice(&[0x82, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0]),
        Fault::SendsBadText => encode_frame(&mut out, Opcode::Text, b"\xff"),
        _ => {}
    }
    stream.write_all(&out).ok()?;
    match fault {
        Fault::None | Fault::FreezesAfter(_) | Fault::NeverDelivers => {}
        Fault::Closes => return None,
        _ => return wait_for_the_end(&mut stream),
    }
    let (mut decoder, mut pool, mut inbox) = (Decoder::new(Role::Server), BlockPool::default(), Inbox::default());
    loop {
        let len = stream.read(&mut chunk).ok().filter(|&len| len > 0)?;
        decoder.decode(&mut chunk[..len], 1 << 20, &mut pool, &mut inbox).expect("the client keeps the rules");
        out.clear();
        for item in &inbox.items {
            let Item::Message { payload, .. } = item else { continue };
            let count = messages.fetch_add(1, Ordering::Relaxed) + 1;
            if fault == Fault::FreezesAfter(count) {
                // This is no waiting for something: it is the fault.
                thread::sleep(Duration::from_secs(1));
            }
            let _ = told.send(());
            if fault != Fault::NeverDelivers {
                encode_frame(&mut out, Opcode::Text, payload.as_slice(&chunk));
            }
        }
        inbox.clear(&mut pool);
        stream.write_all(&out).ok()?;
    }
}

fn wait_for_the_end(stream: &mut TcpStream) -> Option<()> {
    let mut chunk = [0; 4096];
    while stream.read(&mut chunk).ok()? > 0 {}
    None
}
