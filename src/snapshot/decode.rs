//! From bytes to images of topics.

use std::sync::Arc;

use super::fields::Fields;
use super::{
    END, EPOCHS, HAS_EXTRAS, HAS_KEY, HEADER_LEN, LAST_AMONG, LAST_APART, LAST_NONE, MAGIC, PUBLICATION, SnapshotError,
    TAIL_LEN, TOPIC, VERSION, check, tail,
};
use crate::command::{LastImage, PayloadKind, Position, Publication, TopicImage, TopicName};
use crate::limits::{ATTRIBUTES_LEN_MAX, EPOCHS_KEPT, HISTORY_MAX, MESSAGE_LEN_BOUND};
use crate::time::MonoTime;

/// Reads a file in portions of any size.
#[derive(Debug)]
pub struct Decoder {
    now: MonoTime,
    wall_ms: u64,
    /// The age of the file, in milliseconds.
    age_ms: u64,
    /// The version of the file's format.
    version: u32,
    records: u64,
    topics: Vec<TopicImage>,
    epoch_seed: Option<u64>,
    /// The offset of a last value that is stored apart: it comes before the publications of the last topic.
    apart: Option<u64>,
    /// Publications of the last topic that are still to come.
    missing: u32,
    publications: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Header,
    Records,
    Tail { end_check: u64 },
    Done { is_clean: bool, unclean_tail: [u8; TAIL_LEN] },
}

/// The content of a whole, valid file.
#[derive(Debug)]
pub struct Snapshot {
    /// The topics. Their publications keep their times, as far as this process's clock goes back.
    pub topics: Vec<TopicImage>,
    /// The seed of the epochs of topics without publications, if it was the same in all shards.
    pub epoch_seed: Option<u64>,
    /// Whether nothing was published after the snapshot was written.
    pub is_clean: bool,
    /// The bytes that mark a clean file as unclean. They are written over its end before anything is published.
    pub unclean_tail: [u8; TAIL_LEN],
}

impl Decoder {
    /// A decoder for a file that is read at `now`, when the wall clock shows `wall_ms`.
    #[must_use]
    pub fn new(now: MonoTime, wall_ms: u64) -> Self {
        let (age_ms, version, records, missing, publications) = (0, VERSION, 0, 0, 0);
        let (topics, epoch_seed, apart, phase) = (Vec::new(), None, None, Phase::Header);
        Self { now, wall_ms, age_ms, version, records, topics, epoch_seed, apart, missing, publications, phase }
    }

    /// Reads the record at the start of `bytes`. Returns its length, or `None` if the record is not complete yet.
    ///
    /// # Errors
    /// The reason why this is no valid snapshot.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<usize>, SnapshotError> {
        match self.phase {
            Phase::Header => self.take_header(bytes),
            Phase::Records => self.take_record(bytes),
            Phase::Tail { end_check } => {
                let Some(&told) = bytes.first_chunk::<TAIL_LEN>() else { return Ok(None) };
                let unclean_tail = tail(self.version, end_check, false);
                let is_clean = told == tail(self.version, end_check, true);
                if !is_clean && told != unclean_tail {
                    return Err(SnapshotError::Damaged(self.records + 1));
                }
                self.phase = Phase::Done { is_clean, unclean_tail };
                Ok(Some(TAIL_LEN))
            }
            Phase::Done { .. } if bytes.is_empty() => Ok(None),
            Phase::Done { .. } => Err(SnapshotError::Overlong),
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The file is not complete.
    pub fn finish(self) -> Result<Snapshot, SnapshotError> {
        let Phase::Done { is_clean, unclean_tail } = self.phase else { return Err(SnapshotError::Torn) };
        Ok(Snapshot { topics: self.topics, epoch_seed: self.epoch_seed, is_clean, unclean_tail })
    }

    fn take_header(&mut self, bytes: &[u8]) -> Result<Option<usize>, SnapshotError> {
        if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
            return Err(SnapshotError::Foreign);
        }
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let mut fields = Fields(&header[MAGIC.len()..]);
        let (version, written_ms, told) = (fields.u32(), fields.u64(), fields.u64());
        let version = version.unwrap_or_default();
        if version > VERSION {
            // The layout of a later version's header after the number is unknown.
            return Err(SnapshotError::TooNew(version));
        }
        if version == 0 || told != Some(check(version, 0, &[&header[..HEADER_LEN - 8]])) {
            return Err(SnapshotError::Damaged(0));
        }
        self.version = version;
        self.age_ms = self.wall_ms.saturating_sub(written_ms.unwrap_or_default());
        self.phase = Phase::Records;
        Ok(Some(HEADER_LEN))
    }

    fn take_record(&mut self, bytes: &[u8]) -> Result<Option<usize>, SnapshotError> {
        let damaged = SnapshotError::Damaged(self.records + 1);
        let Some(&len) = bytes.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(len) as usize;
        // A length above the longest record is an error: the decoder does not wait for the bytes of a damaged length.
        if len > RECORD_LEN_MAX {
            return Err(damaged);
        }
        let (Some(body), Some(told)) = (bytes.get(..5 + len), bytes.get(5 + len..5 + len + 8)) else { return Ok(None) };
        self.records += 1;
        let right = check(self.version, self.records, &[body]);
        if told != right.to_le_bytes() {
            return Err(damaged);
        }
        let mut fields = Fields(&body[5..]);
        let missing = self.missing + u32::from(self.apart.is_some());
        let taken = match (body[4], missing) {
            (TOPIC, 0) => self.take_topic(&mut fields),
            (PUBLICATION, 1..) => self.take_publication(&mut fields),
            (EPOCHS, 0) => fields.u64().map(|epoch_seed| self.epoch_seed = Some(epoch_seed)),
            (END, 0) => {
                let counts = (fields.u64(), fields.u64());
                (counts == (Some(self.topics.len() as u64), Some(self.publications))).then(|| {
                    self.phase = Phase::Tail { end_check: right };
                })
            }
            _ => None,
        };
        taken.map(|()| Some(5 + len + 8)).ok_or(damaged)
    }

    fn take_topic(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        let position = fields.position()?;
        let last = match (self.version, fields.u8()?) {
            (_, LAST_NONE) => LAST_NONE,
            // In version 1 the last value is always the newest publication.
            (1, _) => LAST_AMONG,
            (_, last @ (LAST_AMONG | LAST_APART)) => last,
            _ => return None,
        };
        let last_offset = if self.version == 1 { position.offset } else { fields.u64()? };
        let (count, previous_count) = (fields.u32()?, usize::from(fields.u8()?));
        if count > HISTORY_MAX
            || u64::from(count) > position.offset
            || last_offset > position.offset
            || previous_count > EPOCHS_KEPT
        {
            return None;
        }
        let previous = (0..previous_count).map(|_| fields.position()).collect::<Option<Vec<_>>>()?;
        let topic = TopicName::parse(std::str::from_utf8(fields.0).ok()?).ok()?;
        self.missing = count;
        self.apart = (last == LAST_APART).then_some(last_offset);
        let last = if last == LAST_AMONG { LastImage::Among(last_offset) } else { LastImage::None };
        self.topics.push(TopicImage { topic, position, previous, last, publications: Vec::new() });
        Some(())
    }

    fn take_publication(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        let image = self.topics.last_mut()?;
        let offset = fields.u64()?;
        let prev = if self.version == 1 { offset.checked_sub(1)? } else { fields.u64()? };
        let before = image.publications.last().map(|before| before.position.offset);
        let is_newest = offset == image.position.offset;
        let is_in_place = match self.apart {
            Some(last) => offset == last,
            // They follow each other up to the newest publication of the topic.
            None => before.is_none_or(|before| before == prev) && is_newest == (self.missing == 1),
        };
        if prev >= offset || !is_in_place {
            return None;
        }
        let age_ms = fields.u64()?.saturating_add(self.age_ms);
        let kind = match fields.u8()? {
            0 => PayloadKind::Json,
            1 => PayloadKind::Text,
            2 => PayloadKind::Binary,
            _ => return None,
        };
        let (key, extras) = if self.version == 1 {
            (fields.first_key()?, None)
        } else {
            let flags = fields.u8()?;
            let key = if flags & HAS_KEY != 0 { Some(fields.short()?) } else { None };
            (key, if flags & HAS_EXTRAS != 0 { fields.extras()?.boxed() } else { None })
        };
        let payload = fields.0;
        if !kind.allows(payload) {
            return None;
        }
        let publication = Arc::new(Publication {
            topic: image.topic.clone(),
            position: Position { offset, ..image.position },
            prev,
            kind,
            payload: payload.into(),
            key,
            origin: None,
            time: self.now.minus_millis(age_ms),
            extras,
        });
        if self.apart.take().is_some() {
            image.last = LastImage::Apart(publication);
        } else {
            image.publications.push(publication);
            self.missing -= 1;
        }
        self.publications += 1;
        // If the last value is one of the publications, it must be among them once all are read.
        let is_among = |last| image.publications.iter().any(|it| it.position.offset == last);
        let is_missing = matches!(image.last, LastImage::Among(last) if self.missing == 0 && !is_among(last));
        (!is_missing).then_some(())
    }
}

/// The greatest length of a record's body: a payload, a key, attributes and some numbers.
const RECORD_LEN_MAX: usize = MESSAGE_LEN_BOUND as usize + 2 * ATTRIBUTES_LEN_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Attributes, Epoch, Extras};
    use crate::limits::SNAPSHOT_OFFSET_MAX;
    use crate::snapshot::Encoder;

    fn after(ms: u64) -> MonoTime {
        MonoTime::ZERO.plus_millis(ms)
    }

    fn publication(offset: u64, kind: PayloadKind, payload: &[u8], key: Option<&str>) -> Arc<Publication> {
        Arc::new(Publication {
            topic: TopicName::parse("px.A").expect("a valid name"),
            position: Position { epoch: Epoch(7), offset },
            prev: offset.saturating_sub(1),
            kind,
            payload: payload.into(),
            key: key.map(Box::from),
            origin: None,
            time: after(offset.saturating_mul(100)),
            extras: None,
        })
    }

    fn with(publication: Arc<Publication>, prev: u64, extras: Extras) -> Arc<Publication> {
        Arc::new(Publication { prev, extras: extras.boxed(), ..Publication::clone(&publication) })
    }

    /// Extras with all fields, or with only one.
    fn extras(has_all: bool) -> Extras {
        let pairs = [("größe", "1"), ("b", "")].map(|(name, value)| (name.into(), value.into()));
        let pairs = pairs.into_iter().filter(|_| has_all);
        let attributes = Attributes::new(Some("text/csv").filter(|_| has_all), pairs).expect("they are right");
        Extras { event: has_all.then(|| "sold".into()), attributes, is_passing: true, except: None }
    }

    fn images() -> Vec<TopicImage> {
        let topic = |name: &str| TopicName::parse(name).expect("a valid name");
        vec![
            TopicImage {
                topic: topic("px.A"),
                position: Position { epoch: Epoch(7), offset: 9 },
                previous: vec![Position { epoch: Epoch(5), offset: 3 }, Position { epoch: Epoch(6), offset: 3 }],
                last: LastImage::Among(8),
                publications: vec![
                    publication(7, PayloadKind::Json, b"[1]", None),
                    publication(8, PayloadKind::Text, "größe".as_bytes(), Some("k")),
                    publication(9, PayloadKind::Binary, &[0, 255], Some("")),
                ],
            },
            TopicImage {
                topic: topic("größe"),
                position: Position { epoch: Epoch(u64::MAX), offset: 1 },
                previous: Vec::new(),
                last: LastImage::None,
                publications: Vec::new(),
            },
            TopicImage {
                topic: topic("px.A"),
                position: Position { epoch: Epoch(7), offset: 30 },
                previous: Vec::new(),
                last: LastImage::Apart(with(publication(5, PayloadKind::Text, b"old", None), 2, Extras::default())),
                publications: vec![
                    with(publication(12, PayloadKind::Text, b"", Some("k")), 5, extras(true)),
                    with(publication(30, PayloadKind::Text, b"x", None), 12, extras(false)),
                ],
            },
        ]
    }

    fn encode(images: &[TopicImage], is_clean: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(5_000, &mut bytes);
        images.iter().for_each(|image| encoder.topic(image, after(1_000), &mut bytes));
        encoder.end(is_clean, &mut bytes);
        bytes
    }

    /// Reads at 2,000 ms of the process's time, `gap_ms` after it was written.
    fn decode(bytes: &[u8], gap_ms: u64) -> Result<Snapshot, SnapshotError> {
        let mut decoder = Decoder::new(after(2_000), 5_000 + gap_ms);
        let mut at = 0;
        while let Some(len) = decoder.take(&bytes[at..])? {
            at += len;
        }
        if at < bytes.len() { Err(SnapshotError::Torn) } else { decoder.finish() }
    }

    #[test]
    fn what_was_written_is_read_back_and_has_aged_meanwhile() {
        for is_clean in [true, false] {
            let snapshot = decode(&encode(&images(), is_clean), 500).expect("it is right");
            assert_eq!(snapshot.is_clean, is_clean);
            let mut topics = snapshot.topics;
            // The publication was 900 ms old when the file was written, which was 500 ms ago; the time now is 2,000
            // ms.
            assert_eq!(topics[0].publications[2].time, after(2_000 - 100 - 500));
            assert_eq!(topics[0].publications[0].time, after(2_000 - 300 - 500));
            for (image, written) in topics.iter_mut().zip(images()) {
                for (read, written) in image.publications.iter_mut().zip(written.publications) {
                    Arc::make_mut(read).time = written.time;
                }
                if let (LastImage::Apart(read), LastImage::Apart(written)) = (&mut image.last, written.last) {
                    Arc::make_mut(read).time = written.time;
                }
            }
            assert_eq!(topics, images());
        }
        assert_eq!(decode(&encode(&[], true), 0).expect("it is right").topics, []);
    }

    #[test]
    fn what_is_older_than_the_clock_is_as_old_as_the_clock() {
        let snapshot = decode(&encode(&images(), true), 1_000_000).expect("it is right");
        assert_eq!(snapshot.topics[0].publications[0].time, MonoTime::ZERO);
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = encode(&images(), true);
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len], 0).map(|_| ()), Err(SnapshotError::Torn), "{len} of {}", bytes.len());
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let right = encode(&images(), true);
        for at in 0..right.len() {
            for bit in 0..8 {
                let mut bytes = right.clone();
                bytes[at] ^= 1 << bit;
                let refused = decode(&bytes, 0);
                assert!(refused.is_err(), "bit {bit} of byte {at}");
                if at < MAGIC.len() {
                    assert_eq!(refused.map(|_| ()), Err(SnapshotError::Foreign));
                }
            }
        }
    }

    #[test]
    fn records_that_change_places_or_come_twice_are_refused() {
        let bytes = encode(&images(), true);
        let first = HEADER_LEN + record_len(&bytes[HEADER_LEN..]);
        let second = first + record_len(&bytes[first..]);
        let third = second + record_len(&bytes[second..]);
        let (head, a, b) = (&bytes[..first], &bytes[first..second], &bytes[second..third]);
        for order in [[b, a].concat(), [a, a].concat(), b.to_vec(), Vec::new()] {
            let changed = [head, &order, &bytes[third..]].concat();
            assert!(matches!(decode(&changed, 0), Err(SnapshotError::Damaged(_))), "{} bytes", order.len());
        }
    }

    /// A file in the format of version 1.
    fn first_version() -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &1_u32.to_le_bytes(), &5_000_u64.to_le_bytes()].concat();
        bytes.extend(check(1, 0, &[&bytes]).to_le_bytes());
        let u64s = |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
        let topic = [&u64s(&[7, 9])[..], &[1, 2, 0, 0, 0, 1], &u64s(&[5, 3]), b"px.A"].concat();
        let records = [
            (TOPIC, topic),
            (PUBLICATION, [&u64s(&[8, 200])[..], &[1, 1, 1, b'k'], "größe".as_bytes()].concat()),
            (PUBLICATION, [&u64s(&[9, 100])[..], &[2, 0, 0], &[0, 255]].concat()),
            (EPOCHS, u64s(&[77])),
            (END, u64s(&[1, 2])),
        ];
        let mut end_check = 0;
        for (number, (kind, body)) in (1..).zip(records) {
            let start = bytes.len();
            bytes.extend((body.len() as u32).to_le_bytes());
            bytes.push(kind);
            bytes.extend(body);
            end_check = check(1, number, &[&bytes[start..]]);
            bytes.extend(end_check.to_le_bytes());
        }
        bytes.extend(tail(1, end_check, true));
        bytes
    }

    #[test]
    fn a_file_of_the_first_version_is_still_read() {
        let bytes = first_version();
        let snapshot = decode(&bytes, 500).expect("it is right");
        assert_eq!((snapshot.is_clean, snapshot.epoch_seed), (true, Some(77)));
        let [image] = &snapshot.topics[..] else { panic!("one topic") };
        assert_eq!((image.topic.as_str(), image.position), ("px.A", Position { epoch: Epoch(7), offset: 9 }));
        assert_eq!(image.previous, [Position { epoch: Epoch(5), offset: 3 }]);
        assert_eq!(image.last, LastImage::Among(9));
        let kept: Vec<_> =
            image.publications.iter().map(|it| (it.position.offset, it.prev, it.key.as_deref())).collect();
        assert_eq!(kept, [(8, 7, Some("k")), (9, 8, None)]);
        assert_eq!(
            (&*image.publications[0].payload, image.publications[1].kind),
            ("größe".as_bytes(), PayloadKind::Binary)
        );
        assert_eq!(image.publications[1].time, after(2_000 - 100 - 500));
        let mut unclean = bytes.clone();
        let at = bytes.len() - TAIL_LEN;
        unclean[at..].copy_from_slice(&snapshot.unclean_tail);
        assert!(!decode(&unclean, 0).expect("it is right").is_clean);
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len], 0).map(|_| ()), Err(SnapshotError::Torn), "{len}");
        }
    }

    #[test]
    fn a_chain_with_a_hole_and_a_last_value_that_is_nowhere_are_refused() {
        let right = || images().remove(2);
        let said = |offset, prev| with(publication(offset, PayloadKind::Text, b"", None), prev, Extras::default());
        assert!(decode(&encode(&[right()], true), 0).is_ok());
        let broken = [
            TopicImage { publications: vec![said(12, 5), said(30, 11)], ..right() },
            TopicImage { publications: vec![said(12, 5), said(29, 12)], ..right() },
            TopicImage { publications: vec![said(30, 12), said(30, 30)], ..right() },
            TopicImage { publications: vec![said(30, 30)], ..right() },
            TopicImage { last: LastImage::Among(11), ..right() },
            TopicImage { last: LastImage::Among(31), ..right() },
            TopicImage { last: LastImage::Apart(said(31, 30)), ..right() },
        ];
        for (number, image) in broken.into_iter().enumerate() {
            assert!(matches!(decode(&encode(&[image], true), 0), Err(SnapshotError::Damaged(_))), "{number}");
        }
    }

    fn record_len(bytes: &[u8]) -> usize {
        let len = bytes.first_chunk::<4>().expect("a record");
        u32::from_le_bytes(*len) as usize + 13
    }

    #[test]
    fn a_later_version_a_foreign_file_and_one_that_goes_on_are_told_apart() {
        let mut bytes = encode(&images(), true);
        bytes.push(0);
        assert_eq!(decode(&bytes, 0).map(|_| ()), Err(SnapshotError::Overlong));
        bytes.pop();
        bytes[8..12].copy_from_slice(&3_u32.to_le_bytes());
        assert_eq!(decode(&bytes, 0).map(|_| ()), Err(SnapshotError::TooNew(3)));
        bytes[8..12].copy_from_slice(&0_u32.to_le_bytes());
        assert_eq!(decode(&bytes, 0).map(|_| ()), Err(SnapshotError::Damaged(0)));
        assert_eq!(decode(b"{\"topics\":[]}", 0).map(|_| ()), Err(SnapshotError::Foreign));
        assert_eq!(decode(b"", 0).map(|_| ()), Err(SnapshotError::Torn));
    }

    #[test]
    fn a_length_that_no_record_has_is_not_waited_for() {
        let mut bytes = encode(&images(), true);
        bytes[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&bytes, 0).map(|_| ()), Err(SnapshotError::Damaged(1)));
    }

    #[test]
    fn a_number_that_no_topic_could_go_on_from_is_refused() {
        let with = |offset: u64, published: u64| {
            let mut image = images().remove(0);
            image.position.offset = offset;
            image.last = LastImage::None;
            image.publications = vec![publication(published, PayloadKind::Json, b"1", None)];
            encode(&[image], true)
        };
        assert!(decode(&with(SNAPSHOT_OFFSET_MAX, SNAPSHOT_OFFSET_MAX), 0).is_ok());
        for (offset, published) in [(u64::MAX, u64::MAX), (SNAPSHOT_OFFSET_MAX + 1, 1), (9, u64::MAX), (9, 0)] {
            let refused = decode(&with(offset, published), 0).map(|_| ());
            assert!(matches!(refused, Err(SnapshotError::Damaged(1 | 2))), "{published} of {offset}: {refused:?}");
        }
    }

    #[test]
    fn a_clean_file_becomes_unclean_by_its_tail() {
        let mut bytes = encode(&images(), true);
        let snapshot = decode(&bytes, 0).expect("it is right");
        let at = bytes.len() - TAIL_LEN;
        assert!(at.is_multiple_of(TAIL_LEN), "one aligned write");
        bytes[at..].copy_from_slice(&snapshot.unclean_tail);
        assert!(!decode(&bytes, 0).expect("it is right").is_clean);
    }
}
