"""
Puts and deletes of a fallback, with a journal of who missed them or without.
"""

from __future__ import annotations

import functools

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from tiered_store.body import Body
from tiered_store.control.standing import Standing
from tiered_store.errors import PartialWriteError, StoreError
from tiered_store.events import Verb
from tiered_store.journals.row import Intent
from tiered_store.key import Key
from tiered_store.policies.guard import patient
from tiered_store.replication.acknowledging import (
    bug_in,
    changed_nothing,
    errors_in,
)
from tiered_store.replication.failover import FailoverWriter
from tiered_store.replication.glimpse import Glimpse
from tiered_store.replication.health import last_resort
from tiered_store.replication.order import Order
from tiered_store.replication.service import askable, in_service
from tiered_store.replication.telling import Teller
from tiered_store.store import Store


class Unjournalled:
    """
    Puts to the first of *stores* and nowhere else; deletes from all.

    Whatever operators decide: nobody would know what the first one missed.
    """

    def __init__(self, stores: Mapping[str, Store], order: Order) -> None:
        self._stores = stores
        self._home = next(iter(stores))
        self._order = order

    def put(self, key: Key, body: Body, reproducible: bool) -> None:
        """Put to the first one, unless it is isolated."""
        standing = self._order.standing()
        if self._home in standing.withheld:
            raise standing.refusal(self._home)
        with last_resort([self._stores[self._home]], "write"):
            self._stores[self._home].put(key, body, reproducible)
        self._order.remember(key, self._home)

    def delete(self, key: Key) -> None:
        """Delete from one after the other, the last first, and stop where it fails."""
        outcomes: dict[str, StoreError | None] = {}
        standing = self._order.standing()
        for name in standing.withheld:  # where it would stay, and come back
            raise standing.refusal(name)
        for name in reversed(able(self._stores, "delete")):
            try:
                self._stores[name].delete(key)
            except StoreError as error:
                outcomes[name] = error
                break
            outcomes[name] = None
        failed = [error for error in outcomes.values() if error is not None]
        if failed:
            raise failed[0] if len(outcomes) == 1 else _not_deleted(outcomes)


class Journalled:
    """
    Puts to the first of *stores* that takes it, deletes from all of them.

    Args:
        writer: Knows who missed what.
        glimpse: Is told of it, for URLs.
        failover: A put goes on to the next one in an outage, too, and not only where
            operators sent it.
    """

    def __init__(
        self,
        stores: Mapping[str, Store],
        order: Order,
        writer: FailoverWriter,
        teller: Teller,
        glimpse: Glimpse,
        *,
        failover: bool,
    ) -> None:
        self._home = next(iter(stores))
        self._takers = able(stores, "put")
        self._deleters = able(stores, "delete")
        self._order = order
        self._writer = writer
        self._teller = teller
        self._glimpse = glimpse
        self._failover = failover

    def put(self, key: Key, body: Body, reproducible: bool) -> None:
        """Put until one has taken it, and note for the others that they have not."""
        standing = self._order.standing()
        asked = in_service(self._takers, standing)
        calls = {
            name: functools.partial(asked[name].put, key, body, reproducible)
            for name in self._in_turn(asked, standing)
        }
        if not calls:
            raise standing.refusal(next(iter(standing.withheld)))
        alone = patient() if len(calls) == 1 else nullcontext()
        with last_resort(askable(asked), "write"), alone:
            missed = self._writer.put(
                key,
                calls,
                self._home,
                everybody=self._takers,
                reproducible=reproducible,
                size=body.size,
                told=functools.partial(self._teller.fell_back, "put", key),
            )
        self._teller.diverged(key, missed)
        if missed:
            self._order.owe()  # what it missed, also if it is well again by now
        took = next(name for name in calls if name not in missed)
        plain = took == self._home and not missed
        del missed  # their tracebacks know this frame, and would keep the body
        if plain:
            self._order.remember(key, took)
        if not plain or self._glimpse.knows(key):
            others = [name for name in self._takers if name != took]
            self._glimpse.note(key, others, "put")

    def delete(self, key: Key) -> None:
        """Delete from all, and note for those that cannot be reached what they miss."""
        asked = in_service(self._deleters, self._order.standing())
        calls = {
            name: functools.partial(store.delete, key) for name, store in asked.items()
        }
        intents: dict[str, Intent] = dict.fromkeys(calls, "delete")
        with last_resort(askable(asked), "write"), patient():
            outcomes, all_must = self._writer.write(key, intents, calls)
        bug = bug_in(outcomes)
        if bug is not None:
            raise bug
        errors = errors_in(outcomes)
        if not all_must and not changed_nothing(outcomes):
            self._teller.diverged(key, errors)
            missed = [name for name in errors if errors[name] is not None]
            self._glimpse.note(key, missed, "delete")
            if missed:
                self._order.owe()
        failed = [error for error in errors.values() if error is not None]
        if failed and (all_must or len(failed) == len(errors)):
            raise failed[0] if len(errors) == 1 else _not_deleted(errors)

    def _in_turn(self, asked: Mapping[str, Store], standing: Standing) -> Sequence[str]:
        """Return who of *asked* is given a put, until one has taken it."""
        if self._failover:
            return self._order.of_writes(asked)
        first = [name for name in standing.write if name in asked][:1]
        return [*first, *(name for name in standing.spare if name in asked)]


def able(stores: Mapping[str, Store], verb: Verb) -> dict[str, Store]:
    """Return those of *stores* that can do *verb* at all."""
    return {
        name: store for name, store in stores.items() if verb in store.capabilities()
    }


def _not_deleted(outcomes: Mapping[str, StoreError | None]) -> StoreError:
    return PartialWriteError("not deleted everywhere", outcomes)
