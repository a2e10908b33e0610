//! A server that misbehaves in one way, for each way that there is.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use fanwire::buf::BlockPool;
use fanwire::wire::http1::parse_head;
use fanwire::wire::ws::handshake::{accept, encode_switching_protocols};
use fanwire::wire::ws::{Decoder, Inbox, Item, Opcode, Role, encode_client_frame, encode_close, encode_frame};
use flate2::{Compress, Compression, FlushCompress};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Its fault.
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
    /// With compression: it sends a message that cannot be inflated.
    SendsBadDeflate,
    /// With compression: it sends text that is not UTF-8.
    SendsBadTextDeflated,
    /// With compression: it sends a message of 80 MiB of zeros.
    SendsBomb,
}

/// The layers between its sockets and its messages.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    pub tls: Option<Arc<ServerConfig>>,
    /// It agrees to permessage-deflate with these parameters behind its name, and compresses what it sends.
    pub deflate: Option<&'static str>,
}

/// Starts one; gives its URL, and a channel that tells of each message that it received.
pub fn start(fault: Fault) -> (String, Receiver<()>) {
    start_with(fault, Layers::default())
}

/// Starts one with layers.
pub fn start_with(fault: Fault, layers: Layers) -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let scheme = if layers.tls.is_some() { "wss" } else { "ws" };
    let url = format!("{scheme}://{}", listener.local_addr().expect("it is bound"));
    let (sender, receiver) = channel();
    let messages = Arc::new(AtomicU32::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (sender, messages, layers) = (sender.clone(), Arc::clone(&messages), layers.clone());
            thread::spawn(move || match layers.tls {
                None => serve(stream, fault, layers.deflate, &sender, &messages),
                Some(config) => {
                    let session = ServerConnection::new(config).expect("its configuration is complete");
                    serve(StreamOwned::new(session, stream), fault, layers.deflate, &sender, &messages)
                }
            });
        }
    });
    (url, receiver)
}

/// One connection, to its end. Whatever fails ends it.
fn serve(
    mut stream: impl Read + Write,
    fault: Fault,
    deflate: Option<&str>,
    told: &Sender<()>,
    messages: &AtomicU32,
) -> Option<()> {
    if fault == Fault::NeverAnswers {
        return wait_for_the_end(&mut stream);
    }
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    if fault == Fault::SpeaksNoHttp {
        stream.read(&mut chunk).ok().filter(|&len| len > 0)?;
        stream.write_all(b"220 mail.example.com ESMTP\r\n").ok()?;
        return wait_for_the_end(&mut stream);
    }
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
        Fault::AcceptsAnotherKey => encode_switching_protocols(&mut out, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", None, None),
        _ => encode_switching_protocols(&mut out, &accepted, None, None),
    }
    if let Some(parameters) = deflate {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        assert!(text.contains("sec-websocket-extensions: permessage-deflate"), "{text}");
        out.truncate(out.len() - 2);
        out.extend_from_slice(b"Sec-WebSocket-Extensions: permessage-deflate");
        out.extend_from_slice(parameters.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }
    let mut bomb = Vec::new();
    let mut compress = Compress::new(Compression::default(), false);
    match fault {
        Fault::ClosesWith(code) => encode_close(&mut out, code, "enough"),
        Fault::SendsGarbage => out.extend_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        Fault::Masks => encode_client_frame(&mut out, Opcode::Text, true, [1, 2, 3, 4], b"hello"),
        Fault::AnnouncesTooMuch => out.extend_from_slice(&[0x82, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0]),
        Fault::SendsBadText => encode_frame(&mut out, Opcode::Text, b"\xff"),
        Fault::SendsBadDeflate => out.extend_from_slice(b"\xc1\x03\xff\xff\xff"),
        Fault::SendsBadTextDeflated => encode_compressed(&mut out, &mut compress, b"\xff"),
        Fault::SendsBomb => {
            // A megabyte of zeros after another compresses to the same bytes every time.
            let mut block = Vec::with_capacity(1 << 16);
            for _ in 0..80 {
                if bomb.len() <= block.len() {
                    block.clear();
                    compress.compress_vec(&[0; 1 << 20], &mut block, FlushCompress::Sync).expect("there is room");
                }
                bomb.extend_from_slice(&block);
            }
            encode_rsv1(&mut out, &bomb);
        }
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
                let payload = payload.as_slice(&chunk);
                match deflate {
                    // Every third message goes as it is: the extension leaves that to the sender.
                    Some(parameters) if !count.is_multiple_of(3) => {
                        if parameters.contains("server_no_context_takeover") {
                            compress.reset();
                        }
                        encode_compressed(&mut out, &mut compress, payload);
                    }
                    _ => encode_frame(&mut out, Opcode::Text, payload),
                }
            }
        }
        inbox.clear(&mut pool);
        stream.write_all(&out).ok()?;
    }
}

fn encode_compressed(out: &mut Vec<u8>, compress: &mut Compress, message: &[u8]) {
    let mut compressed = Vec::with_capacity(message.len() + 64);
    compress.compress_vec(message, &mut compressed, FlushCompress::Sync).expect("there is room");
    encode_rsv1(out, &compressed);
}

/// A text message with what a sync flush ends with, which does not go over the wire. [RFC 7692 7.2.1]
fn encode_rsv1(out: &mut Vec<u8>, compressed: &[u8]) {
    let start = out.len();
    encode_frame(out, Opcode::Text, compressed.strip_suffix(&[0, 0, 0xff, 0xff]).expect("a sync flush"));
    out[start] |= 0x40;
}

fn wait_for_the_end(stream: &mut impl Read) -> Option<()> {
    let mut chunk = [0; 4096];
    while stream.read(&mut chunk).ok()? > 0 {}
    None
}
