"""
One answer from several stores: a hit wins, absence is unanimous.
"""

from __future__ import annotations

from tiered_store.errors import InconclusiveError, NotFoundError, StoreError


class Answers:
    """
    What the stores that had no object said.

    Absence is only said when every store that was asked said so; anything else is
    an :class:`~tiered_store.errors.InconclusiveError`, never "not found".
    """

    def __init__(self) -> None:
        self.errors: dict[str, StoreError] = {}

    def add(self, name: str, error: StoreError) -> None:
        """
        Note what *name* answered.

        Raises:
            StoreError: *error* itself, if no other store could answer better.
        """
        self.errors[name] = error
        if not (error.failover or isinstance(error, NotFoundError)):
            raise error

    def conclusion(self, nobody: str = "no store could be asked") -> StoreError:
        """Return the error that all answers together amount to."""
        errors = list(self.errors.values())
        if len(errors) == 1:
            return errors[0]
        if errors and all(isinstance(error, NotFoundError) for error in errors):
            return NotFoundError("no store has it")
        message = "not every store could answer" if errors else nobody
        return InconclusiveError(message, self.errors)
