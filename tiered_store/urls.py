"""
URLs made from names.
"""

from __future__ import annotations

import re

from urllib.parse import quote


_SIGNED = re.compile(r"[?&](X-Amz-Signature|Signature|sig)=")


def join_url(base: str, name: str) -> str:
    """Return the URL of *name* below *base*; what needs no escaping is not escaped."""
    slash = "" if base.endswith("/") else "/"
    return base + slash + quote(name, safe="/~!$&'()*+,;=:@")


def is_signed(url: str) -> bool:
    """Tell whether another parameter would void *url*, as signed URLs of S3 are."""
    return _SIGNED.search(url) is not None
