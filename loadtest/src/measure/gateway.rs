//! What a gateway says of itself at `/metrics`.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::report::Left;

/// What it still has, but for what the question itself takes.
///
/// # Errors
/// If it does not answer, or not like a gateway.
pub fn ask(addr: SocketAddr, host: &str) -> io::Result<Left> {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_LEN_MAX).read_to_string(&mut answer)?;
    let left = answer.starts_with("HTTP/1.1 200 ").then(|| parse(&answer, request.len() as u64)).flatten();
    left.ok_or_else(|| io::Error::other("these are no metrics of a gateway"))
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
        let text = "HTTP/1.1 200 OK\r\n\r\n# TYPE fanwire_connections gauge\n\
            fanwire_connections{shard=\"0\",transport=\"http\"} 1\n\
            fanwire_connections{shard=\"1\",transport=\"websocket\"} 4\n\
            fanwire_subscriptions{shard=\"0\"} 3\nfanwire_topics{shard=\"0\"} 2\nfanwire_topics{shard=\"1\"} 5\n\
            fanwire_memory_bytes{shard=\"0\",class=\"reassembly\"} 90\n\
            fanwire_memory_bytes{shard=\"1\",class=\"lag\"} 7\nfanwire_turn_seconds_sum{shard=\"0\"} 0.5\n";
        let left = parse(text, 90).expect("it is a gateway");
        assert_eq!((left.connections, left.subscriptions, left.topics), (4, 3, 7));
        let memory: Vec<_> = left.memory.iter().map(|(class, &bytes)| (class.as_str(), bytes)).collect();
        assert_eq!(memory, [("lag", 7), ("reassembly", 0)]);
        assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\nhello", 90), None);
    }
}
