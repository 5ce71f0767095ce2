"""
Laws of composition, and what holds under any faults.

Random sequences of operations run over stacks whose leaves fail by chance, against
a dictionary that knows which answers would be true.
"""

from __future__ import annotations

import os
import tempfile

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thorough import TIMES
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, FileBody
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.readers import Descriptor
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.store import StoreTier
from tiered_store.units import Secret
from tiered_store.wrappers.breaker import BreakerStore
from tiered_store.wrappers.cached import CachedStore
from tiered_store.wrappers.compressed import CompressedStore
from tiered_store.wrappers.encrypted import EncryptedStore
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.hedged import HedgedStore
from tiered_store.wrappers.limit import LimitStore
from tiered_store.wrappers.migrating import MigratingStore
from tiered_store.wrappers.overlay import OverlayStore
from tiered_store.wrappers.prefixed import PrefixedStore
from tiered_store.wrappers.readonly import ReadOnlyStore
from tiered_store.wrappers.replicated import ReplicatedStore
from tiered_store.wrappers.retry import RetryStore
from tiered_store.wrappers.routed import RoutedStore
from tiered_store.wrappers.served import ServedStore
from tiered_store.wrappers.shadow import ShadowStore
from tiered_store.wrappers.sharded import ShardedStore
from tiered_store.wrappers.timeout import TimeoutStore
from tiered_store.wrappers.verified import VerifiedStore


KEYS = [Key("testing", number, 1, 1, "image/png") for number in range(2)]
Leaf = Callable[[], Store]


def cached(leaf: Leaf, clock: FakeClock) -> Store:
    tiers = [MemoryTier(capacity=2_000), StoreTier(leaf(), breaker=None)]
    return CachedStore(leaf(), tiers, clock=clock)


def retried(leaf: Leaf, clock: FakeClock) -> Store:
    return RetryStore(leaf(), clock=clock)


def fallback(leaf: Leaf, clock: FakeClock) -> Store:
    return FallbackStore(
        {"first": leaf(), "empty": MemoryStore()},
        read_on=["unavailable", "not_found"],
        breaker=None,
    )


def overlay(leaf: Leaf, clock: FakeClock) -> Store:
    return OverlayStore(leaf(), leaf())


def everything(leaf: Leaf, clock: FakeClock) -> Store:
    return RetryStore(
        CachedStore(
            FallbackStore(
                {"a": BreakerStore(leaf(), clock=clock), "b": MemoryStore()},
                read_on=["unavailable", "not_found"],
                breaker=None,
            ),
            [MemoryTier()],
            clock=clock,
        ),
        clock=clock,
    )


def replicated(leaf: Leaf, clock: FakeClock) -> Store:
    return ReplicatedStore(
        {"us": leaf(), "eu": leaf()}, journal=MemoryJournal(), breaker=None, clock=clock
    )


def replicated_alone(leaf: Leaf, clock: FakeClock) -> Store:
    return ReplicatedStore({"only": leaf()}, breaker=None, clock=clock)


STACKS = [
    cached, retried, fallback, overlay, everything, replicated, replicated_alone,
]  # fmt: skip

operations = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete", "get", "get", "get", "stat", "keys"]),
        st.sampled_from(KEYS),
        st.integers(0, 40).map(lambda size: bytes([size]) * size),
    ),
    max_size=30,
)


def answer(store: Store, verb: str, key: Key, content: bytes) -> object:
    """Return what *store* says, or the kind of error it raises."""
    try:
        if verb == "put":
            return store.put(key, Body.of(content))
        if verb == "get":
            return store.get(key).read()
        if verb == "stat":
            return store.stat(key).size
        if verb == "keys":
            return sorted(store.keys())
        return store.delete(key)
    except StoreError as error:
        return type(error)


@pytest.mark.parametrize("stack", STACKS)
@settings(deadline=None, max_examples=30 * TIMES)
@given(steps=operations)
def test_without_faults_a_stack_behaves_as_its_store(stack, steps) -> None:
    """cached(x), retry(x), fallback({x, empty}) and all of them together are x."""
    plain, composed = MemoryStore(), stack(MemoryStore, FakeClock())

    for verb, key, content in steps:
        expected = answer(plain, verb, key, content)
        assert answer(composed, verb, key, content) == expected


@dataclass
class Truth:
    """Which values of a key would be a true answer; None stands for absent."""

    legal: dict[Key, set[bytes | None]] = field(
        default_factory=lambda: {key: {None} for key in KEYS}
    )

    def wrote(self, key: Key, value: bytes | None, *, surely: bool) -> None:
        """Note a write that was acknowledged, or that may have happened."""
        self.legal[key] = {value} if surely else self.legal[key] | {value}

    def check(self, store: Store, key: Key) -> None:
        """Ask *store*: whatever it says must be true; it may say it cannot tell."""
        try:
            found: bytes | None = store.get(key).read()
        except NotFoundError:
            found = None
        except StoreError:
            return
        assert found in self.legal[key]


@pytest.mark.parametrize("stack", STACKS)
@settings(deadline=None, max_examples=40 * TIMES)
@given(steps=operations, seed=st.integers(0, 1000), rate=st.floats(0, 0.6))
def test_under_faults_no_answer_is_a_lie(stack, steps, seed, rate) -> None:
    """
    Acknowledged writes are seen, deleted objects stay away, outages are not absence.

    Calls fail before or after their effect, and bodies die half way.
    """
    leaves: list[FaultStore] = []

    def leaf() -> Store:
        fault = FaultStore(
            MemoryStore(), seed=seed + len(leaves), rate=rate, apply_rate=0.5,
            tear_rate=rate / 2, errors=["unavailable", "throttled", "denied"],
        )  # fmt: skip
        leaves.append(fault)
        return fault

    clock, truth = FakeClock(), Truth()
    store = stack(leaf, clock)
    for verb, key, content in steps:
        clock.advance(0.1)
        if verb == "put":
            try:
                store.put(key, Body.of(content))
            except StoreError:
                truth.wrote(key, content, surely=False)
            else:
                truth.wrote(key, content, surely=True)
        elif verb == "delete":
            try:
                store.delete(key)
            except StoreError:
                truth.wrote(key, None, surely=False)
            else:
                truth.wrote(key, None, surely=True)
        else:
            truth.check(store, key)

    for fault in leaves:
        fault.heal()
    clock.advance(1000)
    for key in KEYS:
        truth.check(store, key)
        truth.check(store, key)


class SayingStore(MemoryStore):
    """Returns bodies that have to be read, and says something of each."""

    def _get(self, key: Key) -> Body:
        content = super()._get(key).read()
        body = FileBody(spooled(content), len(content))
        body.provisional = body.reproducible = True
        return body


def spooled(content: bytes) -> Descriptor:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        return Descriptor(os.dup(file.fileno()))


SECRET = Secret("YW4gZXhhbXBsZTsgbWFrZSBvbmUgb2YgeW91ciBvd24=")
AROUND: dict[str, Callable[[Store], Store]] = {
    "breaker": BreakerStore,
    "cached": lambda store: CachedStore(store, [MemoryTier(), MemoryStore()]),
    "compressed": lambda store: CompressedStore(store, skip=[]),
    "compressed, as it is": lambda store: CompressedStore(store, skip=["*/*"]),
    "encrypted": lambda store: EncryptedStore(store, SECRET),
    "fallback": lambda store: FallbackStore({"only": store}),
    "fault": FaultStore,
    "hedged": lambda store: HedgedStore(store),
    "limit": lambda store: LimitStore(store, 1),
    "migrating": lambda store: MigratingStore(store, MemoryStore()),
    "overlay": lambda store: OverlayStore(MemoryStore(), store),
    "prefixed": lambda store: PrefixedStore(store, "x."),
    "readonly": ReadOnlyStore,
    "replicated": lambda store: ReplicatedStore({"only": store}),
    "retry": RetryStore,
    "routed": lambda store: RoutedStore({"only": store}, default="only"),
    "served": lambda store: ServedStore(store, "https://served/"),
    "shadow": lambda store: ShadowStore(store, MemoryStore()),
    "sharded": lambda store: ShardedStore({"only": store}),
    "timeout": lambda store: TimeoutStore(store, 30),
    "verified": VerifiedStore,
}


@pytest.mark.parametrize("name", AROUND)
def test_what_is_said_of_a_body_is_said_above(name: str) -> None:
    """A cache must hear that it is not the last word, and what can be made again."""
    inside = SayingStore()
    stack = AROUND[name](inside)
    key, content = KEYS[0], b"many of the same" * 100_000
    if name in ("migrating", "overlay", "readonly"):
        inside.put(key, Body.of(content))
    else:
        stack.put(key, Body.of(content))

    body = stack.get(key)

    assert (body.provisional, body.reproducible) == (True, True)
    assert body.read() == content
    stack.close()
