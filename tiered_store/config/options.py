"""
Options of a store, read back from its attributes as a configuration spells them.
"""

from __future__ import annotations

import inspect
import re

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

from tiered_store.control.control import Control
from tiered_store.journals.journal import Journal
from tiered_store.store import Store
from tiered_store.tiers.tier import Tier
from tiered_store.units import GIB, KIB, MIB, Secret, Unit


_USERINFO = re.compile(r"(://)[^/\s@]+@")
_SIZES = {"GiB": GIB, "MiB": MIB, "KiB": KIB}
_DURATIONS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
UNKNOWN = object()
_SCALARS = (str, int, float, bool, Secret, type(None))


def options_of(thing: object) -> dict[str, str]:
    """
    Return the options of *thing* that are not as by default, and nothing secret.

    Parts that are drawn by themselves (stores, tiers, journals, controls) are left out.
    """
    return dict(_options(thing))


def parts_of(thing: object) -> dict[str, Tier | Journal | Control]:
    """Return the tiers, journals and controls that *thing* was given, by role."""
    found: dict[str, Tier | Journal | Control] = {}
    for parameter in _parameters(thing):
        value = getattr(thing, parameter.name, None)
        if isinstance(value, Tier | Journal | Control):
            found[parameter.name] = value
        elif isinstance(value, list | tuple):
            for number, item in enumerate(value):
                if isinstance(item, Tier | Journal | Control):
                    found[f"{parameter.name}.{number}"] = item
    return found


def _options(thing: object) -> Iterator[tuple[str, str]]:
    hints = _hints(type(thing))
    for parameter in _parameters(thing):
        value = value_of(thing, parameter.name)
        if value == parameter.default or not _is_plain(value):
            continue
        marks = list(_marks(hints.get(parameter.name)))
        if is_dataclass(value):
            inside = list(_options(value))
            for name, shown in inside:
                yield f"{parameter.name}.{name}", shown
            if not inside:  # it is there, and all in it is as by default
                yield parameter.name, _whole(value)
        elif Secret in marks:
            yield parameter.name, str(Secret(""))
        else:
            units = (mark for mark in marks if isinstance(mark, Unit))
            yield parameter.name, spelled(value, next(units, None))


def _whole(policy: object) -> str:
    """Return all that *policy* says, as YAML has it."""
    hints = _hints(type(policy))
    said: list[str] = []
    for parameter in _parameters(policy):
        value = value_of(policy, parameter.name)
        if isinstance(value, _SCALARS):
            marks = _marks(hints.get(parameter.name))
            unit = next((mark for mark in marks if isinstance(mark, Unit)), None)
            said.append(f"{parameter.name}: {spelled(value, unit)}")
    return f"{{{', '.join(said)}}}"


def _parameters(thing: object) -> list[inspect.Parameter]:
    return list(inspect.signature(type(thing)).parameters.values())


def value_of(thing: object, name: str) -> Any:
    """Return what *thing* was given as *name*, ``UNKNOWN`` if that cannot be told."""
    value = getattr(thing, f"given_{name}", UNKNOWN)
    if value is not UNKNOWN:  # the attribute is what the constructor made of it
        return value
    value = getattr(thing, name, UNKNOWN)
    if callable(value):  # one of the verbs; such an option is kept under another name
        elsewhere = getattr(thing, f"{name}_policy", UNKNOWN)
        value = getattr(thing, f"server_{name}", elsewhere)
    if value is UNKNOWN:  # perhaps one of those that belong together
        return getattr(getattr(thing, "policy", None), name, UNKNOWN)
    return value


def has_password(text: str) -> bool:
    """Whether *text* is an address with a password in it."""
    return _USERINFO.search(text) is not None


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(item) for item in value.values()) and bool(value)
    if isinstance(value, list | tuple | set | frozenset):
        return all(_is_plain(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return not isinstance(value, Store | Tier | Journal | Control)
    return isinstance(value, _SCALARS)


def _hints(made: type) -> Mapping[str, Any]:
    annotated: Any = made
    if not is_dataclass(made):
        annotated = made.__init__  # type: ignore[misc] # of this very class
    try:
        return get_type_hints(annotated, include_extras=True)
    except NameError:  # of somebody's own class, imported for the type checker only
        return {}


def _marks(hint: Any) -> Iterator[object]:
    yield hint
    for argument in get_args(hint):
        yield from _marks(argument)


def spelled(value: Any, unit: Unit | None) -> str:
    """Return *value*, measured in *unit* if that is given, as YAML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return _measured(value, unit)
    if isinstance(value, Mapping):
        pairs = (f"{key}: {spelled(item, unit)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(spelled(item, unit) for item in value)}]"
    return _USERINFO.sub(r"\1****@", str(value))


def _measured(value: float, unit: Unit | None) -> str:
    if unit is None or not value:
        return str(int(value) if float(value).is_integer() else value)
    if unit.name == "size":
        for word, size in _SIZES.items():
            if value % size == 0:
                return f"{value // size}{word}"
        return str(value)
    for word, seconds in _DURATIONS.items():
        if value % seconds == 0:
            return f"{value // seconds:g}{word}"
    return f"{value:g}s" if value > 1 else f"{value * 1000:g}ms"
