"""Tornado as a client whose compressed messages lean on its earlier ones, whatever it is asked for:
python python_tornado.py http://127.0.0.1:PORT"""

import json
import sys

from tornado.websocket import websocket_connect

from judge import Judge

ORIGIN = sys.argv[1].replace("http", "ws")
judge = Judge("tornado")


def connect(path):
    return websocket_connect(ORIGIN + path, compression_options={"compression_level": 6, "mem_level": 8})


@judge.check("/echo sends back many messages that are much alike, and empty ones")
async def _():
    socket = await connect("/echo")
    for number in range(300):
        message = json.dumps({"ticker": "IBM", "price": number * 7 % 90 / 4, "text": "much alike " * (number % 40)})
        await socket.write_message(message)
        assert await socket.read_message() == message
        if number % 50 == 0:
            await socket.write_message("")
            assert await socket.read_message() == ""
    socket.close()


@judge.check("/ws takes its operations and tells it what it follows")
async def _():
    socket = await connect("/ws")
    await socket.write_message(json.dumps({"op": "sub", "topics": ["tornado.a"], "id": 0}))
    assert json.loads(await socket.read_message())["op"] == "ok"
    for number in range(1, 60):
        data = {"number": number, "text": "much alike " * 40}
        await socket.write_message(json.dumps({"op": "pub", "topic": "tornado.a", "data": data, "id": number}))
        told = [json.loads(await socket.read_message()) for _ in range(2)]
        assert any(message.get("id") == number and message["op"] == "ok" for message in told), told
        assert any(message.get("d") == data for message in told), told
    socket.close()


judge.run()
