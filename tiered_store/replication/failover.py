"""
Put an object where it can be put, and remember who missed it.
"""

from __future__ import annotations

import contextlib
import contextvars

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tiered_store import deadlines
from tiered_store.errors import PartialWriteError, StoreError, UnavailableError
from tiered_store.journals.journal import Journal
from tiered_store.journals.none import NoJournal
from tiered_store.journals.row import Intent, Mark
from tiered_store.key import Key
from tiered_store.policies.breaker import CircuitOpenError
from tiered_store.policies.guard import patient
from tiered_store.replication.acknowledging import changed_nothing
from tiered_store.replication.writing import Writer


Told = Callable[[str, StoreError], None]


class FailoverWriter(Writer):
    """
    Puts that one store takes, and the others have to be given.

    While nothing is amiss that is the first store, and the journal is only looked at:
    it is marked before any other one is asked.  From then on the rules are those of a
    mirror, until every store has the object.
    """

    def put(
        self,
        key: Key,
        calls: Mapping[str, Callable[[], None]],
        home: str,
        *,
        everybody: Iterable[str],
        reproducible: bool,
        size: int,
        told: Told,
    ) -> Mapping[str, StoreError]:
        """
        Make *calls* in turn until one succeeds; return why the others did not.

        Args:
            calls: By name, in order of preference.
            home: The store that is enough, as somebody else copies from there.
            everybody: The stores that are to have it, asked or not.
            told: Called when a store could not take it and the next is asked.

        Raises:
            StoreError: No store took it.  It is in doubt then, unless nothing can
                have been changed anywhere.
        """
        errors: dict[str, StoreError] = {}
        outcomes: dict[str, BaseException | None] = {}
        with self._lease(key), _emptied(errors, outcomes):
            names = list(calls)
            if names[0] == home and not self._is_marked(key):
                if self._took(home, calls, len(names), errors, told):
                    return {}
                names.remove(home)
                if not names:  # nobody else was to take it, so nobody missed it
                    raise errors[home]
            intents: dict[str, Intent] = dict.fromkeys(everybody, "put")
            try:
                journal, mark = self._mark(key, intents, reproducible, size)
            except StoreError as error:
                error.ambiguous = error.ambiguous or not changed_nothing(errors)
                raise
            if isinstance(journal, NoJournal):  # which would not remember the others
                names = [name for name in names if name == home]
            outcomes.update(errors)
            try:
                for number, name in enumerate(names):
                    outcomes[name] = UnavailableError("interrupted", ambiguous=True)
                    took = self._took(name, calls, len(names) - number, errors, told)
                    outcomes[name] = None if took else errors[name]
                    if took:
                        return dict(errors)
                for name in [name for name in errors if _is_late(errors[name])]:
                    with patient():  # nobody else could take it
                        took = self._took(name, calls, 1, errors, told)
                    outcomes[name] = None if took else errors[name]
                    if took:
                        del errors[name]
                        return dict(errors)
            finally:
                _settle(journal, mark, {**outcomes, **errors})
            raise _failure(errors)

    def _is_marked(self, key: Key) -> bool:
        try:
            return bool(self._journal.rows(key))
        except StoreError:
            if not self._degrade:
                raise
            return False

    def _took(
        self,
        name: str,
        calls: Mapping[str, Callable[[], None]],
        left: int,
        errors: dict[str, StoreError],
        told: Told,
    ) -> bool:
        """Say whether *name* took it; if not, its error is among *errors*."""
        try:
            with deadlines.share(left):
                calls[name]()
        except StoreError as error:
            errors[name] = error
            if not error.failover:
                raise
            told(name, error)
            return False
        return True


@contextlib.contextmanager
def _emptied(*known: dict[str, Any]) -> Iterator[None]:
    """Leave no errors to a frame that their tracebacks know: they would keep a body."""
    try:
        yield
    finally:
        for one in known:
            one.clear()


def _settle(
    journal: Journal, mark: Mark, outcomes: Mapping[str, BaseException | None]
) -> None:
    timeless = contextvars.Context()  # a deadline that is over must not leave doubt
    try:
        if changed_nothing(outcomes):
            timeless.run(journal.withdraw, mark)
        else:
            timeless.run(journal.settle, mark, outcomes)
    except StoreError as error:
        error.ambiguous = True
        raise


def _is_late(error: StoreError) -> bool:
    return isinstance(error, CircuitOpenError) and error.slow


def _failure(errors: Mapping[str, StoreError]) -> StoreError:
    if len(errors) == 1:
        return next(iter(errors.values()))
    failure = PartialWriteError("no store took it", errors)
    failure.ambiguous = not changed_nothing(errors)
    return failure
