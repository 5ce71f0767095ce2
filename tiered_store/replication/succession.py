"""
Read from the first of several stores that is up and knows.
"""

from __future__ import annotations

import itertools

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from tiered_store.body import Body
from tiered_store.combine import Answers
from tiered_store.control.standing import Standing
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
from tiered_store.replication.telling import Teller
from tiered_store.store import Store


Result = TypeVar("Result")


class Succession:
    """
    Answers of *stores*, the first of which is right about what there is.

    Args:
        writable: Those that are given what is put in an outage; of the others nobody
            knows what they have while any of these is behind.
        thorough: That the first has no object is not the last word.
        lenient: Believe every store while the journal cannot be used.
        hedge: When to ask the next store although one may yet answer.
        teller: Told when a store could not answer and the next is asked.
    """

    def __init__(
        self,
        stores: Mapping[str, Store],
        writable: Iterable[str],
        journal: Journal,
        *,
        thorough: bool,
        lenient: bool,
        hedge: Hedge | None,
        teller: Teller,
    ) -> None:
        self._stores = stores
        self._home = next(iter(stores))
        self._writable = frozenset(writable)
        self._journal = journal
        self._thorough = thorough
        self._lenient = lenient
        self._hedge = hedge
        self._teller = teller
        self.glimpse = Glimpse(journal)

    def get(self, key: Key, order: Sequence[str], standing: Standing) -> Body:
        """
        Return the body of the first hit, which goes on elsewhere if it breaks.

        Args and errors are those of :meth:`first`.
        """

        def ask(store: Store) -> Body:
            return store.get(key)

        body, final, name = self.first("get", key, ask, order, standing)
        body.provisional = body.provisional or not final

        def elsewhere(tried: Collection[str]) -> Iterator[tuple[str, Body]]:
            rows = self._rows(key)
            believed = () if is_gone(rows) else self._believed(rows, order)
            return others(key, self._stores, believed, tried)

        def ended(source: str, error: StoreError | None) -> None:
            note_body(self._stores[source], error)
            if error is not None:
                self._teller.fell_back("get", key, source, error)

        return continued(name, body, len(order), elsewhere, ended)

    def first(
        self,
        verb: Verb,
        key: Key,
        ask: Callable[[Store], Result],
        order: Sequence[str],
        standing: Standing,
    ) -> tuple[Result, bool, str]:
        """
        Return the first hit, whether it is the last word, and whose it is.

        Args:
            order: Who is asked, in turn.
            standing: Has the same as operators want it, and who is not asked at all.

        Raises:
            NotFoundError: That is known, from the first store or from all in *order*.
            StoreError: Somebody could not answer, or there was nobody to ask.
        """
        rows = self._rows(key)
        if rows and is_gone(rows):
            raise NotFoundError("it was deleted")
        names = self._believed(rows, order) if rows else order
        if is_direct(rows, self._hedge if verb == "get" else None):
            asked = asked_first(names, self._stores, ask)
            if asked is not None:
                had, answer = asked
                if not isinstance(answer, StoreError):
                    self._teller.passed_over(verb, key, names, had, self._stores)
                    return answer, had == self._home, had
                ask = once_more(ask, self._stores[had], answer)
        answers = Answers()
        with last_resort((self._stores[name] for name in names), "read"):
            found = self._ask(verb, key, ask, names, answers, standing)
            if not found and self._may_have_moved(names, answers):
                found = self._ask(verb, key, ask, [self._home], answers, standing)
        if not found:
            self._note_withheld(rows, answers, standing)
            raise answers.conclusion("every store that could be asked is behind")
        ((had, hit),) = found
        before = itertools.takewhile(lambda name: name != had, standing.read)
        doubtful = any(row.verb == "in_doubt" for row in rows.values())
        final = had == self._home or all(
            isinstance(answers.errors.get(name), NotFoundError)
            or (name in rows and rows[name].behind)
            for name in (self._home, *before)  # of whom each might have known better
        )
        return hit, final and not doubtful, had

    def url(self, key: Key, order: Sequence[str]) -> str:
        """
        Return a URL from a store that is up and not behind, by what is known at once.

        Of a journal that is reached over a network that is what was last seen of it.

        Raises:
            UnavailableError: Every store that has URLs is behind for it; or nobody
                knows, as the journal was not heard of for some seconds.
            UnsupportedError: None has.
        """
        rows = self._rows(key, self.glimpse.rows)
        able = [name for name in order if "url" in self._stores[name].capabilities()]
        if not able:
            raise UnsupportedError("none of its stores has URLs")
        believed = self._believed(rows, able)
        if is_gone(rows):
            believed = believed or able  # it may name what is missing
        if not believed:
            raise UnavailableError("every store that has URLs is behind for it")
        # the sort is stable: among those that are well the order decides
        return self._stores[min(believed, key=self._is_ill)].url(key)

    def keys(self, prefix: str, order: Sequence[str]) -> Iterator[Key]:
        """Yield what the first store that is up lists; half a list is an error."""
        answers = Answers()
        for name in order:
            begun = False
            try:
                for key in self._stores[name].keys(prefix):
                    row = self._rows(key).get(name)
                    if row is None or not row.behind:
                        begun = True
                        yield key
            except StoreError as error:
                if begun:
                    raise
                answers.add(name, error)
            else:
                yield from self._missed(name, prefix)
                return
        raise answers.conclusion()

    def all_keys(self, prefix: str, order: Sequence[str]) -> Iterator[Key]:
        """
        Yield what any store lists; every one must.

        The first one is the last to, or what is moved to it meanwhile is in no list.
        """
        seen: set[Key] = set()
        for name in sorted(order, key=lambda name: name == self._home):
            for key in self._stores[name].keys(prefix):
                row = self._rows(key).get(name)
                if (row is None or not row.behind) and key not in seen:
                    seen.add(key)
                    yield key

    def _missed(self, name: str, prefix: str) -> Iterator[Key]:
        """Yield what *name* lacks and another store has."""
        for row in self._journal.pending(name):
            lacks = "put" in (row.verb, row.prior)
            if lacks and row.key.object_type.startswith(prefix):
                yield row.key

    def _ask(
        self,
        verb: Verb,
        key: Key,
        ask: Callable[[Store], Result],
        names: Sequence[str],
        answers: Answers,
        standing: Standing,
    ) -> list[tuple[str, Result]]:
        """Return the first hit, or nothing with everybody's *answers* noted."""
        hedge = self._hedge if verb == "get" else None
        asked = answers_of(
            names, lambda name: ask(self._stores[name]), hedge, standing.spare
        )
        for name, answer in asked:
            if not isinstance(answer, StoreError):
                return [(name, answer)]
            if isinstance(answer, NotFoundError):
                if name == self._home and not self._thorough:
                    raise answer  # it is not behind, so it knows
                answers.add(name, answer)
            else:
                answers.add(name, answer)
                self._teller.fell_back(verb, key, name, answer)
        return []

    def _may_have_moved(self, names: Sequence[str], answers: Answers) -> bool:
        """Tell whether it may be in the first store by now, where objects move to."""
        return (
            self._thorough
            and self._home in names[:-1]
            and all(isinstance(one, NotFoundError) for one in answers.errors.values())
        )

    def _note_withheld(
        self, rows: Mapping[str, Row], answers: Answers, standing: Standing
    ) -> None:
        """Note those that are not asked, and may have what the others have not."""
        for name in standing.withheld:
            if not (name in rows and rows[name].behind):
                answers.add(name, standing.refusal(name))

    def _rows(
        self, key: Key, look: Callable[[Key], Mapping[str, Row]] | None = None
    ) -> Mapping[str, Row]:
        """Return what is pending for *key* on the stores there are."""
        try:
            rows = (look or self._journal.rows)(key)
        except StoreError:
            if not self._lenient:
                raise
            return {}
        return {name: rows[name] for name in rows if name in self._stores}

    def _believed(self, rows: Mapping[str, Row], order: Sequence[str]) -> list[str]:
        """Return those of *order* that are not behind, as far as anybody knows."""
        if not any(row.behind for row in rows.values()):
            return list(order)
        return [
            name
            for name in order
            if name in self._writable and not (name in rows and rows[name].behind)
        ]

    def _is_ill(self, name: str) -> bool:
        return is_ill(self._stores[name])
