"""
Compare replicas object by object, whatever a journal says, and converge them.

Each replica is listed once, and the lists are put in order on disk, so memory does not
grow with them.  Objects that look alike by what is told without reading them, or by
their bytes, are done with.  Any other is looked at again under its lease, when nobody
writes it: what is in the journal is left to a repair, and what is still wrong is
judged.  What shall be put right goes into the journal first, so that no reader believes
it from there on, a crash loses nothing, and a write that comes in between wins.
"""

from __future__ import annotations

import functools
import itertools
import re

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from tiered_store import deadlines
from tiered_store.body import Body, Stat
from tiered_store.errors import NotFoundError, StoreError
from tiered_store.journals.journal import Journal
from tiered_store.journals.row import name_of
from tiered_store.key import Key
from tiered_store.replication.census import Census
from tiered_store.replication.difference import (
    Compare,
    Difference,
    Outcome,
    VerifyReport,
)
from tiered_store.replication.mending import Mending, Selection, digest_of
from tiered_store.replication.pace import Pace, in_turn
from tiered_store.replication.verdict import Copy, Judge, Verdict
from tiered_store.store import Store
from tiered_store.workers import Workers


_BATCH = 16  # objects of one errand of a thread
_PATIENCE = 1.0  # seconds for a writer of an object to end
# of the bytes, or of the digests of their parts; a version of our own is no such thing
_DIGEST = re.compile(r"[0-9a-f]{32}(-\d+)?").fullmatch


class Verification:
    """
    One comparison.

    Args:
        mending: What carries out a verdict; None to report it only.
        compare: ``quick``: by a digest that every replica tells, else by the bytes.
            ``sizes``: by nothing else.  ``bytes``: always by them.
    """

    def __init__(
        self,
        journal: Journal,
        replicas: Mapping[str, Store],
        workers: Workers,
        judge: Judge,
        *,
        compare: Compare,
        mending: Mending | None,
        told: Callable[[Difference], None],
    ) -> None:
        self._journal = journal
        self._replicas = replicas
        self._names = tuple(replicas)
        self._workers = workers
        self._judge = judge
        self._compare = compare
        self._mending = mending
        self._told = told
        self._fewer = set(judge.complete) != set(judge.names)

    def run(
        self,
        prefix: str,
        after: str,
        limit: int | None,
        pace: Pace,
        *,
        parallel: int,
        listed: Callable[[int], None],
        progress: Callable[[VerifyReport], None],
    ) -> VerifyReport:
        """Compare what is listed behind *after*, and say what was found."""
        report = VerifyReport(after=after)
        with Census() as census:
            for number, store in enumerate(self._replicas.values()):
                listing = store.keys(prefix)
                census.add(
                    itertools.takewhile(lambda _: not pace.stopped, listing), number
                )
            if pace.stopped:
                return report  # half a list would say that half of the objects are gone
            self._check(census)
            census.add(self._pending(prefix), len(self._names))
            listed(census.after(after))
            pages = _limited(census.pages(after, _BATCH), limit)
            work = (functools.partial(self._of_page, page) for page in pages)
            for done in in_turn(
                work, self._workers, pace, parallel=parallel, objects=_BATCH
            ):
                pace.spend(done.read + done.copied)
                report += done
                progress(report)
        return report

    def _pending(self, prefix: str) -> Iterator[Key]:
        """Yield what is pending, which perhaps no replica lists."""
        for row in self._journal.pending():
            if row.key.object_type.startswith(prefix):
                yield row.key

    def _check(self, census: Census) -> None:
        """
        Raise rather than delete everything, for an empty replica was trusted.

        Raises:
            StoreError: It was.
        """
        trust = self._judge.trust
        if trust not in self._names or self._mending is None:
            return
        bit = 1 << self._names.index(trust)
        everybody = itertools.chain.from_iterable(census.pages("", 1000))
        first = next(everybody, None)
        if first is None or first[1] & bit or any(held & bit for _, held in everybody):
            return
        raise StoreError(
            f"{trust} has no object at all, so trusting it would delete all; "
            "is it the right place?"
        )

    def _of_page(self, page: Sequence[tuple[Key, int]]) -> VerifyReport:
        report = VerifyReport()
        for key, held in page:
            report += self._of_object(key, held)
        return replace(report, after=name_of(page[-1][0]))

    def _of_object(self, key: Key, held: int) -> VerifyReport:
        holders = self._holders(held)
        is_pending = bool(held >> len(self._names))
        if not is_pending and self._as_kept(key, holders):
            alike, read = self._alike(key, holders)
            if alike:
                return VerifyReport(objects=1, read=read)
            return self._examined(key) + VerifyReport(objects=1, read=read)
        return self._examined(key) + VerifyReport(objects=1)

    # -- without a lease -----------------------------------------------------

    def _holders(self, held: int) -> dict[str, Store]:
        return {
            name: store
            for number, (name, store) in enumerate(self._replicas.items())
            if held & (1 << number)
        }

    def _as_kept(self, key: Key, holders: Mapping[str, Store]) -> bool:
        """Tell whether *key* is just where it should be, as far as is listed."""
        everywhere = len(holders) == len(self._names)
        if not self._fewer:
            return everywhere
        fewer = holders.keys() == set(self._judge.complete)
        if not (everywhere or fewer):
            return False
        try:
            known = next(iter(holders.values())).get(key).reproducible
        except StoreError:
            return False
        return known is None or known == fewer

    def _alike(self, key: Key, holders: Mapping[str, Store]) -> tuple[bool, int]:
        """Return whether *key* is the same there, and how many bytes were read."""
        try:
            found = [store.stat(key) for store in holders.values()]
            if len({one.size for one in found}) > 1:
                return False, 0
            if self._compare == "sizes" or (
                self._compare == "quick" and _same_digest(found)
            ):
                return True, 0
            digests = {digest_of(store.get(key)) for store in holders.values()}
        except StoreError:
            return False, 0
        return len(digests) == 1, found[0].size * len(found)

    # -- with one ------------------------------------------------------------

    def _examined(self, key: Key) -> VerifyReport:
        """Look at *key* again, while nobody writes it, and do what is to be done."""
        report = VerifyReport()
        repaired: dict[str, str] = {}
        for _ in range(2):  # what is pending is repaired, and then compared
            lease = self._journal.lease(key, deadlines.bounded(_PATIENCE))
            if lease is None:
                return self._note(key, "busy", {}, why="somebody is writing it")
            with lease:
                rows = self._journal.rows(key)
                if rows:
                    verdict = Verdict({name: row.verb for name, row in rows.items()})
                else:
                    verdict, read = self._looked(key)
                    report += VerifyReport(read=read)
                    if not verdict.wrong and repaired:
                        why = "the journal knew"
                        return report + self._note(key, "repaired", repaired, why=why)
                    if not verdict.wrong:
                        return report
                    if self._mending is None or not verdict.missed:
                        return report + self._concluded(key, verdict)
                    if not self._journal.resolve(key, {}, verdict.missed):
                        return report + self._note(key, "busy", verdict.wrong)
            if self._mending is None:
                return report + self._note(key, "pending", verdict.wrong)
            done = self._mending.mend(key, Selection())
            report += VerifyReport(copied=done.copied)
            if self._journal.rows(key):
                why = "noted in the journal, and not done yet"
                return report + self._note(key, "pending", verdict.wrong, why=why)
            if not rows:
                return report + self._note(
                    key, "repaired", verdict.wrong, verdict.missed, verdict.why
                )
            repaired.update(verdict.wrong)
        return report + self._note(key, "busy", repaired, why="it keeps changing")

    def _looked(self, key: Key) -> tuple[Verdict, int]:
        found = {name: self._copy(store, key) for name, store in self._replicas.items()}
        read = sum(one.size for one in found.values() if isinstance(one, Copy))
        return self._judge.judge(found), read

    def _copy(self, store: Store, key: Key) -> Copy | StoreError | None:
        try:
            known = store.stat(key)
            body = store.get(key)
            digest = self._digest(known, body)
        except NotFoundError:
            return None
        except StoreError as error:
            return error
        return Copy(digest, body.size, known.modified, body.reproducible)

    def _digest(self, known: Stat, body: Body) -> bytes:
        if self._compare == "sizes":
            return str(known.size).encode()
        return digest_of(body)

    def _concluded(self, key: Key, verdict: Verdict) -> VerifyReport:
        if any(word.startswith("failed") for word in verdict.wrong.values()):
            return self._note(key, "failed", verdict.wrong, why=verdict.why)
        outcome: Outcome = "reported" if verdict.missed else "undecided"
        return self._note(key, outcome, verdict.wrong, verdict.missed, verdict.why)

    def _note(
        self,
        key: Key,
        outcome: Outcome,
        wrong: Mapping[str, str],
        done: Mapping[str, str] | None = None,
        why: str = "",
    ) -> VerifyReport:
        self._told(
            Difference(key=key, wrong=wrong, outcome=outcome, done=done or {}, why=why)
        )
        known = outcome in ("pending", "busy", "failed")
        return VerifyReport(
            different=not known,
            repaired=outcome == "repaired",
            undecided=outcome == "undecided",
            pending=outcome == "pending",
            busy=outcome == "busy",
            failed=outcome == "failed",
        )


def _same_digest(found: Sequence[Stat]) -> bool:
    """Tell whether all say the same digest of their bytes, which proves them equal."""
    etags = {one.etag for one in found}
    return len(etags) == 1 and all(etag and _DIGEST(etag) for etag in etags)


def _limited(
    pages: Iterator[Sequence[tuple[Key, int]]], limit: int | None
) -> Iterator[Sequence[tuple[Key, int]]]:
    for page in pages:
        if limit is None:
            yield page
        elif limit > 0:
            yield page[:limit]
            limit -= len(page)
