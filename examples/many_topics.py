#!/usr/bin/env python3
"""Thousands of devices with a topic each, published in batches, and one reader of them all.

The reader checks that every reading of every device arrives, in order. Needs: pip install websockets
"""

import argparse
import http.client
import json
import os
import sys
import threading
import time
import urllib.parse

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

BATCH = 500


def publish(host: str, devices: int, rounds: int) -> None:
    """Publishes every device's reading once a round: newline-delimited JSON, BATCH lines a request, one connection."""
    connection = http.client.HTTPConnection(host, timeout=30)
    for number in range(rounds):
        for first in range(0, devices, BATCH):
            batch = range(first, min(first + BATCH, devices))
            lines = (
                json.dumps({"topic": f"devices.{device}.temp", "data": {"round": number, "celsius": 20 + device % 7}})
                for device in batch
            )
            connection.request("POST", "/publish", "\n".join(lines) + "\n", {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            results = [json.loads(line) for line in answer.read().splitlines() if line]
            refused = [result for result in results if "offset" not in result]
            if answer.status != 200 or len(results) != len(batch) or refused:
                raise RuntimeError(f"status {answer.status}, {len(results)} results, refused: {refused[:3]}")
    connection.close()


def read(socket, devices: int, rounds: int, timeout: float) -> None:
    """Reads until every device said everything, in order."""
    next_round = dict.fromkeys((f"devices.{device}.temp" for device in range(devices)), 0)
    left, deadline = devices * rounds, time.monotonic() + timeout
    while left:
        message = json.loads(socket.recv(timeout=max(0.1, deadline - time.monotonic())))
        if "op" in message:
            raise RuntimeError(f"told {message}")
        topic, number = message["t"], message["d"]["round"]
        if next_round.get(topic) != number:
            raise RuntimeError(f"{topic}: round {number} came where {next_round.get(topic)} was due")
        next_round[topic] += 1
        left -= 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("FANWIRE_URL", "http://127.0.0.1:8080"))
    parser.add_argument("--devices", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=60, help="seconds for all of it")
    options = parser.parse_args()
    host = urllib.parse.urlsplit(options.url).netloc

    with connect(f"ws://{host}/ws", subprotocols=["fanwire.json.v1"]) as socket:
        # Without last values, so that another run before this one does not show.
        socket.send(json.dumps({"op": "sub", "topics": ["devices.*.temp"], "last": False, "id": 1}))
        reply = json.loads(socket.recv(timeout=10))
        if reply.get("op") != "ok":
            sys.exit(f"not subscribed: {reply}")
        failures = []

        def publish_all() -> None:
            try:
                publish(host, options.devices, options.rounds)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                failures.append(error)
                socket.close()

        start = time.monotonic()
        publisher = threading.Thread(target=publish_all)
        publisher.start()
        try:
            read(socket, options.devices, options.rounds, options.timeout)
        except (OSError, RuntimeError, WebSocketException) as error:
            failures.append(error)
        publisher.join()
        if failures:
            sys.exit(f"failed: {failures[0]}")
        count, seconds = options.devices * options.rounds, time.monotonic() - start
        print(f"{count} readings of {options.devices} devices arrived in order, {count / seconds:.0f} a second")


if __name__ == "__main__":
    main()
