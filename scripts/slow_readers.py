#!/usr/bin/env python3
"""What a reader that stalls costs, and how old is what a slow one reads.

    scripts/slow_readers.py stalled target/release/fanwire    # 1,000,000 messages in 100 topics, for each mode
    scripts/slow_readers.py stale target/release/fanwire      # 64 KiB/s read, 1,000 messages a second said

Each run has a gateway of its own with one shard, `--pin 0,1` puts it and this script on a core each. `stalled` reads
nothing while all is said, and checks afterwards that the newest of each topic comes and that what came and what was told
as skipped add up. `stale` reads at a fixed rate and takes the age of each message from the time in it.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import time

from gateway import Gateway

MODES = ["queue", "drop_oldest", "latest"]
LINES = 1_000
CLASSES = ["lag", "outboxes"]


class WatchedGateway(Gateway):
    """With a connection of its own for questions."""

    def __init__(self, binary, core):
        super().__init__(binary, "--shards", "1", core=core)
        self.control = Http(self)

    def metrics(self):
        lines = self.control.ask("GET", "/metrics").decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    def held(self):
        """Bytes held for readers, and the memory of the process."""
        metrics = self.metrics()
        held = {
            kind: sum(v for name, v in metrics.items() if "fanwire_memory_bytes{" in name and f'"{kind}"' in name)
            for kind in CLASSES
        }
        rollup = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        held["pss"] = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
        return held


class Http:
    def __init__(self, gateway):
        self.socket = gateway.connect()
        self.file = self.socket.makefile("rb")

    def say(self, method, path, body=b""):
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)

    def hear(self):
        status, length = self.file.readline(), 0
        while (line := self.file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        assert b" 200 " in status, status
        return self.file.read(length)

    def ask(self, *request):
        self.say(*request)
        return self.hear()


class Reader:
    """Follows `t.*` in the JSON dialect."""

    def __init__(self, gateway, mode, bandwidth=0, receive_buffer=0):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", gateway.port))
        query = f"?bandwidth={bandwidth}" if bandwidth else ""
        self.socket.sendall(
            f"GET /ws{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        self.pending, self.closed, self.len = b"", "", 0
        operation = json.dumps({"op": "sub", "topics": ["t.*"], "last": False, "mode": mode}).encode()
        mask = bytes([0x81, 0x80 | len(operation), 0, 0, 0, 0])
        self.socket.sendall(mask + operation)
        assert [message["op"] for message in self.read()] == ["ok"]

    def read(self, length=65536):
        """The messages that are whole after so many bytes more; sets `closed` at the end."""
        try:
            received = self.socket.recv(length)
            self.closed = self.closed or ("" if received else "cut")
        except ConnectionResetError:
            received, self.closed = b"", self.closed or "reset"
        self.len += len(received)
        data, messages = self.pending + received, []
        while len(data) >= 2:
            size, header = data[1], 2
            if size == 126:
                size, header = int.from_bytes(data[2:4], "big"), 4
            if len(data) < header + size:
                break
            frame, data = data[header : header + size], data[header + size :]
            if frame[:1] == b"{":
                messages.append(json.loads(frame))
            else:
                self.closed = f"{int.from_bytes(frame[:2], 'big')} {frame[2:].decode()}"
        self.pending = data
        return messages


def lines(first, count, topics, pad):
    line = '{"topic":"t.%d","data":{"n":%d,"pad":"%s"}}\n'
    return "".join(line % (n % topics, n, pad) for n in range(first, first + count)).encode()


def stalled(arguments, cores):
    print(f"{arguments.messages:,} messages of about 100 bytes, {arguments.topics} topics, load {os.getloadavg()[0]:.1f}")
    for mode in MODES:
        gateway = WatchedGateway(arguments.gateway, cores[0])
        try:
            stall(gateway, mode, arguments.messages, arguments.topics)
        finally:
            gateway.end()


def stall(gateway, mode, count, topics):
    publisher, pad = Http(gateway), "x" * 75
    # The memory for the publishing alone is allocated before.
    for first in range(0, 100_000, LINES):
        publisher.ask("POST", "/publish", lines(first, LINES, topics, pad))
    reader = Reader(gateway, mode)
    before, most = gateway.held(), {}
    cpu = gateway.cpu_ns()
    for first in range(0, count, LINES):
        publisher.ask("POST", "/publish", lines(first, LINES, topics, pad))
        most = {kind: max(value, most.get(kind, 0)) for kind, value in gateway.held().items()}
    cpu, at_end = gateway.cpu_ns() - cpu, gateway.held()
    newest = {f"t.{n}": (100_000 + count) // topics for n in range(topics)}
    pushes, skipped, had = 0, 0, {}
    while had != newest and not reader.closed:
        for message in reader.read():
            if "t" in message and "op" not in message:
                pushes, had[message["t"]] = pushes + 1, message["o"]
            elif message["op"] == "gap":
                skipped += message["skipped"]
    print(f"{mode}: {cpu / count / 1e3:.2f} us of CPU a message, this script's questions included")
    after = gateway.held()
    for when, held in [("before", before), ("most", most), ("at the end", at_end), ("read", after)]:
        said = ", ".join(f"{kind} {held[kind] / 1024:,.0f} KiB" for kind in CLASSES)
        print(f"  {when:<11} {said}, PSS {held['pss'] / 1048576:.1f} MiB")
    have_newest = sum(had.get(topic) == offset for topic, offset in newest.items())
    print(f"  pushes {pushes:,} + skipped {skipped:,} = {pushes + skipped:,}, newest of {have_newest}")
    if mode == "queue":
        print(f"  ended with {reader.closed!r}")
        assert "too slow" in reader.closed or reader.closed == "reset", "who reads nothing is ended"
    else:
        assert had == newest and pushes + skipped == count, "each message came or was told as skipped"


def stale(arguments, cores):
    rate, said = arguments.rate, arguments.said
    print(f"{said:,} messages and {rate:,} bytes read a second, {arguments.topics} topics, load {os.getloadavg()[0]:.1f}")
    for buffer, bandwidth in [(0, 0), (16_384, 0), (0, rate), (0, rate * 9 // 10)]:
        gateway = WatchedGateway(arguments.gateway, cores[0])
        try:
            ages = age(gateway, arguments, bandwidth, buffer)
        finally:
            gateway.end()
        cuts = statistics.quantiles(ages, n=100)
        print(
            f"receive buffer {buffer or 'default'}, bandwidth {bandwidth or 'not asked'}: age of {len(ages):,} messages "
            f"p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, max {max(ages):.0f} ms",
            flush=True,
        )


def age(gateway, arguments, bandwidth, buffer):
    reader, publisher = Reader(gateway, "latest", bandwidth, buffer), Http(gateway)
    started, step, number, ages = time.monotonic(), 0.01, 0, []
    behind = reader.len
    each = max(1, round(arguments.said * step))
    while (now := time.monotonic()) - started < arguments.seconds:
        if now >= started + number / each * step:
            line = '{"topic":"t.%d","data":{"at":%.6f,"pad":"%s"}}\n'
            batch = [line % (n % arguments.topics, now, "x" * 75) for n in range(number, number + each)]
            publisher.ask("POST", "/publish", "".join(batch).encode())
            number += each
        # The bytes that may be read by now; a link that carried nothing for a while does not carry more afterwards.
        budget = int((now - started) * arguments.rate) + behind - reader.len
        behind -= max(0, budget - arguments.rate // 50)
        budget = min(budget, arguments.rate // 50)
        if budget > 0:
            reader.socket.settimeout(0.001)
            try:
                messages = reader.read(budget)
            except TimeoutError:
                messages = []
            now = time.monotonic()
            if now - started > arguments.seconds / 3:
                ages += [(now - message["d"]["at"]) * 1_000 for message in messages if "op" not in message]
        time.sleep(0.002)
    return ages


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["stalled", "stale"])
    parser.add_argument("gateway")
    parser.add_argument("--pin", metavar="CORE,CORE")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--topics", type=int, default=100)
    parser.add_argument("--rate", type=int, default=65_536, help="bytes a second that the slow reader reads")
    parser.add_argument("--said", type=int, default=1_000, help="messages a second")
    parser.add_argument("--seconds", type=float, default=24)
    arguments = parser.parse_args()
    cores = arguments.pin.split(",") if arguments.pin else [None, None]
    if cores[1] is not None:
        os.sched_setaffinity(0, {int(cores[1])})
    {"stalled": stalled, "stale": stale}[arguments.what](arguments, cores)


main()
