"""The examples run as they say: servers that fork, and a pool that is killed."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import signal
import socket
import sys
import threading

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from celery.result import AsyncResult
from PIL import Image

from tests.servers.process import ServerProcess, free_port, listening
from tests.servers.redis import RedisServer
from tests.waiting import until
from tiered_store import load
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tree import conditions, walk
from tiered_store.wrappers.replicated import ReplicatedStore


EXAMPLES = Path(__file__).parent.parent / "examples"
LARGE = bytes(range(251)) * 16_000  # four megabytes
LONG = 180  # seconds; servers and their workers take ten of them on a busy machine
pytestmark = pytest.mark.timeout(3 * LONG)


def key(number: int, size: int = 1) -> Key:
    return Key("album", number, size, size, "image/png")


@pytest.fixture
def copies(redis_servers) -> RedisServer:
    """The Redis of the album's copies."""
    server: RedisServer = redis_servers()
    return server


@pytest.fixture
def album(tmp_path, copies, monkeypatch) -> Path:
    """An empty album."""
    monkeypatch.setenv("ALBUM", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", copies.url)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))
    return tmp_path


@contextlib.contextmanager
def running(
    folder: Path, *command: str
) -> Iterator[tuple[httpx.Client, ServerProcess]]:
    """Yield a client and the process of a server; PORT in *command* is a free one."""
    port = free_port()
    words = [word.replace("PORT", str(port)) for word in command]
    process = ServerProcess(
        [sys.executable, "-m", *words], lambda: listening(port), folder
    )
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", timeout=LONG, limits=limits
    ) as client:
        try:
            yield client, process
        finally:
            process.kill()


SERVERS = {
    "gunicorn": [
        *("gunicorn", "--preload", "--workers=2", "--worker-class=gthread"),
        *("--threads=4", "--bind=127.0.0.1:PORT"),
        *("--graceful-timeout=3", "album_wsgi:app"),  # clients keep their connections
    ],
    "uvicorn": [
        *("uvicorn", "--workers=2", "--timeout-worker-healthcheck=30"),
        *("--port=PORT", "album_asgi:app"),
    ],
}


def workers_of(client: httpx.Client) -> set[int]:
    """Return the processes that answer, once there are two."""
    for _ in range(2000):
        found = set()
        for _ in range(10):
            with contextlib.suppress(httpx.TransportError):
                found.add(int(client.get("/process").text))
        if len(found) >= 2:
            return found
    raise AssertionError("only one worker answers")


def whole(path: Path) -> Store:
    """Return the album's stack, opened by another process than the servers'."""
    assert path
    return load(EXAMPLES / "images.yaml")


@pytest.mark.parametrize("name", SERVERS)
def test_every_worker_serves_the_same_album(name, album) -> None:
    """What one has stored, replaced or deleted, all show so, from their caches too."""
    with running(album, *SERVERS[name]) as (client, process):
        workers = workers_of(client)
        assert process.process is not None
        assert process.process.pid not in workers
        for content in (b"first", LARGE, b"third"):
            for _ in range(3):
                client.put("/album/1", content=content).raise_for_status()
                for _ in range(4):
                    assert client.get("/images/album/1/1x1.png").content == content
        part = client.get("/images/album/1/1x1.png", headers={"Range": "bytes=1-2"})
        assert (part.status_code, part.content) == (206, b"hi")
        client.delete("/album/1").raise_for_status()
        for _ in range(8):
            assert client.get("/images/album/1/1x1.png").status_code == 404
        process.process.terminate()
        assert process.process.wait(LONG) in (0, -signal.SIGTERM)
    assert "Traceback" not in (album / "server.log").read_text()


@pytest.mark.parametrize("name", SERVERS)
def test_a_worker_that_has_lost_redis_deletes_for_every_worker(
    name, album, copies
) -> None:
    """It has just failed there, so it does not ask; others do, and find the copies."""
    with running(album, *SERVERS[name]) as (client, _):
        workers_of(client)
        for number in range(8):
            client.put(f"/album/{number}", content=b"it").raise_for_status()
            assert client.get(f"/images/album/{number}/1x1.png").content == b"it"
        copies.process.freeze()
        client.get("/images/album/0/1x1.png").raise_for_status()  # one of them fails
        copies.process.thaw()
        for number in range(8):
            client.delete(f"/album/{number}").raise_for_status()
            for _ in range(4):
                gone = client.get(f"/images/album/{number}/1x1.png")
                assert gone.status_code == 404


@pytest.mark.parametrize(
    ("name", "end"), [("gunicorn", signal.SIGQUIT), ("uvicorn", signal.SIGINT)]
)
def test_what_was_acknowledged_survives_signals(name, end, album) -> None:
    """
    While they write, a worker is killed, all are replaced, the server is ended.

    Others take over, one of them does what must be done in the background, and in the
    end the disks agree.
    """
    acknowledged: dict[int, bytes] = {}
    failed: set[int] = set()
    stop = threading.Event()

    def write(first: int, client: httpx.Client) -> None:
        number = first
        while not stop.wait(0.01):  # who is new needs the processor more
            content = f"{number} ".encode() * 1000
            with contextlib.suppress(httpx.TransportError):
                status = client.put(f"/album/{number}", content=content).status_code
                if status < 300:
                    acknowledged[number] = content
                else:
                    failed.add(status)
            number += 4

    def more() -> None:
        seen = len(acknowledged)
        until(lambda: len(acknowledged) >= seen + 20, LONG)

    with running(album, *SERVERS[name]) as (client, process):
        assert process.process is not None
        workers = workers_of(client)
        threads = [threading.Thread(target=write, args=(n, client)) for n in range(4)]
        try:
            for thread in threads:
                thread.start()
            more()
            os.kill(min(workers), signal.SIGKILL)
            more()
            before = workers_of(client)
            process.process.send_signal(signal.SIGHUP)  # a new configuration, say
            until(lambda: not any(map(alive, before)), LONG)
            more()
            assert not workers_of(client) & before
            process.process.send_signal(end)
            assert process.process.wait(LONG) in (0, -end)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    with whole(album) as stack:
        for number, content in acknowledged.items():
            assert stack.get(key(number)).read() == content
        assert all(one.state != "failed" for one in conditions(stack))
        (mirror,) = (one for one in walk(stack) if isinstance(one, ReplicatedStore))
        until(lambda: mirror.repair() and not list(mirror.pending()), LONG)
        for number, content in acknowledged.items():
            for disk in mirror.replicas.values():
                assert disk.get(key(number)).read() == content
    assert failed <= {503}
    assert "Traceback" not in (album / "server.log").read_text()


@pytest.mark.parametrize("name", SERVERS)
def test_workers_do_not_outlive_a_killed_server(name, album) -> None:
    """They let go of the port, and the server that is started again has the album."""
    with running(album, *SERVERS[name]) as (client, process):
        before = workers_of(client)
        client.put("/album/1", content=LARGE).raise_for_status()
        process.kill()
        until(lambda: not listening(client.base_url.port or 0))
        process.start()
        assert not workers_of(client) & before
        assert client.get("/images/album/1/1x1.png").content == LARGE


def test_fastapi_streams_an_upload_and_a_download(album) -> None:
    """In pieces, both ways."""
    with running(album, "uvicorn", "--port=PORT", "album_asgi:app") as (client, _):
        client.put("/album/1", content=pieces())
        with client.stream("GET", "/album/1") as response:
            assert response.headers["Content-Length"] == str(len(LARGE))
            assert b"".join(response.iter_bytes()) == LARGE
        assert client.get("/images/album/1/1x1.png").content == LARGE


@pytest.mark.parametrize("name", SERVERS)
def test_an_upload_that_breaks_off_stores_nothing(name, album) -> None:
    """A client that goes away half way leaves the picture that was there."""
    half = LARGE[:3_000_000]
    with running(album, *SERVERS[name]) as (client, _):
        client.put("/album/1", content=b"it").raise_for_status()
        for framing, sent in (
            (f"Content-Length: {len(LARGE)}", half),
            ("Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (len(half), half)),
        ):
            head = f"PUT /album/1 HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"
            where = ("127.0.0.1", client.base_url.port or 0)
            with socket.create_connection(where, LONG) as line:
                line.sendall(head.encode() + sent)
                line.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    while line.recv(65536):  # until the server has let go of it
                        pass
            assert client.get("/images/album/1/1x1.png").content == b"it"


def pieces() -> Iterator[bytes]:
    for start in range(0, len(LARGE), 700_001):
        yield LARGE[start : start + 700_001]


# done again sooner than five minutes after their worker was killed
QUICK = """\
from thumbnails_celery import app

app.conf.broker_transport_options = {"visibility_timeout": 1}
"""


@pytest.fixture
def thumbnails(album, monkeypatch) -> Iterator[Any]:
    """The example as a client has it, and thirty pictures."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "thumbnails_celery", raising=False)
    example = importlib.import_module("thumbnails_celery")
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "png")
    for number in range(30):
        picture.seek(0)
        example.images.put_file(picture, *key(number, 64), reproducible=False)
    yield example
    example.images.close()


@contextlib.contextmanager
def celery(folder: Path) -> Iterator[ServerProcess]:
    """Yield the process of a worker with two children."""
    folder.mkdir()
    (folder / "quick.py").write_text(QUICK)
    worker = ServerProcess(
        [
            *(sys.executable, "-m", "celery", "-A", "quick", "worker"),
            *("-c", "2", "--without-gossip", "--without-mingle", "-l", "INFO"),
        ],
        lambda: "ready." in (folder / "server.log").read_text(),
        folder,
    )
    try:
        yield worker
    finally:
        worker.kill()


def test_celery_makes_thumbnails_though_a_child_is_killed(album, thumbnails) -> None:
    """Every task is done in the end, by children of one stack."""
    with celery(album / "celery") as worker:
        child = thumbnails.make_thumbnail.delay(0, 64, 64, 16).get(timeout=LONG)
        tasks: list[AsyncResult] = [
            thumbnails.make_thumbnail.delay(number, 64, 64, 16)
            for number in range(1, 30)
        ]
        os.kill(child, signal.SIGKILL)
        children = {task.get(timeout=LONG) for task in tasks}
        assert worker.process is not None
        assert worker.process.pid not in children
        worker.process.terminate()
        assert worker.process.wait(LONG) == 0
    assert_small(thumbnails)


def test_celery_makes_thumbnails_though_all_of_a_worker_is_killed(
    album, thumbnails
) -> None:
    """Its children end with it, and another worker does what it had begun."""
    taken = functools.partial(thumbnails.app.backend.client.hlen, "unacked")
    with celery(album / "first") as worker:
        thumbnails.make_thumbnail.delay(0, 64, 64, 16).get(timeout=LONG)
        until(lambda: taken() == 0)
        assert worker.process is not None
        children = children_of(worker.process.pid)
        for child in children:
            os.kill(child, signal.SIGSTOP)
        tasks: list[AsyncResult] = [
            thumbnails.make_thumbnail.delay(number, 64, 64, 16)
            for number in range(1, 30)
        ]
        # all that it takes at once; Celery loses one that is on its way from Redis
        until(lambda: taken() == 8)
        worker.kill()
        for child in children:
            os.kill(child, signal.SIGCONT)
        until(lambda: not any(map(alive, children)))
    with celery(album / "second"):
        for task in tasks:
            task.get(timeout=LONG)
    assert_small(thumbnails)


def children_of(process: int) -> list[int]:
    """Return the two processes of its pool."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    assert len(children) == 2
    return [int(child) for child in children]


def alive(process: int) -> bool:
    """Say whether *process* runs; nobody may have asked what became of it."""
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    return False


def assert_small(thumbnails: Any) -> None:
    for number in range(30):
        with thumbnails.images.get_file(*key(number, 16)) as file:
            assert Image.open(file).size == (16, 16)
