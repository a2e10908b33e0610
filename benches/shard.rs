//! The cost of a shard by itself, over a kernel that takes everything at once: a fan-out to many readers, subscribing
//! to and leaving a large topic, an opening handshake.
//!
//! `cargo bench --bench shard`; a name as an argument runs one of them.

mod rig;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fanwire::command::{ShardId, TopicName};
use fanwire::hub::{Hub, HubSettings, SubscriberKey};
use fanwire::limits::Limits;
use rig::Bench;

fn fanout(c: &mut Criterion) {
    let mut group = c.benchmark_group("fanout");
    group.sample_size(20);
    for (readers, messages) in [(1_000, 1), (100_000, 1), (1_000_000, 1), (100_000, 32)] {
        let mut bench = Bench::new(readers + 1);
        bench.open(readers, "/raw/px.AAPL");
        let publisher = bench.open(1, "/raw/px.AAPL?echo=0")[0];
        let frames = rig::text(&"x".repeat(128)).repeat(messages);
        group.throughput(Throughput::Elements(u64::from(readers) * messages as u64));
        group.bench_function(BenchmarkId::new(format!("{messages}_a_turn"), readers), |b| {
            b.iter(|| bench.say(publisher, &frames));
        });
        black_box(bench.driver.sent());
    }
    group.finish();
}

/// A turn with a million idle connections, without a limit of memory; and with one where more is held than may be and
/// nothing can be let go, so that every turn looks at who holds it.
fn memory_look(c: &mut Criterion) {
    const CONNECTIONS: u32 = 1_000_000;
    let mut group = c.benchmark_group("turn_of_1M");
    for (name, memory_len_max) in [("without_a_limit", 0), ("over_the_limit", 1)] {
        // Nobody is pinged meanwhile.
        let limits = Limits { memory_len_max, ping_interval_ms: 24 * 60 * 60 * 1000, ..Limits::default() };
        let mut bench = Bench::with_limits(CONNECTIONS + 2, limits);
        bench.open(CONNECTIONS, "/raw/px.AAPL");
        // The second message waits for its time.
        bench.open(1, "/raw/px.MSFT?max_rate=0.01");
        let publisher = bench.open(1, "/raw/px.MSFT")[0];
        for _ in 0..2 {
            bench.say(publisher, &rig::text(&"x".repeat(128)));
        }
        // Handshakes had a deadline, which moves when it comes.
        bench.driver.advance_ms(15_000);
        bench.turn();
        assert!(bench.shard.measure().lag_len > 0, "a message waits");
        let mut longest = Duration::ZERO;
        group.bench_function(name, |b| {
            b.iter(|| {
                bench.driver.advance_ms(4);
                longest = longest.max(bench.time_turn());
            });
        });
        println!("the longest of them: {longest:?}");
    }
    group.finish();
}

fn subscribe_and_leave(c: &mut Criterion) {
    let mut hub = Hub::new(HubSettings {
        shard: ShardId(0),
        shards: 1,
        hash_key: (1, 2),
        epoch_seed: 3,
        topics_max: 10,
        patterns_max: 10,
        retained_len_max: 1_000,
        message_id_ttl_ms: 0,
        rules: Arc::default(),
    });
    let topic = hub.ensure(&TopicName::parse("px.AAPL").expect("a valid name"));
    for key in 0..1_000_000 {
        hub.attach(topic, SubscriberKey(key));
    }
    c.bench_function("attach_and_detach_in_1M", |b| {
        let mut place = 0;
        b.iter(|| {
            hub.attach(topic, SubscriberKey(7));
            place = (place + 7_919) % 1_000_000;
            black_box(hub.detach(topic, place))
        });
    });
    let mut bench = Bench::new(100_001);
    bench.open(100_000, "/raw/px.AAPL");
    let conn = bench.open(1, "/ws")[0];
    let operations = [r#"{"op":"sub","topics":["px.AAPL"]}"#, r#"{"op":"unsub","topics":["px.AAPL"]}"#];
    let frames = operations.map(rig::text).concat();
    c.bench_function("sub_and_unsub_by_json_in_100k", |b| b.iter(|| bench.say(conn, &frames)));
}

fn handshake(c: &mut Criterion) {
    c.bench_function("handshake_and_join", |b| {
        b.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            let mut left = count;
            while left > 0 {
                let batch = left.min(10_000) as u32;
                let mut bench = Bench::new(batch);
                let start = Instant::now();
                bench.open(batch, "/raw/px.AAPL");
                spent += start.elapsed();
                left -= u64::from(batch);
            }
            spent
        });
    });
}

criterion_group!(benches, fanout, memory_look, subscribe_and_leave, handshake);
criterion_main!(benches);
