//! Numbers, last values, joining, conditions.

use super::super::tests::{cost_of, hub, say, topic};
use super::*;
use crate::command::Extras;

#[test]
fn offsets_count_from_one_and_the_last_value_is_kept() {
    let mut hub = hub(1, 100, 1_000);
    assert_eq!(say(&mut hub, "a", "one").publication.position.offset, 1);
    assert_eq!(say(&mut hub, "a", "two").publication.position.offset, 2);
    let state = hub.state("a").expect("the topic is there");
    assert_eq!(state.position.offset, 2);
    assert_eq!(&*state.last.expect("the last value is kept").payload, b"two");
    assert_eq!(hub.state("b"), None);
}

#[test]
fn a_publication_that_passes_leaves_the_last_value_as_it_was() {
    let mut hub = hub(1, 100, 1_000);
    let name = topic("a");
    say(&mut hub, "a", "stays");
    let extras = Some(Box::new(Extras { is_passing: true, ..Extras::default() }));
    let message = Message { extras, ..Message::text(b"passes by") };
    let Outcome::Said(said) = hub.publish(MonoTime::ZERO, &name, message).expect("there is room") else {
        panic!("it has no message id")
    };
    assert_eq!((said.publication.position.offset, said.publication.prev), (2, 1));
    let last = |hub: &mut Hub| hub.state("a").and_then(|state| state.last).map(|last| last.payload.to_vec());
    assert_eq!(last(&mut hub), Some(b"stays".to_vec()));
    assert_eq!(hub.sizes().retained_len, cost_of("stays"));
    let position = said.publication.position;
    let mut join = |offset| {
        let since = Some(Position { offset, ..position });
        hub.join(MonoTime::ZERO, &name, ShardId(0), since, true).expect("there is room").recovered
    };
    assert_eq!((join(2), join(1)), (Some(true), Some(false)), "what passed is kept nowhere");
    say(&mut hub, "a", "next");
    assert_eq!(last(&mut hub), Some(b"next".to_vec()));
}

#[test]
fn a_publication_goes_to_the_shards_with_readers_and_to_no_other() {
    let mut hub = hub(1, 100, 1_000);
    assert_eq!(say(&mut hub, "a", "x").shards, ShardSet::EMPTY);
    hub.join(MonoTime::ZERO, &topic("a"), ShardId(3), None, true).expect("there is room");
    hub.join(MonoTime::ZERO, &topic("a"), ShardId(3), None, true).expect("there is room");
    hub.join(MonoTime::ZERO, &topic("a"), ShardId(127), None, true).expect("there is room");
    assert_eq!(say(&mut hub, "a", "x").shards, [3, 127].map(ShardId).into_iter().collect());
    hub.leave(MonoTime::ZERO, "a", ShardId(3), false);
    assert_eq!(say(&mut hub, "a", "x").shards, [3, 127].map(ShardId).into_iter().collect());
    hub.leave(MonoTime::ZERO, "a", ShardId(3), true);
    assert_eq!(say(&mut hub, "a", "x").shards, ShardSet::one(ShardId(127)));
    assert_eq!(hub.state("a").expect("the topic is there").presence.readers, 1);
}

#[test]
fn a_topic_that_one_reads_and_nobody_spoke_in_is_like_any_other() {
    let now = MonoTime::ZERO;
    let mut hub = hub(1, 100, 1_000);
    let a = topic("a");
    let answer = hub.join(now, &a, ShardId(3), None, true).expect("there is room");
    let since = answer.position;
    assert_eq!((since.offset, answer.recovered, answer.publications.len()), (0, None, 0));
    assert_eq!(hub.sizes().topics, 1);
    let state = hub.state("a").expect("it is read");
    assert_eq!((state.position, state.last), (since, None));
    assert_eq!((state.presence.readers, state.presence.joins, state.presence.leaves), (1, 1, 0));
    let history = hub.history(now, "a", HistoryQuery::ALL).expect("it is read");
    assert_eq!((history.position, history.publications.len()), (since, 0));
    let at = |position| Message {
        terms: Some(Box::new(Terms { condition: Some(Condition::At(position)), ..Terms::default() })),
        ..Message::text(b"x")
    };
    let elsewhere = Position { offset: 1, ..since };
    let refused = hub.publish(now, &a, at(elsewhere)).map(|_| ()).map_err(|refusal| refusal.position);
    assert_eq!(refused, Err(Some(since)));
    let Ok(Outcome::Said(said)) = hub.publish(now, &a, at(since)) else { panic!("it stands there") };
    assert_eq!((said.publication.position, said.shards), (elsewhere, ShardSet::one(ShardId(3))));
    let again = hub.join(now, &a, ShardId(4), Some(since), true).expect("there is room");
    assert_eq!((again.recovered, again.publications.len()), (Some(true), 1));
    assert_eq!(hub.state("a").expect("it is read").presence.readers, 2);
}

#[test]
fn the_one_reader_of_a_topic_may_leave_while_another_of_its_shard_joins() {
    let mut hub = hub(1, 100, 1_000);
    let join = |hub: &mut Hub| hub.join(MonoTime::ZERO, &topic("a"), ShardId(3), None, true).expect("there is room");
    let first = join(&mut hub).position;
    hub.leave(MonoTime::ZERO, "a", ShardId(3), false);
    assert_eq!(hub.state("a").expect("its shard holds it").presence.readers, 0);
    assert_eq!(join(&mut hub).position, first);
    hub.leave(MonoTime::ZERO, "a", ShardId(3), true);
    hub.end_turn();
    assert_eq!((hub.sizes().topics, hub.sizes().entries), (0, 0));
    assert_eq!(join(&mut hub).position, first, "nothing was said meanwhile");
    hub.leave(MonoTime::ZERO, "a", ShardId(3), true);
    hub.end_turn();
    assert_eq!((hub.sizes().topics, hub.sizes().entries), (0, 0));
}

#[test]
fn a_reader_is_told_whether_it_missed_something() {
    let mut hub = hub(1, 100, 1_000);
    say(&mut hub, "a", "one");
    let position = say(&mut hub, "a", "two").publication.position;
    let mut join = |since: Option<Position>, last| {
        let answer = hub.join(MonoTime::ZERO, &topic("a"), ShardId(0), since, last).expect("there is room");
        (answer.recovered, answer.publications.iter().map(|p| p.position.offset).collect::<Vec<_>>())
    };
    let at = |offset| Some(Position { epoch: position.epoch, offset });
    assert_eq!(join(None, true), (None, vec![2]));
    assert_eq!(join(None, false), (None, vec![]));
    assert_eq!(join(at(2), true), (Some(true), vec![]), "nothing was missed");
    assert_eq!(join(at(1), false), (Some(true), vec![2]), "one was missed and is still there");
    assert_eq!(join(at(0), true), (Some(false), vec![2]), "two were missed, one is left");
    assert_eq!(join(at(3), true), (Some(false), vec![2]), "the future is another epoch's");
    let foreign = Some(Position { epoch: Epoch(position.epoch.0 + 1), offset: 2 });
    assert_eq!(join(foreign, true), (Some(false), vec![2]));
}

#[test]
fn a_topic_that_nothing_was_said_in_stands_where_it_stood_whoever_comes_and_goes() {
    let now = MonoTime::ZERO;
    let mut hub = hub(1, 100, 1_000);
    let a = topic("a");
    let visit = |hub: &mut Hub, since| {
        let answer = hub.join(now, &a, ShardId(0), since, true).expect("there is room");
        hub.leave(MonoTime::ZERO, "a", ShardId(0), true);
        hub.end_turn();
        assert_eq!(hub.sizes().entries, usize::from(answer.position.offset > 0));
        answer
    };
    let first = visit(&mut hub, None).position;
    let again = visit(&mut hub, Some(first));
    assert_eq!((again.position, again.recovered), (first, Some(true)));
    let at = |condition| Message {
        terms: Some(Box::new(Terms { condition: Some(condition), ..Terms::default() })),
        ..Message::text(b"x")
    };
    let elsewhere = Position { epoch: Epoch(first.epoch.0 ^ 1), offset: 0 };
    assert!(hub.publish(now, &topic("a"), at(Condition::At(elsewhere))).is_err());
    assert!(hub.publish(now, &topic("a"), at(Condition::At(first))).is_ok(), "it stands there, read or not");
    let missed = visit(&mut hub, Some(first));
    assert_eq!((missed.recovered, missed.publications.len()), (Some(true), 1));
    assert_ne!(hub.epoch("a", 0), hub.epoch("b", 0));
    assert_ne!(hub.epoch("a", 0), hub.epoch("a", 1));
}

#[test]
fn past_the_limit_of_topics_a_new_one_is_refused_and_an_old_one_goes_on() {
    let mut hub = hub(1, 2, 1_000);
    say(&mut hub, "a", "x");
    hub.join(MonoTime::ZERO, &topic("b"), ShardId(0), None, true).expect("there is room");
    let refused = hub.publish(MonoTime::ZERO, &topic("c"), Message::text(b""));
    assert_eq!(refused.map(|_| ()).map_err(|refusal| refusal.code), Err(ErrorCode::Overloaded));
    say(&mut hub, "a", "x");
    hub.leave(MonoTime::ZERO, "b", ShardId(0), true);
    say(&mut hub, "c", "x");
    assert_eq!(hub.sizes().topics, 2);
}
