"""What no proper client sends, to the servers that people run."""

from __future__ import annotations

import os
import random
import re
import socket
import sys
import threading

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.process import ServerProcess, free_port, listening
from tests.waiting import until
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.layout import object_name, path_name


KEY = Key("comics.cover", 1234, 405, 640, "image/png")
LARGE = KEY._replace(object_id=2)
CONTENT = b"\x89PNG" * 2500
SIZE = 16 * 2**20  # sparse; more than the buffers between two processes hold
CONFIG = """\
version: 1
default: images
stores:
  images: {type: filesystem, path: disk, limit: 4, timeout: 1m}
"""
APPLICATION = """\
from tiered_store import load
from tiered_store.web.asgi import ASGIFace
from tiered_store.web.site import Site
from tiered_store.web.wsgi import WSGIFace

site = Site(load("config.yaml"), cors=["https://a.example"])
wsgi, asgi = WSGIFace(site), ASGIFace(site)
"""
SERVERS = {
    "serve": [
        *("tiered_store", "serve", "config.yaml", "--threads=8"),
        *("--cors=https://a.example", "--port=PORT"),
    ],
    "gunicorn": [
        *("gunicorn", "--worker-class=gthread", "--threads=8", "--bind=127.0.0.1:PORT"),
        "hostile:wsgi",
    ],
    "h11": ["uvicorn", "--http=h11", "--port=PORT", "hostile:asgi"],
}


@dataclass
class Server:
    """One that runs, and what it shows."""

    port: int
    process: ServerProcess
    disk: Path
    logged: int = 0

    def send(self, *lines: bytes, end: bytes = b"Connection: close\r\n\r\n") -> bytes:
        """Return all that is answered to *lines*, until the server hangs up."""
        head = b"".join(line + b"\r\n" for line in (*lines[:1], b"Host: x", *lines[1:]))
        return self.exchange(head + end)

    def exchange(self, sent: bytes) -> bytes:
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as line:
            try:
                line.sendall(sent)
                while piece := line.recv(1 << 20):
                    answer += piece
            except ConnectionError:  # it had read enough
                pass
        return answer

    def log(self) -> str:
        """Return what it has logged since the last time."""
        written = (self.process.folder / "server.log").read_text()
        new, self.logged = written[self.logged :], len(written)
        return new

    def open_objects(self) -> list[str]:
        """Return the files of objects that it or its workers have open."""
        assert self.process.process is not None
        found = []
        for one in family(self.process.process.pid):
            for number in Path(f"/proc/{one}/fd").iterdir():
                try:
                    name = os.readlink(number)
                except OSError:
                    continue
                if name.startswith(f"{self.disk}/comics.cover"):
                    found.append(name)
        return found


def family(process: int) -> list[int]:
    """Return *process* and all that come of it."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(one for child in children for one in family(int(child)))]


@pytest.fixture(scope="module", params=SERVERS)
def server(request, tmp_path_factory) -> Iterator[Server]:
    """Each of them, once for all tests."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "outside.txt").write_text("outside")
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "hostile.py").write_text(APPLICATION)
    disk = FileSystemStore(str(folder / "disk"), create=True)
    disk.put(KEY, Body.of(CONTENT))
    with (folder / "large").open("wb+") as file:
        file.truncate(SIZE)
        disk.put_file(file, *LARGE, reproducible=False)
    port = free_port()
    words = [word.replace("PORT", str(port)) for word in SERVERS[request.param]]
    process = ServerProcess(
        [sys.executable, "-m", *words], lambda: listening(port), folder
    )
    try:
        yield Server(port, process, folder / "disk")
    finally:
        process.kill()


def status(answer: bytes) -> int:
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert match, answer[:200]
    return int(match[1])


def head(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[0]


OBJECT = object_name(KEY)
TARGETS = [
    # out of the directory: plain, encoded once and twice, backslashes, overlong UTF-8
    "/../../../../etc/passwd",
    "/../outside.txt",
    "/%2e%2e/outside.txt",
    "/..%2foutside.txt",
    "/%252e%252e%252foutside.txt",
    "/..%5coutside.txt",
    "/..%255coutside.txt",
    "/%c0%ae%c0%ae/outside.txt",
    "/..%c0%afoutside.txt",
    "/..%e0%80%afoutside.txt",
    "/..%f0%80%80%afoutside.txt",
    "/%u002e%u002e/outside.txt",
    "/....//outside.txt",
    "/..;/outside.txt",
    "//outside.txt",
    "/comics.cover/../../outside.txt",
    "/comics.cover/1234/405x640.png/../../../../outside.txt",
    "/comics.cover/234/1/..%2f1%2f1234.405x640.png",
    "/comics.cover/%2e%2e/1/1x1.png",
    # another spelling of the name of what is there
    "//comics.cover/1234/405x640.png",
    "/comics.cover//1234/405x640.png",
    "/comics.cover/1234/405x640.png/",
    "/comics.cover/01234/405x640.png",
    "/comics.cover/+1234/405x640.png",
    "/comics.cover/%201234/405x640.png",
    "/comics.cover/1_234/405x640.png",
    "/comics.cover/%d9%a1%d9%a2%d9%a3%d9%a4/405x640.png",
    "/comics.cover/1234/405x640.PNG",
    "/COMICS.COVER/1234/405x640.png",
    "/comics.cover/1234/405x640.png;v=1",
    # what a file's name ends at, and what a header's does
    "/%00",
    "/comics.cover/1234/405x640.png%00",
    "/comics.cover/1234/405x640.png%00.jpe",
    "/comics.cover/1234/405x640.png%0d%0aX-Forged:1",
    "/comics.cover/1234/405x640.application%252Fx%250d%250aX-Forged:1",
    "/comics.cover/1234/405x640.application%2Fx%0d%0aX-Forged:1",
    # numbers and names without end
    f"/comics.cover/{'9' * 4000}/1x1.png",
    f"/comics.cover/-{'9' * 4400}/1x1.png",
    f"/comics.cover/1/{'9' * 4400}x1.png",
    f"/{'a' * 256}/1/1x1.png",
    f"/{'a/' * 1200}1/1x1.png",
    f"/{'a' * 70_000}",
    # no text
    "/%",
    "/%zz",
    "/%ff%fe/1/1x1.png",
    "/%ed%a0%80/1/1x1.png",
    "/%f4%90%80%80/1/1x1.png",
    # names of the system's, and of the store's own
    "/~root/1/1x1.png",
    "/.tmp/1/1x1.png",
    "/CON/1/1x1.png",
    "/-/health/../../outside.txt",
    "*",
]


def test_no_target_leads_out(server) -> None:
    """However it is spelled, it is the client who is wrong, or there is nothing."""
    for target in TARGETS:
        for method in ("GET", "HEAD"):
            answer = server.send(f"{method} {target} HTTP/1.1".encode())
            assert status(answer) in (400, 404, 414), (target, answer[:300])
            assert b"outside" not in answer.partition(b"\r\n\r\n")[2], target
            assert b"root:" not in answer
            assert b"x-forged" not in head(answer).lower(), target
    assert CONTENT in server.send(f"GET /{OBJECT} HTTP/1.1".encode())
    assert CONTENT in server.send(f"GET /{path_name(KEY)} HTTP/1.1".encode())
    assert "Traceback" not in server.log()


MANY = b"9" * 5000
HEADERS = [
    b"Range: bytes=--1",
    b"Range: bytes=5-2",
    b"Range: bytes=0--1",
    b"Range: bytes=" + MANY + b"-",
    b"Range: bytes=-" + MANY,
    b"Range: bytes=0-" + b"9" * 19,
    b"Range: bytes=-0",
    b"Range: bytes=\xb2-\xb3",
    b"Range: bytes=0-0" + b",0-0" * 5000,
    b"Range: bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(0, 400, 2)),
    b"Range: bytes=0-1\r\nRange: bytes=3-4",
    b"Range: bytes=0-1\r\nIf-Range: Sun, 0 Foo 9999",
    b'Range: bytes=0-1\r\nIf-Range: "',
    b"Range:",
    b'If-None-Match: "',
    b'If-None-Match: "a\xff\xfe, W/, "',
    b"If-None-Match: " + b'W/"a",' * 1000,
    b"If-Match: *\r\nIf-None-Match: x",
    b"If-Modified-Since: Sun, 31 Feb 2026 25:61:61 GMT",
    b"If-Modified-Since: Thu, 01 Jan 0001 00:00:00 +2359",
    b"If-Modified-Since: Fri, 31 Dec 9999 23:59:59 -2359",
    b"If-Modified-Since: Thu, 01 Jan 2026 00:00:00 +" + b"9" * 30,
    b"If-Modified-Since: " + MANY,
    b"If-Modified-Since: -1",
    b"If-Modified-Since: ,",
    b"If-Unmodified-Since: \xff",
    b"If-Unmodified-Since: 29 Nov : :",
    b"Origin: https://a.example\r\nX-Forged: 1",
    b"Origin: https://a.example\rX-Forged: 1",
    b"Origin: https://a.example\nX-Forged: 1",
    b"Origin: https://a.example\r\nOrigin: https://b.example",
    b"Origin: https://b.example\xff",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 3\r\nTransfer-Encoding: chunked",
    b"Expect: nothing",
    b"Upgrade: websocket",
    b"Upgrade: h2c\r\nHTTP2-Settings: x",
    b"Host: b.example",
    b"X: " + b"a" * 100_000,
    b"\r\n".join(b"X-%d: a" % number for number in range(500)),
    b": x",
    b"A B: c",
]
ANSWERS = {200, 204, 206, 304, 400, 405, 412, 413, 414, 416, 417, 426, 431}


def test_no_header_is_a_bug_of_ours(server) -> None:
    """What makes no sense is passed over, or refused; nothing of it comes back."""
    for header in HEADERS:
        for method in (b"GET", b"HEAD", b"OPTIONS", b"PUT"):
            line = method + b" /" + OBJECT.encode() + b" HTTP/1.1"
            answer = server.send(line, header)
            assert status(answer) in ANSWERS, (header[:80], answer[:300])
            assert b"x-forged" not in head(answer).lower(), header[:80]
            assert b"b.example" not in head(answer), header[:80]
            if method == b"GET" and status(answer) == 200:
                assert answer.endswith(b"\r\n\r\n" + CONTENT), header[:80]
    assert "Traceback" not in server.log()


def test_what_is_no_request_is_not_answered_with_an_object(server) -> None:
    """Of other protocols, of other versions, and noise."""
    line = b"GET /" + OBJECT.encode()
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        line + b" HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n",
        line + b" HTTP/x\r\nHost: x\r\n\r\n",
        line + b" HTTP/11.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"BREW /" + OBJECT.encode() + b" HTTP/1.1\r\nConnection: close\r\n\r\n",
    ):
        answer = server.exchange(sent)
        assert CONTENT not in answer, sent
        assert b"Traceback" not in answer
    assert "Traceback" not in server.log()


def test_requests_that_come_at_once_are_answered_in_turn(server) -> None:
    """Each answer ends where it says, one without a body as well."""
    paths = {
        KEY: f"/{OBJECT} HTTP/1.1\r\n",
        LARGE: f"/{object_name(LARGE)} HTTP/1.1\r\n",
    }
    host = "Host: x\r\n"
    sent = (
        f"HEAD {paths[LARGE]}{host}Range: bytes=0-1\r\n\r\n"
        f"GET {paths[KEY]}{host}\r\n"
        f"GET {paths[LARGE]}{host}Range: bytes=7-8\r\n\r\n"
        f"GET {paths[KEY]}{host}If-Match: x\r\n\r\n"
        f"GET {paths[KEY]}{host}Range: bytes=-4\r\nConnection: close\r\n\r\n"
    )
    answer = server.exchange(sent.encode())

    statuses = [int(one) for one in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]
    assert statuses == [200, 200, 206, 412, 206]
    assert answer.endswith(b"\r\n\r\n" + CONTENT[-4:])
    assert CONTENT + b"HTTP/1.1 206" in answer
    assert b"\r\n\r\n\0\0HTTP/1.1 412" in answer


RANGES = [b"", b"Range: bytes=5-", b"Range: bytes=0-9,100000-9000000,9500000-15000000"]


def test_clients_that_go_away_leave_nothing_open(server) -> None:
    """In the midst of a body, of a part, before a byte; by a word or by a reset."""

    def leave(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(8):
            with socket.create_connection(("127.0.0.1", server.port), 60) as line:
                lines = [
                    f"GET /{object_name(LARGE)} HTTP/1.1".encode(),
                    *(b"Host: x", chance.choice(RANGES) or b"A: b", b"", b""),
                ]
                line.sendall(b"\r\n".join(lines))
                left = chance.choice([0, 1, 1000, 400_000, 3_000_000])
                while left > 0 and (piece := line.recv(65536)):
                    left -= len(piece)
                if chance.random() < 0.5:  # a reset
                    line.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, b"\1" + bytes(7)
                    )

    threads = [threading.Thread(target=leave, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    until(lambda: server.open_objects() == [])
    # and none has kept its turn, of which the store has four
    for _ in range(6):
        whole = server.send(f"GET /{object_name(LARGE)} HTTP/1.1".encode())
        assert len(whole.partition(b"\r\n\r\n")[2]) == SIZE
    assert "Traceback" not in server.log()


def test_clients_that_are_slow_keep_nobody_waiting(server) -> None:
    """They send half a request, or read nothing of what they asked for."""
    lines = []
    try:
        for sent in (
            f"GET /{object_name(LARGE)} HTTP/1.1\r\nHost: x\r\n\r\n",
            f"GET /{OBJECT} HTTP/1.1\r\nHost: ",
        ) * 3:
            line = socket.create_connection(("127.0.0.1", server.port), 60)
            lines.append(line)
            line.sendall(sent.encode())
        until(lambda: len(server.open_objects()) >= 3)
        assert CONTENT in server.send(f"GET /{OBJECT} HTTP/1.1".encode())
    finally:
        for line in lines:
            line.close()
    until(lambda: server.open_objects() == [])


def test_an_outage_is_503_whatever_is_asked(server) -> None:
    """With the time to wait; absence is not said, nor is a condition judged."""
    away = server.disk.with_name("away")
    server.disk.rename(away)
    try:
        for header in (b"A: b", b"Range: bytes=0-1", b"If-None-Match: *", *HEADERS[:8]):
            for method in (b"GET", b"HEAD"):
                for path in (OBJECT, object_name(KEY._replace(object_id=9))):
                    line = method + b" /" + path.encode() + b" HTTP/1.1"
                    answer = server.send(line, header)
                    assert status(answer) == 503, (header, answer[:300])
                    assert b"\r\nretry-after: 5" in head(answer).lower()
                    assert str(server.disk).encode() not in answer
    finally:
        away.rename(server.disk)
    assert CONTENT in server.send(f"GET /{OBJECT} HTTP/1.1".encode())
    assert "Traceback" not in server.log()
