"""Django's own fields, forms of files and conventions, over a stack."""

from __future__ import annotations

import io
import os
import subprocess
import sys

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import (
    InMemoryUploadedFile,
    SimpleUploadedFile,
    TemporaryUploadedFile,
)
from django.db import connection, models
from PIL import Image

from tests import djangos
from tiered_store import FileSystemStore, MemoryStore, UnavailableError
from tiered_store.testing import FaultStore


CONFIG = """
version: 1
default: images
stores:
  images: {type: cached, tiers: [{type: memory, ttl: 60s}], origin: disk}
  disk: {type: filesystem, path: FOLDER/disk, base_url: "http://cdn/", create: true}
"""

djangos.set_up()

from tiered_store.django import TieredStorage, key_of  # noqa: E402


@pytest.fixture
def disk(tmp_path: Path) -> FaultStore:
    return FaultStore(FileSystemStore(str(tmp_path / "disk"), "http://x", create=True))


@pytest.fixture
def storage(disk: FaultStore) -> TieredStorage:
    return TieredStorage(disk)


def test_a_file_is_saved_opened_and_deleted(storage: TieredStorage) -> None:
    """By Django's own methods, with the name it was told."""
    name = storage.save("covers/2026/a b.png", ContentFile(b"content"))

    assert name == "covers/2026/a b.png"
    assert storage.exists(name)
    assert storage.size(name) == 7
    with storage.open(name) as file:
        assert (file.name, file.size, file.read()) == (name, 7, b"content")
    with storage.open(name) as file:
        assert list(file.chunks(3)) == [b"con", b"ten", b"t"]
    storage.delete(name)
    assert not storage.exists(name)
    storage.delete(name)
    with pytest.raises(FileNotFoundError):
        storage.open(name)


def test_a_name_that_is_taken_gets_another(storage: TieredStorage) -> None:
    """Nothing is overwritten without being asked."""
    first = storage.save("a.png", ContentFile(b"first"))
    second = storage.save("a.png", ContentFile(b"second"))

    assert second != first
    assert second.endswith(".png")
    assert (storage.open(first).read(), storage.open(second).read()) == (
        b"first",
        b"second",
    )


@pytest.mark.parametrize(
    "upload",
    [
        lambda: SimpleUploadedFile("a.png", b"x" * 3_000_000, "image/png"),
        lambda: InMemoryUploadedFile(
            io.BytesIO(b"x" * 3_000_000), "f", "a.png", "image/png", 3_000_000, None
        ),
        lambda: spooled(b"x" * 3_000_000),
        lambda: ContentFile(b"text" * 750_000),
    ],
)
def test_uploads_of_every_kind_are_whole(storage: TieredStorage, upload) -> None:
    """Also when a form has read them before: in memory, or in a temporary file."""
    file = upload()
    file.read(100)
    name = storage.save("a.png", file)

    assert storage.size(name) == 3_000_000
    assert not file.closed
    file.close()


def spooled(content: bytes) -> TemporaryUploadedFile:
    file = TemporaryUploadedFile("a.png", "image/png", len(content), None)
    file.write(content)
    file.flush()
    return file


def test_an_outage_is_not_a_free_name(storage: TieredStorage, disk: FaultStore) -> None:
    """Or a save would replace what could not be seen."""
    disk.fail("stat", times=None)
    with pytest.raises(UnavailableError):
        storage.exists("a.png")
    with pytest.raises(UnavailableError):
        storage.save("a.png", ContentFile(b"x"))
    disk.heal()
    assert not storage.exists("a.png")


def test_directories_can_be_listed(storage: TieredStorage, disk: FaultStore) -> None:
    """As far as names go; what is not Django's in the same store is passed over."""
    for name in ("a.png", "covers/b.png", "covers/2026/c.png", "covers/2026/d.xyz"):
        storage.save(name, ContentFile(b"x"))
    disk.put_file(
        io.BytesIO(b"x"), "covers/user", 5, 1, 1, "image/png", reproducible=False
    )

    assert storage.listdir("") == (["covers"], ["a.png"])
    assert storage.listdir("covers") == (["2026"], ["b.png"])
    assert storage.listdir("covers/2026/") == ([], ["c.png", "d.xyz"])
    assert storage.listdir("nowhere") == ([], [])


def test_what_a_stack_cannot_do_is_not_implemented() -> None:
    """As Django's own storages say it."""

    class Bare(MemoryStore):
        def _keys(self, prefix: str):
            from tiered_store import UnsupportedError

            raise UnsupportedError("its objects cannot be listed")

    with pytest.raises(NotImplementedError, match="cannot be listed"):
        TieredStorage(Bare()).listdir("")


def test_urls_and_times(storage: TieredStorage) -> None:
    """A URL without asking; a time that is aware."""
    before = datetime.now(UTC) - timedelta(seconds=5)
    name = storage.save("covers/a.jpg", ContentFile(b"x"))

    assert storage.url(name).startswith("http://x/covers/a.jpg/")
    assert before < storage.get_modified_time(name) < before + timedelta(minutes=5)
    assert storage.url("missing.png")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a//b", "", "a\0b"])
def test_a_name_cannot_leave_its_place(storage: TieredStorage, name: str) -> None:
    """Django's own error, which it answers with 400."""
    for act in (storage.exists, storage.delete, storage.url, storage.open):
        with pytest.raises(SuspiciousFileOperation):
            act(name)


def test_writing_through_an_open_file_is_refused(storage: TieredStorage) -> None:
    """An object is saved whole."""
    with pytest.raises(ValueError, match="not opened for 'wb'"):
        storage.open("a.png", "wb")


@pytest.mark.parametrize(
    ("name", "mimetype"),
    [
        ("a.png", "image/png"),
        ("a.JPG", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.tar.gz", "application/gzip"),
        ("a.unheard-of", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_the_type_is_what_the_name_ends_with(name: str, mimetype: str) -> None:
    """By a frozen table: another machine's would look for another object."""
    assert key_of(name).mimetype == mimetype


def test_a_model_keeps_its_pictures_in_a_stack(tmp_path: Path) -> None:
    """Settings, a model, a picture: what a project does, and nothing else."""
    config = tmp_path / "images.yaml"
    config.write_text(CONFIG.replace("FOLDER", str(tmp_path)))

    class Cover(models.Model):
        picture = models.ImageField(
            storage=TieredStorage(config), upload_to="covers/", height_field="height"
        )
        height = models.IntegerField(null=True)

        class Meta:
            app_label = "comics"

    with connection.schema_editor() as editor:
        editor.create_model(Cover)
    drawn = io.BytesIO()
    Image.new("RGB", (40, 30)).save(drawn, "png")
    cover = Cover()
    cover.picture.save("first.png", SimpleUploadedFile("f", drawn.getvalue()))

    found = Cover.objects.get()
    assert (found.picture.name, found.height) == ("covers/first.png", 30)
    assert found.picture.width == 40
    assert found.picture.url == "http://cdn/covers/first.png/0/0/0.0x0.png"
    assert found.picture.open().read() == drawn.getvalue()
    [stored] = [path for path in (tmp_path / "disk").rglob("*") if path.is_file()]
    assert stored.read_bytes() == drawn.getvalue()
    found.picture.delete()
    assert not stored.exists()
    found.picture.storage.stack.close()


def test_settings_name_a_stack_that_is_built_at_first_use(tmp_path: Path) -> None:
    """And works in a child that is forked before or after."""
    config = tmp_path / "images.yaml"
    script = f"""
import os
from django.conf import settings
settings.configure(STORAGES={{"default": {{
    "BACKEND": "tiered_store.django.TieredStorage",
    "OPTIONS": {{"config": {str(config)!r}, "store": "images"}},
}}}})
import django; django.setup()
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
default_storage.save  # made, and nothing is there yet
open({str(config)!r}, "w").write({CONFIG.replace("FOLDER", str(tmp_path))!r})
for life in "before", "after":
    with default_storage._lock:  # as another thread may hold it
        child = os.fork()
        if not child:
            default_storage.save(f"{{life}}/child.png", ContentFile(b"x"))
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert default_storage.exists(f"{{life}}/child.png")
print(default_storage.listdir(""))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "(['after', 'before'], [])\n"


def test_a_missing_package_names_its_extra() -> None:
    """What to install."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.modules['django'] = None; import tiered_store.django",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "pip install 'tiered-store[django]'" in done.stderr.splitlines()[-1]
