"""Python `websockets` as a judge of compression: python python_deflate.py http://127.0.0.1:PORT message|shared"""

import asyncio
import json
import os
import sys
import urllib.request

import websockets
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from judge import HANG_S, Judge

ORIGIN, KIND = sys.argv[1:]
MEBIBYTE = 1024 * 1024
OFFERS = [
    {},
    {"server_no_context_takeover": True},
    {"server_max_window_bits": 9},
    {"server_max_window_bits": 12, "client_max_window_bits": 9},
    {"client_no_context_takeover": True, "client_max_window_bits": True},
]
judge = Judge(f"python websockets, {KIND}")


def talk(target, **offer):
    factory = ClientPerMessageDeflateFactory(compress_settings={"memLevel": 5}, **offer)
    options = {"compression": None, "extensions": [factory], "max_size": 4 * MEBIBYTE, "ping_interval": None}
    return connect(ORIGIN.replace("http", "ws") + target, **options)


async def publish(topic, body):
    def post():
        headers = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{ORIGIN}/publish/{topic}", data=body, method="POST", headers=headers)
        with urllib.request.urlopen(request, timeout=HANG_S) as response:
            return json.load(response)

    return await asyncio.to_thread(post)


async def expect(socket, wanted):
    got = await socket.recv()
    assert got == wanted, f"wanted {wanted!r:.100}, got {got!r:.100}"


def tick(number):
    return json.dumps({"ticker": "IBM", "price": 100 + number * 7 % 90 / 4, "volume": number * 31, "number": number})


@judge.check("/echo takes compressed messages and sends them back compressed")
async def _():
    for offer in OFFERS:
        async with talk("/echo", **offer) as socket:
            [extension] = socket.protocol.extensions
            assert extension.local_no_context_takeover, "nothing is kept of a client"
            text = "κόσμε 🦀 compressible " * 20_000
            for message in [text, text, "short", "", os.urandom(MEBIBYTE)]:
                await socket.send(message)
                await expect(socket, message)
            # In fragments.
            await socket.send(text[at : at + 1000] for at in range(0, len(text), 1000))
            await expect(socket, text)


@judge.check("a bomb closes with 1009")
async def _():
    async with talk("/echo") as socket:
        await socket.send(bytes(64 * MEBIBYTE))
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd is not None and closed.rcvd.code == 1009, closed
        else:
            raise AssertionError("it came back")


@judge.check("/raw: whoever comes when, and with what offer, hears every tick in order")
async def _():
    topic, readers = f"python.deflate.{KIND}", []
    await publish(topic, tick(0).encode())
    for number in range(1, 121):
        if number % 6 == 1:
            socket = await talk(f"/raw/{topic}", **OFFERS[len(readers) % len(OFFERS)])
            await expect(socket, tick(number - 1))
            readers.append(socket)
        await publish(topic, tick(number).encode())
        for socket in readers:
            await expect(socket, tick(number))
    for socket in readers:
        await socket.close()


@judge.check("/ws: operations in, pushes out, by name and pattern")
async def _():
    async with talk("/ws") as one, talk("/ws", server_max_window_bits=10) as other:
        for socket, topics in [(one, [f"python.j.{KIND}", "python.other"]), (other, ["python.j.*"])]:
            await socket.send(json.dumps({"op": "sub", "topics": topics, "last": False}))
            assert json.loads(await socket.recv())["op"] == "ok"
        for number in range(1, 61):
            data = {"number": number, "text": "much alike " * 40}
            await publish(f"python.j.{KIND}", json.dumps(data).encode())
            for socket in [one, other]:
                push = json.loads(await socket.recv())
                assert push["d"] == data, push
            if number % 7 == 0:
                await publish("python.other", json.dumps(data).encode())
                assert json.loads(await one.recv())["t"] == "python.other"


judge.run()
