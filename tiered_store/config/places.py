"""
Where stores and tiers keep what they keep, to be compared.
"""

from __future__ import annotations

import os
import re

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from tiered_store.node import kind_of
from tiered_store.store import Store
from tiered_store.units import Secret


_USERINFO = re.compile(r"//[^/]*@")
_SERVER = ("mode", "sentinels", "service", "nodes", "prefix")
_WHERE: Mapping[str, tuple[str, ...]] = {  # the options that say where objects are
    "filesystem": ("path",),
    "s3": ("endpoint_url", "bucket", "prefix"),
    "redis": ("server_url", *_SERVER),
    "RedisTier": ("url", *_SERVER),
}


def places_of(store: Store, prefix: str = "") -> Iterator[Hashable]:
    """Yield where the objects of *store* are, and what their types begin with there."""
    options: Any = store
    kind = kind_of(type(store))
    if kind == "prefixed":
        prefix = options.prefix + prefix
    below = [options.origin] if is_cache(store) else list(store.children().values())
    for child in below:
        yield from places_of(child, prefix)
    if not below:
        yield prefix, place_of(store, kind)


def places_of_tier(tier: Any) -> Iterator[Hashable]:
    """Yield where the copies of *tier* are; one in memory is nowhere else."""
    stores = list(tier.children().values())
    for store in stores:
        yield from places_of(store)
    if not stores:
        yield place_of(tier, type(tier).__name__)


def place_of(thing: Any, kind: str) -> Hashable:
    """Return where *thing*, of *kind*, keeps what it keeps."""
    if kind not in _WHERE:
        return id(thing)
    found = {name: addressed(getattr(thing, name)) for name in _WHERE[kind]}
    if "path" in found:
        found["path"] = os.path.abspath(os.path.expanduser(found["path"]))
    return kind, *found.values()


def addressed(where: Any) -> Any:
    """Return *where* without who asks: a password is no part of it."""
    if isinstance(where, tuple):
        return tuple(addressed(part) for part in where)
    if isinstance(where, Secret):
        return Secret(_USERINFO.sub("//", where.reveal()))
    return where


def is_cache(store: Store) -> bool:
    """Whether *store* keeps copies in tiers."""
    return kind_of(type(store)) == "cached"
