"""What can be imported from the package itself, and what that costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys

from pathlib import Path

import pytest

import tiered_store

from tiered_store import errors
from tiered_store.store import Store


SOURCE = Path(tiered_store.__file__).read_text(encoding="utf-8")
PROMISED = (
    *("MemoryStore", "FileSystemStore", "S3Store", "RedisStore"),
    *("CachedStore", "ReplicatedStore", "FallbackStore", "RetryStore"),
    *("load", "build", "as_store", "observe", "deadline", "explain"),
    *("MemoryTier", "RedisTier", "StoreTier"),
    *("Store", "Wrapper", "Key", "Body", "OverlayStore", "BreakerStore"),
)
ERRORS = tuple(
    name
    for name, value in vars(errors).items()
    if inspect.isclass(value)
    and issubclass(value, errors.StoreError | errors.ConfigError)
    and not name.startswith("_")
)


@pytest.mark.parametrize("name", sorted({*PROMISED, *ERRORS}))
def test_what_was_promised_is_there(name: str) -> None:
    """The documentation names these."""
    assert name in tiered_store.__all__
    assert name in dir(tiered_store)


@pytest.mark.parametrize("name", tiered_store.__all__)
def test_every_name_is_what_it_says(name: str) -> None:
    """A class or a function of that name, once."""
    found = getattr(tiered_store, name)

    assert found.__name__ == name
    assert callable(found)
    assert tiered_store.__all__.count(name) == 1
    assert found is getattr(importlib.import_module(found.__module__), name)


def test_every_wrapper_is_exported() -> None:
    """Whoever adds one adds it here."""
    found = set()
    for folder in ("wrappers", "backends"):
        for path in (Path(tiered_store.__file__).parent / folder).iterdir():
            if path.stem.startswith("_"):
                continue
            module = importlib.import_module(f"tiered_store.{folder}.{path.stem}")
            found |= {
                name
                for name, value in vars(module).items()
                if inspect.isclass(value)
                and issubclass(value, Store)
                and value.__module__.startswith(module.__name__)
                and not name.startswith("_")
            }

    assert found <= set(tiered_store.__all__)


def test_the_type_checker_sees_the_same_names() -> None:
    """The block that only it reads, and the table that runs, say the same."""
    block = next(
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    assert sorted(seen) == sorted(tiered_store.__all__)
    for name, module in seen.items():
        found = getattr(importlib.import_module(str(module)), name)
        assert getattr(tiered_store, name) is found


def test_a_name_that_is_not_there_is_told() -> None:
    """As any module does, so that hasattr and a wrong import behave."""
    with pytest.raises(AttributeError, match=r"'tiered_store' has no attribute 'Nope'"):
        tiered_store.Nope  # noqa: B018
    with pytest.raises(ImportError, match="Nope"):
        exec("from tiered_store import Nope")


def test_deadline_is_the_function_whatever_was_imported_before() -> None:
    """A module of the same name would set itself in its place."""
    program = (
        "import importlib, pkgutil, tiered_store\n"
        "for module in pkgutil.iter_modules(tiered_store.__path__):\n"
        "    if module.name != '__main__':\n"
        "        importlib.import_module(f'tiered_store.{module.name}')\n"
        "from tiered_store import *\n"
        "for name in tiered_store.__all__:\n"
        "    assert callable(getattr(tiered_store, name)), name\n"
        "with deadline(1.0):\n"
        "    pass\n"
    )

    subprocess.run([sys.executable, "-I", "-c", program], check=True, timeout=60)


def test_a_star_import_gives_everything() -> None:
    """Also what is imported lazily."""
    names: dict[str, object] = {}
    exec("from tiered_store import *", names)

    assert set(tiered_store.__all__) <= set(names)
