"""
Send each object where it belongs, by what it is.

.. code-block:: yaml

   type: routed
   routes:
     thumbnails: {type: memory}
     pages: {type: memory}
     large: {type: memory}
     rest: {type: memory}
   rules:                                  # the first that matches decides
     - {to: pages, object_type: "comics.*", mimetype: text/html}
     - {to: thumbnails, reproducible: true}
     - {to: large, min_size: 10MiB}
   default: rest

Rules by type and mimetype cost nothing.  A rule by size or *reproducible*, which
only a put knows, costs a question more for each route that may have the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from tiered_store.body import Body, Stat
from tiered_store.combine import Answers
from tiered_store.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    PartialWriteError,
    StoreError,
    UnsupportedError,
)
from tiered_store.events import Verb
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.store import Store, union
from tiered_store.units import Size


Result = TypeVar("Result")
_ROUNDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    What goes *to* a route: objects that match everything given.

    Attributes:
        object_type: A pattern with ``*`` and ``?``, as is *mimetype*.
        min_size: The fewest bytes, as *max_size* is the most.
    """

    to: str
    object_type: str | None = None
    mimetype: str | None = None
    reproducible: bool | None = None
    min_size: Size | None = None
    max_size: Size | None = None

    @property
    def by_name(self) -> bool:
        """Whether the object's name alone decides."""
        return self.reproducible is self.min_size is self.max_size is None

    def may_match(self, key: Key) -> bool:
        """Whether an object called *key* can be meant."""
        return fnmatchcase(key.object_type, self.object_type or "*") and fnmatchcase(
            key.mimetype, self.mimetype or "*"
        )

    def matches(self, key: Key, size: int, reproducible: bool) -> bool:
        """Whether this object is meant."""
        return (
            self.may_match(key)
            and self.reproducible in (None, reproducible)
            and (self.min_size is None or size >= self.min_size)
            and (self.max_size is None or size <= self.max_size)
        )


class RoutedStore(Store):
    """
    One of *routes* for each object, by the first of *rules* that matches.

    A put that sends an object elsewhere than before takes it away there before it
    returns, and then looks whether its own copy was taken away by another writer
    meanwhile; so of several writers, in any processes, one wins and no copy of the
    others is left.  (Only if they cross each other and one dies at that very moment
    can both be lost.)  If something could not be taken away the put fails, and which
    of the two copies is read depends on the rules until it is put or deleted again.

    When the rules change, objects that they no longer lead to are not found: go
    through ``migrating``.

    Args:
        default: The route of what no rule matches.

    Raises:
        PartialWriteError: It is stored, but may lie in another route as well; or it
            was not deleted everywhere.
        UnsupportedError: For the URL of what may be in several routes.
    """

    def __init__(
        self,
        routes: Mapping[str, Store],
        *,
        rules: Sequence[Rule] = (),
        default: str,
    ) -> None:
        self.routes = {name: as_store(store) for name, store in routes.items()}
        self.rules = tuple(rules)
        self.default = default
        self._check()

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        home = self._home(key, body.size, reproducible)
        others = [name for name in self._places(key) if name != home]
        for _ in range(_ROUNDS):
            self.routes[home].put(key, body, reproducible)
            if not others or self._settled(key, home, others):
                return
        self.routes[home].put(key, body, reproducible)  # two copies rather than none
        raise ConflictError("other writers keep putting it elsewhere", ambiguous=True)

    def _get(self, key: Key) -> Body:
        return self._ask(key, lambda route: route.get(key))

    def _stat(self, key: Key) -> Stat:
        return self._ask(key, lambda route: route.stat(key))

    def _delete(self, key: Key) -> None:
        # what is read first goes last: what it hides must not appear
        self._clear(key, self._places(key)[::-1], {})

    def _url(self, key: Key) -> str:
        places = self._places(key)
        if len(places) > 1:
            raise UnsupportedError(f"it may be in any of {', '.join(places)}")
        return self.routes[places[0]].url(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        seen: set[Key] = set()  # of those that may be in several routes
        for name, route in self.routes.items():
            for key in route.keys(prefix):
                places = self._places(key)
                if name in places and key not in seen:
                    if len(places) > 1:
                        seen.add(key)
                    yield key

    def children(self) -> Mapping[str, Store]:
        return self.routes

    def capabilities(self) -> frozenset[Verb]:
        """What any route can do; listing if all can, URLs if names decide."""
        routes = self.routes.values()
        able = union(iter(routes))
        if not all("keys" in route.capabilities() for route in routes):
            able -= {"keys"}
        undecided = any(
            not rule.by_name and rule.object_type is rule.mimetype is None
            for rule in self.rules
        )
        return able - {"url"} if undecided else able

    def _home(self, key: Key, size: int, reproducible: bool) -> str:
        for rule in self.rules:
            if rule.matches(key, size, reproducible):
                return rule.to
        return self.default

    def _places(self, key: Key) -> list[str]:
        """Return where an object called *key* may be, first what is asked first."""
        places = []
        for rule in self.rules:
            if rule.may_match(key):
                places.append(rule.to)
                if rule.by_name:
                    break
        else:
            places.append(self.default)
        return list(dict.fromkeys(places))

    def _ask(self, key: Key, ask: Callable[[Store], Result]) -> Result:
        places = self._places(key)
        for look in range(2):  # between two questions it may have moved past us
            answers = Answers()
            for name in places:
                try:
                    return ask(self.routes[name])
                except StoreError as error:
                    answers.add(name, error)
            failure = answers.conclusion()
            if look or len(places) == 1 or not isinstance(failure, NotFoundError):
                break
        raise failure

    def _settled(self, key: Key, home: str, others: Sequence[str]) -> bool:
        """Take *key* away from *others*; say whether it is still at *home*."""
        self._clear(key, others, {home: None})
        try:
            self.routes[home].stat(key)
        except NotFoundError:
            return False
        except StoreError as error:
            outcomes = {home: error}
            raise PartialWriteError("stored, but perhaps gone", outcomes) from error
        return True

    def _clear(
        self,
        key: Key,
        places: Sequence[str],
        outcomes: dict[str, StoreError | None],
    ) -> None:
        """Delete *key* from *places* in turn, up to the first that fails."""
        for place in places:
            try:
                self.routes[place].delete(key)
            except StoreError as error:
                if not outcomes:  # nothing was changed
                    raise
                outcomes[place] = error
                raise PartialWriteError("not gone everywhere", outcomes) from error
            outcomes[place] = None

    def _check(self) -> None:
        for name in (self.default, *(rule.to for rule in self.rules)):
            if name not in self.routes:
                known = ", ".join(self.routes)
                raise ConfigError(f"rules: no route {name!r}; there are {known}")
        for rule in self.rules:
            if rule.by_name and rule.object_type is rule.mimetype is None:
                raise ConfigError(
                    f"rules: the one to {rule.to!r} matches everything; "
                    "say default instead"
                )
