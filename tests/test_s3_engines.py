"""Two engines that read from S3, and one store: the same answers, the same errors."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore.store
import pytest

from tests.closing import Closing
from tests.servers.proxy import Proxy
from tests.servers.s3 import READER, S3Server
from tests.servers.stub import Answer, StubServer
from tiered_store.backends.s3 import S3Store, obstore_settings
from tiered_store.body import Body
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConfigError,
    DeadlineError,
    DeniedError,
    StoreError,
    UnavailableError,
)
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.conformance import StoreConformance
from tiered_store.translation.s3_codes import BY_CODE
from tiered_store.units import MIB


pytestmark = pytest.mark.servers

KEY = Key("testing", 1234, 405, 640, "image/jpeg")
OTHER = KEY._replace(object_id=1235)
NAME = "testing/1234/405x640.jpe"
ROOT = Path(__file__).parent.parent
ENGINES = ("boto3", "obstore")


@pytest.fixture(params=["moto", "seaweed"])
def server(request: pytest.FixtureRequest) -> S3Server:
    """Both servers, one after the other."""
    found: S3Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture(scope="session")
def shared_bucket(seaweed_server: S3Server) -> str:
    """A bucket for those who only need a corner of one."""
    return seaweed_server.make_bucket()


def told(url: str, engine: Any, **options: Any) -> S3Store:
    """Return a store of a stub."""
    given = {"access_key": "one", "secret_key": "two", "region": "us-east-1"}
    return S3Store("bucket", endpoint_url=url, engine=engine, **{**given, **options})


def failure(store: S3Store) -> StoreError:
    """Return why *KEY* cannot be had."""
    with pytest.raises(StoreError) as raised:
        store.get(KEY)
    return raised.value


def facts(error: StoreError) -> dict[str, object]:
    """Return what a caller decides by."""
    names = ("retryable", "failover", "ambiguous", "local")
    return {"kind": type(error), **{name: getattr(error, name) for name in names}}


def answers(code: str, status: int) -> dict[str, list[Answer]]:
    text = f"<Error><Code>{code}</Code><Message>because</Message></Error>"
    return {"*": [Answer(status, text.encode() if code else b"")]}


@pytest.mark.parametrize("code", BY_CODE)
def test_a_code_means_the_same(code: str, closing: Closing) -> None:
    """One table for both; what it says is a test of its own."""
    stub = closing(StubServer(answers(code, 400)))

    one, other = (
        failure(closing(told(stub.url, engine, timeout=60.0))) for engine in ENGINES
    )

    assert facts(one) == facts(other)
    assert one.message == other.message


@pytest.mark.parametrize("status", [400, 401, 403, 405, 409, 412, 429, 500, 501, 503])
def test_a_status_without_a_code_means_the_same(status: int, closing: Closing) -> None:
    stub = closing(StubServer(answers("", status)))

    one, other = (
        failure(closing(told(stub.url, engine, timeout=60.0))) for engine in ENGINES
    )

    assert facts(one) == facts(other)


def test_silence_ends_with_the_timeout(closing: Closing) -> None:
    stub = closing(StubServer({"*": [Answer(seconds=3)]}))
    store = closing(told(stub.url, "obstore", timeout=0.2))

    assert isinstance(failure(store), UnavailableError)
    assert not stub.answered


def test_silence_ends_with_the_deadline(closing: Closing) -> None:
    stub = closing(StubServer({"*": [Answer(seconds=3)]}))
    store = closing(told(stub.url, "obstore", timeout=60))

    with deadline(0.2):
        assert isinstance(failure(store), DeadlineError)

    assert not stub.answered


def test_an_error_of_a_body_says_whose_it_is(
    seaweed_server: S3Server, closing: Closing
) -> None:
    proxy = closing(Proxy(seaweed_server.ports[0]))
    bucket = seaweed_server.make_bucket()
    store = closing(
        seaweed_server.store(bucket, endpoint_url=proxy.url, engine="obstore")
    )
    store.put(KEY, Body.of(os.urandom(MIB)))
    proxy.drip = (400_000, 3600)

    with store.get(KEY).open() as file:
        file.read(1000)
        proxy.refuse()  # whoever asks again, too
        with pytest.raises(UnavailableError) as raised:
            file.read()

    assert (raised.value.store, raised.value.verb, raised.value.key) == (
        "s3",
        "get",
        KEY,
    )


@pytest.mark.parametrize("harsh", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_small_body_that_breaks_off_is_no_outage(
    seaweed_server: S3Server,
    closing: Closing,
    caplog: pytest.LogCaptureFixture,
    engine: str,
    harsh: bool,
) -> None:
    """Nobody has seen a byte of it, so it is asked for again; and nobody is warned."""
    proxy = closing(Proxy(seaweed_server.ports[0]))
    options = {"endpoint_url": proxy.url, "engine": engine}
    store = closing(seaweed_server.store(seaweed_server.make_bucket(), **options))
    content = os.urandom(200_000)
    store.put(KEY, Body.of(content))
    proxy.cut_answer, proxy.harsh = 100_000, harsh

    with caplog.at_level(logging.WARNING):
        assert store.get(KEY).read() == content

    assert not caplog.records


def test_bytes_that_drip_hold_nobody_for_ever(
    seaweed_server: S3Server, closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits in Rust cannot be interrupted; what took too long is asked for anew."""
    monkeypatch.setattr(obstore_settings, "_AT_LONGEST", -0.5)
    proxy = closing(Proxy(seaweed_server.ports[0]))
    bucket = seaweed_server.make_bucket()
    options = {"endpoint_url": proxy.url, "engine": "obstore", "timeout": 1.0}
    content = {KEY: os.urandom(200_000), OTHER: os.urandom(MIB)}
    with seaweed_server.store(bucket) as direct:
        for key, told in content.items():
            direct.put(key, Body.of(told))
    store = closing(seaweed_server.store(bucket, **options))

    proxy.drip = (300_000, 0.25)
    assert store.get(OTHER).read() == content[OTHER]
    assert len(proxy.requests) > 1
    proxy.drip = (20_000, 0.25)
    with pytest.raises(UnavailableError):
        store.get(KEY)


def test_a_denied_object_is_not_absent(
    seaweed_server: S3Server, closing: Closing
) -> None:
    bucket = seaweed_server.make_bucket()
    wrong = {"access_key": READER[0], "secret_key": "wrong"}

    store = closing(seaweed_server.store(bucket, engine="obstore", **wrong))

    assert isinstance(failure(store), DeniedError)


def test_they_read_what_the_other_reads(server: S3Server, closing: Closing) -> None:
    """Same bytes, version, time and flag; so one can resume for the other."""
    bucket = server.make_bucket()
    one, other = (closing(server.store(bucket, engine=engine)) for engine in ENGINES)
    for key, size in ((KEY, 100_000), (OTHER, 0)):
        one.put(key, Body.of(os.urandom(size)), reproducible=True)
        first, second = one.get(key), other.get(key)

        assert first.read() == second.read()
        assert (first.size, first.version) == (second.size, second.version)
        assert first.stat() == second.stat()
        assert first.reproducible is second.reproducible is True


def test_a_body_opens_anywhere_again(server: S3Server, closing: Closing) -> None:
    """Each time it asks again, from that place on."""
    store = closing(server.store(server.make_bucket(), engine="obstore"))
    content = os.urandom(3 * MIB)
    store.put(KEY, Body.of(content))
    body = store.get(KEY)

    for offset in (0, 1, 0, 2 * MIB + 7, 3 * MIB):
        with body.open(offset) as file:
            assert file.read() == content[offset:]
    with body.open() as file:
        assert file.read(10) + file.read(MIB) == content[: MIB + 10]


def test_a_small_body_is_asked_for_once(server: S3Server, closing: Closing) -> None:
    """It came with the answer, so whoever opens it again has the same bytes."""
    store = closing(server.store(server.make_bucket(), engine="obstore"))
    store.put(KEY, Body.of(b"old" * 100), reproducible=True)
    body, known = store.get(KEY), store.stat(KEY)
    store.put(KEY, Body.of(b"new" * 100))

    assert [body.read(), body.read()] == [b"old" * 100] * 2
    assert body.stat() == known
    assert body.reproducible


def test_credentials_are_those_of_boto3(
    seaweed_server: S3Server, closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the SDK finds them; the server checks what is signed with them."""
    bucket = seaweed_server.make_bucket()
    closing(seaweed_server.store(bucket)).put(KEY, Body.of(b"found"))
    script = (
        "from tiered_store import S3Store, Key\n"
        f"store = S3Store({bucket!r}, endpoint_url={seaweed_server.endpoint_url!r}, "
        "engine='obstore')\n"
        f"assert store.get(Key(*{tuple(KEY)!r})).read() == b'found'\n"
        "assert store._obstore._store is not None\n"
    )
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": seaweed_server.access_key,
        "AWS_SECRET_ACCESS_KEY": seaweed_server.secret_key,
    }

    subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        timeout=60,
        check=True,
    )


def test_a_child_reads_with_boto3_what_its_parent_read_with_obstore(
    moto_server: S3Server,
) -> None:
    """The threads of obstore are not there after a fork; nobody waits for them."""
    bucket = moto_server.make_bucket()
    script = (
        "import os\n"
        "from tiered_store import S3Store, Key\n"
        "from tiered_store.body import Body\n"
        f"store = S3Store({bucket!r}, 'one', 'two', "
        f"endpoint_url={moto_server.endpoint_url!r}, engine='obstore')\n"
        f"key = Key(*{tuple(KEY)!r})\n"
        "store.put(key, Body.of(b'content'))\n"
        "assert store.get(key).read() == b'content'\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(0 if store.get(key).read() == b'content' else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )

    subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=60, check=True)


@pytest.mark.parametrize("prefix", ["a//b", "a/../b", "a\tb", "a\x7fb"])
def test_what_obstore_cannot_name_is_read_with_boto3(
    moto_server: S3Server, closing: Closing, prefix: str
) -> None:
    """Names that somebody gave long ago, and that no bug of ours shall hide."""
    store = closing(
        moto_server.store(moto_server.make_bucket(), prefix=prefix, engine="obstore")
    )
    store.put(KEY, Body.of(b"content"))

    assert store.get(KEY).read() == b"content"
    assert store._obstore._store is None


def test_auto_takes_what_is_there(moto_server: S3Server, closing: Closing) -> None:
    store = closing(moto_server.store(moto_server.make_bucket(), engine="auto"))
    store.put(KEY, Body.of(b"content"))

    assert store.get(KEY).read() == b"content"
    assert store._obstore._store is not None


def test_an_obstore_of_another_time_is_left_alone(
    moto_server: S3Server, closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that somebody else needs may know less, and is no reason to read nothing."""

    def refuse(*args: Any, **options: Any) -> None:
        raise ValueError("Invalid key: read_timeout.")  # 0.10

    monkeypatch.setattr(obstore.store, "S3Store", refuse)
    store = closing(moto_server.store(moto_server.make_bucket(), engine="auto"))
    store.put(KEY, Body.of(b"content"))

    assert store.get(KEY).read() == b"content"


def test_another_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="engine: expected"):
        S3Store("bucket", engine="rust")  # type: ignore[arg-type]


class TestMotoConformance(StoreConformance):
    @pytest.fixture
    def store(self, moto_server: S3Server) -> Iterator[Store]:
        bucket = moto_server.make_bucket()
        with moto_server.store(bucket, engine="obstore") as store:
            yield store


class TestSeaweedConformance(StoreConformance):
    @pytest.fixture
    def store(self, seaweed_server: S3Server, shared_bucket: str) -> Iterator[Store]:
        """A corner of a bucket: a new bucket takes SeaweedFS a quarter of a second."""
        options = {"prefix": f"corner-{time.monotonic_ns()}", "engine": "obstore"}
        with seaweed_server.store(shared_bucket, **options) as store:
            yield store
