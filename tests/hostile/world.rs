//! A gateway under attack, and what is asserted of it whatever the attack is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fanwire::limits::TURN_BUDGET;

use crate::audience::{Audience, READERS};
use crate::common::Gateway;
use crate::peer::Peer;

/// Messages of the polite publisher without an attack.
const CALM_MESSAGES: u64 = 60;
/// Steps of a turn that may each go past their bound once: receiving, mail, what was put off.
const PARTS: u64 = 3;
/// The most that one item of a turn may cost: a message of 1 MiB, inflated and read as JSON, and its answers.
const ITEM_CHARGE_MAX: u64 = 13_000_000;

/// An attack: what it is called, what bounds it, and what it may take.
pub struct Attack {
    pub name: &'static str,
    pub bound: &'static str,
    /// Bytes by which the gateway may grow, at its largest.
    pub memory_len_max: u64,
    /// Bytes that it may keep of that for good: topics and their last values.
    pub kept_len: u64,
}

impl Attack {
    /// One of which nothing is kept.
    pub const fn new(name: &'static str, bound: &'static str, memory_len_max: u64) -> Self {
        Self { name, bound, memory_len_max, kept_len: 0 }
    }
}

/// How much larger than in the gate the attacks are.
pub fn scale() -> usize {
    std::env::var("FANWIRE_HOSTILE_SCALE").map_or(1, |scale| scale.parse().expect("a number"))
}

/// Runs an attack against both drivers. What `attack` returns is when it is over, with every attacker gone.
pub fn check(attack: &Attack, arguments: &[&str], act: impl Fn(SocketAddr) + Sync) {
    check_prepared(attack, arguments, |_| {}, |address, ()| act(address));
}

/// The same, with something that is done before.
pub fn check_prepared<T: Sync>(
    attack: &Attack,
    arguments: &[&str],
    prepare: impl Fn(SocketAddr) -> T,
    act: impl Fn(SocketAddr, &T) + Sync,
) {
    for driver in ["epoll", "uring"] {
        let fixed = ["--shards", "2", "--driver", driver, "--ping-interval", "10m"];
        let bounded = if arguments.contains(&"--memory-len-max") { &[][..] } else { &["--memory-len-max", "64MiB"] };
        let gateway = Gateway::start(&[&fixed, bounded, arguments].concat());
        let address = gateway.address();
        let prepared = prepare(address);
        let mut audience = Audience::new(address);
        let calm = audience.speak_until(|said| said >= CALM_MESSAGES);
        let (before, share_before) = (memory(gateway.pid(), "VmRSS"), share(gateway.pid()));
        let is_over = AtomicBool::new(false);
        let begun = Instant::now();
        let loud = std::thread::scope(|scope| {
            let attacker = scope.spawn(|| {
                let _over = OnDrop(&is_over);
                act(address, &prepared);
            });
            let loud = audience.speak_until(|said| said >= CALM_MESSAGES && is_over.load(Ordering::Acquire));
            attacker.join().expect("the attack goes as it is written");
            loud
        });
        let took = begun.elapsed();
        let grown = memory(gateway.pid(), "VmHWM").saturating_sub(before);
        expect_calm(address);
        let left =
            settle(gateway.pid(), share_before + left_max(share_before) + attack.kept_len) as i64 - share_before as i64;
        let metrics = Metrics::of(address);
        let (charged, item) = (metrics.max("fanwire_turn_charge_max"), metrics.max("fanwire_item_charge_max"));
        println!(
            "| {} | {driver} | {} | {} MiB | {} MiB | {:.1} ms | {:.1} M | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} s |",
            attack.name,
            attack.bound,
            grown >> 20,
            left >> 20,
            metrics.max("fanwire_turn_longest_microseconds") as f64 / 1e3,
            charged as f64 / 1e6,
            millis(calm.p99),
            millis(loud.p99),
            millis(loud.max),
            took.as_secs_f64(),
        );
        assert!(item <= ITEM_CHARGE_MAX, "an item cost {item}");
        assert!(charged <= TURN_BUDGET + PARTS * item, "a turn cost {charged}, and an item at most {item}");
        assert!(grown <= attack.memory_len_max, "the gateway grew by {grown} bytes");
        let left_max = (left_max(share_before) + attack.kept_len) as i64;
        assert!(left <= left_max, "the gateway keeps {left} bytes of it, and not {left_max}");
    }
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Nobody is left but the polite ones, and nothing is held for anybody.
fn expect_calm(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let metrics = Metrics::of(address);
        let state = [
            metrics.sum_where("fanwire_connections", "transport=\"websocket\""),
            metrics.sum_where("fanwire_connections", "transport=\"http\""),
            metrics.sum("fanwire_subscriptions"),
            metrics.sum("fanwire_outbox_bytes"),
            metrics.sum("fanwire_blocks_in_use"),
            metrics.sum_where("fanwire_memory_bytes", "class=\"reassembly\""),
            metrics.sum_where("fanwire_memory_bytes", "class=\"lag\""),
        ];
        let polite = READERS as u64 + 1;
        // The request for the metrics is one of them.
        if state[..5] == [polite, 1, polite, 0, 0] && state[6] == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "back to what was before: {state:?}");
    }
}

pub struct Metrics(String);

impl Metrics {
    pub fn of(address: SocketAddr) -> Self {
        Self(Peer::get(address, "/metrics"))
    }

    fn values<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = u64> + 'a {
        let lines = self.0.lines().filter(move |line| line.starts_with(name) && line[name.len()..].starts_with('{'));
        lines.filter(move |line| line.contains(label)).map(|line| {
            let value = line.rsplit(' ').next().expect("a value");
            value.parse().unwrap_or_else(|_| panic!("a whole number: {line}"))
        })
    }

    fn sum(&self, name: &str) -> u64 {
        self.values(name, "").sum()
    }

    pub fn sum_where(&self, name: &str, label: &str) -> u64 {
        self.values(name, label).sum()
    }

    fn max(&self, name: &str) -> u64 {
        self.values(name, "").max().expect("each shard tells it")
    }
}

/// The process's own memory, once it has come down to `len_max` or has had 30 s for that.
fn settle(pid: u32, len_max: u64) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let len = share(pid);
        if len <= len_max || Instant::now() >= deadline {
            return len;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// The memory that may be left: a quarter more than before, and the growth of a process that has done little yet.
fn left_max(share_before: u64) -> u64 {
    share_before / 4 + (6 << 20)
}

fn share(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss_Anon")
}

fn memory(pid: u32, name: &str) -> u64 {
    field(&format!("/proc/{pid}/status"), name)
}

/// A field of a file of the kernel's, in bytes.
fn field(path: &str, field: &str) -> u64 {
    let status = std::fs::read_to_string(path).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("the field");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}
