"""A body whose store dies in the middle goes on elsewhere, or fails; it never mixes."""

from __future__ import annotations

import hashlib
import random
import threading

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, BytesBody
from tiered_store.deadlines import deadline
from tiered_store.errors import (
    CorruptError,
    DeadlineError,
    StoreError,
    UnavailableError,
)
from tiered_store.events import CircuitChanged, FellBack
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.store import Store
from tiered_store.testing.faults import FaultStore
from tiered_store.testing.faulty_body import FaultyBody
from tiered_store.testing.recording import Recorder
from tiered_store.tree import label, observe
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.replicated import ReplicatedStore


KEY = Key("testing", 1, 2, 3, "image/png")
SIZE = 600_000
CONTENT = random.Random(1).randbytes(SIZE)
HALF = SIZE // 2


def replicated(stores: dict[str, Store], **options) -> Store:
    return ReplicatedStore(stores, journal=MemoryJournal(), **options)


def fallback(stores: dict[str, Store], **options) -> Store:
    return FallbackStore(stores, **options)


@pytest.fixture(params=[replicated, fallback], ids=lambda kind: kind.__name__)
def kind(request) -> Callable[..., Store]:
    return request.param


class Digests(Wrapper):
    """A store whose versions are what S3 makes of the bytes, and that counts reads."""

    def __init__(self, child: Store, salt: bytes = b"") -> None:
        super().__init__(child)
        self.salt = salt
        self.read = 0

    def _get(self, key: Key) -> Body:
        content = self.child.get(key).read()
        name = hashlib.md5(self.salt + content, usedforsecurity=False).hexdigest()
        outer = self

        class Counted(Body):
            size, version = len(content), name

            def open(self, offset: int = 0):
                outer.read += len(content) - offset if offset else 0
                return BytesBody(content).open(offset)

        return Counted()


class Regions:
    """Two stores with an object each, of which the first dies in the middle of it."""

    def __init__(
        self,
        kind: Callable[..., Store],
        us: bytes = CONTENT,
        eu: bytes = CONTENT,
        layer: Callable[[Store], Store] = lambda store: store,
        **options,
    ) -> None:
        leaves = {"us": MemoryStore(), "eu": MemoryStore()}
        for name, content in (("us", us), ("eu", eu)):
            leaves[name].put(KEY, Body.of(content))
        self.layers = {name: layer(leaf) for name, leaf in leaves.items()}
        self.us, self.eu = (FaultStore(store) for store in self.layers.values())
        self.store = kind({"us": self.us, "eu": self.eu}, **options)
        label(self.store, "images")
        self.recorder = Recorder()
        observe(self.store, self.recorder)


def test_reading_goes_on_at_the_same_byte(kind) -> None:
    """The reader sees nothing of it; listeners do."""
    regions = Regions(kind)
    regions.us.tear(0.5)

    with regions.store.get_file(*KEY) as file:
        assert file.read() == CONTENT

    [event] = regions.recorder.of(FellBack)
    assert (event.verb, event.failed) == ("get", "us")
    assert regions.us.open_readers == regions.eu.open_readers == 0


class ReadOnce(Wrapper):
    """A store whose objects are replaced by somebody else after the first reading."""

    def _get(self, key: Key) -> Body:
        content = self.child.get(key).read()

        class Pinned(Body):
            size, version, readings = len(content), None, 0

            def open(self, offset: int = 0):
                self.readings += 1
                if self.readings > 1:
                    raise UnavailableError("it is another version now")
                return BytesBody(content).open(offset)

        return Pinned()


def test_what_was_read_at_once_is_what_is_read_again(kind) -> None:
    """Two replicas that are given one body must not be given two versions of it."""
    regions = Regions(kind, eu=random.Random(2).randbytes(SIZE), layer=ReadOnce)
    body = regions.store.get(KEY)
    assert body.read() == CONTENT

    with pytest.raises(UnavailableError, match="another version"):
        body.read()


def test_who_waits_for_another_reader_to_go_on_has_a_deadline(kind) -> None:
    """That one may be asking a store that does not answer."""
    regions = Regions(kind, breaker=None)
    regions.us.tear(0.5)
    body = regions.store.get(KEY)
    with ThreadPoolExecutor(1) as others, regions.eu.pause("get") as asking:
        reading = others.submit(body.read)
        asking.wait()

        with deadline(0.05), pytest.raises(DeadlineError), body.open() as file:
            file.read()

        asking.release()
        assert reading.result() == CONTENT


def test_all_of_it_at_once_goes_on_too(kind) -> None:
    """As a cache's fill reads it."""
    regions = Regions(kind)
    regions.us.tear(0.5)

    assert regions.store.get(KEY).read() == CONTENT


@pytest.mark.parametrize("at", [0, 1, HALF, SIZE - 1])
def test_another_version_is_never_mixed_in(kind, at: int) -> None:
    """It differs in what was read already: the first store's error is told."""
    other = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    regions = Regions(kind, eu=other)
    regions.us.tear(at)

    with regions.store.get_file(*KEY) as file:
        if at == 0:
            assert file.read() == other  # nothing was read of the first
            return
        with pytest.raises(UnavailableError):
            file.read()


def test_a_version_that_begins_alike_is_read_whole(kind) -> None:
    """What the reader has in the end is the bytes of one put."""
    other = CONTENT[:HALF] + bytes(SIZE - HALF)
    regions = Regions(kind, eu=other)
    regions.us.tear(0.5)

    with regions.store.get_file(*KEY) as file:
        assert file.read() == other


def test_a_version_of_another_size_is_not_the_same(kind) -> None:
    """The reader was told how long the object is."""
    regions = Regions(kind, eu=CONTENT + b"!")
    regions.us.tear(0.5)

    with (
        regions.store.get_file(*KEY) as file,
        pytest.raises(UnavailableError),
    ):
        file.read()


def test_all_readers_of_a_body_go_on_together(kind) -> None:
    """Else two of them would have different versions of one body."""
    other = CONTENT[:HALF] + bytes(SIZE - HALF)
    regions = Regions(kind, eu=other)
    regions.us.tear(0.5, times=1)
    body = regions.store.get(KEY)

    with body.open() as first, body.open() as second:
        head = second.read(1000)
        assert first.read() == other
        assert head + second.read() == other
    with body.open(HALF) as third:
        assert third.read() == other[HALF:]


def test_what_another_reader_saw_counts(kind) -> None:
    """The end of the first version was handed out, so the second cannot follow."""
    other = CONTENT[:HALF] + bytes(SIZE - HALF)
    regions = Regions(kind, eu=other)
    body = regions.store.get(KEY)
    with body.open(SIZE - 10) as early:
        assert early.read() == CONTENT[-10:]
    body.source._at = HALF  # from now on it dies there
    body.source._strike = _die

    with body.open() as late, pytest.raises(UnavailableError):
        late.read()


def _die() -> None:
    raise UnavailableError("died on purpose")


def test_what_comes_late_from_the_first_store_is_not_handed_out(kind) -> None:
    """Another reader has gone on with a version that ends differently."""
    other = CONTENT[:HALF] + bytes(SIZE - HALF)
    arrived, waited = threading.Event(), threading.Event()

    class Dying(MemoryStore):
        def _get(self, key: Key) -> Body:
            return _Dying()

    class _Dying(Body):
        size = SIZE

        def open(self, offset: int = 0):
            if offset == 0:
                return FaultyBody(BytesBody(CONTENT), at=HALF, strike=_die).open()
            waited.set()
            assert arrived.wait(60)
            return BytesBody(CONTENT).open(offset)

    eu = MemoryStore()
    eu.put(KEY, Body.of(other))
    body = kind({"us": Dying(), "eu": eu}).get(KEY)
    with ThreadPoolExecutor() as pool, body.open(HALF) as late, body.open() as first:
        slow = pool.submit(late.read, 10)
        assert waited.wait(60)
        assert first.read() == other
        arrived.set()

        assert slow.result(60) == bytes(10)


def test_a_reader_who_jumps_about_is_followed(kind) -> None:
    """Each stretch that was handed out is compared."""
    regions = Regions(kind)
    regions.us.tear(0.9)

    with regions.store.get_file(*KEY) as file:
        for place in (500_000, 10, 300_000):
            file.seek(place)
            assert file.read(5) == CONTENT[place : place + 5]
        file.seek(400_000)
        assert file.read() == CONTENT[400_000:]


def test_what_cannot_be_compared_is_not_gone_on_with(kind) -> None:
    """Too many stretches to remember, and versions that say nothing."""
    regions = Regions(kind)
    regions.us.tear(SIZE - 5)
    body = regions.store.get(KEY)
    for place in range(0, 100_000, 1000):
        with body.open(place) as file:
            file.read(1)

    with body.open() as file, pytest.raises(UnavailableError):
        file.read()


def test_digests_spare_reading_it_again(kind) -> None:
    """S3 names what was put by its MD5: the rest is all that is asked for."""
    regions = Regions(kind, layer=Digests)
    regions.us.tear(0.5)

    with regions.store.get_file(*KEY) as file:
        assert file.read() == CONTENT

    assert 0 < regions.layers["eu"].read <= SIZE - HALF


def test_digests_that_differ_are_no_proof_of_a_difference(kind) -> None:
    """Parts of another size, or a key of the server's, name the same bytes anew."""
    salts = iter([b"us", b"eu"])
    regions = Regions(kind, layer=lambda store: Digests(store, next(salts)))
    regions.us.tear(0.5)

    with regions.store.get_file(*KEY) as file:
        assert file.read() == CONTENT


def test_corrupt_bytes_are_not_gone_on_from(kind) -> None:
    """The digest is right and what was handed out is wrong, so nothing helps."""
    regions = Regions(kind, layer=lambda store: FaultStore(Digests(store)))
    regions.layers["us"].flip(10)
    regions.us.tear(0.5, CorruptError("the bytes do not fit their checksum"))

    with regions.store.get_file(*KEY) as file, pytest.raises(CorruptError):
        file.read()


def test_only_the_last_store_s_error_is_left(kind) -> None:
    """Both die: nobody waits for ever, nobody gets half of it."""
    regions = Regions(kind)
    regions.us.tear(0.3)
    regions.eu.tear(0.6, UnavailableError("eu, too"))

    with (
        regions.store.get_file(*KEY) as file,
        pytest.raises(UnavailableError, match="eu, too"),
    ):
        file.read()


def test_the_caller_s_deadline_is_final(kind) -> None:
    """Another store would not have more time."""
    regions = Regions(kind)
    body = regions.store.get(KEY)
    with body.open() as file:
        file.seek(HALF)
        with deadline(0), pytest.raises(DeadlineError):
            file.read()


def test_bodies_that_die_open_the_circuit(kind) -> None:
    """A region that answers and then dies is not asked for long."""
    regions = Regions(kind, breaker=BreakerPolicy(failures=3, open=60))
    regions.us.tear(0.5, times=None)

    for _ in range(6):
        assert regions.store.get(KEY).read() == CONTENT

    assert regions.us.calls["get"] == 3
    [event] = regions.recorder.of(CircuitChanged)
    assert (event.store, event.side, event.state) == ("images.us", "read", "open")


def test_a_replica_that_missed_the_object_is_not_gone_on_with() -> None:
    """Whatever its bytes are."""
    regions = Regions(replicated)
    regions.eu.fail("put")
    regions.store.put(KEY, Body.of(CONTENT))
    regions.us.tear(0.5)

    with regions.store.get_file(*KEY) as file, pytest.raises(UnavailableError):
        file.read()


def test_an_object_that_was_deleted_meanwhile_is_not_gone_on_with(kind) -> None:
    """Nobody has it any more."""
    regions = Regions(kind)
    regions.us.tear(0.5)
    body = regions.store.get(KEY)
    regions.store.delete(KEY)

    with body.open() as file, pytest.raises(StoreError):
        file.read()


def test_small_objects_in_memory_stay_what_they_are(kind) -> None:
    """There is nothing that could break."""
    store = kind({"us": MemoryStore(), "eu": MemoryStore()})
    store.put(KEY, Body.of(b"x"))

    assert isinstance(store.get(KEY), BytesBody)
