//! The cost of a TLS handshake and of a silent session for the server, by this crate's way through rustls and by
//! rustls as it comes: `cargo bench --bench tls`. Both in one run and one thread, in turns; it prints, and asserts no
//! figure.
//!
//! Time is of the server's side only, from the client's bytes to the answer; of each round the median, so that who is
//! put off the core in the middle of a handshake does not count. Memory is the growth of a process of its own for
//! sessions that have said something, in between clients that are let go.

use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanwire::buf::BlockPool;
use fanwire::transport::tls::{Certificates, Material, PemFile, Session};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConnection};

const ROUNDS: usize = 11;
const HANDSHAKES: usize = 300;
const SESSIONS: usize = 3_000;

/// A server's end, fed with bytes.
trait Server {
    fn new(certificates: &Certificates) -> Self;
    fn receive(&mut self, wire: &mut Vec<u8>, out: &mut Vec<u8>, pool: &mut BlockPool);
}

struct Ours(Box<Session>);
struct Bare(Box<ServerConnection>);

impl Server for Ours {
    fn new(certificates: &Certificates) -> Self {
        Self(Box::new(Session::new(certificates.config()).expect("a good configuration")))
    }

    fn receive(&mut self, wire: &mut Vec<u8>, out: &mut Vec<u8>, pool: &mut BlockPool) {
        let mut plain = Vec::new();
        self.0.receive(wire, pool, &mut plain, out).expect("the client breaks no rule");
        if !plain.is_empty() {
            self.0.encrypt(&plain, out).expect("the session stands");
        }
    }
}

impl Server for Bare {
    fn new(certificates: &Certificates) -> Self {
        Self(Box::new(ServerConnection::new(Arc::clone(certificates.config())).expect("a good configuration")))
    }

    fn receive(&mut self, wire: &mut Vec<u8>, out: &mut Vec<u8>, _: &mut BlockPool) {
        let mut wire = &wire[..];
        while !wire.is_empty() {
            self.0.read_tls(&mut wire).expect("a slice can be read");
            self.0.process_new_packets().expect("the client breaks no rule");
        }
        let mut plain = Vec::new();
        let _ = self.0.reader().read_to_end(&mut plain);
        self.0.writer().write_all(&plain).expect("it fits");
        while self.0.wants_write() {
            self.0.write_tls(out).expect("a vector takes all");
        }
    }
}

/// Goes through a handshake and one message each way; how long the server's side took, and of which kind it was.
fn converse<S: Server>(
    certificates: &Certificates,
    config: &Arc<ClientConfig>,
    pool: &mut BlockPool,
) -> (S, Duration, HandshakeKind) {
    let name = "localhost".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::clone(config), name).expect("a client");
    client.writer().write_all(b"hello").expect("it fits");
    let (mut wire, mut out, mut heard, mut took) = (Vec::new(), Vec::new(), Vec::new(), Duration::ZERO);
    let begin = Instant::now();
    let mut server = S::new(certificates);
    took += begin.elapsed();
    while heard.is_empty() {
        wire.clear();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("a vector takes all");
        }
        let begin = Instant::now();
        server.receive(&mut wire, &mut out, pool);
        took += begin.elapsed();
        let mut answer = &out[..];
        while !answer.is_empty() {
            client.read_tls(&mut answer).expect("a slice can be read");
            client.process_new_packets().expect("the server breaks no rule");
        }
        out.clear();
        let _ = client.reader().read_to_end(&mut heard);
    }
    (server, took, client.handshake_kind().expect("the handshake is done"))
}

/// The median of a round of handshakes, in microseconds, each of which is of this kind.
fn handshake_us<S: Server>(
    certificates: &Certificates,
    config: &Arc<ClientConfig>,
    kind: HandshakeKind,
    pool: &mut BlockPool,
) -> f64 {
    let handshake = |_| {
        let (_, took, was) = converse::<S>(certificates, config, pool);
        assert_eq!(was, kind);
        took.as_secs_f64() * 1e6
    };
    median((0..HANDSHAKES).map(handshake).collect())
}

fn session_len<S: Server>(certificates: &Certificates, config: &Arc<ClientConfig>, pool: &mut BlockPool) -> usize {
    let converse = |pool: &mut BlockPool| converse::<S>(certificates, config, pool).0;
    // The free memory of the allocator is filled first.
    let settled: Vec<S> = (0..SESSIONS).map(|_| converse(pool)).collect();
    let before = memory_len();
    let sessions: Vec<S> = (0..SESSIONS).map(|_| converse(pool)).collect();
    let len = (memory_len() - before) / SESSIONS;
    drop((settled, sessions));
    len
}

fn memory_len() -> usize {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux tells it");
    let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("the kernel tells the PSS");
    kib.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let cert = params.self_signed(&key).expect("a certificate");
    let file = |name: &str, text: String| PemFile { name: name.to_owned(), pem: text.into_bytes() };
    let pairs = vec![(file("cert", cert.pem()), file("key", key.serialize_pem()))];
    let certificates = Certificates::new(Material { pairs, client_ca: None }, 1_700_000_000, None).expect("good");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a certificate");
    let client = |resumption: Resumption| {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("the provider has them");
        let mut config = builder.with_root_certificates(roots.clone()).with_no_client_auth();
        config.resumption = resumption;
        Arc::new(config)
    };
    let pool = &mut BlockPool::default();
    let full = client(Resumption::disabled());
    let mut words = std::env::args().skip_while(|word| word != SESSION_OF);
    match words.nth(1).as_deref() {
        Some("ours") => return println!("{}", session_len::<Ours>(&certificates, &full, pool)),
        Some("bare") => return println!("{}", session_len::<Bare>(&certificates, &full, pool)),
        _ => {}
    }
    let resumed = client(Resumption::in_memory_sessions(64));
    converse::<Ours>(&certificates, &resumed, pool);
    for (name, kind, config) in [("full", HandshakeKind::Full, full), ("resumed", HandshakeKind::Resumed, resumed)] {
        let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let of_round = handshake_us::<Ours>(&certificates, &config, kind, pool);
            ours.push(of_round);
            bare.push(handshake_us::<Bare>(&certificates, &config, kind, pool));
            ratios.push(of_round / bare[bare.len() - 1]);
        }
        let (ours, bare, ratio) = (median(ours), median(bare), median(ratios));
        println!(
            "handshake, {name}: {ours:.1} us, {:.0} a CPU second; rustls as it comes {bare:.1} us; ratio {ratio:.3}",
            1e6 / ours
        );
    }
    let session_len = |of: &str| {
        let output = Command::new(std::env::current_exe().expect("a path")).args([SESSION_OF, of]).output();
        String::from_utf8(output.expect("it runs").stdout).expect("a number").trim().to_owned()
    };
    println!("silent session: {} bytes, rustls as it comes {} bytes", session_len("ours"), session_len("bare"));
}

/// Before whose session to measure, in the process that does.
const SESSION_OF: &str = "--session-of";
