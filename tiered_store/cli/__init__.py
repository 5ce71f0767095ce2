"""
The command line: ``tiered-store``.

Exit statuses: 0 done, 1 failed, 2 wrong usage or configuration, 3 no such object,
130 interrupted.
"""

from tiered_store.cli.program import main


__all__ = ["main"]
