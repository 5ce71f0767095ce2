"""Imports go downward only, and an SDK is imported by the module named after it."""

from __future__ import annotations

import ast
import functools
import graphlib
import subprocess
import sys

from collections.abc import Iterator
from pathlib import Path

import pytest

import tiered_store


ROOT = Path(tiered_store.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    ): path
    for path in sorted(ROOT.rglob("*.py"))
}

# From the bottom up.  A folder stands for what is in it.
LAYERS = (
    (
        *(
            "errors",
            "key",
            "layout",
            "extensions",
            "urls",
            "units",
            "wording",
            "annotations",
            "strict",
            "clock",
            "chance",
            "deadlines",
            "lingering",
            "events",
            "findings",
            "condition",
        ),
        *(
            "body",
            "positioned",
            "readers",
            "lent",
            "framing",
            "digests",
            "compression",
            "envelope",
            "translation",
        ),
        *("lifecycle", "workers", "lookout", "dialling", "joint"),
        *("combine", "signing", "temporary"),
    ),
    ("node", "store", "foreign", "wrapper", "tree", "explanation"),
    ("policies", "journals", "control", "tiers", "clients", "replication", "caching"),
    ("backends", "wrappers"),
    ("config",),
    ("listeners", "asynchronous", "web", "imageattach", "django"),
    ("testing", "demo", "drill", "connecting", "difference", "cli", "__main__"),
)
APART = ("backends", "wrappers")  # whose members never import each other

OWNERS = {
    "boto3": ("tiered_store.backends.s3",),
    "botocore": ("tiered_store.backends.s3",),
    "s3transfer": ("tiered_store.backends.s3",),
    "obstore": (
        "tiered_store.backends.s3.obstore",
        "tiered_store.backends.s3.obstore_settings",
    ),
    "redis": ("tiered_store.clients.redis",),
    "random": (
        "tiered_store.chance",
        "tiered_store.drill",  # the same faults again from the same seed
        "tiered_store.testing",
    ),
    "sqlite3": (
        "tiered_store.journals",
        "tiered_store.replication.seen",
        "tiered_store.replication.census",
    ),
    "sqlalchemy": ("tiered_store.journals.sql", "tiered_store.imageattach"),
    "sqlalchemy_imageattach": ("tiered_store.imageattach",),
    "yaml": ("tiered_store.config",),
    "pydantic": ("tiered_store.config",),
    "tenacity": ("tiered_store.wrappers.retry",),
    "typer": ("tiered_store.cli",),
    "click": ("tiered_store.cli",),
    "cryptography": ("tiered_store.wrappers.encrypted",),
    "PIL": ("tiered_store.demo",),
    "pytest": (
        "tiered_store.testing.conformance",
        "tiered_store.testing.controls",
        "tiered_store.testing.journals",
    ),
    "prometheus_client": ("tiered_store.listeners.prometheus",),
    "opentelemetry": ("tiered_store.listeners.opentelemetry",),
    "django": ("tiered_store.django",),
    "anyio": (
        "tiered_store.asynchronous",
        "tiered_store.web",
        "tiered_store.cli.serving",
    ),
    "uvicorn": ("tiered_store.web.server", "tiered_store.cli.serving"),
    "hypothesis": (),
    "moto": (),
    "fakeredis": (),
}


@functools.cache  # parsed once for all tests
def imported(path: Path) -> frozenset[str]:
    """Return every module that *path* imports, anywhere in it, by its full name."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(name for node in nodes for name in names_of(node, path))


def top_level(path: Path) -> list[ast.stmt]:
    """Return the statements of *path* that run when it is imported."""
    return ast.parse(path.read_text(encoding="utf-8")).body


def names_of(node: ast.AST, path: Path) -> Iterator[str]:
    """Yield the modules that *node* imports, if it is an import."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{path}: a relative import says less than it seems"
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            yield full if full in MODULES else str(node.module)


def ours(path: Path) -> set[str]:
    """Return the modules of this package that *path* imports."""
    return {name for name in imported(path) if name.split(".")[0] == "tiered_store"}


def layer(module: str) -> int:
    """Return how far up *module* is."""
    part = module.split(".")[1]
    for height, parts in enumerate(LAYERS):
        if part in parts:
            return height
    raise AssertionError(f"{module} belongs to no layer; say to which, in LAYERS")


INNER = {name: path for name, path in MODULES.items() if name != "tiered_store"}


def test_imports_go_downward() -> None:
    """What is below knows nothing of what is built on it."""
    upward = {
        module: {name for name in ours(path) if layer(name) > layer(module)}
        for module, path in INNER.items()
    }

    assert wrong(upward) == {}


def test_the_front_door_is_for_visitors() -> None:
    """The package imports from where a name lives, or it would import in circles."""
    visitors = {module: ours(INNER[module]) & {"tiered_store"} for module in INNER}

    assert wrong(visitors) == {}


def test_siblings_do_not_know_each_other() -> None:
    """A backend or a wrapper can be understood, replaced and taken away alone."""
    strangers = {
        module: set(strangers_in(module))
        for module in INNER
        if module.split(".")[1] in APART
    }

    assert strangers
    assert wrong(strangers) == {}


def strangers_in(module: str) -> Iterator[str]:
    """Yield the siblings that *module* imports, which is not of their folder."""
    family, _, rest = module.removeprefix("tiered_store.").partition(".")
    own = f"tiered_store.{family}.{rest.split('.')[0]}"
    for name in ours(INNER[module]):
        if name.split(".")[1] in APART and not f"{name}.".startswith(f"{own}."):
            yield name


def wrong(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the modules of *found* that import what they should not, and what."""
    return {module: names for module, names in found.items() if names}


def test_nothing_imports_in_circles() -> None:
    """A circle is one module in two files; lazily only within one folder."""
    graph = {}
    for module, path in INNER.items():
        folder = module.rpartition(".")[0]
        at_once = {
            name for node in top_level(path) for name in names_of(node, path)
        } - {module}
        lazy = {name for name in ours(path) if name.rpartition(".")[0] != folder}
        graph[module] = (at_once | lazy) & INNER.keys()

    list(graphlib.TopologicalSorter(graph).static_order())


def test_an_import_has_an_owner() -> None:
    """So that what is imported can be lazy, translated and replaced in one place."""
    strangers = {
        package: {
            module
            for module, path in INNER.items()
            if package in {name.split(".")[0] for name in imported(path)}
            and not any(f"{module}.".startswith(f"{owner}.") for owner in owners)
        }
        for package, owners in OWNERS.items()
    }

    assert wrong(strangers) == {}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level packages that are there after *statement* alone."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-I", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {name.split(".")[0] for name in ran.stdout.split()}


HEAVY = {"boto3", "botocore", "s3transfer", "redis", "urllib3", "pydantic", "yaml"}
HEAVY |= {"typer", "rich", "pytest", "hypothesis", "sqlite3", "sqlalchemy", "PIL"}
HEAVY |= {"anyio", "uvicorn", "fastapi", "starlette"}


@pytest.mark.parametrize(
    "statement",
    [
        "import tiered_store",
        "from tiered_store import MemoryStore, FileSystemStore, as_store, observe",
        "from tiered_store import CachedStore, FallbackStore, RetryStore, OverlayStore",
        "from tiered_store import Store, Wrapper, Key, Body, deadline, StoreError",
        "from tiered_store import FileSystemStore; FileSystemStore('/tmp/x')",
        "import tiered_store.testing",
    ],
)
def test_nobody_pays_for_what_they_do_not_name(statement: str) -> None:
    """No SDK, no parser and no database before something needs it."""
    assert not loaded_by(statement) & HEAVY


def test_importing_starts_nothing() -> None:
    """No thread, whatever is imported; a preloading server forks after it."""
    program = (
        "import threading, os, importlib\n"
        f"for name in {sorted(INNER)!r}:\n"
        "    if name.split('.')[-1] != '__main__':\n"
        "        importlib.import_module(name)\n"
        "print([thread.name for thread in threading.enumerate()])"
    )

    ran = subprocess.run(
        [sys.executable, "-I", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert ran.stdout.strip() == "['MainThread']"
