"""
The five values that name an object.
"""

from __future__ import annotations

import operator
import re

from typing import NamedTuple, Protocol, SupportsIndex

from tiered_store.errors import InvalidError


_PLAIN_TYPE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII).fullmatch
_PLAIN_MIMETYPE = re.compile(r"[!-~]+", re.ASCII).fullmatch
_DIGITS = 4300  # the interpreter itself refuses to print longer integers


class ImageLike(Protocol):
    """Whatever carries the five values, such as an image of the original library."""

    @property
    def object_type(self) -> str: ...
    @property
    def object_id(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def mimetype(self) -> str: ...


class _Values(NamedTuple):
    object_type: str
    object_id: int
    width: int
    height: int
    mimetype: str


class Key(_Values):
    """
    The name of an object, valid by construction.

    It is a plain tuple of the five values of the contract, so
    ``store.get_file(*key)`` crosses back to it, and a tuple of the same values
    is equal to it.  *object_id* may be any integer, UUID integers and negative
    ones included.

    Raises:
        InvalidError: A value that no store could keep safely: an empty type, one
            with ``.`` or ``..`` or nothing between slashes, a backslash, a control
            character, a mimetype that is not printable ASCII without spaces.
        TypeError: A value of another type, which is a bug of the caller.
    """

    __slots__ = ()

    def __new__(
        cls,
        object_type: str,
        object_id: SupportsIndex,
        width: SupportsIndex,
        height: SupportsIndex,
        mimetype: str,
    ) -> Key:
        try:
            if not _PLAIN_TYPE(object_type):
                _check_type(object_type)
            if not _PLAIN_MIMETYPE(mimetype):
                raise InvalidError(f"not a mimetype: {mimetype!r}")
        except TypeError:
            raise TypeError(
                "object_type and mimetype must be strings, "
                f"not {object_type!r} and {mimetype!r}"
            ) from None
        return tuple.__new__(
            cls,
            (
                object_type,
                _integer("object_id", object_id),
                _integer("width", width),
                _integer("height", height),
                mimetype,
            ),
        )

    @classmethod
    def of(cls, image: ImageLike) -> Key:
        """Return the key of *image*, any object with the five attributes."""
        if isinstance(image, cls):
            return image
        return cls(
            image.object_type,
            image.object_id,
            image.width,
            image.height,
            image.mimetype,
        )

    def __str__(self) -> str:
        return (
            f"{self.object_type}/{self.object_id}/"
            f"{self.width}x{self.height} ({self.mimetype})"
        )


def _integer(name: str, value: SupportsIndex) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r}") from None
    if number.bit_length() > _DIGITS * 3:
        raise InvalidError(f"{name} is too large: {number.bit_length()} bits")
    return number


def _check_type(object_type: str) -> None:
    for segment in object_type.split("/"):
        if segment in {"", ".", ".."}:
            raise InvalidError(f"not an object type: {object_type!r}")
    if "\\" in object_type or not object_type.isprintable():
        raise InvalidError(f"not an object type: {object_type!r}")
