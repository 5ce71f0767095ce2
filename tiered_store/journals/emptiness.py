"""
Whether a journal has any rows, told among processes without asking it.

Nearly always it has none, and every read wants to know.  So the processes of a machine
share two numbers in memory: the *latest* transaction that has begun to change rows, and
an *empty* one, after which there were none.  While both are the same there are none.

Whoever changes rows says so before it commits, and says that none are left after that.
Whatever happens in between, the two differ, and the journal itself is asked: after a
crash for as long as it takes until another change leaves it empty.  A transaction's
number is never used again once it is committed, so what is said late does no harm.

The numbers are worth nothing from one life to the next, when a file may have been
restored.  Every process holds a shared lock as long as it uses them, and whoever finds
nobody else, by having an exclusive one first, says whose they are.  Each that comes
sets them to what it finds, in a transaction, so that nobody is in the midst of one.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading

from tiered_store import lifecycle
from tiered_store.readers import Descriptor


_PLACE = 1 << 62  # of the lock, behind those of keys
_IDENTITY, _LATEST, _EMPTY = range(3)  # words of eight bytes, each written in one piece
_SIZE = 24
_UNKNOWN = -1


class Emptiness:
    """
    What the processes that open a file know of the journal beside it.

    Attributes:
        attached: This process has its lock; a child of it does not.
    """

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._words: memoryview | None = None
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Be without a lock: it is the parent's."""
        self.attached = False
        self._lock = threading.Lock()

    def attach(self, identity: int, latest: int, rows: int) -> bool:
        """
        Begin to share the numbers; return whether they are those of this journal.

        They are not if its file was replaced while others use the former one, who do
        not believe them any more either.  It is called within a transaction, and waits
        for nobody.

        Args:
            identity: Of the journal's file, more than zero.
            latest: The number of the last transaction.
            rows: How many there are.
        """
        with self._lock:
            words = self._words or self._mapped()
            if not self.attached:
                is_first = self._locks(fcntl.LOCK_EX)
                if not self._locks(fcntl.LOCK_SH):
                    return False  # somebody begins to use another file of that name
                words[_EMPTY] = _UNKNOWN  # a kill between any two lines does no harm
                if is_first:
                    words[_IDENTITY] = identity
                self._words = words
                self.attached = True
            ours = words[_IDENTITY] == identity
            if ours:
                words[_LATEST] = latest
            words[_EMPTY] = latest if ours and not rows else _UNKNOWN
            return ours

    def is_of_another(self, identity: int) -> bool:
        """Tell whether the numbers are those of another file; 0 is not known yet."""
        words = self._words
        if words is None or not self.attached:
            return False
        return identity not in (0, words[_IDENTITY])

    def is_known(self) -> bool:
        """Tell whether there are surely no rows; if not, there may be some."""
        words = self._words
        return words is not None and self.attached and words[_LATEST] == words[_EMPTY]

    def begin(self, number: int) -> None:
        """Say that transaction *number* changes rows, before it is committed."""
        assert self._words is not None
        self._words[_LATEST] = number

    def end(self, number: int) -> None:
        """Say that transaction *number* left no rows, after it was committed."""
        assert self._words is not None
        self._words[_EMPTY] = number

    def _locks(self, kind: int) -> bool:
        try:
            fcntl.lockf(self._descriptor.number, kind | fcntl.LOCK_NB, 1, _PLACE)
        except (BlockingIOError, PermissionError):  # POSIX allows either
            return False
        return True

    def _mapped(self) -> memoryview:
        # it keeps a copy of the descriptor; when either is closed all locks of the file
        # are gone, so both live as long as this does
        if os.fstat(self._descriptor.number).st_size < _SIZE:
            os.ftruncate(self._descriptor.number, _SIZE)
        return memoryview(mmap.mmap(self._descriptor.number, _SIZE)).cast("q")
