"""Every rule of the kit can be broken, and then says by what: to authors of stores."""

from __future__ import annotations

import io
import re
import subprocess
import sys

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, BytesBody, Stat
from tiered_store.errors import InvalidError, NotFoundError, UnavailableError
from tiered_store.events import Operation
from tiered_store.key import Key
from tiered_store.testing.conformance import LEDGER, StoreConformance
from tiered_store.testing.conformance.verdict import expect, refused, shown


class Bad(MemoryStore):
    """A store that does what an author may get wrong, one thing at a time."""

    def __init__(self) -> None:
        super().__init__(base_url="https://bad/")


class Truncating(Bad):
    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        super()._put(key, BytesBody(body.read()[:-1]), reproducible)


class Keeping(Bad):
    """The first put wins."""

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        try:
            self._get(key)
        except NotFoundError:
            super()._put(key, body, reproducible)


class Rewinding(Bad):
    def put_file(self, file: Any, *values: Any, **named: Any) -> None:
        if file.seekable():
            file.seek(0)
        super().put_file(file, *values, **named)


class ReadingOnce(Bad):
    def put_file(self, file: Any, *values: Any, **named: Any) -> None:
        super().put_file(io.BytesIO(file.read(100_000)), *values, **named)


class Closing(Bad):
    def put_file(self, file: Any, *values: Any, **named: Any) -> None:
        super().put_file(file, *values, **named)
        file.close()


class HalfWritten(Bad):
    def put_file(self, file: Any, *values: Any, **named: Any) -> None:
        content = b""
        try:
            while piece := file.read(10):
                content += piece
        finally:
            super().put_file(io.BytesIO(content), *values, **named)


class NothingIsAbsent(Bad):
    def _get(self, key: Key) -> Body:
        body = super()._get(key)
        if not body.size:
            raise NotFoundError("empty")
        return body


class Texting(Bad):
    def put_file(self, file: Any, *values: Any, **named: Any) -> None:
        content = file.read()
        content = content.encode() if isinstance(content, str) else content
        super().put_file(io.BytesIO(content), *values, **named)


class Dropping(Bad):
    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        if not reproducible:
            super()._put(key, body, reproducible)


class Inventing(Bad):
    def _get(self, key: Key) -> Body:
        try:
            return super()._get(key)
        except NotFoundError:
            return Body.of(b"placeholder")


class Unavailing(Bad):
    def _get(self, key: Key) -> Body:
        try:
            return super()._get(key)
        except NotFoundError:
            raise UnavailableError("HTTP 404") from None


class Unseekable(io.BytesIO):
    def seek(self, offset: int, whence: int = 0) -> int:
        return super().seek(0)


class Serving(Bad):
    """Opens files of another kind."""

    def __init__(self, kind: Callable[[bytes], Any]) -> None:
        super().__init__()
        self.kind = kind

    def get_file(self, *values: Any) -> Any:
        return self.kind(self.get(Key(*values)).read())


class Sharing(Bad):
    """One file for all readers of an object."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[Any, Any] = {}

    def get_file(self, *values: Any) -> Any:
        return self.files.setdefault(values, super().get_file(*values))


class Splicing(Bad):
    """Reads go on in whatever is there now."""

    def get_file(self, *values: Any) -> Any:
        store, file = self, io.BytesIO()

        class Spliced(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                content = store.get(Key(*values)).read()
                start = file.tell()
                end = len(content) if size is None or size < 0 else start + size
                file.write(content[start:end])
                return content[start:end]

        return Spliced()


class Reopening(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        return b"" if self.closed else super().read(size)


class OneShot(BytesBody):
    def open(self, offset: int = 0) -> Any:
        return super().open(0)


class Offsetless(Bad):
    def _get(self, key: Key) -> Body:
        return OneShot(super()._get(key).read())


class Limited(Bad):
    """A pool of ten connections that bodies hold."""

    gone = 0

    def _get(self, key: Key) -> Body:
        self.gone += 1
        if self.gone > 10:
            raise UnavailableError("no connection is free")
        return super()._get(key)


class Undeletable(Bad):
    def _delete(self, key: Key) -> None:
        self._get(key)


class LoudlyDeleting(Bad):
    def delete_file(self, *values: Any) -> None:
        self.get_file(*values)
        super().delete_file(*values)


class Sweeping(Bad):
    def _delete(self, key: Key) -> None:
        for each in list(self.keys(key.object_type)):
            super()._delete(each)


class Misjudging(Bad):
    def _stat(self, key: Key) -> Stat:
        try:
            return Stat(size=super()._stat(key).size * 2)
        except NotFoundError:
            return Stat(size=0)


class Torn(Bad):
    """Half of the last object before the one that is put."""

    def __init__(self) -> None:
        super().__init__()
        self.last = b""

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        content = body.read()
        mixed = self.last[:10_000] + content[10_000:] if self.last else content
        self.last = content
        super()._put(key, BytesBody(mixed), reproducible)


class OneObject(Bad):
    """All objects of a type are one."""

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        super()._put(key._replace(object_id=0), body, reproducible)

    def _get(self, key: Key) -> Body:
        return super()._get(key._replace(object_id=0))


class Quiet(Bad):
    def get_file(self, *values: Any) -> Any:
        try:
            return super().get_file(*values)
        except NotFoundError:
            raise NotFoundError("none") from None


class Deaf(Bad):
    def emit(self, event: Any) -> None:
        if not (isinstance(event, Operation) and event.outcome == "absent"):
            super().emit(event)


class Undying(Bad):
    def close(self) -> None:
        """Go on."""


class Linking(Bad):
    def _url(self, key: Key) -> str:
        return "images/current"


class Cleaning(Bad):
    """Refuses what a stranger may call a type, and takes what nobody may."""

    def put_file(self, file: Any, *values: Any, **named: Any) -> None:
        kind, number, *rest = values
        if "?" in str(kind):
            raise InvalidError("only plain names")
        safe = re.sub(r"[^\w.-]", "_", kind) or "none"
        mimetype = re.sub(r"[^\w./+-]", "", rest[2]) or "image/png"
        super().put_file(file, safe, number, *rest[:2], mimetype, *rest[3:], **named)


class ByExtension(Bad):
    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        super()._put(self.named(key), body, reproducible)

    def _get(self, key: Key) -> Body:
        return super()._get(self.named(key))

    def named(self, key: Key) -> Key:
        unknown = key.mimetype.startswith("application/x-")
        return key._replace(mimetype="application/x-bin") if unknown else key


class Lenient(Bad):
    def get_file(self, *values: Any) -> Any:
        return super().get_file(*(1 if value is None else value for value in values))


class Forgetful(Bad):
    """Lists one of the first letters only, twice."""

    def _keys(self, prefix: str) -> Iterator[Key]:
        listed = list(super()._keys(prefix[:1]))
        yield from [*listed[:-1], *listed[:1]] if not prefix else listed


class Imageless(Bad):
    def open(self, image: Any, use_seek: bool = False) -> Any:
        return io.BytesIO(b"broken image")


class Timeless(Bad):
    def locate(self, image: Any) -> str:
        return self.get_url(*Key.of(image))


BROKEN: dict[str, tuple[Callable[[], Bad], str]] = {
    "C-PUT-01": (
        Truncating,
        "get of testing/1234/405x640 (image/jpeg) after its put: expected 279 bytes, "
        "b'first li'..., got 278 bytes, b'first li'...; the last 1 are missing",
    ),
    "C-PUT-02": (Keeping, "expected b'short', got 279 bytes, b'first li'...; "),
    "C-PUT-03": (Rewinding, "stood at byte 6: expected 279 bytes, b'first li'..., got"),
    "C-PUT-04": (ReadingOnce, "got b'first l'; the last 272 are missing"),
    "C-PUT-05": (Closing, "the caller's file is closed after its put: expected False"),
    "C-PUT-06": (HalfWritten, "expected b'old', got 42 bytes, b'first li'...; from"),
    "C-PUT-07": (HalfWritten, "expected NotFoundError, got a file of 42 bytes"),
    "C-PUT-08": (NothingIsAbsent, "expected b'', got NotFoundError ("),
    "C-PUT-09": (ReadingOnce, "expected 5,242,881 bytes, b'\\x00\\x01"),
    "C-PUT-10": (ReadingOnce, "got 100,000 bytes, b'\\x00\\x01"),
    "C-PUT-11": (Rewinding, "stood at byte 7: expected 279 bytes, b'first li'..., got"),
    "C-PUT-12": (Texting, "put of a file of text: expected TypeError, got no error"),
    "C-PUT-13": (Dropping, "with reproducible=True: expected 279 bytes"),
    "C-GET-01": (Inventing, "expected NotFoundError, got a file of b'placeholder'"),
    "C-GET-02": (lambda: Serving(Unseekable), "seek(4): expected 4, got 0"),
    "C-GET-03": (Sharing, "another reader, opened then: expected 279 bytes"),
    "C-GET-04": (Splicing, "from byte 10 on they differ: expected b'oooooooo', got"),
    "C-GET-05": (lambda: Serving(Reopening), "expected ValueError, got b''"),
    "C-GET-06": (Offsetless, "opened at byte 11: expected 268 bytes"),
    "C-GET-07": (Limited, "no connection is free"),
    "C-DEL-01": (Undeletable, "which was deleted: expected NotFoundError, got a file"),
    "C-DEL-02": (LoudlyDeleting, "testing/1234/405x640"),
    "C-DEL-03": (Sweeping, "(image/jpeg): expected b'other', got NotFoundError ("),
    "C-STAT-01": (Misjudging, "(image/jpeg): size: expected 279, got 558"),
    "C-STAT-02": (Misjudging, "expected NotFoundError, got Stat(size=0, "),
    "C-CON-01": (Torn, "none of what was put; from byte 10,000 on they differ"),
    "C-CON-02": (OneObject, "by their numbers: expected [b'0', b'1', "),
    "C-ERR-01": (Quiet, "names the object: expected True, got False"),
    "C-OBS-01": (
        Deaf,
        "is told to listeners, which heard [('put', 'ok', 279)]: exp",
    ),
    "C-LIFE-01": (Undying, "get after close(): expected ValueError, got NotFoundError"),
    "C-URL-01": (Linking, "'images/current' is absolute: expected True, got False"),
    "C-URL-02": (Linking, "which are ['images/current']: expected 2, got 1"),
    "C-KEY-01": (Cleaning, "only plain names"),
    "C-KEY-02": (Cleaning, "put of ('../escape', 1, 1, 1, 'image/png'): expected Inv"),
    "C-KEY-03": (
        ByExtension,
        "expected b'one', got b'two'; from byte 0 on they",
    ),
    "C-KEY-04": (Lenient, "get of object_id=None: expected TypeError, got NotFound"),
    "C-KEYS-01": (Forgetful, "keys(): what is left out: expected [], got [Key("),
    "C-KEYS-02": (Forgetful, "expected ['comics.cover', 'comics.page'], got ['comic',"),
    "C-IMG-01": (Imageless, "got b'broken image'; from byte 0 on they differ"),
    "C-IMG-02": (Timeless, "locate(image): expected 'https://bad/testing/1234/"),
}


def rules() -> dict[str, Any]:
    """Return every rule of the suite, by its identifier."""
    tests = (getattr(StoreConformance, name) for name in dir(StoreConformance))
    marked = {getattr(test, "rule", None): test for test in tests if callable(test)}
    return {name: test for name, test in marked.items() if name is not None}


RULES = rules()


@pytest.fixture(autouse=True)
def _apart() -> Iterator[None]:
    """What is tried here is no account of stores that anybody uses."""
    before = dict(LEDGER.tried), dict(LEDGER.waived)
    yield
    LEDGER.tried, LEDGER.waived = before


def test_every_rule_has_a_store_that_breaks_it() -> None:
    """A rule that nothing can break protects nobody."""
    assert RULES.keys() == BROKEN.keys()


@pytest.mark.parametrize("identifier", BROKEN)
def test_a_broken_rule_says_by_what(identifier: str, tmp_path: Path) -> None:
    """What was expected, what came, where they part; which rule, and its reason."""
    make, words = BROKEN[identifier]
    test = RULES[identifier]
    given: dict[str, Any] = {"store": make()}
    for mark in getattr(test, "pytestmark", ()):
        name, values = mark.args
        given[name] = values[6] if identifier == "C-KEY-01" else values[0]
    if identifier == "C-PUT-11":
        given["tmp_path"] = tmp_path

    with pytest.raises(Exception) as raised:
        test(StoreConformance(), **given)

    assert words in str(raised.value)
    [note] = raised.value.__notes__
    assert note.startswith(f"{identifier} is broken by <")
    assert note.endswith(" ".join(test.__doc__.split()))


def test_a_verb_that_is_not_declared_must_refuse() -> None:
    """Else it would work by luck, untested."""

    class Modest(Bad):
        def capabilities(self) -> Any:
            return super().capabilities() - {"stat"}

        def _stat(self, key: Key) -> Stat:
            return Stat(size=1)

    with pytest.raises(AssertionError, match="stat is not among its capabilities"):
        RULES["C-STAT-02"](StoreConformance(), Modest())


def test_what_is_shown_is_short() -> None:
    """Whatever came."""
    assert shown(bytes(5_000_000)) == f"5,000,000 bytes, {bytes(8)!r}..."
    assert shown(io.BytesIO(b"x")) == "a file of b'x'"
    assert len(shown([bytes(100)] * 100)) <= 60
    assert shown(None) == "no error"


def test_another_error_is_named_and_kept() -> None:
    """It is the cause, so that its traceback is shown."""
    bug = ZeroDivisionError("of mine")

    def call() -> None:
        raise bug

    with pytest.raises(AssertionError, match=r"got ZeroDivisionError \(of m") as raised:
        refused(TypeError, call, "get")
    assert raised.value.__cause__ is bug
    with pytest.raises(AssertionError, match="size: expected 1, got 2"):
        expect(2, 1, "size")


BROKEN_CONTROL = """
import pytest

from tiered_store.control.control import Control
from tiered_store.control.file import FileControl
from tiered_store.testing.controls import ControlConformance
from tiered_store.testing.journals import JournalConformance

assert JournalConformance


class Forgetful(FileControl):
    def _swap(self, *args, **kwargs):
        return True


class TestForgetful(ControlConformance):
    @pytest.fixture
    def make(self, tmp_path):
        return lambda: Forgetful(tmp_path / "decisions")
"""


def test_suites_that_assert_show_values_as_well(tmp_path: Path) -> None:
    """Where the package is installed pytest takes no assertion apart unasked."""
    (tmp_path / "test_forgetful.py").write_text(BROKEN_CONTROL)
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")

    ran = subprocess.run(
        [*command, "test_forgetful.py", "-k", "replaces"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ran.returncode == 1
    assert "assert {'us': 'isolate'} == {" in ran.stdout
