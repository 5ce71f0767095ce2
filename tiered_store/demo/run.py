"""
A demo from beginning to end.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tiered_store.config import load
from tiered_store.demo.album import Album, gather
from tiered_store.demo.errors import DemoError
from tiered_store.demo.page import write_page
from tiered_store.demo.picture import SHIPPED, require_pillow
from tiered_store.demo.place import Place
from tiered_store.demo.proof import Proof
from tiered_store.demo.report import Phase, Report, Show
from tiered_store.demo.story import Story
from tiered_store.store import Store


def run(
    output: Path,
    show: Show,
    *,
    pictures: Path | None = None,
    limit: int = 100,
    start: Callable[[Path, str | None], Store] = load,
) -> Report:
    """
    Do the main job on real pictures, lose a region meanwhile, and prove what held.

    Args:
        output: A directory of the demo's own, which is cleared first.
        pictures: Photographs of one's own; by default those that are shipped.
        limit: At most so many of them.
        start: Loads a store, by its name in a file.

    Raises:
        DemoError: It did not begin.
    """
    require_pillow()
    folder = SHIPPED if pictures is None else pictures
    place = Place(output)
    if folder.resolve().is_relative_to(place.root):
        raise DemoError(
            f"the pictures in {str(folder)!r} would be cleared away with the output "
            "of the last demo; move them, or name another --output"
        )
    looking = Phase(title="Look at the pictures")
    album = gather(folder, place.root, limit, looking, show)
    with place.taken():
        return _told(album, place, show, looking, start)


def _told(
    album: Album,
    place: Place,
    show: Show,
    looking: Phase,
    start: Callable[[Path, str | None], Store],
) -> Report:
    story = Story(album, place, show, lambda name: start(place.config, name))
    proof = Proof(place)
    with closing(story.app):
        story.tell(proof)
        report = Report(
            output=str(place.root),
            config=str(place.config),
            page=str(place.page),
            pictures=len(album.entries),
            left_out=album.left_out,
            skipped=album.skipped,
            phases=[looking, *story.phases],
            checks=proof.checks(story.app, story.phases, story.left()),
        )
        try:
            write_page(place, album, story.app, report)
        except OSError as error:  # a full disk must not hide what happened
            report.page = f"nothing: {(error.strerror or str(error)).lower()}"
    return report
