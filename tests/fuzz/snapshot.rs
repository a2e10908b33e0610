//! Snapshot files: as they are, with checks that are right whatever the records say, and written by us.
//!
//! Oracles: any portions give the same; what is read is within its bounds, is written and read again as the same, and
//! is taken in by a hub; a file of ours with one bit changed, or cut, is refused.

use std::hash::Hasher;
use std::sync::Arc;

use fanwire::command::{Epoch, Extras, LastImage, PayloadKind, Position, Publication, ShardId, TopicImage, TopicName};
use fanwire::hub::{Hub, HubSettings, ImagePlace};
use fanwire::limits::{EPOCHS_KEPT, HISTORY_MAX};
use fanwire::snapshot::{Decoder, Encoder, Snapshot, SnapshotError};
use fanwire::time::MonoTime;
use siphasher::sip::SipHasher13;

use super::input::Input;

const WALL_MS: u64 = 1_700_000_000_000;
const NOW: MonoTime = MonoTime::from_nanos(3_600_000_000_000);

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 3 {
        0 => check_file(input.rest()),
        1 => check_file(&sealed(&mut input)),
        _ => check_written(&mut input),
    }
}

fn check_file(file: &[u8]) {
    let whole = decode(file, usize::MAX);
    for portion in [1, 7, 64] {
        let parts = decode(file, portion);
        assert_eq!(parts.as_ref().map(told), whole.as_ref().map(told), "in portions of {portion}");
    }
    let Ok(snapshot) = whole else { return };
    for image in &snapshot.topics {
        check_image(image);
    }
    let again = decode(&encode(&snapshot), usize::MAX).expect("what was read is written and read again");
    assert_eq!(told(&again), told(&snapshot));
    let mut hub = hub();
    if let Some(seed) = snapshot.epoch_seed {
        hub.keep_epochs(seed);
    }
    for image in snapshot.topics {
        let (topic, offset) = (image.topic.clone(), image.position.offset);
        assert!(hub.restore(NOW, image, snapshot.is_clean), "there is room");
        let state = hub.images(ImagePlace::default()).0.into_iter().find(|image| image.topic == topic);
        assert_eq!(state.map_or(0, |image| image.position.offset), offset, "it goes on where it stood");
    }
}

fn check_image(image: &TopicImage) {
    let count = image.publications.len();
    assert!(TopicName::is_valid(image.topic.as_str()));
    assert!(count <= HISTORY_MAX as usize && image.previous.len() <= EPOCHS_KEPT);
    assert!(count as u64 <= image.position.offset, "numbers begin with 1");
    for two in image.publications.windows(2) {
        assert_eq!(two[1].prev, two[0].position.offset, "without a gap");
    }
    assert!(image.publications.last().is_none_or(|newest| newest.position.offset == image.position.offset));
    let apart = if let LastImage::Apart(last) = &image.last { Some(last) } else { None };
    for publication in image.publications.iter().chain(apart) {
        assert!(publication.prev < publication.position.offset && publication.position.offset <= image.position.offset);
        assert!(publication.kind.allows(&publication.payload) && publication.time <= NOW);
        assert_eq!((publication.position.epoch, &publication.topic), (image.position.epoch, &image.topic));
    }
}

/// All that a snapshot says.
fn told(snapshot: &Snapshot) -> (&[TopicImage], Option<u64>, bool) {
    (&snapshot.topics, snapshot.epoch_seed, snapshot.is_clean)
}

/// Reads a file as it comes in portions.
fn decode(file: &[u8], portion: usize) -> Result<Snapshot, SnapshotError> {
    let mut decoder = Decoder::new(NOW, WALL_MS);
    let (mut held, mut rest) = (Vec::new(), file);
    loop {
        while let Some(len) = decoder.take(&held)? {
            held.drain(..len);
        }
        if rest.is_empty() {
            return if held.is_empty() { decoder.finish() } else { Err(SnapshotError::Torn) };
        }
        let (now, later) = rest.split_at(portion.min(rest.len()));
        held.extend_from_slice(now);
        rest = later;
    }
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(WALL_MS, &mut out);
    snapshot.topics.iter().for_each(|image| encoder.topic(image, NOW, &mut out));
    if let Some(seed) = snapshot.epoch_seed {
        encoder.epochs(seed, &mut out);
    }
    encoder.end(snapshot.is_clean, &mut out);
    out
}

fn hub() -> Hub {
    Hub::new(HubSettings {
        shard: ShardId(0),
        shards: 1,
        hash_key: (1, 2),
        epoch_seed: 3,
        topics_max: 10_000,
        patterns_max: 1,
        retained_len_max: 1 << 20,
        message_id_ttl_ms: 0,
        rules: Arc::default(),
    })
}

/// A file of either version whose records say what the input says, each with its right check: `kind`, and a body behind its
/// length.
fn sealed(input: &mut Input<'_>) -> Vec<u8> {
    let (first, ends) = (input.byte(), input.byte() % 8 != 7);
    let (is_clean, version) = (first.is_multiple_of(2), 1 + u32::from(first >> 1) % 2);
    let mut file = b"fanwire\n".to_vec();
    file.extend_from_slice(&version.to_le_bytes());
    file.extend_from_slice(&WALL_MS.to_le_bytes());
    let check = seal(version, 0, &file);
    file.extend_from_slice(&check.to_le_bytes());
    let (mut topics, mut publications, mut number, mut last) = (0u64, 0u64, 0, 0);
    let mut record = |file: &mut Vec<u8>, kind: u8, body: &[u8]| {
        number += 1;
        let start = file.len();
        file.extend_from_slice(&(body.len() as u32).to_le_bytes());
        file.push(kind);
        file.extend_from_slice(body);
        last = seal(version, number, &file[start..]);
        file.extend_from_slice(&last.to_le_bytes());
    };
    while !input.is_empty() {
        let kind = input.byte() % 6;
        topics += u64::from(kind == 1);
        publications += u64::from(kind == 2);
        record(&mut file, kind, input.counted());
    }
    if ends {
        let mut body = [topics.to_le_bytes(), publications.to_le_bytes()].concat();
        let unpadded = file.len() + 13 + body.len();
        body.resize(body.len() + unpadded.next_multiple_of(8) - unpadded, 0);
        record(&mut file, 3, &body);
    }
    let tail = seal(version, last, if is_clean { b"clean" } else { b"unclean" });
    file.extend_from_slice(&tail.to_le_bytes());
    file
}

fn seal(version: u32, number: u64, bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(u64::from(version), number);
    hasher.write(bytes);
    hasher.finish()
}

/// A file of ours, then one with a flipped bit, then one that is cut.
fn check_written(input: &mut Input<'_>) {
    let (flip_at, flip_bit, cut_at) = (input.byte(), input.byte() % 8, input.byte());
    let is_clean = input.byte().is_multiple_of(2);
    let mut topics = Vec::new();
    while !input.is_empty() && topics.len() < 16 {
        topics.extend(image(input));
    }
    let unclean_tail = [0; 8];
    let snapshot = Snapshot { topics, epoch_seed: Some(u64::from(flip_at)), is_clean, unclean_tail };
    let mut file = encode(&snapshot);
    check_file(&file);
    let read = decode(&file, usize::MAX).expect("a file of ours is right");
    assert_eq!(told(&read), told(&snapshot));
    let place = |share: u8| usize::from(share) * file.len() / 256;
    assert!(decode(&file[..place(cut_at)], usize::MAX).is_err(), "cut at {cut_at}");
    let place = place(flip_at);
    file[place] ^= 1 << flip_bit;
    assert!(decode(&file, usize::MAX).is_err(), "bit {flip_bit} of byte {place}");
    let clean = file.len() - 8;
    file[place] ^= 1 << flip_bit;
    file[clean..].copy_from_slice(&read.unclean_tail);
    assert!(!decode(&file, usize::MAX).expect("its tail says that it was used").is_clean);
}

fn image(input: &mut Input<'_>) -> Option<TopicImage> {
    let topic = TopicName::parse(&String::from_utf8_lossy(input.counted())).ok();
    let choices = input.byte();
    let position = Position { epoch: Epoch(u64::from(input.byte())), offset: u64::from(input.byte()) };
    let publication = |offset: u64, input: &mut Input<'_>| {
        let (kind, age_ms) = (input.byte(), u64::from(input.byte()));
        let key =
            (kind & 4 != 0).then(|| String::from_utf8_lossy(input.counted()).chars().take(60).collect::<String>());
        let payload = input.counted();
        let extras =
            Extras { is_passing: kind & 8 != 0, event: (kind & 16 != 0).then(|| "e".into()), ..Extras::default() };
        let kind = match kind % 4 {
            0 => PayloadKind::Binary,
            1 => PayloadKind::Json,
            _ => PayloadKind::Text,
        };
        let kind = if kind.allows(payload) { kind } else { PayloadKind::Binary };
        let publication = Publication {
            topic: topic.clone()?,
            position: Position { offset, ..position },
            prev: offset - 1,
            kind,
            payload: payload.into(),
            key: key.map(Box::from),
            origin: None,
            time: NOW.minus_millis(age_ms * 1000),
            extras: extras.boxed(),
        };
        Some(Arc::new(publication))
    };
    let count = u64::from(choices % 4).min(position.offset);
    let publications: Option<Vec<_>> =
        (0..count).map(|n| publication(position.offset - count + 1 + n, input)).collect();
    let last = match choices & 12 {
        4 if count > 0 => LastImage::Among(position.offset),
        8 if position.offset > count => LastImage::Apart(publication(position.offset - count, input)?),
        _ => LastImage::None,
    };
    let previous = (0..choices >> 6).map(|n| Position { epoch: Epoch(u64::from(n) + 500), offset: 1 }).collect();
    Some(TopicImage { topic: topic?, position, previous, last, publications: publications? })
}
