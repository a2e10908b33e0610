//! The cost of a frame in `wire`: unmasking, decoding, encoding; and the cost of a JSON operation.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fanwire::buf::BlockPool;
use fanwire::wire::http1::parse_head;
use fanwire::wire::json::{Scratch, is_valid, parse_object};
use fanwire::wire::ws::mask::{scalar, unmask};
use fanwire::wire::ws::{Decoder, Inbox, Opcode, Role, encode_client_frame, encode_header, handshake};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn unmasking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unmask");
    for len in [16, 64, 128, 512, 4096, 64 * 1024] {
        let mut bytes = vec![0x5a; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("scalar/{len}"), |bencher| {
            bencher.iter(|| scalar::unmask(black_box(&mut bytes), black_box(KEY), 0));
        });
        group.bench_function(format!("picked/{len}"), |bencher| {
            bencher.iter(|| unmask(black_box(&mut bytes), black_box(KEY), 0));
        });
    }
}

/// A receive buffer of masked text frames of 128 bytes: whole, and with the last one cut in the middle.
fn decoding(criterion: &mut Criterion) {
    let count = 64;
    let mut frames = Vec::new();
    for _ in 0..count {
        encode_client_frame(&mut frames, Opcode::Text, true, KEY, &[b'x'; 128]);
    }
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(count));
    for (name, cut) in [("128_bytes_whole", 0), ("128_bytes_cut", 70)] {
        let (mut pool, mut inbox) = (BlockPool::default(), Inbox::default());
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || frames.clone(),
                |bytes| {
                    let mut decoder = Decoder::new(Role::Server);
                    let (first, second) = bytes.split_at_mut(frames.len() - cut);
                    decoder.decode(first, 1 << 20, &mut pool, &mut inbox).expect("valid frames");
                    decoder.decode(second, 1 << 20, &mut pool, &mut inbox).expect("valid frames");
                    assert_eq!(inbox.items.len() as u64, count);
                    inbox.clear(&mut pool);
                },
                BatchSize::SmallInput,
            );
        });
    }
}

fn encoding(criterion: &mut Criterion) {
    let mut out = Vec::with_capacity(64);
    criterion.bench_function("encode/header_128", |bencher| {
        bencher.iter(|| {
            out.clear();
            encode_header(black_box(&mut out), Opcode::Text, true, black_box(128));
        });
    });
}

fn handshakes(criterion: &mut Criterion) {
    let request = b"GET /raw/px.AAPL HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: bench\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nOrigin: http://localhost:8080\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    let mut out = Vec::with_capacity(256);
    criterion.bench_function("handshake/parse_accept_encode", |bencher| {
        bencher.iter(|| {
            let (head, _) = parse_head(black_box(request)).expect("valid").expect("complete");
            let upgrade = handshake::accept(&head).expect("valid");
            out.clear();
            handshake::encode_switching_protocols(&mut out, &upgrade.accept, None, None);
        });
    });
}

fn json(criterion: &mut Criterion) {
    let publish = br#"{"op":"pub","topic":"px.AAPL","data":{"symbol":"AAPL","price":187.44,"volume":1200},"id":7}"#;
    let mut scratch = Scratch::default();
    criterion.bench_function("json/parse_publish", |bencher| {
        bencher.iter(|| {
            let object = parse_object(&mut scratch, black_box(publish)).expect("an object");
            black_box((object.get("op").is_some(), object.raw("data")));
        });
    });
    criterion.bench_function("json/is_valid", |bencher| bencher.iter(|| is_valid(black_box(publish))));
}

criterion_group!(benches, unmasking, decoding, encoding, handshakes, json);
criterion_main!(benches);
