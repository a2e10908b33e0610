"""Python `sseclient-py`, and the standard library for lines and polls, as judges: python python_sseclient.py http://127.0.0.1:PORT"""

import http.client
import json
import sys
import urllib.parse
import urllib.request

import sseclient

from judge import HANG_S, Judge

ORIGIN = sys.argv[1]
HOST = urllib.parse.urlsplit(ORIGIN).netloc
judge = Judge("python sseclient-py")


def publish(topic, body):
    request = urllib.request.Request(f"{ORIGIN}/publish/{topic}", data=body.encode(), method="POST")
    request.add_header("Content-Type", "text/plain")
    with urllib.request.urlopen(request, timeout=HANG_S) as response:
        return json.load(response)


def ask(target, version=11, **headers):
    connection = http.client.HTTPConnection(HOST, timeout=HANG_S)
    connection._http_vsn, connection._http_vsn_str = version, "HTTP/1.1" if version == 11 else "HTTP/1.0"
    connection.request("GET", target, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def pieces(response):
    """What arrives, as it arrives."""
    while piece := response.read1():
        yield piece


def events(target, **headers):
    response = ask(target, **headers)
    assert response.status == 200, response.status
    return sseclient.SSEClient(pieces(response)).events()


@judge.check("/sse is read, and resumed from an id")
def _():
    publish("py.sse", "one")
    source = events("/sse?topic=py.sse")
    joined, one = next(source), next(source)
    assert (joined.event, one.event, one.data) == (".joined", "py.sse", "one"), (joined, one)
    publish("py.sse", "two\nlines")
    two = next(source)
    assert two.data == "two\nlines" and two.id.endswith("-2"), two
    again = events("/sse?topic=py.sse", Last_Event_ID=one.id)
    joined, missed = next(again), next(again)
    assert json.loads(joined.data)["topics"]["py.sse"]["recovered"] is True, joined
    assert (missed.data, missed.id) == (two.data, two.id), missed


@judge.check("/stream is read line by line, over HTTP/1.1 and 1.0")
def _():
    for version in [11, 10]:
        topic = f"py.stream.{version}"
        response = ask(f"/stream?topic={topic}", version)
        assert response.headers["Transfer-Encoding"] == ("chunked" if version == 11 else None)
        assert json.loads(response.readline())["op"] == "ok"
        publish(topic, '{"price":1.5}')
        assert json.loads(response.readline()) == {"t": topic, "o": 1, "d": {"price": 1.5}}


@judge.check("/poll gets each message once")
def _():
    since = ""
    heard = []
    for number in range(20):
        if number % 3 != 2:
            publish("py.poll.a", str(number))
        publish("py.poll.b", str(number))
        response = ask(f"/poll?topic=py.poll.a&topic=py.poll.b&last=0&timeout=0s&since={since}")
        since = response.headers["Fanwire-Since"]
        body = response.read()
        assert response.status in (200, 204), response.status
        if body and number > 0:
            heard += [(message["t"][-1], message["d"]) for message in json.loads(body)["messages"]]
    wanted = [(topic, number) for number in range(1, 20) for topic in "ab" if topic == "b" or number % 3 != 2]
    assert heard == wanted, heard


judge.run()
