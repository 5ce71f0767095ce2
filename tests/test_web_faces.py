"""A site over HTTP: WSGI and ASGI, with clients that people have."""

from __future__ import annotations

import asyncio
import http.client
import io
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import httpx
import pytest

from tests.servers.process import listening
from tests.waiting import until
from tests.webs import asgi_server, served, wsgi_server
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import ConfigError, UnsupportedError
from tiered_store.key import Key
from tiered_store.layout import object_name, path_name
from tiered_store.signing import Signer
from tiered_store.testing import FaultStore
from tiered_store.units import Secret
from tiered_store.web.asgi import ASGIFace
from tiered_store.web.exposed import ExposedStore
from tiered_store.web.site import Site
from tiered_store.web.wsgi import WSGIFace
from tiered_store.wrappers.served import ServedStore


KEY = Key("comics.cover", 1234, 405, 640, "image/png")
LARGE = KEY._replace(object_id=2)
HUGE = KEY._replace(object_id=3)
CONTENT = b"\x89PNG" * 2500
MEGABYTES = bytes(range(251)) * 20_000  # five: 20 pieces
SECRET = Secret("a secret of the tests")


@pytest.fixture
def disk(tmp_path) -> FaultStore:
    store = FaultStore(FileSystemStore(str(tmp_path / "disk"), create=True))
    store.put(KEY, Body.of(CONTENT))
    store.put(LARGE, Body.of(MEGABYTES))
    return store


@pytest.fixture(params=["wsgi", "asgi"])
def url(request, disk) -> Iterator[str]:
    """Where one face of the site is."""
    site = Site(disk, cors=True)
    if request.param == "wsgi":
        with wsgi_server(WSGIFace(site)) as where:
            yield where
    else:
        with asgi_server(ASGIFace(site)) as where:
            yield where


def curl(*arguments: str) -> str:
    ran = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "30", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_curl_downloads_and_does_not_download_again(url, tmp_path) -> None:
    """By tag, as ``curl --etag-compare`` does."""
    file, tag = tmp_path / "picture.png", tmp_path / "tag"
    fetch = ["--etag-save", str(tag), "--etag-compare", str(tag)]
    status = ["--write-out", "%{http_code}", "--output", str(file)]

    assert curl(*fetch, *status, url + object_name(KEY)) == "200"
    assert file.read_bytes() == CONTENT
    assert curl(*fetch, *status, url + object_name(KEY)) == "304"


def test_curl_resumes_a_download(url, tmp_path) -> None:
    """The second half follows the first."""
    file = tmp_path / "large"
    file.write_bytes(MEGABYTES[:2_000_000])

    curl("--continue-at", "-", "--output", str(file), url + object_name(LARGE))

    assert file.read_bytes() == MEGABYTES


def test_curl_sees_only_the_head(url) -> None:
    """``curl --head`` ends, so no body came and the connection is whole."""
    heads = curl("--head", url + object_name(LARGE), url + object_name(KEY))

    assert f"content-length: {len(MEGABYTES)}" in heads.lower()
    assert f"content-length: {len(CONTENT)}" in heads.lower()


def test_urllib_tells_absence_from_an_outage(url, disk) -> None:
    """404, and 503 with the time to wait."""
    with pytest.raises(urllib.error.HTTPError) as absent:
        urllib.request.urlopen(url + object_name(HUGE))
    absent.value.close()
    assert absent.value.code == 404
    disk.down()
    with pytest.raises(urllib.error.HTTPError) as outage:
        urllib.request.urlopen(url + object_name(KEY))
    outage.value.close()
    assert outage.value.code == 503
    assert outage.value.headers["Retry-After"] == "5"


def test_httpx_reads_many_over_one_connection(url) -> None:
    """Each response ends where it says, errors and parts included."""
    with httpx.Client(base_url=url) as client:
        for _ in range(3):
            assert client.get(object_name(LARGE)).content == MEGABYTES
            assert client.head(object_name(LARGE)).content == b""
            assert client.get(object_name(HUGE)).status_code == 404
            assert client.post(object_name(KEY)).status_code == 405
            part = client.get(object_name(KEY), headers={"Range": "bytes=-4"})
            assert (part.status_code, part.content) == (206, CONTENT[-4:])
            both = client.get(object_name(KEY), headers={"Range": "bytes=0-1,5-6"})
            assert len(both.content) == int(both.headers["Content-Length"])
            assert client.options(object_name(KEY)).status_code == 204


def test_a_name_that_needs_escaping_is_found(url, disk) -> None:
    """Beyond ASCII, with a space, and with an extension that is spelled out."""
    key = Key("bände/großes bild?", -7, 1, 2, "application/x-thing")
    disk.put(key, Body.of(b"found"))

    with urllib.request.urlopen(url + quote(object_name(key))) as response:
        assert response.read() == b"found"


def raw(url: str, target: bytes) -> bytes:
    """Return the status line for *target*, sent as no proper client would."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as link:
        link.sendall(
            b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        answer = b""
        while piece := link.recv(65536):
            answer += piece
    return answer.split(b"\r\n", 1)[0]


@pytest.mark.parametrize(
    "target",
    [
        b"/../../../../etc/passwd",
        b"/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        b"/..%2f..%2f..%2fetc%2fpasswd",
        b"/comics.cover/..%5c..%5cetc",
        b"/%c0%ae%c0%ae/etc/passwd",
        b"/%00/1/1x1.png",
        b"//etc/passwd",
        b"/comics.cover/1234/405x640.png%00.jpe",
        b"/%ff%fe/1/1x1.png",
    ],
)
def test_a_hostile_target_shows_nothing(url, target) -> None:
    """Whatever a server makes of it before we see it."""
    assert raw(url, target).split()[1] in (b"400", b"404")


def test_a_body_that_dies_breaks_the_connection(url, disk) -> None:
    """The client notices that it has not got all."""
    disk.tear(2_000_000, times=None)

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        httpx.get(url + object_name(LARGE))
    until(lambda: disk.open_readers == 0)


class Endless(MemoryStore):
    """Holds on to its readers, so that nothing but closing one closes it."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[io.BufferedIOBase] = []

    def _get(self, key: Key) -> Body:
        store = self

        class Zeros(Body):
            size = 2**50

            def open(self, offset: int = 0) -> io.BufferedIOBase:
                store.readers.append(Reader())
                return store.readers[-1]

        class Reader(io.BufferedIOBase):
            def read(self, size: int | None = -1, /) -> bytes:
                return bytes(size or 0)

        return Zeros()


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_client_that_goes_away_frees_the_body(face) -> None:
    """Half way, without a word; what nobody reads is not read to its end."""
    store = Endless()
    site = Site(store)
    faces = {"wsgi": (wsgi_server, WSGIFace), "asgi": (asgi_server, ASGIFace)}
    server, kind = faces[face]
    with server(kind(site)) as where:
        parts = urlsplit(where)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
        connection.request("GET", "/" + object_name(KEY))
        response = connection.getresponse()
        assert len(response.read(100_000)) == 100_000
        assert [reader.closed for reader in store.readers] == [False]
        response.close()
        connection.close()

        until(lambda: store.readers[0].closed)


def test_who_waits_for_a_turn_is_told_in_time(disk) -> None:
    """A store that hangs holds the threads; the queue behind them is an outage."""
    face = ASGIFace(Site(disk, timeout=2.0), threads=1)
    path = object_name(KEY)
    with (
        asgi_server(face) as where,
        disk.pause("get") as held,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(httpx.get, where + path, timeout=30)
        held.wait()
        waiting = httpx.get(where + path, timeout=30)
        held.release()
        assert first.result().status_code in (200, 503)
    assert waiting.status_code == 503
    assert waiting.headers["Retry-After"] == "5"


def test_who_goes_away_takes_no_turn(disk) -> None:
    """A store that is slow is not asked for what nobody waits for any more."""
    face = ASGIFace(Site(disk, timeout=None), threads=1)
    target = f"/{object_name(LARGE)}"
    seen: list[anyio.CapacityLimiter] = []

    async def watched(scope, receive, send) -> None:
        seen.append(face.threads.turns())
        await face(scope, receive, send)

    with (
        asgi_server(watched) as where,
        disk.pause("get") as held,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(httpx.get, where + object_name(KEY), timeout=30)
        held.wait()
        parts = urlsplit(where)
        gone = socket.create_connection((str(parts.hostname), parts.port or 0))
        gone.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        turns = seen[0]
        until(lambda: turns.statistics().tasks_waiting == 1)
        gone.close()
        until(lambda: turns.statistics().tasks_waiting == 0)
        assert turns.borrowed_tokens == 1
        held.release()
        assert first.result().status_code == 200


class Hesitant(Endless):
    """Waits when it is asked for an object, and when its bytes are."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = threading.Semaphore(0), threading.Semaphore(0)

    def _get(self, key: Key) -> Body:
        body = super()._get(key)
        self.hesitate()
        return body

    def hesitate(self) -> None:
        self.asked.release()
        assert self.go_on.acquire(timeout=60)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_asyncio_s_own_cancel_frees_the_body(after) -> None:
    """Servers and ``asyncio.timeout()`` cancel so, which knows no shield."""
    store = Hesitant()
    face = ASGIFace(Site(store, timeout=None), threads=1)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await asyncio.to_thread(store.hesitate)

    async def main() -> None:
        path = f"/{object_name(KEY)}"
        scope = {"type": "http", "method": "GET", "path": path, "headers": []}
        asking = asyncio.create_task(face(scope, receive, send))
        for _ in range(after):
            await asyncio.to_thread(store.asked.acquire)
            store.go_on.release()
        await asyncio.to_thread(store.asked.acquire)
        for _ in range(3):
            asking.cancel()
            await asyncio.sleep(0.01)
        if not after:  # it is the store's turn still, and nobody else's
            assert face.threads.turns().borrowed_tokens == 1
        store.go_on.release(2)
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert [reader.closed for reader in store.readers] == [True]
        assert face.threads.turns().borrowed_tokens == 0

    asyncio.run(main())


def application(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    yield b"the application"


async def asgi_application(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the application"})


def test_a_middleware_leaves_other_paths_alone(disk) -> None:
    """Only what is below the prefix is ours, a neighbour with the same start is not."""
    site = Site(disk)
    faces = [
        wsgi_server(WSGIFace(site, application, prefix="/images/")),
        asgi_server(ASGIFace(site, asgi_application, prefix="images")),
    ]
    for face in faces:
        with face as where:
            assert httpx.get(f"{where}images/{object_name(KEY)}").content == CONTENT
            assert httpx.get(f"{where}images/nothing").status_code == 404
            for path in ("", "imagesque/1/1x1.png", object_name(KEY)):
                assert httpx.get(where + path).text == "the application"


def test_an_exposed_store_locates_by_the_request(disk) -> None:
    """The original's middleware: the application's own pages name the pictures."""
    images = ExposedStore(disk, "images", cors=True)
    said: list[str] = []

    def pages(environ, start):
        start("200 OK", [("Content-Type", "text/plain")])
        said.append(images.get_url(*KEY))
        yield images.get_url(*KEY).encode()  # while it is sent, too

    with wsgi_server(images.wsgi_middleware(pages)) as where:
        location = httpx.get(where).text
        assert location == f"{where}images/{object_name(KEY)}"
        assert said == [location]
        picture = httpx.get(location)
        assert picture.content == CONTENT
        assert picture.headers["Access-Control-Allow-Origin"] == "*"
        # the original names objects as a directory does, and so do pages out there
        assert httpx.get(f"{where}images/{path_name(KEY)}").content == CONTENT
        forged = httpx.get(where, headers={"Host": "evil/x"}, follow_redirects=True)
        assert "evil" not in forged.text
    with pytest.raises(UnsupportedError, match="host_url_getter"):
        images.get_url(*KEY)


def test_an_exposed_store_locates_under_asgi(disk) -> None:
    """The same, and concurrent requests do not see each other's host."""
    images = ExposedStore(disk, "images")

    async def pages(scope, receive, send) -> None:
        await anyio.sleep(0)
        where = images.get_url(*KEY).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": where})

    with asgi_server(images.asgi_middleware(pages)) as where:
        for host in ("one.example", "two.example:81"):
            said = httpx.get(where, headers={"Host": host}).text
            assert said == f"http://{host}/images/{object_name(KEY)}"
        assert httpx.get(f"{where}images/{object_name(KEY)}").content == CONTENT


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("example.com", True),
        ("EXAMPLE.com:8000", True),
        ("cdn.example.org", True),
        ("example.org", True),
        ("a.example.com", False),
        ("badexample.org", False),
        ("example.com.evil.net", False),
        ("evil.net", False),
    ],
)
def test_only_hosts_that_are_ours_get_into_urls(disk, host, allowed) -> None:
    """A page that a proxy keeps would show everybody what one client made up."""
    images = ExposedStore(disk, "images", hosts=["Example.com", ".example.org"])
    seen: list[str] = []

    def pages(environ, start):
        try:
            seen.append(images.get_url(*KEY))
        except UnsupportedError:
            seen.append("none")
        start("200 OK", [])
        return []

    environ = {"HTTP_HOST": host, "wsgi.url_scheme": "https", "PATH_INFO": "/page"}
    images.wsgi_middleware(pages)(environ, lambda status, headers: None)

    url = f"https://{host}/images/{object_name(KEY)}"
    assert seen == [url if allowed else "none"]


def test_a_host_can_be_said(disk) -> None:
    """For Celery, and for a shell; with a signer the URL is signed."""
    images = ExposedStore(
        disk, "/images/", lambda: "https://example.com", signer=Signer(SECRET)
    )

    start, _, query = images.get_url(*KEY).partition("?")
    assert start == f"https://example.com/images/{object_name(KEY)}"
    assert Signer(SECRET).lifetime(object_name(KEY), query)
    with pytest.raises(TypeError, match="callable"):
        ExposedStore(disk, "images", "https://example.com")  # type: ignore[arg-type]


def test_a_served_store_gives_urls_in_yaml_too() -> None:
    """Without any I/O; what is wrong is told when it is made."""
    store = ServedStore(MemoryStore(), "https://example.com/a%20b/")
    assert store.url(KEY) == f"https://example.com/a%20b/{object_name(KEY)}"
    assert store.prefix == "/a b/"
    for wrong in ("example.com", "ftp://x/", "https://x/?a=b", "https://x/#a"):
        with pytest.raises(ConfigError, match="base_url"):
            ServedStore(MemoryStore(), wrong)
    with pytest.raises(ConfigError, match="at least 16"):
        ServedStore(MemoryStore(), "https://x/", secret=Secret("short"))


CONFIG = """\
version: 1
default: images
stores:
  images:
    type: served
    base_url: https://example.com/images/
    secret: a secret of the tests
    child: {type: filesystem, path: disk, create: true}
"""


def test_serve_shows_a_configuration(tmp_path) -> None:
    """Several processes, signed URLs, a page for the load balancer, a graceful end."""
    folder = tmp_path / "served"
    disk = FileSystemStore(str(folder / "disk"), create=True)
    disk.put(KEY, Body.of(CONTENT))
    disk.put(LARGE, Body.of(MEGABYTES))
    signer = Signer(SECRET)

    options = ("--workers", "2", "--cors", "*", "--access-log")
    with served(folder, CONFIG, *options) as (where, process):
        for key, content in ((KEY, CONTENT), (LARGE, MEGABYTES)):
            path = f"{where}images/{object_name(key)}"
            assert httpx.get(path).status_code == 403
            shown = httpx.get(f"{path}?{signer.query(object_name(key), 60)}")
            assert shown.content == content
            assert shown.headers["Access-Control-Allow-Origin"] == "*"
        assert httpx.get(f"{where}-/health").text == "serving\n"
        assert httpx.get(where).status_code == 404
        assert process.process is not None
        process.process.terminate()
        assert process.process.wait(110) in (0, -15)
    log = (folder / "server.log").read_text()
    assert "Traceback" not in log
    assert "a secret" not in log
    assert object_name(KEY) in log  # and who reads it sees nothing by it
    assert "signature" not in log


OPEN = """\
version: 1
default: images
stores: {images: {type: filesystem, path: disk, create: true}}
"""


def test_a_download_is_finished_before_the_end(tmp_path) -> None:
    """A deployment ends the process; who is being sent something gets all of it."""
    folder, size = tmp_path / "served", 64 * 2**20
    disk = FileSystemStore(str(folder / "disk"), create=True)
    disk.put(LARGE, Body.of(bytes(size)))

    with served(folder, OPEN) as (where, process):
        with httpx.stream("GET", f"{where}{object_name(LARGE)}", timeout=60) as shown:
            pieces = shown.iter_bytes()
            arrived = len(next(pieces))
            assert process.process is not None
            process.process.terminate()
            until(lambda: not listening(urlsplit(where).port or 0))
            assert process.process.poll() is None
            assert arrived + sum(map(len, pieces)) == size
        assert process.process.wait(110) in (0, -15)
    assert "Traceback" not in (folder / "server.log").read_text()


@pytest.mark.timeout(400)  # two starts of three processes each
def test_workers_end_with_a_killed_supervisor(tmp_path) -> None:
    """They finish what is under way, let go of the port, and the next one has it."""
    folder, size = tmp_path / "served", 64 * 2**20
    disk = FileSystemStore(str(folder / "disk"), create=True)
    disk.put(LARGE, Body.of(bytes(size)))

    with served(folder, OPEN, "--workers", "2") as (where, process):
        with httpx.stream("GET", f"{where}{object_name(LARGE)}", timeout=60) as shown:
            pieces = shown.iter_bytes()
            arrived = len(next(pieces))
            process.kill()
            until(lambda: not listening(urlsplit(where).port or 0))
            assert arrived + sum(map(len, pieces)) == size

        process.start()
        assert httpx.get(f"{where}-/health").text == "serving\n"


TWO = """\
version: 1
default: images
stores:
  images: {type: fallback, stores: {open: open, closed: closed}}
  open: {type: served, base_url: "https://x/images", child: {type: memory}}
  closed:
    type: served
    base_url: https://x/images
    secret: a secret of the tests
    child: {type: memory}
"""


def test_serve_does_not_guess_whose_objects_are_open(tmp_path: Path) -> None:
    """One store signs and one does not: to follow the first would show all to all."""
    (tmp_path / "two.yaml").write_text(TWO)
    command = [
        sys.executable,
        "-m",
        "tiered_store",
        "serve",
        str(tmp_path / "two.yaml"),
    ]

    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60
    )

    assert ran.returncode == 2
    assert "same path and secrets" in " ".join(ran.stderr.split())
    assert "a secret" not in ran.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_fails_where_somebody_else_listens(tmp_path: Path, workers: str) -> None:
    """With the status of a failure; by uvicorn's own an object would be absent."""
    (tmp_path / "open.yaml").write_text(OPEN)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "tiered_store", "serve", "open.yaml"]
        options = ["--port", port, "--workers", workers]

        ran = subprocess.run(
            [*command, *options],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    assert ran.returncode == 1
    assert f"could not listen on 127.0.0.1, port {port}" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_serve_says_what_is_wrong_before_it_serves(tmp_path: Path) -> None:
    """With the status of a wrong configuration."""
    wrong, right = tmp_path / "wrong.yaml", tmp_path / "open.yaml"
    wrong.write_text("version: 1\nstores: {images: {type: memry}}\ndefault: images\n")
    right.write_text(OPEN)
    command = [sys.executable, "-m", "tiered_store", "serve"]
    for arguments, said in (
        ([str(wrong)], "memory"),
        ([str(right), "--cors", "https://a.example/"], "not an origin"),
    ):
        ran = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, check=False
        )

        assert ran.returncode == 2
        assert said in ran.stderr
