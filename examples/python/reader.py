#!/usr/bin/env python3
"""Reads topics and patterns over /ws and comes back by itself. Needs: pip install websockets"""

import argparse
import json
import os
import random
import sys
import time

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect


def messages(url: str, topics: list[str], last: bool):
    """Yields (topic, offset, payload) over as many connections as it takes."""
    delay = 0.5
    while True:
        retry = None
        try:
            with connect(url.replace("http", "ws", 1) + "/ws", subprotocols=["fanwire.json.v1"]) as socket:
                socket.send(json.dumps({"op": "sub", "topics": topics, "last": last, "id": 1}))
                for text in socket:
                    message = json.loads(text)
                    op = message.get("op")
                    if op is None:
                        yield message["t"], message["o"], message.get("d", message.get("b"))
                    elif op == "ok":
                        delay = 0.5
                        print(f"following {', '.join(topics)}", file=sys.stderr, flush=True)
                    elif op == "bye":
                        retry = message["retry_ms"] / 1000
                    elif op == "err":
                        sys.exit(f"{message['code']}: {message['message']}")
        except (ConnectionClosed, InvalidHandshake, OSError) as error:
            print(f"no connection: {error}", file=sys.stderr, flush=True)
        if retry is None:
            retry, delay = random.uniform(delay / 2, delay), min(delay * 2, 15)
        time.sleep(retry)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topics", nargs="*", default=["walk.*"])
    parser.add_argument("--url", default=os.environ.get("FANWIRE_URL", "http://127.0.0.1:8080"))
    parser.add_argument("--count", type=int, default=0, help="end after so many messages (0: never)")
    parser.add_argument("--no-last", action="store_true", help="leave out the last value of each topic")
    options = parser.parse_args()

    for number, (topic, offset, payload) in enumerate(messages(options.url, options.topics, not options.no_last), 1):
        print(topic, offset, json.dumps(payload), flush=True)
        if number == options.count:
            return


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
