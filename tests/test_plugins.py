"""Packages of others: installed by pip, named like ours, and harmless when broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import zipfile

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest


Run = Callable[..., subprocess.CompletedProcess[str]]

ACME = {
    "acme_storage.py": """
        from tiered_store.backends.memory import MemoryStore
        from tiered_store.journals.memory import MemoryJournal
        from tiered_store.tiers.memory import MemoryTier
        from tiered_store.units import Secret, Size


        class AcmeStore(MemoryStore):
            '''
            Objects on Acme's shelves.

            Args:
                room: Bytes of the shelf.
                token: To open the door.
            '''

            def __init__(
                self, *, room: Size = 4096, token: Secret | None = None
            ) -> None:
                super().__init__()
                self.room = room
                self.token = token


        class Ledger(MemoryJournal):
            '''Rows on paper.'''


        class Drawer(MemoryTier):
            '''Copies in a drawer.'''
        """,
    "broken_storage.py": "raise RuntimeError('no such luck')",
}
POINTS = """
    [tiered_store.stores]
    acme = acme_storage:AcmeStore
    broken = broken_storage:Store

    [tiered_store.journals]
    ledger = acme_storage:Ledger

    [tiered_store.tiers]
    drawer = acme_storage:Drawer
"""
STACK = """
    version: 1
    default: images
    stores:
      images:
        type: cached
        tiers: [{type: drawer, ttl: 60s}]
        origin:
          type: replicated
          replicas: {a: {type: acme, room: 1MiB, timeout: 5s}, b: {type: acme}}
          journal: {type: ledger}
          repair: {every: 30s}
"""


def wheel(folder: Path, name: str, files: Mapping[str, str], points: str) -> Path:
    """Return a wheel of *files*, made by hand so that nothing is needed to build it."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    information = f"{name}-1.0.dist-info"
    everything = {
        **files,
        f"{information}/METADATA": "Metadata-Version: 2.1\n"
        f"Name: {name}\nVersion: 1.0\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/entry_points.txt": textwrap.dedent(points),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name_of_file, content in everything.items():
            archive.writestr(name_of_file, textwrap.dedent(content))
        record = "".join(f"{each},,\n" for each in everything)
        archive.writestr(f"{information}/RECORD", record)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the command where pip has installed Acme's package, which is half broken."""
    folder = tmp_path_factory.mktemp("acme")
    made = wheel(folder, "acme_storage", ACME, POINTS)
    installing = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index"]
    installing += ["--no-deps", "--disable-pip-version-check", "--target"]
    subprocess.run(
        [*installing, str(folder / "site"), str(made)], check=True, timeout=120
    )
    (folder / "stack.yaml").write_text(textwrap.dedent(STACK))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tiered_store", *words],
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(folder / "site")},
        )

    return run


def test_they_are_listed_with_their_options(run: Run) -> None:
    """The broken one says so, names its package, and hides no other."""
    listed = run("types", "--json")
    found = {(one["family"], one["type"]): one for one in json.loads(listed.stdout)}

    acme = found["store", "acme"]
    assert acme["package"] == "acme_storage"
    assert acme["summary"] == "Objects on Acme's shelves."
    assert acme["options"][0] == {
        "name": "room",
        "takes": "a size such as 256MiB",
        "required": False,
        "default": "4KiB",
        "about": "Bytes of the shelf.",
    }
    assert found["journal", "ledger"]["package"] == "acme_storage"
    assert found["tier", "drawer"]["package"] == "acme_storage"
    assert found["store", "memory"]["broken"] is None
    assert listed.returncode == 1
    assert listed.stderr.splitlines() == [
        "tiered-store: type 'broken' of acme_storage cannot be loaded: "
        "RuntimeError: no such luck"
    ]


def test_they_are_used_like_ours(run: Run) -> None:
    """A store, a tier and a journal; the broken one is in nobody's way."""
    checked = run("check", "stack.yaml")
    assert (checked.returncode, checked.stderr) == (0, "")

    drawn = json.loads(run("tree", "stack.yaml", "--json").stdout)
    tier, origin = drawn["children"]
    assert (tier["type"], origin["children"][0]["type"]) == ("drawer", "ledger")
    assert origin["children"][1]["options"] == {"room": "1MiB"}


def test_an_editor_knows_them(run: Run) -> None:
    """And is told which one it does not know."""
    printed = run("schema")
    defined = json.loads(printed.stdout)["$defs"]

    assert defined["store.acme"]["properties"]["token"]["description"] == (
        "To open the door."
    )
    assert "store.broken" not in defined
    assert "left out: type 'broken' of acme_storage" in printed.stderr


def test_a_broken_one_names_itself_where_it_is_used(run: Run, tmp_path: Path) -> None:
    """With the place, and beside whatever else is wrong."""
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "{version: 1, default: a, stores: {a: {type: broken}, b: {type: acme, rom: 1}}}"
    )

    wrong = run("check", str(path)).stderr.splitlines()

    assert len(wrong) == 3
    assert "stores.a.type: type 'broken' of acme_storage cannot be loaded" in wrong[0]
    assert "unknown key 'rom'; did you mean 'room'?" in wrong[1]
    assert "stores.b: never used by any store" in wrong[2]
