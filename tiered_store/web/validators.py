"""
Whether a client has the object already: RFC 9110, sections 8.8 and 13.
"""

from __future__ import annotations

import re

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from typing import Literal

from tiered_store.body import Body, BytesBody
from tiered_store.web.message import PIECE


Verdict = Literal["send", "unchanged", "failed"]
_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')


@dataclass(frozen=True, slots=True)
class Validators:
    """
    The version of an object, as a client may name it.

    Attributes:
        etag: A strong one, with its quotes; None if the store has no versions.
        modified: Whole seconds since the epoch; None if the store does not know.
    """

    etag: str | None
    modified: int | None

    @classmethod
    def of(cls, body: Body, now: float) -> Validators:
        """
        Return those of *body*.

        Of few bytes the tag is a hash, the same in every process and from every
        replica; of more it is made of the version, whether a cache has them in memory
        or not.  That is one store's alone: from another one the client gets the object
        again, never an old one.
        """
        known = body.stat()
        modified = None if known.modified is None else int(min(known.modified, now))
        return cls(_tag(body, known.modified), modified)

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers that tell them."""
        told = [] if self.etag is None else [("ETag", self.etag)]
        if self.modified is not None:
            told.append(("Last-Modified", formatdate(self.modified, usegmt=True)))
        return told

    def judge(self, headers: Mapping[str, str]) -> Verdict:
        """Return what the conditions in *headers* come to, in the order of the RFC."""
        if "if-match" in headers:
            if not self._among(headers["if-match"], weakly=False):
                return "failed"
        elif self._later_than(headers.get("if-unmodified-since")) is True:
            return "failed"
        if "if-none-match" in headers:
            known = self._among(headers["if-none-match"], weakly=True)
            return "unchanged" if known else "send"
        if self._later_than(headers.get("if-modified-since")) is False:
            return "unchanged"
        return "send"

    def allow_range(self, condition: str | None) -> bool:
        """Tell whether an ``If-Range`` of *condition* names this very version."""
        if condition is None:
            return True
        if condition.strip().endswith('"'):
            return self.etag is not None and condition.strip() == self.etag
        return self.modified is not None and _seconds(condition) == self.modified

    def _among(self, listed: str, *, weakly: bool) -> bool:
        if listed.strip() == "*":
            return True
        for match in _TAG.finditer(listed):
            tag = match[0].removeprefix("W/") if weakly else match[0]
            if tag == self.etag:
                return True
        return False

    def _later_than(self, date: str | None) -> bool | None:
        """Tell whether it was modified after *date*; None if that cannot be said."""
        seconds = None if date is None else _seconds(date)
        if seconds is None or self.modified is None:
            return None
        return self.modified > seconds


def _tag(body: Body, modified: float | None) -> str | None:
    import xxhash

    told = body.version is not None and body.size > PIECE
    if isinstance(body, BytesBody) and not told:
        return f'"{xxhash.xxh3_128_hexdigest(body.read())}"'
    if body.version is None:
        return None
    said = f"{body.version}\n{body.size}\n{modified}"
    return f'"{xxhash.xxh3_64_hexdigest(said.encode())}-{body.size:x}"'


def _seconds(date: str) -> int | None:
    try:
        when = parsedate_to_datetime(date)
        if when.tzinfo is None:  # as C writes it, and in GMT all the same
            when = when.replace(tzinfo=UTC)
        return int(when.timestamp())
    except (ValueError, OverflowError):
        return None
