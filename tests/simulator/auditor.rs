//! The invariants of every run: a naive model of topics, fed with the messages that peers sent and received.
//!
//! A payload is `[publisher, number]`, with something behind it here and there, so that each is said once and its publisher's order can be seen.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use fanwire::command::Target;
use fanwire::driver::sim::PeerId;
use serde_json::Value;

use crate::carried::{Carried, ENDING, FORGETTING, Hole, life};
use crate::followers::POLL_KEPT;
use crate::peers::{Heard, Part, Peer};

#[derive(Debug, Default)]
pub struct Auditor {
    pub(super) notes: HashMap<PeerId, Notes>,
    /// By topic: offset to payload, as far as anybody learned of it.
    pub(super) log: BTreeMap<String, BTreeMap<u64, String>>,
    pub(super) carried: Carried,
    numbers: u64,
    /// Publications that a topic kept at all times.
    history: u64,
    /// The same for a topic that is polled.
    pub(super) history_of_polls: u64,
    /// Whether a shard may hold so little that histories are cut and connections closed for it.
    pub(super) is_bounded: bool,
    pub complete_readers: u64,
    pub goodbyes: u64,
    pub resumed: u64,
    /// Readers over HTTP that came back.
    pub returns: u64,
    /// Messages in answers to polls.
    pub polled: u64,
    pub presences: u64,
    /// Raw readers that wait for everything and were still there at the end.
    pub raw_readers: u64,
    /// Those of whose messages too little was known to hold them against anything.
    pub raw_unknown: u64,
}

/// The known state of one peer.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub has_left: bool,
    /// Operations and requests that are not answered.
    pub asked: VecDeque<(u64, Asked)>,
    pub targets: BTreeSet<String>,
    /// By topic: the last offset that it heard.
    pub heard: HashMap<String, u64>,
    /// By topic: offsets with which a new run may begin, because a subscription was just made.
    pub may_begin: HashMap<String, Begin>,
    /// By topic: the epoch and offset at which it was left.
    left_at: HashMap<String, (String, u64)>,
    pub epochs: HashMap<String, String>,
    /// The messages of a raw reader, in order.
    pub payloads: Vec<String>,
    pub own: BTreeSet<String>,
    /// What it published and does not want to get.
    pub excepted: BTreeSet<String>,
    /// What it was not told of.
    pub holes: Vec<Hole>,
    /// Topics in which it last heard what may be an older last value.
    pub behind_last: BTreeSet<String>,
    /// By topic: the offset behind which it waits for everything, whatever it asked for before.
    waits: HashMap<String, u64>,
    /// By topic: the last offset that a gap said was skipped.
    pub told: HashMap<String, u64>,
    /// Up to which offset the last value of that topic was forgotten when the peer came.
    pub forgotten_before: u64,
    /// By subscription that is not answered: up to which offset the topic's last value was forgotten before.
    forgotten: HashMap<u64, u64>,
    next_id: u64,
    has_bye: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// With the offset that it was resumed from, if it was, and whether it waits for everything.
    Subscribe(String, Option<u64>, bool),
    /// A last value is forgotten.
    Forget(String),
    /// A topic ends.
    End,
    Unsubscribe(String),
    /// The answer to this subscription comes behind that to its end.
    Left,
    Publish {
        topic: String,
        payload: String,
    },
    /// With the position from which it polls, if it has one.
    Poll(Option<String>),
    /// Topics and payloads, one a line.
    Batch(Vec<(String, String)>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    /// The topic stood here when it was joined: a last value that is not forgotten comes again, or what follows it.
    At {
        joined: u64,
        forgotten: u64,
    },
    Anywhere,
}

/// Topics of a flood, `big.0` and so on: nobody follows one by name.
pub const FLOOD_TOPICS: usize = 64;
/// How many of the first targets are names.
const NAMES: usize = 4;
const TARGETS: [&str; 9] = ["t.0", "t.1", "t.2", ENDING, "t.*", "t.>", ">", "u.0", "*.1"];

impl Auditor {
    /// Of topics that keep so many publications.
    pub fn new(history: u64, is_bounded: bool) -> Self {
        let mut auditor = Self { history: u64::MAX, history_of_polls: POLL_KEPT, is_bounded, ..Self::default() };
        auditor.note_history(history);
        auditor
    }

    /// Topics keep so many publications from now on.
    pub fn note_history(&mut self, history: u64) {
        self.history = self.history.min(history);
        self.history_of_polls = self.history_of_polls.min(if history == 0 { POLL_KEPT } else { history });
    }

    pub fn enter(&mut self, peer: &Peer) {
        let forgotten_before = self.forgotten(FORGETTING);
        self.notes.insert(peer.id, Notes { forgotten_before, ..Notes::default() });
        self.enter_follower(peer);
    }

    pub fn note_left(&mut self, peer: PeerId) {
        self.notes.entry(peer).or_default().has_left = true;
    }

    fn payload(&mut self, peer: &Peer) -> String {
        self.numbers += 1;
        let number = self.numbers;
        // Some have something that can be compressed.
        let filler = if number.is_multiple_of(5) { format!(",\"{}\"", "ha".repeat(60)) } else { String::new() };
        let payload = format!("[\"{:?}\",{number}{filler}]", peer.id);
        self.notes.entry(peer.id).or_default().own.insert(payload.clone());
        payload
    }

    pub fn publish_raw(&mut self, peer: &mut Peer, rng: &mut fastrand::Rng) {
        for _ in 0..rng.usize(0..4) {
            let payload = self.payload(peer);
            let pieces = rng.usize(1..4);
            peer.say(&payload, rng, pieces);
        }
    }

    pub fn publish_json(&mut self, peer: &mut Peer, rng: &mut fastrand::Rng) {
        for _ in 0..rng.usize(0..4) {
            let payload = self.payload(peer);
            let topic = format!("t.{}", rng.u8(0..3));
            let id = self.ask(peer, Asked::Publish { topic: topic.clone(), payload: payload.clone() });
            let carried = self.carry(peer.id, &topic, &payload, true, rng);
            let carried: String = carried.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
            // Some are large, so that outboxes fill.
            let pad = " ".repeat(if rng.u8(0..8) == 0 { rng.usize(0..4_000) } else { 0 });
            let text = format!("{{\"op\":\"pub\",\"topic\":\"{topic}\",\"data\":{payload}{carried},\"id\":{id}{pad}}}");
            let pieces = rng.usize(1..3);
            peer.say(&text, rng, pieces);
        }
    }

    pub fn publish_http(&mut self, peer: &mut Peer, rng: &mut fastrand::Rng) {
        for _ in 0..rng.usize(0..4) {
            if rng.u8(0..4) == 0 {
                self.publish_batch(peer, rng);
                continue;
            }
            if rng.u8(0..8) == 0 {
                self.delete(peer, rng);
                continue;
            }
            let payload = self.payload(peer);
            let topic = if rng.u8(0..6) == 0 { ENDING.to_owned() } else { format!("t.{}", rng.u8(0..3)) };
            self.ask(peer, Asked::Publish { topic: topic.clone(), payload: payload.clone() });
            let carried = self.carry(peer.id, &topic, &payload, false, rng);
            let field = |(name, value): &(&str, String)| match *name {
                "last" => "Fanwire-Last: 0\r\n".to_owned(),
                _ => format!("Fanwire-Event: {}\r\n", value.trim_matches('"')),
            };
            let carried: String = carried.iter().map(field).collect();
            // Some come twice under one id, and must be said once.
            let repeats = rng.u8(0..6) == 0;
            let id = if repeats { format!("Fanwire-Id: {}\r\n", self.numbers) } else { String::new() };
            let head = format!("POST /publish/{topic} HTTP/1.1\r\nHost: sim\r\n{id}{carried}");
            let request = if rng.bool() {
                format!("{head}Content-Length: {}\r\n\r\n{payload}", payload.len())
            } else {
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{payload}\r\n0\r\n\r\n", payload.len())
            };
            peer.say_bytes(request.as_bytes());
            if repeats {
                self.ask(peer, Asked::Publish { topic, payload });
                peer.say_bytes(request.as_bytes());
            }
        }
    }

    fn publish_batch(&mut self, peer: &mut Peer, rng: &mut fastrand::Rng) {
        let count = if rng.u8(0..8) == 0 { rng.usize(0..100) } else { rng.usize(0..6) };
        let (mut lines, mut body) = (Vec::new(), String::new());
        for _ in 0..count {
            let (topic, data) = (format!("t.{}", rng.u8(0..3)), self.payload(peer));
            let carried = self.carry(peer.id, &topic, &data, false, rng);
            let carried: String = carried.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
            body += &format!("{{\"topic\":\"{topic}\",\"data\":{data}{carried}}}\n");
            lines.push((topic, data));
        }
        self.ask(peer, Asked::Batch(lines));
        let head = format!("POST /publish HTTP/1.1\r\nHost: sim\r\nContent-Length: {}\r\n\r\n", body.len());
        peer.say_bytes((head + &body).as_bytes());
    }

    pub fn subscribe(&mut self, peer: &mut Peer, rng: &mut fastrand::Rng) {
        // Every other reader follows names only, so that it can leave a topic and come back to it.
        let count = if peer.is_even() { NAMES } else { TARGETS.len() };
        let target = TARGETS[rng.usize(0..count)].to_owned();
        if target == ENDING && !peer.is_even() {
            // By a pattern too, which does not tell the lives of a topic apart.
            return;
        }
        let notes = self.notes.entry(peer.id).or_default();
        let is_busy = notes.asked.iter().any(|(_, asked)| match asked {
            Asked::Subscribe(other, ..) | Asked::Unsubscribe(other) => *other == target,
            _ => false,
        });
        if is_busy {
            return;
        }
        let Part::Json { mode, pace } = peer.part else { panic!("only the dialect subscribes") };
        let is_name = TARGETS[..NAMES].contains(&target.as_str());
        let mut leaves = notes.targets.contains(&target);
        if leaves && mode == "mixed" && is_name && rng.u8(0..4) > 0 {
            // The remaining messages of the topic now come in another way.
            leaves = false;
        } else if leaves && rng.u8(0..3) == 0 {
            return;
        }
        notes.waits.remove(&target);
        // A topic that nothing else covers is resumed where it was left.
        let others = notes.asked.iter().filter_map(|(_, asked)| match asked {
            Asked::Subscribe(other, ..) => Some(other),
            _ => None,
        });
        let is_covered = notes.targets.iter().chain(others).any(|other| matches(other, &target));
        let since = notes.left_at.remove(&target).filter(|_| !leaves && !is_covered);
        let pieces = rng.usize(1..3);
        if leaves {
            let id = self.ask(peer, Asked::Unsubscribe(target.clone()));
            return peer.say(&format!("{{\"op\":\"unsub\",\"topics\":[\"{target}\"],\"id\":{id}}}"), rng, pieces);
        }
        // Without a word about it, a subscription that is there keeps its mode.
        let is_told = mode != "queue";
        let mode = if mode == "mixed" { ["queue", "drop_oldest", "latest"][rng.usize(0..3)] } else { mode };
        let waits = is_name && mode == "queue" && !pace.skips();
        let since_offset = since.as_ref().map(|(_, offset)| *offset);
        let id = self.ask(peer, Asked::Subscribe(target.clone(), since_offset, waits));
        let forgotten = self.forgotten(&target);
        self.notes.entry(peer.id).or_default().forgotten.insert(id, forgotten);
        let mut mode = if is_told { format!(",\"mode\":\"{mode}\"") } else { String::new() };
        // Some subscriptions of one reader have a rate and others have none.
        if pace.max_rate > 0 && rng.u8(0..4) > 0 {
            mode += &format!(",\"max_rate\":{}", pace.max_rate);
        }
        if pace.max_age_ms > 0 {
            mode += &format!(",\"max_age_ms\":{}", pace.max_age_ms);
        }
        let presence = if is_name && rng.u8(0..3) == 0 { ",\"presence\":true" } else { "" };
        let since =
            since.map_or(String::new(), |(epoch, offset)| format!(",\"since\":{{\"{target}\":\"{epoch}-{offset}\"}}"));
        peer.say(
            &format!("{{\"op\":\"sub\",\"topics\":[\"{target}\"]{since}{mode}{presence},\"id\":{id}}}"),
            rng,
            pieces,
        );
        // Some change their mind before they have an answer.
        if rng.u8(0..5) == 0 {
            // It does not wait for targets that it leaves, although the answer to `sub` is still to come.
            for (_, asked) in &mut self.notes.entry(peer.id).or_default().asked {
                if let Asked::Subscribe(other, _, waits) = asked
                    && *other == target
                {
                    *waits = false;
                }
            }
            let id = self.ask(peer, Asked::Unsubscribe(target.clone()));
            peer.say(&format!("{{\"op\":\"unsub\",\"topics\":[\"{target}\"],\"id\":{id}}}"), rng, 1);
        }
    }

    /// A new reader follows every topic and would rather skip, with or without last values.
    pub fn follow_everything(&mut self, peer: &mut Peer, last: bool, rng: &mut fastrand::Rng) {
        let id = self.ask(peer, Asked::Subscribe(">".to_owned(), None, false));
        peer.say(&format!(r#"{{"op":"sub","topics":[">"],"mode":"latest","last":{last},"id":{id}}}"#), rng, 1);
    }

    pub(super) fn ask(&mut self, peer: &Peer, asked: Asked) -> u64 {
        if std::env::var("FANWIRE_SIM_SHOW").is_ok() {
            println!("{:?} asks {asked:?}", peer.id);
        }
        let notes = self.notes.entry(peer.id).or_default();
        notes.next_id += 1;
        notes.asked.push_back((notes.next_id, asked));
        notes.next_id
    }

    /// Takes in what peers have heard.
    pub fn listen(&mut self, peers: &mut [Peer]) {
        for peer in peers {
            for heard in std::mem::take(&mut peer.heard) {
                match (&peer.part, heard) {
                    (Part::Raw { echo, .. }, Heard::Text(payload)) => self.hear_raw(peer.id, *echo, payload),
                    (Part::Json { .. }, Heard::Text(text)) => self.hear_json(peer.id, &text),
                    (Part::Http | Part::Follow { .. }, Heard::Response(status, body)) => {
                        self.hear_response(peer.id, status, &body);
                    }
                    (Part::Poll { .. }, Heard::Response(status, body)) => self.hear_poll(peer, status, &body),
                    (Part::Follow { .. }, heard) => self.hear_follower(peer, heard),
                    (_, Heard::Close(..)) => {}
                    (part, heard) => panic!("{part:?} {:?} hears {heard:?}", peer.id),
                }
            }
        }
    }

    fn hear_response(&mut self, peer: PeerId, status: u16, body: &str) {
        let notes = self.notes.entry(peer).or_default();
        if status == 503 || status == 408 {
            // At the limit of connections; or it was cut off in the middle of a request.
            notes.has_left = true;
            return;
        }
        let lines = match notes.asked.pop_front() {
            Some((_, asked @ (Asked::Forget(_) | Asked::End))) => return self.hear_deleted(&asked, status, body),
            Some((_, Asked::Publish { topic, payload })) => vec![(topic, payload)],
            Some((_, Asked::Batch(lines))) => lines,
            _ => panic!("an answer that nobody asked for: {body}"),
        };
        assert_eq!(status, 200, "{body}");
        assert_eq!(body.lines().count(), lines.len(), "one answer a line");
        for (line, (topic, payload)) in body.lines().zip(lines) {
            let answer: Value = serde_json::from_str(line).expect("an answer is JSON");
            assert_eq!(answer["topic"], topic.as_str(), "answers come in the order of the requests");
            let topic = life(&topic, answer["epoch"].as_str());
            self.learn(&topic, answer["offset"].as_u64().expect("an offset"), payload);
        }
    }

    pub(super) fn hear_json(&mut self, peer: PeerId, text: &str) {
        if std::env::var("FANWIRE_SIM_SHOW").is_ok() {
            println!("{peer:?} hears {}", &text[..text.len().min(200)]);
        }
        let message: Value = serde_json::from_str(text).expect("the dialect is JSON");
        if let (None, Some(topic)) = (message["op"].as_str(), message["t"].as_str()) {
            let offset = message["o"].as_u64().expect("an offset");
            let prev = message["p"].as_u64().unwrap_or(offset - 1);
            let payload = message["d"].to_string();
            self.hear_push(peer, topic, (prev, offset), &payload, message["e"].as_str());
            let notes = &self.notes[&peer];
            if topic != ENDING || notes.targets.contains(topic) {
                let life = life(topic, notes.epochs.get(topic).map(String::as_str));
                self.learn(&life, offset, payload);
            }
            return;
        }
        let notes = self.notes.entry(peer).or_default();
        match message["op"].as_str() {
            Some("gap") => {
                let topic = message["t"].as_str().expect("a gap names its topic").to_owned();
                if topic == ENDING && !notes.targets.contains(ENDING) {
                    return;
                }
                let number = |field: &str| message[field].as_u64().expect("a gap has numbers");
                let (skipped, next) = (number("skipped"), number("o"));
                // It follows what was heard, or the position that was told on joining.
                let last = notes.heard.get(&topic).copied();
                let before = match (last, notes.may_begin.get(&topic)) {
                    (Some(last), _) | (None, Some(&Begin::At { joined: last, .. })) => last,
                    (None, _) => next - skipped - 1,
                };
                if last.is_none() {
                    notes.may_begin.remove(&topic);
                }
                let waits = notes.waits.get(&topic).is_some_and(|&joined| next - 1 > joined);
                assert!(!waits, "{peer:?} {topic}: a reader that waits for everything skipped something: {text}");
                // What stands between a last value and what follows it was not skipped, nor what is excepted.
                let is_exact = !notes.behind_last.contains(&topic) && notes.excepted.is_empty();
                let counted = before + 1 + skipped;
                let is_right = if is_exact { counted == next } else { counted <= next };
                assert!(is_right, "{peer:?} {topic}: the gap is counted wrong: behind {before} {text}");
                notes.heard.insert(topic.clone(), next - 1);
                notes.told.insert(topic, next - 1);
            }
            Some("presence") => {
                let topic = message["t"].as_str().expect("a count names its topic");
                let number = |field: &str| message[field].as_u64().expect("a count has numbers");
                let by_name = number("joins").checked_sub(number("leaves")).expect("who leaves has joined");
                assert!((1..=number("readers")).contains(&by_name), "{text}");
                assert!(notes.targets.contains(topic), "{text} comes to who follows the topic, behind its reply");
                self.presences += 1;
            }
            Some("bye") => {
                assert!(message["retry_ms"].as_u64().is_some_and(|retry| retry >= 1_000), "{text}");
                notes.has_bye = true;
            }
            Some("ok") => {
                let id = message["id"].as_u64().expect("the id is echoed");
                let at = notes.asked.iter().position(|(asked, _)| *asked == id);
                let (_, asked) = notes.asked.remove(at.expect("an operation is answered once")).expect("it is there");
                let forgotten = notes.forgotten.remove(&id).unwrap_or_default();
                self.hear_ok(peer, asked, &message, forgotten);
            }
            _ => panic!("{peer:?} hears {text}"),
        }
    }

    pub(super) fn hear_ok(&mut self, peer: PeerId, asked: Asked, message: &Value, forgotten: u64) {
        match asked {
            Asked::Publish { topic, payload } => {
                let offset = message["topics"][&topic]["offset"].as_u64().expect("an offset");
                self.learn(&topic, offset, payload);
            }
            Asked::Batch(_) | Asked::Poll(_) | Asked::Forget(_) | Asked::End => panic!("it is answered over HTTP"),
            Asked::Left => {}
            Asked::Unsubscribe(target) => {
                let notes = self.notes.entry(peer).or_default();
                let under_way = notes.asked.iter_mut().find(|(_, asked)| match asked {
                    Asked::Subscribe(other, ..) => *other == target,
                    _ => false,
                });
                if let Some((_, asked)) = under_way {
                    *asked = Asked::Left;
                }
                notes.targets.remove(&target);
                // One that joined a topic in which nothing was said is at its beginning.
                let is_quiet = matches!(notes.may_begin.get(&target), Some(Begin::At { joined: 0, .. }));
                let offset = notes.heard.get(&target).copied().or(is_quiet.then_some(0));
                if let (Some(epoch), Some(offset)) = (notes.epochs.get(&target), offset) {
                    notes.left_at.insert(target, (epoch.clone(), offset));
                }
                let followed = |topic: &str| notes.targets.iter().any(|other| matches(other, topic));
                notes.heard.retain(|topic, _| followed(topic));
                notes.may_begin.retain(|topic, _| followed(topic));
            }
            Asked::Subscribe(target, since, waits) => {
                let notes = self.notes.entry(peer).or_default();
                let joined = &message["topics"][&target];
                assert!(joined.is_object(), "the answer names the target: {message}");
                assert_eq!(joined["recovered"].is_boolean(), since.is_some(), "{message}");
                if let (true, Some(offset)) = (waits, joined["offset"].as_u64()) {
                    notes.waits.insert(target.clone(), offset);
                }
                if let Some(epoch) = joined["epoch"].as_str() {
                    notes.epochs.insert(target.clone(), epoch.to_owned());
                }
                if let (Some(since), Some(true)) = (since, joined["recovered"].as_bool()) {
                    // The missed messages follow, without a gap and without the last value again.
                    self.resumed += 1;
                    notes.heard.insert(target.clone(), since);
                    notes.targets.insert(target);
                    return;
                }
                if let (Some(since), Some(offset)) = (since, joined["offset"].as_u64()) {
                    assert!(
                        self.is_bounded || target == ENDING || offset - since > self.history,
                        "{target} is kept from {since} on: {message}"
                    );
                }
                let flood = (0..FLOOD_TOPICS).map(|n| format!("big.{n}"));
                let topics = ["t.0", "t.1", "t.2", "u.0", ENDING].into_iter().map(str::to_owned).chain(flood);
                for topic in topics.filter(|topic| matches(&target, topic)) {
                    let asked = notes.asked.iter().filter_map(|(_, asked)| match asked {
                        Asked::Subscribe(target, ..) => Some(target),
                        _ => None,
                    });
                    let is_covered = notes.targets.iter().chain(asked).any(|other| matches(other, &topic));
                    let begin = match joined["offset"].as_u64() {
                        Some(joined) if !is_covered => Begin::At { joined, forgotten },
                        _ => Begin::Anywhere,
                    };
                    notes.may_begin.insert(topic, begin);
                }
                notes.targets.insert(target);
            }
        }
    }

    pub(super) fn learn(&mut self, topic: &str, offset: u64, payload: String) {
        let known = self.log.entry(topic.to_owned()).or_default().entry(offset).or_insert_with(|| payload.clone());
        assert_eq!(*known, payload, "{topic} {offset}: two readers hear different things");
    }
}

pub(super) fn matches(target: &str, topic: &str) -> bool {
    if topic.starts_with(ENDING) {
        // By a pattern its lives are not told apart.
        return target == topic;
    }
    match Target::parse(target).expect("a target") {
        Target::Topic(name) => name.as_str() == topic,
        Target::Pattern(pattern) => pattern.matches(topic),
    }
}
