"""
Copies that many processes keep together, one of their tiers being shared.

The shared tier tells which copy is the current one.  A copy in this process's memory
is believed while the process hears of every write; one in any other tier if it is, by
its identity, the current one.  So nothing that was late, missed or left behind
somewhere is ever served, and what is too large for the shared tier can be elsewhere.
"""

from __future__ import annotations

import threading
import time

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from tiered_store import deadlines, lifecycle
from tiered_store.body import Body
from tiered_store.caching.elsewhere import Elsewhere
from tiered_store.caching.keeper import Parts, answer, same
from tiered_store.caching.meeting import Spool
from tiered_store.errors import DeadlineError, NotFoundError, StoreError
from tiered_store.key import Key
from tiered_store.policies.coherence import Fill, Write
from tiered_store.tiers.shared import Claim, Looked, SharedTier
from tiered_store.tiers.tier import Entry, Record


Result = TypeVar("Result")
_SOONEST, _LATEST = 0.002, 0.05  # seconds between two looks, if nobody can wake us
_WOKEN = 0.2  # if somebody can: only the end of a dead one's lease makes no noise
_MOST = 10_000  # claims that are remembered to be ended
_LEASES = 2  # of others that are waited for, if they all end in vain


class _Unshared(Exception):  # noqa: N818 - told to nobody
    """The shared tier could not be asked; before, it may have told of a stale copy."""

    def __init__(self, stale: Entry | None) -> None:
        super().__init__()
        self.stale = stale


class Together(Elsewhere):
    """Copies in tiers of which the one called *shared* is shared with who writes."""

    def __init__(self, parts: Parts, name: str, shared: SharedTier) -> None:
        super().__init__(parts, name, shared)
        names = list(self.tiers)
        place = names.index(self.shared_name)
        self._nearest = not any(name in self._stores for name in names[:place])
        self._forked = self._used = False
        self._waking = threading.Lock()
        self._unended: dict[Key, Claim] = {}
        self.coherence.suspend()
        lifecycle.survive_fork(self)
        shared.subscribe(self)

    # -- what others write ---------------------------------------------------

    def overtaken(self, key: Key) -> None:
        """Let go of *key*, which another process writes."""
        self.coherence.overtaken(key)
        self.forget(key)

    def torn(self) -> None:
        """Let go of everything in memory: writes may have been missed."""
        self.coherence.suspend()
        for tier in self.private.values():
            tier.clear()
        self._forked = False

    def mended(self) -> None:
        """Keep copies in memory from now on, and drop what could not be dropped."""
        self.coherence.resume()
        if self._used:
            self.poison.deliver()

    def after_fork(self) -> None:
        """Believe nothing of the parent's memory before the child listens itself."""
        self._forked = True
        self._waking = threading.Lock()

    def wake(self) -> None:
        if self._forked:
            with self._waking:  # whoever comes second must not read before it is done
                if self._forked:
                    self.torn()
        if not self._used:  # before, nothing is changed: somebody may only look
            self._used = True
            self.poison.deliver()

    def doubts(self, key: Key, name: str, record: Record) -> str | None:
        if name in self._stores or (self.private and self.parts.strong):
            try:
                current = self.shared.look(key, body=False).entry
            except StoreError:
                return f"{self.shared_name} cannot be asked which copy is current"
            if current is None or not same(record, current.record):
                return "another copy is current" if current else "no copy is current"
        return super().doubts(key, name, record)

    # -- reading -------------------------------------------------------------

    def near(self, key: Key) -> tuple[Entry | None, Entry | None]:
        self.wake()
        entry, stale = super().near(key)
        if entry is None or not self.parts.strong:
            return entry, stale
        try:  # what the shared tier has missed, it vouches for all the same
            if not self._poisoned(key) and self.shared.current(
                key, entry.record.identity
            ):
                return entry, None
        except DeadlineError:
            raise
        except StoreError as error:
            self.teller.bypassed(key, self.shared_name, error)
        self.forget(key)
        return None, None

    def read(self, key: Key) -> Body:
        if self.private or not self._nearest or self._poisoned(key):
            return super().read(key)
        # nothing nearer is to be filled, so a hit concerns nobody else
        try:
            looked = self.shared.look(key)
        except DeadlineError:
            raise
        except StoreError as error:
            self.teller.bypassed(key, self.shared_name, error)
            return self._share(key, lambda fill: self._fetch_apart(key, fill, None))
        entry = looked.entry
        if (
            entry is not None
            and entry.whole
            and self._serves(key, self.shared_name, entry)
        ):
            return answer(entry)
        return self._share(key, lambda fill: self._fetch(key, fill, None, None, looked))

    def fetch(
        self, key: Key, fill: Fill, stale: Entry | None, known: Record | None = None
    ) -> Entry:
        return self._fetch(key, fill, stale, known, None)

    def _fetch(
        self,
        key: Key,
        fill: Fill,
        stale: Entry | None,
        known: Record | None,
        looked: Looked | None,
    ) -> Entry:
        if not self._poisoned(key):
            try:
                return self._agree(key, fill, stale, known, looked)
            except _Unshared as unshared:
                stale = unshared.stale or stale
        return self._fetch_apart(key, fill, stale)

    def _fetch_apart(self, key: Key, fill: Fill, stale: Entry | None) -> Entry:
        """Fetch without the shared tier."""
        entry = self._ask(key, stale)
        if entry is not stale and self.origin.keeps(entry):
            self._keep_privately(key, entry, fill.allowed)
        return entry

    def _agree(
        self,
        key: Key,
        fill: Fill,
        stale: Entry | None,
        known: Record | None,
        looked: Looked | None,
    ) -> Entry:
        """Return the current copy, or be the one who fetches it, or wait for that."""
        wait, gave_up = _SOONEST, 0
        patience = time.monotonic() + _LEASES * self.parts.fill_lease
        while True:
            if looked is None:
                looked = self._ask_shared(
                    key, partial(self.shared.look, key, body=self._nearest)
                )
            current = looked.entry
            if current is not None and not same(current.record, known):
                name, entry, rejected = self._whole(key, current)
                if entry is None and rejected is None:
                    return self._fetch_as(key, current.record, fill, stale)
                if entry is None:
                    current, looked = None, Looked(None, rejected)
                elif self._serves(key, name, entry):
                    return self._fill_nearer(key, name, entry, fill)
                stale = entry or stale
            leased = self._ask_shared(
                key,
                partial(
                    self.shared.lease,
                    key,
                    self.parts.fill_lease,
                    rejected=looked.rejected,
                    refresh=current is not None,
                ),
                stale,
            )
            looked = None
            if leased.state == "own":
                return self._lead(key, leased.token, fill, stale)
            impatient = gave_up > 1 or time.monotonic() > patience
            if leased.state == "writing" or impatient:
                return self._ask(key, stale)
            if leased.waiting is not None:
                heard = self.shared.online
                said = leased.waiting.wait(deadlines.bounded(_WOKEN if heard else wait))
                deadlines.check()
                if said == "absent":
                    raise NotFoundError("no such object, as who asked was told")
                gave_up += said == "failed"
                wait = min(1.6 * wait, _LATEST)

    def _lead(self, key: Key, token: str, fill: Fill, stale: Entry | None) -> Entry:
        """Fetch *key* for everybody who waits for it."""
        absent = False
        try:
            entry = self._ask(key, stale)
            if entry is not stale and self._keeps(entry):
                entry, token = self._publish(key, token, entry, fill), ""
            return entry
        except NotFoundError:
            absent = True
            raise
        finally:
            if token:
                with suppress(StoreError):
                    self.shared.fail(key, token, absent=absent)

    def _publish(self, key: Key, token: str, entry: Entry, fill: Fill) -> Entry:
        with self._spooled(entry) as spool:  # or whoever is woken finds nothing
            return self._publish_as(key, token, entry, fill, spool)

    def _publish_as(
        self, key: Key, token: str, entry: Entry, fill: Fill, spool: Spool | None
    ) -> Entry:
        try:
            done = self.shared.fill(key, token, entry)
        except StoreError as error:
            self.teller.bypassed(key, self.shared_name, error)
            with suppress(StoreError):  # or others wait for its end
                self.shared.fail(key, token, absent=False)
            done = False
        else:
            if not done:
                self.teller.rejected(key)
        if not done:  # it may just have taken too long; what overtook it will be heard
            self._keep_privately(key, entry, fill.allowed)
            return entry
        self.teller.filled(key, self.shared_name, entry.record)
        return self._fill_others(key, self._bounded(entry), fill, spool)

    def _whole(
        self, key: Key, current: Entry
    ) -> tuple[str, Entry | None, bytes | None]:
        """
        Return where the nearest whole copy is that is the current one, and itself.

        If the shared tier has one that turns out to be damaged, it is named at last.
        """
        rejected = None
        arriving = self.filler.arriving(key)  # before it may have landed
        for name in self.tiers:
            if name == self.shared_name:
                entry: Entry | None = current
                if not current.whole and not self._nearest:
                    looked = self._ask_shared(key, partial(self.shared.look, key))
                    entry, rejected = looked.entry, looked.rejected
                if entry is not None and entry.whole:
                    return name, entry, None
            elif name in self._stores:
                entry = None if current.whole else self._look(key, name)
                if entry is not None and same(entry.record, current.record):
                    return name, Entry(current.record, entry.body), None
        if arriving is not None and same(arriving[0].record, current.record):
            return self._stores[0], arriving[0], None
        return self.shared_name, None, rejected

    def _bounded(self, entry: Entry) -> Entry:
        """Return *entry* as fresh, at most, as it is for those who share it."""
        until = self.shared.until(entry, self.clock.time())
        return Entry(entry.record.until(until), entry.body)

    def _ask_shared(
        self, key: Key, ask: Callable[[], Result], stale: Entry | None = None
    ) -> Result:
        try:
            return ask()
        except DeadlineError:
            raise
        except StoreError as error:
            self.teller.bypassed(key, self.shared_name, error)
            raise _Unshared(stale) from error

    # -- writing -------------------------------------------------------------

    def _begin(self, key: Key) -> Callable[[Entry | None, Write, bool], None]:
        claim = self.shared.begin(key, self.parts.write_lease)
        return partial(self._end, claim)

    def _end(
        self, claim: Claim, entry: Entry | None, write: Write, landed: bool
    ) -> None:
        if not landed:
            self.shared.leave(claim)
        elif entry is None:
            self._ended(claim, None)
        else:
            with self._spooled(entry):
                if self._ended(claim, entry):
                    self.teller.filled(claim.key, self.shared_name, entry.record)
                    entry = self._bounded(entry)
                    self._keep_privately(claim.key, entry, write.alone)
                    self._fill(claim.key, entry, self._stores)

    def _ended(self, claim: Claim, entry: Entry | None) -> bool:
        try:
            return self.shared.end(claim, entry)
        except StoreError:
            if len(self._unended) < _MOST:
                self._unended[claim.key] = claim  # or nobody fills before it ends
            raise

    def _drop(self, key: Key) -> None:
        claim = self._unended.get(key)
        if claim is None:
            self.shared.delete(key)  # the other tiers need no dropping
        else:
            self.shared.end(claim, None)
            if self._unended.get(key) is claim:
                self._unended.pop(key, None)
        # nobody hears what they say themselves, and it may be another's write
        self.overtaken(key)

    def _tell_undropped(self, key: Key, error: StoreError) -> None:
        self.teller.poisoned(key, self.shared_name, error)

    def _clear(self) -> None:
        self.shared.clear()
