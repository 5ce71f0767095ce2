"""
The original library where Python has moved on.

Its last release (1.1.0, 2017) does not import on Python 3.10 and later: it asks for
``collections.Iterator``, and for ``cgi``, whose ``escape`` went with 3.8 and which is
gone with 3.13.  Its ``migration`` asks for what SQLAlchemy 1.4 has moved, and for the
classes of a base where they are no more.  The rest of it works with SQLAlchemy 2.
"""

from __future__ import annotations

import collections
import collections.abc
import functools
import html
import importlib
import sys
import types
import warnings

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tiered_store.errors import ConfigError


_MODULES = ("store", "context", "entity", "stores.fs", "migration")
_DECLARATIVE = "sqlalchemy.ext.declarative.api"


def revive() -> None:
    """
    Import SQLAlchemy-ImageAttach with the names it misses, before others do.

    They are lent to it for as long as it is being imported, so no other code sees
    them.  Where it has been imported already, nothing happens.  Its ``migrate()``
    finds the classes of any declarative base of SQLAlchemy 1.4 or later.

    Raises:
        ConfigError: It is not installed, or something that it needs is not, such as
            ImageMagick's library for Wand.
    """
    with _lent():
        try:
            for module in _MODULES:
                name = f"sqlalchemy_imageattach.{module}"
                fresh = name not in sys.modules
                imported = importlib.import_module(name)
                if fresh and module == "migration":
                    _find_classes(imported)
        except ImportError as error:
            raise ConfigError(
                f"SQLAlchemy-ImageAttach cannot be imported: {error}; it needs "
                "pip install 'tiered-store[imageattach]', and ImageMagick's library "
                "from your system (libmagickwand)"
            ) from error


@contextmanager
def _lent() -> Iterator[None]:
    missing = not hasattr(collections, "Iterator")
    known = {name: sys.modules.get(name) for name in ("cgi", _DECLARATIVE)}
    if missing:
        collections.Iterator = collections.abc.Iterator  # type: ignore[attr-defined]
    sys.modules.update({"cgi": _cgi(), _DECLARATIVE: _declarative()})
    try:
        yield
    finally:
        if missing:
            del collections.Iterator  # type: ignore[attr-defined]
        for name, module in known.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


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


def _declarative() -> types.ModuleType:
    """Return what it uses of ``sqlalchemy.ext.declarative.api``: what bases are."""
    lent = types.ModuleType(_DECLARATIVE)
    lent.DeclarativeMeta = _DeclarativeMeta  # type: ignore[attr-defined]
    return lent


class _AnyBase(type):
    """Of a class with a registry, however it came to it."""

    def __instancecheck__(cls, base: object) -> bool:
        return hasattr(base, "registry") or isinstance(base, _Classes)


class _DeclarativeMeta(metaclass=_AnyBase):
    """Stands for the metaclass, of which SQLAlchemy 2 has two."""


class _Classes:
    """A declarative base as SQLAlchemy before 1.4 had it."""

    def __init__(self, base: Any) -> None:
        self._decl_class_registry = {
            mapper: mapper.class_ for mapper in base.registry.mappers
        }


def _find_classes(migration: Any) -> None:
    """Have ``migrate()`` take the bases of today."""
    migrate = migration.migrate

    @functools.wraps(migrate)
    def migrate_base(
        session: Any, declarative_base: Any, source: Any, destination: Any
    ) -> Any:
        if hasattr(declarative_base, "registry"):
            declarative_base = _Classes(declarative_base)
        return migrate(session, declarative_base, source, destination)

    migration.migrate = migrate_base
