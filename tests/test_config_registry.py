"""Types are found by their word, ours and those of other packages."""

from __future__ import annotations

import re
import sys
import textwrap

from importlib import import_module
from pathlib import Path

import pytest

from tests.configs import REGISTRY, problems
from tiered_store.cli.failure import explain
from tiered_store.config import Registry, build, check
from tiered_store.config.json_schema import json_schema
from tiered_store.config.registry import JOURNALS, STORES, TIERS
from tiered_store.config.types import types
from tiered_store.errors import ConfigError
from tiered_store.node import kind_of
from tiered_store.store import Store


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def install(name: str, entry_points: str, module: str = "") -> None:
    """Install a package *name* into the current directory."""
    metadata = Path(f"{name}-1.0.dist-info")
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(textwrap.dedent(entry_points))
    Path(f"{name}.py").write_text(textwrap.dedent(module))


def wrong(word: str, registry: Registry) -> list[str]:
    """Return what is wrong with a store of type *word*."""
    with pytest.raises(ConfigError) as caught:
        build({"version": 1, "stores": {"x": {"type": word}}}, registry=registry)
    return list(caught.value.problems)


def test_words_are_the_names_of_the_classes() -> None:
    """The word is the class without its kind, and the module is called like it."""
    for word, target in STORES.items():
        assert isinstance(target, str)
        module, _, name = target.partition(":")
        assert name.removesuffix("Store").lower() == word
        assert module.endswith((f".{word}", "testing.faults"))
    for word, target in (*JOURNALS.items(), *TIERS.items()):
        assert isinstance(target, str)
        assert target.partition(":")[0].endswith(f".{word}")


@pytest.mark.parametrize("word", ["memory", "filesystem", "cached", "fault", "retry"])
def test_own_type(word: str) -> None:
    """Every word of ours leads to its class."""
    found = Registry().stores.find(word)
    assert isinstance(found, type)
    assert issubclass(found, Store)
    assert kind_of(found) == word


def test_nothing_is_imported_before_it_is_named() -> None:
    """A type that is broken harms nobody who does not use it."""
    build({"version": 1, "stores": {"x": {"type": "memory"}}}, registry=REGISTRY)
    assert problems("{version: 1, stores: {x: {type: broken}}}") == [
        "images.yml:1:33 stores.x.type: type 'broken' of tiered-store cannot be "
        "loaded: ModuleNotFoundError: No module named 'tests.no_such_module'"
    ]
    assert problems("{version: 1, stores: {x: {type: noclass}}}") == [
        "images.yml:1:33 stores.x.type: type 'noclass' of tiered-store is no class: "
        "tests.configs:CLOSED"
    ]


STRANGERS = """
    from tiered_store.backends.memory import MemoryStore

    class Odd:
        @classmethod
        def __get_pydantic_core_schema__(cls, *_):
            raise RuntimeError("odd")

    class Attribute(MemoryStore):
        def __init__(self, x: "re.Nope" = None) -> None: ...

    class Syntax(MemoryStore):
        def __init__(self, x: "int |" = None) -> None: ...

    class Schema(MemoryStore):
        def __init__(self, x: Odd = None) -> None: ...

    class Signature(MemoryStore):
        __signature__ = 5

    class Told(MemoryStore):
        '''Its options are those of :class:`no_such_module.Store`.'''

    class Failing(MemoryStore):
        def __init__(self) -> None:
            raise KeyError("nobody")

    import re
"""


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("leaving:Store", "cannot be loaded: SystemExit: 3"),
        ("strangers:Attribute", "no readable signature: AttributeError: module 're'"),
        ("strangers:Syntax", "no readable signature: "),
        ("strangers:Schema", "no readable signature: RuntimeError: odd"),
        ("strangers:Signature", "no readable signature: "),
        ("strangers:NoSuch", "cannot be loaded: AttributeError"),
    ],
)
def test_a_stranger_breaks_nothing_else(
    target: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is broken, it is told where it is named, with all else that is."""
    monkeypatch.delitem(sys.modules, "strangers", raising=False)
    Path("leaving.py").write_text("raise SystemExit(3)")
    Path("strangers.py").write_text(textwrap.dedent(STRANGERS))
    registry = Registry(stores={"odd": target})
    Path("x.yml").write_text(
        "{version: 1, default: b, stores: {a: {type: odd}, b: {type: memry}}}"
    )

    first, second = check("x.yml", registry=registry)
    assert said in first
    assert "'odd' of tiered-store" in first or "'odd' has" in first
    assert "did you mean 'memory'?" in second
    listed = {one.word: one for one in types(registry)}
    assert listed["odd"].broken
    assert listed["memory"].broken is None
    schema, broken = json_schema(registry)
    assert len(broken) == 1
    assert "store.odd" not in schema["$defs"]


def test_a_stranger_may_say_anything(capsys: pytest.CaptureFixture[str]) -> None:
    """Options of a class that is not there; and a bug says whose it is."""
    Path("strangers.py").write_text(textwrap.dedent(STRANGERS))
    stores = {"told": "strangers:Told", "failing": "strangers:Failing"}
    registry = Registry(stores=stores)
    assert all(one.broken is None for one in types(registry))

    with pytest.raises(KeyError, match="nobody") as caught:
        build({"version": 1, "stores": {"x": {"type": "failing"}}}, registry=registry)
    assert explain(caught.value) == 1
    assert "KeyError: 'nobody', while stores.x was made" in capsys.readouterr().err


def test_a_stranger_s_bug_shows_no_secret() -> None:
    """Whatever its author put into the error."""
    Path("indiscreet.py").write_text(
        textwrap.dedent(
            """
            from tiered_store import Secret, MemoryStore

            class Indiscreet(MemoryStore):
                def __init__(self, password: Secret) -> None:
                    raise RuntimeError(f"cannot log in with {password.reveal()}", 1)
            """
        )
    )
    registry = Registry(stores={"indiscreet": "indiscreet:Indiscreet"})
    store = {"type": "indiscreet", "password": "hunter2"}

    with pytest.raises(RuntimeError) as caught:
        build({"version": 1, "stores": {"x": store}}, registry=registry)

    assert caught.value.args == ("cannot log in with ****", 1)


def test_unknown_type() -> None:
    """A word that nothing has is told which one may be meant, or all of them."""
    registry = Registry()
    assert wrong("cachd", registry) == [
        "stores.x.type: unknown store type 'cachd'; did you mean 'cached'?"
    ]
    assert wrong("directory", registry) == [
        "stores.x.type: unknown store type 'directory'; did you mean 'filesystem'?"
    ]
    assert wrong("zzz", registry) == [
        f"stores.x.type: unknown store type 'zzz'; known are: {', '.join(STORES)}"
    ]


ACME = """
    [tiered_store.stores]
    acme = acme_storage:AcmeStore
    torn = acme_torn:TornStore
    memory = acme_storage:AcmeStore
    vague = acme_storage:VagueStore
    shapeless = acme_storage:Shapeless
    draft = acme_storage:DraftStore

    [tiered_store.journals]
    ledger = acme_storage:Ledger

    [tiered_store.tiers]
    shelf = acme_storage:ShelfTier
"""
ACME_MODULE = """
    from __future__ import annotations
    from abc import ABC, abstractmethod
    from typing import TYPE_CHECKING
    from tiered_store.backends.memory import MemoryStore
    from tiered_store.tiers.memory import MemoryTier
    from tiered_store.units import Size
    from tiered_store.wrapper import Wrapper

    if TYPE_CHECKING:
        from nowhere import Nothing

    class AcmeStore(MemoryStore):
        def __init__(self, *, room: Size = 5) -> None:
            super().__init__()
            self.room = room

    class VagueStore(MemoryStore):
        def __init__(self, *, room: Nothing = None) -> None:
            super().__init__()

    class DraftStore(Wrapper, ABC):
        @abstractmethod
        def _later(self): ...

    class Shapeless:
        def __init__(self, room: int = 3) -> None:
            pass

    class Ledger:
        def __init__(self, path: str) -> None:
            self.path = path

    class ShelfTier(MemoryTier):
        pass
"""


def test_other_packages_add_types() -> None:
    """A store of an installed package is named like ours, its options included."""
    install("acme_storage", ACME, ACME_MODULE)
    registry = Registry(stores={"journaled": "tests.configs:JournaledStore"})
    store = build(
        {"version": 1, "stores": {"x": {"type": "acme", "room": "2KiB", "limit": 3}}},
        registry=registry,
    )
    assert store.child.room == 2048  # type: ignore[attr-defined] # limit's and acme's
    assert "acme" in registry.stores.words()
    journaled = build(
        {
            "version": 1,
            "stores": {
                "x": {"type": "journaled", "journal": {"type": "ledger", "path": "p"}}
            },
        },
        registry=registry,
    )
    assert journaled.journal.path == "p"  # type: ignore[attr-defined] # of configs
    cached = build(
        {
            "version": 1,
            "stores": {
                "x": {
                    "type": "cached",
                    "origin": {"type": "memory"},
                    "tiers": [{"type": "shelf", "ttl": "3s"}],
                }
            },
        },
        registry=registry,
    )
    assert type(cached.tiers[0]).__name__ == "ShelfTier"  # type: ignore[attr-defined]
    assert wrong("acm", registry) == [
        "stores.x.type: unknown store type 'acm'; did you mean 'acme'?"
    ]


def test_own_words_are_never_anybody_elses() -> None:
    """A package that is installed cannot change what a file means."""
    install("acme_storage", ACME, ACME_MODULE)
    assert Registry().stores.find("memory").__module__ == "tiered_store.backends.memory"


def test_broken_package_names_itself() -> None:
    """One that cannot be imported, read or used says which it is."""
    install("acme_storage", ACME, ACME_MODULE)
    install("acme_torn", "", "raise RuntimeError('torn')")
    registry = Registry()
    build({"version": 1, "stores": {"x": {"type": "acme"}}}, registry=registry)
    assert wrong("torn", registry) == [
        "stores.x.type: type 'torn' of acme_storage cannot be loaded: "
        "RuntimeError: torn"
    ]
    assert wrong("vague", registry) == [
        "stores.x.type: type 'vague' has no readable signature: "
        "name 'Nothing' is not defined"
    ]
    assert wrong("draft", registry) == [
        "stores.x.type: type 'draft' of acme_storage is unfinished: "
        "acme_storage:DraftStore lacks _later"
    ]
    (said,) = wrong("shapeless", registry)
    assert said.startswith("stores.x: <acme_storage.Shapeless object at 0x")
    assert said.endswith(
        "> is no store: it lacks put_file, get_file, get_url, delete_file"
    )


def test_two_packages_claim_a_word() -> None:
    """Which one is meant is nothing to guess."""
    install("acme_storage", ACME, ACME_MODULE)
    install("umbrella", "[tiered_store.stores]\nacme = umbrella:AcmeStore\n")
    assert wrong("acme", Registry()) == [
        "stores.x.type: store type 'acme' is claimed by acme_storage and umbrella; "
        "uninstall one"
    ]


def test_snippets_of_modules_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every type that is there has in its docstring the YAML that builds it."""
    built = []
    for word, target in STORES.items():
        assert isinstance(target, str)
        try:
            documentation = import_module(target.partition(":")[0]).__doc__ or ""
        except ModuleNotFoundError as error:
            if not str(error.name).startswith("tiered_store"):
                raise
            continue
        for snippet in documentation.split(".. code-block:: yaml\n")[1:]:
            lines = []
            for line in snippet.splitlines():
                if line.strip() and not line.startswith("   "):
                    break
                lines.append(line)
            body = textwrap.indent(textwrap.dedent("\n".join(lines)), "    ")
            for variable in re.findall(r"\$\{env:(\w+)\}", body):
                monkeypatch.setenv(variable, "x" * 16)
            Path("x.yml").write_text(f"version: 1\nstores:\n  x:\n{body}\n")
            assert check("x.yml") == [], word
            built.append(word)
    assert {"memory", "filesystem", "cached", "fallback", "retry"} <= set(built)
