"""Errors answer what a caller must decide, and travel without losing anything."""

from __future__ import annotations

import copy
import errno
import importlib
import pickle
import pkgutil
import re

from collections.abc import Iterator

import pytest

import tiered_store

from tiered_store import errors
from tiered_store.errors import (
    ClosedError,
    ConfigError,
    ConflictError,
    CorruptError,
    DeadlineError,
    DeniedError,
    FullError,
    InconclusiveError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    PartialWriteError,
    ReadOnlyError,
    RefusedError,
    StoreError,
    ThrottledError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.key import Key


KEY = Key("comics.cover", 5, 30, 40, "image/png")

TREE = {
    StoreError: OSError,
    NotFoundError: (StoreError, FileNotFoundError),
    UnavailableError: StoreError,
    ThrottledError: UnavailableError,
    DeadlineError: UnavailableError,
    InconclusiveError: UnavailableError,
    RefusedError: StoreError,
    DeniedError: (RefusedError, PermissionError),
    MisconfiguredError: RefusedError,
    ReadOnlyError: RefusedError,
    FullError: RefusedError,
    InvalidError: StoreError,
    TooLargeError: InvalidError,
    ConflictError: StoreError,
    CorruptError: StoreError,
    PartialWriteError: StoreError,
    UnsupportedError: StoreError,
    ConfigError: ValueError,
    ClosedError: ValueError,
}
FLAGS = {  # retryable, failover, ambiguous, local, errno
    StoreError: (False, True, False, False, None),
    NotFoundError: (False, False, False, False, errno.ENOENT),
    UnavailableError: (True, True, False, False, None),
    ThrottledError: (True, True, False, False, None),
    DeadlineError: (False, False, False, False, errno.ETIMEDOUT),
    InconclusiveError: (False, True, False, False, None),  # as its outcomes are
    RefusedError: (False, True, False, False, None),
    DeniedError: (False, True, False, False, errno.EACCES),
    MisconfiguredError: (False, True, False, False, None),
    ReadOnlyError: (False, True, False, False, errno.EROFS),
    FullError: (False, True, False, False, errno.ENOSPC),
    InvalidError: (False, False, False, False, errno.EINVAL),
    TooLargeError: (False, False, False, False, errno.EFBIG),
    ConflictError: (False, False, False, False, None),
    CorruptError: (False, True, False, False, None),
    PartialWriteError: (False, True, True, False, None),
    UnsupportedError: (False, True, False, False, errno.ENOTSUP),
}


def everywhere() -> list[type[StoreError]]:
    """Return every error of the tree, those of other modules included."""
    for module in pkgutil.walk_packages(tiered_store.__path__, "tiered_store."):
        if module.name.split(".")[1] not in ("__main__", "cli", "demo"):
            importlib.import_module(module.name)

    def below(kind: type[StoreError]) -> Iterator[type[StoreError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    found = dict.fromkeys(below(StoreError))
    return [kind for kind in found if kind.__module__.startswith("tiered_store")]


def test_the_tree_is_the_one_of_the_documentation() -> None:
    """Callers catch by these; a class that moves is a change of behaviour."""
    for kind, bases in TREE.items():
        assert issubclass(kind, bases if isinstance(bases, type) else StoreError)
        for base in bases if isinstance(bases, tuple) else (bases,):
            assert base in kind.__mro__
    public = {
        kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type)
        and issubclass(kind, Exception)
        and not name.startswith("_")
    }
    assert public == set(TREE)


def test_the_tree_is_drawn_as_it_is() -> None:
    """Above the module, where people look for it."""
    drawn = re.findall(r"^ {3}([│ ]*[├└]── )?(\w+Error)", errors.__doc__ or "", re.M)

    path: list[str] = []
    seen = {}
    for branch, name in drawn:
        path[len(branch) // 4 :] = [name]
        seen[name] = path[-2] if len(path) > 1 else None
    for kind, bases in TREE.items():
        base = bases[0] if isinstance(bases, tuple) else bases
        expected = base.__name__ if base in TREE else None
        assert seen[kind.__name__] == expected, kind


@pytest.mark.parametrize("kind", FLAGS)
def test_flags_say_what_to_do(kind: type[StoreError]) -> None:
    """Retry here, try elsewhere, maybe done all the same, trouble of our own."""
    error = kind("message")

    flags = (error.retryable, error.failover, error.ambiguous, error.local, error.errno)
    assert flags == FLAGS[kind]


def test_they_are_what_the_contract_and_python_know() -> None:
    """Code that was written for files goes on working."""
    assert isinstance(NotFoundError("x"), FileNotFoundError)
    assert isinstance(DeniedError("x"), PermissionError)
    for kind in FLAGS:
        assert isinstance(kind("x"), OSError)
        assert kind("x").args == ("x",)
    assert not isinstance(UnavailableError("x"), FileNotFoundError)
    assert not issubclass(ConfigError, OSError)


def test_an_error_says_where_what_and_why() -> None:
    """In one line, and what is not known is left out."""
    assert str(UnavailableError("timed out")) == "timed out"
    assert str(UnavailableError()) == "UnavailableError"
    assert str(UnavailableError("timed out").at("images.us", "get", KEY)) == (
        "images.us: get comics.cover/5/30x40 (image/png): timed out"
    )
    assert str(UnavailableError("timed out").at("images", "keys")) == (
        "images: keys: timed out"
    )
    assert str(DeniedError("no", store="images.us")) == "images.us: no"


def test_the_nearest_store_is_named() -> None:
    """Whoever passes an error on does not claim it."""
    error = UnavailableError("timed out").at("images.us", "get", KEY)

    assert error.at("images", "put", None) is error
    assert (error.store, error.verb, error.key) == ("images.us", "get", KEY)


def test_giving_up_is_final() -> None:
    """Nobody above tries again, but somewhere else may still be tried."""
    error = UnavailableError("timed out")

    assert error.final() is error
    assert (error.retryable, error.failover) == (False, True)
    assert UnavailableError.retryable


def samples() -> list[StoreError]:
    """Return one error of every class, with all the facts it can carry."""
    found: list[StoreError] = []
    for kind in everywhere():
        facts = {
            "retryable": not kind.retryable,
            "failover": not kind.failover,
            "ambiguous": not kind.ambiguous,
            "local": True,
            "store": "images.us",
            "verb": "put",
            "key": KEY,
            "errno": errno.ECHILD,
            "extra": [1, {"deep": "fact"}],
        }
        found.append(kind("what happened", **facts))
    return found


@pytest.mark.parametrize("error", samples(), ids=lambda error: type(error).__name__)
def test_every_error_survives_the_journey(error: StoreError) -> None:
    """Between processes, with whatever it knows, also what was added to it later."""
    error.__dict__["retry_after"] = 1.5
    error.add_note("seen on a Monday")
    if isinstance(error, PartialWriteError | InconclusiveError):
        error.outcomes = {"us": None, "eu": NotFoundError("gone").at("eu", "get", KEY)}

    for twin in (
        *(pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, 6)),
        copy.copy(error),
        copy.deepcopy(error),
        error.copy(),
    ):
        assert type(twin) is type(error)
        assert twin is not error
        assert str(twin) == str(error)
        assert twin.args == error.args
        assert twin.errno == errno.ECHILD
        facts, expected = dict(twin.__dict__), dict(error.__dict__)
        if "outcomes" in expected:
            assert str(facts.pop("outcomes")) == str(expected.pop("outcomes"))
        assert facts == expected


def test_a_plain_error_survives_it_too() -> None:
    """With the flags of its class and nothing else."""
    for kind, flags in FLAGS.items():
        twin = pickle.loads(pickle.dumps(kind("message")))
        assert (twin.retryable, twin.failover, twin.ambiguous) == flags[:3]
        assert twin.errno == flags[4]
        assert str(twin) == "message"


def test_a_copy_is_ones_own() -> None:
    """Each of several callers raises one; a traceback must not grow with them."""
    cause = OSError("below")
    error = ThrottledError("slow down", retry_after=2.0)
    error.__cause__ = cause
    try:
        raise error
    except ThrottledError:
        twin = error.copy()

    assert twin.__cause__ is cause
    assert twin.__traceback__ is None
    assert isinstance(twin, ThrottledError)
    assert twin.retry_after == 2.0
    twin.final().at("a", "get", None)
    assert error.retryable
    assert error.store is None


@pytest.mark.parametrize("kind", [InconclusiveError, PartialWriteError])
def test_several_answers_are_told_by_name(
    kind: type[InconclusiveError | PartialWriteError],
) -> None:
    """Who did it, who has nothing, who failed how."""
    outcomes = {
        "us": None,
        "eu": NotFoundError("no such object"),
        "as": UnavailableError("timed out").at("images.as", "put", KEY),
    }

    error = kind("2 of 3 failed", outcomes).at("images", "put", KEY)

    assert str(error) == (
        f"images: put {KEY}: 2 of 3 failed (us: done; eu: absent; as: timed out)"
    )
    assert error.outcomes == outcomes


@pytest.mark.parametrize("kind", [InconclusiveError, PartialWriteError])
def test_another_attempt_is_worth_it_if_it_is_for_one(
    kind: type[InconclusiveError | PartialWriteError],
) -> None:
    """And not when all who failed are final; who raises it may know better."""
    final = UnavailableError("given up").final()

    assert kind("x", {"a": final, "b": UnavailableError("y")}).retryable
    assert not kind("x", {"a": final, "b": DeniedError("no"), "c": None}).retryable
    assert not kind("x", {"a": UnavailableError("y")}, retryable=False).retryable
    assert kind("x", {"a": final}, retryable=True).retryable


def test_outcomes_are_not_the_callers_dictionary() -> None:
    """Which goes on changing while the last replicas answer."""
    outcomes: dict[str, StoreError | None] = {"us": None}
    error = PartialWriteError("x", outcomes)
    outcomes["eu"] = None

    assert error.outcomes == {"us": None}


def test_a_configuration_error_tells_all_problems() -> None:
    """At once, a line each, also after a journey."""
    error = ConfigError(["a.yml:1:2 first", "a.yml:3:4 second"])

    assert error.problems == ("a.yml:1:2 first", "a.yml:3:4 second")
    assert str(error) == "a.yml:1:2 first\na.yml:3:4 second"
    assert ConfigError("only one").problems == ("only one",)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.problems, str(twin)) == (error.problems, str(error))
