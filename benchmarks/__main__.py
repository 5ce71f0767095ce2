"""
Run it: ``python -m benchmarks --help``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import signal
import sys
import tempfile

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from benchmarks import markdown
from benchmarks.bench import Bench
from benchmarks.outcome import Outcome
from benchmarks.plan import GROUPS, QUICK_ROUNDS, rounds_of
from benchmarks.progress import watching
from benchmarks.results import OURS, Row
from benchmarks.steady import AWAKE, PINNED, awake, keep_memory


def main(arguments: list[str] | None = None) -> int:
    """
    Return 1 if a ratio is broken by a wide margin or ours could not be measured.

    A run that is interrupted writes what it has, and returns 130.
    """
    options = _parser().parse_args(arguments)
    if options.table:
        return _tabulate(options.table, options.into)
    to_stdout = options.json == "-"
    console = Console(stderr=to_stdout)
    outcome = Outcome(_method(options, keep_memory()), list(options.only))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    interrupted = False
    try:
        for _ in _measured(options, outcome):
            if not to_stdout:
                outcome.write(options.output)
    except KeyboardInterrupt:
        interrupted = True
    outcome.show(console)
    if options.json:
        _write(options.json, outcome.as_json())
    if not to_stdout:
        console.print(f"Plots: {outcome.write(options.output)}", soft_wrap=True)
    return 130 if interrupted else int(any(row.broken for row in outcome.rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", type=_groups, default=list(GROUPS), help=f"some of {','.join(GROUPS)}"
    )
    parser.add_argument(
        "--rounds", type=int, help=f"as each group needs, with --quick {QUICK_ROUNDS}"
    )
    parser.add_argument("--quick", action="store_true", help="less, and less exact")
    parser.add_argument("--seed", type=int, default=1, help="of whatever is random")
    parser.add_argument("--json", help="another file to write; - for standard output")
    parser.add_argument(
        "--table",
        type=Path,
        metavar="JSON",
        help="measure nothing, but print the goals of an earlier run as Markdown",
    )
    parser.add_argument(
        "--into", type=Path, metavar="PAGE", help="where --table is put instead"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("bench-output"), help="of page and JSON"
    )
    return parser


def _tabulate(found: Path, into: Path | None) -> int:
    document = json.loads(found.read_text())
    rows = [Row.from_json(row) for row in document["rows"]]
    figures = markdown.written(rows, document["machine"])
    if into is None:
        sys.stdout.write(figures)
    else:
        markdown.insert(into, figures)
    return 0


def _groups(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in GROUPS]:
        raise argparse.ArgumentTypeError(f"no group {', '.join(unknown)}")
    return names


def _measured(options: argparse.Namespace, outcome: Outcome) -> Iterator[str]:
    """Measure group after group into *outcome*, and yield each when it is done."""
    seconds = 0.005 if options.quick else 0.05
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        contextlib.closing(
            Bench(seconds, options.quick, Path(folder), options.seed)
        ) as bench,
        watching(options.only) as watch,
        awake(),
    ):
        outcome.seconds = watch.seconds
        for name in options.only:
            bench.group = name
            bench.rounds = rounds_of(name, quick=options.quick, asked=options.rounds)
            with watch.group(name):
                for row in _group(bench, name):
                    watch.row(row)
                    outcome.rows.append(row)
            yield name


def _group(bench: Bench, name: str) -> Iterator[Row]:
    """Measure a group; one that fails is a row of its own, and a failure at the end."""
    try:
        yield from importlib.import_module(f"benchmarks.groups.{name}").rows(bench)
    except Exception as error:  # noqa: BLE001 - of whatever is measured
        why = f"{type(error).__name__}: {error}"
        yield bench.row(name, {}, floor="", failed={OURS: why})


def _method(options: argparse.Namespace, keeps: bool) -> str:
    rounds = {
        rounds_of(name, quick=options.quick, asked=options.rounds)
        for name in options.only
    }
    return (
        f"{' to '.join(map(str, sorted({min(rounds), max(rounds)})))} rounds a group, "
        f"each with every candidate of a row once, in shuffled order (seed "
        f"{options.seed}). Processor time where one thread works, wall clock where "
        f"several do or somebody waits. {PINNED} {AWAKE} Memory is "
        f"{'kept' if keeps else 'perhaps given back'} by the allocator when freed."
    )


def _write(path: str, document: str) -> None:
    if path == "-":
        sys.stdout.write(document)
    else:
        Path(path).write_text(document)


if __name__ == "__main__":
    sys.exit(main())
