"""
The races that leave old bytes in a cache, each ended fresh.

Every one is run in a fleet over a shared tier in memory and over a real Redis.
"""

from __future__ import annotations

import itertools

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest

from tests.boards import Board, BoardTier
from tests.fleets import KEY, Fleet, Member, on_board, on_redis
from tests.waiting import until
from tiered_store.body import Body
from tiered_store.errors import UnavailableError
from tiered_store.events import FillRejected
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.tiers.shared import Claim
from tiered_store.tiers.tier import Entry


@pytest.fixture(params=["board", pytest.param("redis", marks=pytest.mark.servers)])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    if request.param == "board":
        made = on_board(Board())
    else:
        made = on_redis(request.getfixturevalue("redis_server").url)
    yield made
    made.close()


@pytest.fixture
def pair(fleet: Fleet) -> tuple[Member, Member]:
    return fleet.join(), fleet.join()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def settled(members: tuple[Member, ...], content: bytes | None) -> None:
    """Assert that soon, and from then on, every member reads *content*."""
    until(lambda: all(member.get() == content for member in members))
    for member in (*members, *members):
        assert member.get() == content


def test_one_members_hit_is_anothers(pair, fleet) -> None:
    """A copy in the shared tier serves all, and is fetched once."""
    first, second = pair
    before = fleet.reads
    first.put(b"new")

    assert [first.get(), second.get(), first.get()] == [b"new"] * 3

    assert fleet.reads == before + 1


def test_a_put_is_seen_by_the_others_memory(pair) -> None:
    """What sits in another process's memory is dropped when it is written."""
    first, second = pair
    first.put(b"old")
    until(lambda: second.get() == b"old" and second.memory.get(KEY) is not None)

    first.put(b"new")

    settled(pair, b"new")


def test_a_delete_is_seen_by_the_others_memory(pair) -> None:
    """The same for what is gone."""
    first, second = pair
    first.put(b"old")
    assert second.get() == b"old"

    first.delete()

    settled(pair, None)


@pytest.mark.parametrize("change", ["put", "delete"])
@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_slow_fill_overtaken_by_a_write_is_not_kept(
    pair, fleet, threads, change, where
) -> None:
    """The race that every cache library loses: old bytes arrive after the write."""
    reader, other = pair
    writer = reader if where == "here" else other
    writer.put(b"old")
    with fleet.origin.pause("get", after_apply=True) as fetched:
        slow = threads.submit(reader.get)
        fetched.wait()
        writer.put(b"new") if change == "put" else writer.delete()
    assert slow.result() == b"old"  # it was there when the read began

    settled(pair, b"new" if change == "put" else None)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_fill_that_begins_inside_a_write_is_not_kept(
    pair, fleet, threads, where
) -> None:
    """A read during a put may see either value, but leaves no copy."""
    writer, other = pair
    reader = writer if where == "here" else other
    writer.put(b"old")
    with fleet.origin.pause("put") as writing:
        written = threads.submit(writer.put, b"new")
        writing.wait()
        assert reader.get() == b"old"
        assert reader.get() == b"old"
    written.result()

    settled(pair, b"new")


def test_a_fill_that_ends_inside_a_write_is_not_kept(pair, fleet, threads) -> None:
    """It began before the write did, and would land before that ends."""
    writer, reader = pair
    writer.put(b"old")
    with fleet.origin.pause("get", after_apply=True) as fetched:
        slow = threads.submit(reader.get)
        fetched.wait()
        with fleet.origin.pause("put") as writing:
            written = threads.submit(writer.put, b"new")
            writing.wait()
            fetched.release()
            slow.result()
            assert reader.get() == b"old"
        written.result()

    settled(pair, b"new")


# the steps of two writers: begin, change the origin, end
ORDERS = sorted(set(itertools.permutations("aaabbb")))


@pytest.mark.parametrize("order", ORDERS, ids="".join)
@pytest.mark.parametrize("on_put", ["invalidate", "fill"])
def test_two_writers_interleaved_in_any_way_end_fresh(fleet, order, on_put) -> None:
    """Which of them the origin saw last is what everybody reads afterwards."""
    first, second = fleet.join(on_put=on_put), fleet.join(on_put=on_put)
    reader = fleet.join()
    writers = {"a": stepping(first, b"a"), "b": stepping(second, b"b")}
    last = [None]
    for who in order:
        step = next(writers[who], "done")
        if step == "changed":
            last[0] = who.encode()
        reader.get()
    for writer in writers.values():
        assert list(writer) == []  # nothing is left to the garbage collector

    settled((reader, first, second), last[0])


def stepping(member: Member, content: bytes) -> Iterator[str]:
    """Put *content* in three steps."""
    with ThreadPoolExecutor(1) as pool:
        origin = member.fleet.origin
        with origin.pause("put") as begun, origin.pause("put", after_apply=True) as put:
            # only this put may be held, so the rules are made anew for each step
            future = pool.submit(member.put, content)
            begun.wait()
            yield "begun"
            begun.release()
            put.wait()
            yield "changed"
            put.release()
        future.result()
        yield "ended"


def test_a_writer_that_dies_after_the_origin_took_its_bytes(pair, fleet) -> None:
    """Nobody ends its write: the copy went before, and nobody may fill for a while."""
    writer, reader = pair
    writer.put(b"old")
    assert reader.get() == b"old"

    writer.shared.begin(KEY, 60)
    fleet.origin.child.put(KEY, Body.of(b"new"))

    settled((reader,), b"new")
    reads = fleet.reads
    assert reader.get() == b"new"
    assert fleet.reads > reads  # nobody keeps it, as the write might not be over


def test_a_dead_writers_claim_ends(fleet) -> None:
    """When it has ended, copies are kept again."""
    reader, writer = fleet.join(), fleet.join()
    writer.shared.begin(KEY, 0.2)
    fleet.origin.child.put(KEY, Body.of(b"new"))
    board = getattr(reader.shared, "board", None)
    if board is not None:
        board.clock.advance(1)

    def kept() -> bool:
        reads = fleet.reads
        return reader.get() == b"new" and fleet.reads == reads

    until(kept)


def test_an_end_that_got_lost_is_made_up_for(fleet, monkeypatch) -> None:
    """The writer lives, so nobody has to wait until its claim ends by itself."""
    writer, reader = fleet.join(), fleet.join()
    lost = iter([True])
    end = writer.shared.end

    def lose(claim: Claim, entry: Entry | None) -> bool:
        if next(lost, False):
            raise UnavailableError("cut off")
        return end(claim, entry)

    monkeypatch.setattr(writer.shared, "end", lose)
    writer.put(b"new")

    def kept() -> bool:
        reads = fleet.reads
        return reader.get() == b"new" and fleet.reads == reads

    until(kept)


def test_a_fetch_that_outlasts_its_lease_is_kept_in_memory(fleet, threads) -> None:
    """Others may have fetched meanwhile, but who was slow need not ask again."""
    reader = fleet.join(fill_lease=0.01)
    fleet.origin.child.put(KEY, Body.of(b"new"))
    with fleet.origin.pause("get", after_apply=True) as fetched:
        slow = threads.submit(reader.get)
        fetched.wait()
        board = getattr(reader.shared, "board", None)
        if board is not None:
            board.clock.advance(1)
        until(lambda: reader.shared.lease(KEY, 0.01).state == "own")
    slow.result()
    reads = fleet.reads

    assert reader.get() == b"new"
    assert fleet.reads == reads


def test_a_put_that_may_have_failed_is_not_cached_around(pair, fleet) -> None:
    """It may land later: until then nobody keeps what was there before."""
    writer, reader = pair
    writer.put(b"old")
    fleet.origin.fail("put", UnavailableError("timed out", ambiguous=True))
    with pytest.raises(UnavailableError):
        writer.put(b"new")
    assert (reader.get(), writer.get()) == (b"old", b"old")

    fleet.origin.child.put(KEY, Body.of(b"new"))  # it lands

    settled(pair, b"new")


def test_a_put_that_failed_for_sure_changes_nothing(pair, fleet) -> None:
    """It is cached again right away."""
    writer, _reader = pair
    writer.put(b"old")
    fleet.origin.fail("put", UnavailableError("refused", ambiguous=False))
    with pytest.raises(UnavailableError):
        writer.put(b"new")

    settled(pair, b"old")
    reads = fleet.reads
    settled(pair, b"old")
    assert fleet.reads == reads


def test_a_reader_after_a_write_does_not_join_a_fetch_from_before(
    pair, fleet, threads
) -> None:
    """Sharing a fetch must not share old bytes, in either process."""
    writer, reader = pair
    writer.put(b"old")
    with fleet.origin.pause("get", after_apply=True) as fetched:
        slow = threads.submit(reader.get)
        fetched.wait()
        writer.put(b"new")
        until(lambda: threads.submit(reader.get).result(60) == b"new")
        assert writer.get() == b"new"
    slow.result()

    settled(pair, b"new")


def test_a_rejected_fill_is_told(pair, fleet, threads) -> None:
    """Whoever listens knows that a copy was not kept."""
    writer, reader = pair
    writer.put(b"old")
    recorder = reader.watch()
    with fleet.origin.pause("get", after_apply=True) as fetched:
        slow = threads.submit(reader.get)
        fetched.wait()
        writer.put(b"new")
    slow.result()

    assert recorder.of(FillRejected)


def test_absence_does_not_outlive_a_put(fleet) -> None:
    """Remembered absence is a copy like any other."""
    pair = fleet.join(negative_ttl=60), fleet.join(negative_ttl=60)
    first, second = pair
    assert (first.get(), second.get()) == (None, None)
    reads = fleet.reads
    assert (first.get(), second.get()) == (None, None)
    assert fleet.reads == reads

    first.put(b"new")

    settled(pair, b"new")
    second.delete()
    settled(pair, None)


def test_what_was_put_is_kept_at_once_if_asked_for(fleet) -> None:
    """``on_put: fill`` costs the next reader nothing."""
    pair = fleet.join(on_put="fill"), fleet.join()
    first, _second = pair
    reads = fleet.reads

    first.put(b"new")

    settled(pair, b"new")
    assert fleet.reads == reads


def test_memory_is_as_fresh_as_what_all_share() -> None:
    """Without a ttl of its own, memory ends with the shared copy, whoever fetched."""
    board = Board()
    fleet = Fleet(lambda: BoardTier(board, ttl=60), clock=board.clock)
    members = fleet.join(clock=board.clock), fleet.join(clock=board.clock)
    fleet.origin.child.put(KEY, Body.of(b"old"))
    settled(members, b"old")
    fleet.origin.child.put(KEY, Body.of(b"new"))  # behind everybody's back

    board.clock.advance(61)

    settled(members, b"new")
    fleet.close()


def test_a_strong_read_asks_whether_its_copy_is_current(fleet) -> None:
    """It is right although no message arrived, and moves no bytes."""
    writer, reader = fleet.join(), fleet.join(strong=True)
    writer.put(b"old")
    assert reader.get() == b"old"
    deafen(reader)

    writer.put(b"new")

    assert reader.get() == b"new"


def deafen(member: Member) -> None:
    """Let *member* miss messages from now on, without noticing."""
    member.store._keeper.overtaken = lambda key: None


def test_a_fetch_that_begins_in_a_gap_is_not_kept(threads) -> None:
    """Whatever overtook it was not heard of, although the feed is mended by its end."""
    fleet = on_board(Board())
    reader, writer = fleet.join(), fleet.join()
    fleet.origin.child.put(KEY, Body.of(b"old"))
    reader.shared.tear()
    with fleet.origin.pause("get", after_apply=True) as fetched:
        slow = threads.submit(reader.get)
        fetched.wait()
        writer.put(b"new")
        reader.shared.connect()
    assert slow.result(60) == b"old"

    assert reader.get() == b"new"
    fleet.close()


def test_who_drops_for_another_process_drops_its_own_memory_too(fleet, tmp_path):
    """Nobody is told what they said themselves, and here another had written."""
    writer, other = (
        fleet.join(journal=SQLiteJournal(str(tmp_path / "purges.db"))) for _ in range(2)
    )
    fleet.origin.child.put(KEY, Body.of(b"old"))
    assert [other.get(), other.get()] == [b"old", b"old"]

    def refuse(*_: object) -> NoReturn:
        raise UnavailableError("refused")

    writer.shared.begin = writer.shared.delete = refuse
    writer.put(b"new")
    assert other.memory.get(KEY) is not None  # nobody could tell

    other.store._keeper.poison.sweep()

    assert other.get() == b"new"
    assert other.memory.get(KEY) is None


def test_one_cold_key_is_fetched_once_by_all(fleet, threads) -> None:
    """Whoever comes while it is fetched waits for that, in any process."""
    members = [fleet.join() for _ in range(4)]
    fleet.origin.child.put(KEY, Body.of(b"new"))
    before = fleet.reads
    with fleet.origin.pause("get", after_apply=True) as fetched:
        readers = [threads.submit(member.get) for member in members for _ in range(8)]
        fetched.wait()
        until(lambda: all(member.memory.get(KEY) is None for member in members))
    assert {reader.result(60) for reader in readers} == {b"new"}

    assert fleet.reads == before + 1


def test_a_leader_that_failed_is_replaced(fleet, threads) -> None:
    """Those who waited for it fetch themselves, and are not failed by it."""
    members = [fleet.join() for _ in range(3)]
    fleet.origin.child.put(KEY, Body.of(b"new"))
    with fleet.origin.pause("get") as fetching:
        fleet.origin.fail("get", UnavailableError("down"))
        leader = threads.submit(members[0].get)
        fetching.wait()
        others = [threads.submit(member.get) for member in members[1:]]
        until(lambda: all(waits(member) for member in members[1:]))
    with pytest.raises(UnavailableError):
        leader.result(60)
    assert {other.result(60) for other in others} == {b"new"}


def test_a_leader_that_died_is_replaced_when_its_lease_ends(fleet) -> None:
    """Nobody waits for the dead for ever."""
    dead, reader = fleet.join(), fleet.join()
    fleet.origin.child.put(KEY, Body.of(b"new"))
    assert dead.shared.lease(KEY, 0.3).state == "own"
    board = getattr(reader.shared, "board", None)
    if board is not None:
        board.clock.advance(1)

    assert reader.get() == b"new"


def test_a_leaders_absence_is_shared(fleet, threads) -> None:
    """Four processes that ask in vain at once ask the origin once."""
    members = [fleet.join() for _ in range(4)]
    before = fleet.reads
    with fleet.origin.pause("get") as fetched:
        leader = threads.submit(members[0].get)
        fetched.wait()
        others = [threads.submit(member.get) for member in members[1:]]
        until(lambda: all(waits(member) for member in members[1:]))
    assert [reader.result(60) for reader in (leader, *others)] == [None] * 4

    assert fleet.reads == before + 1


def waits(member: Member) -> bool:
    """Say whether *member* waits for somebody else's fetch."""
    if isinstance(member.shared, BoardTier):
        return bool(member.shared.bells)
    bells = list(member.shared._hearing.bells._bells.values())
    return any(bell.struck._waiters for bell in bells)
