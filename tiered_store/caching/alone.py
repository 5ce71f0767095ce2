"""
Copies that one process keeps, as far as anybody tells it.

Several processes may share a directory like this, but no one of them hears of another's
writes: how old a copy may be is bounded by the tiers' ttl.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from tiered_store import deadlines
from tiered_store.body import Body
from tiered_store.caching.keeper import Keeper, Parts, answer, same
from tiered_store.errors import StoreError, UnavailableError
from tiered_store.journals.keylocks import KeyLocks
from tiered_store.key import Key
from tiered_store.policies.coherence import Fill, Write
from tiered_store.policies.floors import Floors
from tiered_store.tiers.tier import Entry, Record


_LANDING = 0.25  # seconds that a write waits for a copy that is being put somewhere


class Alone(Keeper):
    """Copies in tiers none of which is shared with who might write."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._floors = {name: Floors() for name in parts.tiers}
        self._landings = KeyLocks()
        self._nearest = next(iter(parts.tiers))
        self._in_memory = len(self.private) == len(parts.tiers)

    def read(self, key: Key) -> Body:
        landings = self.coherence.landings  # before anything is looked at
        if self._in_memory:
            return self._read_through(key, landings)
        if (
            self.private
            or self.filler.arriving(key) is not None
            or self._poisoned(key)
            or not self.coherence.believable(key)
        ):
            return super().read(key)
        # nothing nearer is to be filled, so a hit concerns nobody else
        entry = self._believed(key, self._nearest)
        if entry is not None and self._serves(key, self._nearest, entry):
            return answer(entry)

        def fetch(fill: Fill) -> Entry:
            # unless somebody has brought it meanwhile, it need not be looked for again
            missed = landings == self.coherence.landings
            return self._fetch(key, fill, entry, None, int(missed))

        return self._share(key, fetch)

    def _read_through(self, key: Key, landings: int) -> Body:
        """Do as :meth:`read` does, where no copy can be left outside this process."""
        entry, stale = self.near(key)
        if entry is not None:
            return answer(entry)

        def fetch(fill: Fill) -> Body:
            if landings != self.coherence.landings:
                return answer(self._fetch(key, fill, stale, None, 0))
            found = self._ask(key, stale)
            if found is not stale and self.origin.keeps(found):
                self._keep_privately(key, found, fill.allowed)
                if not fill.allowed():
                    self.teller.rejected(key)
            return answer(found)

        return self.coherence.fetch(key, fetch)

    def fetch(
        self, key: Key, fill: Fill, stale: Entry | None, known: Record | None = None
    ) -> Entry:
        return self._fetch(key, fill, stale, known, 0)

    def _fetch(
        self,
        key: Key,
        fill: Fill,
        stale: Entry | None,
        known: Record | None,
        looked: int,
    ) -> Entry:
        """Do as :meth:`fetch` does, in so many of the tiers having *looked* in vain."""
        poisoned = self._poisoned(key)
        if not poisoned and self.coherence.believable(key):
            names = list(self.tiers)
            nearer = names[:looked]
            arriving = self.filler.arriving(key)  # before it may have landed
            for name in names[looked:]:
                entry = self._believed(key, name)
                old = entry is None or same(entry.record, known)
                if entry is not None and not old and self._serves(key, name, entry):
                    return self.filler.keep(
                        key, entry, nearer, fill, partial(self._fill, fill.allowed)
                    )
                stale = stale or entry
                nearer.append(name)
            if arriving is not None and arriving[1].allowed():
                return arriving[0]
        entry = self._ask(key, stale)
        if entry is stale or not self.origin.keeps(entry):
            return entry
        takers = self.private if poisoned else self.tiers
        return self.filler.keep(
            key, entry, takers, fill, partial(self._fill, fill.allowed)
        )

    def doubts(self, key: Key, name: str, record: Record) -> str | None:
        if not self.tiers[name].private:
            if not self.coherence.believable(key):
                return "a write is under way, or has overtaken who filled it"
            if self._floors[name].is_below(key, record.since):
                return "who put it there was given up, perhaps before a write"
        return super().doubts(key, name, record)

    def _believed(self, key: Key, name: str) -> Entry | None:
        entry = self._look(key, name)
        if entry is None or self._floors[name].is_below(key, entry.record.since):
            return None
        return entry

    def _fill(
        self,
        allowed: Callable[[], bool],
        key: Key,
        entry: Entry,
        names: Iterable[str],
    ) -> None:
        landing = self._landings.lease(key, 0)
        if landing is None:
            return  # somebody else puts it there
        with landing:
            for name in reversed(list(names)):
                if not allowed():
                    break
                error = self.filler.offer(key, entry, name, allowed)
                if error is not None and error.ambiguous:
                    # it may land after a later write has purged
                    self._floors[name].raise_to(key, entry.record.since)
            if not allowed():
                self._purge(key)  # while it is doomed, nobody believes what it left
                self.teller.rejected(key)

    def _purge(self, key: Key) -> None:
        self.forget(key)
        try:
            self._drop_all(key)
        except StoreError:
            self.poison.add(key)

    def _begin(self, key: Key) -> Callable[[Entry | None, Write, bool], None]:
        self._drop(key)
        return partial(self._end, key)

    def _end(self, key: Key, entry: Entry | None, write: Write, landed: bool) -> None:
        self._drop(key)
        if entry is not None and write.alone():
            self._fill(write.alone, key, entry, self.tiers)

    def _drop(self, key: Key) -> None:
        # a copy that lands after its object was written would outlive this process
        landing = self._landings.lease(key, deadlines.bounded(_LANDING))
        if landing is None:
            raise UnavailableError("a copy is still being put there")
        with landing:
            self._drop_all(key)

    def _tell_undropped(self, key: Key, error: StoreError) -> None:
        """Each tier that failed has been told of."""

    def _drop_all(self, key: Key) -> None:
        failure: StoreError | None = None
        for name, tier in self.tiers.items():
            if not tier.private:
                try:
                    tier.delete(key)
                except StoreError as error:
                    self.teller.poisoned(key, name, error)
                    failure = error
        if failure is not None:
            raise failure
