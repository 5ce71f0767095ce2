"""
What every way of keeping copies has in common.
"""

from __future__ import annotations

import functools
import time

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Literal

from tiered_store.body import Body, BytesBody
from tiered_store.caching.backed import BackedBody
from tiered_store.caching.filling import Filler
from tiered_store.caching.origin import Origin
from tiered_store.caching.poison import Poison
from tiered_store.caching.telling import Teller
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ClosedError, DeadlineError, NotFoundError, StoreError
from tiered_store.journals.journal import Journal
from tiered_store.key import Key
from tiered_store.policies.coherence import Coherence, Fill, Write
from tiered_store.policies.errands import Errands
from tiered_store.tiers.tier import Entry, Record, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """
    What a keeper is made of; the options of ``CachedStore`` where they share a name.

    Attributes:
        tiers: By name, nearest first.
        durable: The journal outlives the process.
    """

    tiers: Mapping[str, Tier]
    origin: Origin
    coherence: Coherence
    teller: Teller
    clock: Clock
    journal: Journal
    durable: bool
    on_invalidate_error: Literal["poison", "fail"]
    fill_lease: float
    write_lease: float
    strong: bool


class Keeper(ABC):
    """
    Keeps copies of what the origin has.

    A tier that fails is passed over; whoever reads gets an error only from the origin.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.tiers = parts.tiers
        self.private = {
            name: tier for name, tier in parts.tiers.items() if tier.private
        }
        self.origin = parts.origin
        self.coherence = parts.coherence
        self.teller = parts.teller
        self.clock = parts.clock
        self._time = time.time if parts.clock is SYSTEM else parts.clock.time
        self.poison = Poison(
            parts.journal,
            self._drop,
            self._clear,
            durable=parts.durable,
            seconds=parts.write_lease,
            clock=parts.clock,
        )
        self.filler = Filler(parts.tiers, parts.teller)
        self._errands = Errands("refreshes", 4, 1000, owed=False)

    # -- reading -------------------------------------------------------------

    def wake(self) -> None:  # noqa: B027 - optional
        """Make sure of what is believed, before anything is read or written."""

    def read(self, key: Key) -> Body:
        """
        Return the body of *key*, from wherever it is nearest.

        Raises:
            StoreError: The origin's, or that there is no such object.
        """
        entry, stale = self.near(key)
        if entry is not None:
            return answer(entry)
        return self._share(key, lambda fill: self.fetch(key, fill, stale))

    def _share(self, key: Key, fetch: Callable[[Fill], Entry]) -> Body:
        """Have one *fetch* for all who ask meanwhile."""
        return self.coherence.fetch(
            key, lambda fill: answer(fetch(fill)), join=not self.parts.strong
        )

    def near(self, key: Key) -> tuple[Entry | None, Entry | None]:
        """Return the copy to serve, or else one of no use unless the origin fails."""
        stale = None
        for name, tier in self.private.items():
            entry = tier.get(key)
            if entry is None:
                continue
            if self._serves(key, name, entry):
                return entry, None
            stale = stale or entry
        return None, stale

    @abstractmethod
    def fetch(
        self, key: Key, fill: Fill, stale: Entry | None, known: Record | None = None
    ) -> Entry:
        """
        Return a copy from farther away, or from the origin, and fill what is nearer.

        Args:
            stale: What to serve if the origin fails and that is allowed.
            known: The copy that is to be replaced, although it may be fresh.
        """

    def _serves(self, key: Key, name: str, entry: Entry) -> bool:
        """Say whether *entry* can be served; have it refreshed behind if it is time."""
        record, now = entry.record, self._time()
        freshness = self.origin.freshness
        if now < record.fresh_until:
            self.teller.hit(key, name, record)
            if freshness.early_refresh and freshness.due(record, now):
                self._refresh(key, record)
            return True
        if freshness.served_while_asking(record, now):
            self.teller.stale(key, record, None)
            self._refresh(key, record)
            return True
        return False

    def _refresh(self, key: Key, known: Record) -> None:
        def fetch(fill: Fill) -> Body:
            return answer(self.fetch(key, fill, None, known))

        def refresh() -> None:
            # who is concerned will see it when they ask; if closed meanwhile, nobody is
            with suppress(StoreError, ClosedError):
                self.coherence.fetch(key, fetch, join=False)

        self._errands.add(key, refresh, replace=False)

    def _ask(self, key: Key, stale: Entry | None) -> Entry:
        """Return what the origin says, or *stale* if it fails and that is allowed."""
        try:
            return self.origin.ask(key)
        except StoreError as error:
            now = self.clock.time()
            if stale is None or not self.origin.freshness.served_instead(
                stale.record, now, error
            ):
                raise
            self.teller.stale(key, stale.record, error)
            return stale

    # -- keeping -------------------------------------------------------------

    def _keep_privately(
        self, key: Key, entry: Entry, allowed: Callable[[], bool]
    ) -> None:
        for name in self.private:
            self.filler.offer(key, entry, name, allowed)

    def _look(self, key: Key, name: str) -> Entry | None:
        try:
            entry = self.tiers[name].get(key)
        except DeadlineError:
            raise
        except StoreError as error:
            self.teller.bypassed(key, name, error)
            return None
        if entry is None or entry.body is None or type(entry.body) is BytesBody:
            return entry
        ask = functools.partial(self.origin.store.get, key)
        left = functools.partial(self.teller.bypassed, key, name)
        return Entry(entry.record, BackedBody(entry.body, ask, left))

    def _poisoned(self, key: Key) -> bool:
        return self.poison.taints(key) and not self.poison.cure(key)

    def doubts(self, key: Key, name: str, record: Record) -> str | None:
        """Say, for a person, why a copy in a tier is not believed; None if it is."""
        if self.tiers[name].private or not self.poison.taints(key):
            return None
        return "a write may not have reached it"

    # -- writing -------------------------------------------------------------

    def write(
        self, key: Key, change: Callable[[], None], after: Callable[[], Entry | None]
    ) -> None:
        """
        Do *change* to the origin, and see to it that no copy of before is believed.

        Args:
            after: Returns what may be kept from then on, if anything.
        """
        with ExitStack() as stack:
            self.wake()
            write = stack.enter_context(self.coherence.writing(key))
            self.forget(key)
            try:
                end = self._begin(key)
            except DeadlineError:
                raise
            except StoreError as error:
                self._tell_undropped(key, error)
                if self.parts.on_invalidate_error == "fail":
                    raise
                self.poison.begin(key)
                stack.callback(self.poison.finish, key)
                end = functools.partial(self._end_poisoned, key)
            try:
                change()
            except BaseException as error:
                known = isinstance(error, StoreError) and not error.ambiguous
                if not known:
                    self.coherence.doubt(key)
                self._finish(key, end, None, write, landed=known)
                raise
            dropped = self._finish(key, end, after(), write, landed=True)
        if dropped:
            self.teller.purged(key)

    def _finish(
        self,
        key: Key,
        end: Callable[[Entry | None, Write, bool], None],
        entry: Entry | None,
        write: Write,
        *,
        landed: bool,
    ) -> bool:
        """Do *end*, and return whether it could be done."""
        try:
            end(entry, write, landed)
        except StoreError as error:
            self._tell_undropped(key, error)
            self.poison.add(key, over=landed)
            return False
        else:
            return True
        finally:
            if entry is None:
                self.forget(key)

    def _end_poisoned(
        self, key: Key, entry: Entry | None, write: Write, landed: bool
    ) -> None:
        if landed:
            self._drop(key)
        else:
            self._begin(key)  # and let nobody fill for some time

    @abstractmethod
    def _begin(self, key: Key) -> Callable[[Entry | None, Write, bool], None]:
        """
        Drop the copies, let nobody fill, and return what ends that.

        It is called with what to keep from then on, the write, and whether it landed:
        if not, it may do so later.  Either raises store errors.
        """

    @abstractmethod
    def _drop(self, key: Key) -> None:
        """Drop the copies outside this process, or raise a store error."""

    @abstractmethod
    def _tell_undropped(self, key: Key, error: StoreError) -> None:
        """Say that :meth:`_begin`, what it returned, or :meth:`_drop` failed."""

    def _clear(self) -> None:
        """Drop all copies outside this process, or raise a store error."""
        for tier in self.tiers.values():
            if not tier.private:
                tier.clear()

    def forget(self, key: Key) -> None:
        """Drop the copies in this process, which cannot fail."""
        for tier in self.private.values():
            tier.delete(key)

    def close(self) -> None:
        """Stop what is done behind callers' backs, and let go of connections."""
        self._errands.close(0)
        self.filler.close()
        self.poison.close()
        for tier in self.tiers.values():
            tier.close()


def answer(entry: Entry) -> Body:
    """Return the body of *entry*, or raise that there is none."""
    if entry.body is None:
        raise NotFoundError("no such object")
    return entry.body


def same(record: Record, other: Record | None) -> bool:
    """Say whether two records are of one copy."""
    return other is not None and record.identity == other.identity
