"""
The commands together, and what becomes of an error.
"""

from __future__ import annotations

import os
import sys

from collections.abc import Sequence
from typing import Annotated

import typer

from tiered_store.cli import configuration
from tiered_store.cli.deciding import drain, failback, isolate, promote, undrain
from tiered_store.cli.demo import demo
from tiered_store.cli.drilling import drill
from tiered_store.cli.explaining import explain as explain_object
from tiered_store.cli.failure import FAILED, INTERRUPTED, WRONG, explain
from tiered_store.cli.objects import get, ls, put, rm, stat, url
from tiered_store.cli.pending import forget, pending
from tiered_store.cli.repairing import repair
from tiered_store.cli.serving import serve
from tiered_store.cli.status import status
from tiered_store.cli.verifying import verify


app = typer.Typer(
    name="tiered-store",
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


_OF_OBJECTS = (put, get, url, rm, ls, stat)
_OF_MIRRORS = (status, repair, pending, forget, verify)
_OF_REGIONS = (drain, undrain, promote, failback, isolate, drill)
_COMMANDS = (
    *configuration.COMMANDS,
    *_OF_OBJECTS,
    *_OF_MIRRORS,
    *_OF_REGIONS,
    serve,
    demo,
)
for _command in _COMMANDS:
    app.command()(_command)
app.command("explain")(explain_object)
