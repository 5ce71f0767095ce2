"""What happened is a value: it cannot be changed, and it travels."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import typing

from typing import Any

import pytest

from tiered_store import events
from tiered_store.errors import UnavailableError
from tiered_store.events import VERBS, CacheMissed, Event, Operation, Verb
from tiered_store.key import Key
from tiered_store.store import Store


KEY = Key("comics.cover", 5, 30, 40, "image/png")
KINDS = [
    kind
    for kind in vars(events).values()
    if inspect.isclass(kind) and issubclass(kind, Event)
]


def made(kind: type[Event]) -> Event:
    """Return an event of *kind*, each field filled with something that fits."""
    hints = typing.get_type_hints(kind)
    return kind(
        **{field.name: filling(hints[field.name]) for field in dataclasses.fields(kind)}
    )


def filling(hint: Any) -> Any:
    """Return a value of the type *hint*."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)[0]
    options = [*typing.get_args(hint), hint]
    if Key in options:
        return KEY
    if any(
        inspect.isclass(kind) and issubclass(kind, BaseException) for kind in options
    ):
        return UnavailableError("timed out")
    return next(value for value in ("word", 1, 0.5) if type(value) in options)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_a_value(kind: type[Event]) -> None:
    """A listener may keep it, and cannot disturb the next one."""
    event = made(kind)

    assert kind.__doc__
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.store = "other"  # type: ignore[misc]  # which is the point
    with pytest.raises((AttributeError, TypeError)):
        event.more = 1  # type: ignore[attr-defined]  # as here
    twin = pickle.loads(pickle.dumps(event))
    assert type(twin) is kind
    assert repr(twin) == repr(event)


@pytest.mark.parametrize("kind", KINDS)
def test_events_are_made_by_name(kind: type[Event]) -> None:
    """So that a field can be added without breaking who makes or reads them."""
    with pytest.raises(TypeError, match="positional"):
        kind("images")  # type: ignore[misc]  # which is the point


def test_equal_events_are_equal() -> None:
    """Tests compare them."""
    assert CacheMissed(store="a", key=KEY) == CacheMissed(store="a", key=KEY)
    assert CacheMissed(store="a", key=KEY) != CacheMissed(store="b", key=KEY)


def test_the_verbs_are_those_of_the_seam() -> None:
    """Each is a method of every store and an outcome that is reported."""
    assert typing.get_args(Verb) == VERBS
    assert all(callable(getattr(Store, verb)) for verb in VERBS)
    assert typing.get_type_hints(Operation)["verb"] == Verb
