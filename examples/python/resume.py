#!/usr/bin/env python3
"""Reads topics by long polling, with nothing but the standard library, and goes on where it was: after the loss of its
connection, a restart of the gateway (with a snapshot), and its own end (with --state)."""

import argparse
import json
import os
import random
import sys
import time
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen


def messages(url: str, topics: list[str], positions: dict[str, str]):
    """Yields (topic, offset, payload); `positions` are those of what was yielded."""
    delay = 0.5
    while True:
        query = [("topic", topic) for topic in topics]
        if positions:
            # 0-0 is a position that no topic has: the last value comes.
            query.append(("since", ",".join(positions.get(topic, "0-0") for topic in topics)))
        try:
            with urlopen(f"{url}/poll?{urlencode(query)}", timeout=60) as response:
                since = response.headers["Fanwire-Since"].split(",")
                answer = json.load(response) if response.status == 200 else {}
        except HTTPError as error:
            if error.code < 500:
                sys.exit(f"{error.code}: {error.read().decode()}")
            problem = error
        except (OSError, ValueError) as error:
            problem = error
        else:
            epochs = {topic: position.split("-")[0] for topic, position in zip(topics, since)}
            for topic, whole in answer.get("recovered", {}).items():
                if not whole and topic in positions:
                    print(f"gap in {topic} after {positions[topic]}", file=sys.stderr, flush=True)
            for message in answer.get("messages", []):
                topic, offset = message["t"], message["o"]
                positions[topic] = f"{epochs[topic]}-{offset}"
                yield topic, offset, message.get("d", message.get("b"))
            positions.update(zip(topics, since))
            delay = 0.5
            continue
        print(f"no answer: {problem}", file=sys.stderr, flush=True)
        time.sleep(random.uniform(delay / 2, delay))
        delay = min(delay * 2, 15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topics", nargs="*", default=["walk.python"])
    parser.add_argument("--url", default=os.environ.get("FANWIRE_URL", "http://127.0.0.1:8080"))
    parser.add_argument("--count", type=int, default=0, help="end after so many messages (0: never)")
    parser.add_argument("--state", help="a file that keeps the positions")
    options = parser.parse_args()

    positions: dict[str, str] = {}
    if options.state and os.path.exists(options.state):
        with open(options.state, encoding="utf-8") as file:
            positions = json.load(file)
    topics = list(dict.fromkeys(options.topics))
    positions = {topic: position for topic, position in positions.items() if topic in topics}

    feed = messages(options.url, topics, positions)
    for number, (topic, offset, payload) in enumerate(feed, 1):
        print(topic, offset, json.dumps(payload), flush=True)
        # After the message was dealt with: one that was not is read again.
        save(options.state, positions)
        if number == options.count:
            return


def save(path: str | None, positions: dict[str, str]) -> None:
    """In one step, so that a crash leaves the old ones."""
    if path:
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(positions, file)
        os.replace(f"{path}.new", path)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
