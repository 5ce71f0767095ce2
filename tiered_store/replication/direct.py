"""
The direct way of a read, which nearly all take: one store is asked, and it answers.

Whoever is known to be down is passed over, without an error being made for each read
of an outage.  If the one that is asked raises, that is its answer on the general way,
so nobody is asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from tiered_store import deadlines
from tiered_store.errors import StoreError
from tiered_store.journals.row import Row
from tiered_store.policies.guard import Guard
from tiered_store.policies.hedging import Hedge
from tiered_store.store import Store


Result = TypeVar("Result")


def is_direct(rows: Mapping[str, Row], hedge: Hedge | None) -> bool:
    """
    Tell whether there is nothing to be weighed.

    That is what others have missed, when one is late, and each one's share of a
    caller's time.
    """
    return not rows and hedge is None and deadlines.ends() is None


def asked_first(
    names: Iterable[str], stores: Mapping[str, Store], ask: Callable[[Store], Result]
) -> tuple[str, Result | StoreError] | None:
    """Return what the first of *names* answers that is well, None if nobody is."""
    for name in names:
        store = stores[name]
        if not (isinstance(store, Guard) and store.reading.refuses()):
            try:
                return name, ask(store)
            except StoreError as error:
                return name, error
    return None


def once_more(
    ask: Callable[[Store], Result], store: Store, error: StoreError
) -> Callable[[Store], Result]:
    """Return *ask* for which the first answer of *store* is known to be *error*."""
    known = [error]

    def again(another: Store) -> Result:
        if another is store and known:
            raise known.pop()
        return ask(another)

    return again
