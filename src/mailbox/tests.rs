//! Full lanes, the order of mail, its cost, and the wake-ups of its receivers.

use std::sync::Arc;

use super::ends::LANE_LEN_MIN;
use super::*;
use crate::command::{Epoch, PayloadKind, Position, Publication, ShardId, TopicLine, TopicName};
use crate::limits::{LANE_COST_MAX, MAIL_COST, MAILBOX_LEN, SPILL_COST_MAX, SPILL_LEN_MAX};
use crate::metrics::ShardMetrics;
use crate::time::MonoTime;

fn leave(n: usize) -> Request {
    Request::Leave { topic: TopicName::parse(&format!("t.{n}")).expect("a valid name"), is_last: false }
}

fn check_drained(mailbox: &mut Mailbox, from: impl Into<Peer> + Copy, expected: std::ops::Range<usize>) {
    let mut next = expected.start;
    mailbox.drain(usize::MAX, |sender, mail| {
        assert_eq!(sender, from.into());
        let Mail::Request(Request::Leave { topic, .. }) = mail else { panic!("only requests were sent") };
        assert_eq!(topic.as_str(), format!("t.{next}"));
        next += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(next, expected.end);
}

#[test]
fn an_answer_costs_what_it_brings() {
    let publication = || {
        Arc::new(Publication {
            topic: TopicName::parse("a").expect("a valid name"),
            position: Position { epoch: Epoch(1), offset: 1 },
            prev: 0,
            kind: PayloadKind::Text,
            payload: Box::from([b'x'; 1_000]),
            key: None,
            origin: None,
            time: MonoTime::ZERO,
            extras: None,
        })
    };
    let brings = |answer: Answer| answer.cost() - MAIL_COST;
    let two = 2 * publication().cost();
    let publications = || vec![publication(), publication()];
    assert_eq!(brings(Answer::Missed { ticket: 1, missed: Some(publications()) }), two);
    assert_eq!(brings(Answer::PatternLastValues { next: None, ticket: 1, publications: publications() }), two);
    let line = TopicLine { topic: publication().topic.clone(), position: publication().position, readers: 1 };
    let lines = vec![line.clone(), line];
    assert_eq!(brings(Answer::Topics { ticket: 1, lines, next: None }), 2 * size_of::<TopicLine>());
    let metrics = Box::<ShardMetrics>::default();
    assert_eq!(brings(Answer::Metrics { ticket: 1, metrics }), size_of::<ShardMetrics>());
    assert_eq!(brings(Answer::Missed { ticket: 1, missed: None }) + brings(Answer::Fenced), 0);
}

#[test]
fn a_full_lane_spills_in_order_and_says_that_it_is_congested() {
    let (mut boxes, _control) = Mailbox::mesh(2);
    let (first, second) = boxes.split_at_mut(1);
    let (a, b) = (&mut first[0], &mut second[0]);
    let mut outgoing = Outgoing::default();
    let total = MAILBOX_LEN + SPILL_LEN_MAX;
    (0..total).for_each(|n| outgoing.ask(ShardId(1), leave(n)));
    assert_eq!(a.post(&mut outgoing), PeerSet::EMPTY, "nobody is parked");
    assert!(a.is_congested() && a.has_spilled());
    check_drained(b, ShardId(0), 0..MAILBOX_LEN);
    a.post(&mut outgoing);
    assert!(!a.is_congested());
    let mut from = MAILBOX_LEN;
    while from < total {
        let to = (from + MAILBOX_LEN).min(total);
        check_drained(b, ShardId(0), from..to);
        a.post(&mut outgoing);
        from = to;
    }
    assert!(!a.has_spilled() && b.depth() == 0);
}

#[test]
fn large_mails_fill_a_lane_by_their_bytes_and_arrive_in_order() {
    let (mut boxes, _control) = Mailbox::mesh(2);
    let (first, second) = boxes.split_at_mut(1);
    let (a, b) = (&mut first[0], &mut second[0]);
    let payload_len = LANE_COST_MAX / 4;
    let publish = |n: usize| Request::Publish {
        topic: TopicName::parse(&format!("t.{n}")).expect("a valid name"),
        message: crate::command::Message::text(&vec![b'x'; payload_len]),
        ticket: None,
    };
    let total = 4 + SPILL_COST_MAX / payload_len;
    let mut outgoing = Outgoing::default();
    (0..total).for_each(|n| outgoing.ask(ShardId(1), publish(n)));
    a.post(&mut outgoing);
    assert!(a.is_congested() && a.has_spilled());
    let mut arrived = Vec::new();
    while arrived.len() < total {
        let before = arrived.len();
        b.drain(usize::MAX, |_, mail| {
            let Mail::Request(Request::Publish { topic, .. }) = mail else { panic!("only these were sent") };
            arrived.push(topic.as_str().to_owned());
            ControlFlow::Continue(())
        });
        assert_eq!(arrived.len() - before, 4, "a lane is full of four");
        a.post(&mut outgoing);
        assert!(!a.is_congested());
    }
    assert_eq!(arrived, (0..total).map(|n| format!("t.{n}")).collect::<Vec<_>>());
    assert!(!a.has_spilled());
}

#[test]
fn only_a_parked_shard_is_woken_and_only_once() {
    let (mut boxes, mut control) = Mailbox::mesh(3);
    assert!(boxes[2].park());
    let mut outgoing = Outgoing::default();
    for _ in 0..2 {
        outgoing.ask(ShardId(1), leave(0));
        outgoing.ask(ShardId(2), leave(0));
        let wake = boxes[0].post(&mut outgoing);
        outgoing.ask(ShardId(2), leave(1));
        assert_eq!((wake, boxes[0].post(&mut outgoing)), (PeerSet::one(ShardId(2).into()), PeerSet::EMPTY));
        boxes[2].drain(usize::MAX, |_, _| ControlFlow::Continue(()));
        boxes[1].drain(usize::MAX, |_, _| ControlFlow::Continue(()));
        assert!(boxes[2].park());
    }
    assert!(control.tell_all(|| Request::Drain));
    assert!(!boxes[1].park(), "mail from the control counts");
}

#[test]
fn the_last_of_as_many_shards_as_there_can_be_is_reached_and_woken() {
    let (mut boxes, _control) = Mailbox::mesh(SHARDS_MAX);
    let (first, last) = (ShardId(0), ShardId((SHARDS_MAX - 1) as u8));
    assert!(boxes[last.index()].park());
    let mut outgoing = Outgoing::default();
    (0..=LANE_LEN_MIN).for_each(|n| outgoing.ask(last, leave(n)));
    assert_eq!(boxes[0].post(&mut outgoing), PeerSet::one(last.into()));
    assert!(boxes[0].has_spilled(), "a lane of so many is as short as it gets");
    check_drained(&mut boxes[last.index()], first, 0..LANE_LEN_MIN);
    boxes[0].post(&mut outgoing);
    check_drained(&mut boxes[last.index()], first, LANE_LEN_MIN..LANE_LEN_MIN + 1);
}

#[test]
fn a_shard_whose_answers_find_no_room_takes_answers_and_no_requests() {
    let (mut boxes, _control) = Mailbox::mesh(2);
    let (first, second) = boxes.split_at_mut(1);
    let (a, b) = (&mut first[0], &mut second[0]);
    let mut outgoing = Outgoing::default();
    let answer = || Answer::Published {
        ticket: 1,
        result: Err(crate::command::Refusal::new(crate::command::ErrorCode::Internal, "")),
    };
    (0..MAILBOX_LEN + SPILL_LEN_MAX).for_each(|_| outgoing.answer(ShardId(1), answer()));
    a.post(&mut outgoing);
    outgoing.ask(ShardId(0), leave(0));
    outgoing.answer(ShardId(0), answer());
    b.post(&mut outgoing);
    let mut kinds = Vec::new();
    a.drain(usize::MAX, |_, mail| {
        kinds.push(matches!(mail, Mail::Answer(_)));
        ControlFlow::Continue(())
    });
    assert_eq!(kinds, [true]);
    assert!(a.park(), "requests that it does not take must not keep it awake");
    b.drain(usize::MAX, |_, _| ControlFlow::Continue(()));
    a.post(&mut outgoing);
    kinds.clear();
    a.drain(usize::MAX, |_, mail| {
        kinds.push(matches!(mail, Mail::Answer(_)));
        ControlFlow::Continue(())
    });
    assert_eq!(kinds, [false]);
}

fn to_engine() -> Outgoing {
    let mut outgoing = Outgoing::default();
    outgoing.ask(Peer::Engine, leave(0));
    outgoing
}

#[test]
fn an_engine_is_woken_if_it_waits_and_wakes_the_shards_that_wait() {
    let (mut boxes, mut engine, _control) = Mailbox::mesh_with_engine(SHARDS_MAX);
    let last = ShardId((SHARDS_MAX - 1) as u8);
    assert_eq!(boxes[last.index()].post(&mut to_engine()), PeerSet::EMPTY, "it does not wait");
    assert!(!engine.park(), "mail is there");
    engine.unpark();
    let mut senders = Vec::new();
    engine.drain(usize::MAX, |from, _| {
        senders.push(from);
        ControlFlow::Continue(())
    });
    assert_eq!(senders, [last.into()]);
    assert!(engine.park());
    assert_eq!(boxes[0].post(&mut to_engine()), PeerSet::one(Peer::Engine));
    assert!(boxes[last.index()].park());
    let mut outgoing = Outgoing::default();
    outgoing.ask(last, leave(0));
    outgoing.ask(ShardId(0), leave(1));
    assert_eq!(engine.post(&mut outgoing), PeerSet::one(last.into()));
    check_drained(&mut boxes[last.index()], Peer::Engine, 0..1);
    check_drained(&mut boxes[0], Peer::Engine, 1..2);
}

#[test]
fn the_lanes_of_an_engine_spill_in_order_and_congest_either_end() {
    let (mut boxes, mut engine, _control) = Mailbox::mesh_with_engine(2);
    let total = MAILBOX_LEN + SPILL_LEN_MAX;
    let mut outgoing = Outgoing::default();
    (0..total).for_each(|n| outgoing.ask(ShardId(1), leave(n)));
    let _ = engine.post(&mut outgoing);
    assert!(engine.is_congested() && engine.has_spilled());
    for from in (0..total).step_by(MAILBOX_LEN) {
        check_drained(&mut boxes[1], Peer::Engine, from..(from + MAILBOX_LEN).min(total));
        let _ = engine.post(&mut outgoing);
        assert!(!engine.is_congested());
    }
    assert!(!engine.has_spilled());
    (0..total).for_each(|n| outgoing.ask(Peer::Engine, leave(n)));
    boxes[0].post(&mut outgoing);
    assert!(boxes[0].is_congested() && !boxes[1].is_congested());
}

#[test]
fn an_engine_whose_answers_find_no_room_takes_answers_and_no_requests() {
    let (mut boxes, mut engine, _control) = Mailbox::mesh_with_engine(1);
    let mut outgoing = Outgoing::default();
    (0..MAILBOX_LEN + SPILL_LEN_MAX).for_each(|_| outgoing.answer(ShardId(0), Answer::Fenced));
    let _ = engine.post(&mut outgoing);
    outgoing.ask(Peer::Engine, leave(0));
    outgoing.answer(Peer::Engine, Answer::Fenced);
    boxes[0].post(&mut outgoing);
    let kinds = |engine: &mut EngineBox| {
        let mut kinds = Vec::new();
        engine.drain(usize::MAX, |_, mail| {
            kinds.push(matches!(mail, Mail::Answer(_)));
            ControlFlow::Continue(())
        });
        kinds
    };
    assert_eq!(kinds(&mut engine), [true]);
    assert!(engine.park(), "requests that it does not take must not keep it awake");
    boxes[0].drain(usize::MAX, |_, _| ControlFlow::Continue(()));
    let _ = engine.post(&mut outgoing);
    assert_eq!(kinds(&mut engine), [false]);
}

#[test]
#[should_panic(expected = "nor to an engine where there is none")]
fn without_an_engine_nothing_is_kept_for_one() {
    let (mut boxes, _control) = Mailbox::mesh(2);
    boxes[0].post(&mut to_engine());
}

#[test]
fn an_engine_on_a_thread_of_its_own_is_not_left_asleep_with_mail() {
    const TOTAL: usize = 20_000;
    let (mut boxes, mut engine, _control) = Mailbox::mesh_with_engine(1);
    let thread = std::thread::spawn(move || {
        let (mut outgoing, mut taken) = (Outgoing::default(), 0);
        while taken < TOTAL || engine.has_spilled() {
            engine.drain(16, |from, _| {
                taken += 1;
                outgoing.answer(from, Answer::Fenced);
                ControlFlow::Continue(())
            });
            let _ = engine.post(&mut outgoing);
            if engine.park() && taken < TOTAL && !engine.has_spilled() {
                std::thread::park();
            }
            engine.unpark();
        }
    });
    let (mut outgoing, mut asked, mut answered) = (Outgoing::default(), 0, 0);
    while answered < TOTAL {
        // Now and then nothing is asked until all is answered, so that the engine sleeps.
        if asked < TOTAL && (asked % 50 != 0 || answered == asked) {
            outgoing.ask(Peer::Engine, leave(asked));
            asked += 1;
        }
        if boxes[0].post(&mut outgoing) == PeerSet::one(Peer::Engine) {
            thread.thread().unpark();
        }
        boxes[0].drain(usize::MAX, |_, _| {
            answered += 1;
            ControlFlow::Continue(())
        });
    }
    thread.join().expect("it ends");
}
