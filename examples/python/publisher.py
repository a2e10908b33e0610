#!/usr/bin/env python3
"""Publishes a random walk, one message a request, with nothing but the standard library."""

import argparse
import json
import os
import random
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def publish(url: str, topic: str, value: object) -> dict:
    """Publishes one value as JSON and returns its place: topic, epoch and offset."""
    request = urllib.request.Request(
        f"{url}/publish/{urllib.parse.quote(topic, safe='')}",
        data=json.dumps(value).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=os.environ.get("FANWIRE_URL", "http://127.0.0.1:8080"))
    parser.add_argument("--topic", default="walk.python")
    parser.add_argument("--count", type=int, default=0, help="end after so many messages (0: never)")
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between two messages")
    options = parser.parse_args()

    price, published = 100.0, 0
    while options.count == 0 or published < options.count:
        price = max(1.0, price + random.uniform(-1, 1))
        try:
            position = publish(options.url, options.topic, {"price": round(price, 2), "n": published})
        except urllib.error.HTTPError as error:
            print(f"refused with {error.code}: {error.read().decode(errors='replace')}", file=sys.stderr)
            return 1
        except OSError as error:
            print(f"cannot publish to {options.url}: {error}", file=sys.stderr)
            return 1
        published += 1
        print(f"{position['topic']} {position['epoch']}-{position['offset']} {price:.2f}", flush=True)
        if published != options.count:
            time.sleep(options.interval)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
