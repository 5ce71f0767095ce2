"""
What redis-py's errors mean for a store.
"""

from __future__ import annotations

from typing import Any

from tiered_store.errors import StoreError, UnavailableError


def translate(error: Any, family: frozenset[str]) -> StoreError:
    """Return what *error* means."""
    return UnavailableError(str(error))
