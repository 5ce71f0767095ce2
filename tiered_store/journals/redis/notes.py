"""
The rows of one object as the value of one field, and what they add to the counts.
"""

from __future__ import annotations

import json

from collections import Counter
from collections.abc import Mapping

from tiered_store.errors import CorruptError
from tiered_store.journals.row import Row, Rows
from tiered_store.key import Key


_NAMED = {"replica", "key"}  # of a row, which the place of its note tells
_COLUMNS = [name for name in Row._fields if name not in _NAMED]
_REQUIRED = object()


def write(rows: Rows) -> bytes:
    """Return *rows* as text that a person can read; nothing if there are none."""
    if not rows:
        return b""
    told = {name: _told(row) for name, row in rows.items()}
    return json.dumps(told, separators=(",", ":")).encode()


def read(key: Key, note: bytes) -> Rows:
    """
    Return the rows of *key* that :func:`write` made *note* of.

    Raises:
        CorruptError: It is no such thing.
    """
    if not note:
        return {}
    try:
        return {
            name: Row(replica=name, key=key, **told)
            for name, told in json.loads(note).items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise CorruptError(f"the journal has no rows for {key}: {error}") from error


def _told(row: Row) -> dict[str, object]:
    return {
        name: value
        for name in _COLUMNS
        if (value := getattr(row, name)) != Row._field_defaults.get(name, _REQUIRED)
    }


def counted(old: Rows, new: Rows) -> Counter[str]:
    """Return by how much each count changes when *old* becomes *new*."""
    counts: Counter[str] = Counter()
    for rows, one in ((old, -1), (new, 1)):
        for name, row in rows.items():
            counts[f"rows {name}"] += one
            counts[f"doubt {name}"] += one * (row.verb == "in_doubt")
            counts[f"dead {name}"] += one * row.dead
            counts[f"size {name}"] += one * row.size
        counts[f"lacking {_lacking(rows)}"] += one
    return Counter({name: change for name, change in counts.items() if change})


def _lacking(rows: Rows) -> int:
    return sum(row.intent == "put" for row in rows.values())


def scored(old: Rows, new: Rows) -> Mapping[str, float | None]:
    """Return the sorted sets that change, and the object's score or None for none."""
    scores: dict[str, float | None] = {}
    for name in old.keys() | new.keys():
        for kind, score in (("since", _since), ("failed", _failed)):
            before, after = score(old.get(name)), score(new.get(name))
            if before != after:
                scores[f"{kind}:{name}"] = after
    return scores


def _since(row: Row | None) -> float | None:
    return None if row is None else row.since


def _failed(row: Row | None) -> float | None:
    return None if row is None or row.last_error is None else row.retry_at
