//! A connection as plain data: [`Conns::read`] writes one down, [`Conns::write`] makes it again in a fresh place of
//! this arena or of another process's. For a hand-over, which does not exist yet.
//!
//! ```text
//! 0 version | 2 carrier | 3 standing | 4 listener | 5 timer | 6 end, 0 for none | 7 encoding | 8 agreed | 9 zero
//! 10 flags | 12 marks | 14 owner | 16 ticks since the last sign of life | 20 ticks until the deadline | 24 check
//! ```
//!
//! Numbers are little-endian. Two processes have two clocks, so times are relative to the moment of writing.
//!
//! A hand-over must add:
//! - the socket, and the driver's end of it; the wheel's entry; the count of connections, its address among them;
//! - what the slots name in pools: the edge, what was parsed, the outbox, further subscriptions and those under way, the
//!   lag, the rest. They are written as none, and the flags and marks that follow from them as unset;
//! - subscriptions, the first among them, by the names of their topics: the ids are this shard's own;
//! - the windows and streams of compression that `agreed` stands for;
//! - the owner under the other process's key, and whether the other process has the listener.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::arena::Conns;
use super::conn::{Carrier, Conn, Standing, Timer, tick};
use crate::close::CloseReason;
use crate::command::{ConnId, Owner};
use crate::shard::session::agreed::Agreed;
use crate::shard::session::encoding::EncodingId;
use crate::time::MonoTime;

/// A connection, written down.
pub(in crate::shard) type Image = [u8; IMAGE_LEN];

/// Why a connection could not be made from its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum ImageError {
    /// These bytes are not what this version writes.
    Damaged,
    /// The arena is full.
    Full,
}

impl Conns {
    /// Writes a connection down; `None` if it is not there.
    pub fn read(&self, id: ConnId, now: MonoTime) -> Option<Image> {
        self.get(id).map(|conn| encode(conn, now))
    }

    /// Makes a connection from its image. It has an id of this arena, and its deadline is not in the wheel yet.
    ///
    /// # Errors
    /// If the bytes are no image, or if the arena is full; then nothing was made.
    pub fn write(&mut self, image: &[u8], now: MonoTime) -> Result<ConnId, ImageError> {
        let conn = parse(image, now).ok_or(ImageError::Damaged)?;
        let id = self.insert(now).ok_or(ImageError::Full)?;
        let generation = id.generation;
        self[id.index] = conn;
        self[id.index].link.generation = generation;
        Ok(id)
    }
}

/// A connection as bytes.
fn encode(conn: &Conn, now: MonoTime) -> Image {
    let Conn { link, session } = conn;
    let now = tick(now);
    let mut image = [0; IMAGE_LEN];
    let (body, told) = image.split_at_mut(BODY_LEN);
    let end = link.end.map_or(0, |end| end.index() as u8 + 1);
    let single = [link.carrier as u8, link.standing as u8, link.listener, link.timer as u8, end];
    body[..2].copy_from_slice(&VERSION.to_le_bytes());
    body[2..7].copy_from_slice(&single);
    body[7..9].copy_from_slice(&[session.encoding.to_bits(), session.agreed.to_bits()]);
    body[10..12].copy_from_slice(&link.written_flags().to_le_bytes());
    body[12..14].copy_from_slice(&session.written_marks().to_le_bytes());
    body[14..16].copy_from_slice(&session.owner.0.to_le_bytes());
    body[16..20].copy_from_slice(&now.saturating_sub(link.active_tick).to_le_bytes());
    body[20..].copy_from_slice(&link.deadline_tick.saturating_sub(now).to_le_bytes());
    told.copy_from_slice(&check(body));
    image
}

/// The connection of an image, with no generation yet; `None` for all that [`encode`] does not write.
fn parse(image: &[u8], now: MonoTime) -> Option<Conn> {
    let image: &Image = image.try_into().ok()?;
    let (body, told) = image.split_at(BODY_LEN);
    let two_at = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
    let four_at = |at: usize| u32::from_le_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
    if two_at(0) != VERSION || body[9] != 0 || told != check(body) {
        return None;
    }
    let mut conn = Conn::new(0, now);
    let link = &mut conn.link;
    link.carrier = *Carrier::ALL.get(usize::from(body[2]))?;
    link.standing = *Standing::ALL.get(usize::from(body[3]))?;
    link.listener = body[4];
    link.timer = *Timer::ALL.get(usize::from(body[5]))?;
    link.end = match usize::from(body[6]) {
        0 => None,
        number => Some(*CloseReason::ALL.get(number - 1)?),
    };
    link.set_written_flags(two_at(10))?;
    link.active_tick = tick(now).saturating_sub(four_at(16));
    link.deadline_tick = tick(now).saturating_add(four_at(20));
    let session = &mut conn.session;
    session.speak(EncodingId::from_bits(body[7])?);
    session.agreed = Agreed::from_bits(body[8])?;
    session.set_written_marks(two_at(12))?;
    session.owner = Owner(two_at(14));
    Some(conn)
}

/// Against damage, not against forgery: the key is no secret.
fn check(body: &[u8]) -> [u8; CHECK_LEN] {
    let mut hasher = SipHasher13::new_with_keys(u64::from(VERSION), IMAGE_LEN as u64);
    hasher.write(body);
    hasher.finish().to_le_bytes()
}

/// Another for each change of the layout or of the meaning of a number in it.
const VERSION: u16 = 1;
const BODY_LEN: usize = 24;
const CHECK_LEN: usize = 8;
const IMAGE_LEN: usize = BODY_LEN + CHECK_LEN;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::link::conn::Flag;
    use crate::shard::session::agreed::Window;
    use crate::shard::session::session::Mark;
    use crate::shard::session::subscription::{Place, Subscription, TargetId};
    use crate::shard::slot::Slot;
    use crate::time::TICK_MS;
    use proptest::prelude::*;

    /// A time of so many ticks.
    fn at(ticks: u64) -> MonoTime {
        MonoTime::ZERO.plus_millis(ticks * TICK_MS)
    }

    /// All of a connection, to compare.
    fn text(conn: &Conn) -> String {
        format!("{conn:?}")
    }

    fn with_check(mut image: Image) -> Image {
        let check = check(&image[..BODY_LEN]);
        image[BODY_LEN..].copy_from_slice(&check);
        image
    }

    prop_compose! {
        /// Any connection that has nothing in pools, as it may be at tick 1,000.
        fn any_conn()(
            carrier in prop::sample::select(&Carrier::ALL[..]),
            standing in prop::sample::select(&Standing::ALL[..]),
            timer in prop::sample::select(&Timer::ALL[..]),
            end in prop::option::of(prop::sample::select(&CloseReason::ALL[..])),
            encoding in prop::sample::select(EncodingId::all().collect::<Vec<_>>()),
            agreed in prop::option::of((any::<u8>(), any::<bool>(), any::<bool>())),
            (listener, owner) in any::<(u8, u16)>(),
            (closing, deaf, peer_done, finished, no_echo) in any::<(bool, bool, bool, bool, bool)>(),
            (active_tick, deadline_tick) in (0..=1_000_u32, 1_000_u32..),
        ) -> Conn {
            let mut conn = Conn::new(0, at(1_000));
            let (link, session) = (&mut conn.link, &mut conn.session);
            (link.carrier, link.standing, link.listener, link.timer) = (carrier, standing, listener, timer);
            (link.end, link.active_tick, link.deadline_tick) = (end, active_tick, deadline_tick);
            let flags = [Flag::CLOSING, Flag::DEAF, Flag::PEER_DONE, Flag::FINISHED];
            flags.into_iter().zip([closing, deaf, peer_done, finished]).for_each(|(flag, on)| link.set(flag, on));
            session.speak(encoding);
            session.set(Mark::NO_ECHO, no_echo);
            session.owner = Owner(owner);
            session.agreed = agreed.map_or(Agreed::NONE, |(bits, keeps, may)| Agreed::new(Window::at_most(bits % 16), keeps, may));
            conn
        }
    }

    proptest! {
            #[test]
            fn every_field_survives(conn in any_conn()) {
                let back = parse(&encode(&conn, at(1_000)), at(1_000)).expect("it was written here");
                prop_assert_eq!(text(&back), text(&conn));
            }

            #[test]
            fn a_flipped_bit_is_refused(conn in any_conn(), bit in 0..IMAGE_LEN * 8) {
                let mut image = encode(&conn, at(1_000));
                image[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(parse(&image, at(1_000)).is_none());
            }

            #[test]
            fn other_bits_with_the_right_check_are_refused_or_another_connection(
                conn in any_conn(),
                flips in prop::collection::vec(0..BODY_LEN * 8, 1..4),
            ) {
                let mut image = encode(&conn, at(1_000));
                flips.iter().for_each(|bit| image[bit / 8] ^= 1 << (bit % 8));
                if let Some(other) = parse(&with_check(image), at(1_000)) {
                    let again = parse(&encode(&other, at(1_000)), at(1_000)).expect("it was written here");
                    prop_assert_eq!(text(&again), text(&other));
                    prop_assert_eq!(other.session.is(Mark::PREFIXED), other.session.encoding.row().has_prefix);
                }
            }

            #[test]
            fn bytes_that_are_no_image_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
                prop_assert!(parse(&bytes, at(0)).is_none());
            }

            #[test]
            fn an_arena_read_into_another_gives_the_same_connections(all in prop::collection::vec(any_conn(), 0..20)) {
                let (mut here, mut there) = (Conns::new(20), Conns::new(19));
                there.insert(at(0)).map(|id| there.remove(id)).expect("there is room");
                let ids: Vec<ConnId> = all.into_iter().map(|conn| {
                    let id = here.insert(at(0)).expect("there is room");
    here[id.index] = conn;
                    here[id.index].link.generation = id.generation;
                    id
                }).collect();
                for (count, &id) in ids.iter().enumerate() {
                    let image = here.read(id, at(1_000)).expect("it is there");
                    match there.write(&image, at(1_000)) {
                        Ok(new) => {
                            prop_assert_eq!(there.read(new, at(1_000)), Some(image));
                            prop_assert_ne!(new.generation, id.generation, "its id is of the other arena");
                        }
                        Err(error) => prop_assert_eq!((error, count), (ImageError::Full, 19)),
                    }
                }
                prop_assert_eq!(there.len(), ids.len().min(19));
            }
        }

    #[test]
    fn a_bit_behind_the_check_that_means_nothing_is_refused_wherever_it_stands() {
        let image = encode(&Conn::new(0, at(0)), at(0));
        let refused = |at: usize, bits: u8| {
            let mut image = image;
            image[at] |= bits;
            parse(&with_check(image), MonoTime::ZERO).is_none()
        };
        for (byte, bits) in [(0, 2), (1, 1), (2, 4), (3, 4), (5, 8), (6, 23), (7, 0x80), (8, 4), (8, 8), (8, 0x21)] {
            assert!(refused(byte, bits), "byte {byte}, {bits:#x}");
        }
        // A byte without a meaning, flags and marks of what stands in pools, a prefix where the encoding has none.
        for (byte, bits) in
            [(9, 1), (10, 1), (10, 1 << 5), (11, 1 << 2), (11, 0x80), (12, 1 << 1), (12, 1 << 5), (13, 1)]
        {
            assert!(refused(byte, bits), "byte {byte}, {bits:#x}");
        }
        assert!(!refused(0, 0) && !refused(4, 0xff) && !refused(15, 0xff));
        let version = 1;
        assert_eq!(image[..2], [version, 0]);
        assert!(
            parse(&image[..IMAGE_LEN - 1], at(0)).is_none() && parse(&[&image[..], &[0]].concat(), at(0)).is_none()
        );
    }

    #[test]
    fn what_stands_elsewhere_is_written_as_none() {
        let mut conn = Conn::new(7, at(0));
        let plain = encode(&conn, at(0));
        let (link, session) = (&mut conn.link, &mut conn.session);
        for slot in [&mut link.parser, &mut link.outbox, &mut link.edge] {
            *slot = Slot::new(1);
        }
        for slot in [&mut session.more, &mut session.pending, &mut session.lag, &mut session.rest] {
            *slot = Slot::new(2);
        }
        session.first = Subscription::new(TargetId::topic(crate::hub::TopicId(3)), Place::Attached(4));
        session.target_count = 5;
        for flag in [Flag::DIRTY, Flag::PAUSED] {
            link.set(flag, true);
        }
        for mark in [Mark::HELD, Mark::JOINED_NOW, Mark::HAS_POLICIES, Mark::PACED] {
            session.set(mark, true);
        }
        assert_eq!(encode(&conn, at(0)), plain);
        session_in_a_stream(&mut conn);
        let back = parse(&encode(&conn, at(0)), at(0)).expect("it was written here");
        assert_eq!(back.session.agreed, Agreed::new(Window::Bits12, true, false), "the stream is left");
    }

    fn session_in_a_stream(conn: &mut Conn) {
        conn.session.agreed = Agreed::new(Window::Bits12, true, false);
        conn.session.agreed.enter_stream();
    }

    #[test]
    fn times_go_by_the_clock_of_the_reader() {
        let mut conn = Conn::new(0, at(1_000));
        (conn.link.active_tick, conn.link.deadline_tick) = (940, 1_030);
        let image = encode(&conn, at(1_000));
        let read_at = |ticks| parse(&image, at(ticks)).map(|it| (it.link.active_tick, it.link.deadline_tick));
        assert_eq!(read_at(5_000), Some((4_940, 5_030)));
        assert_eq!(read_at(10), Some((0, 40)), "its clock does not go back as far");
        assert_eq!(read_at(u64::from(u32::MAX)), Some((u32::MAX - 60, u32::MAX)));
        let late = parse(&encode(&conn, at(1_050)), at(7)).expect("it was written here");
        assert_eq!(late.link.deadline_tick, 7, "what is overdue is due at once");
    }

    #[test]
    fn the_numbers_are_those_of_this_version() {
        let same = |codes: &[u8]| codes.iter().enumerate().all(|(index, &code)| usize::from(code) == index);
        assert!(same(&Carrier::ALL.map(|it| it as u8)) && same(&Standing::ALL.map(|it| it as u8)));
        assert!(same(&Timer::ALL.map(|it| it as u8)));
        let rows: Vec<String> = EncodingId::all()
            .map(|id| format!("{:?}/{:?}/{}", id.row().framing, id.row().dialect, id.row().has_prefix))
            .collect();
        let first = [&rows[0], &rows[4], &rows[9], &rows[17]];
        assert_eq!(
            first,
            ["WebSocket/Raw/false", "Events/Feed/true", "Chunks/JsonWithHeaders/false", "SockJsElements/Echo/false"]
        );
        let ends = [0, 7, 13, 21].map(|index| CloseReason::ALL[index].row().label);
        assert_eq!(
            ends,
            ["normal", "forbidden", "ping_timeout", "bad_proxy_header"],
            "a new one goes to the end, or VERSION grows"
        );
    }
}
