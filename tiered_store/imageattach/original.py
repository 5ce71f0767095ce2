"""
The original library where Python has moved on.

Its last release (1.1.0, 2017) does not import on Python 3.10 and later: it asks for
``collections.Iterator``, and for ``cgi``, whose ``escape`` went with 3.8 and which is
gone with 3.13.  The rest of it works with SQLAlchemy 2 (but ``migration``, which
imports what SQLAlchemy 1.4 has moved; copy with ``tiered-store`` instead).
"""

from __future__ import annotations

import collections
import collections.abc
import html
import importlib
import sys
import types
import warnings

from collections.abc import Iterator
from contextlib import contextmanager

from tiered_store.errors import ConfigError


_MODULES = ("store", "context", "entity", "stores.fs")


def revive() -> None:
    """
    Import SQLAlchemy-ImageAttach with the two names it misses, before others do.

    They are lent to it for as long as it is being imported, so no other code sees
    them.  Where it has been imported already, nothing happens.

    Raises:
        ConfigError: It is not installed, or something that it needs is not, such as
            ImageMagick's library for Wand.
    """
    with _lent():
        try:
            for module in _MODULES:
                importlib.import_module(f"sqlalchemy_imageattach.{module}")
        except ImportError as error:
            raise ConfigError(
                f"SQLAlchemy-ImageAttach cannot be imported: {error}; it needs "
                "pip install 'tiered-store[imageattach]', and ImageMagick's library "
                "from your system (libmagickwand)"
            ) from error


@contextmanager
def _lent() -> Iterator[None]:
    missing = not hasattr(collections, "Iterator")
    known = sys.modules.get("cgi")
    if missing:
        collections.Iterator = collections.abc.Iterator  # type: ignore[attr-defined]
    sys.modules["cgi"] = _cgi()
    try:
        yield
    finally:
        if missing:
            del collections.Iterator  # type: ignore[attr-defined]
        if known is None:
            del sys.modules["cgi"]
        else:
            sys.modules["cgi"] = known


def _cgi() -> types.ModuleType:
    """Return what it uses of ``cgi``: a function, and the class of uploads."""
    lent = types.ModuleType("cgi")
    lent.escape = html.escape  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            upload = importlib.import_module("cgi").FieldStorage
    except ImportError:  # then nobody hands one in
        upload = type("FieldStorage", (), {})
    lent.FieldStorage = upload  # type: ignore[attr-defined]
    return lent
