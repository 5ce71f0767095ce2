"""The demo: it tells the truth about what held, and harms nothing of anybody else."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from PIL import Image

from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.config import Registry, load
from tiered_store.demo.album import _fates
from tiered_store.demo.errors import DemoError
from tiered_store.demo.picture import SHIPPED
from tiered_store.demo.region import Region
from tiered_store.demo.report import Phase, Report
from tiered_store.demo.run import run
from tiered_store.demo.show import Silence
from tiered_store.key import Key
from tiered_store.store import Store


CAT = SHIPPED / "cat.jpg"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A directory with six small pictures of our own."""
    folder = tmp_path / "my pictures"
    folder.mkdir()
    for number in range(6):
        size = (180 + number, 100)
        image = Image.linear_gradient("L").resize(size).rotate(number * 15)
        image.save(folder / f"picture-{number}.png")
    return folder


def test_everything_holds_on_the_shipped_photographs(tmp_path: Path) -> None:
    """The main job, whole: and the digests are counted again by other means."""
    report = run(tmp_path / "out", Silence())
    assert report.held
    assert [phase.failures for phase in report.phases] == [[]] * len(report.phases)
    assert report.skipped == []
    east, west = (_digests(tmp_path / "out" / name) for name in ("east", "west"))
    assert east == west
    assert len(east) == 20, "five photographs with three thumbnails each"
    original = hashlib.sha256(CAT.read_bytes()).hexdigest()
    assert original in east.values()
    deleted = hashlib.sha256((SHIPPED / "galaxies.jpg").read_bytes()).hexdigest()
    assert deleted not in east.values()


def test_the_story_is_what_happened(tmp_path: Path, pictures: Path) -> None:
    """Who answered is counted by events, so the words cannot drift from the facts."""
    report = run(tmp_path / "out", Silence(), pictures=pictures)
    told = [f"{phase.title}: {phase.happened}" for phase in report.phases]
    assert told[4:8] == [
        "Read everything: memory was empty, 12 from east",
        "Read it again: 12 from memory",
        "Unmount east, read: 12 from west",
        f"{'Unmount' if os.geteuid() == 0 else 'Forbid'} west too, read: "
        "12 from last-resort",
    ]
    # 2 new, 1 replaced, 1 deleted, with two thumbnails each: none is read from east
    assert "12 files behind, 6 from east, 9 from west" in told[11]
    assert told[12] == "Repair east: 12 repaired, 0 left to do"
    assert told[13] == "Read everything: 15 from east"


class Forgetful(FileSystemStore):
    """In the east it says that it has deleted, and has not."""

    def _delete(self, key: Key) -> None:
        if not self.path.endswith("east"):
            super()._delete(key)


class Lazy(FileSystemStore):
    """In the west it says that it has replaced, and has not."""

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        try:
            super()._get(key)
        except FileNotFoundError:
            super()._put(key, body, reproducible)
        else:
            if not self.path.endswith("west"):
                super()._put(key, body, reproducible)


class Littering(FileSystemStore):
    """It leaves another file beside each."""

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        super()._put(key, body, reproducible)
        super()._put(key._replace(object_type="litter"), body, reproducible)


@pytest.mark.parametrize(
    ("disk", "broken"),
    [
        (
            Forgetful,
            {
                "Both regions hold the same bytes",
                "It is what was stored last, nothing else",
                "No deleted picture returned",
            },
        ),
        (
            Lazy,
            {
                "Every read and write succeeded",
                "It is what was stored last, nothing else",
            },
        ),
        (Littering, {"It is what was stored last, nothing else"}),
    ],
)
def test_a_disk_that_lies_is_found_out(
    disk: type[Store], broken: set[str], tmp_path: Path, pictures: Path
) -> None:
    """A demo that cannot fail proves nothing."""
    report = _run_on(disk, tmp_path, pictures)
    assert not report.held
    assert {check.promise for check in report.checks if not check.held} >= broken
    assert "NOT everything held" in report.verdict


def _run_on(disk: type[Store], folder: Path, pictures: Path) -> Report:
    registry = Registry(stores={"filesystem": disk})

    def start(config: Path, name: str | None) -> Store:
        return load(config, name, registry=registry)

    return run(folder / "out", Silence(), pictures=pictures, start=start)


def test_a_journal_that_forgets_is_found_out(tmp_path: Path, pictures: Path) -> None:
    """Without the journal's rows the returned region's old files would be believed."""
    config = tmp_path / "out" / "demo.yaml"

    class Sabotage(Silence):
        @contextmanager
        def phase(self, phase: Phase, total: int) -> Iterator[Callable[[], None]]:
            if phase.title == "Delete":  # the new and the replaced are in by now
                text = config.read_text()
                config.write_text(text.replace("journal.sqlite", "other.sqlite"))
            with super().phase(phase, total) as step:
                yield step

    report = run(tmp_path / "out", Sabotage(), pictures=pictures)
    broken = {check.promise for check in report.checks if not check.held}
    assert "The journal knew all that east missed" in broken
    assert "Both regions hold the same bytes" in broken


def test_what_is_no_picture_stops_only_itself(tmp_path: Path, pictures: Path) -> None:
    """Each is listed with its reason, and everything else goes on."""
    (pictures / "text.jpg").write_text("hello")
    (pictures / "empty.png").touch()
    (pictures / "half.jpg").write_bytes(CAT.read_bytes()[:9000])
    (pictures / "gone.jpg").symlink_to("nowhere")
    (pictures / "notes.txt").write_text("not even named like one")
    (pictures / ".hidden.jpg").write_text("hello")
    os.mkfifo(pictures / "pipe.jpg")
    Image.new("1", (10_000, 9_500)).save(pictures / "bomb.png")
    report = run(tmp_path / "out", Silence(), pictures=pictures)
    assert report.held
    assert report.pictures == 6
    reasons = {skipped.name: skipped.reason for skipped in report.skipped}
    assert reasons.keys() == {
        *("text.jpg", "empty.png", "half.jpg", "gone.jpg", "pipe.jpg", "bomb.png")
    }
    assert "not a picture" in reasons["text.jpg"]
    assert "truncated" in reasons["half.jpg"]
    assert "pixels" in reasons["bomb.png"]


def test_many_kinds_of_pictures(tmp_path: Path) -> None:
    """Transparent, grey, turned by a camera, tiny: none of them stops the demo."""
    folder = tmp_path / "in" / "a" / "b"
    folder.mkdir(parents=True)
    Image.new("RGBA", (400, 300), (255, 0, 0, 100)).save(folder / "clear.png")
    Image.new("P", (500, 20)).save(folder / "palette.gif")
    Image.new("CMYK", (400, 300)).save(folder / "print.jpg")
    Image.new("I;16", (300, 300)).save(folder / "deep.png")
    Image.new("L", (3, 900)).save(folder / "thin.tiff")
    Image.new("RGB", (1, 1)).save(folder / "<b>one & only.webp")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (400, 200)).save(folder / "turned.jpg", exif=turned)
    report = run(tmp_path / "out", Silence(), pictures=tmp_path / "in")
    assert report.held
    assert (report.pictures, report.skipped) == (7, [])
    page = Path(report.page).read_text()
    assert "&lt;b&gt;one &amp; only.webp" in page
    assert "<b>one" not in page


def test_one_picture_is_enough(tmp_path: Path, pictures: Path) -> None:
    """Somebody will try it with one."""
    report = run(tmp_path / "out", Silence(), pictures=pictures, limit=1)
    assert report.held
    assert (report.pictures, report.left_out) == (1, 5)


def test_something_of_everything_happens() -> None:
    """However many pictures there are, one is replaced, and no fate is overlooked."""
    for count in range(1, 200):
        fates = list(_fates(count))
        assert len(fates) == count
        assert "replaced" in fates
        assert count < 2 or "deleted" in fates
        assert count < 3 or "new" in fates
        assert count < 4 or "stored" in fates


def test_it_leaves_a_page_that_needs_nothing_else(tmp_path: Path) -> None:
    """What there is to look at is one file, with the thumbnails in it."""
    report = run(tmp_path / "out", Silence())
    page = Path(report.page).read_text()
    shown = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(shown) == page.count("<img ") == 5
    digests = _digests(tmp_path / "out" / "west").values()
    for encoded in shown:
        content = base64.b64decode(encoded)
        assert hashlib.sha256(content).hexdigest() in digests
    links = re.findall(r'href="([^"]+)"', page)
    assert len(links) == 10
    assert all((tmp_path / "out" / link).is_file() for link in links)
    assert "http" not in page


def test_it_leaves_a_configuration_for_use_from_anywhere(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has seen it will want to look with the other commands."""
    place = tmp_path / 'it\'s "odd" \\ ${here}: #1'
    report = run(place, Silence(), pictures=pictures)
    assert report.held
    assert main(["ls", "-c", report.config]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == len(_digests(place / "east")) == 15


# -- where it works ----------------------------------------------------------


def test_nothing_of_anybody_else_is_cleared(tmp_path: Path, pictures: Path) -> None:
    """A directory that the demo has not made is refused as it is."""
    place = tmp_path / "out"
    place.mkdir()
    (place / "mine").write_text("precious")
    with pytest.raises(DemoError, match="was not made by the demo"):
        run(place, Silence(), pictures=pictures)
    assert [path.name for path in place.iterdir()] == ["mine"]
    with pytest.raises(DemoError, match="cannot work in"):
        run(place / "mine", Silence(), pictures=pictures)
    with pytest.raises(DemoError, match="cannot work in"):
        run(place / "mine" / "below", Silence(), pictures=pictures)


def test_an_earlier_demo_is_cleared_and_nothing_beside_it(
    tmp_path: Path, pictures: Path
) -> None:
    """Running it again is safe, also for what somebody has put there since."""
    place = tmp_path / "out"
    run(place, Silence(), pictures=pictures)
    (place / "mine").write_text("precious")
    (place / "east" / "stray").write_text("of the demo before")
    (place / "east").rename(place / "east.away")  # it was killed at its worst
    report = run(place, Silence(), pictures=pictures)
    assert report.held
    assert (place / "mine").read_text() == "precious"
    assert not (place / "east" / "stray").exists()
    assert not (place / "east.away").exists()


def test_pictures_are_not_looked_for_where_they_would_be_cleared(
    tmp_path: Path, pictures: Path
) -> None:
    """Neither are the user's pictures lost, nor the demo's own taken for theirs."""
    place = pictures / "out"
    assert run(place, Silence(), pictures=pictures).pictures == 6
    assert run(place, Silence(), pictures=pictures).pictures == 6
    with pytest.raises(DemoError, match="would be cleared"):
        run(place, Silence(), pictures=place / "east")
    with pytest.raises(DemoError, match="would be cleared"):
        run(place, Silence(), pictures=place)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DemoError, match="no picture below"):
        run(tmp_path / "other", Silence(), pictures=empty)
    assert not (tmp_path / "other").exists()


def test_two_demos_do_not_work_in_one_place(tmp_path: Path, pictures: Path) -> None:
    """The second would clear what the first is working on."""

    class Second(Silence):
        refused = ""

        @contextmanager
        def phase(self, phase: Phase, total: int) -> Iterator[Callable[[], None]]:
            if phase.title == "Delete":
                with pytest.raises(DemoError) as caught:
                    run(tmp_path / "out", Silence(), pictures=pictures)
                self.refused = str(caught.value)
            with super().phase(phase, total) as step:
                yield step

    show = Second()
    assert run(tmp_path / "out", show, pictures=pictures).held
    assert "another demo is at work" in show.refused


def test_an_interrupted_demo_brings_its_regions_back(
    tmp_path: Path, pictures: Path
) -> None:
    """Nobody should have to find out where east has gone."""

    class Interrupted(Silence):
        @contextmanager
        def phase(self, phase: Phase, total: int) -> Iterator[Callable[[], None]]:
            if "too, read" in phase.title:
                assert not (tmp_path / "out" / "east").exists()
                raise KeyboardInterrupt
            with super().phase(phase, total) as step:
                yield step

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", Interrupted(), pictures=pictures)
    assert len(_digests(tmp_path / "out" / "east")) == 12
    assert len(_digests(tmp_path / "out" / "west")) == 12


@pytest.mark.parametrize("outage", [Region.unmount, Region.forbid])
def test_an_outage_is_real_and_undone(
    outage: Callable[[Region], str], tmp_path: Path
) -> None:
    """While a region is away nobody can read it; afterwards nothing is different."""
    region = Region("east", tmp_path / "east")
    (region.path / "below").mkdir(parents=True)
    (region.path / "below" / "file").write_text("x")
    before = region.digests()
    assert "east" in outage(region)
    with pytest.raises(OSError, match=r"No such file|Permission denied"):
        (region.path / "below" / "file").read_text()
    region.bring_back()
    assert region.digests() == before
    assert len(before) == 1


# -- as a command ------------------------------------------------------------


def test_a_pipe_gets_plain_lines(tmp_path: Path) -> None:
    """A log must not hold what moves a cursor, whatever the environment asks for."""
    done = _demo(tmp_path / "out", environment={"FORCE_COLOR": "1", "COLUMNS": "80"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.replace("\n", "").isprintable()
    assert max(map(len, done.stdout.replace(str(tmp_path), "").splitlines())) < 90
    assert "Everything held: 159 reads and 32 writes" in done.stdout
    assert f"{tmp_path}/out/index.html" in done.stdout


def test_a_program_gets_json(tmp_path: Path, pictures: Path) -> None:
    """Everything that a person sees, for a script."""
    done = _demo(tmp_path / "out", "--json", "--pictures", str(pictures))
    report = json.loads(done.stdout)
    assert report["held"] is True
    assert report["reads"] == sum(phase["reads"] for phase in report["phases"])
    assert [check["held"] for check in report["checks"]] == [True] * 7


def test_a_demo_that_fails_has_status_one(tmp_path: Path) -> None:
    """A disk that takes no file over 20 kB: every failure is told, and the verdict."""

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = _demo(tmp_path / "out", before=small_files_only)
    assert done.returncode == 1
    assert "NOT everything held" in done.stdout
    assert "BROKEN Every read and write succeeded" in done.stdout
    assert "Store photographs: pictures.origin" in done.stdout
    assert done.stderr == ""


def test_without_pillow_it_says_what_to_install() -> None:
    """The library does without it; only the demo does not."""
    code = "import sys; sys.modules['PIL'] = None; from tiered_store.cli import main"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit(main(['demo']))"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert "pip install 'tiered-store[demo]'" in done.stderr


def _demo(
    output: Path,
    *words: str,
    environment: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tiered_store", "demo", "--output", str(output), *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(environment or {})},
        preexec_fn=before,
    )


# -- what is shipped ---------------------------------------------------------


def test_every_shipped_picture_has_a_source() -> None:
    """Whoever passes them on must know whose they are; and they must stay small."""
    sources = (SHIPPED / "SOURCES.md").read_text()
    files = [path for path in SHIPPED.iterdir() if path.suffix == ".jpg"]
    rows = re.findall(
        r"^\| `(.+?)` \|.*\| (?:CC0|.*public domain.*) \|$", sources, re.M
    )
    assert sorted(rows) == sorted(path.name for path in files)
    assert len(files) >= 5
    assert sum(path.stat().st_size for path in files) < 500_000


def _digests(folder: Path) -> dict[str, str]:
    listed = subprocess.check_output(
        [shutil.which("find") or "find", ".", "-type", "f"], cwd=folder, text=True
    )
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in listed.splitlines()
    }
