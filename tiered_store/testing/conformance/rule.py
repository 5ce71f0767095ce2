"""
Rules by name, and the account of which were tried on whom.
"""

from __future__ import annotations

import functools

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tiered_store.body import Body
from tiered_store.errors import ReadOnlyError, UnsupportedError
from tiered_store.events import Verb
from tiered_store.store import Store
from tiered_store.testing.conformance.steps import KEY
from tiered_store.testing.conformance.verdict import broken, shown


@dataclass
class Ledger:
    """Which rules were tried on which suite, and which were waived and why."""

    tried: dict[str, set[str]] = field(default_factory=dict)
    waived: dict[str, dict[str, str]] = field(default_factory=dict)


LEDGER = Ledger()


def rule(identifier: str, *needs: Verb) -> Callable[[Any], Any]:
    """
    Mark a test as the rule *identifier*, which needs a store with the verbs.

    What breaks it, an error of the store's own as well, says which rule it was.
    """

    def mark(test: Any) -> Any:
        said = " ".join((test.__doc__ or "").split())

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
            try:
                test(self, store, *args, **kwargs)
            except Exception as error:
                error.add_note(f"{identifier} is broken by {store!r}: {said}")
                raise

        checked.rule = identifier  # type: ignore[attr-defined]  # for who lists them
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
    try:
        came = calls[verb]()
    except (UnsupportedError, ReadOnlyError):
        return
    broken(
        f"{verb} is not among its capabilities(): expected UnsupportedError or "
        f"ReadOnlyError, got {shown(came)}"
    )
