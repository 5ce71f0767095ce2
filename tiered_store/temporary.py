"""
Temporary files that become objects, and what is left of them when a writer was killed.

Whoever writes one holds a lock on it, which ends with its process however that ends,
and which others see, on other hosts as well where the file system has them share its
locks.  So a file that nobody has written to for an hour, and that nobody holds, is
nobody's.  What has no such locks keeps its files.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import time


_NAME = re.compile(r"\.[0-9a-f]{16}\.part")
_OLD = 3600.0  # seconds; also what writers of before, which held no lock, may pause
_OPEN = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def name() -> str:
    """Return the name of a file that nobody else has."""
    return f".{secrets.token_hex(8)}.part"


def hold(descriptor: int) -> None:
    """Say that the file is being written, until it is closed, if that can be said."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # then nobody can find out that it is not held either


def sweep(path: str) -> None:
    """Remove *path* if it is what a writer left that is not there any more."""
    if not _NAME.fullmatch(os.path.basename(path)):
        return
    try:
        if time.time() - os.lstat(path).st_mtime < _OLD:
            return
        descriptor = os.open(path, _OPEN)
    except OSError:
        return  # somebody was quicker, or it is not ours to remove
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    except OSError:
        return
    finally:
        os.close(descriptor)
