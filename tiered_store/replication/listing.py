"""
List what several replicas have together, without what each may have wrongly.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from tiered_store.combine import Answers
from tiered_store.errors import StoreError, UnsupportedError
from tiered_store.journals.journal import Journal
from tiered_store.key import Key
from tiered_store.replication.seen import Seen
from tiered_store.store import Store


def list_keys(
    replicas: Mapping[str, Store],
    complete: Container[str],
    journal: Journal,
    prefix: str,
) -> Iterator[Key]:
    """
    Yield each key once that a replica has which is not behind for it.

    What a replica that cannot be asked would have added is known from the journal, as
    long as another one that keeps everything could be listed.

    Args:
        complete: Those that keep everything, not only what cannot be computed again.

    Raises:
        StoreError: The list is not complete.
    """
    answers = Answers()
    refusal: UnsupportedError | None = None
    listed = False
    with Seen() as seen:
        for name, replica in replicas.items():
            try:
                for key in replica.keys(prefix):
                    row = journal.rows(key).get(name)
                    if (row is None or not row.behind) and seen.add(key):
                        yield key
            except UnsupportedError as error:
                refusal = error
            except StoreError as error:
                answers.add(name, error)
            else:
                listed = listed or name in complete
        if answers.errors and not listed:
            raise answers.conclusion()
        if refusal is not None and not listed:
            raise refusal
        if answers.errors or refusal is not None:
            yield from (key for key in _elsewhere(journal, prefix) if seen.add(key))


def _elsewhere(journal: Journal, prefix: str) -> Iterator[Key]:
    """Yield what a replica lacks and another one has."""
    for row in journal.pending():
        lacks = "put" in (row.verb, row.prior)
        if lacks and row.key.object_type.startswith(prefix):
            yield row.key
