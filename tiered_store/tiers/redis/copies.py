"""
A copy as it is stored: a hash of a header and of the bytes as they are.
"""

from __future__ import annotations

import dataclasses
import functools
import math

from collections.abc import Sequence

import xxhash

from tiered_store.clients.wire import Command
from tiered_store.errors import CorruptError
from tiered_store.tiers.header import HEADER_SIZE, Header, pack, unpack
from tiered_store.tiers.tier import Entry


_STAGED = 60_000  # milliseconds, far longer than sending an object takes
_SEEN = 1024  # headers, some 700 bytes each
_WHOLE = b"*4\r\n$5\r\nHMGET\r\n$%d\r\n%b\r\n$1\r\nh\r\n$1\r\nd\r\n"
_START = b"*3\r\n$5\r\nHMGET\r\n$%d\r\n%b\r\n$1\r\nh\r\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """
    What may become the copy.

    Attributes:
        words: For the script: a header that comes without bytes, and milliseconds.
        sent: Commands to send before it.
    """

    words: tuple[bytes, str]
    sent: Sequence[Command] = ()


NOTHING = Offer((b"", ""))


def question(stored: str, *, body: bool) -> Command:
    """Return how to ask for the copy at *stored*, or for its header alone."""
    name = stored.encode()
    return (_WHOLE if body else _START) % (len(name), name)


def offered(
    name: str, staged: str, entry: Entry, seconds: float, epoch: int, largest: int
) -> Offer:
    """
    Return how to store *entry*, whose record says how long it is fresh.

    Args:
        staged: Where to send bytes to, before they become the copy.
        seconds: To keep it.
        largest: Bytes; of a body that has more, only the record is stored.
    """
    record, body = entry.record, entry.body
    lasting = "" if seconds == math.inf else str(milliseconds(seconds))
    if body is None or body.size > largest:
        header = Header(record, epoch=epoch, elsewhere=not record.absent)
        return Offer((pack(name, header), lasting))
    content = body.read()
    header = Header(record, xxhash.xxh3_64_intdigest(content), epoch)
    sent = (
        ("HSET", staged, "h", pack(name, header)),
        ("PEXPIRE", staged, _STAGED),  # before there is much of it
        ("HSET", staged, "d", content),
    )
    return Offer((b"", lasting), sent)


def header_of(name: str, start: bytes, epoch: int) -> Header:
    """
    Return the header *start* of what is stored under *name*.

    Raises:
        CorruptError: It is not to be believed.
    """
    if len(start) != HEADER_SIZE:
        raise CorruptError("its header is not as long as one of ours")
    header = _unpacked(name, start)
    if header.epoch != epoch:
        raise CorruptError("it was stored before a restart, or by another server")
    return header


# a copy in demand is asked for again and again, or compared with one in memory
_unpacked = functools.lru_cache(_SEEN)(unpack)


def entry_of(header: Header, content: bytes | None) -> Entry:
    """
    Return the copy that *header* stands before.

    Raises:
        CorruptError: Its bytes are not what was stored.
    """
    record = header.record
    if record.size is None or header.elsewhere:
        return Entry(record, None)
    if (
        content is None
        or len(content) != record.size
        or xxhash.xxh3_64_intdigest(content) != header.checksum
    ):
        raise CorruptError("its bytes are not what was stored")
    return Entry(record, record.body(content))


def milliseconds(seconds: float) -> int:
    """Return *seconds* as the server counts them, one at least."""
    return max(1, int(seconds * 1000))
