"""Who builds a stack in code is told of a wrong word as the author of a file is."""

from __future__ import annotations

import importlib
import math
import pkgutil
import re

from collections.abc import Iterator
from inspect import signature
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest

import tiered_store

from tiered_store.annotations import choices_of, unit_of, words_of
from tiered_store.backends.memory import MemoryStore
from tiered_store.backends.s3 import S3Store
from tiered_store.config.schema import hints_of
from tiered_store.errors import ConfigError
from tiered_store.strict import Strict
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.hedged import HedgedStore
from tiered_store.wrappers.retry import RetryStore


# what the library says, and nobody else makes
SAID = {"Finding", "Explanation", "Condition", "Difference", "Stat"}
SAID |= {"RepairReport", "VerifyReport"}


def constructors() -> set[type]:
    """Return every class of the package that somebody may build a stack with."""
    for module in pkgutil.walk_packages(tiered_store.__path__, "tiered_store."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    exported = {getattr(tiered_store, name) for name in tiered_store.__all__}
    found = {each for each in exported if isinstance(each, type)}
    found |= {each for each in below(Strict) if each.__module__.startswith("tiered_")}
    return {each for each in found if each.__name__ not in SAID}


def below(base: type) -> Iterator[type]:
    """Yield every class built on *base*."""
    for each in base.__subclasses__():
        yield each
        yield from below(each)


def bounded() -> dict[str, tuple[Any, str, Any]]:
    """Return every option that takes certain words only: whose, its name, its type."""
    options = {}
    for made in sorted(constructors(), key=lambda each: each.__qualname__):
        for name, hint in hints_of(made).items():
            if choices_of(hint) and name in signature(made).parameters:
                options[f"{made.__name__}.{name}"] = (made, name, hint)
    return options


def measured() -> dict[str, tuple[Any, str, bool]]:
    """Return every option that is a measure: whose, its name, whether of time."""
    options = {}
    for made in sorted(constructors(), key=lambda each: each.__qualname__):
        for name, hint in hints_of(made).items():
            unit = unit_of(hint)
            if unit is not None and name in signature(made).parameters:
                timed = unit.name == "duration"
                options[f"{made.__name__}.{name}"] = (made, name, timed)
    return options


OPTIONS = bounded()
MEASURES = measured()
every_measure = pytest.mark.parametrize(
    ("made", "option", "timed"), MEASURES.values(), ids=MEASURES
)
every_option = pytest.mark.parametrize(
    ("made", "option", "hint"), OPTIONS.values(), ids=OPTIONS
)


def refused(made: Any, option: str, value: object) -> str:
    """Return what is said when *made* is given *value*, right in everything else."""
    with pytest.raises(ConfigError) as raised:
        made(**{option: value})
    return str(raised.value)


def given(word: str, hint: Any) -> object:
    """Return *word* as an option of type *hint* has it: one, or one of several."""
    return [word] if "Sequence" in str(hint) else word


def test_they_are_found() -> None:
    """Else the tests below would pass, having nothing to look at."""
    assert {
        "FallbackStore.write",
        "FallbackStore.read_on",
        "ReplicatedStore.ack",
        "CachedStore.on_put",
        "S3Store.engine",
        "HedgedStore.after",
        "RedisTier.mode",
        "SQLiteJournal.durability",
        "ReadPolicy.hedge_after",
        "FaultStore.errors",
    } <= OPTIONS.keys()
    assert {
        "MemoryTier.ttl",
        "MemoryTier.capacity",
        "TimeoutStore.seconds",
        "CachedStore.stale_if_error",
        "BreakerPolicy.window",
        "RepairPolicy.every",
        "Rule.min_size",
    } <= MEASURES.keys()


@every_option
def test_an_unknown_word_is_refused(made: Any, option: str, hint: Any) -> None:
    """Whose, which, what it was and what there is; never a promise lost in silence."""
    message = refused(made, option, given("nonsense", hint))

    assert message.startswith(f"{made.__name__}: {option}: expected ")
    assert message.endswith(", got 'nonsense'")
    assert all(repr(word) in message for word in choices_of(hint))


@every_option
def test_a_slip_is_named(made: Any, option: str, hint: Any) -> None:
    """As ``fail-over`` is one of ``failover``."""
    [word, *_] = choices_of(hint)

    message = refused(made, option, given(f"{word}-", hint))

    assert message.endswith(f", got '{word}-'; did you mean {word!r}?")


@every_option
def test_every_word_there_is_is_taken(made: Any, option: str, hint: Any) -> None:
    """Whatever else may be missing for it."""
    said = []
    for word in choices_of(hint):
        try:
            made(**{option: given(word, hint)})
        except (ConfigError, TypeError) as error:
            said.append(str(error))

    assert not re.search("expected", "\n".join(said))


def test_the_words_are_those_of_a_file() -> None:
    """So that what is learned in one place holds in the other."""
    stores = {"a": MemoryStore(), "b": MemoryStore()}

    with pytest.raises(ConfigError) as raised:
        FallbackStore(stores, write="fail-over", failback="never")  # type: ignore[arg-type]

    assert raised.value.problems == (
        "FallbackStore: write: expected 'primary' or 'failover', got 'fail-over'; "
        "did you mean 'failover'?",
        "FallbackStore: failback: expected 'auto' or 'manual', got 'never'",
    )


def test_one_word_is_no_list_of_them() -> None:
    """It would be read letter by letter."""
    assert refused(FallbackStore, "read_on", "not_found") == (
        "FallbackStore: read_on: expected a list of 'unavailable' or 'not_found', "
        "got 'not_found'"
    )


def test_a_word_beside_numbers() -> None:
    """A duration in code is a number of seconds."""
    assert refused(HedgedStore, "after", "20ms") == (
        "HedgedStore: after: expected seconds >= 0 or 'p95', got '20ms'; write 0.02"
    )
    assert HedgedStore(MemoryStore(), after=0.02)


@every_measure
def test_a_measure_is_a_number(made: Any, option: str, timed: bool) -> None:
    """Its spelling would fail at the first call, nan make any comparison false."""
    text, value = ("5m", 300) if timed else ("5KiB", 5120)
    of = f"{made.__name__}: {option}: expected {'seconds' if timed else 'bytes'} >= 0"

    assert refused(made, option, text).startswith(of)
    assert refused(made, option, text).endswith(f", got {text!r}; write {value}")
    for absurd in (-1, -0.001, math.nan, True, [1]):
        assert refused(made, option, absurd).startswith(of)


@every_measure
def test_every_measure_there_may_be_is_taken(
    made: Any, option: str, timed: bool
) -> None:
    """Whatever else may be missing for it, or be said by the store itself."""
    said = []
    for value in (0, 1, 0.5, 5 * 2**20, math.inf if timed else 2**40):
        try:
            made(**{option: value})
        except (ConfigError, TypeError) as error:
            said.append(str(error))

    assert not re.search("expected (seconds|bytes)", "\n".join(said))


def plain() -> dict[str, tuple[Any, str, type]]:
    """Return every option that is a number, or true or false: whose, name, which."""
    options = {}
    for made in sorted(constructors(), key=lambda each: each.__qualname__):
        for name, hint in hints_of(made).items():
            union = get_origin(hint) in (Union, UnionType)
            kinds = set(get_args(hint) if union else [hint]) - {NoneType}
            if len(kinds) == 1 and kinds <= {int, float, bool}:
                options[f"{made.__name__}.{name}"] = (made, name, kinds.pop())
    return options


PLAIN = plain()


@pytest.mark.parametrize(("made", "option", "kind"), PLAIN.values(), ids=PLAIN)
def test_a_number_is_no_text(made: Any, option: str, kind: type) -> None:
    """``public="false"`` would make objects public, as any text is true."""
    words = {int: "a whole number", float: "a number", bool: "true or false"}
    for wrong in ("3", "false", [1], *([] if kind is bool else [True, math.nan])):
        said = refused(made, option, wrong)
        assert said.startswith(f"{made.__name__}: {option}: expected ")
        assert f"expected {words[kind]}, got " in said


def test_public_in_code_is_true_or_false() -> None:
    """Nobody's bucket is opened to the world by a word."""
    assert "S3Store.public" in PLAIN
    assert refused(S3Store, "public", "false") == (
        "S3Store: public: expected true or false, got 'false'"
    )


def test_a_default_is_never_wrong() -> None:
    """Many write ``timeout: float = None``, and hand None on."""

    class Sloppy(MemoryStore):
        def __init__(self, timeout: float = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
            super().__init__()
            self.timeout = timeout

    assert Sloppy(None).timeout is None  # type: ignore[arg-type]
    assert Sloppy(timeout=2).timeout == 2
    assert refused(Sloppy, "timeout", "2s").endswith("expected a number, got '2s'")


@pytest.mark.parametrize(
    "make",
    [
        lambda child: RetryStore(child, budget=-0.1),
        lambda child: RetryStore(child, budget_floor=-1),
        lambda child: HedgedStore(child, workers=-1),
        lambda child: FallbackStore({"a": child}, workers=-1),
    ],
)
def test_what_cannot_be_negative(make: Any) -> None:
    """It would be found out in the first outage."""
    with pytest.raises(ConfigError, match="must not be negative, is -"):
        make(MemoryStore())


@pytest.mark.parametrize("value", [None, True, 5, [], {}])
def test_what_is_no_word_at_all(value: object) -> None:
    """None is only taken where it means something."""
    assert repr(value) in refused(FallbackStore, "write", value)


class Picky(Wrapper):
    def __init__(
        self, child: Any, mode: Literal["fast", "safe"] = "safe", *more: str
    ) -> None:
        super().__init__(child)
        self.mode = mode


class Pickier(Picky):
    """Has the constructor of its base."""


class Heir(Picky):
    def __init__(self, mode: Any) -> None:
        super().__init__(MemoryStore(), mode)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Picky(MemoryStore(), "quick"),  # type: ignore[arg-type]
        lambda: Picky(MemoryStore(), "quick", "safe"),  # type: ignore[arg-type]
        lambda: Picky(MemoryStore(), mode="quick"),  # type: ignore[arg-type]
        lambda: Pickier(MemoryStore(), "quick"),  # type: ignore[arg-type]
        lambda: Heir("quick"),
    ],
)
def test_a_store_of_ones_own_is_checked_as_well(make: Any) -> None:
    """By place, by name, by the class that was made, and what its base is given."""
    name = re.escape("'fast' or 'safe', got 'quick'")
    with pytest.raises(ConfigError, match=rf"(Pick|Heir)\w*: mode: expected {name}"):
        make()

    assert Pickier(MemoryStore(), "fast", "quick").mode == "fast"


def test_what_cannot_be_read_is_left_alone() -> None:
    """Its author imported the type for the type checker only."""

    class Elsewhere(MemoryStore):
        def __init__(self, mode: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
            super().__init__()
            self.mode = mode

    assert Elsewhere("any").mode == "any"


def test_the_signature_is_what_it_was() -> None:
    """Editors show it, and a configuration is read by it."""
    assert [*signature(Picky).parameters] == ["child", "mode", "more"]
    assert words_of(hints_of(Picky)["mode"]) == "'fast' or 'safe'"
