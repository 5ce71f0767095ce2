"""
What a broken rule says: what was done, what was expected, what came, and where.

It is said in words, so that it reads the same under every runner, whether that takes
assertions apart or not.
"""

from __future__ import annotations

import io

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from tiered_store.errors import StoreError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.testing.conformance.steps import KEY, get
from tiered_store.wording import brief


Error = TypeVar("Error", bound=BaseException)

_WHOLE = 40  # bytes that are shown as they are
_AROUND = 8


def expect(found: object, wanted: object, what: str) -> None:
    """Break the rule unless *found* is *wanted*; *what* says of what it is so."""
    __tracebackhide__ = True
    if found != wanted:
        broken(f"{what}: expected {shown(wanted)}, got {shown(found)}", found, wanted)


def holds(store: Store, content: bytes, what: str, key: Key = KEY) -> None:
    """Break the rule unless *store* has *content*; *what* says since when it should."""
    __tracebackhide__ = True
    what = f"get of {key} {what}"
    try:
        found = get(store, key)
    except StoreError as error:
        broken(f"{what}: expected {shown(content)}, got {_named(error)}")
    expect(found, content, what)


def refused(kind: type[Error], call: Callable[[], Any], what: str) -> Error:
    """
    Return the error of *kind* that *call* raises, or break the rule.

    Args:
        what: What is asked for, and why it must not be given.
    """
    __tracebackhide__ = True
    try:
        came = call()
    except kind as error:
        return error
    except Exception as error:
        raise AssertionError(
            f"{what}: expected {kind.__name__}, got {_named(error)}"
        ) from error
    raise AssertionError(f"{what}: expected {kind.__name__}, got {shown(came)}")


def broken(why: str, found: object = None, wanted: object = None) -> NoReturn:
    """Break the rule, for *why*, and say where two contents differ."""
    __tracebackhide__ = True
    if isinstance(found, bytes) and isinstance(wanted, bytes):
        why = f"{why}; {_difference(found, wanted)}"
    raise AssertionError(why)


def shown(value: object) -> str:
    """Return *value* so that a person sees what it is, however large."""
    if isinstance(value, bytes):
        if len(value) <= _WHOLE:
            return repr(value)
        return f"{len(value):,} bytes, {value[:_AROUND]!r}..."
    if isinstance(value, io.IOBase):
        with value as file:
            return f"a file of {shown(file.read())}"
    return "no error" if value is None else brief(value)


def alike(found: bytes, wanted: bytes) -> int:
    """Return at how many bytes *found* and *wanted* part."""
    pairs = enumerate(zip(found, wanted, strict=False))
    shorter = min(len(found), len(wanted))
    return next((place for place, (ours, other) in pairs if ours != other), shorter)


def _difference(found: bytes, wanted: bytes) -> str:
    same = alike(found, wanted)
    if same == len(found):
        return f"the last {len(wanted) - same:,} are missing"
    if same == len(wanted):
        return f"the last {len(found) - same:,} are too many"
    ours, theirs = (each[same : same + _AROUND] for each in (wanted, found))
    return f"from byte {same:,} on they differ: expected {ours!r}, got {theirs!r}"


def _named(error: BaseException) -> str:
    return f"{type(error).__name__} ({error})"
