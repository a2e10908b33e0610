"""nginx and HAProxy, as docs/DEPLOY.md sets them up, before two gateways each, and every transport through them, before one:
python proxies.py FANWIRE"""

import asyncio
import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile

import trustme
from websockets.asyncio.client import connect, unix_connect

HANG_S = 20
FANWIRE = sys.argv[1]
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "DEPLOY.md"


def block(language):
    """The one block of the page in this language."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S)
    assert len(found) == 1, f"the page has {len(found)} blocks of {language}"
    return found[0]


def fill(text, values):
    for name, value in values.items():
        assert name in text, f"the page has no {name}"
        text = text.replace(name, str(value))
    return text


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process(contextlib.AbstractContextManager):
    """A program of ours, ended by its own id."""

    def __init__(self, *words):
        self.child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __exit__(self, *_):
        self.child.terminate()
        self.child.communicate(timeout=HANG_S)


class Gateway(Process):
    def __init__(self, *words):
        super().__init__(FANWIRE, "serve", "--shards", "2", "--listen", "http://127.0.0.1:0", *words)
        self.ports = []
        for line in self.child.stdout:
            if match := re.search(r"listening on https?://.*:(\d+)", line):
                self.ports.append(int(match[1]))
            if line == "ready\n":
                return
        raise AssertionError(f"the gateway did not get ready: {self.child.stderr.read()}")


async def until_it_listens(child, port):
    for _ in range(200):
        if child.poll() is not None:
            raise AssertionError(f"it ended: {child.stderr.read()}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("it does not listen")


def request(port, trust, method, path, body=None):
    """One request: status and body. A server that is being found out about may be tried again by its proxy only."""
    link = http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=HANG_S)
    link.request(method, path, body=body)
    answer = link.getresponse()
    return answer.status, answer.read()


async def judge(name, port, trust):
    """WebSockets and requests through a proxy that speaks TLS."""
    address = f"wss://127.0.0.1:{port}"
    options = {"ssl": trust, "compression": None, "max_size": 4 << 20, "open_timeout": HANG_S}
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(connect(address + "/echo", **options)) for _ in range(8)]
        for number, it in enumerate(sockets):
            for message in [f"number {number}", "ä" * 300_000, b"\0\xff" * 50_000]:
                await it.send(message)
                assert await asyncio.wait_for(it.recv(), HANG_S) == message
        for it in sockets:
            await it.close(1000)
            assert it.close_code == 1000
    status, body = await asyncio.to_thread(request, port, trust, "POST", "/publish/t", b"x" * 500_000)
    assert status == 200 and json.loads(body)["offset"] >= 1, (status, body)
    status, body = await asyncio.to_thread(request, port, trust, "POST", "/publish/t", b"y" * 2_000_000)
    assert status == 413, (status, body)
    status, _ = await asyncio.to_thread(request, port, trust, "GET", "/nowhere")
    assert status == 404, status
    # Readers and publishers reach one instance or the other; some of the readers hear every message.
    async with contextlib.AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(connect(address + "/raw/u?last=0", **options)) for _ in range(4)]
        writers = [await stack.enter_async_context(connect(address + "/raw/u?last=0&echo=0", **options)) for _ in range(4)]
        for number, it in enumerate(writers):
            await it.send(f"from {number}")
        heard = await asyncio.gather(*(asyncio.wait_for(it.recv(), HANG_S) for it in readers))
        assert all(text.startswith("from ") for text in heard), heard
    print(f"ok      proxies: {name}")


class Response:
    """A GET whose body is read line by line as it comes, each wait bounded."""

    def __init__(self, port, trust, path, headers={}):
        self.link = http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=HANG_S)
        self.link.request("GET", path, headers=headers)
        self.answer = self.link.getresponse()
        self.status = self.answer.status

    def line(self):
        text = self.answer.readline()
        assert text, "the response ended"
        return text.decode().rstrip("\n")

    def object(self):
        """The next line of `/stream`."""
        while not (text := self.line()):
            pass
        return json.loads(text)

    def event(self):
        """The next event of `/sse` as id, name and data."""
        fields = {}
        while text := self.line():
            name, _, value = text.partition(": ")
            fields[name] = value
        return (fields["id"], fields["event"], fields["data"]) if "event" in fields else self.event()

    def close(self):
        # Reading on would never end.
        self.answer.close()
        self.link.close()


def judge_http_transports(name, port, trust):
    """Every transport through a proxy: messages come as they are said, and a reader that was away misses none."""

    def publish(topic, number):
        status, body = request(port, trust, "POST", f"/publish/transport.{topic}", b"%d" % number)
        assert status == 200, (status, body)

    def follow(path, headers={}):
        response = Response(port, trust, path, headers)
        assert response.status == 200, response.status
        return response

    # Each message is read before the next is said: what a proxy kept to itself would be waited for in vain.
    reader = follow("/sse?topic=transport.sse")
    position, event, _ = reader.event()
    assert event == ".joined", event
    for number in range(1, 4):
        publish("sse", number)
        position, *rest = reader.event()
        assert rest == ["transport.sse", str(number)], rest
    reader.close()
    publish("sse", 4)
    publish("sse", 5)
    reader = follow("/sse?topic=transport.sse", {"Last-Event-ID": position})
    _, event, joined = reader.event()
    assert event == ".joined" and '"recovered":true' in joined, joined
    assert [reader.event()[2] for _ in range(2)] == ["4", "5"]
    reader.close()

    reader = follow("/stream?topic=transport.stream")
    epoch = reader.object()["topics"]["transport.stream"]["epoch"]
    for number in range(1, 4):
        publish("stream", number)
        push = reader.object()
        assert push == {"t": "transport.stream", "o": number, "d": number}, push
    reader.close()
    publish("stream", 4)
    publish("stream", 5)
    reader = follow(f"/stream?topic=transport.stream&since={epoch}-3")
    assert reader.object()["topics"]["transport.stream"]["recovered"] is True
    assert [reader.object()["d"] for _ in range(2)] == [4, 5]
    reader.close()

    def poll(since, timeout="20s"):
        response = Response(port, trust, f"/poll?topic=transport.poll&timeout={timeout}{since}")
        body, position = response.answer.read(), response.answer.headers["Fanwire-Since"]
        response.link.close()
        return response.status, [push["d"] for push in json.loads(body)["messages"]] if body else [], f"&since={position}"

    status, heard, since = poll("", "0s")
    assert (status, heard) == (204, []), (status, heard)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for number in range(1, 4):
            waiting = pool.submit(poll, since)
            publish("poll", number)
            status, heard, since = waiting.result()
            assert (status, heard) == (200, [number]), (status, heard)
    publish("poll", 4)
    publish("poll", 5)
    status, heard, since = poll(since)
    assert (status, heard) == (200, [4, 5]), (status, heard)
    assert poll(since, "100ms") == (204, [], since)
    print(f"ok      proxies: /sse, /stream and /poll, with resuming, through {name}")


async def judge_websocket(name, port, trust, sees_http):
    """The same over `/ws`."""
    options = {"ssl": trust, "compression": None, "open_timeout": HANG_S}

    async def follow(since):
        it = await connect(f"wss://127.0.0.1:{port}/ws", **options)
        await it.send(json.dumps({"op": "sub", "topics": ["transport.ws"], "since": since}))
        return it, json.loads(await asyncio.wait_for(it.recv(), HANG_S))["topics"]["transport.ws"]

    async def publish(number):
        status, _ = await asyncio.to_thread(request, port, trust, "POST", "/publish/transport.ws", b"%d" % number)
        assert status == 200, status

    async def hear(it):
        return json.loads(await asyncio.wait_for(it.recv(), HANG_S))["d"]

    # One browser that cannot take what all are answered is not offered compression; another is.
    for system, wanted in [("Version/15.2 Safari/605.1.15", []), ("Version/15.4 Safari/605.1.15", ["permessage-deflate"])]:
        browser = f"Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) {system}"
        it = await connect(f"wss://127.0.0.1:{port}/ws", ssl=trust, user_agent_header=browser, open_timeout=HANG_S)
        assert [extension.name for extension in it.protocol.extensions] == (wanted if sees_http else ["permessage-deflate"]), browser
        await it.close()

    it, joined = await follow({})
    for number in range(1, 4):
        await publish(number)
        assert await hear(it) == number
    await it.close()
    await publish(4)
    await publish(5)
    it, joined = await follow({"transport.ws": f"{joined['epoch']}-3"})
    assert joined["recovered"] is True
    assert [await hear(it), await hear(it)] == [4, 5]
    await it.close()
    print(f"ok      proxies: /ws, with resuming, through {name}")


async def judge_every_transport(name, port, trust, sees_http=True):
    await judge_websocket(name, port, trust, sees_http)
    await asyncio.to_thread(judge_http_transports, name, port, trust)


def accepted(gateway):
    link = http.client.HTTPConnection("127.0.0.1", gateway.ports[0], timeout=HANG_S)
    # The first listener wants no header of an address that is not trusted; here it is, so this is one.
    link.connect()
    link.sock.sendall(gateway.greeting)
    link.request("GET", "/metrics")
    text = link.getresponse().read().decode()
    lines = [line for line in text.splitlines() if line.startswith("fanwire_handshakes_total{")]
    return sum(int(line.split()[-1]) for line in lines)


async def start_nginx(stack, folder, cert, key, gateways):
    """nginx of the page before two gateways; its port."""
    port = free_port()
    folder.mkdir()
    text = fill(
        block("nginx"),
        {
            "127.0.0.1:8081": f"127.0.0.1:{gateways[0].ports[0]}",
            "127.0.0.1:8082": f"127.0.0.1:{gateways[1].ports[0]}",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/ssl/fanwire.pem": cert,
            "/etc/ssl/fanwire.key": key,
            "worker_connections 100000;": "worker_connections 500;",
            # Settings that a distribution has in a file elsewhere.
            "http {\n": "http {\n    access_log off;\n"
            + "".join(
                f"    {kind}_temp_path {folder}/{kind};\n"
                for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            ),
        },
    )
    own = f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr warn;\n"
    (folder / "nginx.conf").write_text(own + text)
    nginx = stack.enter_context(Process("nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")))
    await until_it_listens(nginx.child, port)
    return port


async def start_haproxy(stack, file, both, gateways):
    """HAProxy of the page before two gateways; its ports for HTTP and for bytes."""
    http_port, tcp_port = free_port(), free_port()
    text = fill(
        block("haproxy"),
        {
            "127.0.0.1:8081": f"127.0.0.1:{gateways[0].ports[0]}",
            "127.0.0.1:8082": f"127.0.0.1:{gateways[1].ports[0]}",
            "127.0.0.1:8083": f"127.0.0.1:{gateways[0].ports[1]}",
            "127.0.0.1:8084": f"127.0.0.1:{gateways[1].ports[1]}",
            "bind :443 ": f"bind 127.0.0.1:{http_port} ",
            "bind :8443": f"bind 127.0.0.1:{tcp_port}",
            "/etc/ssl/fanwire-both.pem": both,
        },
    )
    file.write_text("global\n    maxconn 1000\n" + text)
    haproxy = stack.enter_context(Process("haproxy", "-db", "-f", str(file)))
    await until_it_listens(haproxy.child, http_port)
    return http_port, tcp_port


async def main():
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fanwire-proxies-")))
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1", "localhost")
        cert, key, both = (folder / name for name in ["cert.pem", "key.pem", "both.pem"])
        cert.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        both.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        trust = ssl.create_default_context()
        authority.configure_trust(trust)

        trusted = ["--proxy-trusted", "127.0.0.0/8", "--connections-per-ip-max", "100"]
        plain = [stack.enter_context(Gateway(*trusted)) for _ in range(2)]
        nginx_port = await start_nginx(stack, folder / "nginx", cert, key, plain)
        await judge("nginx, TLS and HTTP", nginx_port, trust)
        for gateway in plain:
            gateway.greeting = b""
        shares = [accepted(gateway) for gateway in plain]
        assert min(shares) > 2, f"both instances have their part: {shares}"
        print("ok      proxies: nginx shares connections between both")

        headers = [*trusted, "--proxy-protocol", "v1v2"]
        tls = ["--listen", "https://127.0.0.1:0", "--tls-cert", str(cert), "--tls-key", str(key)]
        behind = [stack.enter_context(Gateway(*tls, *headers)) for _ in range(2)]
        http_port, tcp_port = await start_haproxy(stack, folder / "haproxy.cfg", both, behind)
        await judge("HAProxy, TLS and HTTP, PROXY headers", http_port, trust)
        await judge("HAProxy, bytes and PROXY headers, TLS by the gateway", tcp_port, trust)
        for gateway in behind:
            gateway.greeting = b"PROXY UNKNOWN\r\n"
        shares = [accepted(gateway) for gateway in behind]
        assert min(shares) > 4, f"both instances have their part: {shares}"
        print("ok      proxies: HAProxy shares connections between both")

        # Instances share no topics, so that one is all that a reader can come back to.
        history = ["--topics", "transport.> history=100"]
        one = stack.enter_context(Gateway(*trusted, *history))
        port = await start_nginx(stack, folder / "nginx-transports", cert, key, [one, one])
        await judge_every_transport("nginx", port, trust)
        one = stack.enter_context(Gateway(*tls, *headers, *history))
        ports = await start_haproxy(stack, folder / "haproxy-transports.cfg", both, [one, one])
        await judge_every_transport("HAProxy, TLS and HTTP", ports[0], trust)
        one = stack.enter_context(Gateway(*tls, *headers, *history))
        ports = await start_haproxy(stack, folder / "haproxy-bytes.cfg", both, [one, one])
        await judge_every_transport("HAProxy, bytes", ports[1], trust, sees_http=False)

        path = folder / "fanwire.sock"
        stack.enter_context(Gateway("--listen", f"unix:{path}"))
        async with unix_connect(str(path), "ws://localhost/echo", compression=None) as it:
            await it.send("through a file")
            assert await asyncio.wait_for(it.recv(), HANG_S) == "through a file"
        print("ok      proxies: a socket's file")
    print("12 passed, 0 failed")


asyncio.run(main())
