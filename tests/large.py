"""
One large object in and out through a whole stack, and what it takes.

.. code-block:: console

   $ python -m tests.large /somewhere/with/room --size 5GiB

The stack keeps what it reads in a directory, over a mirror of a bucket and of a
directory; the object comes from a source that does not say how long it is.  The exit
status is 1 if more memory was used than may be, other bytes came back than were put, or
a part of an upload was left behind.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers.s3 import S3Server, start_s3
from tiered_store import (
    CachedStore,
    FileSystemStore,
    Key,
    MemoryTier,
    ReplicatedStore,
)
from tiered_store.body import Body
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.tiers.store import StoreTier
from tiered_store.units import MIB, parse_size


SMALL = Key("large", 0, 1, 1, "image/png")
LARGE = Key("large", 1, 1, 1, "image/png")
_ALLOWED = 64 * MIB  # above what the process needs at rest


class Source:
    """Bytes of a known *seed*, as they come; nobody is told how many there will be."""

    def __init__(self, size: int, seed: int) -> None:
        self.digest = hashlib.blake2b()
        self._left = size
        self._block = random.Random(seed).randbytes(MIB)

    def read(self, size: int = -1, /) -> bytes:
        """Return some of what is left."""
        piece = self._block[: min(size, self._left, len(self._block))]
        self._left -= len(piece)
        self.digest.update(piece)
        return piece


def main(arguments: list[str] | None = None) -> int:
    """Return whether it went well, in the manner of a command."""
    parser = argparse.ArgumentParser(prog="python -m tests.large", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=parse_size, default=parse_size("5GiB"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    folder = options.folder
    (folder / "server").mkdir(parents=True)
    server = start_s3("seaweed", folder / "server")
    try:
        found = passed(server, folder, options.size, options.seed)
    finally:
        server.stop()
    sys.stdout.write(json.dumps(found) + "\n")
    return 0 if found["well"] else 1


def passed(server: S3Server, folder: Path, size: int, seed: int) -> dict[str, Any]:
    """Return what became of an object of *size* bytes, and what it took."""
    bucket = server.make_bucket()
    with stack(server, bucket, folder) as images:
        for _ in range(2):  # connections, threads and what is imported late
            images.put(SMALL, Body.of(bytes(MIB)))
            images.get(SMALL).read()
        idle = _peak()
        source, started = Source(size, seed), time.monotonic()
        images.put_file(source, *LARGE, reproducible=False)
        put, peak_of_put = time.monotonic() - started, _peak() - idle
        digests, peaks, took, first = [], [], [], 0.0
        for _ in range(2):  # from the mirror, then from the directory
            started = time.monotonic()
            with images.get_file(*LARGE) as file:
                digest = hashlib.blake2b(file.read(1))
                first = max(first, time.monotonic() - started)
                for piece in _pieces(file):
                    digest.update(piece)
            digests.append(digest.hexdigest())
            took.append(time.monotonic() - started)
            peaks.append(_peak() - idle)
    with server.client() as client:
        parts = client.list_multipart_uploads(Bucket=bucket).get("Uploads") or []
    same = set(digests) == {source.digest.hexdigest()}
    modest = max(peak_of_put, *peaks) <= _ALLOWED
    return {
        "well": same and modest and not parts,
        "same": same,
        "orphans": len(parts),
        "size": size,
        "put_peak_mib": round(peak_of_put / MIB, 1),
        "get_peak_mib": [round(peak / MIB, 1) for peak in peaks],
        "put_seconds": round(put, 1),
        "get_seconds": [round(seconds, 1) for seconds in took],
        "first_byte_seconds": round(first, 2),
    }


def stack(server: S3Server, bucket: str, folder: Path) -> CachedStore:
    """Return the stack, which keeps its files in *folder*."""
    mirror = ReplicatedStore(
        {
            "bucket": server.store(bucket, timeout=60, engine="auto"),
            "disk": FileSystemStore(str(folder / "disk"), create=True),
        },
        journal=SQLiteJournal(str(folder / "journal.sqlite")),
    )
    copies = StoreTier(FileSystemStore(str(folder / "copies"), create=True))
    return CachedStore(mirror, [MemoryTier(capacity=8 * MIB), copies])


def _pieces(file: Any) -> Iterator[bytes]:
    while piece := file.read(MIB):
        yield piece


def _peak() -> int:
    """Return the most memory since the last call, in bytes, and begin anew."""
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    Path("/proc/self/clear_refs").write_text("5")
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
