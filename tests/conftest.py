"""Fixtures that every test may use, and the conformance table at the end."""

from __future__ import annotations


pytest_plugins = [
    "tests.conformance_table",
    "tests.servers.disk",
    "tests.servers.postgres",
    "tests.servers.redis",
    "tests.servers.s3",
]
