"""
The commands together, and what becomes of an error.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from typer.core import TyperGroup
from typer.main import get_command

from tiered_store.cli.failure import FAILED, INTERRUPTED, WRONG, explain


# in the order in which they are listed; none is imported before it is asked for
COMMANDS: Mapping[str, str] = {
    **dict.fromkeys(
        ("check", "lint", "tree", "presets", "schema"), "tiered_store.cli.configuration"
    ),
    "diff": "tiered_store.cli.differing",
    "types": "tiered_store.cli.types",
    **dict.fromkeys(
        ("put", "get", "url", "rm", "ls", "stat"), "tiered_store.cli.objects"
    ),
    "explain": "tiered_store.cli.explaining",
    "status": "tiered_store.cli.status",
    "repair": "tiered_store.cli.repairing",
    **dict.fromkeys(("pending", "forget"), "tiered_store.cli.pending"),
    "verify": "tiered_store.cli.verifying",
    **dict.fromkeys(
        ("drain", "undrain", "promote", "failback", "isolate"),
        "tiered_store.cli.deciding",
    ),
    "drill": "tiered_store.cli.drilling",
    "serve": "tiered_store.cli.serving",
    "demo": "tiered_store.cli.demo",
}


class _Made(Mapping[str, Any]):
    """Every command, each made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        module = importlib.import_module(COMMANDS[name])
        alone = typer.Typer(add_completion=False)
        function = getattr(module, name)
        alone.command(name, help=_flowing(function))(function)
        return get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _flowing(function: Callable[..., None]) -> str:
    """Return the docstring of *function*, whose lines end where a terminal's do."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


class _Group(TyperGroup):
    """A group of commands most of which are not wanted this time."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Made()  # type: ignore[assignment] # nothing is added to it


app = typer.Typer(
    name="tiered-store",
    cls=_Group,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; nothing is raised."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = app(args=words, prog_name="tiered-store", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else FAILED
    except BrokenPipeError:
        # whoever read has enough; what is left must not be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - here it ends, whatever it is
        return explain(error)
    return status if isinstance(status, int) else 0


@app.callback(invoke_without_command=True)
def tiered_store(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.")
    ] = False,
) -> None:
    """
    Compose blob stores: caches, mirrors and failover behind four methods.

    Exit statuses: 0 done, 1 failed, 2 wrong usage or configuration, 3 no such object.
    """
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"tiered-store {version_of('tiered-store')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(WRONG)
