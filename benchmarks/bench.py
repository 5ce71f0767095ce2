"""
What a group of rows is given to measure with.
"""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from benchmarks.results import Goal, Row, Unit
from benchmarks.sampling import Sample, side_by_side
from benchmarks.server import Server
from benchmarks.steady import on_one_processor


_Kept = TypeVar("_Kept")
Candidate = Callable[["Bench"], Sample]  # sets everything up


class Bench:
    """
    Measures rows.

    Attributes:
        rounds: How often each candidate is measured.
        seconds: How long one measurement of something short lasts.
        quick: Whether to leave out what takes long.
        folder: Room for files; everything in it goes.
        server: A Redis server, started when first asked for.
        loop: For those who only work in one.
    """

    def __init__(self, seconds: float, quick: bool, folder: Path, seed: int) -> None:
        self.rounds = 1
        self.seconds = seconds
        self.quick = quick
        self.folder = folder
        self.group = ""
        self.random = Random(seed)
        self.loop = asyncio.new_event_loop()
        self._server: Server | None = None
        self._row = ExitStack()

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.kill()
        self.loop.close()

    @property
    def server(self) -> Server:
        """Return the server, as empty as the last row left it."""
        if self._server is None:
            self._server = Server(self.folder / "server")
        return self._server

    def steadily(self) -> AbstractContextManager[None]:
        """Have round trips to the server of one speed within the block."""
        return on_one_processor(self.server.pid)

    def place(self, name: str) -> Path:
        """Return a new directory."""
        path = self.folder / f"{name}-{self.random.getrandbits(48):x}"
        path.mkdir()
        return path

    def keep(self, context: AbstractContextManager[_Kept]) -> _Kept:
        """Enter *context*, which is left when its row is done."""
        return self._row.enter_context(context)

    def finally_(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call *call* when the row is done."""
        self._row.callback(call, *arguments)

    def compare(
        self,
        name: str,
        candidates: Mapping[str, Candidate],
        *,
        floor: str,
        goal: Goal | None = None,
        unit: Unit = "s",
        note: str = "",
        rounds: int | None = None,
    ) -> Row:
        """Measure *candidates* side by side, as a row."""
        values, failed = self.measure(candidates, rounds)
        return self.row(
            name, values, floor=floor, goal=goal, unit=unit, note=note, failed=failed
        )

    def measure(
        self,
        candidates: Mapping[str, Callable[[Bench], Any]],
        rounds: int | None = None,
    ) -> tuple[dict[str, list[Any]], dict[str, str]]:
        """
        Return what each of *candidates* told, a round each, and why others failed.

        One that fails costs nobody else.
        """
        failed: dict[str, str] = {}

        def fail(candidate: str, error: Exception) -> None:
            failed[candidate] = f"{type(error).__name__}: {error}"

        with self.clean():
            samples = {}
            for candidate, set_up in candidates.items():
                try:
                    samples[candidate] = set_up(self)
                except Exception as error:  # noqa: BLE001 - of any peer
                    fail(candidate, error)
            values = side_by_side(samples, rounds or self.rounds, self.random, fail)
        return values, failed

    def row(self, name: str, values: Mapping[str, Any], **rest: Any) -> Row:
        """Return a row of this group."""
        return Row(group=self.group, name=name, values=values, **rest)

    @contextlib.contextmanager
    def clean(self) -> Any:
        """Let go of what a row kept, and leave an empty server to the next."""
        with ExitStack() as self._row:
            yield
        if self._server is not None:
            with self._server.client() as client:
                client.flushall()
