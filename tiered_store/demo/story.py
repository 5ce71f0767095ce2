"""
The main job, told on real pictures: a region is lost, and nobody notices.
"""

from __future__ import annotations

import io
import time

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from tiered_store.demo.album import Album, Entry
from tiered_store.demo.application import Application
from tiered_store.demo.errors import DemoError
from tiered_store.demo.picture import BOXES, mirrored, thumbnail
from tiered_store.demo.place import Place
from tiered_store.demo.proof import Proof
from tiered_store.demo.report import Phase, Show, Step
from tiered_store.errors import StoreError
from tiered_store.key import Key
from tiered_store.store import Store
from tiered_store.tree import walk
from tiered_store.wrappers.replicated import ReplicatedStore


_PATIENCE = 10.0  # seconds for breakers to let a repair through


class Story:
    """
    Everything that happens to *album*, in order.

    Args:
        start: Loads the store of that name, or the default one.

    Attributes:
        app: The application, with what it remembers.
        phases: What has been done so far.
    """

    def __init__(
        self,
        album: Album,
        place: Place,
        show: Show,
        start: Callable[[str | None], Store],
    ) -> None:
        self.app = Application(lambda: start(None))
        self.phases: list[Phase] = []
        self._album = album
        self._place = place
        self._names = [region.name for region in place.regions]
        self._show = show
        self._start = start

    def tell(self, proof: Proof) -> None:
        """Do all of it; *proof* looks at the regions when that matters."""
        lost, other = self._place.regions  # reads ask them in this order
        old = self._album.having("stored", "replaced", "deleted")
        self._store("Store photographs", old)
        self._make_thumbnails("Make thumbnails", old)
        self._copy("Copy to the last resort")
        self.app.restart()
        self._read("Read everything", "memory was empty, ")
        self._read("Read it again")
        proof.hits = self.app.hits

        done = lost.unmount()
        self.app.restart()
        self._read(f"{done}, read")
        done = other.forbid()
        self.app.restart()
        self._read(f"{done} too, read")
        other.bring_back()
        self.app.restart()
        self._write_on(f"{other.name.title()} is back, write on")
        self._delete("Delete")
        self._read("Read everything")

        lost.bring_back()
        self.app.restart()
        behind = proof.compare(self.replicated())
        self._read(f"{lost.name.title()} is back, read", f"{behind} files behind, ")
        self._repair(f"Repair {lost.name}")
        self.app.restart()
        self._read("Read everything")

    def _store(self, title: str, entries: Sequence[Entry]) -> None:
        with self._phase(title, len(entries)) as (phase, step):
            for entry in entries:
                with entry.picture.path.open("rb") as file:
                    self.app.store(phase, entry.key, file)
                step()
            phase.happened = f"{_count(len(entries), 'photograph')}, in both regions"

    def _make_thumbnails(self, title: str, entries: Sequence[Entry]) -> None:
        with self._phase(title, len(entries)) as (phase, step):
            for entry in entries:
                self._thumbnails_of(phase, entry)
                step()
            made = sum(len(entry.thumbnails) for entry in entries)
            phase.happened = f"{made}, marked as reproducible"

    def _thumbnails_of(self, phase: Phase, entry: Entry) -> None:
        original = self.app.read(phase, entry.key)
        if original is None:
            return
        entry.thumbnails.clear()
        for box in BOXES:
            small = thumbnail(io.BytesIO(original), box)
            if small is not None:
                key = Key(
                    entry.key.object_type,
                    entry.key.object_id,
                    small.width,
                    small.height,
                    small.mimetype,
                )
                file = io.BytesIO(small.content)
                self.app.store(phase, key, file, reproducible=True)
                entry.thumbnails.append(key)

    def _copy(self, title: str) -> None:
        """Do what somebody else does every night: copy what there is."""
        keys = list(self.app.expected)
        with (
            self._phase(title, len(keys)) as (phase, step),
            closing(self._start("last-resort")) as last_resort,
        ):
            for key in keys:
                content = self.app.read(phase, key)
                try:
                    if content is not None:
                        last_resort.put_file(io.BytesIO(content), *key, False)
                except StoreError as error:
                    phase.failures.append(str(error))
                step()
            phase.happened = "kept apart, for the worst day"

    def _read(self, title: str, note: str = "") -> None:
        expected, deleted = list(self.app.expected), sorted(self.app.deleted)
        with self._phase(title, len(expected) + len(deleted)) as (phase, step):
            for key in expected:
                self.app.read(phase, key)
                step()
            for key in deleted:
                self.app.miss(phase, key)
                step()
            phase.happened = note + self._say_answers()

    def _say_answers(self) -> str:
        """Say who answered, by what the stores themselves have told."""
        answers = {"memory": self.app.hits}
        for name in (*self._names, "last-resort"):
            answers[name] = self.app.answers[name]
        said = [f"{count} from {name}" for name, count in answers.items() if count]
        return ", ".join(said) or "nobody answered"

    def _write_on(self, title: str) -> None:
        new, replaced = self._album.having("new"), self._album.having("replaced")
        with self._phase(title, len(new) + len(replaced)) as (phase, step):
            for entry in new:
                with entry.picture.path.open("rb") as file:
                    self.app.store(phase, entry.key, file)
                self._thumbnails_of(phase, entry)
                step()
            for entry in replaced:
                content = mirrored(entry.picture)
                self.app.store(phase, entry.key, io.BytesIO(content))
                self._thumbnails_of(phase, entry)
                step()
            phase.happened = f"{len(new)} new, {len(replaced)} replaced"

    def _delete(self, title: str) -> None:
        entries = self._album.having("deleted")
        with self._phase(title, len(entries)) as (phase, step):
            for entry in entries:
                for key in entry.keys:
                    self.app.delete(phase, key)
                step()
            phase.happened = f"{_count(len(entries), 'photograph')}, with thumbnails"

    def _repair(self, title: str) -> None:
        ends = time.monotonic() + _PATIENCE
        with self._phase(title, self.left() or 0) as (phase, step):
            repaired = 0
            while self.left() and time.monotonic() < ends:
                try:
                    report = self.replicated().repair()
                except StoreError as error:
                    phase.failures.append(str(error))
                    break
                repaired += report.repaired
                for _ in range(report.repaired):
                    step()
                if report.down or report.busy:
                    time.sleep(0.05)  # until a breaker lets a probe through
                elif not report.repaired:
                    break
            left = self.left()
            left_to_do = "an unknown number" if left is None else left
            phase.happened = f"{repaired} repaired, {left_to_do} left to do"

    def left(self) -> int | None:
        """Return how many rows the journal has, None if it cannot be read."""
        try:
            return self.replicated().status().rows
        except StoreError:
            return None

    def replicated(self) -> ReplicatedStore:
        """Return the store that keeps both regions alike."""
        for store in walk(self.app.stack):
            if isinstance(store, ReplicatedStore):
                return store
        raise DemoError("the configuration has no replicated store to repair")

    @contextmanager
    def _phase(self, title: str, total: int) -> Iterator[tuple[Phase, Step]]:
        phase = Phase(title=title)
        self.phases.append(phase)
        self.app.count_anew()
        with self._show.phase(phase, total) as step:
            began = time.perf_counter()
            yield phase, step
            phase.seconds = time.perf_counter() - began


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
