"""
Rules by name, and the account of which were tried on whom.
"""

from __future__ import annotations

import functools

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tiered_store.body import Body
from tiered_store.errors import ReadOnlyError, UnsupportedError
from tiered_store.events import Verb
from tiered_store.store import Store
from tiered_store.testing.conformance.steps import KEY


@dataclass
class Ledger:
    """Which rules were tried on which suite, and which were waived and why."""

    tried: dict[str, set[str]] = field(default_factory=dict)
    waived: dict[str, dict[str, str]] = field(default_factory=dict)


LEDGER = Ledger()


def rule(identifier: str, *needs: Verb) -> Callable[[Any], Any]:
    """Mark a test as the rule *identifier*, which needs a store with the verbs."""

    def mark(test: Any) -> Any:
        @functools.wraps(test)
        def checked(self: Any, store: Store, *args: Any, **kwargs: Any) -> None:
            suite = f"{type(self).__name__} {store}"
            missing = [verb for verb in needs if verb not in store.capabilities()]
            if missing:
                for verb in missing:
                    _must_refuse(store, verb)
                reason = f"no {', '.join(missing)}"
                LEDGER.waived.setdefault(suite, {})[identifier] = reason
                return
            LEDGER.tried.setdefault(suite, set()).add(identifier)
            test(self, store, *args, **kwargs)

        return checked

    return mark


def _must_refuse(store: Store, verb: Verb) -> None:
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: store.put(KEY, Body.of(b"")),
        "get": lambda: store.get(KEY),
        "url": lambda: store.url(KEY),
        "delete": lambda: store.delete(KEY),
        "stat": lambda: store.stat(KEY),
        "keys": lambda: list(store.keys()),
    }
    with pytest.raises((UnsupportedError, ReadOnlyError)):
        calls[verb]()
