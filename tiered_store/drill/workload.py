"""
Readers and writers, as an application has them, and what became of each call.
"""

from __future__ import annotations

import io
import random
import threading
import time

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tiered_store.deadlines import deadline
from tiered_store.drill.ledger import Record, Verdict, records
from tiered_store.errors import NotFoundError, StoreError, UnavailableError
from tiered_store.store import Store


Fate = Literal["right", "unsure", "absent", "stale", "wrong", "failed", "late"]

FAILED = frozenset({"absent", "stale", "wrong", "failed", "late"})

_READERS, _WRITERS, _OBJECTS = 4, 2, 12
_PAUSE = 0.015  # seconds between calls of one user
_DELETES = 0.2


@dataclass(frozen=True, slots=True)
class Call:
    """
    What became of one call.

    Attributes:
        fate: ``unsure``: asked for what is not there, and told that nobody knows, which
            is the truth in an outage.
        at: Seconds since the workload began.
        seconds: How long it took.
    """

    kind: Literal["read", "write"]
    at: float
    seconds: float
    fate: Fate
    error: str = ""


class Workload:
    """
    Users of *stack*.

    Args:
        patience: Seconds that a user waits for a call; one that took longer has
            failed them.

    Attributes:
        calls: What became of each, in the order in which they ended.
    """

    def __init__(self, stack: Store, seed: int, patience: float) -> None:
        self.calls: list[Call] = []
        self._stack = stack
        self._seed = seed
        self._patience = patience
        self._owned = records(_WRITERS, _OBJECTS)
        self._began = time.monotonic()
        self._writing = threading.Event()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def records(self) -> Sequence[Record]:
        """All objects."""
        return [record for owned in self._owned for record in owned]

    def fill(self) -> None:
        """
        Store every object once, before anything befalls anybody.

        Raises:
            StoreError: The stack does not work even so.
        """
        for record in self.records:
            content = record.next(self._seed)
            record.begin(content)
            self._stack.put_file(io.BytesIO(content), *record.key, reproducible=False)
            record.acknowledge(content)
        self.calls.clear()

    def start(self) -> None:
        """Let everybody begin."""
        self._began = time.monotonic()
        self._writing.set()
        for number in range(_READERS):
            self._run(self._read, random.Random(f"{self._seed}/r{number}"))
        for number in range(_WRITERS):
            self._run(
                self._write,
                random.Random(f"{self._seed}/w{number}"),
                self._owned[number],
            )

    def now(self) -> float:
        """Return the seconds since they began."""
        return time.monotonic() - self._began

    def stop_writing(self) -> None:
        """Let only readers go on."""
        self._writing.clear()

    def stop(self, seconds: float) -> bool:
        """Let everybody end, and return whether they did within *seconds*."""
        self._ended.set()
        ends = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, work: object, *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _read(self, chance: random.Random) -> None:
        everything = self.records
        while not self._ended.is_set():
            self._read_one(chance.choice(everything))
            self._ended.wait(_PAUSE * chance.uniform(0.5, 1.5))

    def _read_one(self, record: Record) -> None:
        began = self.now()
        error = ""
        fate: Fate
        with record.reading() as seen:
            try:
                with deadline(self._patience):
                    fate = record.judge(self._content(record), seen)
            except StoreError as raised:
                unsure = None in seen and isinstance(raised, UnavailableError)
                fate, error = "unsure" if unsure else "failed", str(raised)
        self._note("read", began, fate, error)

    def _content(self, record: Record) -> bytes | None:
        try:
            with self._stack.get_file(*record.key) as file:
                return file.read()
        except NotFoundError:
            return None

    def _write(self, chance: random.Random, owned: Sequence[Record]) -> None:
        while not self._ended.is_set() and self._writing.is_set():
            self._write_one(chance.choice(owned), delete=chance.random() < _DELETES)
            self._ended.wait(_PAUSE * chance.uniform(1, 3))

    def _write_one(self, record: Record, *, delete: bool) -> None:
        content = None if delete else record.next(self._seed)
        record.begin(content)
        began = self.now()
        fate: Fate = "right"
        error = ""
        try:
            with deadline(self._patience):
                if content is None:
                    self._stack.delete_file(*record.key)
                else:
                    self._stack.put_file(io.BytesIO(content), *record.key, False)
        except StoreError as raised:
            fate, error = "failed", str(raised)
        else:
            record.acknowledge(content)
        self._note("write", began, fate, error)

    def _note(
        self, kind: Literal["read", "write"], began: float, fate: Fate, error: str
    ) -> None:
        seconds = self.now() - began
        if fate == "right" and seconds > self._patience * 1.2 + 0.1:
            fate, error = "late", f"after {seconds:.1f} s"
        self.calls.append(Call(kind, began, seconds, fate, error))


def content_of(stack: Store, record: Record) -> tuple[bytes | None, str]:
    """Return the bytes of *record*, None if it is absent, and an error if there was."""
    try:
        with deadline(30.0), stack.get_file(*record.key) as file:
            return file.read(), ""
    except NotFoundError:
        return None, ""
    except StoreError as error:
        return None, str(error)


def verdict_of(record: Record, content: bytes | None) -> Verdict:
    """Return what *content* is, now that nothing changes any more."""
    return record.judge(content, set(record.possible))
