//! Compression of messages to readers, and inflation of messages from peers.
//!
//! A message is compressed once for all readers with the same agreement. There are two ways: each message for itself,
//! once for each of three windows; and one stream for each topic, in which a message leans on those before it. A stream
//! can be joined at every `join_every`th publication, which leans on nothing before it. Its reader gets every
//! publication of the topic by it and nothing else that is compressed, since that would move its window; when one goes
//! past the stream, because the reader skips, is held, or hides its own, the reader is out of it until the next joining
//! point, and is told things as they are meanwhile. [RFC 7692]
//!
//! Of a stream nothing is kept but its window, so that a topic costs its bytes and not those of an encoder.

use std::collections::HashMap;
use std::sync::Arc;

use super::encoded::Encoded;
use super::windows::Windows;
use crate::buf::Segment;
use crate::command::{Compression, MessageKind, Publication};
use crate::hub::TopicId;
use crate::limits::STREAMS_MAX;
use crate::live::CompressionSettings;
use crate::shard::session::agreed::Window;
use crate::shard::session::encoding::EncodingId;
use crate::shard::session::session::{Mark, Session};
use crate::shard::session::subscription::{Place, TargetId};
use crate::transport::websocket;
use crate::wire::deflate::{Deflater, Inflater};
use crate::wire::ws::header_len;

/// How a reader gets the frames of a run. All readers of one encoding and one form get the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Form {
    /// As they are.
    Plain,
    /// Each message for itself.
    Alone(Window),
    /// By the topic's stream.
    Stream,
    /// As they are up to the run's first joining point, then by the stream.
    Joining,
}

/// The forms of one run, for one reader after the other.
#[derive(Debug)]
pub(in crate::shard) struct Forms {
    topic: TopicId,
    count: usize,
    compression: Option<Compression>,
    joins: Vec<(EncodingId, Join)>,
}

/// Where the stream of a run can be joined.
#[derive(Clone, Copy, Debug)]
enum Join {
    /// At this publication of the run.
    At(usize),
    /// Later than in this run.
    Later,
    /// There are too many streams for one more.
    Never,
}

impl Forms {
    pub fn new(topic: TopicId, count: usize) -> Self {
        Self { topic, count, compression: None, joins: Vec::new() }
    }

    /// How a reader gets the run from its publication `news` on, all of it; notes whether the reader is in the stream
    /// afterwards. `find` says what holds for the topic.
    pub fn of(
        &mut self,
        session: &mut Session,
        news: usize,
        compressor: &Compressor,
        find: impl FnOnce() -> Compression,
    ) -> Form {
        // Readers with a prefix of their own get bytes that no other reader could share.
        if session.agreed.is_none() || session.is(Mark::PREFIXED) {
            return Form::Plain;
        }
        let compression = *self.compression.get_or_insert_with(find);
        if compression != Compression::Shared {
            // Its rule may have changed.
            session.leave_stream(self.topic);
        }
        if compression == Compression::Shared && session.agreed.keeps_context() && session.has_first(self.topic) {
            // Before the run is encoded, which moves the next joining point.
            let encoding = session.encoding;
            let known = self.joins.iter().find(|(other, _)| *other == encoding).map(|(_, join)| *join);
            let join = known.unwrap_or_else(|| {
                let join = compressor.join(self.topic, encoding, self.count);
                self.joins.push((encoding, join));
                join
            });
            if news > 0 {
                session.leave_stream(self.topic);
            } else if session.agreed.is_in_stream() {
                return Form::Stream;
            }
            match join {
                Join::At(at) if at >= news => {
                    session.agreed.enter_stream();
                    return Form::Joining;
                }
                Join::Never => {}
                _ => return Form::Plain,
            }
        }
        if compression == Compression::Off || session.agreed.is_in_stream() {
            return Form::Plain;
        }
        Form::Alone(session.agreed.window())
    }
}

impl Session {
    /// Takes the reader out of the topic's stream: a publication goes past it.
    pub(in crate::shard) fn leave_stream(&mut self, topic: TopicId) {
        if self.agreed.is_in_stream() && self.first.target == TargetId::topic(topic) {
            self.agreed.leave_stream();
        }
    }

    /// Whether the connection may follow the stream of this topic: only of the first that it follows.
    fn has_first(&self, topic: TopicId) -> bool {
        self.first.target == TargetId::topic(topic) && matches!(self.first.place(), Place::Attached(_))
    }
}

/// A topic's stream in one dialect, between two runs.
#[derive(Debug, Default)]
struct Stream {
    /// The bytes that its readers inflated last, since the last joining point: at most a window.
    history: Vec<u8>,
    /// Publications to the next joining point.
    until_join: u32,
}

/// The encoders, decoders and streams of a shard.
#[derive(Debug)]
pub(in crate::shard) struct Compressor {
    settings: CompressionSettings,
    /// Of messages that stand for themselves, by the bits of their windows; made when first needed.
    deflaters: [Option<Box<Deflater>>; 16],
    /// Of all streams; likewise.
    stream_deflater: Option<Box<Deflater>>,
    streams: HashMap<(TopicId, EncodingId), Stream>,
    pub(super) inflater: Option<Box<Inflater>>,
    pub(super) windows: Windows,
    /// Kept between messages so that they stop allocating.
    pub(super) inflated: Vec<u8>,
    deflated: Vec<u8>,
}

impl Compressor {
    pub fn new(settings: CompressionSettings) -> Self {
        Self {
            settings,
            deflaters: Default::default(),
            stream_deflater: None,
            streams: HashMap::new(),
            inflater: None,
            windows: Windows::default(),
            inflated: Vec::new(),
            deflated: Vec::new(),
        }
    }

    /// The window of shared streams, in bits, which stays as it was at the start.
    pub fn stream_window_bits(&self) -> u8 {
        self.settings.stream_window_bits
    }

    /// Takes other settings; the window stays.
    pub fn change(&mut self, settings: CompressionSettings) {
        if settings.level != self.settings.level {
            self.deflaters = Default::default();
            self.stream_deflater = None;
        }
        self.settings = CompressionSettings { stream_window_bits: self.settings.stream_window_bits, ..settings };
    }

    /// Streams that exist.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Windows of peers that may refer to their earlier messages.
    pub fn windows(&self) -> usize {
        self.windows.count()
    }

    /// Bytes that these keep.
    pub fn windows_len(&self) -> usize {
        self.windows.len_of_all()
    }

    /// Forgets the earlier messages of the connection at a place.
    pub fn forget_window(&mut self, place: u32) {
        self.windows.forget(place);
    }

    /// Bytes that they keep.
    pub fn streams_len(&self) -> usize {
        self.streams.values().map(|stream| stream.history.len()).sum()
    }

    fn join(&self, topic: TopicId, encoding: EncodingId, count: usize) -> Join {
        match self.streams.get(&(topic, encoding)) {
            Some(stream) if (stream.until_join as usize) < count => Join::At(stream.until_join as usize),
            Some(_) => Join::Later,
            None if self.streams.len() >= STREAMS_MAX => Join::Never,
            None => Join::At(0),
        }
    }

    /// Encodes publications, each for itself; `None` if all of them are too short for that.
    pub fn encode_alone(
        &mut self,
        encoding: EncodingId,
        window: Window,
        publications: &[Arc<Publication>],
        message: &mut Vec<u8>,
    ) -> Option<Encoded> {
        let is_long = |publication: &Arc<Publication>| publication.payload.len() >= self.settings.threshold as usize;
        if !publications.iter().any(is_long) {
            return None;
        }
        let mut out = Builder::default();
        for publication in publications {
            message.clear();
            let kind = encoding.row().dialect.encode_push(publication, message);
            if publication.payload.len() >= self.settings.threshold as usize {
                let start = out.bytes.len();
                self.frame_alone(window, kind, message, &mut out.bytes);
                out.end(start, message.len());
            } else {
                out.plain(kind, message);
            }
        }
        Some(out.finish())
    }

    /// Encodes the next publications of a topic's stream: for its readers, and for those that join it at the first
    /// joining point.
    pub fn encode_stream(
        &mut self,
        topic: TopicId,
        encoding: EncodingId,
        publications: &[Arc<Publication>],
        message: &mut Vec<u8>,
    ) -> (Encoded, Encoded) {
        let CompressionSettings { level, stream_window_bits: bits, join_every, .. } = self.settings;
        let deflater = self.stream_deflater.get_or_insert_with(|| {
            // Once for all readers of the stream, so that a slower level is affordable.
            Box::new(Deflater::new(bits, level.max(STREAM_LEVEL_MIN)))
        });
        let stream = self.streams.entry((topic, encoding)).or_default();
        let (mut following, mut joining) = (Builder::default(), Builder::default());
        let (mut is_joined, mut is_begun) = (false, false);
        for publication in publications {
            message.clear();
            let kind = encoding.row().dialect.encode_push(publication, message);
            if stream.until_join == 0 {
                stream.until_join = join_every;
                stream.history.clear();
                (is_joined, is_begun) = (true, false);
            }
            stream.until_join -= 1;
            let mut is_taken = message.len() >= STREAM_MESSAGE_LEN_MIN;
            if is_taken {
                if !is_begun {
                    deflater.begin(&stream.history);
                }
                self.deflated.clear();
                deflater.deflate(message, &mut self.deflated);
                // One that does not get smaller is sent as it is, and the stream goes on as if it had not been said;
                // unless there is little yet for the next ones to lean on.
                is_taken = self.deflated.len() < message.len() || stream.history.len() < HISTORY_LEN_MIN;
                is_begun = is_taken;
            }
            if is_taken {
                stream.keep(message, 1 << bits);
                following.deflated(kind, &self.deflated, message.len());
            } else {
                following.plain(kind, message);
            }
            if is_taken && is_joined {
                joining.deflated(kind, &self.deflated, message.len());
            } else {
                joining.plain(kind, message);
            }
        }
        (following.finish(), joining.finish())
    }

    /// Appends a message that stands for itself as one frame, compressed if that is shorter.
    pub(super) fn frame_alone(&mut self, window: Window, kind: MessageKind, message: &[u8], out: &mut Vec<u8>) {
        let (bits, level) = (window.bits(), self.settings.level);
        let deflater = self.deflaters[usize::from(bits)].get_or_insert_with(|| Box::new(Deflater::new(bits, level)));
        self.deflated.clear();
        deflater.begin(&[]);
        deflater.deflate(message, &mut self.deflated);
        if self.deflated.len() < message.len() {
            websocket::frame_deflated(kind, &self.deflated, out);
        } else {
            websocket::frame(kind, message, out);
        }
    }

    /// Drops a topic's streams: they have no reader.
    pub fn forget(&mut self, topic: TopicId) {
        self.keep_streams(topic, |_| false);
    }

    /// Lets those of a topic's streams go that are not to be kept.
    pub fn keep_streams(&mut self, topic: TopicId, keeps: impl Fn(EncodingId) -> bool) {
        if !self.streams.is_empty() {
            for encoding in EncodingId::all().filter(|&encoding| !keeps(encoding)) {
                self.streams.remove(&(topic, encoding));
            }
        }
    }
}

impl Stream {
    /// Keeps the message, as far as the window goes.
    fn keep(&mut self, message: &[u8], window_len: usize) {
        let message = &message[message.len().saturating_sub(window_len)..];
        let surplus = (self.history.len() + message.len()).saturating_sub(window_len);
        self.history.drain(..surplus);
        self.history.extend_from_slice(message);
    }
}

/// A run while it is encoded.
#[derive(Debug, Default)]
struct Builder {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    saved: Vec<u32>,
}

impl Builder {
    fn plain(&mut self, kind: MessageKind, message: &[u8]) {
        let start = self.bytes.len();
        websocket::frame(kind, message, &mut self.bytes);
        self.end(start, message.len());
    }

    fn deflated(&mut self, kind: MessageKind, deflated: &[u8], message_len: usize) {
        let start = self.bytes.len();
        websocket::frame_deflated(kind, deflated, &mut self.bytes);
        self.end(start, message_len);
    }

    /// Notes that the frame which began at `start` is complete, and how many bytes compression saved.
    fn end(&mut self, start: usize, message_len: usize) {
        let saved = (header_len(message_len) + message_len).saturating_sub(self.bytes.len() - start);
        self.ends.push(self.bytes.len() as u32);
        self.saved.push(self.saved.last().unwrap_or(&0) + saved as u32);
    }

    fn finish(self) -> Encoded {
        Encoded { segment: Segment::from(self.bytes), ends: self.ends, saved: self.saved }
    }
}

/// The fastest level of a stream: 3 to 7 us more a message than the fastest there is, for up to a quarter less of each
/// reader's bytes (docs/BENCHMARKS.md).
const STREAM_LEVEL_MIN: u8 = 4;
/// Bytes of the shortest message that a stream takes in; nothing is won by shorter ones.
const STREAM_MESSAGE_LEN_MIN: usize = 16;
/// Bytes of a stream's history below which it takes in messages that do not get smaller by it.
const HISTORY_LEN_MIN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Epoch, PayloadKind, Position, TopicName};
    use crate::time::MonoTime;

    fn tick(number: u64) -> Arc<Publication> {
        let payload = format!("{{\"ticker\":\"AAPL\",\"price\":{}.25,\"number\":{number}}}", number * 7 % 200);
        Arc::new(Publication {
            topic: TopicName::parse("t").expect("a valid name"),
            position: Position { epoch: Epoch(1), offset: number },
            prev: number.saturating_sub(1),
            kind: PayloadKind::Text,
            payload: payload.into_bytes().into(),
            key: None,
            origin: None,
            time: MonoTime::ZERO,
            extras: None,
        })
    }

    /// The frames of a run.
    fn frames(encoded: &Encoded) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(encoded.ends.iter().copied());
        starts.zip(&encoded.ends).map(|(start, &end)| &encoded.segment[start as usize..end as usize]).collect()
    }

    #[test]
    fn a_stream_leans_on_what_was_said_since_its_last_joining_point() {
        let settings = CompressionSettings { join_every: 5, ..CompressionSettings::default() };
        let mut compressor = Compressor::new(settings);
        let (topic, mut message) = (TopicId(1), Vec::new());
        for number in 0..20 {
            let is_join = matches!(compressor.join(topic, EncodingId::RAW, 1), Join::At(0));
            assert_eq!(is_join, number % 5 == 0, "{number}");
            let (following, joining) = compressor.encode_stream(topic, EncodingId::RAW, &[tick(number)], &mut message);
            assert_eq!(following.segment[0], 0xc1, "{number}");
            assert_eq!(joining.segment[0], if is_join { 0xc1 } else { 0x81 }, "{number}");
            let saved = following.saved_from(0) as usize;
            assert_eq!(saved > following.segment.len(), !is_join, "{number} saves {saved}");
        }
        compressor.forget(topic);
        assert_eq!(compressor.streams(), 0);
    }

    #[test]
    fn who_joins_within_a_run_gets_it_as_it_is_up_to_there() {
        let settings = CompressionSettings { join_every: 7, ..CompressionSettings::default() };
        let mut compressor = Compressor::new(settings);
        let (topic, mut message) = (TopicId(1), Vec::new());
        let run = |from: u64| (from..from + 5).map(tick).collect::<Vec<_>>();
        compressor.encode_stream(topic, EncodingId::RAW, &run(0), &mut message);
        assert!(matches!(compressor.join(topic, EncodingId::RAW, 5), Join::At(2)));
        let (following, joining) = compressor.encode_stream(topic, EncodingId::RAW, &run(5), &mut message);
        let (following, joining) = (frames(&following), frames(&joining));
        assert_eq!(joining[2..], following[2..]);
        for (frame, publication) in joining[..2].iter().zip(run(5)) {
            assert_eq!(frame[2..], *publication.payload);
        }
        assert!(joining[3].len() < joining[2].len() / 2, "it leans on the one before");
        assert!(matches!(compressor.join(topic, EncodingId::RAW, 4), Join::Later));
        assert!(matches!(compressor.join(topic, EncodingId::JSON, 4), Join::At(0)), "a stream of its own");
    }

    #[test]
    fn what_cannot_be_compressed_is_no_part_of_a_stream() {
        let mut compressor = Compressor::new(CompressionSettings::default());
        let (topic, mut message) = (TopicId(1), Vec::new());
        let mut rng = fastrand::Rng::with_seed(7);
        let noise = Publication { payload: (0..1000).map(|_| rng.u8(..)).collect(), ..Publication::clone(&tick(9)) };
        let run: Vec<_> = (0..9).map(tick).chain([Arc::new(noise), tick(10)]).collect();
        let (following, _) = compressor.encode_stream(topic, EncodingId::RAW, &run, &mut message);
        let following = frames(&following);
        assert_eq!((following[9][0], following[9].len()), (0x81, 1004));
        assert_eq!(following[10][0], 0xc1);
        assert!(following[10].len() < 20, "it leans on those before");
        let (_, history) = compressor.streams.iter().next().map(|(key, stream)| (key, &stream.history)).expect("one");
        assert!(history.len() < 1000);
    }

    #[test]
    fn messages_that_stand_for_themselves_are_compressed_from_the_threshold_on_and_if_it_helps() {
        let settings = CompressionSettings { threshold: 50, ..CompressionSettings::default() };
        let mut compressor = Compressor::new(settings);
        let mut message = Vec::new();
        assert!(compressor.encode_alone(EncodingId::RAW, Window::Bits15, &[tick(1)], &mut message).is_none());
        let long = |text: &str| {
            let payload = text.as_bytes().iter().copied().cycle().take(300).collect();
            Arc::new(Publication { payload, ..Publication::clone(&tick(2)) })
        };
        let run = [tick(1), long("compressible"), tick(3)];
        for window in [Window::Bits9, Window::Bits12, Window::Bits15] {
            let encoded = compressor.encode_alone(EncodingId::RAW, window, &run, &mut message).expect("one is long");
            let frames = frames(&encoded);
            assert_eq!(frames.iter().map(|frame| frame[0]).collect::<Vec<_>>(), [0x81, 0xc1, 0x81]);
            let saved = 304 - frames[1].len();
            assert_eq!((encoded.saved_from(0), encoded.saved_from(1)), (saved as u64, saved as u64));
            assert_eq!(encoded.saved_from(2), 0);
        }
    }
}
