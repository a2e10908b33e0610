//! Tests of the waiting output, its order, and the parts that are dropped.

use super::*;

fn text(segments: &[Segment]) -> String {
    segments.iter().map(|segment| String::from_utf8_lossy(segment)).collect()
}

#[test]
fn control_frames_pass_what_waits_but_not_a_segment_that_was_begun() {
    let mut outbox = Outbox::default();
    outbox.push(Segment::copy_of(b"abcd"), 100).expect("there is room");
    outbox.reply(|out| out.extend_from_slice(b"ef"));
    outbox.push(Segment::copy_of(b"gh"), 100).expect("there is room");
    let mut segments = outbox.next_send(Vec::new(), usize::MAX).expect("something waits");
    assert_eq!(text(&segments), "abcdefgh");
    outbox.control(|out| out.extend_from_slice(b"!"));
    assert_eq!(outbox.next_send(Vec::new(), usize::MAX).map(|_| ()), None, "one send at a time");
    segments[0].advance(2);
    outbox.sent(2, &mut segments);
    assert_eq!(outbox.len(), 7);
    let mut segments = outbox.next_send(segments, usize::MAX).expect("something waits");
    assert_eq!(text(&segments), "cd!efgh");
    segments.clear();
    outbox.sent(7, &mut segments);
    assert_eq!((outbox.len(), outbox.next_send(segments, usize::MAX).map(|_| ())), (0, None));
}

#[test]
fn the_bound_holds_for_who_left_something_and_not_for_one_turn_of_who_did_not() {
    let mut outbox = Outbox::default();
    outbox.push(Segment::copy_of(&[0; 50]), 10).expect("a reader with nothing waiting takes anything");
    outbox.push(Segment::copy_of(b"x"), 10).expect("it is still the same turn");
    let mut segments = outbox.next_send(Vec::new(), usize::MAX).expect("something waits");
    assert_eq!(outbox.push(Segment::copy_of(b"x"), 10), Err(Full));
    segments.remove(0);
    outbox.sent(50, &mut segments);
    outbox.push(Segment::copy_of(&[0; 9]), 10).expect("there is room");
    assert_eq!(outbox.push(Segment::copy_of(b"x"), 10), Err(Full));
}

#[test]
fn dropping_keeps_only_the_segment_that_was_begun() {
    let mut outbox = Outbox::default();
    outbox.push(Segment::copy_of(b"abcd"), 100).expect("there is room");
    outbox.push(Segment::copy_of(b"efgh"), 100).expect("there is room");
    let mut segments = outbox.next_send(Vec::new(), usize::MAX).expect("something waits");
    segments[0].advance(1);
    outbox.sent(1, &mut segments);
    outbox.control(|out| out.push(b'?'));
    outbox.drop_queued();
    outbox.control(|out| out.push(b'!'));
    assert_eq!(text(&outbox.next_send(segments, usize::MAX).expect("something waits")), "bcd!");
}

#[test]
fn nothing_passes_the_opening_handshake() {
    let mut outbox = Outbox::default();
    outbox.reply(|out| out.extend_from_slice(b"HTTP"));
    outbox.guard();
    outbox.control(|out| out.push(b'!'));
    outbox.reply(|out| out.extend_from_slice(b"abc"));
    let mut segments = outbox.next_send(Vec::new(), usize::MAX).expect("something waits");
    assert_eq!(text(&segments), "HTTP!abc");
    segments[0].advance(1);
    outbox.sent(1, &mut segments);
    outbox.control(|out| out.push(b'?'));
    assert!(text(&outbox.next_send(segments, usize::MAX).expect("something waits")).starts_with("TTP!"));
}

#[test]
fn nothing_passes_the_opening_handshake_behind_a_response_in_flight() {
    let mut outbox = Outbox::default();
    outbox.reply(|out| out.extend_from_slice(b"response"));
    let mut segments = outbox.next_send(Vec::new(), usize::MAX).expect("something waits");
    outbox.reply(|out| out.extend_from_slice(b"HTTP"));
    outbox.guard();
    outbox.control(|out| out.push(b'!'));
    segments[0].advance(3);
    outbox.sent(3, &mut segments);
    assert_eq!(text(&outbox.next_send(segments, usize::MAX).expect("something waits")), "ponseHTTP!");
}

#[test]
fn a_control_frame_waits_for_the_end_of_a_segment_that_goes_out_in_portions() {
    let mut outbox = Outbox::default();
    outbox.push(Segment::copy_of(b"abcdefgh"), 100).expect("there is room");
    outbox.push(Segment::copy_of(b"ijk"), 100).expect("there is room");
    let mut heard = Vec::new();
    while let Some(segments) = outbox.next_send(Vec::new(), 3) {
        heard.push(text(&segments));
        if heard.len() == 1 {
            outbox.control(|out| out.push(b'!'));
        }
        assert!(outbox.sent_all(100) <= 3);
    }
    assert_eq!(heard.concat(), "abcdefgh!ijk", "{heard:?}");
    assert_eq!(outbox.len(), 0);
}

#[test]
fn who_takes_portions_as_they_come_is_not_behind_until_too_much_is_left() {
    let mut outbox = Outbox::default();
    outbox.push(Segment::copy_of(&[0; 50]), 20).expect("a reader with nothing waiting takes anything");
    let mut is_behind = Vec::new();
    while outbox.next_send(Vec::new(), 20).is_some() {
        assert!(outbox.is_behind(), "nobody knows yet whether it takes it");
        outbox.sent_all(20);
        is_behind.push(outbox.is_behind());
    }
    assert_eq!(is_behind, [true, false, false]);
}

#[test]
fn one_segment_is_taken_whole_and_what_comes_back_of_it_is_first() {
    let mut outbox = Outbox::default();
    assert!(outbox.take_only().is_none(), "nothing waits");
    outbox.reply(|out| out.extend_from_slice(b"HTTP"));
    outbox.guard();
    let only = outbox.take_only().expect("one waits");
    assert_eq!((&only[..], outbox.len()), (&b"HTTP"[..], 0));
    outbox.control(|out| out.push(b'!'));
    let mut rest = vec![only];
    outbox.adopt_rest(0, &mut rest);
    assert_eq!(outbox.take_only().map(|_| ()), None, "what comes back is told of when it is out");
    assert_eq!(text(&outbox.next_send(Vec::new(), usize::MAX).expect("both wait")), "HTTP!");
}

#[test]
fn what_is_more_than_one_segment_or_in_flight_is_not_taken_whole() {
    let mut outbox = Outbox::default();
    outbox.control(|out| out.push(b'!'));
    assert_eq!(&outbox.take_only().expect("one waits")[..], b"!");
    outbox.control(|out| out.push(b'?'));
    outbox.reply(|out| out.push(b'a'));
    assert!(outbox.take_only().is_none(), "two wait");
    assert_eq!(text(&outbox.next_send(Vec::new(), usize::MAX).expect("both wait")), "?a");
    outbox.reply(|out| out.push(b'b'));
    assert!(outbox.take_only().is_none(), "there is one in flight");
}

#[test]
fn runs_of_one_block_join_in_the_queue() {
    let block = Segment::copy_of(b"onetwothree");
    let mut outbox = Outbox::default();
    outbox.push(block.slice(0..3), 100).expect("there is room");
    outbox.push(block.slice(3..6), 100).expect("there is room");
    assert_eq!(outbox.next_send(Vec::new(), usize::MAX).expect("something waits").len(), 1);
}
