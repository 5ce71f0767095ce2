"""
Where the demo works: a directory that holds nothing of anybody else.
"""

from __future__ import annotations

import fcntl
import shutil

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tiered_store.demo.errors import DemoError
from tiered_store.demo.region import Region


CONFIG = Path(__file__).parent / "demo.yaml"

_MARKER = ".made-by-tiered-store-demo"
_ROOT = "${env:DEMO_OUTPUT:-demo-output}"  # as the configuration spells it


class Place:
    """
    The directory *root* and what the demo puts into it.

    Attributes:
        config: The configuration, with absolute paths so that it works from anywhere.
        page: What there is to look at.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.config = self.root / "demo.yaml"
        self.page = self.root / "index.html"
        self.last_resort = self.root / "last-resort"
        self.east = Region("east", self.root / "east")
        self.west = Region("west", self.root / "west")

    @property
    def regions(self) -> tuple[Region, Region]:
        """Both of them."""
        return self.east, self.west

    @contextmanager
    def taken(self) -> Iterator[None]:
        """
        Have the directory to oneself, cleared of what an earlier demo left there.

        However it ends, no region stays away.

        Raises:
            DemoError: It is somebody else's, or another demo is at work in it.
        """
        with ExitStack() as held:
            try:
                self._claim(held)
                self._clear()
                self._furnish()
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                raise DemoError(f"cannot work in {str(self.root)!r}: {why}") from None
            for region in self.regions:
                held.callback(region.bring_back)
            yield

    def _claim(self, held: ExitStack) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        if not (self.root / _MARKER).is_file() and any(self.root.iterdir()):
            raise DemoError(
                f"{str(self.root)!r} is not empty and was not made by the demo, so it "
                "is left alone; name another directory with --output"
            )
        marker = held.enter_context((self.root / _MARKER).open("a"))
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"another demo is at work in {str(self.root)!r}; "
                "wait for it, or name another directory with --output"
            ) from None
        if not marker.tell():
            marker.write("The demo of tiered-store may clear this directory.\n")
            marker.flush()

    def _clear(self) -> None:
        """Remove what the demo makes, and nothing that somebody put beside it."""
        for region in self.regions:
            region.bring_back()
            region.remove()
        shutil.rmtree(self.last_resort, ignore_errors=True)
        for path in (self.config, self.page, *self.root.glob("journal.sqlite*")):
            path.unlink(missing_ok=True)

    def _furnish(self) -> None:
        for folder in (self.east.path, self.west.path, self.last_resort):
            folder.mkdir()
        quoted = str(self.root).replace("\\", "\\\\").replace('"', '\\"')
        text = CONFIG.read_text("utf-8").replace(_ROOT, quoted.replace("${", "$${"))
        self.config.write_text(text, "utf-8")
