#!/usr/bin/env python3
"""What things cost as there are more of them: a record, and charts of it.

    scripts/growth.py run benches/record/2026-11-20-growth.json       # about four minutes
    scripts/growth.py run FILE --axes topics,members                  # benches/growth, these axes of it
    scripts/growth.py run FILE --axes gateway-topics,gateway-shards   # the gateway over sockets
    scripts/growth.py plot benches/record/2026-11-20-growth.json      # docs/benchmarks/2026-11-20-growth-*.svg

`benches/growth` measures whole shards without a kernel. `gateway-topics` and `gateway-shards` start the release build on
loopback, and need `cargo build --release --workspace` first. An axis that is measured again replaces what the record had
of it; each says when it was measured and how busy the machine was then.
"""

import argparse
import json
import os
import pathlib
import random
import selectors
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import growth_charts
import machine
from gateway import Gateway

GATEWAY = machine.ROOT / "target/release/fanwire"
LOAD = machine.ROOT / "target/release/fanwire-load"
ANSWERED = b'"op":"ok"'
BENCH_AXES = ["readers", "topics", "members", "deadlines", "patterns", "sizes", "shards"]


class Topics:
    """A gateway with many topics, ten readers each: 160 connections, each of which follows a sixteenth of them."""

    GROUPS, READERS = 16, 10

    def __init__(self, count):
        self.count = count
        self.gateway = Gateway(GATEWAY, "--shards", "1", limits={"topics_per_connection_max": 65_535})
        self.control = self.gateway.connect()
        self.publish_all()
        self.selector = selectors.DefaultSelector()
        self.unanswered, self.tails = {}, {}
        self.random = random.Random(5)
        operations = {}
        for group in range(self.GROUPS):
            names = [f'"t.{n}"' for n in range(group, count, self.GROUPS)]
            parts = [names[at : at + 1024] for at in range(0, len(names), 1024)]
            frames = [frame(f'{{"op":"sub","last":false,"id":1,"topics":[{",".join(part)}]}}') for part in parts]
            for _ in range(self.READERS):
                reader = self.connect()
                operations[reader] = list(frames)
                self.unanswered[reader] = len(frames)
        # One operation of each connection under way, so that no answer waits for room.
        while any(self.unanswered.values()):
            for reader, frames in operations.items():
                if frames and len(frames) == self.unanswered[reader]:
                    reader.sendall(frames.pop())
            self.drain(1)

    def connect(self):
        reader = self.gateway.connect()
        head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        reader.sendall(f"{head}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        assert reader.recv(4096).startswith(b"HTTP/1.1 101")
        reader.setblocking(False)
        self.selector.register(reader, selectors.EVENT_READ)
        return reader

    def drain(self, wait_s=0.0):
        while ready := self.selector.select(wait_s):
            wait_s = 0.0
            for key, _ in ready:
                reader = key.fileobj
                seen = self.tails.get(reader, b"") + reader.recv(1 << 20)
                self.unanswered[reader] -= seen.count(ANSWERED)
                self.tails[reader] = seen[1 - len(ANSWERED) :]

    def ask(self, path, body):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        self.control.sendall(head.encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.control.recv(1 << 16)
        head, body = answer.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self.control.recv(1 << 20)

    def publish_all(self):
        for at in range(0, self.count, 1000):
            names = range(at, min(at + 1000, self.count))
            lines = "".join(f'{{"topic":"t.{n}","data":"{"x" * 126}"}}\n' for n in names)
            self.ask("/publish", lines.encode())

    def cost_us(self, publications=2_000):
        """CPU of the gateway for a publication to one of the topics, kernel included."""
        total = 0
        for _ in range(publications // 200):
            before = self.gateway.cpu_ns()
            for _ in range(200):
                self.ask(f"/publish/t.{self.random.randrange(self.count)}", b"x" * 128)
            total += self.gateway.cpu_ns() - before
            self.drain()
        return total / publications / 1e3

    def end(self):
        self.gateway.end()


def frame(text):
    """A masked text frame; a key of zeros leaves the text as it is."""
    payload = text.encode()
    length = len(payload).to_bytes(2, "big")
    return b"\x81" + (bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + length) + bytes(4) + payload


def gateway_topics(rounds=5):
    counts = [32, 1_000, 10_000, 100_000, 1_000_000]
    each = [Topics(count) for count in counts]
    for topics in each:
        topics.cost_us(400)
    # In turns, so that what others do to the machine meets all of them.
    costs = [[topics.cost_us() for topics in each] for _ in range(rounds)]
    for topics in each:
        topics.end()
    points = []
    for at, count in enumerate(counts):
        values = [row[at] * 1e3 for row in costs]
        ratio = statistics.median(row[at] / row[0] for row in costs)
        points.append(point(count, values) | {"ratio_to_first": round(ratio, 3)})
        print(f"  {count:>9} topics {points[-1]['p50'] / 1e3:8.1f} us a publication, {ratio:.3f} of the first")
    curve = {"name": "over sockets, kernel included", "of": "a publication to 10 readers, server CPU", "points": points}
    return {"title": "Publishing over HTTP to ten readers of one of many topics", "x_label": "topics", "curves": [curve]}


def gateway_shards(rounds=3):
    cases = {
        "1,000 readers of one topic, one message in flight": ["--window", "1"],
        "1,000 readers of 100 topics, 2,000 messages a second": ["--topics", "100", "--publishers", "100", "--rate", "2000"],
    }
    costs = {case: {shards: [] for shards in [1, 2, 3, 4, 6, 8]} for case in cases}
    for _ in range(rounds):
        for case, flags in cases.items():
            for shards, values in costs[case].items():
                with Gateway(GATEWAY, "--shards", str(shards)) as gateway:
                    url = f"ws://127.0.0.1:{gateway.port}"
                    command = [LOAD, "fanout", "-q", "-c", "1000", "--duration", "1s", "--json", "-"]
                    command += ["--url", url, "--pid", str(gateway.process.pid), *flags]
                    run = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
                    values.append(json.loads(run.stdout)["server_cpu_ns_per_delivery"])
    curves = []
    for case, by_shards in costs.items():
        points = [point(shards, values) for shards, values in by_shards.items()]
        print(f"  {case}: " + ", ".join(f"{p['x']} shards {p['p50'] / 1e3:.2f} us" for p in points))
        curves.append({"name": case, "of": "a delivery, server CPU", "points": points})
    title = f"Shards over sockets: {os.cpu_count()} cores, client on the same ones"
    return {"title": title, "x_label": "shards", "curves": curves}


def point(x, values):
    ordered = sorted(values)
    return {
        "x": x,
        "p50": round(statistics.median(values), 1),
        "p50_best": round(ordered[0], 1),
        "max": round(ordered[-1], 1),
        "p50_by_round": [round(value, 1) for value in values],
    }


GATEWAY_AXES = {"gateway-topics": gateway_topics, "gateway-shards": gateway_shards}


def bench(axes):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        subprocess.run([machine.bench("growth"), *axes, "--json", out.name], check=True)
        return json.load(out)


def run(path, axes):
    for program in [GATEWAY, LOAD]:
        if GATEWAY_AXES.keys() & axes and not program.exists():
            sys.exit(f"{program.name} is missing: cargo build --release --workspace")
    record = json.loads(path.read_text()) if path.exists() else {"axes": {}}
    record["machine"] = machine.describe()
    measured = [(axis, lambda axis=axis: bench([axis])) for axis in BENCH_AXES]
    measured += [(axis, lambda measure=measure: measure()) for axis, measure in GATEWAY_AXES.items()]
    for axis, measure in measured:
        if axis not in axes:
            continue
        began = time.monotonic()
        found = measure()
        if "axes" in found:
            record["clock_ns"] = found["clock_ns"]
            found = found["axes"][axis]
        found["took_s"] = round(time.monotonic() - began)
        described = machine.describe()
        record["axes"][axis] = found | {key: described[key] for key in ["date", "commit", "load_average"]}
        path.write_text(json.dumps(record, indent=1) + "\n")
        print(f"{axis}: {found['took_s']} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("record", type=pathlib.Path)
    every = BENCH_AXES + list(GATEWAY_AXES)
    running.add_argument("--axes", type=lambda text: text.split(","), default=every)
    plotting = commands.add_parser("plot")
    plotting.add_argument("record", type=pathlib.Path)
    arguments = parser.parse_args()
    # However it ends, no gateway goes on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if arguments.command == "plot":
        return growth_charts.plot(arguments.record, machine.ROOT / "docs/benchmarks")
    if unknown := set(arguments.axes) - set(every):
        sys.exit(f"no such axis: {', '.join(unknown)}; there are {', '.join(every)}")
    run(arguments.record, set(arguments.axes))


if __name__ == "__main__":
    main()
