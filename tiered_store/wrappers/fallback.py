"""
Read from the next store when one cannot answer.

.. code-block:: yaml

   type: fallback
   stores:                                 # in order of preference
     us: {type: memory}
     local: {type: memory}

It keeps no copies: its stores are kept alike by somebody else (a bucket's own
replication), or differ on purpose (the old store of a migration, a last resort).
Where the copies are yours to keep, use ``replicated``, which fails over as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar

from tiered_store import deadlines
from tiered_store.body import Body, Stat
from tiered_store.combine import Answers
from tiered_store.condition import Condition
from tiered_store.control.conditions import conditions
from tiered_store.control.control import Control
from tiered_store.control.standing import Rota
from tiered_store.errors import (
    ConfigError,
    NotFoundError,
    PartialWriteError,
    StoreError,
    UnsupportedError,
)
from tiered_store.events import FellBack, Verb
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy, CircuitOpenError
from tiered_store.policies.guard import Guard, guard, trickle
from tiered_store.store import Store, union


Result = TypeVar("Result")


class FallbackStore(Store):
    """
    The first of *stores* that can answer, a breaker around each.

    Reads go on to the next store on an outage or a refusal.  "Absent" is the answer
    only if every store that was asked says so.  Puts go to the first store; deletes
    to every store that can delete, the last one first, so that one which fails half
    way leaves the object where it was.  While every breaker is open, one call at a
    time still goes through.

    Args:
        stores: By name, in order of preference; the first is the primary.
        read_on: What makes a read go on to the next store: ``unavailable``, and for a
            migration's old store also ``not_found``.
        breaker: When to stop asking a store; None for never.
        control: Where operators' decisions are looked up.  A drained store is asked
            last, a promoted one first, an isolated one not at all.
    """

    def __init__(
        self,
        stores: Mapping[str, Store],
        *,
        read_on: Sequence[Literal["unavailable", "not_found"]] = ("unavailable",),
        breaker: BreakerPolicy | None = BreakerPolicy(),  # noqa: B008 - frozen
        control: Control | None = None,
    ) -> None:
        if not stores:
            raise ConfigError("stores: needs at least one")
        self.stores = {
            name: guard(as_store(store), breaker) for name, store in stores.items()
        }
        self.read_on = tuple(read_on)
        self.breaker = breaker
        self.control = control
        self._rota = Rota(tuple(self.stores), control, self)

    def children(self) -> Mapping[str, Store]:
        return self.stores

    def capabilities(self) -> frozenset[Verb]:
        """What any of its stores can do, puts only as the primary can."""
        able = union(iter(self.stores.values()))
        primary = next(iter(self.stores.values()))
        return able - ({"put"} - primary.capabilities())

    def conditions(self) -> Iterator[Condition]:
        return conditions(str(self), tuple(self.stores), self.control)

    def _close(self) -> None:
        self._rota.close()

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        primary = self._primary()
        try:
            primary.put(key, body, reproducible)
        except CircuitOpenError:
            with trickle():
                primary.put(key, body, reproducible)

    def _primary(self) -> Store:
        """Return whom a put goes to: the first, but for what operators decided."""
        standing = self._rota.now()
        for name in (*standing.write, *standing.spare):
            return self.stores[name]
        raise standing.refusal(next(iter(standing.withheld)))

    def _get(self, key: Key) -> Body:
        body, certain = self._first("get", key, lambda store: store.get(key))
        body.provisional = body.provisional or not certain
        return body

    def _stat(self, key: Key) -> Stat:
        return self._first("stat", key, lambda store: store.stat(key))[0]

    def _first(
        self, verb: Verb, key: Key, ask: Callable[[Store], Result]
    ) -> tuple[Result, bool]:
        """Return the first hit, and whether every store before it knew of none."""
        answers = Answers()
        found = self._ask_all(verb, key, ask, answers)
        if not found and _nobody_was_asked(answers):
            with trickle():
                found = self._ask_all(verb, key, ask, answers)
        if not found:
            raise answers.conclusion()
        errors = answers.errors.values()
        return found[0], all(isinstance(error, NotFoundError) for error in errors)

    def _ask_all(
        self, verb: Verb, key: Key, ask: Callable[[Store], Result], answers: Answers
    ) -> list[Result]:
        """Return the first hit, or nothing with everybody's *answers* noted."""
        standing = self._rota.now()
        first = next(iter(self.stores))
        left = len(standing.read)
        for name in standing.read:
            store = self.stores[name]
            try:
                with deadlines.share(left):
                    return [ask(store)]
            except NotFoundError as error:
                answers.add(name, error)
                alone = len(answers.errors) == 1 and name == first
                if alone and "not_found" not in self.read_on:
                    return []  # it is up and it knows; after a failure, others might
            except StoreError as error:
                answers.add(name, error)
                if self.listeners:
                    event = FellBack(
                        store=str(self), verb=verb, key=key, failed=name, error=error
                    )
                    self.emit(event)
            left -= 1
        return []

    def _url(self, key: Key) -> str:
        standing = self._rota.now()
        stores = [self.stores[name] for name in standing.read]
        able = [store for store in stores if "url" in store.capabilities()]
        if not able:
            raise UnsupportedError("none of its stores has URLs")
        return next((store for store in able if _is_well(store)), able[0]).url(key)

    def _delete(self, key: Key) -> None:
        outcomes: dict[str, StoreError | None] = {}
        standing = self._rota.now()
        for name in standing.withheld:  # where it would stay, and come back
            raise standing.refusal(name)
        for name, store in reversed(self.stores.items()):
            if "delete" not in store.capabilities():
                continue
            try:
                store.delete(key)
            except StoreError as error:
                outcomes[name] = error
                break
            outcomes[name] = None
        failed = [error for error in outcomes.values() if error is not None]
        if failed and len(outcomes) == 1:
            raise failed[0]
        if failed:
            raise PartialWriteError("not deleted everywhere", outcomes)

    def _keys(self, prefix: str) -> Iterator[Key]:
        if "not_found" not in self.read_on:
            yield from self._first_keys(prefix)
            return
        seen: set[Key] = set()
        for name in self._rota.now().read:
            for key in self.stores[name].keys(prefix):
                if key not in seen:
                    seen.add(key)
                    yield key

    def _first_keys(self, prefix: str) -> Iterator[Key]:
        """Yield what the first store that is up lists; half a list is an error."""
        answers = Answers()
        for name in self._rota.now().read:
            begun = False
            try:
                for key in self.stores[name].keys(prefix):
                    begun = True
                    yield key
            except StoreError as error:
                if begun:
                    raise
                answers.add(name, error)
            else:
                return
        raise answers.conclusion()


def _nobody_was_asked(answers: Answers) -> bool:
    errors = answers.errors.values()
    return bool(errors) and all(isinstance(error, CircuitOpenError) for error in errors)


def _is_well(store: Store) -> bool:
    return not isinstance(store, Guard) or store.reading.state == "closed"
