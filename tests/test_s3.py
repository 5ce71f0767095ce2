"""Objects in S3: on moto, which is quick, and on SeaweedFS, which checks everything."""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
import urllib.error
import urllib.request

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.closing import Closing
from tests.servers.proxy import Proxy
from tests.servers.s3 import READER, S3Server
from tests.servers.stub import Answer, StubServer
from tests.waiting import longer_and_longer, succeeds, until
from tiered_store.backends.s3 import S3Store
from tiered_store.backends.s3.download import Download
from tiered_store.body import Body
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    ConfigError,
    ConflictError,
    CorruptError,
    DeadlineError,
    DeniedError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.conformance import StoreConformance
from tiered_store.units import KIB, MIB, Secret


pytestmark = pytest.mark.servers

KEY = Key("testing", 1234, 405, 640, "image/jpeg")
OTHER = KEY._replace(object_id=1235)
NAME = "testing/1234/405x640.jpe"
ROOT = Path(__file__).parent.parent
ENGINES = ("boto3", "obstore")

# how an upload in parts is answered
BEGUN = Answer(200, b"<X><UploadId>one</UploadId></X>")
TAKEN = Answer(200, b"", {"ETag": "x"})
DONE = Answer(200, b"<X><ETag>x</ETag></X>")


@pytest.fixture(params=["moto", "seaweed"])
def server(request: pytest.FixtureRequest) -> S3Server:
    """Both servers, one after the other."""
    found: S3Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture(scope="session")
def shared_buckets() -> dict[str, str]:
    """By server, a bucket for those who only need a corner of one."""
    return {}


def fetch(url: str) -> bytes:
    """Return what a browser would be given."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
    return content


def refused(url: str) -> bool:
    """Say whether a browser would be refused."""
    try:
        fetch(url)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code == 403
    return False


def uploads(server: S3Server, bucket: str) -> list[Any]:
    """Return the uploads in parts that were begun and not ended."""
    with server.client() as client:
        found: list[Any] = client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    return found or []


class BrokenBody(Body):
    """Cannot be read beyond *end*."""

    def __init__(self, size: int, end: int, error: Exception) -> None:
        self.size = size
        self._end = end
        self._error = error

    def open(self, offset: int = 0) -> io.BufferedIOBase:
        reader = _Breaking(bytes(self._end), self._error)
        reader.seek(offset)
        return io.BufferedReader(reader)


class LyingBody(Body):
    """Has other than *size* bytes."""

    def __init__(self, content: bytes, size: int) -> None:
        self.size = size
        self._content = content

    def open(self, offset: int = 0) -> io.BytesIO:
        file = io.BytesIO(self._content)
        file.seek(offset)
        return file


class _Breaking(io.BytesIO):
    """Raises *error* at its end; its ``read(size)`` is of raw files."""

    def __init__(self, content: bytes, error: Exception) -> None:
        super().__init__(content)
        self._error = error

    def readinto(self, buffer: Any, /) -> int:
        return super().readinto(buffer) or self._fail()

    def readall(self) -> bytes:
        return self.read() + bytes(self._fail())

    def _fail(self) -> int:
        raise self._error


# -- names and options ---------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("", NAME),
        ("pre", f"pre/{NAME}"),
        ("pre/", f"pre/{NAME}"),
        ("a/b", f"a/b/{NAME}"),
    ],
)
def test_objects_are_named_as_the_original_names_them(
    moto_server: S3Server, prefix: str, name: str
) -> None:
    """Byte for byte, so that a bucket full of them can be adopted."""
    bucket = moto_server.make_bucket()

    with moto_server.store(bucket, prefix=prefix) as store:
        store.put_file(io.BytesIO(b"x"), *KEY, False)
        assert list(store.keys()) == [KEY]

    with moto_server.client() as client:
        listed = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert [entry["Key"] for entry in listed] == [name]


def test_an_object_says_what_it_is_and_how_long_it_keeps(moto_server: S3Server) -> None:
    """A browser that is sent to the bucket needs both."""
    bucket = moto_server.make_bucket()
    with (
        moto_server.store(bucket) as store,
        moto_server.store(bucket, max_age=60, multipart_threshold=0) as brief,
    ):
        store.put(KEY, Body.of(b"x"))
        brief.put(OTHER, Body.of(b"x"))

    with moto_server.client() as client:
        first = client.head_object(Bucket=bucket, Key=NAME)
        second = client.head_object(Bucket=bucket, Key="testing/1235/405x640.jpe")
    assert (first["ContentType"], first["CacheControl"]) == (
        "image/jpeg",
        "max-age=31536000",
    )
    assert (second["ContentType"], second["CacheControl"]) == (
        "image/jpeg",
        "max-age=60",
    )


@pytest.mark.parametrize("threshold", [MIB, 0], ids=["whole", "parts"])
def test_what_can_be_computed_again_may_be_kept_cheaper(
    moto_server: S3Server, threshold: int
) -> None:
    """Each of the two has its class; without one the bucket decides."""
    bucket = moto_server.make_bucket()
    options = {"multipart_threshold": threshold}

    def classes(**given: Any) -> list[str | None]:
        with moto_server.store(bucket, **options, **given) as store:
            for key, reproducible in ((KEY, False), (OTHER, True)):
                store.put_file(io.BytesIO(b"x"), *key, reproducible)
        with moto_server.client() as client:
            return [
                client.head_object(Bucket=bucket, Key=name).get("StorageClass")
                for name in (NAME, "testing/1235/405x640.jpe")
            ]

    assert classes() == [None, None]
    assert classes(
        storage_class="STANDARD_IA", reproducible_storage_class="ONEZONE_IA"
    ) == ["STANDARD_IA", "ONEZONE_IA"]
    assert classes(storage_class="STANDARD_IA") == ["STANDARD_IA", None]


@pytest.mark.parametrize("threshold", [MIB, 0], ids=["whole", "parts"])
def test_what_can_be_computed_again_says_so_when_it_is_read(
    server: S3Server, closing: Closing, threshold: int
) -> None:
    """A cache of only that asks; of what anybody else stored nothing is known."""
    bucket = server.make_bucket()
    store = closing(server.store(bucket, multipart_threshold=threshold))
    for key, reproducible in ((KEY, False), (OTHER, True)):
        store.put(key, Body.of(b"x"), reproducible)

    assert store.get(KEY).reproducible is None
    assert store.get(OTHER).reproducible is True
    store.put(OTHER, Body.of(b"y"))
    assert store.get(OTHER).reproducible is None


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"bucket": ""}, "bucket"),
        ({"bucket": "images/pre"}, "bucket"),
        ({"access_key": "a"}, "secret_key"),
        ({"secret_key": Secret("s")}, "access_key"),
        ({"session_token": Secret("t")}, "session_token"),
        ({"endpoint_url": "storage.example.com"}, "endpoint_url"),
        ({"url_expires": 8 * 86400.0}, "url_expires"),
        ({"url_expires": 0}, "url_expires"),
        ({"part_size": MIB}, "part_size"),
        ({"connections": 0}, "connections"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_options_that_cannot_work_are_refused(
    options: dict[str, Any], problem: str
) -> None:
    """Before anything is served, by their name."""
    with pytest.raises(ConfigError, match=problem):
        S3Store(**{"bucket": "images", **options})


def test_every_wrong_option_is_told_at_once() -> None:
    """Not one a restart."""
    with pytest.raises(ConfigError) as raised:
        S3Store("", part_size=1, timeout=0)

    assert len(raised.value.problems) == 3


def test_a_constructor_is_free() -> None:
    """It imports no SDK, asks nobody, and starts no thread."""
    code = (
        "import sys, threading; from tiered_store.backends.s3 import S3Store; "
        "S3Store('images', endpoint_url='http://127.0.0.1:1'); "
        "sys.exit('botocore' in sys.modules or threading.active_count() > 1)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_secrets_are_never_shown() -> None:
    """Neither by the store nor by what it holds, nor by an error."""
    with S3Store(
        "images",
        "known",
        "hush-hush",
        session_token="hush-token",
        endpoint_url="http://127.0.0.1:1",
    ) as store:
        with pytest.raises(UnavailableError) as raised:
            store.get(KEY)
        told = f"{store!r} {vars(store)} {vars(store._client)} {raised.value!r}"

    assert "hush" not in told


# -- URLs ----------------------------------------------------------------------


def test_objects_are_private_unless_told_otherwise(seaweed_server: S3Server) -> None:
    """Unlike the original's."""
    bucket = seaweed_server.make_bucket()
    with seaweed_server.store(bucket) as store:
        store.put(KEY, Body.of(b"private"))

        assert refused(f"{seaweed_server.endpoint_url}/{bucket}/{NAME}")


@pytest.mark.parametrize("threshold", [MIB, 0], ids=["whole", "parts"])
def test_no_acl_is_sent_unless_public(closing: Closing, threshold: int) -> None:
    """New buckets of AWS refuse every ACL."""
    done = {"PUT": [TAKEN], "POST": [BEGUN, DONE]}

    for public, sent in ((False, []), (True, ["public-read"])):
        stub, store = stub_store(
            closing, done, public=public, multipart_threshold=threshold
        )
        store.put(KEY, Body.of(b"x"))
        headers = [headers.get("x-amz-acl") for _, _, headers in stub.requests]
        assert [acl for acl in headers if acl] == sent


def test_public_objects_can_be_fetched_by_anybody(moto_server: S3Server) -> None:
    """Under a URL that says nothing but where they are."""
    with moto_server.store(moto_server.make_bucket(), public=True) as store:
        store.put(KEY, Body.of(b"public"))
        url = store.get_url(*KEY)

        assert "?" not in url
        assert fetch(url) == b"public"


def test_a_signed_url_can_be_fetched(server: S3Server, closing: Closing) -> None:
    """By anybody, while it lasts, and only as it was signed."""
    store = closing(server.store(server.make_bucket(), prefix="a b/ü"))
    odd = Key("ünïcode &+%", 1, 2, 3, "image/svg+xml")
    store.put(odd, Body.of(b"picture"))

    url = store.get_url(*odd)

    assert fetch(url) == b"picture"
    if server.process.command[0].endswith("weed"):  # moto believes everybody
        assert refused(f"{url}&_ts=1")


def test_a_signed_url_ends(seaweed_server: S3Server, closing: Closing) -> None:
    """When it was told to."""
    store = closing(seaweed_server.store(seaweed_server.make_bucket(), url_expires=1))
    store.put(KEY, Body.of(b"picture"))

    url = store.get_url(*KEY)

    assert fetch(url) == b"picture"
    until(lambda: refused(url))


def test_a_url_is_made_without_asking_anybody() -> None:
    """Of a server that is not there, and of an object that is not either."""
    with S3Store(
        "images", "known", "secret", endpoint_url="http://127.0.0.1:1", prefix="p"
    ) as store:
        url = store.get_url(*KEY)

    assert url.startswith(f"http://127.0.0.1:1/images/p/{NAME}?X-Amz-Algorithm=AWS4")
    assert "X-Amz-Expires=3600" in url


def test_a_url_of_aws_names_the_bucket_as_its_host() -> None:
    """Signed for the region, with the token of temporary credentials."""
    with S3Store(
        "images", "known", "secret", region="eu-central-1", session_token="temporary"
    ) as store:
        url = store.get_url(*KEY)

    assert url.startswith(f"https://images.s3.eu-central-1.amazonaws.com/{NAME}?")
    assert "X-Amz-Security-Token=temporary" in url
    assert "%2Feu-central-1%2Fs3%2F" in url


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({}, "https://images.s3.amazonaws.com/"),
        ({"region": "eu-west-1"}, "https://images.s3.eu-west-1.amazonaws.com/"),
        ({"region": "cn-north-1"}, "https://images.s3.cn-north-1.amazonaws.com.cn/"),
        ({"bucket": "im.ages"}, "https://s3.amazonaws.com/im.ages/"),
        ({"endpoint_url": "http://s3.lan:9000"}, "http://s3.lan:9000/images/"),
        ({"public_base_url": "https://cdn.lan/x"}, "https://cdn.lan/x/"),
        ({"public_base_url": "https://cdn.lan/", "public": False}, "https://cdn.lan/"),
    ],
)
def test_a_public_url_says_where_it_is(options: dict[str, Any], url: str) -> None:
    """On AWS, below an endpoint, or where a CDN shows the bucket."""
    with S3Store(**{"bucket": "images", "public": True, **options}) as store:
        assert store.get_url(*KEY) == url + NAME


# -- absence -------------------------------------------------------------------


def test_a_missing_object_is_absent(server: S3Server, closing: Closing) -> None:
    """Told by get and stat, silence to delete."""
    store = closing(server.store(server.make_bucket()))

    with pytest.raises(NotFoundError):
        store.get(KEY)
    with pytest.raises(NotFoundError):
        store.stat(KEY)
    store.delete(KEY)
    assert list(store.keys()) == []


def test_a_missing_bucket_is_not_absence(server: S3Server, closing: Closing) -> None:
    """Nothing is known of its objects; the message says which bucket."""
    store = closing(server.store("nowhere"))

    for ask in (store.get, store.stat, store.delete, lambda _: list(store.keys())):
        with pytest.raises(MisconfiguredError, match="'nowhere'") as raised:
            ask(KEY)
        assert not raised.value.retryable
        assert raised.value.failover


def test_a_put_to_a_missing_bucket_is_refused(moto_server: S3Server) -> None:
    """In parts too (SeaweedFS would make the bucket)."""
    with moto_server.store("nowhere") as store:
        for threshold in (MIB, 0):
            store.multipart_threshold = threshold
            with pytest.raises(MisconfiguredError, match="'nowhere'"):
                store.put(KEY, Body.of(b"x"))


DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
WRONG_KEY = b"<Error><Code>InvalidAccessKeyId</Code><Message>No</Message></Error>"


def stub_store(
    closing: Closing, answers: dict[str, list[Answer]], **options: Any
) -> Any:
    """Return a server that gives *answers*, and a store of it."""
    stub = closing(StubServer(answers))
    store = closing(
        S3Store("images", "key", "secret", endpoint_url=stub.url, **options)
    )
    return stub, store


def test_a_404_that_says_nothing_is_only_absence_if_the_bucket_is_there(
    closing: Closing,
) -> None:
    """A web server in the place of S3 says 404 to everything."""
    page = Answer(404, b"<html>no such page</html>")
    _, wrong = stub_store(closing, {"*": [page]})
    _, right = stub_store(closing, {"GET": [page], "HEAD": [Answer(200)]})

    for ask in (wrong.get, wrong.stat):
        with pytest.raises(MisconfiguredError, match="'images'"):
            ask(KEY)
    with pytest.raises(NotFoundError):
        right.get(KEY)


@pytest.mark.parametrize("engine", ENGINES)
def test_denied_is_not_absence_unless_told_so(engine: str, closing: Closing) -> None:
    """A bucket that may not be listed answers 403 for what is not there."""
    for answer, expected in ((DENIED, NotFoundError), (WRONG_KEY, DeniedError)):
        answers = {"*": [Answer(403, answer)]}
        _, plain = stub_store(closing, answers, engine=engine)
        _, told = stub_store(closing, answers, engine=engine, absent_when_denied=True)
        for verb in ("get", "stat"):
            with pytest.raises(DeniedError):
                getattr(plain, verb)(KEY)
            with pytest.raises(expected):
                getattr(told, verb)(KEY)
        with pytest.raises(DeniedError):
            told.delete(KEY)


@pytest.mark.parametrize("access", ["test-access", "nobody"])
def test_wrong_credentials_are_refused(
    seaweed_server: S3Server, closing: Closing, access: str
) -> None:
    """Of every verb, for large objects too, and no secret is told."""
    bucket = seaweed_server.make_bucket()
    store = closing(
        seaweed_server.store(bucket, access_key=access, secret_key="hush-hush")
    )

    for ask in (
        store.get,
        store.stat,
        store.delete,
        lambda _: list(store.keys()),
        lambda key: store.put(key, Body.of(b"x")),
        lambda key: store.put(key, Body.of(bytes(3 * MIB))),
        lambda key: store.put(key, Body.of(bytes(17 * MIB))),
    ):
        with pytest.raises(DeniedError) as raised:
            ask(KEY)
        assert not raised.value.retryable
        assert "hush" not in str(raised.value)


def test_what_a_reader_may_not_do_is_refused(
    seaweed_server: S3Server, closing: Closing
) -> None:
    """A permission may concern writing alone."""
    bucket = seaweed_server.make_bucket()
    access, secret = READER
    owner = closing(seaweed_server.store(bucket))
    reader = closing(seaweed_server.store(bucket, access_key=access, secret_key=secret))
    owner.put(KEY, Body.of(b"mine"))

    assert reader.get(KEY).read() == b"mine"
    with pytest.raises(DeniedError):
        reader.put(KEY, Body.of(b"yours"))
    with pytest.raises(DeniedError):
        reader.delete(KEY)
    assert owner.get(KEY).read() == b"mine"


# -- listing -------------------------------------------------------------------


def test_a_listing_goes_on_page_after_page(closing: Closing) -> None:
    """And passes over what is not ours."""

    def page(names: list[str], following: str = "") -> Answer:
        entries = "".join(f"<Contents><Key>{name}</Key></Contents>" for name in names)
        more = f"<NextContinuationToken>{following}</NextContinuationToken>"
        truncated = str(bool(following)).lower()
        listing = (
            f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{entries}"
            f"{more if following else ''}</ListBucketResult>"
        )
        return Answer(200, listing.encode())

    pages = [page([f"p/{NAME}", "p/readme.txt"], "there"), page(["p/a/1/2x3.png"])]
    stub, store = stub_store(closing, {"GET": pages}, prefix="p")

    assert list(store.keys()) == [KEY, Key("a", 1, 2, 3, "image/png")]
    assert "continuation-token=there" in stub.requests[1][1]
    assert all("prefix=p%2F" in path for _, path, _ in stub.requests)


# -- large objects -------------------------------------------------------------


def test_a_large_object_is_sent_in_parts(server: S3Server, closing: Closing) -> None:
    """And comes back as it was, from anywhere in it."""
    bucket = server.make_bucket()
    store = closing(server.store(bucket, part_size=5 * MIB))
    content = os.urandom(17 * MIB + 1)

    store.put(KEY, Body.of(content))

    assert (store.stat(KEY).etag or "").endswith("-4")
    body = store.get(KEY)
    assert body.read() == content
    with body.open(6 * MIB) as file:
        assert file.read(10) == content[6 * MIB : 6 * MIB + 10]
    assert uploads(server, bucket) == []


@pytest.mark.parametrize("size", [MIB, 18 * MIB], ids=["whole", "parts"])
@pytest.mark.parametrize("end", [0, 900_000], ids=["at once", "later"])
def test_a_body_that_cannot_be_read_leaves_nothing(
    server: S3Server, closing: Closing, size: int, end: int
) -> None:
    """No object, no parts, and its own error is what is raised."""
    bucket = server.make_bucket()
    store = closing(server.store(bucket, part_size=5 * MIB))
    broken = BrokenBody(size, end, CorruptError("the disk is bad"))

    with pytest.raises(CorruptError, match="the disk is bad"):
        store.put(KEY, broken)

    with pytest.raises(NotFoundError):
        store.get(KEY)
    assert uploads(server, bucket) == []


@pytest.mark.parametrize("size", [1000, 10 * MIB], ids=["whole", "parts"])
@pytest.mark.parametrize("more", [-1, 1])
def test_a_body_that_is_not_of_its_size_is_not_sent(
    seaweed_server: S3Server, closing: Closing, size: int, more: int
) -> None:
    """What is too much would be read as the next request on the same connection."""
    bucket = seaweed_server.make_bucket()
    store = closing(
        seaweed_server.store(bucket, part_size=5 * MIB, multipart_threshold=6 * MIB)
    )
    store.put(KEY, Body.of(b"old"))

    with pytest.raises(CorruptError, match=rf"\b{size}\b"):
        store.put(KEY, LyingBody(bytes(size + more), size))

    assert store.get(KEY).read() == b"old"
    assert uploads(seaweed_server, bucket) == []


def test_a_file_that_shrinks_while_it_is_sent_leaves_the_old_object(
    server: S3Server, closing: Closing, tmp_path: Path
) -> None:
    """The request is wrong, not the server."""
    store = closing(server.store(server.make_bucket()))
    store.put(KEY, Body.of(b"old"))
    path = tmp_path / "picture"
    path.write_bytes(bytes(3 * MIB))
    with path.open("rb") as file:
        body = Body.take(file)
    os.truncate(path, MIB)

    with pytest.raises(InvalidError, match="ends after"):
        store.put(KEY, body)

    assert store.get(KEY).read() == b"old"


def test_a_part_that_fails_takes_the_others_with_it(
    seaweed_server: S3Server, closing: Closing
) -> None:
    """The old object stays, and no parts are left to be paid for."""
    bucket = seaweed_server.make_bucket()
    proxy = closing(Proxy(seaweed_server.ports[0]))
    store = closing(seaweed_server.store(bucket, endpoint_url=proxy.url))
    store.put(KEY, Body.of(b"old"))
    proxy.cut_request = 11 * MIB

    with pytest.raises(UnavailableError) as raised:
        store.put(KEY, Body.of(bytes(40 * MIB)))

    assert (raised.value.retryable, raised.value.ambiguous) == (True, False)
    assert store.get(KEY).read() == b"old"
    until(lambda: uploads(seaweed_server, bucket) == [])


def test_a_process_that_is_told_to_end_drops_its_parts(
    seaweed_server: S3Server, closing: Closing
) -> None:
    """A deployment in the middle of an upload leaves nothing to be paid for."""
    bucket = seaweed_server.make_bucket()
    proxy = closing(Proxy(seaweed_server.ports[0]))
    proxy.latency = 0.2
    script = f"""
        from tiered_store import S3Store, lifecycle
        from tiered_store.body import Body
        from tiered_store.key import Key

        lifecycle.end_at_sigterm()
        store = S3Store(
            {bucket!r},
            {seaweed_server.access_key!r},
            {seaweed_server.secret_key!r},
            endpoint_url={proxy.url!r},
            timeout=60.0,
            connect_timeout=60.0,
        )
        while True:
            store.put(Key("testing", 1, 2, 3, "image/png"), Body.of(bytes(80 << 20)))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    try:
        until(lambda: any(b"partNumber=3" in head for head in list(proxy.requests)))
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()

    until(lambda: uploads(seaweed_server, bucket) == [])


PAGE = Answer(200, b"<html></html>")


@pytest.mark.parametrize(
    ("begun", "taken", "missing"),
    [
        ([Answer(200)], Answer(200), "UploadId"),
        ([BEGUN], Answer(200), "ETag"),
        ([BEGUN, Answer(200)], TAKEN, "ETag"),
        ([BEGUN, PAGE], TAKEN, "ETag"),
    ],
    ids=["begun", "a part", "all", "a page"],
)
def test_parts_that_nobody_took_are_an_outage(
    closing: Closing, begun: list[Answer], taken: Answer, missing: str
) -> None:
    """A proxy that says 200 to everything: the next region takes it."""
    answers = {"POST": begun, "PUT": [taken], "*": [Answer(200)]}
    _, store = stub_store(closing, answers, multipart_threshold=0)

    with pytest.raises(UnavailableError, match=f"HTTP 200 without {missing}") as raised:
        store.put(KEY, Body.of(b"x"))

    assert raised.value.ambiguous == (len(begun) == 2)  # parts are no object


def test_parts_are_dropped_when_the_server_is_less_busy(closing: Closing) -> None:
    """What refuses a part in a rush refuses that too; the caller is told at once."""
    busy = Answer(503, b"<Error><Code>SlowDown</Code></Error>")
    answers = {"POST": [BEGUN], "PUT": [busy], "DELETE": [busy, Answer(204)]}
    stub, store = stub_store(closing, answers, multipart_threshold=0)

    with pytest.raises(ThrottledError):
        store.put(KEY, Body.of(b"x"))

    until(lambda: stub.answered.count("DELETE") == 2)


def test_an_object_that_nobody_took_is_an_outage(closing: Closing) -> None:
    """Else what is acknowledged would be nowhere."""
    _, store = stub_store(closing, {"*": [Answer(200)]})

    with pytest.raises(UnavailableError, match="HTTP 200 without ETag"):
        store.put(KEY, Body.of(b"x"))


def test_a_page_says_of_no_object_that_it_was_deleted(closing: Closing) -> None:
    """Else what is said to be gone is served for ever."""
    stub, store = stub_store(closing, {"DELETE": [PAGE, Answer(200), Answer(204)]})

    with pytest.raises(UnavailableError, match="not S3 that answers") as raised:
        store.delete(KEY)
    for _ in range(2):  # some say OK where S3 says that it has nothing to say
        store.delete(KEY)

    assert raised.value.ambiguous
    assert len(stub.answered) == 3


@pytest.mark.parametrize("page", [b"", b"<html></html>"], ids=["empty", "page"])
def test_an_answer_that_is_no_list_is_not_an_empty_one(
    closing: Closing, page: bytes
) -> None:
    """Else an outage would look like a bucket that lost everything."""
    _, store = stub_store(closing, {"GET": [Answer(200, page)]})

    with pytest.raises(UnavailableError, match="it is not S3 that answers"):
        list(store.keys())


@pytest.mark.parametrize(
    ("checksums", "told"), [("when_supported", "CRC32"), ("when_required", None)]
)
def test_parts_carry_checksums_unless_the_server_knows_none(
    closing: Closing, checksums: Any, told: str | None
) -> None:
    """And S3 compares them with what it has before it puts the parts together."""
    part = Answer(200, b"", {"ETag": "x", "x-amz-checksum-crc32": "AAAAAA=="})
    stub, store = stub_store(
        closing,
        {"POST": [BEGUN, DONE], "PUT": [part]},
        checksums=checksums,
        multipart_threshold=0,
    )

    store.put(KEY, Body.of(b"x"))

    begin, send, _ = [headers for _, _, headers in stub.requests]
    assert begin.get("x-amz-checksum-algorithm") == told
    assert ("x-amz-checksum-crc32" in send) == (told is not None)


def test_parts_on_their_way_are_awaited_before_they_are_dropped(
    closing: Closing,
) -> None:
    """A part that arrives after the abort would stay, and be paid for."""
    slow = Answer(200, b"", {"ETag": "x"}, seconds=0.3)
    stub, store = stub_store(
        closing,
        {"POST": [BEGUN], "PUT": [slow], "DELETE": [Answer(204)]},
        part_size=5 * MIB,
    )

    with pytest.raises(CorruptError):
        store.put(KEY, BrokenBody(20 * MIB, 6 * MIB, CorruptError("bad")))

    assert stub.answered == ["POST", "PUT", "DELETE"]


def test_a_file_is_sent_without_being_held_in_memory(
    moto_server: S3Server, closing: Closing, tmp_path: Path
) -> None:
    """Nor does it take parts for that."""
    store = closing(moto_server.store(moto_server.make_bucket(), timeout=30))
    store.delete(KEY)  # so that the client is made, which costs memory of its own
    path = tmp_path / "picture"
    path.write_bytes(bytes(15 * MIB))

    with path.open("rb") as file:
        tracemalloc.start()
        store.put_file(file, *KEY, False)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 5 * MIB


def test_a_large_upload_costs_bounded_memory(
    moto_server: S3Server, closing: Closing, tmp_path: Path
) -> None:
    """Some six parts, however large the object."""
    store = closing(
        moto_server.store(moto_server.make_bucket(), part_size=5 * MIB, timeout=30)
    )
    store.delete(KEY)  # so that the client is made, which costs memory of its own
    path = tmp_path / "film"
    with path.open("wb") as file:
        file.truncate(80 * MIB)

    with path.open("rb") as file:
        tracemalloc.start()
        store.put_file(file, *KEY, False)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert store.stat(KEY).size == 80 * MIB
    assert peak < 36 * MIB


def test_an_upload_that_cannot_be_rewound_is_spooled_and_sent(
    server: S3Server, closing: Closing
) -> None:
    """A socket gives its bytes once; the SDK wants to read them twice."""
    content = os.urandom(17 * MIB)

    class Socket(io.RawIOBase):
        rest = io.BytesIO(content)

        def read(self, size: int = -1, /) -> bytes:
            return self.rest.read(min(size, 100_000))

    store = closing(server.store(server.make_bucket()))

    store.put_file(Socket(), *KEY, False)

    assert store.get(KEY).read() == content


# -- outages -------------------------------------------------------------------


@pytest.mark.timeout(55)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_server_that_was_killed_is_an_outage(
    engine: str, private_s3: Callable[..., S3Server], closing: Closing
) -> None:
    """Never absence, never a success; and since nobody listened, not ambiguous."""
    server = private_s3("moto")
    store = closing(server.store(server.make_bucket(), engine=engine))
    store.put(KEY, Body.of(b"x"))
    server.process.kill()

    for ask in (
        store.get,
        store.stat,
        store.delete,
        lambda _: list(store.keys()),
        lambda key: store.put(key, Body.of(b"y")),
        lambda key: store.put(key, Body.of(bytes(17 * MIB))),
    ):
        with pytest.raises(UnavailableError) as raised:
            ask(KEY)
        assert raised.value.retryable
        assert not raised.value.ambiguous


@pytest.mark.timeout(55)
def test_a_server_that_hangs_is_an_outage_within_the_timeout(
    private_s3: Callable[..., S3Server], closing: Closing
) -> None:
    """The SDK would wait a minute, and a second more to ask if a body is welcome."""
    server = private_s3("moto")
    store = closing(server.store(server.make_bucket(), timeout=0.2))
    until(lambda: succeeds(lambda: store.put(KEY, Body.of(b"x"))))
    server.process.freeze()

    for ask in (
        store.get,
        store.stat,
        store.delete,
        lambda key: store.put(key, Body.of(b"y")),
    ):
        with pytest.raises(UnavailableError) as raised:
            ask(KEY)
        assert not isinstance(raised.value, DeadlineError)
        assert raised.value.ambiguous


@pytest.mark.timeout(55)
def test_a_server_that_hangs_costs_no_more_than_the_callers_time(
    private_s3: Callable[..., S3Server], closing: Closing
) -> None:
    """Whatever the store's own timeout, and whatever the size."""
    server = private_s3("moto")
    store = closing(server.store(server.make_bucket(), timeout=60))
    store.put(KEY, Body.of(b"x"))
    server.process.freeze()

    for ask in (
        store.get,
        store.stat,
        lambda key: store.put(key, Body.of(bytes(2 * MIB))),
    ):
        for seconds in longer_and_longer(0.2, 2):
            with pytest.raises(DeadlineError) as raised, deadline(seconds):
                ask(KEY)
            if raised.value.ambiguous:  # else nothing was sent yet
                break
    with pytest.raises(DeadlineError) as raised, deadline(0.5):
        store.put(KEY, Body.of(bytes(17 * MIB)))
    assert not raised.value.ambiguous  # parts are no object


def test_a_large_body_may_take_its_time_to_leave(closing: Closing) -> None:
    """What the SDK calls sent may wait in the kernel for a slow line."""
    late = Answer(200, b"", {"ETag": "x"}, seconds=0.6)
    _, store = stub_store(closing, {"*": [late]}, timeout=0.2)

    store.put(KEY, Body.of(bytes(MIB)))
    with pytest.raises(UnavailableError):
        store.put(KEY, Body.of(b"x"))


def test_only_a_large_body_of_a_patient_caller_asks_if_it_is_welcome(
    closing: Closing,
) -> None:
    """It is a round trip, and a second if the server hangs, whatever the deadline."""
    stub, store = stub_store(closing, {"*": [Answer(200, b"", {"ETag": "x"})]})

    store.put(KEY, Body.of(bytes(100_000)))
    store.put(KEY, Body.of(bytes(2 * MIB)))
    with deadline(10):
        store.put(KEY, Body.of(bytes(2 * MIB)))

    asked = [headers.get("Expect") for _, _, headers in stub.requests]
    assert asked == [None, "100-continue", None]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_outage_is_met_once(engine: str, closing: Closing) -> None:
    """One request is one attempt; whoever retries stands outside."""
    body = b"<Error><Code>SlowDown</Code><Message>Slow down</Message></Error>"
    answer = Answer(503, body, {"Retry-After": "7"})
    stub, store = stub_store(closing, {"*": [answer]}, engine=engine)

    with pytest.raises(ThrottledError) as raised:
        store.get(KEY)

    assert raised.value.retry_after == {"boto3": 7, "obstore": None}[engine]
    assert len(stub.requests) == 1


# -- bodies on their way -------------------------------------------------------


@pytest.fixture
def proxy(seaweed_server: S3Server) -> Iterator[Proxy]:
    """One in front of SeaweedFS."""
    proxy = Proxy(seaweed_server.ports[0])
    yield proxy
    proxy.close()


@pytest.fixture
def far(
    request: pytest.FixtureRequest, seaweed_server: S3Server, proxy: Proxy
) -> Iterator[S3Store]:
    """A store behind the proxy, by boto3 unless a test says otherwise."""
    engine = getattr(request, "param", "boto3")
    bucket = seaweed_server.make_bucket()
    with seaweed_server.store(
        bucket, endpoint_url=proxy.url, engine=engine, timeout=60
    ) as store:
        yield store


by_either = pytest.mark.parametrize("far", ENGINES, indirect=True)


@by_either
def test_a_body_that_breaks_off_goes_on_where_it_stopped(
    far: S3Store, proxy: Proxy
) -> None:
    """At the same offset of the same version, and nothing is asked for twice."""
    content = os.urandom(3 * MIB)
    far.put(KEY, Body.of(content))
    etag = far.stat(KEY).etag or "none"
    proxy.cut_answer = MIB

    assert far.get(KEY).read() == content

    asked = re.search(rb"(?i)range: bytes=(\d+)-", proxy.requests[-1])
    assert asked is not None
    # so much for the head; obstore loses what it had not yet handed on
    least = MIB - 2000 if far.engine == "boto3" else 0
    assert least < int(asked[1]) < MIB
    assert f"if-match: {etag}".encode() in proxy.requests[-1].lower()


@by_either
def test_a_connection_that_is_reset_costs_no_byte(far: S3Store, proxy: Proxy) -> None:
    """What was under way is lost, and asked for again."""
    content = os.urandom(3 * MIB)
    far.put(KEY, Body.of(content))
    proxy.cut_answer, proxy.harsh = MIB, True

    assert far.get(KEY).read() == content
    assert proxy.cut_answer is None


@by_either
def test_two_versions_are_never_spliced(
    far: S3Store, proxy: Proxy, seaweed_server: S3Server, closing: Closing
) -> None:
    """A reader that was overtaken and then cut off says so."""
    near = closing(seaweed_server.store(far.bucket))
    near.put(KEY, Body.of(b"o" * (3 * MIB)))

    for overtake in (
        lambda: near.put(KEY, Body.of(b"n" * (3 * MIB))),
        lambda: near.delete(KEY),
    ):
        proxy.cut_answer = MIB
        with far.get_file(*KEY) as file:
            assert file.read(5) == b"ooooo" if near.stat(KEY) else b""
            overtake()
            with pytest.raises(ConflictError) as raised:
                file.read()
        assert raised.value.store == str(far)
        assert raised.value.key == KEY
        near.put(KEY, Body.of(b"o" * (3 * MIB)))


@pytest.mark.parametrize("size", [0, 1, 256 * KIB])
def test_a_small_body_is_here_once_it_was_got(
    far: S3Store, proxy: Proxy, size: int
) -> None:
    """Nothing that happens to the object concerns it, and nobody is asked again."""
    content = os.urandom(size)
    far.put(KEY, Body.of(content))
    body = far.get(KEY)
    asked = len(proxy.requests)

    with far.get(KEY).open() as file:
        far.put(KEY, Body.of(b"new"))
        far.delete(KEY)
        assert file.read() == content
    with body.open(size // 2) as file:
        assert file.read() == content[size // 2 :]

    assert body.read() == content
    assert [line.split()[0] for line in proxy.requests[asked:]] == [
        *(b"GET", b"PUT", b"DELETE")
    ]
    assert proxy.connections == 1


@pytest.mark.parametrize("harsh", [False, True])
def test_a_small_body_that_breaks_off_goes_on_where_it_stopped(
    far: S3Store, proxy: Proxy, harsh: bool
) -> None:
    """What came of it while it was got is not asked for twice, unless it was lost."""
    content = os.urandom(200_000)
    far.put(KEY, Body.of(content))
    proxy.cut_answer, proxy.harsh = 100_000, harsh

    body = far.get(KEY)
    asked = len(proxy.requests)
    with body.open() as file:
        assert file.read(10) + file.read() == content

    if not harsh:
        [again] = proxy.requests[asked:]
        found = re.search(rb"Range: bytes=(\d+)-", again)
        assert found is not None
        assert 98_000 < int(found[1]) < 100_000
    assert body.read() == content


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seconds", [None, 600.0])
def test_a_small_body_that_stalls_begins_before_its_end(
    seaweed_server: S3Server, proxy: Proxy, closing: Closing, seconds: float | None
) -> None:
    """Who waits for little waits a quarter of a second more, and then goes on."""
    bucket = seaweed_server.make_bucket()
    patient = {"timeout": 3600, "endpoint_url": proxy.url}
    store = closing(seaweed_server.store(bucket, **patient))
    content = os.urandom(200_000)
    store.put(KEY, Body.of(content))
    proxy.drip = (150_000, 3600)

    with contextlib.ExitStack() as stack:
        if seconds is not None:
            stack.enter_context(deadline(seconds))
        file = stack.enter_context(store.get_file(*KEY))
        assert file.read(10) == content[:10]
        proxy.drip = None
        assert file.read() == content[10:]


def test_who_has_no_time_for_a_small_body_is_told_so_at_once(
    far: S3Store, proxy: Proxy
) -> None:
    """And not whoever reads it later, who may have all the time."""
    far.put(KEY, Body.of(bytes(200_000)))
    proxy.drip = (100_000, 3600)

    with pytest.raises(DeadlineError), deadline(0.2):
        far.get(KEY)


class Dripping:
    """A response that brings a byte every ten milliseconds, and notes its timeouts."""

    closed = False

    def __init__(self) -> None:
        self.timeouts: list[float] = []
        self._never = threading.Event()

    def __enter__(self) -> Dripping:
        return self

    def set_socket_timeout(self, seconds: float) -> None:
        """Note it."""
        self.timeouts.append(seconds)

    def read1(self, size: int) -> bytes:
        """Return one."""
        self._never.wait(0.01)
        return b"x"

    read = read1


def test_what_drips_is_handed_on_with_all_the_patience_it_had() -> None:
    """Little is waited for in one go only if it comes soon."""
    dripping = Dripping()
    download = Download({"Body": dripping}, 1000, 30.0, lambda error: None)

    assert download.soon() is None
    assert dripping.timeouts == [30.0, 0.25]
    came = 0
    while dripping.timeouts[-1] != 30.0:
        came += len(download.read(1))
    assert 0 < came < 1000
    assert dripping.timeouts == [30.0, 0.25, 30.0]


@by_either
def test_a_body_opened_again_is_the_same_version(far: S3Store) -> None:
    """Or a conflict, if that is gone."""
    far.put(KEY, Body.of(b"old" * 100_000))
    body = far.get(KEY)
    assert body.read() == b"old" * 100_000
    assert body.read() == b"old" * 100_000

    for overtake in (lambda: far.put(KEY, Body.of(b"new")), lambda: far.delete(KEY)):
        overtake()

        with pytest.raises(ConflictError):
            body.read()


def test_a_server_that_ignores_what_it_is_asked_is_noticed(closing: Closing) -> None:
    """Row 20: some know neither If-Match nor Range, and answer with something."""
    tagged = {"ETag": '"one"'}
    for second in (
        Answer(200, bytes(MIB), tagged),  # all, where a part was asked for
        Answer(206, bytes(MIB - 5), {"ETag": '"two"'}),
    ):
        first = Answer(200, bytes(MIB), tagged)
        _, store = stub_store(closing, {"GET": [first, second]})

        with pytest.raises(ConflictError), store.get(KEY).open(5) as file:
            file.read()


def test_a_server_without_versions_is_read_once(closing: Closing) -> None:
    """What cannot be pinned is not asked for again."""
    _, store = stub_store(closing, {"GET": [Answer(200, bytes(MIB))]})
    body = store.get(KEY)

    assert body.read() == bytes(MIB)
    with pytest.raises(ConflictError):
        body.read()


def test_a_body_that_ends_early_is_noticed(closing: Closing) -> None:
    """A prefix is not the object."""
    short = Answer(200, b"cont", {"Content-Length": "7", "Connection": "close"})
    _, store = stub_store(closing, {"GET": [short]})

    with pytest.raises(StoreError):
        store.get(KEY).read()


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
def test_a_bit_that_flips_on_the_way_is_noticed(
    seaweed_server: S3Server, proxy: Proxy, closing: Closing, checksums: str
) -> None:
    """If the object was stored with a checksum and this store asks for it."""
    store = closing(
        seaweed_server.store(
            seaweed_server.make_bucket(), endpoint_url=proxy.url, checksums=checksums
        )
    )
    with seaweed_server.store(store.bucket) as near:
        near.put(KEY, Body.of(bytes(300_000)))
    assert store.get(KEY).read() == bytes(300_000)
    proxy.flip_answer = 200_000

    if checksums == "when_supported":
        with pytest.raises(CorruptError):
            store.get(KEY).read()
    else:
        assert store.get(KEY).read() != bytes(300_000)


@pytest.mark.timeout(55)
def test_a_server_that_hangs_in_the_middle_of_a_body_is_an_outage(
    seaweed_server: S3Server, proxy: Proxy, closing: Closing
) -> None:
    """After the store's own timeout, if the caller is in no hurry."""
    bucket = seaweed_server.make_bucket()
    store = closing(seaweed_server.store(bucket, endpoint_url=proxy.url, timeout=0.2))
    until(lambda: succeeds(lambda: store.put(KEY, Body.of(bytes(MIB)))))
    files: list[io.BufferedIOBase] = []

    def begun() -> None:
        proxy.drip = (100_000, 3600)
        files.append(closing(store.get_file(*KEY)))
        assert len(files[-1].read(10)) == 10

    until(lambda: succeeds(begun))
    proxy.drip = (1, 3600)  # nor does anybody who asks again get more
    with pytest.raises(UnavailableError) as raised:
        files[-1].read()

    assert not isinstance(raised.value, DeadlineError)


@pytest.mark.timeout(55)
@by_either
def test_bytes_that_drip_are_bounded_by_the_callers_time(
    far: S3Store, proxy: Proxy
) -> None:
    """No wait for a single byte is long; all of them together would take minutes."""
    far.put(KEY, Body.of(bytes(MIB)))
    proxy.drip = (64, 0.02)

    with pytest.raises(DeadlineError), deadline(0.5):
        far.get(KEY).read()


@pytest.mark.timeout(55)
def test_a_body_fetched_in_a_hurry_may_be_read_at_leisure(
    far: S3Store, proxy: Proxy
) -> None:
    """The deadline it was fetched under is not left on its connection."""
    far.put(KEY, Body.of(bytes(MIB)))
    for seconds in longer_and_longer(0.3):
        asked = len(proxy.requests)
        with contextlib.suppress(DeadlineError), deadline(seconds):
            body = far.get(KEY)
            break
    proxy.drip = (400 * 1024, max(0.5, 1.5 * seconds))

    assert len(body.read()) == MIB

    assert len(proxy.requests) == asked + 1


@pytest.mark.timeout(55)
@by_either
def test_a_body_fetched_at_leisure_may_be_read_in_a_hurry(
    far: S3Store, proxy: Proxy
) -> None:
    """The deadline it is read under counts, not the patience of the store."""
    far.put(KEY, Body.of(bytes(MIB)))
    proxy.drip = (400_000, 3600)

    with far.get_file(*KEY) as file:
        file.read(10)
        with pytest.raises(DeadlineError), deadline(0.3):
            file.read()


# -- connections ---------------------------------------------------------------


def test_a_body_that_was_read_gives_its_connection_back(
    far: S3Store, proxy: Proxy
) -> None:
    """One thread needs one connection."""
    for size in (0, 1, 100_000, MIB):
        far.put(KEY, Body.of(bytes(size)))
        assert far.get(KEY).read() == bytes(size)
        with far.get_file(*KEY) as file:
            assert len(file.read(size)) == size
        far.stat(KEY)

    assert proxy.connections == 1


def test_a_body_that_was_abandoned_closes_its_connection(
    far: S3Store, proxy: Proxy
) -> None:
    """Unread, half read, or never opened."""
    far.put(KEY, Body.of(bytes(MIB)))
    for _ in range(20):
        far.get(KEY)
        far.get_file(*KEY)
    until(lambda: proxy.open <= 1)

    files = [far.get_file(*KEY) for _ in range(20)]
    for number, file in enumerate(files):
        file.read(10 * number)
        file.close()
    until(lambda: proxy.open <= 1)


def test_closing_a_download_closes_its_connection(far: S3Store, proxy: Proxy) -> None:
    """At once, and not when somebody collects the garbage."""
    far.put(KEY, Body.of(bytes(MIB)))
    body = far.get(KEY)
    downloads = [body._ask(number) for number in range(3)]  # type: ignore[attr-defined]
    assert proxy.open >= 3

    for download in downloads:
        download.read(10)
        download.close()

    until(lambda: proxy.open <= 1)


def test_a_closed_store_is_not_asked_by_its_bodies(far: S3Store) -> None:
    """What was not read before is not read any more: a bug, and no outage."""
    far.put(KEY, Body.of(bytes(MIB)))
    body = far.get(KEY)
    assert body.read() == bytes(MIB)

    far.close()

    with pytest.raises(ValueError, match="closed"):
        body.read()


def test_closing_a_store_closes_its_connections(far: S3Store, proxy: Proxy) -> None:
    """All that nobody reads from."""
    far.put(KEY, Body.of(b"x"))
    assert proxy.open == 1

    far.close()

    until(lambda: proxy.open == 0)


def test_a_fork_shares_no_connection(seaweed_server: S3Server, proxy: Proxy) -> None:
    """Parent and child read on, each over a connection of its own."""
    bucket = seaweed_server.make_bucket()
    script = """
import os, sys, warnings
from tiered_store.backends.s3 import S3Store
from tiered_store.body import Body
from tiered_store.key import Key

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
key = Key("testing", 1, 2, 3, "image/png")
content = bytes(range(256)) * 12000
store = S3Store(sys.argv[1], sys.argv[2], sys.argv[3], endpoint_url=sys.argv[4])
store.put(key, Body.of(content))
file = store.get_file(*key)
start = file.read(1000)
store.stat(key)  # over a second connection, which waits for its next use
child = os.fork()
whole = start + file.read() == content and store.get(key).read() == content
store.close()
file.close()
if not child:
    os._exit(not whole)
_, status = os.waitpid(child, 0)
sys.exit(not whole or status)
"""
    done = subprocess.run(
        [
            *(sys.executable, "-c", script, bucket),
            *(seaweed_server.access_key, seaweed_server.secret_key, proxy.url),
        ],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert proxy.connections == 3  # the child has one of its own


def test_a_fork_at_the_wrong_moment_does_not_hang_the_child() -> None:
    """Another thread may be making a client just then."""
    script = """
import os
from tiered_store.backends.s3 import S3Store, client
from tiered_store.key import Key

store = S3Store("images", "known", "secret")
with client._sdk._lock, store._client._lock:
    child = os.fork()
    if not child:
        store.url(Key("testing", 1, 2, 3, "image/png"))
        os._exit(0)
    os.waitpid(child, 0)
"""
    command = [sys.executable, "-c", script]

    subprocess.run(command, cwd=ROOT, timeout=30, check=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_tls_is_spoken_and_checked(
    seaweed_server: S3Server,
    closing: Closing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    """By the authorities that boto3 believes; a stranger's certificate is refused."""
    import ssl

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    proxy = closing(Proxy(seaweed_server.ports[0], context))
    bucket = seaweed_server.make_bucket()
    content = os.urandom(MIB)

    patient = {"timeout": 30.0, "connect_timeout": 30.0}
    options = {"endpoint_url": proxy.url, "engine": engine, **patient}
    stranger = closing(seaweed_server.store(bucket, **options))
    with pytest.raises(MisconfiguredError):
        stranger.get(KEY)

    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    for checksums in ("when_supported", "when_required"):
        store = closing(seaweed_server.store(bucket, checksums=checksums, **options))
        store.put(KEY, Body.of(content))
        store.put(OTHER, Body.of(content * 17))
        assert store.get(KEY).read() == content
        assert store.get(OTHER).read() == content * 17


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["localhost", "example.com"])
def test_a_certificate_that_does_not_fit_is_refused(
    closing: Closing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: Any,
    name: str,
) -> None:
    """By whoever it was given; it is the same the next time, and nothing was asked."""
    import ssl

    authority, over = trustme.CA(), datetime.datetime(2020, 1, 1)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert(
        name, not_after=over if name == "localhost" else None
    )
    certificate.configure_cert(context)
    nobody = closing(Proxy(1, context))
    options = {"region": "x", "endpoint_url": nobody.url, "engine": engine}
    store = closing(S3Store("bucket", "a", "b", timeout=60, **options))

    with pytest.raises(MisconfiguredError) as raised:
        store.get(KEY)

    assert (raised.value.retryable, raised.value.ambiguous) == (False, False)
    assert not nobody.requests


def test_threads_share_one_client(moto_server: S3Server, closing: Closing) -> None:
    """Made once, whoever comes first."""
    from concurrent.futures import ThreadPoolExecutor

    store = closing(moto_server.store(moto_server.make_bucket()))
    with ThreadPoolExecutor(8) as threads:
        clients = list(threads.map(lambda _: store._client._client(), range(8)))

    assert len({id(client) for client in clients}) == 1


# -- conformance ---------------------------------------------------------------


class TestMotoConformance(StoreConformance):
    @pytest.fixture
    def store(self, moto_server: S3Server) -> Iterator[Store]:
        with moto_server.store(moto_server.make_bucket()) as store:
            yield store


class TestSeaweedConformance(StoreConformance):
    @pytest.fixture
    def store(
        self,
        seaweed_server: S3Server,
        shared_buckets: dict[str, str],
        request: pytest.FixtureRequest,
    ) -> Iterator[Store]:
        """A corner of a bucket: a new bucket takes SeaweedFS a quarter of a second."""
        if "seaweed" not in shared_buckets:
            shared_buckets["seaweed"] = seaweed_server.make_bucket()
        corner = f"corner-{len(request.node.name)}-{time.monotonic_ns()}"
        with seaweed_server.store(shared_buckets["seaweed"], prefix=corner) as store:
            yield store


def test_a_put_over_a_thin_line_ends_by_the_deadline() -> None:
    """Though every piece of it leaves in time; it does not go on behind, either."""
    size, came = 7_500_000, 0
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)

    def swallow() -> None:
        nonlocal came
        connection, _ = listening.accept()
        with connection:
            while piece := connection.recv(32_768):
                came += len(piece)
                threading.Event().wait(0.02)

    server = threading.Thread(target=swallow, daemon=True)
    server.start()
    endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
    store = S3Store(
        "b", access_key="a", secret_key="b", endpoint_url=endpoint, connect_timeout=10
    )
    store._client._client()  # which is made before the time runs

    with listening, store:
        with deadline(1.5), pytest.raises(DeadlineError):
            store.put(KEY, Body.of(bytes(size)))
        server.join(30)

    assert came < size
