"""What it costs to look at a configuration: counted in modules, not in time."""

from __future__ import annotations

import subprocess
import sys

from pathlib import Path

import pytest

from tests.test_configurations import NAMES, SECRETS


FOLDER = Path(__file__).parent.parent / "config"
SDKS = {"boto3", "botocore", "s3transfer", "redis", "urllib3", "obstore", "sqlalchemy"}


def modules(statement: str) -> set[str]:
    """Return what a process of its own has imported after *statement*."""
    program = f"import sys\n{statement}\nprint()\nprint(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**NAMES, **SECRETS},
    )
    return set(ran.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.stem)
def test_no_sdk_is_imported_to_check(path: Path) -> None:
    """S3 and Redis are named, and nobody talks to them."""
    check = f"from tiered_store.config import examine; examine({str(path)!r})"
    assert not {name.split(".")[0] for name in modules(check)} & SDKS


def test_nor_by_the_command_or_the_schema() -> None:
    """Which looks at the constructors of everything."""
    command = (
        "from tiered_store.cli import main\n"
        f"assert main(['check', {str(FOLDER / 'production.yaml')!r}]) == 0\n"
        "import io, contextlib\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    assert main(['schema']) == 0"
    )
    assert not {name.split(".")[0] for name in modules(command)} & SDKS


def test_a_command_pays_for_itself() -> None:
    """What the others need is imported when they are."""
    command = (
        "from tiered_store.cli import main\n"
        f"assert main(['check', {str(FOLDER / 'production.yaml')!r}]) == 0"
    )
    seen = modules(command)
    mine = {"program", "failure", "options", "amounts", "output", "configuration"}
    assert {name for name in seen if name.startswith("tiered_store.cli.")} == {
        f"tiered_store.cli.{name}" for name in mine
    }
    others = ("web", "drill", "demo", "difference", "connecting", "explanation")
    assert not seen & {f"tiered_store.{name}" for name in others}


def test_a_program_that_loads_is_not_told_what_hurts() -> None:
    """Nor has it a command line, a schema for editors, or a way to write files."""
    path = str(FOLDER / "production.yaml")
    seen = modules(f"from tiered_store import load; load({path!r}).close()")
    unwanted = ("checking", "lint", "json_schema", "documented", "written", "options")
    assert not seen & {f"tiered_store.config.{name}" for name in unwanted}
    assert not seen & {"typer", "rich", "tiered_store.cli"}


def test_the_package_is_nothing_by_itself() -> None:
    """A program pays for what it names."""
    own = modules("import tiered_store") - modules(
        "import __future__, importlib, typing"
    )
    assert {name for name in own if not name.startswith("tiered_store")} == set()
    assert len(own) == 1
