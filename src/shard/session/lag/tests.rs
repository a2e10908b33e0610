//! Tests of the messages that each mode keeps, of the order of topics, and of rates.

use super::*;
use crate::command::{Epoch, PayloadKind, Position};
use crate::limits::{PUBLICATION_COST, TEXT_COST};

/// The memory of a publication of these tests.
const ITEM: usize = PUBLICATION_COST + LAG_ENTRY_COST + 84;
/// Room for more than the tests say.
const ROOM: usize = 2 * LAG_TOPIC_COST + 10 * ITEM;
const NOW: MonoTime = MonoTime::from_nanos(10_000_000_000);

fn publication(topic: &str, offset: u64, key: Option<&str>) -> Arc<Publication> {
    Arc::new(Publication { key: key.map(Box::from), ..copy(topic, offset) })
}

fn copy(topic: &str, offset: u64) -> Publication {
    Publication {
        topic: TopicName::parse(topic).expect("a valid name"),
        position: Position { epoch: Epoch(1), offset },
        prev: offset.saturating_sub(1),
        kind: PayloadKind::Text,
        payload: [b'x'; 84].into(),
        key: None,
        origin: None,
        time: MonoTime::ZERO,
        extras: None,
    }
}

fn drain(lag: &mut Lag) -> Vec<(String, u64, u64)> {
    let item = |item: Item| (item.topic.as_str().to_owned(), item.offset, item.skipped);
    std::iter::from_fn(|| lag.pop(NOW, NOW)).map(item).collect()
}

fn push(lag: &mut Lag, publication: &Arc<Publication>, mode: Mode, len_max: usize) {
    lag.push(publication, &Terms { mode, ..Terms::default() }, len_max).expect("these modes drop");
}

fn row(topic: &str, offset: u64, skipped: u64) -> (String, u64, u64) {
    (topic.to_owned(), offset, skipped)
}

#[test]
fn latest_keeps_the_newest_of_each_topic_and_key() {
    let mut lag = Lag::default();
    for offset in 5..100 {
        push(&mut lag, &publication("a", offset, None), Mode::Latest, ROOM);
    }
    push(&mut lag, &publication("b", 1, Some("x")), Mode::Latest, ROOM);
    push(&mut lag, &publication("b", 2, Some("y")), Mode::Latest, ROOM);
    push(&mut lag, &publication("b", 3, Some("x")), Mode::Latest, ROOM);
    assert_eq!(lag.len(), 2 * LAG_TOPIC_COST + 3 * ITEM + 2 * (TEXT_COST + 1));
    assert_eq!(drain(&mut lag), [row("a", 99, 94), row("b", 2, 1), row("b", 3, 0)]);
    assert_eq!((lag.is_empty(), lag.len), (true, 0));
}

#[test]
fn drop_oldest_keeps_what_fits_and_the_newest_of_every_topic() {
    let mut lag = Lag::default();
    let len_max = 2 * LAG_TOPIC_COST + 3 * ITEM;
    for offset in 1..=10 {
        push(&mut lag, &publication("a", offset, None), Mode::DropOldest, len_max);
    }
    push(&mut lag, &publication("b", 1, None), Mode::DropOldest, len_max);
    assert_eq!(lag.len(), len_max);
    assert_eq!(drain(&mut lag), [row("a", 9, 8), row("b", 1, 0), row("a", 10, 0)]);
}

#[test]
fn many_keys_are_found_without_looking_through_all() {
    let seed = 0x5eed_0031;
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut lag = Lag::default();
    let topic = TopicName::parse("a").expect("a valid name");
    let (mut epoch, mut offset) = (1, 0);
    // What is to wait, the oldest first.
    let mut model: Vec<(Position, Option<String>)> = Vec::new();
    for step in 0..20_000 {
        offset += 1;
        if step % 3_000 == 2_999 {
            // The topic has ended, and counts anew.
            (epoch, offset) = (epoch + 1, 1);
        }
        let key = rng.u8(0..20).gt(&0).then(|| rng.u32(0..1_200).to_string());
        let position = Position { epoch: Epoch(epoch), offset };
        let next = Publication { key: key.clone().map(String::into_boxed_str), position, ..copy("a", offset) };
        let mode = if rng.u8(0..10) == 0 { Mode::DropOldest } else { Mode::Latest };
        push(&mut lag, &Arc::new(next), mode, usize::MAX);
        if mode == Mode::Latest {
            let newest = model.iter().rposition(|(_, other)| *other == key);
            if let Some(at) = newest.or((model.len() >= LATEST_KEYS_MAX).then_some(0)) {
                model.remove(at);
            }
        }
        model.push((position, key));
        for _ in 0..rng.usize(0..3) * usize::from(step % 400 < 200) {
            let taken = lag.pop(NOW, NOW).and_then(|item| item.publication);
            assert_eq!(taken.map(|taken| taken.position), (!model.is_empty()).then(|| model.remove(0).0));
        }
        let Some(kept) = lag.topics.get(&topic) else { continue };
        assert_eq!(kept.items.len(), model.len());
        if let Some(keys) = &kept.keys {
            assert!(kept.items.len() > LATEST_KEYS_INDEXED / 2);
            assert!(keys.len() <= kept.items.len());
        } else {
            assert!(kept.items.len() <= LATEST_KEYS_INDEXED + 8, "{} are looked through", kept.items.len());
        }
        let keys_len = kept.keys.iter().flat_map(|keys| keys.keys()).map(key_cost).sum::<usize>();
        assert_eq!(kept.len, kept.items.iter().map(cost).sum::<usize>() + keys_len);
    }
    assert!(lag.topics[&topic].keys.is_some(), "there are many in the end");
    lag.forget_topic(&topic);
    assert_eq!((lag.is_empty(), lag.len), (true, 0));
}

#[test]
fn the_counts_stay_true_whatever_comes_and_goes() {
    let seed = 0x5eed_0005;
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut lag = Lag::default();
    let len_max = 50 * LAG_TOPIC_COST + 60 * ITEM;
    for offset in 1..20_000 {
        let topic = format!("t.{}", rng.u8(0..50));
        match rng.u8(0..20) {
            0 => lag.forget_topic(&TopicName::parse(&topic).expect("a valid name")),
            1 => lag.retain(|topic| topic.as_str().len() % 2 == 0),
            2..6 => drop(lag.pop(NOW, NOW)),
            roll => {
                let mode = if roll < 12 { Mode::Latest } else { Mode::DropOldest };
                push(&mut lag, &publication(&topic, offset, None), mode, len_max);
            }
        }
        let items = || lag.topics.values().flat_map(|topic| &topic.items);
        assert_eq!(lag.len, lag.topics.len() * LAG_TOPIC_COST + items().map(cost).sum::<usize>());
        assert!(lag.len <= len_max, "fifty, and ten more, fit");
        let crowded: BTreeSet<_> = lag.topics.iter().map(|(topic, lag)| (lag.items.len(), topic.clone())).collect();
        assert_eq!(lag.crowded, crowded.into_iter().filter(|(count, _)| *count > 1).collect());
        assert!(lag.turns.len() <= 2 * lag.topics.len().max(50) + TURNS_SPARE + 1);
    }
    drain(&mut lag);
    assert!(lag.is_empty() && lag.len == 0 && lag.turns.is_empty() && lag.crowded.is_empty());
}

#[test]
fn topics_take_turns() {
    let mut lag = Lag::default();
    for offset in 1..=3 {
        push(&mut lag, &publication("busy", offset, None), Mode::DropOldest, ROOM);
    }
    push(&mut lag, &publication("calm", 1, None), Mode::DropOldest, ROOM);
    assert_eq!(drain(&mut lag), [row("busy", 1, 0), row("calm", 1, 0), row("busy", 2, 0), row("busy", 3, 0)]);
}

fn rated(key: u32, per_second: f64) -> Option<(LaneKey, Rate)> {
    let target = TargetId::topic(crate::hub::TopicId(key));
    Some((LaneKey::Subscription(target), Rate::per_second(per_second).expect("a rate")))
}

/// How many items each of so many milliseconds brings.
fn pops(lag: &mut Lag, from_ms: u64, count: u64) -> Vec<usize> {
    let at = |ms| MonoTime::from_nanos(ms * 1_000_000);
    (from_ms..from_ms + count).map(|ms| std::iter::from_fn(|| lag.pop(at(ms), at(ms))).count()).collect()
}

#[test]
fn a_lane_lets_one_through_in_each_slot_and_is_forgotten_once_it_has_cooled_down() {
    let mut lag = Lag::default();
    let terms = Terms { mode: Mode::DropOldest, rate: rated(1, 500.0), ..Terms::default() };
    for offset in 1..=3 {
        lag.push(&publication("a", offset, None), &terms, ROOM).expect("it drops");
    }
    assert_eq!(pops(&mut lag, 100, 8), [1, 0, 1, 0, 1, 0, 0, 0]);
    assert!(lag.is_empty() && lag.next_due().is_none());
}

#[test]
fn a_topic_with_a_rate_of_its_own_waits_for_that_of_its_subscription_too() {
    let mut lag = Lag::default();
    for (topic, key) in [("a", 2), ("b", 3)] {
        let terms =
            Terms { mode: Mode::DropOldest, rate: rated(key, 500.0), outer: rated(1, 250.0), ..Terms::default() };
        for offset in 1..=2 {
            lag.push(&publication(topic, offset, None), &terms, ROOM).expect("it drops");
        }
    }
    assert_eq!(pops(&mut lag, 100, 20).into_iter().filter(|count| *count > 0).count(), 4, "one each four");
    assert!(pops(&mut lag, 120, 10).iter().all(|count| *count == 0));
    assert!(lag.is_empty());
}

#[test]
fn a_topic_whose_rate_is_lifted_goes_on_at_once_and_in_order() {
    let mut lag = Lag::default();
    let terms = Terms { mode: Mode::DropOldest, rate: rated(1, 1.0), ..Terms::default() };
    for offset in 1..=3 {
        lag.push(&publication("a", offset, None), &terms, ROOM).expect("it drops");
    }
    assert_eq!(pops(&mut lag, 100, 3), [1, 0, 0]);
    lag.push(&publication("a", 4, None), &Terms::default(), ROOM).expect("there is room");
    assert_eq!(pops(&mut lag, 103, 1), [3]);
}

#[test]
fn what_is_too_old_is_let_go_from_the_oldest_on() {
    let mut lag = Lag::default();
    let terms = Terms { mode: Mode::DropOldest, max_age_ms: 50, ..Terms::default() };
    for offset in 1..=4 {
        let said = Publication { time: MonoTime::from_nanos(offset * 40_000_000), ..copy("a", offset) };
        lag.push(&Arc::new(said), &terms, ROOM).expect("it drops");
    }
    let now = MonoTime::from_nanos(165_000_000);
    let item = lag.pop(now, now).expect("the third is young");
    assert_eq!((item.offset, item.skipped, item.expired), (3, 2, 2));
    let later = MonoTime::from_nanos(300_000_000);
    let item = lag.pop(later, later).expect("what is let go is told");
    assert_eq!((item.publication, item.offset, item.skipped, item.expired), (None, 5, 1, 1));
    assert!(lag.pop(later, later).is_none() && lag.is_empty());
}

#[test]
fn what_a_reader_has_come_to_wait_for_is_not_dropped_for_anything_else() {
    let mut lag = Lag::default();
    push(&mut lag, &publication("a", 1, None), Mode::DropOldest, ROOM);
    for offset in 2..=4 {
        push(&mut lag, &publication("a", offset, None), Mode::Queue, ROOM);
    }
    for offset in 1..=3 {
        push(&mut lag, &publication("b", offset, None), Mode::DropOldest, 2 * LAG_TOPIC_COST + 6 * ITEM);
    }
    assert_eq!(lag.keep_newest(), 1, "of b, which had two left");
    assert_eq!(drain(&mut lag), [row("a", 1, 0), row("b", 3, 2), row("a", 2, 0), row("a", 3, 0), row("a", 4, 0)]);
    assert!(lag.crowded.is_empty());
}

#[test]
fn a_reader_that_waits_for_everything_is_full_at_its_bound() {
    let mut lag = Lag::default();
    lag.push(&publication("a", 1, None), &Terms::default(), LAG_TOPIC_COST + ITEM).expect("there is room");
    assert_eq!(lag.push(&publication("a", 2, None), &Terms::default(), LAG_TOPIC_COST + ITEM), Err(Full));
}

#[test]
fn what_others_keep_as_well_counts_in_equal_parts() {
    let publications: Vec<_> = (1..=1_000).map(|offset| publication("a", offset, None)).collect();
    let mut lags: Vec<Lag> = std::iter::repeat_with(Lag::default).take(9).collect();
    for lag in &mut lags {
        publications.iter().for_each(|publication| push(lag, publication, Mode::DropOldest, 1_000 * ROOM));
    }
    let shares: usize = lags.iter().map(Lag::own_len).sum();
    let references = 9 * (LAG_TOPIC_COST + 1_000 * LAG_ENTRY_COST);
    // The tenth that keeps them is the test itself.
    let once = references + 1_000 * (ITEM - LAG_ENTRY_COST) * 9 / 10;
    assert!(shares.abs_diff(once) < once / 50, "{shares} and not {once}");
    drop(publications);
    let lag = lags.pop().expect("one of nine");
    drop(lags);
    assert!(lag.own_len().abs_diff(lag.len()) < lag.len() / 50, "the last has all of it");
}
