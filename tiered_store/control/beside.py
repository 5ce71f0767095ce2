"""
Where decisions are looked up if the configuration does not say.
"""

from __future__ import annotations

from tiered_store.control.control import Control
from tiered_store.control.file import FileControl
from tiered_store.journals.journal import Journal


def followed(control: Control | None, journal: Journal | None) -> Control | None:
    """
    Return *control*, or a file of the name of the *journal* with ``-decisions.json``.

    The processes that share a journal in a file are those of one machine, so they can
    share a file beside it.  There is none for any other journal.
    """
    if control is not None or journal is None or not journal.local:
        return control
    if not isinstance(journal.place, str):
        return None
    return FileControl(f"{journal.place}-decisions.json")
