"""
Replicas and a journal whose every step can be where a process dies or is overtaken.
"""

from __future__ import annotations

import random
import threading

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tiered_store.body import Body
from tiered_store.errors import UnavailableError
from tiered_store.journals.journal import Journal
from tiered_store.journals.keylocks import Lease
from tiered_store.journals.row import Backlog, Row
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.wrapper import Wrapper


class Crash(BaseException):
    """The process is no more: nothing catches this, and nothing it does counts."""


class Process:
    """
    A process that dies at its *n*-th step, or when it is killed.

    Every step goes through :meth:`step`, which a schedule may use to let others run.
    """

    def __init__(self, dies_at: int | None = None) -> None:
        self.dead = False
        self.left = dies_at

    def step(self) -> None:
        if self.left is not None:
            self.left -= 1
            self.dead = self.dead or self.left < 0
        if self.dead:
            raise Crash


class SteppedStore(Wrapper):
    """
    A replica as *process* sees it, that fails by the chances of *fate*.

    *fate* says of each call whether it fails, before or after it has taken effect.
    """

    def __init__(
        self, child: Store, process: Process, fate: Callable[[str], str | None]
    ) -> None:
        super().__init__(child)
        self._process = process
        self._fate = fate

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self._change("put", lambda: self.child.put(key, body, reproducible))

    def _delete(self, key: Key) -> None:
        self._change("delete", lambda: self.child.delete(key))

    def _get(self, key: Key) -> Body:
        self._process.step()
        if self._fate("get") is not None:
            raise UnavailableError("down")
        return self.child.get(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        if self._fate("get") is not None:
            raise UnavailableError("down")
        return self.child.keys(prefix)

    def _change(self, verb: str, change: Callable[[], None]) -> None:
        self._process.step()
        fate = self._fate(verb)
        if fate == "before":
            raise UnavailableError("down")
        change()
        self._process.step()
        if fate == "after":
            raise UnavailableError("lost the answer", ambiguous=True)


class SteppedJournal(Journal):
    """*inner* as *process* uses it."""

    local = True

    def __init__(self, inner: Journal, process: Process) -> None:
        self.inner = inner
        self.capacity = inner.capacity
        self.clock = inner.clock
        self.quarantine = inner.quarantine
        self._process = process

    def lease(self, key: Key, seconds: float) -> Lease | None:
        while True:
            self._process.step()
            lease = self.inner.lease(key, 0)
            if lease is not None or not seconds:
                return lease

    def rows(self, key: Key) -> Mapping[str, Row]:
        self._process.step()
        return dict(self.inner.rows(key))

    def backlogs(self) -> Mapping[str, Backlog]:
        return self.inner.backlogs()

    def short_of(self, copies: int) -> int:
        return self.inner.short_of(copies)

    def _update(self, key: Key, rule: Callable[..., Any], *, must: bool = False) -> Any:
        self._process.step()
        result = self.inner._update(key, rule, must=must)
        self._process.step()
        return result

    def _page(
        self, replica: str | None, after: tuple[str, str], limit: int
    ) -> list[Row]:
        self._process.step()
        return self.inner._page(replica, after, limit)


class Schedule:
    """
    Threads of which exactly one runs, chosen anew by *seed* at every step.

    A step is where a :class:`ScheduledProcess` calls :meth:`pause`.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._turns: dict[int, threading.Semaphore] = {}
        self._back = threading.Semaphore(0)
        self._errors: list[BaseException] = []

    def start(self, work: Callable[[], None]) -> None:
        """Add a thread that does *work*; it does not run before it is chosen."""
        turn = threading.Semaphore(0)

        def run() -> None:
            turn.acquire()
            try:
                work()
            except Crash:
                pass
            except BaseException as error:
                self._errors.append(error)
            finally:
                del self._turns[threading.get_ident()]
                self._back.release()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert thread.ident is not None
        self._turns[thread.ident] = turn

    def pause(self) -> None:
        """Let another thread go on, perhaps."""
        turn = self._turns.get(threading.get_ident())
        if turn is not None:
            self._back.release()
            turn.acquire()

    def run_one(self) -> bool:
        """Let one of the threads do a step; return whether there was any."""
        if not self._turns:
            return False
        chosen = self.random.choice(list(self._turns))
        self._turns[chosen].release()
        self._back.acquire()
        if self._errors:
            raise self._errors[0]
        return True

    @property
    def running(self) -> int:
        return len(self._turns)


class ScheduledProcess(Process):
    """A process whose every step may be the last before another one's."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule

    def step(self) -> None:
        self._schedule.pause()
        super().step()
