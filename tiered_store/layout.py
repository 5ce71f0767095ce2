"""
Key to stored name and back, byte for byte as the original library names them.

.. code-block:: text

   filesystem  TYPE/ID%1000/ID//1000/ID.WxH.EXT   testing/234/1/1234.405x640.jpe
   s3          TYPE/ID/WxH.EXT                    testing/1234/405x640.jpe

The extension comes from a frozen table (:mod:`tiered_store.extensions`), never from
the machine's own ``mime.types``: two machines that disagree would lose each other's
objects.
"""

from __future__ import annotations

import re

from urllib.parse import quote, unquote

from tiered_store.errors import InvalidError
from tiered_store.extensions import EXTENSIONS, MIMETYPES
from tiered_store.key import PLAIN_TYPE, Key


_SIZED = re.compile(r"(-?\d+)x(-?\d+)(\..+)", re.ASCII).fullmatch


def extension(mimetype: str) -> str:
    """
    Return the extension, with its dot, for *mimetype*.

    One that the table does not know is spelled out (``.application%2Fx-thing``), so
    that no two types share a name but the two of JavaScript, which always did.
    """
    return EXTENSIONS.get(mimetype) or "." + quote(mimetype, safe="+-_")


def mimetype_of(suffix: str) -> str | None:
    """Return the mimetype for the extension *suffix*, or None if none has it."""
    return unquote(suffix[1:]) if "%2F" in suffix else MIMETYPES.get(suffix)


def path_name(key: Key) -> str:
    """Return where a directory keeps *key*, below its root, with forward slashes."""
    kind, number, width, height, mimetype = key
    return (
        f"{kind}/{number % 1000}/{number // 1000}/"
        f"{number}.{width}x{height}{EXTENSIONS.get(mimetype) or extension(mimetype)}"
    )


def plain_path(
    root: str, object_type: str, object_id: int, width: int, height: int, mimetype: str
) -> str | None:
    """
    Return the :func:`path_name` of the key of these values, below *root*.

    Without the key that takes half as long; None if they are not seen at once to be
    those of one.
    """
    if (
        type(object_type) is str
        and type(object_id) is type(width) is type(height) is int
        and PLAIN_TYPE(object_type)
    ):
        try:
            return (
                f"{root}/{object_type}/{object_id % 1000}/{object_id // 1000}/"
                f"{object_id}.{width}x{height}{EXTENSIONS[mimetype]}"
            )
        except (KeyError, TypeError, ValueError):  # of a mimetype; of huge numbers
            pass
    return None


def object_name(key: Key) -> str:
    """Return how a bucket, and the command line, name *key*."""
    kind, number, width, height, mimetype = key
    return (
        f"{kind}/{number}/"
        f"{width}x{height}{EXTENSIONS.get(mimetype) or extension(mimetype)}"
    )


def key_of_path(name: str) -> Key | None:
    """Return the key that :func:`path_name` made *name* from, if it did."""
    try:
        kind, _, _, last = name.rsplit("/", 3)
        number, sized = last.split(".", 1)
    except ValueError:
        return None
    key = _key(kind, number, sized)
    return key if key is not None and path_name(key) == name else None


def key_of_object(name: str) -> Key | None:
    """Return the key that :func:`object_name` made *name* from, if it did."""
    try:
        kind, number, sized = name.rsplit("/", 2)
    except ValueError:
        return None
    key = _key(kind, number, sized)
    return key if key is not None and object_name(key) == name else None


def _key(kind: str, number: str, sized: str) -> Key | None:
    match = _SIZED(sized)
    mimetype = mimetype_of(match[3]) if match else None
    if match is None or mimetype is None:
        return None
    try:
        return Key(kind, int(number), int(match[1]), int(match[2]), mimetype)
    except (ValueError, InvalidError):
        return None
