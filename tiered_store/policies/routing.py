"""
Which objects go where.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tiered_store.errors import ConfigError
from tiered_store.key import Key
from tiered_store.strict import strict
from tiered_store.units import Size


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    What goes *to* a route: objects that match everything given.

    Attributes:
        to: The name of the route.
        object_type: A pattern with ``*`` and ``?``.
        mimetype: A pattern as well.
        reproducible: Whether the object can be computed again.
        min_size: The fewest bytes.
        max_size: The most bytes.
    """

    to: str
    object_type: str | None = None
    mimetype: str | None = None
    reproducible: bool | None = None
    min_size: Size | None = None
    max_size: Size | None = None

    @property
    def by_name(self) -> bool:
        """Whether the name alone decides."""
        return self.reproducible is self.min_size is self.max_size is None

    @property
    def by_content(self) -> bool:
        """Whether the name says nothing."""
        return self.object_type is self.mimetype is None

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


class Routing:
    """
    *rules*, of which the first that matches decides, and a *default*.

    Raises:
        ConfigError: They lead where nothing is, or one makes all after it useless.
    """

    def __init__(
        self, rules: Sequence[Rule], default: str, routes: Collection[str]
    ) -> None:
        self._rules = rules
        self._default = default
        for name in (default, *(rule.to for rule in rules)):
            if name not in routes:
                known = ", ".join(routes)
                raise ConfigError(f"rules: no route {name!r}; there are {known}")
        for rule in rules:
            if rule.by_name and rule.by_content:
                raise ConfigError(
                    f"rules: the one to {rule.to!r} matches everything; "
                    "say default instead"
                )

    @property
    def by_name(self) -> bool:
        """Whether there may be objects whose name alone decides."""
        return not any(rule.by_content for rule in self._rules)

    def home(self, key: Key, size: int, reproducible: bool) -> str:
        """Return where this object belongs."""
        for rule in self._rules:
            if rule.matches(key, size, reproducible):
                return rule.to
        return self._default

    def places(self, key: Key) -> list[str]:
        """Return where an object called *key* may be, by the order of the rules."""
        places = []
        for rule in self._rules:
            if rule.may_match(key):
                places.append(rule.to)
                if rule.by_name:
                    break
        else:
            places.append(self._default)
        return list(dict.fromkeys(places))
