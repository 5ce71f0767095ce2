"""What a test opens is closed at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


Closing = Callable[[Any], Any]


@pytest.fixture
def closing() -> Iterator[Closing]:
    """Close at the end whatever it is called with."""
    things: list[Any] = []

    def close_later(thing: Any) -> Any:
        things.append(thing)
        return thing

    yield close_later
    for thing in reversed(things):
        thing.close()
