"""Fixtures that every test may use, and the conformance table at the end."""

from __future__ import annotations

import pytest

from tiered_store.testing.conformance import LEDGER


pytest_plugins = [
    "tests.servers.postgres",
    "tests.servers.redis",
    "tests.servers.s3",
]


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
