"""
What the tests of journals that a fleet shares have in common.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_replicated_properties import World
from tests.waiting import longer_and_longer, until
from tiered_store.deadlines import deadline
from tiered_store.journals.journal import Journal
from tiered_store.journals.row import name_of
from tiered_store.journals.timed import TimedLeases
from tiered_store.testing.journals import KEY, OTHER, PUT, held, missed


class Process:
    """
    A Python with *expression*'s ``journal``, and what the tests of journals have.

    It does *program*; what that prints is read by :meth:`line`, and it goes on after
    each ``wait()`` when told to by :meth:`go`.
    """

    def __init__(self, expression: str, program: str) -> None:
        module = "redis" if expression.startswith("Redis") else "sql"
        head = f"""
            import os, sys
            from tiered_store.errors import UnavailableError
            from tiered_store.journals.{module} import *
            from tiered_store.key import Key
            KEY, PUT = Key(*{tuple(KEY)!r}), {dict(PUT)!r}
            def held(journal, key, seconds):
                lease = journal.lease(key, seconds)
                assert lease is not None
                return lease
            def say(*words): print(*words, flush=True)
            def wait(): sys.stdin.readline()
            journal = {expression}
            """
        self.popen = subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore::DeprecationWarning", "-c"),
                textwrap.dedent(head) + textwrap.dedent(program),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.popen.kill()
        self.popen.communicate(timeout=30)

    def line(self) -> str:
        """Return the next line it prints, without its end."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().rstrip("\n")

    def go(self) -> None:
        """Let it go on."""
        assert self.popen.stdin is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def end(self) -> tuple[str, str]:
        """Return what else it prints, and its errors, when it has ended."""
        return self.popen.communicate(timeout=60)


Describe = Callable[..., str]


class FleetRules:
    """
    What holds among several processes; give ``describe``.

    It returns an expression that makes a journal which shares the rows of all others
    of the test, without quarantine unless it is given one.
    """

    @pytest.fixture
    def describe(self) -> Describe:
        raise NotImplementedError

    def test_processes_share_it(self, make, describe) -> None:
        """Several may make it at once; writers of one object follow each other."""
        program = """
            wait()
            for number in range(15):
                with held(journal, KEY, 30):
                    mark = journal.begin(KEY, PUT)
                    verbs = [row.verb for row in journal.rows(KEY).values()]
                    assert verbs == ["in_doubt"] * 2, verbs
                    journal.settle(mark, {"us": None, "eu": UnavailableError("x")})
                journal.begin(KEY._replace(object_id=100 + number), {NAME: "put"})
            """
        names = ["one", "other"]
        processes = [
            Process(describe(), program.replace("NAME", repr(name))) for name in names
        ]
        for process in processes:
            process.go()
        for process in processes:
            with process:
                assert process.end() == ("", "")

        journal = make()
        assert missed(journal) == {"eu": "put"}
        backlogs = journal.backlogs()
        assert {name: backlogs[name].rows for name in names} == dict.fromkeys(names, 15)
        assert len(list(journal.pending())) == 31

    def test_who_is_killed_leaves_its_rows(self, make, describe) -> None:
        """And no lease for ever: the next writer goes on."""
        with Process(
            describe(),
            """
            lease = held(journal, KEY, 0)
            journal.begin(KEY, PUT)
            say("begun")
            wait()
            """,
        ) as process:
            assert process.line() == "begun"
            journal = make()
            assert journal.lease(KEY, 0.05) is None
            process.popen.kill()
            with held(journal, KEY, 10):
                assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    def test_a_fork_has_its_own_connections_and_leases(self, make, describe) -> None:
        """Parent and child go on writing, and exclude each other."""
        with Process(
            describe(),
            """
            journal.begin(KEY, PUT)
            lease = held(journal, KEY, 0)
            child = os.fork()
            if not child:
                busy = journal.lease(KEY, 0.01) is None
                lease.release()
                busy = busy and journal.lease(KEY, 0.01) is None
                for number in range(100, 110):
                    with held(journal, KEY._replace(object_id=number), 10):
                        journal.begin(KEY._replace(object_id=number), {"child": "put"})
                os._exit(0 if busy and len(journal.rows(KEY)) == 2 else 1)
            for number in range(100, 110):
                journal.begin(KEY._replace(width=number), {"parent": "put"})
            _, status = os.waitpid(child, 0)
            lease.release()
            journal.lease(KEY, 0).release()
            say(os.waitstatus_to_exitcode(status))
            """,
        ) as process:
            assert process.end() == ("0\n", "")

        journal = make()
        assert len(list(journal.pending("child"))) == 10
        assert len(list(journal.pending("parent"))) == 10

    def test_rows_outlive_the_journal(self, make) -> None:
        """Another one, as after a restart, knows them all; a closed one opens again."""
        journal = make()
        mark = journal.begin(KEY, PUT, reproducible=True)
        journal.settle(mark, {"us": None, "eu": OSError("disk")})
        before = journal.rows(KEY)
        journal.close()
        journal.close()

        assert make().rows(KEY) == before
        assert journal.rows(KEY) == before
        held(journal, KEY, 0).release()

    def test_journals_see_each_other_at_once(self, make) -> None:
        """No cache stands between a process and what another one has marked."""
        one, other = make(), make()
        mark = one.begin(KEY, PUT)
        assert missed(other) == {"us": "in_doubt", "eu": "in_doubt"}
        other.settle(mark, {"us": None, "eu": None})
        assert missed(one) == {}
        one.begin(KEY, {"us": "put"})  # though it remembers what it wrote

        assert set(missed(other)) == {"us"}

    def test_journals_share_leases(self, make) -> None:
        """Also in one process."""
        one, other = make(), make()
        with held(one, KEY, 0):
            assert other.lease(KEY, 0.01) is None
            held(other, OTHER, 0).release()
        with held(other, KEY, 0):
            assert one.lease(KEY, 0.01) is None

    def test_any_interleaving(self, make) -> None:
        """Writers, readers, repairs and crashes over it are answered truly."""
        for seed in range(20_000, 20_006):
            journal = make()
            try:
                World(seed, journal).run()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error


class TimedRules:
    """
    What holds where a lease is written down with its end; give ``hasty``.

    It returns what makes a journal whose leases end after half a second, or as told.
    """

    @pytest.fixture
    def hasty(self) -> Callable[[], Journal]:
        raise NotImplementedError

    @pytest.fixture
    def lose(self) -> Callable[[], None]:
        """Return what makes every lease end at once."""
        raise NotImplementedError

    def test_a_lease_that_is_held_does_not_end(self, hasty) -> None:
        """However long it takes; it is renewed."""
        for seconds in longer_and_longer(0.5, 8):
            one, other = hasty(lease_ttl=seconds), hasty(lease_ttl=seconds)
            with held(one, KEY, 0):
                taken = other.lease(KEY, 2 * seconds)
            if taken is None:
                break
            taken.release()  # who renews it was held up himself

        held(other, KEY, 0).release()

    def test_a_lease_is_renewed_though_the_journal_is_closed(self, hasty) -> None:
        """The last call of a write may come back after the store was closed."""
        for seconds in longer_and_longer(0.5, 8):
            one, other = hasty(lease_ttl=seconds), hasty(lease_ttl=seconds)
            with held(one, KEY, 0):
                one.close()
                taken = other.lease(KEY, 1.6 * seconds)
            if taken is None:
                break
            taken.release()

        held(other, KEY, 0).release()

    def test_who_lost_a_lease_ends_nobody_elses(self, hasty, lose) -> None:
        """What it drops is its own hold, by number."""
        one, other, third = (hasty(lease_ttl=60) for _ in range(3))
        lost = held(one, KEY, 0)
        lose()
        with held(other, KEY, 0):
            lost.release()
            assert third.lease(KEY, 0.01) is None

    def test_who_lost_a_lease_finds_out_when_it_ends(self, hasty, lose) -> None:
        """Two have written, so nobody knows which bytes are where."""
        one, other = hasty(lease_ttl=60), hasty(lease_ttl=60)
        lost = held(one, KEY, 0)
        slow = one.begin(KEY, PUT)
        lose()
        with held(other, KEY, 0):
            other.settle(other.begin(KEY, PUT), {"us": None, "eu": None})
        assert missed(other) == {}

        one.settle(slow, {"us": None, "eu": None})
        lost.release()

        assert missed(other) == {"us": "in_doubt", "eu": "in_doubt"}

    def test_who_lost_a_lease_does_not_renew_anybody_elses(self, hasty, lose) -> None:
        """Else one that is dead would seem to hold it for ever."""
        one, other = hasty(), hasty()
        other.rows(KEY)
        lost = held(one, KEY, 0)
        lose()
        self.leases(other)._book.take(name_of(KEY), "dead" * 8, 1)

        held(other, KEY, 20).release()
        lost.release()

    def test_a_lease_is_released_though_the_time_is_up(self, hasty) -> None:
        """The caller's deadline is often why it is released."""
        check_release_in_no_time(hasty(), hasty())

    def test_who_was_not_sure_to_have_it_may_take_it_again(self, hasty) -> None:
        """An answer that was lost keeps others away for a while, and not its owner."""
        one, other = hasty(lease_ttl=60), hasty()
        one.rows(KEY)
        leases = self.leases(one)
        leases._book.take(name_of(KEY), leases._owner, 1_000_000)

        assert other.lease(KEY, 0) is None
        held(one, KEY, 0).release()
        held(other, KEY, 0).release()

    def test_the_thread_that_renews_goes_when_it_is_not_needed(self, hasty) -> None:
        """And comes back."""
        journal = hasty()
        leases = self.leases(journal)
        with held(journal, KEY, 0):
            assert leases._renewing
        until(lambda: not leases._renewing)

        with held(journal, KEY, 0):
            assert leases._renewing

    @staticmethod
    def leases(journal: Journal) -> TimedLeases:
        """Return what *journal* keeps its leases with."""
        raise NotImplementedError


def check_release_in_no_time(one: Journal, other: Journal) -> None:
    """Raise unless *one* releases a lease though its caller's time is up."""
    other.rows(KEY)
    lease = held(one, KEY, 0)
    with deadline(0.01):
        time.sleep(0.02)
        lease.release()

    held(other, KEY, 0).release()


def campaign(folder: Path, journal: str, rounds: int) -> dict[str, int]:
    """Return the counts of a campaign of kills with *journal*."""
    return _ran("kills", str(folder), "--rounds", str(rounds), "--journal", journal)


def crowd(folder: Path, journal: str, rounds: int) -> dict[str, int]:
    """Return the counts of writers that write the same objects with *journal*."""
    return _ran("writers", str(folder), "--rounds", str(rounds), "--journal", journal)


def _ran(module: str, *words: str) -> dict[str, int]:
    ran = subprocess.run(
        [
            *(sys.executable, "-W", "ignore::DeprecationWarning"),
            *("-m", f"tests.{module}", *words),
        ],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, int] = json.loads(ran.stdout)
    return found
