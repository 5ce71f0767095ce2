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


def test_the_package_is_nothing_by_itself() -> None:
    """A program pays for what it names."""
    own = modules("import tiered_store") - modules(
        "import __future__, importlib, typing"
    )
    assert {name for name in own if not name.startswith("tiered_store")} == set()
    assert len(own) == 1
