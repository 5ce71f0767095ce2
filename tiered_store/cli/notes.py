"""
How far a comparison is, in a file, so that another one can go on from there.
"""

from __future__ import annotations

import dataclasses
import json
import time

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiered_store.cli.failure import WRONG, CommandError
from tiered_store.cli.files import destination
from tiered_store.replication.difference import VerifyReport
from tiered_store.replication.mirror import Mirror


_SAVED = 1.0  # seconds between two times that it is noted


class Notes:
    """
    How far each mirror is, in a file that is replaced whole, or nowhere.

    Attributes:
        done: The mirrors that were compared to their end.
    """

    def __init__(self, path: Path | None, wish: Mapping[str, Any]) -> None:
        self._path = path
        self._wish = dict(wish)
        self._saved = 0.0
        self._reports: dict[str, dict[str, Any]] = {}
        self.done: list[str] = []
        if path is None or not path.exists():
            return
        try:
            known = json.loads(path.read_text())
            wished = known["wish"]
            self._reports = dict(known["reports"])
            self.done = list(known["done"])
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise CommandError(
                f"--resume: cannot read {str(path)!r}: {why}", WRONG
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise CommandError(
                f"--resume: {str(path)!r} is no such file: {error}", WRONG
            ) from None
        if wished != self._wish:
            raise CommandError(
                f"--resume: {str(path)!r} is of another comparison, with {wished}; "
                "remove it, or ask for the same",
                WRONG,
            )

    def of(self, mirror: Mirror) -> VerifyReport:
        """Return what is known of *mirror*."""
        return VerifyReport(**self._reports.get(str(mirror), {}))

    def save(self, mirror: Mirror, report: VerifyReport) -> None:
        """Note how far *mirror* is, now and then."""
        if time.monotonic() - self._saved >= _SAVED:
            self._write(mirror, report)

    def finish(self, mirror: Mirror, report: VerifyReport, *, ended: bool) -> None:
        """Note that nothing more is done about *mirror*, to its end or not."""
        if not ended:
            self.done.append(str(mirror))
        self._write(mirror, report)

    def close(self, *, ended: bool) -> None:
        """Leave nothing behind, unless there is something to go on with."""
        if self._path is not None and not ended:
            self._path.unlink(missing_ok=True)

    def _write(self, mirror: Mirror, report: VerifyReport) -> None:
        if self._path is None:
            return
        self._reports[str(mirror)] = dataclasses.asdict(report)
        told = {"wish": self._wish, "reports": self._reports, "done": self.done}
        with destination(self._path) as write:
            write(json.dumps(told).encode())
        self._saved = time.monotonic()
