"""
The five values that name an object.
"""

from __future__ import annotations

import functools
import operator
import re

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, Self, SupportsIndex

from tiered_store.errors import InvalidError


_KINDS = 1024  # of which a program has few, and asks for them all the time
PLAIN_TYPE = functools.lru_cache(_KINDS)(
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII).fullmatch
)
_PLAIN_MIMETYPE = re.compile(r"[!-.0-@[-~]+/[!-@[-~]+", re.ASCII).fullmatch
_SMALL = 1 << 128  # as UUID integers are
_LEAST = -_SMALL
_tuple = tuple.__new__
_BITS = 12_000  # the interpreter refuses to print integers of 4,300 digits


# two names of one type share a stored name, so they must be one key
_SYNONYMS = {"application/javascript": "text/javascript"}


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
    ones included.  A mimetype is lower case, as two that differ only in that are
    one; what is a kind of string or integer (an enumeration, a boolean) becomes a
    plain one, or equal keys would have different names.

    Raises:
        InvalidError: A value that no store could keep safely: an empty type, one
            with ``.`` or ``..`` or nothing between slashes, a backslash, a control
            character, a mimetype that is not two parts of printable ASCII without
            spaces and a slash in between.
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
    ) -> Self:
        if not (
            type(object_type) is type(mimetype) is str
            and type(object_id) is type(width) is type(height) is int
            and PLAIN_TYPE(object_type)
            and _LEAST < object_id < _SMALL
            and _LEAST < width < _SMALL
            and _LEAST < height < _SMALL
        ):
            try:
                object_type = str.__str__(object_type)
                mimetype = str.__str__(mimetype)
            except TypeError:
                raise TypeError(
                    "object_type and mimetype must be strings, "
                    f"not {object_type!r} and {mimetype!r}"
                ) from None
            _check_type(object_type)
            object_id = _integer("object_id", object_id)
            width, height = _integer("width", width), _integer("height", height)
        return _tuple(
            cls, (object_type, object_id, width, height, _one_mimetype(mimetype))
        )

    @classmethod  # which _replace() calls
    def _make(cls, iterable: Iterable[Any]) -> Self:  # type: ignore[override]  # checks
        return cls(*iterable)

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
    if type(value) is int and -_SMALL < value < _SMALL:
        return value
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r}") from None
    if number.bit_length() > _BITS:
        raise InvalidError(f"{name} is too large: {number.bit_length()} bits")
    return number


def _check_type(object_type: str) -> None:
    if PLAIN_TYPE(object_type):
        return
    for segment in object_type.split("/"):
        if segment in {"", ".", ".."}:
            raise InvalidError(f"not an object type: {object_type!r}")
    if "\\" in object_type or not object_type.isprintable():
        raise InvalidError(f"not an object type: {object_type!r}")


@functools.lru_cache(_KINDS)
def _one_mimetype(mimetype: str) -> str:
    """Return the one way in which *mimetype* is written."""
    lower = mimetype.lower()
    if not _PLAIN_MIMETYPE(lower):
        raise InvalidError(f"not a mimetype: {mimetype!r}")
    return _SYNONYMS.get(lower, lower)
