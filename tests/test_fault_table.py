"""The page of faults: every row is there, and what it says is shown is shown."""

from __future__ import annotations

import ast
import functools
import re

from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "faults.md"
ROWS = (*range(1, 31), *range(54, 65))
HOME = "tests/test_fault_catalogue.py"  # of the tests that are named without a file


def rows() -> dict[int, list[str]]:
    """Return the cells of each row of the page, by its number."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].isdigit():
            assert int(cells[0]) not in found, cells[0]
            found[int(cells[0])] = cells
    return found


@functools.cache
def parsed(path: str) -> tuple[str, ast.Module]:
    source = (ROOT / path).read_text()
    return source, ast.parse(source)


def written(path: str, name: str) -> str:
    """Return the source of the test *name*, and of the constants that decorate it."""
    source, tree = parsed(path)
    [test] = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    used = {
        node.id
        for decorator in test.decorator_list
        for node in ast.walk(decorator)
        if isinstance(node, ast.Name)
    }
    constants = [
        node
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(to, ast.Name) and to.id in used for to in node.targets)
    ]
    parts = [ast.get_source_segment(source, node) or "" for node in (test, *constants)]
    return "\n".join(parts)


def named(text: str) -> set[int]:
    """Return the rows that *text* names, such as ``row_07`` or ``Rows 1 and 5``."""
    lists = re.findall(r"[Rr]ows?[ _](\d+(?:(?:, | and )\d+)*)", text)
    return {int(number) for one in lists for number in re.findall(r"\d+", one)}


def test_every_row_is_on_the_page() -> None:
    """Rows 1 to 30 are about regions, 54 to 64 about operating and coming back."""
    assert sorted(rows()) == sorted(ROWS)


@pytest.mark.parametrize("number", ROWS)
def test_a_row_is_shown_by_tests_that_name_it_or_says_why_not(number: int) -> None:
    """A name that nobody has any more shows nothing."""
    _, fault, holds, shown = rows()[number]
    tests = re.findall(r"`(?:(tests/\w+\.py)::)?(test_\w+)`", shown)

    assert fault
    if not tests:
        assert re.match(r"not tested(?: by itself)?: \w.{30}", shown), shown
        return
    assert holds
    for path, name in tests:
        assert number in named(written(path or HOME, name)), name
