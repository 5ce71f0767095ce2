"""
A journal and replicas whose user is killed at a step that is chosen beforehand.
"""

from __future__ import annotations

import io
import os
import signal
import threading

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tiered_store.body import Body, Stat
from tiered_store.journals.journal import Journal
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.row import Backlog, Row
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.wrapper import Wrapper


class Killer:
    """
    Kills this process at its *at*-th step, with SIGKILL; never with None.

    Args:
        say: Told the name of that step.
    """

    def __init__(self, at: int | None, say: Callable[[str], None]) -> None:
        self._left = at
        self._say = say
        self._lock = threading.Lock()

    def step(self, name: str) -> None:
        """Go on, or die."""
        if self._left is None:
            return
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                self._say(f"died {name}")
                os.kill(os.getpid(), signal.SIGKILL)


class KilledStore(Wrapper):
    """*child*, that may be the last thing its user touches."""

    def __init__(self, child: Store, killer: Killer) -> None:
        super().__init__(child)
        self._killer = killer

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self._killer.step("put-before")
        self.child.put(key, _KilledBody(body, self._killer), reproducible)
        self._killer.step("put-after")

    def _delete(self, key: Key) -> None:
        self._killer.step("delete-before")
        self.child.delete(key)
        self._killer.step("delete-after")

    def _get(self, key: Key) -> Body:
        self._killer.step("get")
        return self.child.get(key)


class _KilledBody(Body):
    """A body whose reader may die half way."""

    def __init__(self, inner: Body, killer: Killer) -> None:
        self.size, self.version = inner.size, inner.version
        self._inner = inner
        self._killer = killer

    def open(self, offset: int = 0) -> io.BufferedReader:
        return io.BufferedReader(_KilledReader(self._inner, offset, self._killer), 4096)

    def stat(self) -> Stat:
        return self._inner.stat()


class _KilledReader(io.RawIOBase):
    def __init__(self, body: Body, offset: int, killer: Killer) -> None:
        self._file = body.open(offset)
        self._half = body.size // 2
        self._killer = killer

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any, /) -> int:
        piece = self._file.read(len(buffer))
        if self._half and self._file.tell() >= self._half:
            self._half = 0
            self._killer.step("put-half")
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()


class KilledJournal(Journal):
    """*inner*, that may be the last thing its user touches."""

    def __init__(self, inner: Journal, killer: Killer) -> None:
        self.inner = inner
        self.capacity, self.local = inner.capacity, inner.local
        self.clock, self.quarantine = inner.clock, inner.quarantine
        self._killer = killer

    def lease(self, key: Key, seconds: float) -> Lease | None:
        lease = self.inner.lease(key, seconds)
        self._killer.step("lease-after")
        return None if lease is None else Lease(lambda: self._release(lease))

    def _release(self, lease: Lease) -> None:
        self._killer.step("release-before")
        lease.release()
        self._killer.step("release-after")

    def rows(self, key: Key) -> Mapping[str, Row]:
        return self.inner.rows(key)

    def lack(self, key: Key, replicas: Iterable[str]) -> bool:
        return self.inner.lack(key, replicas)

    def backlogs(self) -> Mapping[str, Backlog]:
        return self.inner.backlogs()

    def short_of(self, copies: int) -> int:
        return self.inner.short_of(copies)

    def pending(self, replica: str | None = None) -> Iterator[Row]:
        return self.inner.pending(replica)

    def close(self) -> None:
        self.inner.close()

    def _update(self, key: Key, rule: Callable[..., Any], *, must: bool = False) -> Any:
        raise NotImplementedError

    def _page(self, *arguments: Any) -> list[Row]:
        raise NotImplementedError

    def __getattribute__(self, name: str) -> Any:
        if name not in _VERBS:
            return super().__getattribute__(name)
        return self._killing(name)

    def _killing(self, verb: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self._killer.step(f"{verb}-before")
            answer = getattr(self.inner, verb)(*arguments, **options)
            self._killer.step(f"{verb}-after")
            return answer

        return call


_VERBS = frozenset(
    {
        *("begin", "settle", "arrive", "withdraw"),
        *("resolve", "clear", "attempt", "forgo", "complete", "blame"),
    }
)
