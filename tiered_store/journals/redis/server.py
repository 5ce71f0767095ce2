"""
The server that keeps a journal: what it must promise, and what it is asked.
"""

from __future__ import annotations

import hashlib

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from tiered_store import deadlines
from tiered_store.clients.link import Link
from tiered_store.errors import (
    DeadlineError,
    MisconfiguredError,
    RefusedError,
    StoreError,
    UnavailableError,
)


Durability = Literal["snapshot", "process", "power"]

_MOVES = frozenset({"MovedError", "AskError", "TryAgainError"})


class Server:
    """
    Whoever keeps the names that begin with *tag*.

    Args:
        connect: Returns a client of redis-py.
        patience: Seconds to wait for another thread that connects.
        timeout: Seconds without a byte, after which the server has failed.
        replicas: How many of its replicas must have a change.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        tag: str,
        *,
        patience: float,
        timeout: float,
        replicas: int,
    ) -> None:
        self._tag = tag
        self._timeout = timeout
        self._replicas = replicas
        self._link = Link(lambda: _Client(connect(), tag), patience)

    def ask(self, *words: Any) -> Any:
        """Return the answer to one command."""
        return self._command(*words)

    def run(
        self,
        script: str,
        keys: Sequence[str],
        arguments: Sequence[Any],
        *,
        confirmed: bool = False,
    ) -> Any:
        """
        Return the answer of *script*.

        Args:
            confirmed: Wait until as many replicas as are wanted have what it did.

        Raises:
            UnavailableError: Among others, if they do not; it is ambiguous then.
        """
        options = {}
        if confirmed and self._replicas:
            options["then"] = ("WAIT", self._replicas, self._milliseconds())
        rest = (len(keys), *keys, *arguments)
        try:
            answer = self._command("EVALSHA", _digest(script), *rest, **options)
        except StoreError as error:
            if type(error.__cause__).__name__ != "NoScriptError":
                raise
            answer = self._command("EVAL", script, *rest, **options)
        if not options:
            return answer
        answer, have = answer
        if have < self._replicas:
            raise UnavailableError(
                f"{have} of {self._replicas} replicas of the journal's server have "
                "what it was told",
                ambiguous=True,
            )
        return answer

    def examine(self, durability: Durability) -> None:
        """
        Raise unless the server keeps what it is told.

        Raises:
            MisconfiguredError: It does not, with what to change.
        """
        if self._told("INFO", "replication").get("role") != "master":
            raise MisconfiguredError(
                "the journal's server is a replica, which its master overwrites; give "
                "the address of that"
            )
        problems = [*self._of_memory(), *self._of_disk(durability)]
        if problems:
            raise MisconfiguredError(
                f"the journal's server may lose it: {'; '.join(problems)}; "
                "and CONFIG REWRITE, to keep that"
            )

    def close(self) -> None:
        """Close every connection."""
        self._link.close()

    def _of_memory(self) -> list[str]:
        policy = self._told("INFO", "memory").get("maxmemory_policy", "noeviction")
        if policy == "noeviction":
            return []
        return [
            f"it may evict rows, as maxmemory-policy is {policy}: "
            "CONFIG SET maxmemory-policy noeviction"
        ]

    def _of_disk(self, durability: Durability) -> list[str]:
        found = self._told("INFO", "persistence")
        appends = str(found.get("aof_enabled")) == "1"
        if durability != "snapshot":
            problems = []
            if not appends:
                problems.append(
                    "it forgets when it is killed, as appendonly is no: "
                    "CONFIG SET appendonly yes"
                )
            if durability == "power" and self._setting("appendfsync") != "always":
                problems.append(
                    "it forgets a second when its machine fails, as appendfsync is not "
                    "always: CONFIG SET appendfsync always"
                )
            return problems
        if appends or self._setting("save"):
            return []
        return [
            "nothing is kept on disk, as appendonly is no and save is empty: "
            "CONFIG SET appendonly yes"
        ]

    def _setting(self, name: str) -> str:
        try:
            return str(self._told("CONFIG GET", name).get(name, ""))
        except RefusedError as error:
            raise MisconfiguredError(
                f"the journal's server does not say its {name} ({error}); allow "
                "CONFIG GET, or choose durability: process"
            ) from error

    def _told(self, *words: str) -> dict[str, Any]:
        found: Mapping[Any, Any] = self._command(*words, there=True)
        return {_text(name): _text(value) for name, value in found.items()}

    def _command(self, *words: Any, **options: Any) -> Any:
        try:
            return self._link.command(*words, **options)
        except StoreError as error:
            if not isinstance(error, DeadlineError):  # that is the caller's own
                error.message = f"the journal's server: {error.message}"
            raise

    def _milliseconds(self) -> int:
        # none at all would mean to wait for ever; the answer needs its time as well
        return max(1, int(500 * deadlines.bounded(self._timeout)))


class _Client:
    """
    *client*, that can be asked two things on one connection.

    Its answers are those of the server that keeps *tag*, in a Cluster as well.
    """

    def __init__(self, client: Any, tag: str) -> None:
        self._client = client
        self._tag = tag

    def execute_command(
        self,
        *words: Any,
        there: bool = False,
        then: Sequence[Any] | None = None,
        **options: Any,
    ) -> Any:
        if then is not None:
            return self._both(words, then)
        if there:
            return self._server().execute_command(*words, **options)
        return self._client.execute_command(*words, **options)

    def _both(self, words: Sequence[Any], then: Sequence[Any]) -> list[Any]:
        """Ask two things, of which the second is about this connection's own past."""
        answers = self._at_once(words, then)
        if type(answers[0]).__name__ in _MOVES:
            self._client.nodes_manager.initialize()
            answers = self._at_once(words, then)
        for answer in answers:
            if type(answer).__name__ in _MOVES:
                raise UnavailableError("the journal is being moved to another server")
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _at_once(self, *commands: Sequence[Any]) -> list[Any]:
        with self._server().pipeline(transaction=False) as pipeline:
            for words in commands:
                pipeline.execute_command(*words)
            return list(pipeline.execute(raise_on_error=False))

    def _server(self) -> Any:
        if not hasattr(self._client, "get_node_from_key"):
            return self._client
        node = self._client.get_node_from_key(self._tag)
        return self._client.get_redis_connection(node)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def _digest(script: str) -> str:
    found = _digests.get(script)
    if found is None:
        # the name that the server gives to a script, no secret
        found = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        _digests[script] = found
    return found


_digests: dict[str, str] = {}


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
