//! A gateway with fewer descriptors than clients: the later ones are told, and it goes on.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Instant;

use common::{Frame, Gateway, HANG, Socket};

const DRIVERS: [&str; 2] = ["epoll", "uring"];
const CLIENTS: usize = 300;

fn log(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("fanwire-descriptors-{}-{name}.log", std::process::id()))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

const PUBLISH: &str = "POST /publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi";

/// Asks until it is answered with 200: a client that keeps a seat for nothing has to leave it to others.
fn expect_soon(gateway: &Gateway, request: &str) {
    let deadline = Instant::now() + HANG;
    let mut answer = Vec::new();
    while !answer.starts_with(b"HTTP/1.1 200 ") {
        assert!(Instant::now() < deadline, "{request} is never answered, but {:?}", String::from_utf8_lossy(&answer));
        answer.clear();
        let mut client = TcpStream::connect(gateway.address()).expect("it listens");
        client.set_read_timeout(Some(HANG)).expect("a timeout can be set");
        // One that came while every seat was taken may find the connection ended already.
        let _ = client.write_all(request.as_bytes()).and_then(|()| client.read_to_end(&mut answer));
    }
}

#[test]
fn past_what_the_descriptors_carry_clients_are_told_and_health_and_publishing_go_on() {
    for driver in DRIVERS {
        let log = log(driver);
        let gateway = Gateway::start_with_descriptors(120, &log, &["--shards", "2", "--driver", driver]);
        let (mut inside, mut refused, mut fit) = (Vec::new(), Vec::new(), 0);
        for _ in 0..CLIENTS {
            let mut socket = gateway.connect();
            let answer = socket.write(Socket::handshake("/echo")).expect_http_status_of(&[101, 503]);
            if answer.status == 101 {
                inside.push(socket);
                continue;
            }
            if refused.is_empty() {
                fit = inside.len();
            }
            refused.push(socket);
        }
        // The refused clients keep their sockets.
        assert!(inside.len() >= 60 && refused.len() >= 60, "{driver}: {} and {}", inside.len(), refused.len());
        for request in [get("/healthz"), get("/readyz"), PUBLISH.to_owned()] {
            expect_soon(&gateway, &request);
        }
        for socket in &mut inside {
            socket.send(Frame::text("inside")).expect_text("inside");
        }
        let metrics = gateway.connect().write(get("/metrics")).expect_http_status(200);
        let value = |name: &str| -> f64 {
            let lines = metrics.text().lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        assert!(value("fanwire_refused_total") >= refused.len() as f64, "{}", metrics.text());
        let limit = value("fanwire_limit{limit=\"connections_max\"}");
        assert!(limit >= inside.len() as f64 && limit < 300.0, "{limit}");
        assert_eq!(fit as f64, limit, "{driver}: a shard refuses while another has room");
        let said = fs::read_to_string(&log).expect("its log");
        assert_eq!(said.matches("the limit of connections is reached").count(), 1, "{said}");
        let _ = fs::remove_file(log);
    }
}

#[test]
fn a_crowd_finds_every_place_that_there_is_in_whichever_shard() {
    for driver in DRIVERS {
        let log = log(&format!("crowd-{driver}"));
        let gateway = Gateway::start_with_descriptors(120, &log, &["--shards", "3", "--driver", driver]);
        // This one stays, as one of those that fit.
        let mut first = gateway.connect();
        let metrics = first.write(get("/metrics")).expect_http_status(200);
        let limit = |line: &str| line.strip_prefix("fanwire_limit{limit=\"connections_max\"} ")?.parse::<f64>().ok();
        let fit = metrics.text().lines().find_map(limit).expect("the limit is told") as usize;
        let mut crowd: Vec<_> = (1..fit).map(|_| gateway.connect()).collect();
        for socket in &mut crowd {
            socket.write(Socket::handshake("/echo"));
        }
        for socket in &mut crowd {
            socket.expect_http_status_of(&[101]);
            socket.send(Frame::text("inside")).expect_text("inside");
        }
        gateway.connect().write(Socket::handshake("/echo")).expect_http_status_of(&[503]);
        let _ = fs::remove_file(log);
    }
}

#[test]
fn clients_that_say_nothing_keep_nobody_from_being_answered() {
    for driver in DRIVERS {
        let log = log(&format!("silent-{driver}"));
        let gateway = Gateway::start_with_descriptors(120, &log, &["--shards", "1", "--driver", driver]);
        let _silent: Vec<_> = (0..CLIENTS).map(|_| gateway.connect()).collect();
        for request in [get("/healthz"), PUBLISH.to_owned()] {
            expect_soon(&gateway, &request);
        }
        let _ = fs::remove_file(log);
    }
}
