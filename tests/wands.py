"""
Wand for the original library, where its ImageMagick is not installed.

The original opens, measures, resizes and saves pictures with ``wand.image.Image``.
Here that is Pillow's work, unless the real one can be imported.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import types

from typing import Any

from PIL import Image as Pillow


def ensure() -> str:
    """Make ``wand.image`` importable; return whose it is."""
    try:
        _look()
        import wand.image  # noqa: F401
    except ImportError:
        package, module = types.ModuleType("wand"), types.ModuleType("wand.image")
        module.Image = package.image = Picture  # type: ignore[attr-defined]
        sys.modules["wand"], sys.modules["wand.image"] = package, module
        return "Pillow"
    return "ImageMagick"


def _look() -> None:
    """
    Raise ImportError if the linker knows no ImageMagick.

    Wand asks it and the compiler for two dozen names of it, which takes seconds.
    """
    if sys.platform != "linux" or "MAGICK_HOME" in os.environ:
        return
    try:
        known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True)
    except OSError:
        return  # then let Wand look for it
    if known.returncode == 0 and b"MagickWand" not in known.stdout:
        raise ImportError("no ImageMagick")


class Picture:
    """As much of ``wand.image.Image`` as the original uses."""

    def __init__(self, file: Any) -> None:
        self._picture = Pillow.open(io.BytesIO(file.read()))
        self._picture.load()
        self.format = str(self._picture.format).lower()
        self.sequence = [self]

    @property
    def mimetype(self) -> str:
        return f"image/{self.format}"

    @property
    def size(self) -> tuple[int, int]:
        return self._picture.size

    def resize(self, width: int, height: int, filter: str) -> None:
        self._picture = self._picture.resize((width, height))

    def strip(self) -> None:
        """Forget what a camera said."""

    def save(self, file: Any) -> None:
        self._picture.save(file, self.format)

    def __enter__(self) -> Picture:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._picture.close()
