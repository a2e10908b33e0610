//! The loop.

use std::io;
use std::ops::ControlFlow;

use super::Shard;
use crate::budget::Part;
use crate::command::Peer;
use crate::driver::Driver;
use crate::limits::{MAIL_PER_TURN_MAX, SPILL_RETRY_MS};
use crate::mailbox::Mailbox;
use crate::time::MonoTime;

/// Runs a shard until it has shut down. `wake` wakes a thread that waits and has got mail.
///
/// # Errors
/// An error after which the driver cannot go on.
pub fn run<D: Driver>(driver: &mut D, shard: &mut Shard, mailbox: &mut Mailbox, wake: impl Fn(Peer)) -> io::Result<()> {
    while !shard.is_drained() {
        turn(driver, shard, mailbox, &wake)?;
    }
    Ok(())
}

/// One turn: wait, take in, send out.
///
/// # Errors
/// An error after which the driver cannot go on.
pub fn turn<D: Driver>(
    driver: &mut D,
    shard: &mut Shard,
    mailbox: &mut Mailbox,
    wake: impl Fn(Peer),
) -> io::Result<()> {
    shard.begin_turn();
    let now = driver.now();
    if shard.wants_wall_time(now) {
        shard.note_wall_time(now, driver.wall_millis());
    }
    let until = next_look(now, shard, mailbox);
    driver.wait(until, |now, completion| shard.handle(now, completion))?;
    mailbox.unpark();
    let now = driver.now();
    let woken_at = shard.woken_at(now);
    shard.begin_part(Part::Mail);
    mailbox.drain(MAIL_PER_TURN_MAX, |from, mail| {
        shard.handle_mail(now, from, mail);
        if shard.is_turn_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    shard.begin_part(Part::Work);
    shard.resume_put_off();
    shard.handle_timeout(now);
    assert!(shard.poll_timeout().is_none_or(|deadline| now < deadline), "a deadline did not advance");
    shard.flush();
    let woken = mailbox.post(&mut shard.outgoing);
    shard.handle_congestion(mailbox.is_congested());
    driver.submit(&mut shard.ops)?;
    woken.iter().for_each(wake);
    if shard.takes_release() {
        driver.release_memory();
    }
    shard.note_turn(driver.now().since(woken_at).as_nanos() as u64, mailbox.depth(), mailbox.cost());
    Ok(())
}

/// The time until which the driver may wait: not at all if there is mail or work, and only briefly if outgoing mail
/// found no room.
fn next_look(now: MonoTime, shard: &Shard, mailbox: &Mailbox) -> Option<MonoTime> {
    if !mailbox.park() || shard.has_work() {
        return Some(now);
    }
    let retry = mailbox.has_spilled().then(|| now.plus_millis(SPILL_RETRY_MS));
    [shard.poll_timeout(), retry].into_iter().flatten().min()
}
