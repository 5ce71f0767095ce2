"""Each rule finds what its own page says, and has nothing against the better way."""

from __future__ import annotations

import json

from pathlib import Path

import pytest

from tests.configs import problems, written
from tiered_store.cli import main
from tiered_store.config import examine
from tiered_store.config.lint import RULES, Rule, catalogue, rule_named


PAGES = Path(__file__).parent.parent / "docs" / "lint.md"
MEMORY = """\
version: 1
default: images
stores:
  images:
    type: replicated
    replicas: {a: here, b: there}
    journal: {type: memory ALLOW}
    repair: {every: 30s}
  here: {type: filesystem, path: /srv/images}
  there: {type: filesystem, path: /mnt/images}
"""


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def found(text: str) -> list[str]:
    """Return the rules that a file of *text* breaks, in which nothing is wrong."""
    wrong, findings = examine(written(text))
    assert wrong == []
    return [finding.rule for finding in findings]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_finds_what_its_page_says(rule: Rule) -> None:
    """What hurts is found, and nothing else is; the better way is left alone."""
    assert set(found(rule.example("Hurts"))) == {rule.name}
    assert found(rule.example("Better")) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_page_says_why(rule: Rule, capsys: pytest.CaptureFixture[str]) -> None:
    """More than the rule itself does; the command prints it."""
    assert main(["lint", rule.name]) == 0
    assert capsys.readouterr().out == rule.page()
    assert len(rule.why.split()) > len(rule.summary.split()) + 12
    assert rule_named(rule.name) is rule


def test_the_pages_are_those_of_the_rules() -> None:
    """``tiered-store lint --markdown > docs/lint.md`` after a rule has changed."""
    assert PAGES.read_text(encoding="utf-8") == catalogue()


def test_names_are_told_apart() -> None:
    """Whoever silences one relies on its name."""
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_a_rule_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest one is named."""
    assert main(["lint", "journal-in-memry"]) == 2
    assert "did you mean 'journal-in-memory'?" in capsys.readouterr().err


def test_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """For a person and for a program."""
    assert main(["lint"]) == 0
    listed = capsys.readouterr().out
    assert main(["lint", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert [rule["rule"] for rule in plain] == [rule.name for rule in RULES]
    assert all(rule.name in listed for rule in RULES)


@pytest.mark.parametrize(
    "text",
    [
        MEMORY.replace("ALLOW", ", allow: {journal-in-memory: a rehearsal}"),
        MEMORY.replace(" ALLOW", "") + "allow: {journal-in-memory: a rehearsal}",
        MEMORY.replace(" ALLOW}", "}\n    allow: {journal-in-memory: a rehearsal}"),
    ],
)
def test_what_is_meant_is_not_told(text: str) -> None:
    """At the node, at one around it, or at the top of the file."""
    assert found(MEMORY.replace(" ALLOW", "")) == ["journal-in-memory"]
    assert found(text) == []


def test_what_is_meant_elsewhere_is_told() -> None:
    """An allowance is for its own node, and one that is for nothing is told of."""
    text = MEMORY.replace(" ALLOW", "").replace(
        "path: /srv/images", "path: /srv/images, allow: {journal-in-memory: elsewhere}"
    )
    assert found(text) == ["journal-in-memory", "allowed-in-vain"]


@pytest.mark.parametrize(
    ("allow", "said"),
    [
        ("[journal-in-memory]", "expected a mapping, {RULE: reason}, got a list"),
        ("{journal-in-memory: }", "say why journal-in-memory is meant"),
        ("{journal-in-memory: true}", "say why journal-in-memory is meant"),
        ("{journal-in-memry: why}", "did you mean 'journal-in-memory'?"),
    ],
)
def test_an_allowance_that_is_wrong(allow: str, said: str) -> None:
    """A rule that is not there is silenced by nobody, and a reason is needed."""
    (line,) = problems(MEMORY.replace("ALLOW", f", allow: {allow}"))
    assert said in line
    assert "images.yml:7:" in line


def test_how_severe_decides_what_check_says(capsys: pytest.CaptureFixture[str]) -> None:
    """An error fails, a warning fails if asked to, a note never does."""
    for name, plain, strict in (
        ("replicas-in-one-place", 2, 2),
        ("journal-in-memory", 0, 2),
        ("replicas-in-one-region", 0, 0),
    ):
        rule = rule_named(name)
        path = written(rule.example("Hurts"))
        assert main(["check", path]) == plain
        assert main(["check", "--strict", path]) == strict
        said = capsys.readouterr()
        assert f"{rule.severity}: images.yml:" in said.err
        assert f"1 {rule.severity}; tiered-store lint RULE" in said.out


def test_findings_are_data(capsys: pytest.CaptureFixture[str]) -> None:
    """For an editor: where, which rule, how severe."""
    path = written(rule_named("journal-in-memory").example("Hurts"))
    main(["check", "--json", path])
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["rule"], finding["severity"]) == ("journal-in-memory", "warning")
    assert (finding["line"], finding["column"]) == (7, 5)
    assert finding["path"] == "stores.images.journal"
