//! The metrics of a gateway, read at `/metrics`.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::report::Left;
use crate::wire::http::{Answers, Event};

/// The gateway's remaining state, without that of the question itself.
///
/// # Errors
/// If it does not answer, or not like a gateway.
pub fn ask(addr: SocketAddr, host: &str) -> io::Result<Left> {
    let request = request(host);
    let left = parse(&answer(addr, &request)?, request.len() as u64);
    left.ok_or_else(|| io::Error::other("these are no metrics of a gateway"))
}

/// Its name and version; `None` if it does not say.
#[must_use]
pub fn version(addr: SocketAddr, host: &str) -> Option<String> {
    version_in(&answer(addr, &request(host)).ok()?)
}

fn request(host: &str) -> String {
    format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// The body of the answer.
fn answer(addr: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut received = Vec::new();
    stream.take(ANSWER_LEN_MAX).read_to_end(&mut received)?;
    let (mut answers, mut rest) = (Answers::default(), received.as_slice());
    let mut status = 0;
    while let Some(event) = answers.next(&mut rest).map_err(|error| io::Error::other(error.message()))? {
        if let Event::Head(begun) = event {
            status = begun;
        }
    }
    match status {
        200 => Ok(String::from_utf8_lossy(&answers.body).into_owned()),
        status => Err(io::Error::other(format!("it answers with status {status}"))),
    }
}

fn version_in(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("fanwire_build_info{"))?;
    let version = line.split_once("version=\"")?.1.split_once('"')?.0;
    Some(format!("fanwire {version}"))
}

fn parse(text: &str, request_len: u64) -> Option<Left> {
    let mut left = Left::default();
    let mut memory: BTreeMap<String, u64> = BTreeMap::new();
    let mut is_gateway = false;
    for line in text.lines().filter(|line| line.starts_with("fanwire_")) {
        let Some((name, value)) = line.split_once(' ') else { continue };
        let Ok(value) = value.trim().parse::<u64>() else { continue };
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        match name {
            "fanwire_connections" => {
                is_gateway = true;
                left.connections += value;
            }
            "fanwire_subscriptions" => left.subscriptions += value,
            "fanwire_topics" => left.topics += value,
            "fanwire_memory_bytes" => {
                let class = labels.split_once("class=\"").and_then(|(_, rest)| rest.split_once('"'))?.0;
                *memory.entry(class.to_owned()).or_default() += value;
            }
            _ => {}
        }
    }
    left.connections = left.connections.saturating_sub(1);
    if let Some(held) = memory.get_mut("reassembly") {
        *held = held.saturating_sub(request_len);
    }
    left.memory = memory;
    is_gateway.then_some(left)
}

/// For each step of the conversation.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read: 128 shards have about 1.5 MB.
const ANSWER_LEN_MAX: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_summed_over_shards_without_the_question() {
        let text = "# TYPE fanwire_connections gauge\n\
            fanwire_connections{shard=\"0\",transport=\"http\"} 1\n\
            fanwire_connections{shard=\"1\",transport=\"websocket\"} 4\n\
            fanwire_subscriptions{shard=\"0\"} 3\nfanwire_topics{shard=\"0\"} 2\nfanwire_topics{shard=\"1\"} 5\n\
            fanwire_memory_bytes{shard=\"0\",class=\"reassembly\"} 90\n\
            fanwire_memory_bytes{shard=\"1\",class=\"lag\"} 7\nfanwire_turn_seconds_sum{shard=\"0\"} 0.5\n";
        let left = parse(text, 90).expect("it is a gateway");
        assert_eq!((left.connections, left.subscriptions, left.topics), (4, 3, 7));
        let memory: Vec<_> = left.memory.iter().map(|(class, &bytes)| (class.as_str(), bytes)).collect();
        assert_eq!(memory, [("lag", 7), ("reassembly", 0)]);
        assert_eq!(parse("hello", 90), None);
    }

    #[test]
    fn a_gateway_that_says_its_version_is_named_by_it() {
        let text = "fanwire_topics{shard=\"0\"} 2\nfanwire_build_info{driver=\"epoll\",version=\"1.2.3\"} 1\n";
        assert_eq!(version_in(text).as_deref(), Some("fanwire 1.2.3"));
        assert_eq!(version_in("fanwire_topics{shard=\"0\"} 2\n"), None);
    }
}
