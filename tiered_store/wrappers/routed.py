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
from typing import TypeVar

from tiered_store.body import Body, Stat
from tiered_store.combine import Answers
from tiered_store.errors import (
    ConflictError,
    NotFoundError,
    PartialWriteError,
    StoreError,
    UnsupportedError,
)
from tiered_store.events import Verb
from tiered_store.foreign import as_store
from tiered_store.key import Key
from tiered_store.policies.routing import Routing, Rule
from tiered_store.store import Store, union


Result = TypeVar("Result")
_ROUNDS = 4


class RoutedStore(Store):
    """
    One of *routes* for each object, by the first of *rules* that matches.

    A put that sends an object elsewhere than before takes it away there before it
    returns, and then looks whether its own copy was taken away by another writer
    meanwhile; so of several writers, in any processes, one wins and no copy of the
    others is left.  (Only if they cross each other and one dies at that very moment
    can both be lost.)  If something could not be taken away the put fails, and which
    of the two copies is read depends on the rules until it is put or deleted again.

    What may be in several routes is looked for twice before it is absent, so that one
    that changes its route meanwhile is found.  One that does so three times within a
    read may be missed by it, and one that does so during a listing by that.

    When the rules change, objects that they no longer lead to are not found: go
    through ``migrating``.

    Args:
        routes: Where objects may go, by name.
        rules: The first that matches decides.
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
        self._routing = Routing(self.rules, default, list(self.routes))

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        home = self._routing.home(key, body.size, reproducible)
        others = [name for name in self._routing.places(key) if name != home]
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
        self._clear(key, self._routing.places(key)[::-1], {})

    def _url(self, key: Key) -> str:
        places = self._routing.places(key)
        if len(places) > 1:
            raise UnsupportedError(f"it may be in any of {', '.join(places)}")
        return self.routes[places[0]].url(key)

    def _keys(self, prefix: str) -> Iterator[Key]:
        seen: set[Key] = set()  # of those that may be in several routes
        for name, route in self.routes.items():
            for key in route.keys(prefix):
                places = self._routing.places(key)
                if name in places and key not in seen:
                    if len(places) > 1:
                        seen.add(key)
                    yield key

    def children(self) -> Mapping[str, Store]:
        return self.routes

    def underneath(self, key: Key) -> Iterator[tuple[Store, Key]]:
        for name in self._routing.places(key):
            yield self.routes[name], key

    def capabilities(self) -> frozenset[Verb]:
        """What any route can do; listing if all can, URLs if names decide."""
        routes = self.routes.values()
        able = union(iter(routes))
        if not all("keys" in route.capabilities() for route in routes):
            able -= {"keys"}
        return able if self._routing.by_name else able - {"url"}

    def _ask(self, key: Key, ask: Callable[[Store], Result]) -> Result:
        places = self._routing.places(key)
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
