"""Stores that other people wrote."""

from __future__ import annotations

import errno
import io
import urllib.error

from email.message import Message

import pytest

from botocore.exceptions import ClientError, EndpointConnectionError
from redis.exceptions import ConnectionError as RedisConnectionError

from tiered_store.body import Body
from tiered_store.errors import (
    DeniedError,
    FullError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    UnavailableError,
)
from tiered_store.foreign import ForeignStore, as_store
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.conformance import StoreConformance
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.retry import RetryStore


KEY = Key("testing", 1, 2, 3, "image/png")


class Theirs:
    """Only the four methods, as the original's contract has them."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.objects: dict[tuple[object, ...], bytes] = {}
        self.error = error

    def put_file(self, file, *values) -> None:
        self._fail()
        self.objects[values[:5]] = file.read()

    def get_file(self, *values):
        self._fail()
        try:
            return io.BytesIO(self.objects[values])
        except KeyError:
            raise OSError("no such image") from None

    def get_url(self, *values) -> str:
        self._fail()
        return "https://theirs/{}/{}/{}x{}".format(*values)

    def delete_file(self, *values) -> None:
        self._fail()
        self.objects.pop(values, None)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


class TestForeign(StoreConformance):
    @pytest.fixture
    def store(self) -> Store:
        return as_store(Theirs())


def http(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("https://theirs/", status, "said so", Message(), None)


def client(code: str, status: int = 400) -> ClientError:
    answer = {
        "Error": {"Code": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "GetObject")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError(errno.ENOENT, "no such file"), NotFoundError),
        (OSError("no such image"), NotFoundError),
        (OSError(errno.ENOENT, "no such file"), NotFoundError),
        (http(404), NotFoundError),
        (http(410), NotFoundError),
        (client("NoSuchKey", 404), NotFoundError),
        (client("NoSuchBucket", 404), MisconfiguredError),
        (client("AccessDenied", 403), DeniedError),
        (client("InternalError", 500), UnavailableError),
        (EndpointConnectionError(endpoint_url="https://theirs/"), UnavailableError),
        (RedisConnectionError("refused"), UnavailableError),
        (http(403), DeniedError),
        (http(500), UnavailableError),
        (urllib.error.URLError("no route"), UnavailableError),
        (OSError(errno.ENOSPC, "full"), FullError),
        (PermissionError(errno.EACCES, "no"), DeniedError),
        (TimeoutError("timed out"), UnavailableError),
        (ConnectionResetError(errno.ECONNRESET, "reset"), UnavailableError),
    ],
    ids=lambda value: getattr(value, "__name__", str(value))[:40],
)
def test_what_a_get_raises_is_translated(error, kind) -> None:
    """Absence is told from outages and refusals; the original stays the cause."""
    with pytest.raises(kind) as raised:
        ForeignStore(Theirs(error)).get(KEY)

    assert type(raised.value) is kind
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [TypeError("x"), KeyError("x"), ZeroDivisionError()])
def test_a_bug_passes_through_untouched(error) -> None:
    """Nobody fails over on it, nobody hides it."""
    store = RetryStore(FallbackStore({"theirs": Theirs(error), "other": Theirs()}))

    with pytest.raises(type(error)) as raised:
        store.get(KEY)

    assert raised.value is error


@pytest.mark.parametrize("verb", ["put", "delete"])
def test_a_change_that_failed_without_a_number_is_no_silence(verb) -> None:
    """Only a get says "absent" by a bare OSError."""
    store = ForeignStore(Theirs(OSError("something went wrong")))

    with pytest.raises(StoreError) as raised:
        store.delete(KEY) if verb == "delete" else store.put(KEY, Body.of(b"x"))

    assert not isinstance(raised.value, NotFoundError)


def test_an_outage_fails_over() -> None:
    """Whatever SDK it comes from."""
    theirs = Theirs(EndpointConnectionError(endpoint_url="https://theirs/"))
    other = Theirs()
    other.objects[tuple(KEY)] = b"other"

    assert FallbackStore({"theirs": theirs, "other": other}).get(KEY).read() == b"other"


def test_what_lacks_a_method_is_no_store() -> None:
    """And it is said which."""
    with pytest.raises(TypeError, match="get_file, get_url, delete_file"):
        as_store(type("Half", (), {"put_file": lambda self: None})())  # type: ignore[arg-type]


def test_their_file_is_closed() -> None:
    """It has been copied by then."""
    theirs = Theirs()
    theirs.objects[tuple(KEY)] = b"content"
    opened = []
    get_file = theirs.get_file
    theirs.get_file = lambda *values: opened.append(get_file(*values)) or opened[-1]

    assert as_store(theirs).get(KEY).read() == b"content"
    assert opened[0].closed
