"""
A drill from beginning to end.
"""

from __future__ import annotations

import tempfile
import threading
import time

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from tiered_store.drill.leaf import FAULTS, Fault
from tiered_store.drill.leftovers import sweep
from tiered_store.drill.report import Outcome, Report, Requirement, failures
from tiered_store.drill.scenario import Scenario, Setting
from tiered_store.drill.stage import Stage, is_called, leaves


_AT_ONCE = 6  # scenarios, most of whose time is waiting


def plan(
    config: Path,
    name: str | None,
    faults: Sequence[Fault],
    *,
    places: Sequence[str] = (),
    alike: Sequence[Sequence[str]] = (),
    live: bool = False,
) -> list[Scenario]:
    """
    Return what there is to play: each fault around each leaf.

    Args:
        places: The paths of leaves, or how they end; by default all.
        alike: The same of leaves that somebody else keeps alike.

    Raises:
        ConfigError: Something is wrong with the configuration.
        ValueError: There is no such place.
    """
    with tempfile.TemporaryDirectory(prefix="tiered-store-drill-") as folder:
        stage = Stage(config, name, Path(folder), live="drill." if live else None)
        with stage.built() as stack:
            found = [str(leaf) for leaf in leaves(stack)]
    for wanted in (*places, *(name for group in alike for name in group)):
        if not any(is_called(place, [wanted]) for place in found):
            raise ValueError(f"no place {wanted!r}; there are: {', '.join(found)}")
    return [
        Scenario(number, place, fault)
        for number, place in enumerate(found)
        if not places or is_called(place, places)
        for fault in faults
    ]


def drill(
    config: Path,
    name: str | None = None,
    *,
    faults: Sequence[Fault] = tuple(FAULTS),
    places: Sequence[str] = (),
    alike: Sequence[Sequence[str]] = (),
    requirements: Sequence[Requirement] = (),
    seed: int = 0,
    patience: float = 5.0,
    live: bool = False,
    parallel: int = _AT_ONCE,
    done: Callable[[Outcome, int], None] = lambda outcome, total: None,
) -> Report:
    """
    Play each fault around each leaf of the store *name* in *config*.

    Args:
        faults: Which of them.
        places: Around which leaves, by how their paths end; by default all.
        alike: Leaves that somebody else keeps alike, as S3's replication does.
        seed: Of who reads and writes what.
        patience: Seconds that a user waits for an answer.
        live: Use the real stores, below a prefix that is removed afterwards; what a
            drill that was killed left there is removed before, once it is an hour old.
        parallel: Scenarios at once, each with a stack of its own.
        done: Told each outcome, and how many there will be.

    Raises:
        ConfigError: Something is wrong with the configuration.
        ValueError: There is no such place.
        StoreError: The stack does not work even without a fault.
    """
    began = time.monotonic()
    scenarios = plan(config, name, faults, places=places, alike=alike, live=live)
    if live:
        _sweep(config, name)
    ended = threading.Event()
    setting = Setting(
        config=config,
        name=name,
        seed=seed,
        patience=patience,
        alike=() if live else alike,
        live=live,
        ended=ended.is_set,
    )
    pool = ThreadPoolExecutor(parallel, thread_name_prefix="drill")
    playing: list[Future[Outcome]] = []
    try:
        playing = [pool.submit(scenario.play, setting) for scenario in scenarios]
        outcomes = _collected(playing, done)
    finally:
        ended.set()  # who is interrupted cleans up, and waits for that
        for future in playing:
            future.cancel()
        pool.shutdown(wait=True)
    return Report(
        config=str(config),
        seed=seed,
        live=live,
        outcomes=outcomes,
        failures=list(failures(outcomes, requirements)),
        seconds=time.monotonic() - began,
    )


def _sweep(config: Path, name: str | None) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="tiered-store-drill-") as folder,
        Stage(config, name, Path(folder), live="drill-").built() as stack,
    ):
        sweep(stack)


def _collected(
    playing: Sequence[Future[Outcome]], done: Callable[[Outcome, int], None]
) -> list[Outcome]:
    left = set(playing)
    while left:
        finished, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in finished:
            done(future.result(), len(playing))
    return [future.result() for future in playing]
