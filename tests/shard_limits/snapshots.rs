//! Snapshots while the gateway goes on: bounded turns, a writer that is slow, each topic as it was at one moment.

use std::collections::HashMap;

use fanwire::command::{LastImage, Publication, TopicImage};
use fanwire::limits::{Limits, SNAPSHOT_PORTIONS_MAX, SNAPSHOT_TOPICS_PER_TURN};
use fanwire::mailbox::{Portion, Request, SnapshotNumber};

use crate::world::World;

const TOPICS: usize = 20_000;

fn publish(world: &mut World, round: usize) {
    let publisher = world.connect(round % 2);
    for first in (0..TOPICS).step_by(2_000) {
        let line = |n: usize| format!("{{\"topic\":\"t.{n}\",\"data\":\"{round} of {n}\"}}\n");
        let body: String = (first..first + 2_000).map(line).collect();
        let head = format!("POST /publish HTTP/1.1\r\nHost: sim\r\nContent-Length: {}\r\n\r\n", body.len());
        world.say(publisher, (head + &body).as_bytes());
        let heard = world.hear_for(publisher, 20);
        assert_eq!(heard.matches("\"offset\"").count(), 2_000, "{:.100}", heard);
    }
    world.net.close(publisher);
}

fn last_of(image: &TopicImage) -> &Publication {
    let LastImage::Apart(last) = &image.last else { panic!("a last value without a history: {image:?}") };
    last
}

fn check(portion: &Portion, topics: &mut HashMap<String, TopicImage>) {
    assert!(portion.topics.len() <= SNAPSHOT_TOPICS_PER_TURN);
    for image in &portion.topics {
        assert_eq!(last_of(image).position, image.position, "one moment of the topic");
        assert!(
            topics.insert(image.topic.as_str().to_owned(), image.clone()).is_none(),
            "{} is there twice",
            image.topic.as_str()
        );
    }
}

#[test]
fn every_topic_is_in_a_snapshot_once_however_slow_it_is_written() {
    let mut world = World::new(2, 1 << 20, Limits::default());
    publish(&mut world, 1);
    assert!(world.control.offer_all(|| Request::Snapshot { number: 7 }));
    world.pass_ms(1_000);
    // Nobody wrote: no more than the lane takes was handed over, and the shards went on.
    let (mut topics, mut ended) = (HashMap::new(), 0);
    let waiting: Vec<Portion> = world.portions.try_iter().collect();
    assert_eq!(waiting.len(), SNAPSHOT_PORTIONS_MAX);
    publish(&mut world, 2);
    let mut portions = waiting;
    while ended < 2 {
        for portion in portions.drain(..) {
            assert_eq!(portion.number, SnapshotNumber::Running(7));
            ended += usize::from(portion.is_last);
            check(&portion, &mut topics);
        }
        world.pass_ms(10);
        portions.extend(world.portions.try_iter().take(3));
    }
    assert_eq!((topics.len(), portions.len()), (TOPICS, 0));
    let offsets: Vec<u64> = topics.values().map(|image| image.position.offset).collect();
    assert!(offsets.contains(&1) && offsets.contains(&2), "some topics spoke while it was taken");
}

#[test]
fn a_snapshot_that_is_asked_for_anew_begins_anew() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    publish(&mut world, 0);
    for number in [1, 2] {
        assert!(world.control.offer_all(|| Request::Snapshot { number }));
        world.pass_ms(10);
    }
    let mut topics = HashMap::new();
    for _ in 0..100 {
        for portion in world.portions.try_iter().collect::<Vec<_>>() {
            if portion.number == SnapshotNumber::Running(2) {
                check(&portion, &mut topics);
            }
        }
        world.pass_ms(10);
    }
    assert_eq!(topics.len(), TOPICS);
}

#[test]
fn whoever_asks_too_often_leaves_room_for_the_shutdown() {
    let mut world = World::new(2, 1 << 20, Limits::default());
    let asked = (0..100).filter(|_| world.control.offer_all(|| Request::SnapshotEnded { is_written: false })).count();
    assert!((1..100).contains(&asked), "{asked}");
    assert!(world.control.tell_all(|| Request::Drain));
    world.pass_ms(100);
    assert!(world.control.offer_all(|| Request::SnapshotEnded { is_written: true }));
}
