"""
The replicas as operators' decisions leave them: who may be written, or touched at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from tiered_store.body import Body, Stat
from tiered_store.control.standing import Standing
from tiered_store.key import Key
from tiered_store.policies.guard import Guard
from tiered_store.store import Store
from tiered_store.wrapper import Wrapper


class Withheld(Wrapper):
    """A *child* that is not asked, because *standing* says so of *name*."""

    transparent = True

    def __init__(self, child: Store, standing: Standing, name: str) -> None:
        super().__init__(child)
        self._standing = standing
        self._name = name

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        raise self._standing.refusal(self._name)

    def _get(self, key: Key) -> Body:
        raise self._standing.refusal(self._name)

    def _url(self, key: Key) -> str:
        raise self._standing.refusal(self._name)

    def _delete(self, key: Key) -> None:
        raise self._standing.refusal(self._name)

    def _stat(self, key: Key) -> Stat:
        raise self._standing.refusal(self._name)

    def _keys(self, prefix: str) -> Iterator[Key]:
        raise self._standing.refusal(self._name)


class Touched(Mapping[str, Store]):
    """
    Replicas, each as it may be touched when it is asked for.

    So whoever works for hours follows what is decided meanwhile.

    Args:
        find: Returns them all, always in the same order.
    """

    def __init__(self, find: Callable[[], Mapping[str, Store]]) -> None:
        self._find = find

    def __getitem__(self, name: str) -> Store:
        return self._find()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._find())

    def __len__(self) -> int:
        return len(self._find())


def reachable(replicas: Mapping[str, Store], standing: Standing) -> Mapping[str, Store]:
    """Return *replicas* in the order in which they are read, isolated ones last."""
    if not standing.decisions:
        return {name: replicas[name] for name in standing.read}
    found = {name: replicas[name] for name in standing.read}
    for name in standing.withheld:
        found[name] = Withheld(replicas[name], standing, name)
    return found


def in_service(
    replicas: Mapping[str, Store], standing: Standing
) -> Mapping[str, Store]:
    """
    Return *replicas* for a write; those that must not take it refuse it unasked.

    A drained one takes it only while all others are known to be down.
    """
    if not standing.decisions:
        return replicas
    spared = standing.spare if _any_is_well(replicas, standing.write) else ()
    out = {*spared, *standing.withheld}
    return {
        name: Withheld(store, standing, name) if name in out else store
        for name, store in replicas.items()
    }


def askable(replicas: Mapping[str, Store]) -> Iterable[Store]:
    """Return those of *replicas* that are asked at all."""
    # isinstance() asks every other class, which a write would wait for
    return [store for store in replicas.values() if type(store) is not Withheld]


def _any_is_well(replicas: Mapping[str, Store], names: Iterable[str]) -> bool:
    for name in names:
        store = replicas.get(name)  # it may be one that takes no writes at all
        if store is None:
            continue
        if not isinstance(store, Guard) or store.writing.state != "open":
            return True
    return False
