"""The page about configuration says what is so."""

from __future__ import annotations

import re

from pathlib import Path

import pytest

from tests.configs import written
from tiered_store.cli.program import COMMANDS
from tiered_store.config import examine


PAGE = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text()
FILES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(FILES)))
def test_every_file_of_it_is_right(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is wrong with any, and nothing hurts."""
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"\$\{env:(\w+)", FILES[number]):
        monkeypatch.setenv(name, f"pictures-{name.lower().replace('_', '-')}")
    (tmp_path / "key").write_text("hunter2")
    text = FILES[number].replace("/run/secrets/us-key", str(tmp_path / "key"))
    assert examine(written(text)) == ([], [])


def test_the_file_that_the_readme_shows_hurts_nobody(tmp_path: Path) -> None:
    """Whoever copies it and asks is told of nothing."""
    readme = Path(__file__).parent.parent / "README.md"
    shown, *_ = re.findall(r"```yaml\n(.*?)```", readme.read_text(), re.DOTALL)
    assert examine(written(shown, str(tmp_path / "images.yaml"))) == ([], [])


def test_every_command_of_it_is_there() -> None:
    """Whoever types it finds it."""
    named = set(re.findall(r"tiered-store ([a-z]+)", PAGE))
    assert named <= set(COMMANDS)
    assert len(FILES) >= 4


def test_the_listings_in_python_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the first file in place."""
    monkeypatch.chdir(tmp_path)
    written(FILES[0], "tiered-store.yaml")
    for listing in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        names: dict[str, object] = {}
        exec(compile(listing, "configuration.md", "exec"), names)
        names["images"].close()  # type: ignore[attr-defined] # of a store
