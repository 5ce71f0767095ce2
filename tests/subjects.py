"""
A process of a fleet that serves objects as operators decide.

.. code-block:: text

   python -m tests.subjects CONFIG

Reads one line a question.  ``get ID`` is answered with the object's content or the
error, ``control`` with ``followed``, or ``lost`` while the decisions cannot be read.
"""

from __future__ import annotations

import subprocess
import sys

from pathlib import Path

from tiered_store.config import load
from tiered_store.errors import StoreError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tree import conditions


class Subject:
    """One such process, from outside."""

    def __init__(self, config: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.subjects", str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def ask(self, question: str) -> str:
        """Return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(question + "\n")
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.communicate()


def key_of(number: int) -> Key:
    """Return the key of object *number*."""
    return Key("testing", number, 2, 3, "image/png")


def _answered(store: Store, question: str) -> str:
    verb, _, number = question.partition(" ")
    try:
        if verb == "get":
            return store.get(key_of(int(number))).read().decode()
    except StoreError as error:
        return type(error).__name__
    found = [one for one in conditions(store) if one.section == "decisions"]
    return "lost" if any(one.state == "failed" for one in found) else "followed"


def main(config: str) -> None:
    """Answer until nobody asks any more."""
    with load(config) as store:
        for line in iter(sys.stdin.readline, ""):
            sys.stdout.write(_answered(store, line.strip()) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
