"""
Where a bucket is, as a browser sees it.
"""

from __future__ import annotations

import re

from urllib.parse import quote, urlsplit

from tiered_store.urls import join_url


_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}|arn:\S+", re.ASCII).fullmatch


def bucket_url(bucket: str, endpoint_url: str | None, region: str | None) -> str:
    """Return the URL of *bucket* on AWS, or below *endpoint_url*."""
    if endpoint_url is not None:
        return join_url(endpoint_url, bucket)
    place = f".{region}" if region else ""
    suffix = ".cn" if place.startswith(".cn-") else ""
    host = f"s3{place}.amazonaws.com{suffix}"
    if "." in bucket:  # which no certificate of AWS's covers as a host
        return f"https://{host}/{quote(bucket)}"
    return f"https://{quote(bucket)}.{host}"


def is_bucket(name: str) -> bool:
    """Say whether *name* may be a bucket's, or the ARN of an access point."""
    return _BUCKET(name) is not None


def is_arn(bucket: str) -> bool:
    """Say whether *bucket* is the ARN of an access point."""
    return bucket.startswith("arn:")


def is_http(url: str) -> bool:
    """Say whether *url* is one that a client can connect to."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
