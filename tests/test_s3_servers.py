"""
What S3 servers disagree on: nothing of it is assumed, over either engine and with TLS.

Every server that PyPI has a build of is tried; ``TIERED_STORE_S3``, such as
``http://access:secret@localhost:9000``, adds another.  What none of them does is
played by a stub.
"""

from __future__ import annotations

import base64
import os
import ssl
import urllib.request
import zlib

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import trustme

from tests.closing import Closing
from tests.servers.process import ServerProcess
from tests.servers.proxy import Proxy
from tests.servers.s3 import S3Server
from tests.servers.stub import Answer, StubServer
from tests.waiting import PATIENT, until
from tiered_store.backends.s3 import S3Store
from tiered_store.backends.s3.control import S3Control
from tiered_store.body import Body
from tiered_store.errors import (
    ConflictError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    RefusedError,
    StoreError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.key import Key
from tiered_store.units import MIB


pytestmark = pytest.mark.servers
PLAIN = pytest.mark.parametrize("proxy", ["http"], indirect=True)

KEY = Key("testing", 1234, 405, 640, "image/jpeg")
NAME = "testing/1234/405x640.jpe"
CONTENT = os.urandom(300_000)  # more than obstore reads at once
ANOTHER = os.environ.get("TIERED_STORE_S3")
Make = Callable[..., S3Store]


@pytest.fixture(
    scope="module", params=["moto", "seaweed", *([ANOTHER] * bool(ANOTHER))]
)
def server(request: pytest.FixtureRequest) -> S3Server:
    """One after the other."""
    if request.param != ANOTHER:
        return cast(S3Server, request.getfixturevalue(f"{request.param}_server"))
    parts = urlsplit(request.param)
    url = f"{parts.scheme}://{parts.hostname}:{parts.port}"
    access, secret = parts.username or "", parts.password or ""
    nobodys = cast(ServerProcess, None)
    return S3Server(url, access, secret, nobodys, (parts.port or 80,))


@pytest.fixture(scope="module")
def bucket(server: S3Server) -> str:
    """One for all, each test in a corner of its own."""
    return server.make_bucket()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Whom only these tests believe."""
    return trustme.CA()


@pytest.fixture(params=["http", "https"])
def proxy(
    request: pytest.FixtureRequest,
    server: S3Server,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Proxy]:
    """Before the server; boto3 sends its checksums in another way over TLS."""
    context = None
    if request.param == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    proxy = Proxy(server.ports[0], context)
    yield proxy
    proxy.close()


@pytest.fixture(params=["boto3", "obstore"])
def make(
    request: pytest.FixtureRequest,
    server: S3Server,
    bucket: str,
    proxy: Proxy,
    closing: Closing,
) -> Make:
    """Make a store behind the proxy, in a corner of its own."""
    corner = f"corner-{request.node.name}".translate({ord(c): "-" for c in "[]"})
    given = {"endpoint_url": proxy.url, "prefix": corner, **PATIENT}

    def make(bucket: str = bucket, **options: Any) -> S3Store:
        engine = {"engine": request.param}
        store = server.store(bucket, **{**given, **engine, **options})
        return cast(S3Store, closing(store))

    return make


def stored(server: S3Server, store: S3Store) -> bytes:
    """Return what the server has, asked by somebody else."""
    with server.client() as client:
        found = client.get_object(Bucket=store.bucket, Key=f"{store.prefix}/{NAME}")
        return cast(bytes, found["Body"].read())


def refusal(call: Callable[[], object]) -> StoreError | None:
    """Return how *call* failed, if it did."""
    try:
        call()
    except StoreError as error:
        return error
    return None


# -- 1: conditional puts -------------------------------------------------------


def control(server: S3Server, bucket: str, url: str, name: str) -> S3Control:
    keys = server.access_key, server.secret_key
    return S3Control(
        bucket, *keys, name=name, region="us-east-1", endpoint_url=url, **PATIENT
    )


def test_who_decides_on_what_has_changed_is_told(
    server: S3Server, bucket: str, proxy: Proxy, closing: Closing
) -> None:
    """That one of many at once wins is no promise here: moto and SeaweedFS let two."""
    name = f"decided-over-{urlsplit(proxy.url).scheme}"
    one, other = (closing(control(server, bucket, proxy.url, name)) for _ in range(2))
    for number in range(2):
        token = one._load()[1]
        assert token == other._load()[1]

        assert one._swap(b"%d" % number, token)
        assert not other._swap(b"overtaken", token)

        assert other._load()[0] == b"%d" % number


def test_a_server_that_ignores_conditions_is_not_trusted_with_decisions(
    closing: Closing,
) -> None:
    """The second of two operators would undo what the first decided, unseen."""
    stub = closing(StubServer({"*": [Answer(200, b"", {"ETag": '"one"'})]}))
    one = closing(S3Control("bucket", "a", "b", region="x", endpoint_url=stub.url))

    with pytest.raises(UnsupportedError, match=r"conditional writes.*type: redis"):
        one._swap(b"decided", None)

    assert not [path for _, path, _ in stub.requests if path.endswith(one.name)]


# -- 2: versions ---------------------------------------------------------------


def test_a_body_is_of_one_version(make: Make) -> None:
    """Pinned by an ETag without quotes, which all that know it take."""
    store = make()
    store.put(KEY, Body.of(CONTENT))
    body = store.get(KEY)
    assert body.read() == CONTENT
    assert body.read() == CONTENT  # asked for again

    for overtake in (
        lambda: store.put(KEY, Body.of(CONTENT[::-1])),
        lambda: store.delete(KEY),
    ):
        overtake()

        with pytest.raises(ConflictError):
            body.read()


# -- 3, 4, 10: checksums, and what is asked before a body ----------------------


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
@pytest.mark.parametrize("threshold", [8 * MIB, 0], ids=["whole", "parts"])
def test_what_is_stored_is_what_was_put(
    server: S3Server, make: Make, checksums: str, threshold: int
) -> None:
    """A server that does not know boto3's trailers stores them as well, or refuses."""
    content = CONTENT * 4  # of more than a MiB it is asked whether it is welcome
    store = make(checksums=checksums, multipart_threshold=threshold)

    store.put(KEY, Body.of(content))

    assert stored(server, store) == content
    assert store.get(KEY).read() == content


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
def test_a_part_can_be_read_of_what_has_a_checksum(make: Make, checksums: str) -> None:
    """Some tell that of the whole, which is none of the part's."""
    store = make(checksums=checksums)
    store.put(KEY, Body.of(CONTENT))

    with store.get(KEY).open(1000) as file:
        assert file.read() == CONTENT[1000:]


@pytest.mark.parametrize("engine", ["boto3", "obstore"])
def test_the_checksum_of_the_whole_is_none_of_a_part(
    closing: Closing, engine: Any
) -> None:
    """As several servers answer; what came is no other than what was asked for."""
    whole = base64.b64encode(zlib.crc32(CONTENT).to_bytes(4)).decode()
    told = {"ETag": '"one"', "x-amz-checksum-crc32": whole}
    ranged = {
        **told,
        "Content-Range": f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}",
        "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
    }
    first = Answer(200, CONTENT, {**told, "Last-Modified": ranged["Last-Modified"]})
    part = Answer(206, CONTENT[1000:], ranged)
    stub = closing(StubServer({"GET": [first, part]}))
    options = {"region": "us-east-1", "endpoint_url": stub.url, **PATIENT}
    store = closing(S3Store("bucket", "a", "b", engine=engine, **options))
    body = store.get(KEY)
    assert body.read() == CONTENT

    with body.open(1000) as file:
        assert file.read() == CONTENT[1000:]


# -- 5: what may have happened -------------------------------------------------


def test_a_put_without_an_answer_may_have_happened(
    server: S3Server, make: Make, proxy: Proxy
) -> None:
    """It is told as that; and here it has."""
    store = make()
    with pytest.raises(NotFoundError):
        store.get(KEY)  # connected
    proxy.cut_answer = 0

    with pytest.raises(UnavailableError) as raised:
        store.put(KEY, Body.of(CONTENT))

    assert raised.value.ambiguous
    until(lambda: proxy.cut_answer is None)
    assert store.get(KEY).read() == CONTENT


# -- 6: storage classes --------------------------------------------------------


@PLAIN
def test_a_storage_class_is_kept_or_refused(server: S3Server, make: Make) -> None:
    """An object is never said to be stored when it is not."""
    store = make(reproducible_storage_class="GLACIER_IR")

    failure = refusal(lambda: store.put(KEY, Body.of(CONTENT), reproducible=True))

    assert failure is None or isinstance(failure, RefusedError | InvalidError)
    if failure is None:
        assert stored(server, store) == CONTENT


@pytest.mark.parametrize("code", ["InvalidStorageClass", "InvalidArgument"])
def test_a_server_without_a_storage_class_says_so(closing: Closing, code: str) -> None:
    """A wrong word in a configuration is no wrong request of whoever puts."""
    text = f"<Error><Code>{code}</Code><Message>no such storage class</Message></Error>"
    stub = closing(StubServer({"*": [Answer(400, text.encode())]}))
    options = {"region": "us-east-1", "endpoint_url": stub.url, **PATIENT}
    store = closing(S3Store("bucket", "a", "b", storage_class="ODD", **options))

    with pytest.raises(StoreError, match="no such storage class") as raised:
        store.put(KEY, Body.of(b"x"))

    assert not raised.value.retryable


# -- 7: signatures of URLs -----------------------------------------------------


def test_a_signed_url_is_of_the_fourth_version(
    server: S3Server, bucket: str, closing: Closing
) -> None:
    """SDKs sign with the second for servers of one's own, which newer ones refuse."""
    store = closing(server.store(bucket, prefix="signed", **PATIENT))
    store.put(KEY, Body.of(CONTENT))

    url = store.url(KEY)

    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.read() == CONTENT


# -- 8: what is not there ------------------------------------------------------


@PLAIN
def test_a_missing_bucket_is_not_an_absent_object(make: Make) -> None:
    """Both are a 404, which a HEAD does not explain."""
    store, nowhere = make(), make("no-such-bucket")

    for ask in (store.get, store.stat):
        with pytest.raises(NotFoundError):
            ask(KEY)
    store.delete(KEY)
    for ask in (nowhere.get, nowhere.stat):
        with pytest.raises(MisconfiguredError, match="no-such-bucket"):
            ask(KEY)


# -- 9: names that are folders elsewhere ---------------------------------------


@PLAIN
def test_no_object_is_lost_to_the_name_of_another(make: Make) -> None:
    """Where objects are files, none can lie below one; some say so, some do not."""
    store = make()
    below = KEY._replace(object_type=NAME)  # testing/1234/405x640.jpe/1234/405x640.jpe
    for first, second in ((KEY, below), (below, KEY)):
        store.put(first, Body.of(b"first"))
        failure = refusal(lambda second=second: store.put(second, Body.of(b"second")))
        assert not isinstance(failure, NotFoundError)
        if failure is None:
            assert store.get(second).read() == b"second"
        assert store.get(first).read() == b"first"
        store.delete(second)
        assert store.get(first).read() == b"first"
        store.delete(first)


@PLAIN
@pytest.mark.parametrize("prefix", ["a//b", "a/./b", "a/../b", "a b/ü"])
def test_a_prefix_names_what_it_says_or_is_refused(make: Make, prefix: str) -> None:
    """A server, or an engine, that tidies names up must not mix two of them."""
    store, tidy = make(prefix=prefix), make(prefix=os.path.normpath(prefix))
    if tidy.prefix != store.prefix:
        tidy.put(KEY, Body.of(b"another"))

    failure = refusal(lambda: store.put(KEY, Body.of(CONTENT)))

    assert not isinstance(failure, NotFoundError)
    if failure is None:
        assert store.get(KEY).read() == CONTENT
        store.delete(KEY)
        with pytest.raises(NotFoundError):
            store.get(KEY)
