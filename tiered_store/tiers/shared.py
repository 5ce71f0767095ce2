"""
A tier that many processes share, and that tells them whose copy is the current one.

Around each object it keeps a *record* of the current copy, the copy itself where it
is not too large, and a *lease* while somebody fills or writes.  The rules are those of
Nishtala et al., *Scaling Memcache at Facebook*, NSDI 2013, with a writer's claim
added.  Safety depends on no timer and on nothing being kept: a lease that is lost only
makes somebody fetch again.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from tiered_store.errors import CorruptError
from tiered_store.key import Key
from tiered_store.tiers.tier import Entry, Tier, always


class Listening(Protocol):
    """
    Wants to know what other processes write.

    It is called from the thread that listens, must be quick and must not ask the tier.
    """

    def overtaken(self, key: Key) -> None:
        """Another process began or ended a write of *key*."""

    def torn(self) -> None:
        """Writes of others may have been missed, and may be until :meth:`mended`."""

    def mended(self) -> None:
        """From now on nothing is missed."""


class Waiting(Protocol):
    """Somebody else fetches; how to wait for it."""

    def wait(self, seconds: float) -> Literal["look", "absent", "failed"]:
        """
        Return as soon as it is worth to look again, after *seconds* at most.

        ``absent`` says that the fetch waited for found no object, and that nobody has
        begun to write since it began; ``failed``, that it brought nothing to keep.
        """


@dataclass(frozen=True, slots=True)
class Leased:
    """
    What a reader that found nothing is to do.

    Attributes:
        state: ``hit``: look again, it is there now.  ``own``: fetch, and fill with
            *token*.  ``wait``: somebody else fetches, so wait with *waiting*.
            ``writing``: somebody writes, so fetch and keep nothing.
    """

    state: Literal["hit", "own", "wait", "writing"]
    token: str = ""
    waiting: Waiting | None = None


class Looked(NamedTuple):
    """
    What was found.

    Attributes:
        entry: None if there is no current copy that can be believed.
        rejected: Names what is stored all the same (garbage, an old format, a copy of
            before a failover), to be dropped by who takes the lease.
    """

    entry: Entry | None
    rejected: bytes | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A write that has begun."""

    key: Key
    token: str


@dataclass(frozen=True, slots=True)
class UnderWay:
    """
    What keeps others from filling.

    Attributes:
        what: Somebody fetches, or several write.
        seconds: After which it keeps nobody any more, whatever became of it.
        waited_for: Another process waits for it.
    """

    what: Literal["fetch", "write"]
    seconds: float
    waited_for: bool = False


class SharedTier(Tier):
    """
    Copies that many processes see, and leases of objects.

    Whoever writes drops the copies of all processes before and after.  A copy is only
    ever the current one if it was fetched between two writes.

    Attributes:
        online: Whether no write of another process is being missed.
        place: Where the copies are, None if that is nowhere else than here; those of
            two caches over one another must not be in one place.
    """

    online: bool
    place: Hashable = None

    @abstractmethod
    def look(self, key: Key, *, body: bool = True) -> Looked:
        """
        Return the current copy, checked, or why there is none.

        Args:
            body: Without it only the record is moved; the entry has no body then.
        """

    @abstractmethod
    def lease(
        self,
        key: Key,
        seconds: float,
        *,
        rejected: bytes | None = None,
        refresh: bool = False,
    ) -> Leased:
        """
        Ask to be the one who fetches *key*.

        Args:
            seconds: After which another may fetch instead; as long as a fetch takes.
            rejected: What :meth:`look` rejected; if that is what is stored, it is
                dropped, and counts as nothing.
            refresh: Although there is a copy.  Never answers ``hit``.
        """

    @abstractmethod
    def fill(self, key: Key, token: str, entry: Entry) -> bool:
        """
        Make *entry* the current copy if *token* still holds the lease, and wake others.

        A body larger than *max_object* is left out: the record alone is current, and
        other tiers may keep the bytes under its identity.  Returns whether it was done.
        """

    @abstractmethod
    def fail(self, key: Key, token: str, *, absent: bool) -> None:
        """Give the lease up, and wake others; *absent* says why there is no copy."""

    @abstractmethod
    def begin(self, key: Key, seconds: float) -> Claim:
        """
        Drop the copy everywhere, doom every fetch under way, and let nobody fill.

        Args:
            seconds: After which others may fill again, if the write never ends; longer
                than any write takes, and than its effect may be late.
        """

    @abstractmethod
    def end(self, claim: Claim, entry: Entry | None) -> bool:
        """
        Let others fill again, and make *entry*, if any, the current copy.

        It does not become the current copy if another write was under way meanwhile:
        which came last is unknown.  Returns whether it did.
        """

    @abstractmethod
    def leave(self, claim: Claim) -> None:
        """Drop the copy everywhere; let the claim end by itself, the write may land."""

    @abstractmethod
    def current(self, key: Key, identity: int) -> bool:
        """Say whether the copy called *identity* is the current one; moves no bytes."""

    @abstractmethod
    def under_way(self, key: Key) -> UnderWay | None:
        """Return what is under way around *key*, in any process; None for nothing."""

    @abstractmethod
    def subscribe(self, listening: Listening) -> None:
        """Tell *listening*, held weakly, what other processes write."""

    def examine(self, key: Key) -> Entry | None:
        """Return what is known of the current copy, and its bytes if they are here."""
        looked = self.look(key)
        if looked.rejected is not None:
            raise CorruptError("damaged, or of before a restart")
        return looked.entry

    # -- as a plain tier -----------------------------------------------------

    def get(self, key: Key) -> Entry | None:
        """Return the current copy if it is here whole."""
        entry = self.look(key).entry
        return entry if entry is not None and entry.whole else None

    def put(self, key: Key, entry: Entry, allowed: Callable[[], bool] = always) -> bool:
        """Fill, unless somebody else fills or writes."""
        leased = self.lease(key, 5.0, refresh=True)
        if leased.state != "own":
            return False
        if allowed() and self.fill(key, leased.token, entry):
            return True
        self.fail(key, leased.token, absent=False)
        return False
