"""What scripts/chaos.sh runs: BINARY DRIVER SECONDS SEED."""

import random
import resource
import socket
import struct
import subprocess
import sys
import time

BINARY, DRIVER, SECONDS, SEED = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
# Descriptors of the gateway. With io_uring it is the length of each shard's table instead.
FILES = 300
PEERS = 200
STALLED = 40
BIG = b"x" * 30_000
PATIENCE = 20
# Memory is looked at after so many rounds, and at least so often early and late.
ROUNDS_PER_LOOK = 3
LOOKS = 5
# The variation of the heap without a leak; in ten seconds about 100 bytes for each connection that came.
HEAP_SWING_KIB = 4096

rng = random.Random(SEED)


def fail(why):
    sys.exit(f"chaos: {DRIVER}, seed {SEED}: {why}")


def start():
    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))

    flags = ["--ping-interval", "2s", "--ping-timeout", "2s", "--handshake-timeout", "2s", "--close-timeout", "1s"]
    flags += ["--outbox-len-max", "256KiB", "--message-len-max", "64KiB", "--http-idle-timeout", "5s"]
    command = [BINARY, "serve", "--listen", "127.0.0.1:0", "--shards", "2", "--driver", DRIVER, *flags]
    gateway = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=few_files)
    port = None
    for line in gateway.stdout:
        if line.startswith("listening on http://"):
            port = int(line.rsplit(":", 1)[1])
        if line.strip() == "ready":
            return gateway, port
    fail("the gateway did not start")


def dial():
    peer = socket.socket()
    peer.settimeout(PATIENCE)
    peer.connect(("127.0.0.1", PORT))
    return peer


def upgrade(target):
    key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{key}\r\n\r\n".encode()


def frame(payload, opcode=1):
    """A client's frame, masked with zeroes."""
    head = bytes([0x80 | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    else:
        head += b"\xfe" + struct.pack(">H", len(payload))
    return head + bytes(4) + payload


class Speaker:
    """One keep-alive connection that publishes, reconnecting where the gateway has no descriptor for it."""

    peer = None

    def ask(self, head, body=b"", until=None):
        deadline = until or time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if self.peer is None:
                    self.peer = dial()
                self.peer.sendall(f"{head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                return self.answer()
            except (OSError, EOFError):
                self.peer = None
        fail(f"nobody answers {head}")

    def answer(self):
        text = b""
        while b"\r\n\r\n" not in text:
            text += self.more()
        head, text = text.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 200"):
            raise EOFError
        lines = [line.lower() for line in head.split(b"\r\n")]
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(text) < length:
            text += self.more()
        return text

    def more(self):
        got = self.peer.recv(65536)
        if not got:
            raise EOFError
        return got


class Witness:
    """A reader that must hear the numbers 0, 1, 2, ... and answers pings."""

    def __init__(self):
        self.peer = dial()
        self.peer.sendall(upgrade("/raw/witness?last=0"))
        self.text = b""
        while b"\r\n\r\n" not in self.text:
            self.text += self.peer.recv(4096)
        head, self.text = self.text.split(b"\r\n\r\n", 1)
        if b" 101 " not in head:
            fail(f"the witness was refused: {head}")
        self.next = 0

    def hear(self, count):
        deadline = time.monotonic() + PATIENCE
        while self.next < count:
            if time.monotonic() > deadline:
                fail(f"the witness heard {self.next} of {count}")
            while len(self.text) >= 2 and len(self.text) >= 2 + (self.text[1] & 127):
                length = self.text[1] & 127
                opcode, payload = self.text[0] & 15, self.text[2 : 2 + length]
                self.text = self.text[2 + length :]
                if opcode == 9:
                    self.peer.sendall(frame(payload, 10))
                elif opcode == 1:
                    if int(payload) != self.next:
                        fail(f"the witness heard {payload}, not {self.next}")
                    self.next += 1
                else:
                    fail(f"the witness was told {opcode}: {payload}")
            if self.next < count:
                got = self.peer.recv(65536)
                if not got:
                    fail("the witness was hung up on")
                self.text += got


def reset(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def begin():
    """A peer in some state of its life; it may find the backlog full of others."""
    peer = socket.socket()
    peer.setblocking(False)
    peer.connect_ex(("127.0.0.1", PORT))
    return peer


def say(peer):
    """Something, whole or broken off, sensible or not."""
    choices = [
        upgrade(rng.choice(["/raw/noise", "/raw/noise?mode=latest", "/raw/noise?mode=drop_oldest", "/ws", "/echo"])),
        frame(b'{"op":"sub","topics":["noise","*.x"]}'),
        frame(b"e" * rng.randrange(1, 20000)),
        frame(b"", 9),
        frame(struct.pack(">H", 1000), 8),
        b"POST /publish/noise HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nnoise",
        b"GET /topics/noise HTTP/1.1\r\nHost: localhost\r\n\r\n" * rng.randrange(1, 50),
        rng.randbytes(rng.randrange(1, 500)),
        b"\x81\x05noise",
    ]
    said = rng.choice(choices)
    if rng.random() < 0.3:
        said = said[: rng.randrange(1, len(said) + 1)]
    try:
        peer.send(said)
    except OSError:
        pass


def leave(peer):
    way = rng.randrange(3)
    try:
        if way == 0:
            return reset(peer)
        if way == 1:
            peer.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    peer.close()


def gauges(speaker):
    """The sum of each gauge over the shards."""
    sums = {}
    for line in speaker.ask("GET /metrics").decode().splitlines():
        if line.startswith("fanwire_") and "_total" not in line:
            name, value = line.rsplit(" ", 1)
            name = name.split("{")[0] + ("_websocket" if 'transport="websocket"' in name else "")
            sums[name] = sums.get(name, 0) + float(value)
    return sums


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))


def settle(speaker):
    """Waits until nobody is left but us and the witness."""
    expected = {
        "fanwire_connections": 1,
        "fanwire_connections_websocket": 1,
        "fanwire_subscriptions": 1,
        "fanwire_outbox_bytes": 0,
        "fanwire_lag_bytes": 0,
        "fanwire_blocks_in_use": 0,
        "fanwire_mailbox_depth": 0,
    }
    deadline = time.monotonic() + PATIENCE
    while True:
        left = {name: value for name, value in gauges(speaker).items() if expected.get(name, value) != value}
        if not left:
            return
        if time.monotonic() > deadline:
            fail(f"this is left: {left}")


def round_of_chaos(witness, speaker, spoken):
    peers = [begin() for _ in range(rng.randrange(PEERS // 4, PEERS))]
    # Now and then more than there are descriptors for, held for a while.
    if rng.random() < 0.3:
        peers += [begin() for _ in range(2 * FILES)]
    stalled = set(rng.sample(range(len(peers)), min(STALLED, len(peers))))
    for _ in range(10):
        for place, peer in enumerate(peers):
            if rng.random() < 0.5:
                say(peer)
            if rng.random() < 0.05:
                leave(peer)
                peers[place] = begin()
            elif place not in stalled:
                try:
                    while len(peer.recv(65536)) == 65536:
                        pass
                except OSError:
                    pass
        for _ in range(5):
            speaker.ask("POST /publish/noise", BIG)
        speaker.ask("POST /publish/witness", str(spoken).encode())
        spoken += 1
        witness.hear(spoken)
    if rng.random() < 0.5:
        for peer in peers:
            reset(peer)
    else:
        for peer in peers:
            leave(peer)
    return spoken


gateway, PORT = start()
try:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    speaker, witness, spoken, rounds = Speaker(), Witness(), 0, 0
    begin_time, early, late = time.monotonic(), [], []
    # The heap keeps some of what it grew by and gives it back when it likes, so that one look says little. What leaks
    # stays: then even the lowest of many later looks is above all of the first.
    while time.monotonic() < begin_time + SECONDS or len(late) < LOOKS:
        spoken = round_of_chaos(witness, speaker, spoken)
        rounds += 1
        if rounds % ROUNDS_PER_LOOK == 0:
            settle(speaker)
            is_early = time.monotonic() < begin_time + SECONDS / 3 or len(early) < LOOKS
            (early if is_early else late).append(pss(gateway.pid))
    settle(speaker)
    if gateway.poll() is not None:
        fail(f"the gateway ended: {gateway.returncode}")
    if min(late) > max(early) + HEAP_SWING_KIB:
        fail(f"memory was {min(early)} to {max(early)} KiB, then {min(late)} to {max(late)} KiB: {late}")
    totals = [line for line in speaker.ask("GET /metrics").decode().splitlines() if "fanwire_accepted_total{" in line]
    accepted = sum(int(line.rsplit(" ", 1)[1]) for line in totals)
    gateway.terminate()
    if gateway.wait(PATIENCE) != 0:
        fail("the gateway did not shut down in order")
    print(f"ok {DRIVER}, seed {SEED}: {rounds} rounds, {accepted} connections, {spoken} messages to the witness, " \
        f"memory {min(early)} to {max(early)}, then {min(late)} to {max(late)} KiB")
finally:
    gateway.kill()
