"""
Real photographs: found, looked at, made smaller.

Pillow is imported when the first one is looked at.
"""

from __future__ import annotations

import io
import os
import warnings

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tiered_store.demo.errors import DemoError


if TYPE_CHECKING:
    from PIL.Image import Image


SHIPPED = Path(__file__).parent / "pictures"
BOXES = (320, 160, 64)  # pixels of the longest side

_MIMETYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
}
_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"}
    | {".heic", ".heif", ".avif"}  # not read, but somebody would miss them
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A file that is a picture, to its last byte."""

    path: Path
    name: str
    width: int
    height: int
    mimetype: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is named like a picture, and why it is none."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture of a larger one."""

    content: bytes
    width: int
    height: int
    mimetype: str


def candidates(folder: Path, without: Path) -> list[Path]:
    """
    Return every file below *folder* that is named like a picture, in order.

    What is hidden, and everything below *without*, is passed over.

    Raises:
        DemoError: There is no such directory, or it cannot be read.
    """
    if not folder.is_dir():
        raise DemoError(f"no such directory: {str(folder)!r}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise DemoError(f"not allowed to read the directory {str(folder)!r}")
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and Path(place, name).resolve() != without
        ]
        paths = [Path(place, name) for name in names if not name.startswith(".")]
        found += [path for path in paths if path.suffix.lower() in _SUFFIXES]
    return sorted(found)


def examine(path: Path, name: str) -> Picture | Skipped:
    """Return the picture at *path*, or why it is none; it is decoded whole."""
    if not path.is_file():
        return Skipped(name, "no regular file")  # a pipe would keep us waiting
    try:
        with _opened(path) as image:
            mimetype = _MIMETYPES[_format(image)]
            width, height = image.size
            _encoded(image, min(BOXES))
    except Exception as error:  # noqa: BLE001 - decoders raise anything
        return Skipped(name, _reason(error))
    return Picture(path=path, name=name, width=width, height=height, mimetype=mimetype)


def thumbnail(file: IO[bytes], box: int) -> Thumbnail | None:
    """
    Return what *file* shows with a longest side of *box* pixels.

    None if it is no larger than that: nothing is enlarged.
    """
    with _opened(file) as image:
        if max(image.size) <= box:
            return None
        return _encoded(image, box)


def mirrored(picture: Picture) -> bytes:
    """Return *picture* with left and right exchanged, in its own format."""
    from PIL import ImageOps

    with _opened(picture.path) as image:
        file = io.BytesIO()
        exif = image.info.get("exif", b"")
        ImageOps.mirror(image).save(file, _format(image), exif=exif)
        return file.getvalue()


def require_pillow() -> None:
    """
    Say what to do where Pillow is not installed.

    Raises:
        DemoError: It is not.
    """
    try:
        import PIL.Image  # noqa: F401 - whether it can be
    except ImportError:
        raise DemoError(
            "the demo needs Pillow to make thumbnails; "
            "install it with: pip install 'tiered-store[demo]'"
        ) from None


@contextmanager
def _opened(file: Path | IO[bytes]) -> Iterator[Image]:
    from PIL import Image

    with warnings.catch_warnings():
        # a file of a few bytes may claim to be larger than the memory
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=tuple(_MIMETYPES)) as image:
            yield image


def _format(image: Image) -> str:
    # a JPEG file of several pictures calls itself MPO
    return "JPEG" if image.format == "MPO" else str(image.format)


def _encoded(image: Image, box: int) -> Thumbnail:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    is_transparent = upright.has_transparency_data
    mode = "RGBA" if is_transparent else "L" if upright.mode == "L" else "RGB"
    small = upright.convert(mode)
    small.thumbnail((box, box))
    file = io.BytesIO()
    if is_transparent:
        small.save(file, "PNG", optimize=True)
    else:
        small.save(file, "JPEG", quality=82, optimize=True)
    mimetype = "image/png" if is_transparent else "image/jpeg"
    return Thumbnail(file.getvalue(), *small.size, mimetype)


def _reason(error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a format that the demo reads"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"broken picture: {error}" if str(error) else type(error).__name__
