"""
Offer copies to tiers, those that are too large for memory behind the caller's back.
"""

from __future__ import annotations

import contextvars

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tiered_store import lifecycle
from tiered_store.body import BytesBody
from tiered_store.caching.download import Download
from tiered_store.caching.meeting import Spool
from tiered_store.caching.telling import Teller
from tiered_store.errors import ClosedError, StoreError
from tiered_store.key import Key
from tiered_store.policies.coherence import Fill
from tiered_store.tiers.tier import WHOLE, Entry, Tier
from tiered_store.workers import Workers


class Filler:
    """
    Fills *tiers*, by name; one that fails is passed over.

    Of the objects that are too large for memory, eight are fetched at once; more are
    served without being kept.
    """

    def __init__(self, tiers: Mapping[str, Tier], teller: Teller) -> None:
        self._tiers = tiers
        self._teller = teller
        self._workers = Workers("fills", 8)
        self._closed = False
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Forget what is arriving: the threads that see to it are the parent's."""
        self._arriving: dict[Key, tuple[Entry, Fill]] = {}

    def offer(
        self, key: Key, entry: Entry, name: str, allowed: Callable[[], bool]
    ) -> StoreError | None:
        """Offer *entry* to the tier called *name*; return why it failed, if it did."""
        tier = self._tiers[name]
        body = entry.body
        if body is not None and body.provisional and tier.ttl is None:
            return None  # nothing would ever end it
        try:
            kept = tier.put(key, entry, allowed)
        except StoreError as error:
            self._teller.bypassed(key, name, error)
            return error
        if kept:
            self._teller.filled(key, name, entry.record)
        return None

    def keep(
        self,
        key: Key,
        entry: Entry,
        names: Iterable[str],
        fill: Fill,
        offer: Callable[[Key, Entry, Iterable[str]], None],
        spool: Spool | None = None,
    ) -> Entry:
        """
        Have *offer* called with *entry* and tiers of *names*; return what to serve.

        Of what is too large for memory, whoever asks meanwhile reads the bytes as they
        arrive; they are fetched once.

        Args:
            spool: Where they arrive, for other processes to follow.
        """
        body = entry.body
        if body is None or body.size <= WHOLE or type(body) is BytesBody:
            with self._unless_closed():
                offer(key, entry, names)
            return entry
        takers = self.takers(names, body.size)
        if not takers:
            return entry
        download = Download(body, spool=spool)
        arriving = Entry(entry.record, download.body)
        held = ExitStack()
        held.enter_context(fill.going_on())
        if spool is not None:
            held.enter_context(spool.held())
        place = self._arriving[key] = (arriving, fill)

        def work() -> None:
            with held:
                try:
                    with self._unless_closed():
                        offer(key, arriving, takers)
                finally:
                    self._arrived(key, place)
                    if isinstance(download.failure, StoreError):
                        self._teller.bypassed(key, takers[0], download.failure)

        if contextvars.Context().run(self._workers.offer, work):
            return arriving
        self._arrived(key, place)
        held.close()
        download.abandon()
        return entry

    def takers(self, names: Iterable[str], size: int) -> list[str]:
        """Return those of the tiers *names* that take an object of *size* bytes."""
        return [name for name in names if self._tiers[name].max_object >= size]

    def arriving(self, key: Key) -> tuple[Entry, Fill] | None:
        """Return what is on its way, and the fetch that brings it."""
        return self._arriving.get(key)

    def _arrived(self, key: Key, place: tuple[Entry, Fill]) -> None:
        if self._arriving.get(key) is place:
            self._arriving.pop(key, None)

    @contextmanager
    def _unless_closed(self) -> Iterator[None]:
        """Leave it at that if a tier is closed because this is."""
        try:
            yield
        except ClosedError:
            if not self._closed:
                raise

    def close(self) -> None:
        """Begin nothing more; what is under way is not kept where it has not been."""
        self._closed = True
        self._workers.close()
