"""
Who stands at a store's face, writes down what is said there, and judges it for itself.

Of a drill it shares nothing: no workload, no ledger, no definition.  Both are stores of
a configuration, ``witness`` and ``liar``, once :func:`install` has told of them.
"""

from __future__ import annotations

import io
import itertools
import time

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from tiered_store.body import Body
from tiered_store.errors import NotFoundError, StoreError, UnavailableError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.wrapper import Wrapper


def install(folder: Path) -> None:
    """Be a package in *folder* that adds the two; it must be on the path of imports."""
    information = folder / "witnesses-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: witnesses\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[tiered_store.stores]\n"
        "witness = tests.witnesses:WitnessStore\n"
        "liar = tests.witnesses:LyingStore\n"
    )


@dataclass(frozen=True)
class Said:
    """A call: *content* is what was put, or read; None is a delete, or absence."""

    verb: Literal["read", "write"]
    key: Key
    began: float
    ended: float
    content: bytes | None
    error: StoreError | None = None

    @property
    def took_too_long(self) -> bool:
        """More than the five seconds that a user of a drill has, and some."""
        return self.ended - self.began > 5.0 * 1.2 + 0.1


class WitnessStore(Wrapper):
    """
    Write down every call of the contract that comes to *child*.

    Args:
        name: Under which all witnesses of a configuration are known.
    """

    known: ClassVar[defaultdict[str, list[WitnessStore]]] = defaultdict(list)

    def __init__(self, child: Store, name: str) -> None:
        super().__init__(child)
        self.said: list[Said] = []
        self.known[name].append(self)

    def put_file(self, file, *values, **options) -> None:
        content, key = file.read(), Key(*values[:5])
        began = time.monotonic()
        try:
            super().put_file(io.BytesIO(content), *values, **options)
        except StoreError as error:
            self._note("write", key, began, content, error)
            raise
        self._note("write", key, began, content)

    def delete_file(self, *key) -> None:
        began = time.monotonic()
        try:
            super().delete_file(*key)
        except StoreError as error:
            self._note("write", Key(*key), began, None, error)
            raise
        self._note("write", Key(*key), began, None)

    def get_file(self, *key) -> io.BytesIO:
        began = time.monotonic()
        try:
            with super().get_file(*key) as file:
                content = file.read()
        except StoreError as error:
            absent = isinstance(error, NotFoundError)
            self._note("read", Key(*key), began, None, None if absent else error)
            raise
        self._note("read", Key(*key), began, content)
        return io.BytesIO(content)

    def _note(
        self,
        verb: Literal["read", "write"],
        key: Key,
        began: float,
        content: bytes | None,
        error: StoreError | None = None,
    ) -> None:
        self.said.append(Said(verb, key, began, time.monotonic(), content, error))


class LyingStore(Wrapper):
    """
    Lie about what *child* has, without an error.

    Args:
        how: ``loses`` each third put, ``ages``: gives the bytes of an object's first
            put at each fifth read, ``revives``: acknowledges deletes, and makes none.
    """

    def __init__(self, child: Store, how: Literal["loses", "ages", "revives"]) -> None:
        super().__init__(child)
        self._how = how
        self._first: dict[Key, bytes] = {}
        self._turns = itertools.count(1)

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self._first.setdefault(key, body.read())
        if self._how == "loses" and next(self._turns) % 3 == 0:
            self.child.delete(key)
        else:
            self.child.put(key, body, reproducible)

    def _get(self, key: Key) -> Body:
        body = self.child.get(key)
        if self._how == "ages" and next(self._turns) % 5 == 0:
            return Body.of(self._first.get(key, b""))
        return body

    def _delete(self, key: Key) -> None:
        if self._how != "revives":
            self.child.delete(key)


class Judgement:
    """
    What *said* comes to: one writer an object, any number of readers.

    Args:
        slack: Seconds for which what a write has replaced may still be read after it;
            who stands elsewhere hears calls begin and end at other moments.
    """

    def __init__(self, said: Sequence[Said], slack: float = 0.0) -> None:
        self._slack = slack
        self.writes: defaultdict[Key, list[Said]] = defaultdict(list)
        self.reads = [one for one in said if one.verb == "read"]
        for one in sorted(said, key=lambda one: one.began):
            if one.verb == "write":
                self.writes[one.key].append(one)

    @property
    def later_writes(self) -> list[Said]:
        """All but the first of each object, for that is made before anybody looks."""
        return [one for writes in self.writes.values() for one in writes[1:]]

    def fates(self) -> Counter[str]:
        """Return how many calls ended how."""
        found: Counter[str] = Counter()
        for one in self.later_writes:
            well = one.error is None and not one.took_too_long
            found["written" if well else "not written"] += 1
        for one in self.reads:
            found[self._fate(one)] += 1
        return found

    def _fate(self, read: Said) -> str:
        possible = self._possible(read.key, read.began, read.ended)
        if read.error is not None:
            nobody_knows = isinstance(read.error, UnavailableError)
            return "unsure" if nobody_knows and None in possible else "failed"
        if read.content in possible:
            return "failed" if read.took_too_long else "right"
        if read.content is None:
            return "absent"
        put = {write.content for write in self.writes[read.key]}
        return "stale" if read.content in put else "wrong"

    def _possible(self, key: Key, began: float, ended: float) -> set[bytes | None]:
        """Return what a read of *key* from *began* to *ended* may find."""
        found: set[bytes | None] = {None}
        for write in self.writes[key]:
            if write.error is None and write.ended + self._slack < began:
                found = {write.content}  # and nothing that was before
            elif write.began <= ended:
                found.add(write.content)
        return found

    def left(self, reads: Sequence[Said]) -> tuple[int, int]:
        """Return what is lost, and what is back, for who made *reads* in the end."""
        lost = back = 0
        for read in reads:
            fate = self._fate(read)
            if fate in ("right", "unsure"):
                continue
            deleted = self._possible(read.key, read.began, read.ended) == {None}
            back += deleted and read.error is None
            lost += not deleted
        return lost, back
