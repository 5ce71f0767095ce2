"""
Run it: ``python -m benchmarks --help``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
import tempfile

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.bench import Bench
from benchmarks.machine import described
from benchmarks.page import page
from benchmarks.results import OURS, Row
from benchmarks.steady import PINNED, keep_memory
from benchmarks.table import line, show


GROUPS = (
    *("memory", "redis", "fill", "invalidation", "directory", "s3", "mirror"),
    *("hits", "cold", "outage", "regions", "limits", "startup", "stack"),
    "growth",
)


def main(arguments: list[str] | None = None) -> int:
    """Return 1 if a ratio is broken by a wide margin or ours could not be measured."""
    options = _parser().parse_args(arguments)
    rounds = options.rounds or (3 if options.quick else 15)
    to_stdout = options.json == "-"
    console = Console(stderr=to_stdout)
    watcher = Console(stderr=True)
    keeps = keep_memory()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        seconds = 0.005 if options.quick else 0.05
        bench = Bench(rounds, seconds, options.quick, Path(folder), options.seed)
        with contextlib.closing(bench):
            rows = []
            for row in _rows(bench, options.only):
                watcher.print(line(row), style="dim", highlight=False, soft_wrap=True)
                rows.append(row)
    facts = described()
    method = _method(rounds, options.seed, keeps)
    document = _document(rows, facts, method)
    show(rows, console)
    console.print(method, style="dim")
    if options.json:
        _write(options.json, document)
    if not to_stdout:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "bench.json").write_text(document)
        (options.output / "bench.html").write_text(page(rows, facts, method))
        console.print(f"Plots: {options.output / 'bench.html'}", soft_wrap=True)
    return _status(rows, console)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", type=_groups, default=GROUPS, help=f"some of {','.join(GROUPS)}"
    )
    parser.add_argument("--rounds", type=int, help="15, with --quick 3")
    parser.add_argument("--quick", action="store_true", help="less, and less exact")
    parser.add_argument("--seed", type=int, default=1, help="of whatever is random")
    parser.add_argument("--json", help="another file to write; - for standard output")
    parser.add_argument(
        "--output", type=Path, default=Path("bench-output"), help="of page and JSON"
    )
    return parser


def _groups(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in GROUPS]:
        raise argparse.ArgumentTypeError(f"no group {', '.join(unknown)}")
    return names


def _rows(bench: Bench, groups: list[str]) -> Iterator[Row]:
    for name in groups:
        bench.group = name
        yield from _group(bench, name)


def _group(bench: Bench, name: str) -> Iterator[Row]:
    """Measure a group; one that fails is a row of its own, and a failure at the end."""
    try:
        yield from importlib.import_module(f"benchmarks.groups.{name}").rows(bench)
    except Exception as error:  # noqa: BLE001 - of whatever is measured
        why = f"{type(error).__name__}: {error}"
        yield bench.row(name, {}, floor="", failed={OURS: why})


def _method(rounds: int, seed: int, keeps: bool) -> str:
    return (
        f"{rounds} rounds, each with every candidate of a row once, in shuffled order "
        f"(seed {seed}). Processor time where one thread works, wall clock where "
        f"several do or somebody waits. {PINNED} Memory that is freed is "
        f"{'kept' if keeps else 'perhaps given back'} by the allocator."
    )


def _document(rows: list[Row], facts: dict[str, str], method: str) -> str:
    document: dict[str, Any] = {
        "method": method,
        "machine": facts,
        "rows": [row.as_json() for row in rows],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _write(path: str, document: str) -> None:
    if path == "-":
        sys.stdout.write(document)
    else:
        Path(path).write_text(document)


def _status(rows: list[Row], console: Console) -> int:
    aims = [row for row in rows if row.goal is not None]
    met = sum(bool(row.met) for row in aims)
    console.print(f"{met} of {len(aims)} goals are met.")
    broken = [row.name for row in rows if row.broken]
    for name in broken:
        console.print(f"broken by a wide margin: {name}", style="bold red")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
