//! Measures the costs in `limits/costs.rs`: makes 100,000 entries of each kind and compares the process's resident
//! memory. Nothing is freed before the end, so that no entry reuses the memory of another.

use std::sync::Arc;

use super::link::outbox::Outbox;
use super::session::catch_up::CatchUp;
use super::session::lag::{Lag, Terms};
use crate::buf::Segment;
use crate::command::{
    Epoch, Message, Mode, PayloadKind, Position, Publication, ShardId, Target, Terms as PublishTerms, TopicName,
};
use crate::hub::{Hub, HubSettings, TopicRule, TopicRules, TopicSettings};
use crate::limits::{
    CATCH_UP_ENTRY_COST, LAG_ENTRY_COST, LAG_KEY_COST, LAG_TOPIC_COST, MESSAGE_ID_COST, OUTBOX_COST, PUBLICATION_COST,
    REFERENCE_COST, SEGMENT_COST, TEXT_COST, TOPIC_COST,
};
use crate::time::MonoTime;

const COUNT: u64 = 100_000;

/// One huge page.
const PAGES_LEN: u64 = 2 * 1024 * 1024;

fn resident_len() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("it is Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number of pages") * 4096
}

/// Checks the cost of one entry; `len` bytes of it are counted elsewhere.
fn check<T>(what: &str, cost: usize, len: u64, make: impl FnOnce() -> T) {
    let before = resident_len();
    std::mem::forget(make());
    let measured = ((resident_len() - before) / COUNT).saturating_sub(len);
    println!("{what}: {measured} bytes measured, {cost} counted");
    // The kernel gives memory in huge pages: a part of the last page does not belong to the entries.
    let bound = cost as u64 + cost as u64 / 10 + PAGES_LEN / COUNT;
    assert!(measured <= bound, "{what} takes {measured} bytes, and counts as {cost}");
}

fn name(text: &str) -> TopicName {
    TopicName::parse(text).expect("a valid name")
}

fn publication(topic: &TopicName, offset: u64, key: Option<Box<str>>) -> Arc<Publication> {
    Arc::new(Publication {
        topic: topic.clone(),
        position: Position { epoch: Epoch(1), offset },
        prev: offset - 1,
        kind: PayloadKind::Text,
        payload: Box::from(*b"x"),
        key,
        origin: None,
        time: MonoTime::ZERO,
        extras: None,
    })
}

fn hub(history: u32) -> Hub {
    let pattern = Target::parse(">").expect("a pattern");
    let settings = TopicSettings { history, last: history > 0, ..TopicSettings::default() };
    Hub::new(HubSettings {
        shard: ShardId(0),
        shards: 1,
        hash_key: (1, 2),
        epoch_seed: 3,
        topics_max: 1 << 30,
        patterns_max: 1,
        retained_len_max: 1 << 40,
        message_id_ttl_ms: 1_000,
        rules: Arc::new(TopicRules::new(vec![TopicRule { pattern, settings }])),
    })
}

#[test]
fn entries_take_what_they_count() {
    let topic = name("a");
    let all: Vec<_> = (1..=COUNT).map(|offset| publication(&topic, offset, None)).collect();
    check("a publication with one byte", PUBLICATION_COST, 1, || {
        // The list itself does not count.
        let mut list = Vec::with_capacity(1);
        (1..=COUNT).for_each(|offset| list.push(publication(&topic, offset, None)));
        list
    });
    // The key's place in the list does not count.
    check("a key of 16 bytes", TEXT_COST, 16 + 16, || {
        let list: Vec<Box<str>> = (0..COUNT).map(|n| format!("{n:016}").into_boxed_str()).collect();
        list
    });
    check("an entry of a history with its publication", PUBLICATION_COST + REFERENCE_COST, 1, || {
        let mut hub = hub(u32::MAX);
        for _ in 0..COUNT {
            hub.publish(MonoTime::ZERO, &topic, Message::text(b"x")).expect("there is room");
        }
        hub
    });
    check("a topic", TOPIC_COST, 0, || {
        let mut hub = hub(0);
        for n in 0..COUNT {
            hub.publish(MonoTime::ZERO, &name(&format!("t.{n}")), Message::text(b"x")).expect("there is room");
        }
        hub
    });
    check("a message id of 16 bytes", MESSAGE_ID_COST, 16, || {
        let mut hub = hub(0);
        for n in 0..COUNT {
            let message_id = Some(format!("{n:016}").into_boxed_str());
            let terms = Some(Box::new(PublishTerms { message_id, ..PublishTerms::default() }));
            let message = Message { terms, ..Message::text(b"x") };
            hub.publish(MonoTime::ZERO, &topic, message).expect("there is room");
        }
        hub
    });
    let terms = Terms { mode: Mode::DropOldest, ..Terms::default() };
    check("a reference in a lag", LAG_ENTRY_COST, 0, || {
        let mut lag = Lag::default();
        all.iter().for_each(|publication| assert!(lag.push(publication, &terms, usize::MAX).is_ok()));
        lag
    });
    let keyed = |n: u64| publication(&name(&format!("k.{}", n / 1_000)), n + 1, Some(format!("{n:016}").into()));
    let keyed: Vec<_> = (0..COUNT).map(keyed).collect();
    check("a reference in a lag with a key of 16 bytes", LAG_ENTRY_COST + LAG_KEY_COST, 16, || {
        let (mut lag, terms) = (Lag::default(), Terms { mode: Mode::Latest, ..Terms::default() });
        keyed.iter().for_each(|publication| assert!(lag.push(publication, &terms, usize::MAX).is_ok()));
        lag
    });
    let topics: Vec<_> = (0..COUNT).map(|n| publication(&name(&format!("t.{n}")), 1, None)).collect();
    check("a topic in a lag, with one reference", LAG_TOPIC_COST + LAG_ENTRY_COST, 0, || {
        let mut lag = Lag::default();
        topics.iter().for_each(|publication| assert!(lag.push(publication, &terms, usize::MAX).is_ok()));
        lag
    });
    check("an entry of a catch-up", CATCH_UP_ENTRY_COST, 0, || {
        let mut catch_up = CatchUp::default();
        catch_up.hold(&all, usize::MAX);
        catch_up
    });
    let block = Segment::copy_of(&[0; 2]);
    check("an outbox with a piece", OUTBOX_COST + SEGMENT_COST, 0, || {
        let mut outboxes = Vec::new();
        for _ in 0..COUNT {
            let mut outbox = Outbox::default();
            outbox.push(block.clone(), usize::MAX).expect("it is empty");
            outboxes.push(outbox);
        }
        outboxes
    });
    check("a piece in an outbox", SEGMENT_COST, 0, || {
        let mut outbox = Outbox::default();
        (0..COUNT).for_each(|_| outbox.append(block.slice(0..1)));
        outbox
    });
}
