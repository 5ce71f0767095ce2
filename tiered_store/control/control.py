"""
Where operators' decisions are kept, for all processes that look there.

An author writes two methods: one reads the record, one replaces it unless somebody
else was quicker.  What becomes of a record is said once, in
:mod:`tiered_store.control.decisions`; how processes follow it, in
:mod:`tiered_store.control.watch`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from tiered_store.clock import SYSTEM, Clock
from tiered_store.control.decisions import Decision, Decisions, loaded
from tiered_store.errors import ConflictError, StoreError, UnavailableError
from tiered_store.strict import Strict


_ATTEMPTS = 20


class Control(Strict, ABC):
    """
    A record of decisions.

    Every decision is one atomic step, safe from any process that shares the control,
    and is durable when it returns.  A control that cannot be used raises store errors.

    Attributes:
        poll: Seconds between looks of a process that follows it.
    """

    poll: float = 0.5
    clock: Clock = SYSTEM

    @property
    def where(self) -> str:
        """The record, as an operator finds it; no secret."""
        return "the record"

    @property
    def place(self) -> Hashable | None:
        """
        Where the record is: two controls of the same place are one.

        None if nobody else can have one there.
        """
        return None

    # -- for an operator -----------------------------------------------------

    def load(self) -> Decisions:
        """
        Return the record as it is, what has expired left out.

        Raises:
            StoreError: It cannot be read.
        """
        with self._told():
            return loaded(self._load()[0]).at(self.clock.time())

    def decide(self, decision: Decision, *, after: int | None = None) -> Decisions:
        """
        Add *decision* and return the record with it.

        Args:
            after: The revision that whoever decides has seen; None for whichever.

        Raises:
            ConflictError: Somebody else has decided since *after*; nothing is changed.
            StoreError: The control cannot be used.  If it is ambiguous the decision may
                hold all the same.
        """
        for _ in range(_ATTEMPTS):
            with self._told():
                content, token = self._load()
                before = loaded(content)
            if after is not None and before.revision != after:
                raise ConflictError(_overtaken(before, after))
            record = before.at(self.clock.time()).with_(decision)
            with self._told():
                if self._swap(record.dumped(), token):
                    return record
        raise UnavailableError("too many decide at the same time")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in errors where the record is, which SDKs and systems do not."""
        try:
            yield
        except StoreError as error:
            if self.where not in error.message:
                error.message = f"{self.where}: {error.message}"
            raise

    def close(self) -> None:
        """Let go of what it holds."""

    # -- for an author -------------------------------------------------------

    @abstractmethod
    def _load(self) -> tuple[bytes | None, Any]:
        """Return the content, None if there is none yet, and a token of its version."""

    @abstractmethod
    def _swap(self, content: bytes, token: Any) -> bool:
        """Replace the content that *token* is of; False if it is another one now."""


def _overtaken(record: Decisions, after: int) -> str:
    newer = [
        f"{decision.by} decided {decision.verb} {decision.name}"
        for decision in record.history
        if decision.revision > after
    ]
    return f"{'; '.join(newer) or 'the record was replaced'} meanwhile; look again"
