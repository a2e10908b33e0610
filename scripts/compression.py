#!/usr/bin/env python3
"""What compression costs and saves: CPU of the gateway and bytes on the wire per delivery, on real prices.

    scripts/compression.py target/release/fanwire
    scripts/compression.py --readers 1,100,1000 --rounds 5 --messages 400 target/release/fanwire
    scripts/compression.py --offline

Publishes rows of data/stocks.csv as JSON over HTTP, one message in flight, to readers of one topic that only count
bytes. Each round starts a gateway of its own for every kind of compression, in turn; the median of the rounds is
printed. Put it on another core than the gateway: `--pin 0,1` does both. `--offline` asks zlib alone how small shared
streams get, by payload, level and joining points.
"""

import argparse
import csv
import json
import os
import pathlib
import random
import resource
import select
import statistics
import zlib

from gateway import Gateway

ROWS = pathlib.Path(__file__).parent.parent / "data" / "stocks.csv"
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
# The flags of the gateway, and whether readers offer the extension.
KINDS = {
    "plain": (["--compression", "off"], False),
    "message": (["--compression", "message", "--compression-threshold", "0"], True),
    "shared": (["--compression", "shared"], True),
}


def prices(rows_each):
    """Messages of so many rows each, in the order of the file's days."""
    with open(ROWS, newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["Date"])
    number = lambda text: float(text) if text.replace(".", "", 1).isdigit() else text
    rows = [{name: number(value) for name, value in row.items()} for row in rows]
    groups = (rows[at : at + rows_each] for at in range(0, len(rows), rows_each))
    return [json.dumps(group[0] if rows_each == 1 else group, separators=(",", ":")).encode() for group in groups]


class Reader:
    """Counts bytes and frames."""

    def __init__(self, gateway, offers):
        self.socket = gateway.connect()
        self.socket.sendall(
            b"GET /raw/px?last=0 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            + (OFFER.encode() if offers else b"")
            + b"\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        assert (b"permessage-deflate" in head) == offers, head
        self.socket.setblocking(False)
        self.pending, self.frames, self.bytes, self.deflated = b"", 0, 0, 0

    def read(self):
        data = self.socket.recv(65536)
        self.bytes += len(data)
        data = self.pending + data
        while len(data) >= 2:
            length, header = data[1] & 127, 2
            if length == 126:
                length, header = int.from_bytes(data[2:4], "big"), 4
            if len(data) < header + length:
                break
            self.frames += 1
            self.deflated += data[0] >> 6 & 1
            data = data[header + length :]
        self.pending = data


def measure(arguments, kind, readers, messages):
    flags, offers = KINDS[kind]
    cores = arguments.pin.split(",") if arguments.pin else [None, None]
    gateway = Gateway(arguments.gateway, "--shards", "1", *flags, *arguments.flag, core=cores[0])
    try:
        readers = [Reader(gateway, offers) for _ in range(readers)]
        publisher = gateway.connect()
        poll = select.epoll()
        by_fd = {reader.socket.fileno(): reader for reader in readers}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)

        def publish(message):
            head = f"POST /publish/px HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(message)}\r\n\r\n"
            publisher.sendall(head.encode() + message)
            answer = b""
            while not answer.endswith(b"}\n"):
                answer += publisher.recv(4096)
            waits = {fd for fd, reader in by_fd.items()}
            target = publish.count = publish.count + 1
            while waits:
                for fd, _ in poll.poll(10):
                    by_fd[fd].read()
                    if by_fd[fd].frames >= target:
                        waits.discard(fd)

        publish.count = 0
        warm = 40
        for message in messages[:warm]:
            publish(message)
        bytes_before, cpu_before = sum(reader.bytes for reader in readers), gateway.cpu_ns()
        for message in messages[warm:]:
            publish(message)
        deliveries = len(readers) * (len(messages) - warm)
        cpu = (gateway.cpu_ns() - cpu_before) / deliveries / 1000
        size = (sum(reader.bytes for reader in readers) - bytes_before) / deliveries
        for reader in readers:
            reader.socket.close()
        return cpu, size
    finally:
        gateway.end()


def share(messages, level, bits, join_every):
    """How small a stream gets, frames and all, of how large it was."""
    framed = lambda length: length + (2 if length < 126 else 4)
    sent = 0
    for at, message in enumerate(messages):
        if at % join_every == 0:
            encoder = zlib.compressobj(level, zlib.DEFLATED, -bits)
        sent += framed(len(encoder.compress(message) + encoder.flush(zlib.Z_SYNC_FLUSH)) - 4)
    return sent / sum(framed(len(message)) for message in messages)


def quotes(count):
    """One symbol whose price takes small steps."""
    seeded, price = random.Random(5), 100.0
    for at in range(count):
        price = round(price + seeded.choice([-0.02, -0.01, 0, 0.01, 0.02]), 2)
        quote = {"symbol": "AAPL", "exchange": "NASDAQ", "bid": round(price - 0.01, 2), "ask": round(price + 0.01, 2)}
        quote |= {"last": price, "size": seeded.choice([100, 200, 500]), "time": 1_790_000_000_000 + 137 * at}
        yield json.dumps(quote, separators=(",", ":")).encode()


def offline():
    rows = prices(1)
    one = [row for row in rows if b'"AAPL"' in row]
    for name, messages in [
        ("rows of five symbols", rows[:2000]),
        ("rows of one symbol", one[:1000]),
        ("five rows a message", prices(5)[:600]),
        ("quotes of one symbol", list(quotes(2000))),
    ]:
        print(f"{name}, {sum(map(len, messages)) / len(messages):.0f} B")
        for bits, join_every in [(12, 20), (12, 100), (12, len(messages)), (15, len(messages))]:
            shares = "  ".join(f"level {level} {share(messages, level, bits, join_every):.3f}" for level in (1, 4, 6, 9))
            print(f"    {bits} bits, joined every {join_every:4}: {shares}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gateway", nargs="?")
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--readers", default="1,100,1000")
    parser.add_argument("--rows", default="1,5", help="rows a message")
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pin", help="core of the gateway, core of this")
    parser.add_argument("--flag", action="append", default=[], help="one more flag of serve")
    arguments = parser.parse_args()
    if arguments.offline:
        return offline()
    if arguments.gateway is None:
        parser.error("which gateway?")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if arguments.pin:
        os.sched_setaffinity(0, {int(arguments.pin.split(",")[1])})
    print("| payload | readers | kind | CPU per delivery | to plain | bytes per delivery | to plain |")
    print("|---|---|---|---|---|---|---|")
    for rows in map(int, arguments.rows.split(",")):
        messages = prices(rows)[-arguments.messages - 40 :]
        payload = statistics.mean(map(len, messages))
        for readers in map(int, arguments.readers.split(",")):
            results = {kind: [] for kind in KINDS}
            for _ in range(arguments.rounds):
                for kind in KINDS:
                    results[kind].append(measure(arguments, kind, readers, messages))
            median = {kind: [statistics.median(values) for values in zip(*results[kind])] for kind in KINDS}
            for kind, (cpu, size) in median.items():
                cpu_ratio, size_ratio = cpu / median["plain"][0], size / median["plain"][1]
                print(
                    f"| {payload:.0f} B | {readers} | {kind} | {cpu:.2f} us | {cpu_ratio:.2f} | {size:.1f} | "
                    f"{size_ratio:.2f} |",
                    flush=True,
                )


main()
