//! The memory of a topic with one reader, with its name, and its complete release: counted by the allocator, so that
//! the figures are the same on every machine.

#[path = "common/settings.rs"]
mod settings;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use fanwire::command::ConnId;
use fanwire::driver::null::Null;
use fanwire::hub::home_of;
use fanwire::limits::Limits;
use fanwire::mailbox::Mailbox;
use fanwire::shard::{Shard, turn};
use fanwire::wire::ws::{Opcode, encode_client_frame};

use settings::{HASH_KEY, settings};

/// The goal, in bytes, for a name of 16 characters.
const PRIVATE_TOPIC_LEN_MAX: i64 = 120;

/// On top of it for a name of 41: the name once, with its counts, and a reference in each of the two shards.
const LONG_NAME_LEN_MAX: i64 = 120;

/// Topics, at most. Between half of it and all of it every table grows once, wherever its steps are.
const TOPICS: usize = 20_000;

/// Topics between two looks at the memory.
const STEP: usize = 250;

struct Counting;

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// The memory that glibc takes for an allocation: 8 bytes more, in steps of 16, 32 at least.
fn chunk_len(len: usize) -> i64 {
    (len + 8).next_multiple_of(16).max(32) as i64
}

fn count(change: i64) {
    LIVE.with(|live| live.set(live.get() + change));
}

// SAFETY: every call goes to the system's allocator as it came; counting neither allocates nor unwinds.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(chunk_len(layout.size()));
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-chunk_len(layout.size()));
        // SAFETY: the caller keeps the promises of `dealloc`, and `alloc` above came from the system.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Shards over a kernel that takes everything, all on this thread.
struct Gateway {
    cores: Vec<(Null, Shard, Mailbox)>,
}

impl Gateway {
    fn new(shards: usize) -> Self {
        let limits = Limits { connections_max: TOPICS as u32 + 16, ..Limits::default() };
        let (mailboxes, _) = Mailbox::mesh(shards);
        let core = |(settings, mailbox)| (Null::default(), Shard::new(settings), mailbox);
        Self { cores: settings(shards, &limits).into_iter().zip(mailboxes).map(core).collect() }
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            for (driver, shard, mailbox) in &mut self.cores {
                turn(driver, shard, mailbox, |_| {}).expect("nothing goes wrong");
            }
        }
    }

    /// Connections of the first shard, each with a path of its own.
    fn open(&mut self, paths: impl ExactSizeIterator<Item = String>) -> Vec<ConnId> {
        let before = self.cores[0].0.adopted().len();
        self.cores[0].0.arrive(paths.len() as u32);
        self.turns(1);
        let conns = self.cores[0].0.adopted()[before..].to_vec();
        for (&conn, path) in conns.iter().zip(paths) {
            let handshake = format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            );
            self.cores[0].0.receive(conn, handshake.as_bytes());
        }
        self.turns(4);
        conns
    }

    /// Each connection says one operation about its topic, and the shards are done with it.
    fn say<'a>(&mut self, op: &str, conns: impl Iterator<Item = (&'a ConnId, &'a String)>) {
        for (&conn, topic) in conns {
            let mut frame = Vec::new();
            let text = format!(r#"{{"op":"{op}","topics":["{topic}"]}}"#);
            encode_client_frame(&mut frame, Opcode::Text, true, [1, 2, 3, 4], text.as_bytes());
            self.cores[0].0.receive(conn, &frame);
        }
        self.turns(4);
    }

    fn subscriptions(&self) -> u64 {
        self.cores[0].1.measure().subscriptions
    }

    fn topics(&self) -> u64 {
        self.cores.iter().map(|(_, shard, _)| shard.measure().topics).sum()
    }
}

/// Subscribes to topics one by one, lets all of them go again, twice; returns what one cost at least and at most
/// while more than half of them were there.
fn check(shards: usize, home: usize, name: impl Fn(usize) -> String) -> (i64, i64) {
    let mut gateway = Gateway::new(shards);
    let conns = gateway.open((0..TOPICS).map(|_| "/ws".to_owned()));
    let mut names = (0..).map(name).filter(|name| home_of(HASH_KEY, shards, name).index() == home);
    let (mut cheapest, mut dearest, mut after_first) = (i64::MAX, 0, 0);
    // Memory that is allocated once, for all clients.
    let some: Vec<String> = names.by_ref().take(STEP).collect();
    gateway.say("sub", conns.iter().zip(&some));
    gateway.say("unsub", conns.iter().zip(&some));
    for round in 0..2 {
        let names: Vec<String> = names.by_ref().take(TOPICS).collect();
        let before = LIVE.get();
        for (step, names) in names.chunks(STEP).enumerate() {
            let count = step * STEP + names.len();
            gateway.say("sub", conns[step * STEP..].iter().zip(names));
            assert_eq!((gateway.subscriptions(), gateway.topics()), (count as u64, count as u64));
            if round == 0 && count >= TOPICS / 2 {
                let each = (LIVE.get() - before) / count as i64;
                (cheapest, dearest) = (cheapest.min(each), dearest.max(each));
            }
        }
        for (step, names) in names.chunks(STEP).enumerate() {
            gateway.say("unsub", conns[step * STEP..].iter().zip(names));
        }
        assert_eq!((gateway.subscriptions(), gateway.topics()), (0, 0));
        drop(names);
        if round == 0 {
            after_first = LIVE.get();
        }
    }
    let grown = LIVE.get() - after_first;
    assert!(grown <= 4096, "{grown} bytes are left of topics that came and went");
    println!("{shards} shards, home at {home}: {cheapest} to {dearest} bytes a private topic");
    (cheapest, dearest)
}

#[test]
fn a_private_topic_costs_what_the_goal_allows_and_nothing_once_it_is_gone() {
    for (shards, home) in [(1, 0), (2, 0), (2, 1)] {
        let (_, dearest) = check(shards, home, |n| format!("user.{n:011}"));
        assert!(dearest <= PRIVATE_TOPIC_LEN_MAX, "{dearest} bytes with {shards} shards, home at {home}");
    }
}

#[test]
fn a_longer_name_stands_once_for_all_shards() {
    for (shards, home) in [(1, 0), (2, 1)] {
        let (_, dearest) = check(shards, home, |n| format!("user.{n:08}-0000-4000-8000-000000000000"));
        let allowed = PRIVATE_TOPIC_LEN_MAX + LONG_NAME_LEN_MAX;
        assert!(dearest <= allowed, "{dearest} bytes with {shards} shards, home at {home}");
    }
}

/// The memory held after each step of connections to paths of their own.
fn held_by_readers(path: impl Fn(usize) -> String) -> Vec<i64> {
    let mut gateway = Gateway::new(2);
    let paths: Vec<String> = (0..TOPICS).map(path).collect();
    let before = LIVE.get();
    let step = |paths: &[String]| {
        gateway.open(paths.iter().cloned());
        LIVE.get() - before
    };
    paths.chunks(STEP).map(step).collect()
}

#[test]
fn a_bare_feed_of_a_private_topic_costs_no_more_than_that() {
    let plain = held_by_readers(|_| "/echo".to_owned());
    let mut names = (0..).map(|n| format!("user.{n:011}")).filter(|name| home_of(HASH_KEY, 2, name).index() == 1);
    let names: Vec<String> = names.by_ref().take(TOPICS).collect();
    let private = held_by_readers(|n| format!("/raw/{}", names[n]));
    // From the first step on: with it comes what is allocated once.
    let each = (1..).zip(plain.iter().zip(&private)).skip(1).map(|(step, (of_plain, of_private))| {
        let count = (step - 1) * STEP as i64;
        (count, ((of_private - private[0]) - (of_plain - plain[0])) / count)
    });
    let late = each.filter(|(count, _)| *count >= TOPICS as i64 / 2).map(|(_, each)| each);
    let dearest = late.max().expect("there are steps");
    println!("2 shards, home at 1, bare feed: at most {dearest} bytes a private topic");
    assert!(dearest <= PRIVATE_TOPIC_LEN_MAX, "{dearest} bytes");
}
