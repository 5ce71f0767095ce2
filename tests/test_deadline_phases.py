"""
A deadline bounds every phase of every leaf that waits for a network.

Everything hangs for an hour, or drips for ever, so that a phase which no deadline
bounds ends these tests by their own limit.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import ssl
import subprocess
import sys
import threading

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tiered_store.backends.redis import RedisStore
from tiered_store.backends.s3.store import S3Store
from tiered_store.body import Body
from tiered_store.deadlines import deadline
from tiered_store.errors import DeadlineError
from tiered_store.key import Key
from tiered_store.store import Store


KEY = Key("comics.cover", 5, 30, 40, "image/png")
HOUR = 3600.0
PAGE = Path(__file__).parents[1] / "docs" / "failover.md"
LEAVES = ("`s3`, boto3", "`s3`, obstore", "`redis`")
VERBS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get(KEY).read(),
    "put": lambda store: store.put(KEY, Body.of(b"small")),
    "put in parts": lambda store: store.put(KEY, Body.of(bytes(17_000_000))),
    "delete": lambda store: store.delete(KEY),
    "stat": lambda store: store.stat(KEY),
    "keys": lambda store: list(store.keys()),
}


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """Drop whoever knocks: the queue is full."""
    with contextlib.ExitStack() as crowd:
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        crowd.enter_context(listener)
        for _ in range(4):
            one = crowd.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """Accept, and say nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def dripping(
    http: bytes, redis: bytes, tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Answer with a beginning, and then a byte now and then for ever."""
    ended = threading.Event()

    def answer(accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as closing:
            closing.enter_context(accepted)
            client = accepted
            if tls is not None:
                client = closing.enter_context(
                    tls.wrap_socket(client, server_side=True)
                )
            asked = client.recv(65_536)
            begun = redis if asked.startswith(b"*") else http
            for number in itertools.count():
                client.sendall(begun[number : number + 1] or b"x")
                if ended.wait(0.0 if number < len(begun) else 0.05):
                    return

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=answer, args=(client,), daemon=True)
            threads.append(thread)
            thread.start()

    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        yield listener.getsockname()[1]
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        server.join()
        for thread in threads:
            thread.join()


ANSWER = b"HTTP/1.1 %s\r\nContent-Length: 1000000\r\n"
PHASES = {
    "nobody answers the first packet": (deaf, "http", "redis"),
    "the TLS handshake hangs": (silent, "https", "rediss"),
    "no answer": (silent, "http", "redis"),
    "the head of an answer drips": (
        lambda: dripping(ANSWER % b"200 OK" + b"X-Long: ", b"$"),
        "http",
        "redis",
    ),
    "an error drips": (
        lambda: dripping(ANSWER % b"503 No" + b"\r\n", b"-ERR "),
        "http",
        "redis",
    ),
    "a body drips": (
        lambda: dripping(ANSWER % b"200 OK" + b'ETag: "a"\r\n\r\n', b"$1000000\r\n"),
        "http",
        "redis",
    ),
}
CASES = [
    pytest.param(leaf, verb, phase, id=f"{phase}-{leaf}-{verb}")
    for phase in PHASES
    for leaf in LEAVES
    for verb in VERBS
    if (leaf != LEAVES[1] or verb == "get")  # obstore reads, boto3 does the rest
    and (leaf != LEAVES[2] or verb in {"get", "put"})
    and (phase != "a body drips" or verb == "get")
    and (verb in {"get", "put", "keys"} or phase == "the head of an answer drips")
]


def made(leaf: str, phase: str, port: int, **options: Any) -> Store:
    _, http, redis = PHASES[phase]
    if leaf == "`redis`":
        return RedisStore(
            url=f"{redis}://127.0.0.1:{port}/0", timeout=HOUR, connect_timeout=HOUR
        )
    options.setdefault("endpoint_url", f"{http}://127.0.0.1:{port}")
    return S3Store(
        *("bucket", "access", "secret"),
        region="us-east-1",
        timeout=HOUR,
        connect_timeout=HOUR,
        engine="boto3" if "boto3" in leaf else "obstore",
        **options,
    )


@pytest.mark.parametrize(("leaf", "verb", "phase"), CASES)
def test_a_deadline_bounds_it(leaf: str, verb: str, phase: str) -> None:
    """Whatever the timeouts of the leaf are."""
    with PHASES[phase][0]() as port, made(leaf, phase, port) as store:
        if isinstance(store, S3Store):
            store.url(KEY)  # its client is made, which takes a third of a second
        end = pytest.raises(DeadlineError)
        with deadline(0.1), end:
            VERBS[verb](store)


def test_a_deadline_bounds_what_drips_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets of TLS are others, and wait for themselves."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    head = ANSWER % b"200 OK" + b"X-Long: "

    with dripping(head, b"", context) as port:
        url = f"https://localhost:{port}"
        with made(LEAVES[0], "no answer", port, endpoint_url=url) as store:
            store.url(KEY)
            end = pytest.raises(DeadlineError)
            with deadline(0.5), end as caught:
                store.get(KEY)
    assert caught.value.ambiguous, "it was asked, and only its answer is missing"


def test_a_deadline_bounds_more_readers_than_connections() -> None:
    """Those who find no thread of obstore's to wait for them do not wait themselves."""
    with silent() as port, made(LEAVES[1], "no answer", port, connections=1) as store:
        store.url(KEY)

        ended: list[Exception] = []

        def read() -> None:
            try:
                with deadline(0.2):
                    store.get(KEY)
            except DeadlineError as error:
                ended.append(error)

        readers = [threading.Thread(target=read, daemon=True) for _ in range(4)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(60)
        assert len(ended) == 4


NAMES = """
import socket, threading

real = socket.getaddrinfo

def hung(host, port, family=0, type=0, proto=0, flags=0):
    if flags & socket.AI_NUMERICHOST:
        return real(host, port, family, type, proto, flags)
    threading.Event().wait()

socket.getaddrinfo = hung  # of this process, before anybody knows it

from tests.test_deadline_phases import HOUR, VERBS
from tiered_store import DeadlineError, RedisStore, S3Store, deadline

def call(store, verb):
    try:
        with deadline(0.1):
            VERBS[verb](store)
    except DeadlineError:
        print(type(store).__name__, verb)

options = {"timeout": HOUR, "connect_timeout": HOUR}
s3 = S3Store(
    *("bucket", "access", "secret"),
    endpoint_url="http://s3.example",
    region="a",
    **options,
)
redis = RedisStore(url="redis://redis.example", **options)
for verb in VERBS:
    call(s3, verb)
for verb in ("get", "put", "delete"):
    call(redis, verb)
print(sorted({one.name.rpartition("-")[0] for one in threading.enumerate()} - {""}))
"""


def test_row_28_a_deadline_bounds_the_resolution_of_names() -> None:
    """Which cannot be interrupted: two threads are left behind, and not nine."""
    ran = subprocess.run(
        [sys.executable, "-c", NAMES],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
        cwd=PAGE.parents[1],
    )
    assert ran.stdout.splitlines() == [
        *(f"S3Store {verb}" for verb in VERBS),
        *(f"RedisStore {verb}" for verb in ("get", "put", "delete")),
        "['tiered-store-names']",
    ]


def test_the_page_has_every_phase() -> None:
    """The table of what a deadline bounds, leaf by leaf."""
    _, _, table = PAGE.read_text(encoding="utf-8").partition(
        "## What a deadline bounds"
    )
    rows = re.findall(r"^\| (.*) \|$", table.partition("\n## ")[0], re.MULTILINE)
    head, _, *bounded = [row.split(" | ") for row in rows]

    assert set(LEAVES) < set(head)
    named = {cells[0] for cells in bounded}
    assert {"no name server answers", *PHASES} <= named
    for cells in bounded:
        if cells[0] in PHASES:
            assert [cells[head.index(leaf)] for leaf in LEAVES] == ["yes"] * 3
