"""
Work that blocks, waited for without blocking, and left alone when nobody waits.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from tiered_store import deadlines, lifecycle
from tiered_store.errors import ConfigError, DeadlineError, UnavailableError


if TYPE_CHECKING:
    import anyio


_PATIENCE = 0.005  # seconds
_NUMBERS = itertools.count(1)
Result = TypeVar("Result")


class Threads:
    """
    At most *limit* calls at once of each event loop; more wait for their turn.

    A call whose caller was cancelled goes on in its thread, and what it returns is
    discarded there.  Of those there are *limit* at most, too.
    """

    def __init__(self, limit: int) -> None:
        try:
            from anyio.lowlevel import RunVar
        except ImportError:
            raise ConfigError(
                "an AsyncStore needs a package: pip install 'tiered-store[async]'"
            ) from None
        self._limit = limit
        # by its name in some versions, so no two may have one
        self._limiters: RunVar[anyio.CapacityLimiter | None] = RunVar(
            f"tiered-store threads {next(_NUMBERS)}", None
        )
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Begin anew: calls that the parent gave up hang there alone."""
        self._lock = threading.Lock()
        self._abandoned = 0

    async def call(
        self,
        work: Callable[[], Result],
        discard: Callable[[Result | None], None] = lambda result: None,
    ) -> Result:
        """
        Return what *work* does in a thread; a cancelled caller does not wait for it.

        The caller's time (``move_on_after``, ``fail_after``) is the stores' deadline.

        Args:
            discard: Called with the result that nobody waits for, or with None if
                there is none.

        Raises:
            UnavailableError: Too many calls that were given up have not ended yet.
        """
        with self._lock:
            if self._abandoned >= self._limit:
                raise UnavailableError(
                    f"{self._abandoned} calls that were cancelled still hang"
                )

        def discard_there(result: Result | None) -> None:
            with self._lock:
                self._abandoned -= 1
            discard(result)

        one = _Call(work, discard_there)
        try:
            result: Result = await self._run(one)
        except _cancelled():
            if one.abandon():
                with self._lock:
                    self._abandoned += 1
            elif one.over:
                discard(one.result)
            raise
        return result

    async def finish(
        self,
        work: Callable[[], Result],
        interrupt: Callable[[], None] = lambda: None,
        *,
        limiter: anyio.CapacityLimiter | None = None,
    ) -> Result:
        """
        Return what *work* does in a thread; a cancelled caller waits for its end.

        Args:
            interrupt: Called at a cancellation, to make the end come soon.
            limiter: Where to wait for a turn; else with all others of the event loop.
        """
        import anyio

        one = _Call(work, lambda result: None)
        try:
            result: Result = await self._run(one, limiter)
        except _cancelled():
            interrupt()
            if one.abandon():
                with anyio.CancelScope(shield=True):
                    while not one.over:
                        # asyncio's own cancel() knows no shield
                        with contextlib.suppress(_cancelled()):
                            await anyio.sleep(_PATIENCE)
            one.result = None  # which this traceback would keep
            raise
        return result

    async def always(self, work: Callable[[], object]) -> None:
        """Have *work*, which is quick, done in a thread, whatever is cancelled."""
        import anyio

        with anyio.CancelScope(shield=True):
            one = _Call(work, lambda result: None)
            try:
                # no turn to wait for: in trio, calls that were given up keep theirs
                await self._run(one, anyio.CapacityLimiter(1))
            except _cancelled():  # asyncio's own cancel() knows no shield
                if not one.abandon() and not one.over:  # nor will it begin
                    work()
                raise

    def turns(self) -> anyio.CapacityLimiter:
        """Return the limiter of this event loop; one of another wakes nobody here."""
        import anyio

        limiter = self._limiters.get()
        if limiter is None:
            limiter = anyio.CapacityLimiter(self._limit)
            self._limiters.set(limiter)
        return limiter

    async def _run(
        self, one: _Call, limiter: anyio.CapacityLimiter | None = None
    ) -> Any:
        import anyio.to_thread

        try:
            return await anyio.to_thread.run_sync(
                one.run,
                _time_left(),
                abandon_on_cancel=True,
                limiter=limiter or self.turns(),
            )
        except DeadlineError:
            await anyio.sleep(_PATIENCE)  # the caller's own timeout comes first
            raise


class _Call:
    """
    One call, after which either its caller or its thread cleans up.

    Attributes:
        begun: It has been taken up by a thread.
        over: It has ended there.
        result: What it returned, if it did.
    """

    def __init__(self, work: Callable[[], Any], discard: Callable[[Any], None]) -> None:
        self._work = work
        self._discard = discard
        self._lock = threading.Lock()
        self._alone = False  # changed under the lock, as the next two are
        self.begun = self.over = False
        self.result: Any = None

    def run(self, limit: AbstractContextManager[None]) -> Any:
        """Do the work, in a thread; clean up if nobody waits any more."""
        with self._lock:
            self.begun = not self._alone
        if not self.begun:  # it was given up before
            return None
        try:
            with limit:
                self.result = self._work()
            return self.result
        finally:
            with self._lock:
                self.over = True
                alone = self._alone
            if alone:
                self._discard(self.result)

    def abandon(self) -> bool:
        """Tell whether its thread will clean up, since it is still at work."""
        with self._lock:
            self._alone = True
            begun, over = self.begun, self.over
        return begun and not over


def _cancelled() -> type[BaseException]:
    import anyio

    return anyio.get_cancelled_exc_class()


def _time_left() -> AbstractContextManager[None]:
    import anyio

    ends = anyio.current_effective_deadline()
    if ends == math.inf:
        return contextlib.nullcontext()
    return deadlines.deadline(max(0.0, ends - anyio.current_time()))
