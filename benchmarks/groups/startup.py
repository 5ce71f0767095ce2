"""
What it costs to import.
"""

from __future__ import annotations

import subprocess
import sys

from collections.abc import Iterator
from functools import partial
from time import perf_counter

from benchmarks.bench import Bench
from benchmarks.results import OURS, Goal, Row
from benchmarks.sampling import Sample


_PEERS = ("redis", "boto3", "dogpile.cache", "cashews", "minimalkv", "diskcache")


def rows(bench: Bench) -> Iterator[Row]:
    """Measure whole processes."""
    modules = {
        OURS: "tiered_store",
        "and all of a cached stack": "tiered_store.wrappers.cached",
    }
    if not bench.quick:
        modules |= {f"import {name}": name for name in _PEERS}
    imports = {
        name: partial(_process, statement=f"import {module}")
        for name, module in modules.items()
    }
    yield bench.compare(
        "import of tiered_store",
        {"python -c pass": partial(_process, statement="pass"), **imports},
        floor="python -c pass",
        goal=Goal(kind="extra", limit=0.06),
        note="a new process each; what is compiled stays so",
    )


def _process(bench: Bench, *, statement: str) -> Sample:
    def sample() -> float:
        began = perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        return perf_counter() - began

    return sample
