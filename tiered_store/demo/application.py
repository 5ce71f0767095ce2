"""
An application that uses a stack, and remembers what it was promised.
"""

from __future__ import annotations

import hashlib
import io

from collections import Counter
from collections.abc import Callable

from tiered_store.demo.report import Phase
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.events import CacheHit, Event, Operation
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tree import observe


_ANSWER = ("get", "ok")


class Application:
    """
    Stores, reads and deletes through the four methods, as any application would.

    Whatever fails is noted in the phase it happens in, and stops nothing else.

    Args:
        start: Loads the stack, as a process does when it begins.

    Attributes:
        expected: What was acknowledged: the SHA-256 of each object.
        deleted: What must not be there any more.
        hits: How many reads the cache has answered since :meth:`count_anew`.
        answers: How many reads each other store has, by the end of its path.
    """

    def __init__(self, start: Callable[[], Store]) -> None:
        self.expected: dict[Key, str] = {}
        self.deleted: set[Key] = set()
        self.hits = 0
        self.answers: Counter[str] = Counter()
        self._start = start
        self.stack = self._started()

    def restart(self) -> None:
        """Begin again with nothing in memory, as another process would."""
        self.close()
        self.stack = self._started()

    def close(self) -> None:
        """End."""
        self.stack.close()

    def count_anew(self) -> None:
        """Begin to count hits and answers."""
        self.hits = 0
        self.answers.clear()

    def store(
        self,
        phase: Phase,
        key: Key,
        file: io.BufferedIOBase,
        *,
        reproducible: bool = False,
    ) -> None:
        """Store *file*, which stands at its start, over what was there."""
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        phase.writes += 1
        try:
            self.stack.put_file(file, *key, reproducible)
        except StoreError as error:
            phase.failures.append(str(error))
        else:
            self.expected[key] = digest
            self.deleted.discard(key)

    def read(self, phase: Phase, key: Key) -> bytes | None:
        """Return what was stored last, or None if that is not what can be read."""
        phase.reads += 1
        try:
            with self.stack.get_file(*key) as file:
                content = file.read()
        except StoreError as error:
            phase.failures.append(str(error))
            return None
        if hashlib.sha256(content).hexdigest() != self.expected[key]:
            phase.failures.append(f"{key}: these are not the bytes that were stored")
            return None
        return content

    def miss(self, phase: Phase, key: Key) -> None:
        """Read what was deleted; finding it is a failure, and so is not knowing."""
        phase.reads += 1
        try:
            self.stack.get_file(*key).close()
        except NotFoundError:
            return
        except StoreError as error:
            phase.failures.append(str(error))
        else:
            phase.failures.append(f"{key}: it was deleted and is there")

    def delete(self, phase: Phase, key: Key) -> None:
        """Delete *key*."""
        phase.writes += 1
        try:
            self.stack.delete_file(*key)
        except StoreError as error:
            phase.failures.append(str(error))
        else:
            self.expected.pop(key, None)
            self.deleted.add(key)

    def _started(self) -> Store:
        stack = self._start()
        observe(stack, self._count)
        return stack

    def _count(self, event: Event) -> None:
        if isinstance(event, CacheHit):
            self.hits += 1
        if isinstance(event, Operation) and (event.verb, event.outcome) == _ANSWER:
            self.answers[event.store.rpartition(".")[2]] += 1
