"""
Read from replicas with knowledge of what each of them has missed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import methodcaller
from typing import TypeVar

from tiered_store.body import Body
from tiered_store.combine import Answers
from tiered_store.control.standing import Rota, Standing, described
from tiered_store.errors import (
    NotFoundError,
    StoreError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.events import Verb
from tiered_store.journals.journal import Journal
from tiered_store.journals.row import Row, is_gone
from tiered_store.key import Key
from tiered_store.policies.hedging import Hedge
from tiered_store.replication.continuing import continued, others
from tiered_store.replication.direct import asked_first, is_direct, once_more
from tiered_store.replication.glimpse import Glimpse
from tiered_store.replication.health import (
    answers_of,
    is_ill,
    last_resort,
    note_body,
)
from tiered_store.replication.placement import Placement
from tiered_store.replication.telling import Teller
from tiered_store.store import Store


Result = TypeVar("Result")


class Reader:
    """
    Answers of the replicas that can be believed.

    Args:
        lenient: Believe every replica while the journal cannot be used.
        hedge: When to ask the next replica although one may yet answer.
    """

    def __init__(
        self,
        replicas: Mapping[str, Store],
        placement: Placement,
        journal: Journal,
        teller: Teller,
        rota: Rota,
        *,
        lenient: bool,
        hedge: Hedge | None,
    ) -> None:
        self._replicas = replicas
        self._placement = placement
        self._journal = journal
        self._teller = teller
        self._rota = rota
        self._lenient = lenient
        self._hedge = hedge
        self.glimpse = Glimpse(journal)

    def get(self, key: Key) -> Body:
        """
        Return the body of the first hit, which goes on elsewhere if it breaks.

        Errors are those of :meth:`first`.
        """
        name, body = self._first("get", key, methodcaller("get", key))

        def elsewhere(tried: Collection[str]) -> Iterator[tuple[str, Body]]:
            rows = self._rows(key)
            current = () if is_gone(rows) else self._current(rows, self._rota.now())
            return others(key, self._replicas, current, tried)

        def ended(source: str, error: StoreError | None) -> None:
            note_body(self._replicas[source], error)
            if error is not None:
                self._teller.fell_back("get", key, source, error)

        return continued(name, body, len(self._replicas), elsewhere, ended)

    def first(self, verb: Verb, key: Key, ask: Callable[[Store], Result]) -> Result:
        """
        Return the first hit of the replicas that are not behind.

        A replica that lacks what another one has is noted in the journal, unless
        something is pending for the object already.

        Raises:
            NotFoundError: All of them said so, or it was deleted and some have not
                heard of it.
            StoreError: Somebody could not answer, or there was nobody to ask.
        """
        return self._first(verb, key, ask)[1]

    def _first(
        self, verb: Verb, key: Key, ask: Callable[[Store], Result]
    ) -> tuple[str, Result]:
        rows = self._rows(key)
        if rows and is_gone(rows):
            raise NotFoundError("it was deleted")
        names = self._current(rows, self._rota.now())
        if is_direct(rows, self._hedge if verb == "get" else None):
            asked = asked_first(names, self._replicas, ask)
            if asked is not None:
                name, answer = asked
                if not isinstance(answer, StoreError):
                    if name != names[0]:
                        self._teller.passed_over(verb, key, names, name, self._replicas)
                    return name, answer
                ask = once_more(ask, self._replicas[name], answer)
        answers = Answers()
        with last_resort((self._replicas[name] for name in names), "read"):
            found = self._ask(verb, key, ask, names, answers)
        if not found:
            nobody = "" if answers.errors else self._nobody("", rows)
            raise answers.conclusion(nobody)
        if answers.errors and not rows:
            self._note_lacking(key, answers)
        ((name, hit),) = found
        if isinstance(hit, Body) and any(
            row.verb == "in_doubt" for row in rows.values()
        ):
            hit.provisional = True  # repair may settle on another one
        return name, hit

    def url(self, key: Key) -> str:
        """
        Return a URL from a replica that is not behind, by what is known at once.

        Of a journal that is reached over a network that is what was last seen of it.

        Raises:
            UnavailableError: Every replica is behind for it, or isolated; or nobody
                knows, as the journal was not heard of for some seconds.
            UnsupportedError: None that is not has URLs.
        """
        rows = self._seen(key)
        refusal: UnsupportedError | None = None
        standing = self._rota.now()
        names = self._current(rows, standing)
        if is_gone(rows):
            names = names or standing.read  # it may name what is missing
        if not names:
            raise UnavailableError(self._nobody(" for it", rows))
        for name in sorted(names, key=lambda name: self._rank(name, standing)):
            try:
                return self._replicas[name].url(key)
            except UnsupportedError as error:
                refusal = error
        raise refusal or UnsupportedError("none of its replicas has URLs")

    def _nobody(self, what: str, rows: Mapping[str, Row]) -> str:
        """Say why there is nobody to ask, and who decided that."""
        withheld = self._rota.now().withheld
        whys = [
            f"{name} is {described(withheld[name])}"
            for name in self._replicas
            if name in withheld
        ]
        whys += [f"{name} is behind" for name in self._replicas if name in rows]
        return f"every replica is behind{what}, or isolated: {'; '.join(whys)}"

    def _seen(self, key: Key) -> Mapping[str, Row]:
        """Return what is pending for *key* on the replicas there are, without I/O."""
        try:
            rows = self.glimpse.rows(key)
        except StoreError:
            if not self._lenient:
                raise
            return {}
        return {name: rows[name] for name in rows if name in self._replicas}

    def _ask(
        self,
        verb: Verb,
        key: Key,
        ask: Callable[[Store], Result],
        names: Sequence[str],
        answers: Answers,
    ) -> list[tuple[str, Result]]:
        """Return the first hit, or nothing with everybody's *answers* noted."""
        refusal: UnsupportedError | None = None
        hedge = self._hedge if verb == "get" else None
        spare = self._rota.now().spare
        asked = answers_of(names, lambda name: ask(self._replicas[name]), hedge, spare)
        for name, answer in asked:
            if not isinstance(answer, StoreError):
                return [(name, answer)]
            if isinstance(answer, UnsupportedError):
                refusal = answer
                continue
            answers.add(name, answer)
            if not isinstance(answer, NotFoundError):
                self._teller.fell_back(verb, key, name, answer)
        if refusal is not None and not answers.errors:
            raise refusal
        return []

    def _note_lacking(self, key: Key, answers: Answers) -> None:
        lacking = {
            name: error
            for name, error in answers.errors.items()
            if isinstance(error, NotFoundError) and name in self._placement.complete
        }
        with suppress(StoreError):  # the read has succeeded
            if lacking and self._journal.lack(key, lacking):
                self._teller.diverged(key, lacking)

    def _rows(self, key: Key) -> Mapping[str, Row]:
        """Return what is pending for *key* on the replicas there are."""
        try:
            rows = self._journal.rows(key)
        except StoreError:
            if not self._lenient:
                raise
            return {}
        if not rows:
            return rows
        return {name: rows[name] for name in rows if name in self._replicas}

    def _current(self, rows: Mapping[str, Row], standing: Standing) -> Sequence[str]:
        """Return the replicas that can be believed, in order."""
        if not rows:
            return standing.read
        return [
            name for name in standing.read if name not in rows or not rows[name].behind
        ]

    def _rank(self, name: str, standing: Standing) -> tuple[bool, bool, bool]:
        """Sort those first that are not drained, keep everything, and are well."""
        return (
            name in standing.spare,
            name not in self._placement.complete,
            is_ill(self._replicas[name]),
        )
