"""A sandbox over production."""

from __future__ import annotations

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import (
    DeniedError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from tiered_store.foreign import ForeignStore
from tiered_store.key import Key
from tiered_store.testing.faults import FaultStore
from tiered_store.wrappers.overlay import OverlayStore
from tiered_store.wrappers.readonly import ReadOnlyStore


KEY = Key("testing", 1, 2, 3, "image/jpeg")
OTHER = KEY._replace(object_id=2)


class Sandbox:
    """Yours above, production below with one object in it."""

    def __init__(self, **options) -> None:
        self.above = FaultStore(MemoryStore(base_url="https://above/"))
        self.below = FaultStore(MemoryStore(base_url="https://below/"))
        self.below.child.put(KEY, Body.of(b"production"))
        self.store = OverlayStore(self.above, ReadOnlyStore(self.below), **options)

    def absent(self, key: Key = KEY) -> bool:
        try:
            self.store.get(key)
        except NotFoundError:
            return True
        return False


def test_what_is_not_above_is_read_from_below() -> None:
    """Production shows through."""
    assert Sandbox().store.get(KEY).read() == b"production"


def test_what_is_put_goes_above_alone() -> None:
    """Production is never written."""
    sandbox = Sandbox()

    sandbox.store.put(KEY, Body.of(b"mine"))

    assert sandbox.store.get(KEY).read() == b"mine"
    assert sandbox.below.child.get(KEY).read() == b"production"
    assert sandbox.below.calls["put"] == 0


def test_what_is_deleted_is_gone_although_it_is_below() -> None:
    """The mark hides it, for another process as well."""
    sandbox = Sandbox()

    sandbox.store.delete(KEY)

    assert sandbox.absent()
    again = OverlayStore(sandbox.above, sandbox.below)
    with pytest.raises(NotFoundError):
        again.get(KEY)
    with pytest.raises(NotFoundError):
        again.stat(KEY)
    assert sandbox.below.child.get(KEY).read() == b"production"


def test_a_put_after_a_delete_is_seen() -> None:
    """The object above outranks its mark."""
    sandbox = Sandbox()
    sandbox.store.delete(KEY)

    sandbox.store.put(KEY, Body.of(b"mine"))

    assert sandbox.store.get(KEY).read() == b"mine"


def test_the_mark_is_written_first() -> None:
    """A delete that dies half way never lets production show through."""
    sandbox = Sandbox()
    sandbox.store.put(KEY, Body.of(b"mine"))
    sandbox.above.fail("delete", after_apply=True)

    with pytest.raises(UnavailableError):
        sandbox.store.delete(KEY)

    assert sandbox.absent()


def test_a_mark_that_cannot_be_written_fails_the_delete() -> None:
    """Nothing has happened then, and the caller knows."""
    sandbox = Sandbox()
    sandbox.store.put(KEY, Body.of(b"mine"))
    sandbox.above.fail("put")

    with pytest.raises(UnavailableError):
        sandbox.store.delete(KEY)

    assert sandbox.store.get(KEY).read() == b"mine"


def test_an_outage_above_never_reads_through() -> None:
    """It might have been changed or deleted there."""
    sandbox = Sandbox()
    sandbox.store.put(KEY, Body.of(b"mine"))
    sandbox.above.fail("get")

    with pytest.raises(UnavailableError):
        sandbox.store.get(KEY)


def test_an_outage_while_looking_for_the_mark_never_reads_through() -> None:
    """Absent above and a mark that cannot be looked for is not "look below"."""
    sandbox = Sandbox()
    sandbox.store.delete(KEY)
    sandbox.above.fail("stat")

    with pytest.raises(UnavailableError):
        sandbox.store.get(KEY)


def test_keys_are_those_a_reader_would_see() -> None:
    """Each once; marks are not objects, and what they hide is not listed."""
    sandbox = Sandbox()
    sandbox.below.child.put(OTHER, Body.of(b"x"))
    mine = KEY._replace(object_id=3)
    sandbox.store.put(mine, Body.of(b"x"))
    sandbox.store.put(OTHER, Body.of(b"x"))
    sandbox.store.delete(KEY)

    assert sorted(sandbox.store.keys()) == [OTHER, mine]


def test_urls_follow_what_this_process_has_put() -> None:
    """Without asking anybody; the rest is production's."""
    sandbox = Sandbox()
    sandbox.store.put(OTHER, Body.of(b"x"))
    asked = sandbox.above.calls["get"] + sandbox.above.calls["stat"]

    assert sandbox.store.url(KEY).startswith("https://below/")
    assert sandbox.store.url(OTHER).startswith("https://above/")
    assert sandbox.above.calls["get"] + sandbox.above.calls["stat"] == asked


def test_urls_can_be_looked_up() -> None:
    """For whoever prefers a request to a broken picture after a restart."""
    sandbox = Sandbox()
    sandbox.store.put(OTHER, Body.of(b"x"))
    again = OverlayStore(sandbox.above, sandbox.below, look=True)

    assert again.url(KEY).startswith("https://below/")
    assert again.url(OTHER).startswith("https://above/")


def test_nobody_can_write_a_mark() -> None:
    """Whoever chooses the mimetype must not be able to hide another object."""
    sandbox = Sandbox()
    mark = KEY._replace(mimetype="application/x-deleted+image/jpeg")

    with pytest.raises(InvalidError):
        sandbox.store.put(mark, Body.of(b""))

    assert sandbox.store.get(KEY).read() == b"production"


def test_a_delete_that_fails_half_way_may_have_happened() -> None:
    """Of what is only below the mark alone is enough; a cache above must know."""
    sandbox = Sandbox()
    sandbox.above.fail("delete", error=DeniedError("not yours"))

    with pytest.raises(DeniedError) as raised:
        sandbox.store.delete(KEY)

    assert raised.value.ambiguous
    assert sandbox.absent()


def test_it_lists_only_if_both_can() -> None:
    """Half of a list would be none of what a reader sees."""
    silent = ForeignStore(MemoryStore())

    assert "keys" not in OverlayStore(silent, MemoryStore()).capabilities()
    assert "keys" not in OverlayStore(MemoryStore(), silent).capabilities()
    assert {"keys", "delete"} <= OverlayStore(
        MemoryStore(), silent.foreign
    ).capabilities()
