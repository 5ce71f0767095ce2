"""
A stack seen as a whole: walked, labelled, observed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from tiered_store.condition import Condition
from tiered_store.errors import StoreError
from tiered_store.events import Listener
from tiered_store.store import Store


_Stack = TypeVar("_Stack", bound=Store)


def walk(root: Store) -> Iterator[Store]:
    """Yield *root* and every store underneath once, parents first."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        store = waiting.pop()
        if id(store) in seen:
            continue
        seen.add(id(store))
        yield store
        waiting.extend(reversed(list(store.children().values())))


def conditions(root: Store) -> Iterator[Condition]:
    """
    Yield how *root* and every store underneath is doing, as far as it can say.

    Nothing is changed, and no object is asked for.
    """
    for store in walk(root):
        try:
            yield from store.conditions()
        except StoreError as error:
            yield Condition.of("stores", str(store), error)


def label(root: _Stack, name: str) -> _Stack:
    """
    Name *root*, and every store underneath by its path: ``images.origin.us``.

    A shared store keeps the path it is met on first; a wrapper that was only put
    there by an attribute or a composition leaves its own path to its child.
    """
    seen: set[int] = set()

    def visit(store: Store, path: str) -> None:
        if id(store) in seen:
            return
        seen.add(id(store))
        store.label = path
        for role, child in store.children().items():
            visit(child, path if store.transparent else f"{path}.{role}")

    visit(root, name)
    return root


def observe(root: Store, listener: Listener) -> Callable[[], None]:
    """
    Hand every event of *root* and the stores underneath to *listener*.

    Returns a function that stops it; whoever observes twice stops twice.  With no
    listener the cost is one test.
    """
    observed = list(walk(root))
    for store in observed:
        store.listeners = (*store.listeners, listener)

    def stop() -> None:
        while observed:
            store = observed.pop()
            store.listeners = _without(listener, store.listeners)

    return stop


def _without(
    listener: Listener, listeners: tuple[Listener, ...]
) -> tuple[Listener, ...]:
    for place, known in enumerate(listeners):
        if known is listener:
            return listeners[:place] + listeners[place + 1 :]
    return listeners
