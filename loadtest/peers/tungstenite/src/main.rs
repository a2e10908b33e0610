//! A fan-out server as one would first write it over tokio-tungstenite: a broadcast channel for each topic, a task for
//! each connection, one thread. Any path is a topic whose messages go to everybody else on it; `/echo` echoes.
//!
//! `peer-tungstenite PORT` listens on 127.0.0.1.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// What was said, and by which connection.
type Said = (u64, Message);

/// The topics by path.
type Topics = Rc<RefCell<HashMap<String, broadcast::Sender<Said>>>>;

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
    let sender = topics.borrow_mut().entry(path).or_insert_with(|| broadcast::channel(BEHIND_MAX).0).clone();
    let mut receiver = sender.subscribe();
    loop {
        tokio::select! {
            message = source.next() => match message {
                Some(Ok(message)) if message.is_text() || message.is_binary() => {
                    let _ = sender.send((id, message));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            said = receiver.recv() => match said {
                Ok((from, message)) => {
                    if from != id && sink.send(message).await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            },
        }
    }
}
