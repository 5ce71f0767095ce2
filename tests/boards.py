"""
A shared tier in memory: what a Redis server would do, one step at a time.

A :class:`Board` is the server, a :class:`BoardTier` what one process sees of it.
"""

from __future__ import annotations

import itertools
import threading
import weakref

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tiered_store.errors import UnavailableError
from tiered_store.key import Key
from tiered_store.testing.clock import FakeClock
from tiered_store.tiers.shared import (
    Claim,
    Leased,
    Listening,
    Looked,
    SharedTier,
    UnderWay,
)
from tiered_store.tiers.tier import FOREVER, Entry, Record


@dataclass
class Place:
    """What the server knows of one object."""

    entry: Entry | None = None
    lease: str = ""
    lease_ends: float = FOREVER


@dataclass
class Board:
    """The server, and the messages it sends."""

    clock: FakeClock = field(default_factory=FakeClock)
    places: dict[Key, Place] = field(default_factory=dict)
    tiers: list[BoardTier] = field(default_factory=list)
    tokens: itertools.count[int] = field(default_factory=itertools.count)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def at(self, key: Key) -> Place:
        place = self.places.setdefault(key, Place())
        if self.clock.monotonic() >= place.lease_ends:
            place.lease, place.lease_ends = "", FOREVER
        return place

    def tell(self, kind: str, key: Key, sender: BoardTier, token: str = "") -> None:
        for tier in self.tiers:
            tier.receive(kind, key, sender, token)


class Bell:
    """Rings for who waits for one lease."""

    def __init__(self, key: Key, token: str) -> None:
        self.key, self.token = key, token
        self.said: Literal["look", "absent", "failed"] = "look"
        self.event = threading.Event()

    def wait(self, seconds: float) -> Literal["look", "absent", "failed"]:
        self.event.wait(seconds)
        return self.said


class BoardTier(SharedTier):
    """
    *board* as one process sees it.

    *fate* is asked before each step whether it fails: ``before`` it has had its effect,
    or ``after``.  A feed that is ``deaf`` misses messages without knowing it.
    """

    def __init__(
        self,
        board: Board,
        *,
        fate: Callable[[str], str | None] = lambda _: None,
        max_object: int = 1_000_000,
        ttl: float | None = None,
    ) -> None:
        self.board = board
        self.fate = fate
        self.max_object = max_object
        self.ttl = ttl
        self.online = False
        self.deaf = False
        self.steps: list[str] = []
        self.bells: list[Bell] = []
        self._listening: weakref.WeakSet[Listening] = weakref.WeakSet()
        board.tiers.append(self)

    # -- the feed ------------------------------------------------------------

    def subscribe(self, listening: Listening) -> None:
        self._listening.add(listening)

    def connect(self) -> None:
        """Hear of what is written from now on."""
        self.tear()
        self.deaf, self.online = False, True
        for listening in self._listening:
            listening.mended()

    def tear(self) -> None:
        """Notice that messages are missed."""
        self.deaf, self.online = True, False
        for listening in self._listening:
            listening.torn()

    def receive(self, kind: str, key: Key, sender: BoardTier, token: str) -> None:
        if self.deaf:
            return
        if kind == "write" and sender is not self:
            for listening in self._listening:
                listening.overtaken(key)
        for bell in list(self.bells):
            if bell.key == key and kind != "write":
                if kind == "absent":
                    if bell.token != token:
                        continue
                    bell.said = "absent"
                elif kind == "failed":
                    bell.said = "failed"
                bell.event.set()

    # -- commands ------------------------------------------------------------

    def _step(self, name: str, work: Callable[[Place], object], key: Key) -> object:
        self.steps.append(name)
        fate = self.fate(name)
        if fate == "before":
            raise UnavailableError("refused")
        with self.board.lock:
            result = work(self.board.at(key))
        if fate == "after":
            raise UnavailableError("lost the answer", ambiguous=True)
        return result

    def look(self, key: Key, *, body: bool = True) -> Looked:
        entry = self._step("look", lambda place: place.entry, key)
        assert entry is None or isinstance(entry, Entry)
        if entry is not None:
            now = self.board.clock.time()
            if now >= entry.record.fresh_until + self.grace:
                return Looked(None, b"old")
            if not body:
                entry = Entry(entry.record, None)
        return Looked(entry)

    def lease(
        self,
        key: Key,
        seconds: float,
        *,
        rejected: bytes | None = None,
        refresh: bool = False,
    ) -> Leased:
        token = str(next(self.board.tokens))

        def work(place: Place) -> Leased:
            if rejected is not None:
                place.entry = None
            if place.entry is not None and not refresh:
                return Leased("hit")
            if not place.lease:
                place.lease = f"F{token}"
                place.lease_ends = self.board.clock.monotonic() + seconds
                return Leased("own", token)
            if place.lease.startswith("F"):
                bell = Bell(key, place.lease[1:])
                self.bells.append(bell)
                return Leased("wait", waiting=bell)
            return Leased("writing")

        leased = self._step("lease", work, key)
        assert isinstance(leased, Leased)
        return leased

    def fill(self, key: Key, token: str, entry: Entry) -> bool:
        def work(place: Place) -> bool:
            if place.lease != f"F{token}":
                return False
            place.entry = self._stored(entry)
            place.lease, place.lease_ends = "", FOREVER
            self.board.tell("filled", key, self)
            return True

        return bool(self._step("fill", work, key))

    def fail(self, key: Key, token: str, *, absent: bool) -> None:
        def work(place: Place) -> None:
            if place.lease == f"F{token}":
                place.lease, place.lease_ends = "", FOREVER
                self.board.tell("absent" if absent else "failed", key, self, token)

        self._step("fail", work, key)

    def begin(self, key: Key, seconds: float) -> Claim:
        token = str(next(self.board.tokens))

        def work(place: Place) -> None:
            contended = place.lease[:1] in ("W", "X")
            place.lease = "X" if contended else f"W{token}"
            place.lease_ends = self.board.clock.monotonic() + seconds
            place.entry = None
            self.board.tell("write", key, self)

        self._step("begin", work, key)
        return Claim(key, token)

    def end(self, claim: Claim, entry: Entry | None) -> bool:
        def work(place: Place) -> bool:
            ours = place.lease == f"W{claim.token}"
            place.entry = self._stored(entry) if ours and entry is not None else None
            if not ours and place.lease.startswith("W"):
                place.lease = "X"
            else:
                place.lease, place.lease_ends = "", FOREVER
            self.board.tell("write", claim.key, self)
            return place.entry is not None

        return bool(self._step("end", work, claim.key))

    def leave(self, claim: Claim) -> None:
        self._step("leave", lambda place: self._purge(place, claim.key), claim.key)

    def delete(self, key: Key) -> None:
        self._step("delete", lambda place: self._purge(place, key), key)

    def _purge(self, place: Place, key: Key) -> None:
        place.entry = None
        if place.lease.startswith("F"):
            place.lease, place.lease_ends = "", FOREVER
        self.board.tell("write", key, self)

    def current(self, key: Key, identity: int) -> bool:
        def work(place: Place) -> bool:
            entry = place.entry
            return entry is not None and entry.record.identity == identity

        return bool(self._step("current", work, key))

    def under_way(self, key: Key) -> UnderWay | None:
        def work(place: Place) -> UnderWay | None:
            if not place.lease:
                return None
            what: Literal["fetch", "write"] = (
                "fetch" if place.lease.startswith("F") else "write"
            )
            left = place.lease_ends - self.board.clock.monotonic()
            awaited = any(bell.token == place.lease[1:] for bell in self.bells)
            return UnderWay(what, left, awaited)

        found = self._step("under way", work, key)
        assert found is None or isinstance(found, UnderWay)
        return found

    def clear(self) -> None:
        if self.fate("clear") is not None:
            raise UnavailableError("refused")
        with self.board.lock:
            self.board.places.clear()
            for tier in self.board.tiers:
                for listening in tier._listening:
                    listening.torn()
                    if tier.online:
                        listening.mended()

    def _stored(self, entry: Entry) -> Entry:
        old = entry.record
        record = Record(
            since=old.since,
            fresh_until=self.until(entry, self.board.clock.time()),
            size=old.size,
            version=old.version,
            modified=old.modified,
            cost=old.cost,
            identity=old.identity,
        )
        if entry.body is None or entry.body.size > self.max_object:
            return Entry(record, None)
        return Entry(record, record.body(entry.body.read()))
