"""A shadow sees everything and changes nothing."""

from __future__ import annotations

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import ConfigError, DeniedError, NotFoundError
from tiered_store.events import Shadowed
from tiered_store.key import Key
from tiered_store.testing import FaultStore, Recorder
from tiered_store.tree import observe
from tiered_store.wrappers.shadow import ShadowStore


KEY = Key("comics.cover", 1, 30, 40, "image/png")
OTHER = KEY._replace(object_id=2)


class Stage:
    """A shadow store, what is in it, and what listeners heard."""

    def __init__(self, **options: float) -> None:
        self.child = FaultStore(MemoryStore(base_url="https://x/"))
        self.shadow = FaultStore(MemoryStore())
        self.store = ShadowStore(self.child, self.shadow, **options)  # type: ignore[arg-type]
        self.heard = Recorder()
        observe(self.store, self.heard)

    def settle(self) -> list[str]:
        """Return what happened in the background since the last time."""
        assert self.store._errands.drain(10) is None
        outcomes = [event.outcome for event in self.heard.of(Shadowed)]
        self.heard.clear()
        return outcomes


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_shadow_follows(stage: Stage) -> None:
    """What is put and deleted in the child is put and deleted there."""
    stage.store.put(KEY, Body.of(b"content"))
    assert stage.settle() == ["copied"]
    assert stage.shadow.get(KEY).read() == b"content"
    stage.store.delete(KEY)
    assert stage.settle() == ["deleted"]
    with pytest.raises(NotFoundError):
        stage.shadow.get(KEY)


def test_a_change_that_may_have_happened_is_followed_too(stage: Stage) -> None:
    """The shadow becomes what the child is, not what was asked for."""
    stage.child.fail("put", "timeout", after_apply=True)
    with pytest.raises(OSError, match="timeout"):
        stage.store.put(KEY, Body.of(b"content"))
    assert stage.settle() == ["copied"]
    assert stage.shadow.get(KEY).read() == b"content"
    stage.child.fail("delete")
    with pytest.raises(OSError, match="unavailable"):
        stage.store.delete(KEY)
    assert stage.settle() == ["copied"]


def test_nothing_the_shadow_does_is_noticed(stage: Stage) -> None:
    """Down, refusing, hanging, or raising what no store should."""
    stage.shadow.fail(None, lambda: RuntimeError("no store error"), times=2)
    with stage.shadow.hang(key=KEY):
        stage.store.put(KEY, Body.of(b"content"))
        assert stage.store.get(KEY).read() == b"content"
        assert stage.store.stat(KEY).size == 7
        assert stage.store.url(KEY) == stage.child.url(KEY)
        stage.store.delete(KEY)
        with pytest.raises(NotFoundError):
            stage.store.get(KEY)
        assert list(stage.store.keys("")) == []


def test_its_failures_are_told(stage: Stage) -> None:
    """A trial that nobody hears of is none."""
    stage.shadow.down("denied")
    stage.store.put(KEY, Body.of(b"content"))
    stage.store._errands.drain(10)
    (event,) = stage.heard.of(Shadowed)
    assert (event.store, event.key, event.outcome) == ("shadow", KEY, "failed")
    assert isinstance(event.error, DeniedError)


LARGE = bytes(600_000)


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome"),
    [
        (b"same", b"same", "same"),
        (LARGE + b"1", LARGE + b"1", "same"),
        (LARGE + b"1", LARGE + b"2", "different"),
        (b"long", b"longer", "different"),
        (b"", b"", "same"),
        (b"x", None, "missing"),
        (None, b"x", "surplus"),
        (None, None, "same"),
    ],
)
def test_reads_are_compared(
    stage: Stage, ours: bytes | None, theirs: bytes | None, outcome: str
) -> None:
    """Byte for byte, absence included."""
    for content, store in ((ours, stage.child), (theirs, stage.shadow)):
        if content is not None:
            store.put(KEY, Body.of(content))
    if ours is None:
        with pytest.raises(NotFoundError):
            stage.store.get(KEY)
    else:
        assert stage.store.get(KEY).read() == ours
    assert stage.settle() == [outcome]


def test_sizes_that_differ_need_no_reading(stage: Stage) -> None:
    """A large object is not fetched to learn what is known."""
    stage.child.put(KEY, Body.of(b"long"))
    stage.shadow.put(KEY, Body.of(b"longer"))
    stage.shadow.tear(0)
    stage.store.get(KEY)
    assert stage.settle() == ["different"]


def test_a_write_takes_the_place_of_a_comparison() -> None:
    """One that has not begun would find what is known to be out of date."""
    stage = Stage(threads=1)
    with stage.shadow.pause("put") as slow:
        stage.store.put(OTHER, Body.of(b"1"))
        slow.wait()
        with pytest.raises(NotFoundError):
            stage.store.get(KEY)
        stage.store.put(KEY, Body.of(b"2"))
    assert stage.settle() == ["copied", "copied"]


def test_a_read_that_failed_is_not_compared(stage: Stage) -> None:
    """An outage of the child says nothing about the shadow."""
    stage.child.fail("get")
    with pytest.raises(OSError, match="unavailable"):
        stage.store.get(KEY)
    assert stage.settle() == []


def test_only_a_sample_is_compared_and_only_for_listeners() -> None:
    """A comparison costs two reads."""
    stage = Stage(sample=0)
    stage.child.put(KEY, Body.of(b"x"))
    stage.store.get(KEY)
    assert stage.settle() == []
    unheard = ShadowStore(stage.child, stage.shadow)
    unheard.get(KEY)
    assert unheard._errands.drain(10) is None
    assert not stage.shadow.calls


def test_the_last_of_many_writes_is_what_stays(stage: Stage) -> None:
    """Copies of one object never overtake each other, and none is made in vain."""
    with stage.shadow.pause("put") as first:
        stage.store.put(KEY, Body.of(b"0"))
        first.wait()
        for number in range(1, 10):
            stage.store.put(KEY, Body.of(b"%d" % number))
    assert stage.settle() == ["copied", "copied"]
    assert stage.shadow.get(KEY).read() == b"9"


def test_an_object_that_is_being_written_is_not_compared(stage: Stage) -> None:
    """It differs because its copy has not been made, which is no news."""
    stage.store.put(KEY, Body.of(b"old"))
    stage.settle()
    with stage.shadow.pause("get") as comparing:
        stage.store.get(KEY)
        comparing.wait()
        stage.store.put(KEY, Body.of(b"new"))
    assert stage.settle() == ["copied"]
    assert stage.shadow.get(KEY).read() == b"new"


def test_what_finds_no_room_is_dropped_and_told() -> None:
    """A shadow that is too slow costs no memory."""
    stage = Stage(threads=1, waiting=1)
    with stage.shadow.pause("put") as slow:
        stage.store.put(KEY, Body.of(b"1"))
        slow.wait()
        stage.store.put(OTHER, Body.of(b"2"))
        stage.store.put(OTHER._replace(object_id=3), Body.of(b"3"))
        dropped = stage.heard.of(Shadowed)
    assert [(event.outcome, event.key.object_id) for event in dropped] == [
        ("dropped", 3)
    ]
    assert stage.settle() == ["dropped", "copied", "copied"]


def test_closing_finishes_what_waits(stage: Stage) -> None:
    """And then closes both."""
    for number in range(20):
        stage.store.put(KEY._replace(object_id=number), Body.of(b"x"))
    inside = stage.shadow.child
    stage.store.close()
    assert stage.child.closed
    assert stage.shadow.closed
    assert isinstance(inside, MemoryStore)
    assert len(inside._objects) == 20


def test_closing_does_not_wait_for_a_hung_shadow(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not copied is told."""
    monkeypatch.setattr("tiered_store.wrappers.shadow._CLOSE_SECONDS", 0.01)
    with stage.shadow.pause("put", times=None) as hung:
        for _ in range(2):
            stage.store.put(KEY, Body.of(b"x"))
            hung.wait()
        stage.store.close()
        assert [event.outcome for event in stage.heard.of(Shadowed)] == ["dropped"]


@pytest.mark.parametrize("options", [{"sample": 1.5}, {"threads": 0}, {"waiting": 0}])
def test_wrong_options_are_named(options: dict[str, float]) -> None:
    """At construction."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        Stage(**options)
