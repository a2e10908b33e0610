//! Publications that an engine numbers: a chain for every reader, whatever the engine loses, repeats or delays.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use fanwire::command::{Epoch, Message, NotTaken, Peer, Position, Publication, ShardId, Taken, TopicName};
use fanwire::driver::sim::PeerId;
use fanwire::hub::home_of;
use fanwire::limits::Limits;
use fanwire::mailbox::{Answer, EngineBox, Mail, Outgoing, Request};
use fanwire::time::MonoTime;

use crate::world::{HASH_KEY, World, get, post};

/// An engine as a value, with a log of its own. It acknowledges what it is sent at once, under offsets with holes; the
/// homes get it later, twice, or only when they tell a break.
struct Engine {
    mailbox: EngineBox,
    outgoing: Outgoing,
    shards: usize,
    rng: fastrand::Rng,
    log: BTreeMap<TopicName, Vec<Arc<Publication>>>,
    /// On its way to its home: after so many steps.
    late: Vec<(u32, Arc<Publication>)>,
    /// Steps that a publication is on its way, at most.
    delay: u32,
    /// Whether publications are lost or sent twice.
    is_faulty: bool,
    breaks: u32,
    /// Shards that wait for a fence.
    waiting: Vec<Peer>,
    /// Fences of its own that are not answered, and whether a break was told meanwhile.
    fences: Option<(usize, bool)>,
    drained: usize,
}

const EPOCH: Epoch = Epoch(0xe4_617e);

impl Engine {
    fn new(mailbox: EngineBox, shards: usize, seed: u64, delay: u32, is_faulty: bool) -> Self {
        Self {
            mailbox,
            outgoing: Outgoing::default(),
            shards,
            rng: fastrand::Rng::with_seed(seed),
            log: BTreeMap::new(),
            late: Vec::new(),
            delay,
            is_faulty,
            breaks: 0,
            waiting: Vec::new(),
            fences: None,
            drained: 0,
        }
    }

    fn step(&mut self) {
        let mut mails = Vec::new();
        self.mailbox.drain(usize::MAX, |from, mail| {
            mails.push((from, mail));
            ControlFlow::Continue(())
        });
        for (from, mail) in mails {
            match mail {
                Mail::Request(Request::Publish { topic, message, ticket }) => {
                    self.number(from, &topic, message, ticket)
                }
                Mail::Request(Request::Fence) => self.waiting.push(from),
                Mail::Request(Request::Drained) => self.drained += 1,
                Mail::Answer(Answer::NotTaken { topic, cause: NotTaken::Break { held } }) => self.fill(&topic, held),
                Mail::Answer(Answer::Fenced) => self.note_fenced(),
                other => panic!("{other:?} is not for an engine"),
            }
        }
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(steps, _)| *steps == 0);
        self.late = late;
        self.late.iter_mut().for_each(|(steps, _)| *steps -= 1);
        let due: Vec<(u32, Arc<Publication>)> = due;
        due.into_iter().for_each(|(_, publication)| self.send(publication));
        if !self.waiting.is_empty() && self.fences.is_none() && self.late.is_empty() {
            self.send_newest();
            self.fences = Some((self.shards, false));
            (0..self.shards).for_each(|shard| self.outgoing.ask(ShardId(shard as u8), Request::Fence));
        }
        let _woken = self.mailbox.post(&mut self.outgoing);
    }

    fn number(&mut self, from: Peer, topic: &TopicName, message: Message, ticket: Option<u32>) {
        let log = self.log.entry(topic.clone()).or_default();
        let prev = log.last().map_or(0, |last| last.position.offset);
        let position = Position { epoch: EPOCH, offset: prev + self.rng.u64(1..9) };
        let Message { kind, payload, key, origin, extras, terms: _ } = message;
        let (topic, time) = (topic.clone(), MonoTime::ZERO);
        let publication = Arc::new(Publication { topic, position, prev, kind, payload, key, origin, time, extras });
        log.push(Arc::clone(&publication));
        if let Some(ticket) = ticket {
            self.outgoing
                .answer(from, Answer::Published { ticket, result: Ok(Taken { position, is_duplicate: false }) });
        }
        let copies = if self.is_faulty { [0, 1, 1, 1, 2][self.rng.usize(0..5)] } else { 1 };
        for _ in 0..copies {
            let steps = if self.is_faulty { self.rng.u32(0..=self.delay) } else { self.delay };
            self.late.push((steps, Arc::clone(&publication)));
        }
    }

    fn send(&mut self, publication: Arc<Publication>) {
        let home = home_of(HASH_KEY, self.shards, publication.topic.as_str());
        self.outgoing.ask(home, Request::Take(publication));
    }

    /// Sends all behind what a home holds.
    fn fill(&mut self, topic: &TopicName, held: Position) {
        self.breaks += 1;
        assert!(held.epoch == EPOCH || held.offset == 0, "{held} is no position of this engine");
        let behind = |publication: &&Arc<Publication>| publication.position.offset > held.offset;
        let missing: Vec<_> = self.log[topic].iter().filter(behind).cloned().collect();
        missing.into_iter().for_each(|publication| self.send(publication));
        self.fences = self.fences.map(|(left, _)| (left, true));
    }

    /// A chain does not show that its last publication is missing.
    fn send_newest(&mut self) {
        let newest: Vec<_> = self.log.values().filter_map(|log| log.last().cloned()).collect();
        newest.into_iter().for_each(|publication| self.send(publication));
    }

    fn note_fenced(&mut self) {
        let (left, has_broken) = self.fences.take().expect("it was asked for");
        if left > 1 {
            self.fences = Some((left - 1, has_broken));
        } else if !has_broken {
            let waiting = std::mem::take(&mut self.waiting);
            waiting.into_iter().for_each(|shard| self.outgoing.answer(shard, Answer::Fenced));
        }
    }
}

/// What a reader was told of a topic: the offset before, the offset, the payload.
fn pushes(heard: &str, topic: &str) -> Vec<(u64, u64, String)> {
    let number = |text: &str, name: &str| {
        let digits = text.split_once(name)?.1;
        digits[..digits.find([',', '}'])?].parse::<u64>().ok()
    };
    let of_topic = heard.split("{\"t\":\"").skip(1).filter_map(|push| push.split_once('"'));
    of_topic
        .filter(|(name, _)| *name == topic)
        .map(|(_, rest)| {
            let (head, data) = rest.split_once("\"d\":\"").expect("it has a payload");
            let offset = number(head, "\"o\":").expect("it has an offset");
            let payload = data[..data.find('"').expect("it ends")].to_owned();
            (number(head, "\"p\":").unwrap_or(offset - 1), offset, payload)
        })
        .collect()
}

fn publish(world: &mut World, peer: PeerId, topic: &str, payload: &str) {
    world.say_text(peer, &format!(r#"{{"op":"pub","topic":"{topic}","data":"{payload}"}}"#));
}

/// One run; returns breaks told and repeats dropped.
fn check(seed: u64) -> (u32, u64) {
    let (mut world, mailbox) = World::with_engine(2, Limits::default());
    let mut engine = Engine::new(mailbox, 2, seed, 4, true);
    let mut rng = fastrand::Rng::with_seed(!seed);
    let topics: Vec<String> = [0, 1].map(|shard| world.topics_at(shard).next().expect("there are names")).into();
    let mut readers = Vec::new();
    for shard in [0, 1] {
        let names = world.upgrade(shard, "/ws");
        world.say_text(names, &format!(r#"{{"op":"sub","topics":["{}","{}"]}}"#, topics[0], topics[1]));
        let pattern = world.upgrade(shard, "/ws");
        world.say_text(pattern, r#"{"op":"sub","topics":["t.*"]}"#);
        readers.extend([(names, String::new()), (pattern, String::new())]);
    }
    world.turns(4);
    let publishers = [0, 1].map(|shard| world.upgrade(shard, "/ws"));
    for n in 0..40 {
        publish(&mut world, publishers[rng.usize(0..2)], &topics[rng.usize(0..2)], &n.to_string());
        for _ in 0..rng.usize(0..4) {
            world.turn_of(rng.usize(0..2));
            engine.step();
        }
    }
    // What waits for a fence has all that was acknowledged.
    engine.waiting.push(Peer::Shard(ShardId(0)));
    for _ in 0..200 {
        world.turns(1);
        engine.step();
    }
    assert!(engine.waiting.is_empty(), "the fence was answered");
    readers.iter_mut().for_each(|(peer, heard)| heard.push_str(&world.hear(*peer)));
    for topic in &topics {
        let log = &engine.log[&TopicName::parse(topic).expect("a valid name")];
        let text = |it: &Arc<Publication>| String::from_utf8_lossy(&it.payload).trim_matches('"').to_owned();
        let wanted: Vec<_> = log.iter().map(|it| (it.prev, it.position.offset, text(it))).collect();
        for (_, heard) in &readers {
            assert_eq!(pushes(heard, topic), wanted, "seed {seed}, {topic}");
        }
    }
    (engine.breaks, [0, 1].map(|shard| world.measure(shard).duplicates).iter().sum())
}

#[test]
fn readers_see_a_chain_whatever_the_engine_loses_repeats_or_delays() {
    let (mut breaks, mut repeats) = (0, 0);
    for seed in 0..60 {
        let (told, dropped) = check(seed);
        breaks += told;
        repeats += dropped;
    }
    assert!(breaks > 60 && repeats > 60, "{breaks} breaks were told, {repeats} repeats dropped");
}

#[test]
fn a_reader_comes_back_to_a_position_of_the_engine() {
    let (mut world, mailbox) = World::with_engine(2, Limits::default());
    let mut engine = Engine::new(mailbox, 2, 1, 0, false);
    let topic = world.topics_at(1).next().expect("there are names");
    let publisher = world.connect(0);
    let mut position = String::new();
    for payload in ["one", "two"] {
        position = engine.log.values().flatten().last().map_or(String::new(), |last| last.position.to_string());
        world.say(publisher, post(&topic, payload).as_bytes());
        for _ in 0..4 {
            world.turns(1);
            engine.step();
        }
        assert!(world.hear(publisher).starts_with("HTTP/1.1 200"), "the engine acknowledged it");
    }
    let reader = world.connect(0);
    world.say(reader, get(&format!("/poll?topic={topic}&since={position}")).as_bytes());
    let heard = world.hear_for(reader, 4);
    assert!(heard.contains("two") && !heard.contains("one"), "what was said behind {position}: {heard}");
}

/// Fault: the shards' fences are all that a shutdown waits for, while what the engine acknowledged is on its way to a home.
#[test]
fn what_the_engine_acknowledged_is_heard_before_the_farewell() {
    for (delay, is_faulty) in [(0, false), (6, false), (6, true)] {
        for home in [0, 1] {
            let (mut world, mailbox) = World::with_engine(2, Limits::default());
            let mut engine = Engine::new(mailbox, 2, 5, delay, is_faulty);
            let topic = world.topics_at(home).next().expect("there are names");
            let reader = world.upgrade(1, &format!("/raw/{topic}?last=0"));
            world.turns(4);
            let publisher = world.connect(0);
            world.say(publisher, post(&topic, "the last word").as_bytes());
            world.turns(1);
            engine.step();
            world.drain();
            let mut heard = String::new();
            for _ in 0..40 {
                world.net.advance_ms(10);
                world.turns(1);
                engine.step();
                heard.push_str(&world.hear(reader));
            }
            assert!(world.hear(publisher).starts_with("HTTP/1.1 200"), "it is acknowledged");
            let message = heard.find("the last word").unwrap_or_else(|| panic!("it is missing: {heard}"));
            assert!(heard.find("retry_ms=").is_some_and(|farewell| message < farewell), "{heard}");
            [reader, publisher].into_iter().for_each(|peer| world.net.close(peer));
            world.pass_ms(100);
            engine.step();
            assert!(world.is_drained() && engine.drained == 2, "the engine knows that nobody is left");
            assert!(!engine.mailbox.is_abandoned());
            drop(world);
            assert!(engine.mailbox.is_abandoned());
        }
    }
}

/// Fault: an engine that does not answer keeps the shards from ending.
#[test]
fn an_engine_that_is_stuck_does_not_hold_up_a_shutdown_for_ever() {
    let limits = Limits { drain_timeout_ms: 500, ..Limits::default() };
    let (mut world, _mailbox) = World::with_engine(2, limits);
    let reader = world.upgrade(0, "/raw/t?last=0");
    world.drain();
    world.pass_ms(300);
    assert!(!world.hear(reader).contains("retry_ms="), "it may still have something for the reader");
    world.pass_ms(400);
    assert!(world.is_drained());
}

/// Fault: the engine's lanes do not count where a shard asks whether it is congested.
#[test]
fn a_publisher_is_not_read_from_while_the_engine_takes_nothing() {
    let (mut world, mailbox) = World::with_engine(1, Limits::default());
    let mut engine = Engine::new(mailbox, 1, 9, 0, false);
    let publisher = world.upgrade(0, "/ws");
    let one = format!(r#"{{"op":"pub","topic":"t","data":"{}"}}"#, "x".repeat(100_000));
    let (mut said, mut is_full) = (0, false);
    while !is_full && said < 2_000 {
        is_full = world.net.write(publisher, &crate::world::text_frame(&one)) < one.len();
        said += 1;
        world.turns(1);
    }
    assert!(is_full, "its kernel has no room any more");
    for _ in 0..100 {
        engine.step();
        world.turns(1);
    }
    assert!(engine.log.values().map(Vec::len).sum::<usize>() >= said - 1, "all of it arrives once the engine takes it");
    assert_eq!(world.depth(0), 0);
}
