//! Publishes as fast as the gateway takes it: `POST /publish` with many lines, over and over on one connection.
//!
//! ```text
//! cargo run --release --example publish_batches -- [ADDR] [MESSAGES] [LINES] [TOPICS]
//! ```
//! Two requests are under way at a time, so that the gateway does not wait for this program. Prints messages a second,
//! and fails if a line was refused.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let addr = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let mut number = |default: usize| arguments.next().map_or(default, |word| word.parse().expect("a number"));
    let (messages, lines, topics) = (number(1_000_000), number(1_000).max(1), number(100).max(1));
    let mut stream = TcpStream::connect(&addr)?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::with_capacity(256 * 1024, stream.try_clone()?);
    let start = Instant::now();
    let (mut sent, mut answered) = (0, 0);
    let mut sizes = std::collections::VecDeque::new();
    while answered < messages {
        while sent < messages && sizes.len() < 2 {
            let count = lines.min(messages - sent);
            stream.write_all(&request(&addr, sent, count, topics))?;
            sizes.push_back(count);
            sent += count;
        }
        let count = sizes.pop_front().expect("one is under way");
        let taken = answer(&mut answers)?;
        assert_eq!(taken, count, "every line of a request is taken");
        answered += count;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{messages} messages in {seconds:.3} s: {:.0} a second", messages as f64 / seconds);
    Ok(())
}

fn request(host: &str, first: usize, count: usize, topics: usize) -> Vec<u8> {
    let mut body = String::new();
    for n in first..first + count {
        writeln!(body, r#"{{"topic":"bench.{}","data":{{"n":{n},"price":101.25,"text":"a small one"}}}}"#, n % topics)
            .expect("a string takes all that is written");
    }
    let head = format!("POST /publish HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Reads one answer; returns how many lines were taken.
fn answer(answers: &mut impl BufRead) -> io::Result<usize> {
    let (mut line, mut len) = (String::new(), 0);
    answers.read_line(&mut line)?;
    assert!(line.starts_with("HTTP/1.1 200"), "the gateway says {line:?}");
    while line != "\r\n" {
        line.clear();
        answers.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; len];
    answers.read_exact(&mut body)?;
    let body = String::from_utf8(body).expect("an answer is text");
    Ok(body.lines().filter(|line| line.contains("\"offset\":")).count())
}
