"""
The conformance table that the tests end with, also when several processes run them.
"""

from __future__ import annotations

import pytest

from tiered_store.testing.conformance import LEDGER


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over what this process tried, if it is one of several."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["tried"] = {suite: sorted(LEDGER.tried[suite]) for suite in LEDGER.tried}
        output["waived"] = dict(LEDGER.waived)


class Gathering:
    """Adds up what the processes tried."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        output = getattr(node, "workeroutput", {})  # none if it died
        for suite, rules in output.get("tried", {}).items():
            LEDGER.tried.setdefault(suite, set()).update(rules)
        for suite, rules in output.get("waived", {}).items():
            LEDGER.waived.setdefault(suite, {}).update(rules)


def pytest_configure(config: pytest.Config) -> None:
    """Gather where the processes are started from."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Gathering())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which rules of conformance were tried on whom, and which were waived."""
    suites = sorted(LEDGER.tried.keys() | LEDGER.waived.keys())
    if not suites:
        return
    terminalreporter.section("conformance")
    for suite in suites:
        waived = LEDGER.waived.get(suite, {})
        listed = "; ".join(f"{rule} ({why})" for rule, why in sorted(waived.items()))
        terminalreporter.write_line(
            f"{suite:48} {len(LEDGER.tried.get(suite, ())):3} rules tried"
            + (f", waived: {listed}" if listed else "")
        )
