"""Python `websockets` as a judge: python python_websockets.py http://127.0.0.1:PORT"""

import asyncio
import json
import os
import sys
import urllib.request

import websockets
from websockets.asyncio.client import connect

from judge import HANG_S, Judge

ORIGIN = sys.argv[1]
MEBIBYTE = 1024 * 1024
judge = Judge("python websockets")


def talk(target, **options):
    options = {"compression": None, "max_size": 4 * MEBIBYTE, "ping_interval": None, **options}
    return connect(ORIGIN.replace("http", "ws") + target, **options)


async def publish(topic, body, **headers):
    def post():
        request = urllib.request.Request(f"{ORIGIN}/publish/{topic}", data=body, method="POST")
        for name, value in {"Content-Type": "text/plain", **headers}.items():
            request.add_header(name.replace("_", "-"), value)
        with urllib.request.urlopen(request, timeout=HANG_S) as response:
            return json.load(response)

    return await asyncio.to_thread(post)


async def expect(socket, wanted):
    got = await socket.recv()
    short = (repr(got)[:100], repr(wanted)[:100])
    assert type(got) is type(wanted) and got == wanted, f"wanted {short[1]}, got {short[0]}"


async def expect_close(socket, code):
    try:
        got = await socket.recv()
    except websockets.ConnectionClosed as closed:
        assert closed.rcvd is not None, "the stream ended without a close frame"
        assert closed.rcvd.code == code, f"wanted {code}, got {closed.rcvd}"
    else:
        raise AssertionError(f"wanted the close code {code}, got {got!r:.100}")


@judge.check("/echo returns text, empty and many-byted too")
async def _():
    async with talk("/echo") as socket:
        for message in ["hello", "", "κόσμε 🦀", "\0"]:
            await socket.send(message)
            await expect(socket, message)


@judge.check("/echo returns binary as binary")
async def _():
    async with talk("/echo") as socket:
        for message in [bytes(range(256)), b""]:
            await socket.send(message)
            await expect(socket, message)


@judge.check("/echo returns 1 MiB of text and of octets")
async def _():
    async with talk("/echo") as socket:
        for message in ["ä" * (MEBIBYTE // 2), os.urandom(MEBIBYTE)]:
            await socket.send(message)
            await expect(socket, message)


@judge.check("/echo puts fragments together")
async def _():
    async with talk("/echo") as socket:
        await socket.send(["one ", "", "two ", "three"])
        await expect(socket, "one two three")
        octets = os.urandom(MEBIBYTE)
        await socket.send(octets[at : at + 10_000] for at in range(0, MEBIBYTE, 10_000))
        await expect(socket, octets)


@judge.check("/echo answers pings while fragments are on their way")
async def _():
    async with talk("/echo") as socket:

        async def fragments():
            yield "one "
            await (await socket.ping("are you there"))
            yield "two"

        await socket.send(fragments())
        await expect(socket, "one two")


@judge.check("close codes come back")
async def _():
    for code in [1000, 1001, 1011, 3000, 4321]:
        async with talk("/echo") as socket:
            await socket.close(code, "a reason")
            assert socket.close_code == code, f"wanted {code}, got {socket.close_code}"
            assert socket.protocol.close_rcvd is not None, "a close frame was answered by one"


@judge.check("one octet past 1 MiB closes with 1009, in fragments too")
async def _():
    for message in ["*" * (MEBIBYTE + 1), ["*" * MEBIBYTE, "*"]]:
        async with talk("/echo") as socket:
            await socket.send(message)
            await expect_close(socket, 1009)


@judge.check("text that is no UTF-8 closes with 1007")
async def _():
    async with talk("/echo") as socket:
        await socket.send(b"\xff", text=True)
        await expect_close(socket, 1007)


@judge.check("a refused handshake is an HTTP answer")
async def _():
    for target, status in [("/nothing", 404), ("/raw/a..b", 400)]:
        try:
            async with talk(target):
                raise AssertionError(f"{target} was taken")
        except websockets.InvalidStatus as refused:
            assert refused.response.status_code == status, f"{target}: {refused.response.status_code}"


@judge.check("compression that is offered is taken or left, and messages arrive")
async def _():
    async with talk("/echo", compression="deflate") as socket:
        await socket.send("compressible " * 1000)
        await expect(socket, "compressible " * 1000)


@judge.check("/raw carries text, octets, large and fragmented messages to every reader")
async def _():
    target, octets = "/raw/python.raw?last=0", os.urandom(MEBIBYTE)
    async with talk(target) as one, talk(target) as two, talk(target + "&echo=0") as writer:
        for message in ["text", b"\0\xff", octets, ["in ", "three ", "fragments"]]:
            await writer.send(message)
        for reader in [one, two]:
            for message in ["text", b"\0\xff", octets, "in three fragments"]:
                await expect(reader, message)


@judge.check("/raw sends the last value on joining, unless it is asked not to")
async def _():
    await publish("python.last", b"last")
    async with talk("/raw/python.last") as with_last, talk("/raw/python.last?last=0") as without:
        await expect(with_last, "last")
        await publish("python.last", b"new")
        await expect(with_last, "new")
        await expect(without, "new")


@judge.check("/ws subscribes, publishes and pushes JSON")
async def _():
    async with talk("/ws", subprotocols=["fanwire.json.v1"]) as socket:
        assert socket.subprotocol == "fanwire.json.v1", socket.subprotocol
        await socket.send(json.dumps({"op": "sub", "topics": ["python.json"], "id": 1}))
        reply = json.loads(await socket.recv())
        assert reply["op"] == "ok" and reply["id"] == 1 and "python.json" in reply["topics"], reply
        published = await publish("python.json", b'{"price":1.5}')
        push = json.loads(await socket.recv())
        assert push == {"t": "python.json", "o": published["offset"], "d": {"price": 1.5}}, push
        await publish("python.json", b"\0\xff", Content_Type="application/octet-stream")
        push = json.loads(await socket.recv())
        assert push["b"] == "AP8=", push
        await socket.send(json.dumps({"op": "pub", "topic": "python.json", "data": ["own"], "id": 2}))
        messages = [json.loads(await socket.recv()) for _ in range(2)]
        assert any(message.get("id") == 2 and message["op"] == "ok" for message in messages), messages
        assert any(message.get("d") == ["own"] for message in messages), messages


@judge.check("/ws takes an operation in fragments, and refuses what it does not understand")
async def _():
    async with talk("/ws") as socket:
        await socket.send(['{"op":"ping"', ',"id":', "7}"])
        assert json.loads(await socket.recv())["id"] == 7
        await socket.send('{"op":"sub","topics":["a..b"],"id":8}')
        reply = json.loads(await socket.recv())
        assert (reply["op"], reply["id"], reply["code"]) == ("err", 8, "bad_topic"), reply


judge.run()
