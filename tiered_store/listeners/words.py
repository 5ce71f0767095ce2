"""
An event in words, and as plain values.
"""

from __future__ import annotations

import dataclasses
import functools
import re

from collections.abc import Iterator

from tiered_store.errors import StoreError
from tiered_store.events import Event


Plain = str | int | float | bool


def name_of(event: Event) -> str:
    """Return ``fell back`` for a ``FellBack``."""
    return _apart(type(event).__name__)


def values_of(event: Event) -> Iterator[tuple[str, Plain]]:
    """Yield what *event* says besides its store, field by field; nothing is None."""
    for field in dataclasses.fields(event):
        name = field.name
        if name == "store":
            continue
        value = getattr(event, name)
        if isinstance(value, BaseException):
            yield name, f"{type(value).__name__}: {message_of(value)}"
        elif isinstance(value, Plain):
            yield name, value
        elif value is not None:
            yield name, str(value)


def message_of(error: BaseException) -> str:
    """Return what *error* says, without the path that an event has already."""
    return error.message if isinstance(error, StoreError) else str(error)


@functools.cache
def _apart(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
