//! A fan-out server much as tokio-tungstenite's own example has it: a channel for each connection, and tasks that read and
//! write. One thread. Any path is a topic whose messages go to everybody else on it; `/echo` echoes.
//!
//! `peer-tungstenite PORT` listens on 127.0.0.1.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::mpsc;
use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// The readers of each topic, by path and number.
type Topics = Rc<RefCell<HashMap<String, HashMap<u64, mpsc::UnboundedSender<Message>>>>>;

/// Messages that a reader may lie behind before it is closed.
const BEHIND_MAX: usize = 4096;

/// How long accepting rests where no descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse::<u16>().ok());
    let Some(port) = port else {
        eprintln!("usage: peer-tungstenite PORT");
        std::process::exit(2);
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap_or_else(|error| {
        eprintln!("127.0.0.1:{port}: {error}");
        std::process::exit(2);
    });
    println!("ready");
    let topics = Topics::default();
    let serve = async move {
        let mut id = 0;
        loop {
            // Out of descriptors: those who come wait in the backlog until somebody leaves.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            id += 1;
            let _ = stream.set_nodelay(true);
            tokio::task::spawn_local(converse(stream, id, topics.clone()));
        }
    };
    tokio::task::LocalSet::new().run_until(serve).await;
}

async fn converse(stream: TcpStream, id: u64, topics: Topics) {
    let mut path = String::new();
    #[allow(clippy::result_large_err)] // The library's own signature.
    let note_path = |request: &Request, response: Response| {
        path = request.uri().path().to_owned();
        Ok(response)
    };
    let Ok(socket) = accept_hdr_async(stream, note_path).await else { return };
    let (mut sink, mut source) = socket.split();
    if path == "/echo" {
        while let Some(Ok(message)) = source.next().await {
            if (message.is_text() || message.is_binary()) && sink.send(message).await.is_err() {
                return;
            }
        }
        return;
    }
    let (sender, receiver) = mpsc::unbounded();
    topics.borrow_mut().entry(path.clone()).or_default().insert(id, sender);
    let receive = source.try_for_each(|message| {
        if message.is_text() || message.is_binary() {
            let mut topics = topics.borrow_mut();
            let readers = topics.entry(path.clone()).or_default();
            // A reader that is too far behind is dropped, which ends its forwarding.
            readers.retain(|&reader, sender| {
                reader == id || (sender.len() < BEHIND_MAX && sender.unbounded_send(message.clone()).is_ok())
            });
        }
        future::ok(())
    });
    // What is ready goes out in one flush. A task of its own: every poll of the source clears 128 KiB of read buffer, which
    // is no part of a delivery.
    let forward = tokio::task::spawn_local(receiver.map(Ok).forward(sink));
    let _ = receive.await;
    forward.abort();
    if let Some(readers) = topics.borrow_mut().get_mut(&path) {
        readers.remove(&id);
    }
}
