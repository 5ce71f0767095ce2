"""
Copies of which the shared tier has the record alone, and another tier the bytes.

Which copy is the current one, all processes are told; its bytes are in a directory of
each host.  Where they are not, they are fetched once a host: whoever does lets others
follow (:mod:`tiered_store.caching.meeting`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from tiered_store.body import Body, BytesBody
from tiered_store.caching.keeper import Keeper, Parts, answer, same
from tiered_store.caching.meeting import FollowedBody, Meeting, Spool
from tiered_store.errors import StoreError
from tiered_store.key import Key
from tiered_store.policies.coherence import Fill
from tiered_store.readers import Descriptor
from tiered_store.tiers.shared import SharedTier
from tiered_store.tiers.tier import WHOLE, Entry, Record, always


class Elsewhere(Keeper):
    """
    Copies in tiers of which the one called *shared_name* tells which is current.

    The others that more than this process sees are called its *stores*.
    """

    def __init__(self, parts: Parts, name: str, shared: SharedTier) -> None:
        super().__init__(parts)
        self.shared_name, self.shared = name, shared
        self._stores = [
            name
            for name, tier in self.tiers.items()
            if not tier.private and tier is not shared
        ]
        self._meeting = Meeting()

    # -- letting others follow ------------------------------------------------

    @contextmanager
    def _spooled(self, entry: Entry) -> Iterator[Spool | None]:
        """Let others of this host follow what is to be the current copy."""
        size = 0 if entry.body is None else entry.body.size
        spool = None
        if size > self.shared.max_object and self.filler.takers(self._stores, size):
            spool = self._meeting.join(entry.record.identity)
        if isinstance(spool, Spool):
            with spool.held():
                _fill_at_once(spool, entry.body)
                yield spool
        else:
            yield None

    # -- fetching what has a record -------------------------------------------

    def _fetch_as(
        self, key: Key, record: Record, fill: Fill, stale: Entry | None
    ) -> Entry:
        """Return the current copy, whose bytes are not at hand: one fetch a host."""
        joined = None
        if self.filler.takers(self._stores, record.size or 0):
            joined = self._meeting.join(record.identity)
        if isinstance(joined, Descriptor):
            return self._follow(key, record, fill, joined)
        if joined is None:
            return self._ask_as(key, record, fill, stale, None)
        with joined.held():
            # since it was looked for, somebody may have brought it, and left
            return self._stored(key, record, fill) or self._ask_as(
                key, record, fill, stale, joined
            )

    def _follow(self, key: Key, record: Record, fill: Fill, spool: Descriptor) -> Entry:
        """Return the current copy as another process of this host fetches it."""

        def again(stuck: bool) -> Body:
            if stuck:
                return answer(self._ask(key, None))
            unkept = Fill(self.coherence, key, None, self.coherence.epoch)
            found = self._stored(key, record, unkept)
            return answer(found or self._fetch_as(key, record, unkept, None))

        body: Body = FollowedBody(record, spool, again, self.parts.fill_lease)
        entry = Entry(record, body if body.size > WHOLE else body.in_memory())
        self._keep_privately(key, entry, fill.allowed)
        return entry

    def _stored(self, key: Key, record: Record, fill: Fill) -> Entry | None:
        for name in self._stores:
            found = self._look(key, name)
            if found is not None and same(found.record, record):
                self.teller.hit(key, name, record)
                entry = Entry(record, found.body)
                self._keep_privately(key, entry, fill.allowed)
                return entry
        return None

    def _ask_as(
        self,
        key: Key,
        record: Record,
        fill: Fill,
        stale: Entry | None,
        spool: Spool | None,
    ) -> Entry:
        """
        Fetch the bytes of the current copy.

        What the origin returns after *record* was seen to be current is what it stands
        for, or else a write has begun and *record* will never be current again.
        """
        entry = self._ask(key, stale)
        if entry is stale or entry.body is None or not self._keeps(entry):
            return entry
        if entry.body.size != record.size or _differ(
            entry.body.version, record.version
        ):
            with suppress(StoreError):  # changed behind our backs
                self.shared.delete(key)
            return entry
        if spool is not None:
            _fill_at_once(spool, entry.body)
        return self._fill_others(key, Entry(record, entry.body), fill, spool)

    # -- keeping -------------------------------------------------------------

    def _keeps(self, entry: Entry) -> bool:
        body = entry.body
        if body is not None and body.provisional and self.shared.ttl is None:
            return False  # nothing would ever end it
        return self.origin.keeps(entry)

    def _fill_others(
        self, key: Key, entry: Entry, fill: Fill, spool: Spool | None
    ) -> Entry:
        """Keep the current copy *entry* in every tier but the shared one."""
        self._keep_privately(key, entry, fill.allowed)
        return self.filler.keep(key, entry, self._stores, fill, self._fill, spool)

    def _fill_nearer(self, key: Key, name: str, entry: Entry, fill: Fill) -> Entry:
        self._keep_privately(key, entry, fill.allowed)
        names = list(self.tiers)
        nearer = [one for one in names[: names.index(name)] if one in self._stores]
        return self.filler.keep(key, entry, nearer, fill, self._fill)

    def _fill(self, key: Key, entry: Entry, names: Iterable[str]) -> None:
        for name in names:
            self.filler.offer(key, entry, name, always)


def _fill_at_once(spool: Spool, body: Body | None) -> None:
    if type(body) is BytesBody:
        spool.write(body.read())


def _differ(version: str | None, other: str | None) -> bool:
    return None not in (version, other) and version != other
