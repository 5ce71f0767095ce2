"""Stores that other people wrote."""

from __future__ import annotations

import errno
import io
import urllib.error

from email.message import Message

import pytest

from botocore.exceptions import ClientError, EndpointConnectionError
from redis.exceptions import AuthenticationError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError

from tiered_store import errors
from tiered_store.body import Body
from tiered_store.errors import (
    DeniedError,
    FullError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    UnavailableError,
    UnsupportedError,
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


class OwnError(OSError):
    """An author's own; without a number nothing is known of it."""


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
        (AuthenticationError("who?"), DeniedError),
        (OutOfMemoryError("OOM command not allowed"), FullError),
        (
            ReadOnlyError("You can't write against a read only replica."),
            errors.ReadOnlyError,
        ),
        (http(403), DeniedError),
        (http(500), UnavailableError),
        (urllib.error.URLError("no route"), UnavailableError),
        (OSError(errno.ENOSPC, "full"), FullError),
        (PermissionError(errno.EACCES, "no"), DeniedError),
        (TimeoutError("timed out"), UnavailableError),
        (TimeoutError(), UnavailableError),
        (ConnectionError(), UnavailableError),
        (OwnError("broken"), UnavailableError),
        (OwnError(errno.ENOENT, "gone"), NotFoundError),
        (io.UnsupportedOperation("read"), UnavailableError),
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


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "no such file"),
        OSError(errno.ENOENT, "no such file"),
        OwnError(errno.ENOENT, "gone"),
        http(404),
        http(410),
        client("NoSuchKey", 404),
    ],
    ids=repr,
)
def test_absence_ends_a_delete_in_silence_and_a_put_in_an_error(error) -> None:
    """It is what a delete wants; a put that finds nothing has nowhere to go."""
    store = ForeignStore(Theirs(error))

    store.delete(KEY)
    with pytest.raises(MisconfiguredError, match="nowhere to put it") as raised:
        store.put(KEY, Body.of(b"x"))

    assert raised.value.__cause__ is error
    assert raised.value.failover


@pytest.mark.parametrize(
    "error",
    [
        OSError("something went wrong"),
        PermissionError(errno.EACCES, "no"),
        OSError(errno.EIO, "bad sector"),
        http(403),
        http(500),
        client("AccessDenied", 403),
        RedisConnectionError("refused"),
    ],
    ids=repr,
)
def test_a_delete_that_failed_is_told(error) -> None:
    """The object goes on being served."""
    with pytest.raises(StoreError) as raised:
        ForeignStore(Theirs(error)).delete(KEY)

    assert raised.value.__cause__ is error
    assert not isinstance(raised.value, NotFoundError)


class Given(Theirs):
    """Returns *file*, whatever it is."""

    def __init__(self, file: object) -> None:
        super().__init__()
        self.file = file

    def get_file(self, *values):
        return self.file


@pytest.mark.parametrize("file", [None, b"bytes", io.StringIO("text"), object()])
def test_what_is_no_file_is_a_bug_of_theirs(file) -> None:
    """No outage, and least of all an empty object."""
    with pytest.raises(TypeError, match="file must"):
        as_store(Given(file)).get(KEY)


def test_a_file_that_fails_while_it_is_read_is_no_absence() -> None:
    """Somebody began to answer; their file is closed all the same."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("no more")

    file = Failing(b"content")

    with pytest.raises(UnavailableError, match="no more"):
        as_store(Given(file)).get(KEY)

    assert file.closed


def test_their_file_may_change_once_it_was_returned(tmp_path) -> None:
    """A store that writes in place must not change what a reader has."""
    path = tmp_path / "file"
    path.write_bytes(b"old" * 1000)
    body = as_store(Given(path.open("rb"))).get(KEY)
    path.write_bytes(b"new" * 1000)

    assert body.read() == b"old" * 1000


def test_it_is_told_whether_an_object_can_be_made_again() -> None:
    """And reads the bytes from their beginning, each time it is asked."""
    told = []

    class Noting(Theirs):
        def put_file(self, file, *values) -> None:
            told.append((file.read(), *values))

    store = as_store(Noting())
    for reproducible in (True, False):
        store.put(KEY, Body.of(b"x"), reproducible)

    assert told == [(b"x", *KEY, True), (b"x", *KEY, False)]


def test_a_store_without_urls_says_so() -> None:
    """As the original asks of those that have none."""
    with pytest.raises(UnsupportedError, match="it has no URLs"):
        as_store(Theirs(NotImplementedError())).url(KEY)


def test_it_is_closed_if_it_can_be() -> None:
    """The contract knows nothing of it."""

    class Closing(Theirs):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    theirs = Closing()
    store = as_store(theirs)
    store.close()
    store.close()
    as_store(Theirs()).close()

    assert theirs.closed == 1


def test_a_store_of_ours_is_what_it_is() -> None:
    """Two parents of one store share it."""
    store = as_store(Theirs())

    assert as_store(store) is store


@pytest.mark.parametrize("kind", [Theirs, ForeignStore])
def test_a_class_is_no_store(kind) -> None:
    """It has the methods, and nobody to call them on."""
    with pytest.raises(TypeError, match="is a class"):
        as_store(kind)


def test_what_it_cannot_do_it_does_not_claim() -> None:
    """The contract has no listing; a size can be had by reading."""
    store = as_store(Theirs())
    store.put(KEY, Body.of(b"four"))

    assert store.capabilities() == {"put", "get", "url", "delete", "stat"}
    assert store.stat(KEY).size == 4
