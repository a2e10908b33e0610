//! The memory of a TLS connection that has sent something and is silent now.
//!
//! `FANWIRE_IDLE_TLS_CONNECTIONS` is how many; the memory is printed, not asserted. What is asserted is that no record and
//! no block is held for any of them.

use crate::common::{Frame, Socket};
use crate::{World, assert_echo};

#[test]
fn silent_connections_hold_no_records() {
    let wanted = std::env::var("FANWIRE_IDLE_TLS_CONNECTIONS").map_or(600, |text| text.parse().expect("a number"));
    let descriptors_max = fanwire::driver::raise_descriptors_max() as usize;
    assert!(wanted + 100 < descriptors_max, "{descriptors_max} descriptors are too few");
    let world = World::new(&["--shards", "1"]);
    let config = world.client();
    let join = |_| {
        let mut socket = world.connect_as(&config, "localhost");
        socket.open("/raw/idle?last=0");
        socket.send(Frame::ping("there?")).expect_pong("there?");
        socket
    };
    let few = wanted / 5;
    let mut readers: Vec<Socket> = (0..few).map(join).collect();
    let memory_of_few = memory_len(world.gateway.pid());
    readers.extend((few..wanted).map(join));
    let memory_of_all = memory_len(world.gateway.pid());
    let slope = (memory_of_all as f64 - memory_of_few as f64) / (wanted - few) as f64;
    println!("{wanted} connections: {slope:.0} bytes of the gateway's own memory each ({few} to {wanted})");

    let mut publisher = world.websocket("/raw/idle?last=0");
    publisher.send(Frame::text("all of you"));
    for reader in &mut readers {
        reader.expect_text("all of you");
    }
    // More than a record holds, and an answer to it.
    let long = "x".repeat(20_000);
    publisher.send(Frame::text(&*long));
    for reader in &mut readers {
        reader.expect_text(&*long).send(Frame::ping("heard")).expect_pong("heard");
    }
    let grown = memory_len(world.gateway.pid()) as f64 - memory_of_all as f64;
    println!("{:.0} bytes more of each after a message of 10 and one of 20,000 bytes", grown / wanted as f64);
    assert_eq!(world.metric("fanwire_outbox_bytes"), 0);
    assert_eq!(world.metric("fanwire_blocks_in_use"), 0);
    assert_echo(&mut world.websocket("/echo"), "and on");
}

/// The process's own share of memory, in bytes.
fn memory_len(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the gateway runs");
    let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("the kernel tells the PSS");
    kib.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
