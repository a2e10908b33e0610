"""nginx and HAProxy, as docs/DEPLOY.md sets them up, before two gateways each: python proxies.py FANWIRE"""

import asyncio
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
    # Who follows and who publishes come to one instance or to the other; some of the readers hear every message.
    async with contextlib.AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(connect(address + "/raw/u?last=0", **options)) for _ in range(4)]
        writers = [await stack.enter_async_context(connect(address + "/raw/u?last=0&echo=0", **options)) for _ in range(4)]
        for number, it in enumerate(writers):
            await it.send(f"from {number}")
        heard = await asyncio.gather(*(asyncio.wait_for(it.recv(), HANG_S) for it in readers))
        assert all(text.startswith("from ") for text in heard), heard
    print(f"ok      proxies: {name}")


def accepted(gateway):
    link = http.client.HTTPConnection("127.0.0.1", gateway.ports[0], timeout=HANG_S)
    # The first listener wants no header of an address that is not trusted; here it is, so this is one.
    link.connect()
    link.sock.sendall(gateway.greeting)
    link.request("GET", "/metrics")
    text = link.getresponse().read().decode()
    lines = [line for line in text.splitlines() if line.startswith("fanwire_handshakes_total{")]
    return sum(int(line.split()[-1]) for line in lines)


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
        nginx_port = free_port()
        text = fill(
            block("nginx"),
            {
                "127.0.0.1:8081": f"127.0.0.1:{plain[0].ports[0]}",
                "127.0.0.1:8082": f"127.0.0.1:{plain[1].ports[0]}",
                "listen 443 ssl": f"listen 127.0.0.1:{nginx_port} ssl",
                "/etc/ssl/fanwire.pem": cert,
                "/etc/ssl/fanwire.key": key,
                "worker_connections 100000;": "worker_connections 500;",
                # What a distribution's own file says elsewhere.
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
        await until_it_listens(nginx.child, nginx_port)
        await judge("nginx, TLS and HTTP", nginx_port, trust)
        for gateway in plain:
            gateway.greeting = b""
        shares = [accepted(gateway) for gateway in plain]
        assert min(shares) > 2, f"both instances have their part: {shares}"
        print("ok      proxies: nginx shares connections between both")

        headers = [*trusted, "--proxy-protocol", "v1v2"]
        tls = ["--listen", "https://127.0.0.1:0", "--tls-cert", str(cert), "--tls-key", str(key)]
        behind = [stack.enter_context(Gateway(*tls, *headers)) for _ in range(2)]
        http_port, tcp_port = free_port(), free_port()
        text = fill(
            block("haproxy"),
            {
                "127.0.0.1:8081": f"127.0.0.1:{behind[0].ports[0]}",
                "127.0.0.1:8082": f"127.0.0.1:{behind[1].ports[0]}",
                "127.0.0.1:8083": f"127.0.0.1:{behind[0].ports[1]}",
                "127.0.0.1:8084": f"127.0.0.1:{behind[1].ports[1]}",
                "bind :443 ": f"bind 127.0.0.1:{http_port} ",
                "bind :8443": f"bind 127.0.0.1:{tcp_port}",
                "/etc/ssl/fanwire-both.pem": both,
            },
        )
        (folder / "haproxy.cfg").write_text("global\n    maxconn 1000\n" + text)
        haproxy = stack.enter_context(Process("haproxy", "-db", "-f", str(folder / "haproxy.cfg")))
        await until_it_listens(haproxy.child, http_port)
        await judge("HAProxy, TLS and HTTP, PROXY headers", http_port, trust)
        await judge("HAProxy, bytes and PROXY headers, TLS by the gateway", tcp_port, trust)
        for gateway in behind:
            gateway.greeting = b"PROXY UNKNOWN\r\n"
        shares = [accepted(gateway) for gateway in behind]
        assert min(shares) > 4, f"both instances have their part: {shares}"
        print("ok      proxies: HAProxy shares connections between both")

        path = folder / "fanwire.sock"
        stack.enter_context(Gateway("--listen", f"unix:{path}"))
        async with unix_connect(str(path), "ws://localhost/echo", compression=None) as it:
            await it.send("through a file")
            assert await asyncio.wait_for(it.recv(), HANG_S) == "through a file"
        print("ok      proxies: a socket's file")
    print("6 passed, 0 failed")


asyncio.run(main())
