"""
One server process of a test's own, that it may freeze, kill and start again.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def free_port() -> int:
    """Return a port that nobody listens on, nor on the one 10000 above it."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            if port + 10000 > 65535:
                continue
            try:
                second.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
            return port


_PR_SET_PDEATHSIG = 1


class ServerProcess:
    """
    A server that is started when constructed.

    Raises:
        RuntimeError: It ended, or was not ready in time; with the end of its output.
    """

    def __init__(
        self,
        command: Sequence[str],
        ready: Callable[[], bool],
        folder: Path,
        *,
        seconds: float = 120.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = list(command)
        self.folder = folder
        self._ready = ready
        self._seconds = seconds
        self._environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it (again) and wait until it is ready."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env=self._environment,
                preexec_fn=_end_with_parent,
            )
        ends = time.monotonic() + self._seconds
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > ends:
                self.kill()
                log_end = (self.folder / "server.log").read_bytes()[-2000:]
                raise RuntimeError(f"{self.command[0]}: not ready: {log_end!r}")
            time.sleep(0.02)

    def freeze(self) -> None:
        """Stop it where it is: connections are accepted, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, frozen or not."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


def _end_with_parent() -> None:
    """Have the kernel end this process when the tests end, however they do."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def heed_interrupts() -> None:
    """Be as in a terminal, in a child, even if the tests run behind a shell's back."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def listening(port: int) -> bool:
    """Say whether somebody accepts connections on *port*."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
