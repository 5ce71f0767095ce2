"""What a drill counts, counted by somebody else who heard the same calls."""

from __future__ import annotations

import textwrap

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.witnesses import Judgement, WitnessStore, install
from tiered_store.drill.leaf import Fault
from tiered_store.drill.report import Outcome, Report, requirement
from tiered_store.drill.run import drill


ALONE = "{type: filesystem, path: /nowhere}"
MIRROR = """{
    type: replicated,
    replicas: {
      us: {type: filesystem, path: /nowhere, timeout: 300ms},
      eu: {type: filesystem, path: /nowhere, timeout: 300ms}},
    journal: {type: sqlite, path: journal.db}}
"""
LIAR = "{type: liar, how: %s, child: " + MIRROR + "}"
PLAYS: Mapping[str, tuple[str, Fault]] = {
    "alone, down": (ALONE, "down"),
    "alone, losing": (ALONE, "losing"),
    "alone, erroring": (ALONE, "erroring"),
    "alone, corrupting": (ALONE, "corrupting"),
    "mirror, black-hole": (MIRROR, "black-hole"),
    "mirror, losing": (MIRROR, "losing"),
    **{how: (LIAR % how, "down") for how in ("loses", "ages", "revives")},
}
NOTHING_WRONG = ("stale=0", "untrue=0", "lost=0", "resurrected=0")
COLUMNS = (
    *("reads_failed", "writes_failed", "wrong", "stale", "untrue"),
    *("lost", "resurrected"),
)
SEED = 84  # in which each writer, from its 15th write on, leaves something deleted


@dataclass(frozen=True)
class Played:
    """
    A drill of one scenario, and what the witness says of it.

    Attributes:
        lenient: How calls ended if a write is given a moment to be heard of.
        strict: If it is not, so that none of them was any better.
    """

    report: Report
    outcome: Outcome
    lenient: Counter[str]
    strict: Counter[str]
    left: tuple[int, int]

    def agrees(self, fate: str, count: int) -> bool:
        """Tell whether *count* calls ended so, as far as the witness knows."""
        low, high = sorted((self.lenient[fate], self.strict[fate]))
        return low <= count <= high


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Played]:
    """All of them at once, for most of each is waiting."""
    folder = tmp_path_factory.mktemp("witnesses")
    install(folder)

    def play(name: str) -> Played:
        below, fault = PLAYS[name]
        path = folder / f"{name}.yaml"
        images = f"images: {{type: witness, name: '{name}', child: {below}}}"
        text = textwrap.indent(textwrap.dedent(images), "  ")
        path.write_text(f"version: 1\nstores:\n{text}\n")
        places = [] if below == ALONE else ["us"]
        report = drill(
            path,
            faults=[fault],
            places=places,
            requirements=[requirement(text) for text in NOTHING_WRONG],
            seed=SEED,
        )
        [outcome] = report.outcomes
        played, afterwards = (one for one in WitnessStore.known[name] if one.said)
        strict, lenient = (Judgement(played.said, slack) for slack in (0.0, 0.05))
        left = strict.left(afterwards.said)
        return Played(report, outcome, lenient.fates(), strict.fates(), left)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(folder)
        with ThreadPoolExecutor(len(PLAYS)) as pool:
            return dict(zip(PLAYS, pool.map(play, PLAYS), strict=True))


@pytest.mark.parametrize("name", PLAYS)
def test_a_drill_counts_what_a_witness_does(plays, name: str) -> None:
    """Every call of its users, and how it ended; and what is left when all is over."""
    play: Played = plays[name]
    counted = Counter(_told(call.kind, call.fate) for call in play.outcome.calls)

    assert counted.total() == play.strict.total()
    for fate in counted | play.strict:
        assert play.agrees(fate, counted[fate]), (fate, play.strict, counted)
    assert play.left == (play.outcome.lost, play.outcome.resurrected)


def _told(kind: str, fate: str) -> str:
    if kind == "write":
        return "written" if fate == "right" else "not written"
    return "failed" if fate == "late" else fate


@pytest.mark.parametrize("name", [name for name in PLAYS if "," in name])
def test_a_table_has_what_a_witness_counts(plays, name: str) -> None:
    """Nothing is the matter before the fault, so what there is belongs to it."""
    play: Played = plays[name]
    outcome = play.outcome
    failed = outcome.reads_failed - outcome.untrue - outcome.stale - outcome.wrong

    assert play.agrees("failed", failed)
    assert play.agrees("not written", outcome.writes_failed)
    assert play.agrees("absent", outcome.untrue)
    assert play.agrees("stale", outcome.stale)
    assert play.agrees("wrong", outcome.wrong)
    assert play.agrees("unsure", outcome.unsure)


@pytest.mark.parametrize(
    ("name", "positive"),
    [
        ("alone, down", {"reads_failed", "writes_failed"}),
        ("alone, losing", {"reads_failed", "untrue", "lost"}),
        ("alone, erroring", {"reads_failed", "writes_failed"}),
        ("alone, corrupting", {"reads_failed", "wrong"}),
        ("loses", {"reads_failed", "untrue", "lost"}),
        ("ages", {"reads_failed", "stale"}),
        ("revives", {"reads_failed", "stale", "resurrected"}),
    ],
)
def test_a_drill_says_what_is_wrong(plays, name: str, positive: set[str]) -> None:
    """Else two who agree would prove nothing."""
    outcome = plays[name].outcome
    told = {column for column in COLUMNS if getattr(outcome, column)}

    assert told >= positive


@pytest.mark.parametrize(
    ("how", "missed"),
    [
        ("loses", {"untrue", "lost"}),
        ("ages", {"stale"}),
        ("revives", {"stale", "resurrected"}),
    ],
)
def test_a_store_that_lies_fails_its_drill(plays, how: str, missed: set[str]) -> None:
    """Whatever its lie, a requirement names it."""
    said = " ".join(plays[how].report.failures)

    assert {name for name in missed if f" {name}: " in said} == missed
