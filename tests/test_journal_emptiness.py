"""
That a journal is empty is known without asking it, and never wrongly.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_journal_past import started_anew
from tiered_store.errors import FullError, MisconfiguredError
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.testing.journals import KEY, OTHER, PUT, missed, write


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal.db")


@pytest.fixture
def journal(path: str) -> Iterator[SQLiteJournal]:
    journal = SQLiteJournal(path)
    write(journal)
    yield journal
    journal.close()


def is_asked(journal: SQLiteJournal) -> bool:
    """Tell whether a look-up asks the file, for which it would need a connection."""
    journal.close()
    journal.rows(KEY)
    return bool(journal._database._idle)


def look_up(journal: SQLiteJournal) -> None:
    """Do so often enough to see that a file is not there any more."""
    for _ in range(1000):
        journal.rows(KEY)


def test_an_empty_journal_is_not_asked(journal) -> None:
    """Nearly always, and for every read."""
    assert not is_asked(journal)

    write(journal, failed=("eu",))
    assert is_asked(journal)
    assert missed(journal) == {"eu": "put"}
    assert missed(journal, OTHER) == {}

    write(journal)
    assert not is_asked(journal)


def test_whoever_opens_it_first_looks_whether_it_is_empty(path, journal) -> None:
    """The next one need not."""
    another = SQLiteJournal(path)
    another.rows(KEY)
    assert not is_asked(another)
    write(journal, failed=("eu",))

    assert missed(another) == {"eu": "put"}


def test_a_change_that_failed_leaves_no_trust(path) -> None:
    """Until the next one that leaves nothing."""
    journal = SQLiteJournal(path, capacity=3)
    write(journal)
    write(journal, failed=("us", "eu"))
    with pytest.raises(FullError):
        journal.begin(OTHER, PUT)
    assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}

    write(journal)
    assert not is_asked(journal)


def test_what_dies_before_it_commits_leaves_no_trust(path, journal) -> None:
    """It has said that there may be rows, and nobody can say that there are none."""
    child = os.fork()
    if child == 0:
        journal._emptiness.begin(journal._emptiness.latest + 1)
        journal._database.change(lambda _: os._exit(0))
    os.waitpid(child, 0)

    assert is_asked(journal)
    write(journal)
    assert not is_asked(journal)


def test_an_end_that_is_said_late_does_no_harm(journal) -> None:
    """Somebody else has begun a change since."""
    earlier = journal.begin(KEY, PUT)
    journal.withdraw(earlier)
    mark = journal.begin(KEY, PUT)
    journal._emptiness.end(earlier.sequence + 1)

    assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
    journal.settle(mark, {"us": None, "eu": None})


def test_a_child_learns_for_itself(path, journal) -> None:
    """It has none of its parent's locks, and may outlive it."""
    assert not is_asked(journal)
    child = os.fork()
    if child == 0:
        before = journal._emptiness.attached
        write(journal, failed=("eu",))  # from here on it has one of its own
        after = journal._emptiness.attached
        told = missed(journal) == {"eu": "put"}
        os._exit(0 if told and (before, after) == (False, True) else 1)

    assert os.waitpid(child, 0)[1] == 0
    assert missed(journal) == {"eu": "put"}


PROGRAM = """
    import sys
    from tiered_store.journals.sqlite import SQLiteJournal
    from tiered_store.testing.journals import KEY, PUT, write, missed
    journal = SQLiteJournal(sys.argv[1])
    def say(*words): print(*words, flush=True)
"""


class Another:
    """A process with a journal of the same file."""

    def __init__(self, path: str, program: str) -> None:
        self.popen = subprocess.Popen(
            [
                *(sys.executable, "-c"),
                textwrap.dedent(PROGRAM) + textwrap.dedent(program),
                path,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Another:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.popen.kill()
        self.popen.communicate(timeout=30)

    def line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().rstrip("\n")

    def go(self) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()


def test_what_another_process_marks_is_seen_at_once(path, journal) -> None:
    """And that it is gone again."""
    program = """
        for _ in sys.stdin:
            mark = journal.begin(KEY, PUT)
            say("marked")
            sys.stdin.readline()
            journal.settle(mark, {"us": None, "eu": None})
            say("settled")
    """
    with Another(path, program) as another:
        for _ in range(300):
            assert missed(journal) == {}
            another.go()
            assert another.line() == "marked"
            assert missed(journal) == {"us": "in_doubt", "eu": "in_doubt"}
            another.go()
            assert another.line() == "settled"
            assert journal._emptiness.is_known()


def test_the_last_to_leave_takes_what_is_known_along(path) -> None:
    """The file may be an older one when somebody comes again."""
    journal = SQLiteJournal(path)
    write(journal, failed=("eu",))
    journal.close()
    del journal
    shutil.copy(path, f"{path}-saved")
    program = "write(journal); say(len(journal.rows(KEY)))"
    with Another(path, program) as another:
        assert another.line() == "0"
        another.popen.wait(30)
    shutil.copyfile(f"{path}-saved", path)  # which leaves it the same file
    started_anew(path)

    journal = SQLiteJournal(path)
    journal.rows(OTHER)  # from now on it knows
    assert missed(journal) == {"eu": "put"}


def test_who_uses_another_file_of_that_name_is_not_believed(path, journal) -> None:
    """It was replaced while it was in use, which only the next to begin can see."""
    os.unlink(path)
    for suffix in ("-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)
    program = """
        for _ in range(3):
            write(journal)
        write(journal, failed=("eu",))
        say(missed(journal), journal._emptiness)
    """
    with Another(path, program) as another:
        assert another.line() == "{'eu': 'put'} None"


def test_marks_of_many_processes_are_never_overlooked(path, journal) -> None:
    """Each sees its own, whatever the others say of theirs."""
    program = """
        key = KEY._replace(object_id=int(sys.stdin.readline()))
        for number in range(300):
            mark = journal.begin(key, PUT)
            assert len(journal.rows(key)) == 2, number
            journal.settle(mark, {"us": None, "eu": None})
            assert not journal.rows(key)
        say("done")
    """
    others = [Another(path, program) for _ in range(3)]
    for number, another in enumerate(others):
        another.popen.stdin.write(f"{number}\n")
        another.popen.stdin.flush()
    assert [another.line() for another in others] == ["done"] * 3
    for another in others:
        another.__exit__()
    write(journal)
    assert not is_asked(journal)


def test_a_link_to_it_is_the_same_journal(path, journal) -> None:
    """Its processes keep out of each other's way, and tell each other of their rows."""
    link = f"{path}-link"
    os.symlink(path, link)
    with Another(link, "write(journal, failed=('eu',)); say(journal.place)") as another:
        assert another.line() == journal.place
    assert missed(journal) == {"eu": "put"}


def test_who_loses_the_locks_does_not_write_and_does_not_trust(path, journal) -> None:
    """Whoever comes later has others, and tells us nothing."""
    assert missed(journal) == {}
    os.unlink(f"{path}-locks")
    with Another(path, "write(journal, failed=('eu',)); say('up')") as another:
        assert another.line() == "up"
        look_up(journal)

        with pytest.raises(MisconfiguredError, match=r"-locks'.* start again"):
            journal.lease(KEY, 1)
        with pytest.raises(MisconfiguredError, match=r"-locks'.* start again"):
            journal.begin(KEY, PUT)
        assert missed(journal) == {"eu": "put"}


def test_who_loses_the_journal_does_not_read_on(path, journal) -> None:
    """What others mark is in another file now, and the next of them tells so."""
    assert missed(journal) == {}
    for suffix in ("", "-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)
    with Another(path, "write(journal, failed=('eu',)); say('up')") as another:
        assert another.line() == "up"
        assert not journal._emptiness.is_known()
        with pytest.raises(MisconfiguredError, match="removed or replaced"):
            look_up(journal)


def test_a_reader_waits_for_no_writer(path, journal) -> None:
    """Not even one that is stopped in the midst of a transaction."""
    program = """
        write(journal, failed=("eu",))
        def stop(connection):
            say("in")
            sys.stdin.readline()
        journal._database.change(stop)
    """
    with Another(path, program) as another:
        assert another.line() == "in"
        newcomer = SQLiteJournal(path, busy=3600.0)
        assert missed(newcomer) == {"eu": "put"}
        another.go()
        another.popen.wait(30)

        newcomer.rows(KEY)
        assert newcomer._emptiness is not None


def test_whoever_comes_sets_right_what_is_told(path, journal) -> None:
    """The first may have been killed before it had told, and left an older life's."""
    write(journal, failed=("eu",))
    latest = journal._emptiness._words[1]
    journal._emptiness.end(latest)  # which is not so
    assert missed(journal) == {}

    with Another(path, "say(missed(journal))") as another:
        assert another.line() == "{'eu': 'put'}"
    assert missed(journal) == {"eu": "put"}


def test_who_looks_at_what_is_told_loses_no_lease(path, journal) -> None:
    """Every copy of a descriptor that is closed ends all locks of its process."""
    lease = journal.lease(KEY, 0)
    for _ in range(2):
        another = SQLiteJournal(path)
        another.born()
        another.close()
        del another
    newcomer = Path(path).with_name("other.db")  # opens locks of its own and goes
    SQLiteJournal(str(newcomer)).born()

    with Another(path, "say(journal.lease(KEY, 0))") as process:
        assert process.line() == "None"
    lease.release()
