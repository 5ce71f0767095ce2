"""
What is right when replicas differ, by what can be known.

That one replica has an object and another one has not may be a put that one missed, or
a delete that the other missed: presence alone is not evidence.  While the journal lasts
it knows, and its silence about an object that was written since it began means that no
delete was missed.  About older objects, and about two that differ, only a person can
say whom to trust.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tiered_store.errors import CorruptError, StoreError
from tiered_store.journals.row import Intent


NEWEST = "newest"

_CLOCKS = 300.0  # seconds by which those of a replica and of the journal may differ


@dataclass(frozen=True, slots=True)
class Copy:
    """
    What one replica has of an object.

    Attributes:
        digest: Of its bytes, or what stands for them.
        modified: When it was written there, in seconds since the epoch, if known.
        reproducible: Whether it can be computed again, if the replica tells.
    """

    digest: bytes
    size: int
    modified: float | None = None
    reproducible: bool | None = None


Found = Mapping[str, Copy | StoreError | None]  # by replica; None for absence


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What is wrong with an object, and what would put it right.

    Attributes:
        wrong: By replica, in a word or two; empty if all is well.
        missed: What each replica has to do; empty if nobody can say.
        why: What that is concluded from, or why nothing is.
    """

    wrong: Mapping[str, str] = field(default_factory=dict)
    missed: Mapping[str, Intent] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Judge:
    """
    Decides.

    Attributes:
        names: Of all replicas.
        complete: Those that keep also what can be computed again.
        trust: A replica that is right, or the newest copy; None for what is certain.
        born: Since when the journal remembers, in seconds since the epoch.
    """

    names: Collection[str]
    complete: Collection[str]
    trust: str | None = None
    born: float | None = None

    def judge(self, found: Found) -> Verdict:
        """Return what is wrong with an object that is *found* like this."""
        copies = {name: one for name, one in found.items() if isinstance(one, Copy)}
        keepers = self._keepers(found, copies)
        wrong = _wrong(found, copies, keepers)
        if not wrong:
            return Verdict()
        failed = [name for name, one in found.items() if _is_outage(one)]
        if failed:
            return Verdict(wrong, why=f"{', '.join(failed)} could not say")
        if self.trust not in (None, NEWEST):
            return self._trusted(str(self.trust), found, copies, keepers, wrong)
        return self._found_out(found, copies, keepers, wrong)

    def _keepers(self, found: Found, copies: Mapping[str, Copy]) -> Collection[str]:
        """Return who should have the object."""
        told = {copy.reproducible for copy in copies.values()}
        if True in told:
            return self.complete
        untold = None in told or not told
        fewer = all(
            name in copies if name in self.complete else found[name] is None
            for name in self.names
        )
        # if nobody tells, an object that is just there where those are kept is one
        return self.complete if untold and fewer else self.names

    def _trusted(
        self,
        trusted: str,
        found: Found,
        copies: Mapping[str, Copy],
        keepers: Collection[str],
        wrong: Mapping[str, str],
    ) -> Verdict:
        if found[trusted] is None and trusted in keepers:
            missed: dict[str, Intent] = {
                name: "delete" for name, one in found.items() if one is not None
            }
            return Verdict(wrong, missed, f"{trusted} is trusted, and has none")
        if trusted not in copies:
            return Verdict(wrong, why=f"{trusted} is trusted, and has no sound copy")
        why = f"{trusted} is trusted"
        return Verdict(wrong, _copied(copies[trusted], found, keepers), why)

    def _found_out(
        self,
        found: Found,
        copies: Mapping[str, Copy],
        keepers: Collection[str],
        wrong: Mapping[str, str],
    ) -> Verdict:
        if not copies:
            return Verdict(wrong, why="no sound copy is left")
        dates = [copy.modified for copy in copies.values() if copy.modified is not None]
        dated = len(dates) == len(copies)
        if self.trust == NEWEST and dated:
            newest = max(copies.values(), key=lambda copy: copy.modified or 0.0)
            return Verdict(wrong, _copied(newest, found, keepers), "the newest copy")
        if len({copy.digest for copy in copies.values()}) > 1:
            return Verdict(wrong, why="nobody knows which one is right")
        missed = _copied(next(iter(copies.values())), found, keepers)
        absent = [name for name in missed if found[name] is None]
        since = None if self.born is None else self.born + _CLOCKS
        if not absent:
            return Verdict(wrong, missed, "the others agree")
        # a copy that was mended is younger than its object
        if since is not None and dated and min(dates) > since:
            return Verdict(wrong, missed, "written since the journal remembers")
        sure = {name: missed[name] for name in missed if found[name] is not None}
        return Verdict(
            wrong,
            {name: verb for name, verb in sure.items() if verb == "put"},
            "older than the journal: it may have been deleted where it is missing",
        )


def _copied(right: Copy, found: Found, keepers: Collection[str]) -> dict[str, Intent]:
    """Return who must be given *right*, and who must drop what it has."""
    have = [
        name
        for name, one in found.items()
        if isinstance(one, Copy) and one.digest == right.digest
    ]
    missed: dict[str, Intent] = {
        name: "put" for name in found if name in keepers and name not in have
    }
    # the last one that is right is still to be copied from
    spared = have if not any(name in keepers for name in have) else []
    missed |= {
        name: "drop"
        for name, one in found.items()
        if name not in keepers and one is not None and name not in spared
    }
    return missed


def _wrong(
    found: Found, copies: Mapping[str, Copy], keepers: Collection[str]
) -> dict[str, str]:
    """Return what is wrong by replica, in a word or two."""
    held = {copy.digest for name, copy in copies.items() if name in keepers}
    damaged = any(isinstance(one, CorruptError) for one in found.values())
    wrong = {}
    for name, one in found.items():
        if isinstance(one, CorruptError):
            wrong[name] = "damaged"
        elif isinstance(one, StoreError):
            wrong[name] = f"failed: {one.message}"
        elif one is None:
            if name in keepers and (copies or damaged):
                wrong[name] = "missing"
        elif name not in keepers:
            wrong[name] = "surplus"
        elif len(held) > 1:
            wrong[name] = "different"
    return wrong


def _is_outage(one: Copy | StoreError | None) -> bool:
    return isinstance(one, StoreError) and not isinstance(one, CorruptError)
