"""
The command that shows a stack over HTTP.
"""

from __future__ import annotations

import re

from typing import Annotated

import typer

from tiered_store.cli.amounts import Default, duration, whole
from tiered_store.cli.failure import WRONG, CommandError
from tiered_store.cli.options import ConfigArgument, ConfigOption, StoreName, chosen
from tiered_store.wording import brief


_PATH = re.compile(r"[^\s:?#\\]*")  # no address, and nothing that ends a path


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise typer.BadParameter(f"expected a path such as /images, got {brief(text)}")
    return text


def serve(
    config: ConfigArgument = None,
    option: ConfigOption = None,
    store: StoreName = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(parser=whole(0, 65_535), metavar="N")] = 8000,
    workers: Annotated[
        int, typer.Option(parser=whole(1, 1_000), metavar="N", help="Processes.")
    ] = 1,
    threads: Annotated[
        int,
        typer.Option(
            parser=whole(1, 10_000),
            metavar="N",
            help="Requests of one process that wait for stores.",
        ),
    ] = 64,
    prefix: Annotated[
        str | None,
        typer.Option(
            parser=_path,
            metavar="PATH",
            help="The path of the objects; else that of a served store.",
        ),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Whose pages may read bytes; * is all."),
    ] = None,
    ttl: Annotated[
        float,
        typer.Option(
            parser=duration(least="0s"),
            metavar="DURATION",
            help="How long browsers need not ask.",
        ),
    ] = Default("5m"),
    reproducible_ttl: Annotated[
        float,
        typer.Option(
            parser=duration(least="0s"),
            metavar="DURATION",
            help="The same for what is computed.",
        ),
    ] = Default("1m"),
    timeout: Annotated[
        float,
        typer.Option(
            parser=duration(),
            metavar="DURATION",
            help="Until an object begins to come.",
        ),
    ] = Default("30s"),
    access_log: Annotated[bool, typer.Option(help="Log each request.")] = False,
) -> None:
    """
    Show the objects over HTTP, until a signal ends it.

    Absence is 404, an outage is 503.  /-/health says that it runs.  URLs must be
    signed if the stack has a served store with a secret.
    """
    try:
        import anyio  # noqa: F401 - which uvicorn does without
        import uvicorn  # noqa: F401
    except ImportError:
        raise CommandError(
            "serving needs packages: pip install 'tiered-store[web]'", WRONG
        ) from None
    from tiered_store.web import server

    shown = server.Options(
        str(chosen(config, option)),
        store,
        prefix=prefix,
        cors=tuple(cors or ()),
        threads=threads,
        ttl=ttl,
        reproducible_ttl=reproducible_ttl,
        timeout=timeout,
    )
    try:
        server.serve(
            shown, host=host, port=port, workers=workers, access_log=access_log
        )
    except SystemExit as end:  # by a number of uvicorn's own
        if end.code:
            raise CommandError(
                f"could not listen on {host}, port {port}, or not begin to serve; "
                "what is logged before says why"
            ) from None
