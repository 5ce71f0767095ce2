"""
URLs made from names.
"""

from __future__ import annotations

from urllib.parse import quote


def join_url(base: str, name: str) -> str:
    """Return the URL of *name* below *base*; what needs no escaping is not escaped."""
    slash = "" if base.endswith("/") else "/"
    return base + slash + quote(name, safe="/~!$&'()*+,;=:@")
