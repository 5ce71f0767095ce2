"""
The direct way of a read, which nearly all take: one store is asked, and it answers.

Whoever is known to be down is passed over, without an error being made for each read
of an outage.  If the one that is asked raises, that is its answer on the general way,
so nobody is asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

    That is what others have missed, and when one is late.
    """
    return not rows and hedge is None


def asked_first(
    names: Sequence[str], stores: Mapping[str, Store], ask: Callable[[Store], Result]
) -> tuple[str, Result | StoreError] | None:
    """
    Return what the first of *names* answers that is well, None if nobody is.

    It may use its share of a deadline; those after it keep theirs, and so do those that
    were passed over for being slow.
    """
    left = len(names)
    for name in names:
        store = stores[name]
        if isinstance(store, Guard) and store.reading.refuses():
            left -= not store.reading.slow
            continue
        try:
            if deadlines.ends() is None:
                return name, ask(store)
            with deadlines.share(left):
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
