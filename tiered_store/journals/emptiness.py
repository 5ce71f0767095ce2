"""
Whether a journal has any rows, told among processes without asking it.

Nearly always it has none, and every read wants to know.  So the processes of a machine
share two numbers in memory: the *latest* transaction that has begun to change rows, and
an *empty* one, after which there were none.  While both are the same there are none.

Whoever changes rows says so before it commits, and says that none are left after that.
Whatever happens in between, the two differ, and the journal itself is asked: after a
crash for as long as it takes until another change leaves it empty.  A transaction's
number is never used again once it is committed, so what is said late does no harm.

These numbers are worth nothing from one life to the next, when a file may have been
restored, but to notice just that: see :mod:`tiered_store.journals.past`.  Every process
holds a shared lock as long as it uses them, and whoever finds nobody else, by having an
exclusive one first, says whose they are.  Each that comes sets them to what it finds,
in a transaction, so that nobody is in the midst of one.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading

from tiered_store import lifecycle
from tiered_store.journals.past import Past, boot
from tiered_store.readers import Descriptor


_PLACE = 1 << 62  # of the lock, behind those of keys
# words of eight bytes, each written in one piece
_FILE, _LATEST, _EMPTY, _JOURNAL, _BOOT, _PLACE_OF_THIS, _CALLS = range(7)
_SIZE = 56
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

    def attach(self, file: int, journal: int, latest: int, rows: int) -> bool:
        """
        Begin to share the numbers; return whether they are those of this journal.

        They are not if its file was replaced while others use the former one, who do
        not believe them any more either.  It is called within a transaction, and waits
        for nobody.

        Args:
            file: The number of the journal's file, more than zero.
            journal: And of what is in it, wherever that lies.
            latest: The number of the last transaction.
            rows: How many there are.
        """
        with self._lock:
            words = self._mapped()
            if not self.attached:
                is_first = self._locks(fcntl.LOCK_EX)
                if not self._locks(fcntl.LOCK_SH):
                    return False  # somebody begins to use another file of that name
                words[_EMPTY] = _UNKNOWN  # a kill between any two lines does no harm
                if is_first:
                    words[_JOURNAL] = 0  # until all is told
                    words[_FILE], words[_LATEST] = file, latest
                    words[_BOOT], words[_PLACE_OF_THIS] = boot(), self._place
                    words[_JOURNAL] = journal
                self.attached = True
            ours = words[_FILE] == file
            if ours:
                words[_LATEST] = latest
            words[_EMPTY] = latest if ours and not rows else _UNKNOWN
            return ours

    def past(self, journal: int) -> Past | None:
        """Return what was told of the number *journal*, None if that was another."""
        with self._lock:
            words = self._mapped()
            if words[_JOURNAL] != journal:
                return None
            return Past(
                words[_LATEST],
                in_this_boot=words[_BOOT] == boot() != 0,
                in_place=words[_PLACE_OF_THIS] == self._place,
            )

    def is_of_another(self, file: int) -> bool:
        """Tell whether the numbers are those of another file; 0 is not known yet."""
        words = self._words
        if words is None or not self.attached:
            return False
        return file not in (0, words[_FILE])

    def is_known(self) -> bool:
        """Tell whether there are surely no rows; if not, there may be some."""
        words = self._words
        return words is not None and self.attached and words[_LATEST] == words[_EMPTY]

    @property
    def latest(self) -> int:
        """The last transaction that has begun to change rows."""
        assert self._words is not None
        return self._words[_LATEST]

    def begin(self, number: int) -> None:
        """Say that transaction *number* changes rows, before it is committed."""
        assert self._words is not None
        self._words[_LATEST] = number

    def end(self, number: int) -> None:
        """Say that transaction *number* left no rows, after it was committed."""
        assert self._words is not None
        self._words[_EMPTY] = number

    def called(self) -> None:
        """Count a call from somebody who waits; of two at once one may be lost."""
        words = self._words
        if words is not None:
            words[_CALLS] += 1

    @property
    def calls(self) -> int:
        """How many there were, about; what matters is whether there are more."""
        words = self._words
        return 0 if words is None else words[_CALLS]

    @property
    def _place(self) -> int:
        return os.fstat(self._descriptor.number).st_ino

    def _locks(self, kind: int) -> bool:
        try:
            fcntl.lockf(self._descriptor.number, kind | fcntl.LOCK_NB, 1, _PLACE)
        except (BlockingIOError, PermissionError):  # POSIX allows either
            return False
        return True

    def _mapped(self) -> memoryview:
        if self._words is None:
            # it keeps a copy of the descriptor; when either is closed all locks of the
            # file are gone, so both live as long as this does
            if os.fstat(self._descriptor.number).st_size < _SIZE:
                # on a full disk an error now, else a signal that kills when it is used
                os.posix_fallocate(self._descriptor.number, 0, _SIZE)
            mapped = mmap.mmap(self._descriptor.number, _SIZE)
            self._words = memoryview(mapped).cast("q")
        return self._words
