"""
One way from any exception to a :class:`~tiered_store.errors.StoreError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tiered_store.errors import StoreError
from tiered_store.translation import http, redis, s3, system


def family(error: BaseException) -> frozenset[str]:
    """Return the names of the class of *error* and of all its bases."""
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def origins(error: BaseException) -> frozenset[str]:
    """Return the top-level packages that the class of *error* comes from."""
    return frozenset(kind.__module__.partition(".")[0] for kind in type(error).__mro__)


_SOURCES: tuple[tuple[frozenset[str], Callable[..., StoreError]], ...] = (
    (frozenset({"botocore", "boto3", "s3transfer"}), s3.translate),
    (frozenset({"redis", "valkey"}), redis.translate),
    (frozenset({"urllib3", "requests", "httpx", "urllib", "http"}), http.translate),
)


def translate(error: BaseException) -> StoreError | None:
    """
    Return what *error* means, or None if it is a bug that must pass untouched.

    The original stays in ``__cause__``.
    """
    if isinstance(error, StoreError):
        return error
    packages = origins(error)
    for known, table in _SOURCES:
        if packages & known:
            return _caused(table(error, family(error)), error)
    if isinstance(error, OSError):
        return _caused(system.translate(error), error)
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Raise in our words whatever the block raises in others'."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        ours = translate(error)
        if ours is None:
            raise
        raise ours from error


def _caused(ours: StoreError, error: BaseException) -> StoreError:
    ours.__cause__ = error
    return ours
