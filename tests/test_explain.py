"""Where an object is and why a reader sees what they see, as a person is told."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import uuid

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.boards import Board, BoardTier
from tests.servers.redis import RedisServer, RedisServers
from tests.tiers import entry
from tests.waiting import longer_and_longer, until
from tiered_store import explain
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body, Stat
from tiered_store.cli import main
from tiered_store.errors import StoreError, UnavailableError
from tiered_store.findings import Explanation, Finding
from tiered_store.journals.memory import MemoryJournal
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.policies.routing import Rule
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.faults import FaultStore
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.store import StoreTier
from tiered_store.tree import label
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.breaker import BreakerStore
from tiered_store.wrappers.cached import CachedStore
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.overlay import OverlayStore
from tiered_store.wrappers.prefixed import PrefixedStore
from tiered_store.wrappers.replicated import ReplicatedStore
from tiered_store.wrappers.retry import RetryStore
from tiered_store.wrappers.routed import RoutedStore
from tiered_store.wrappers.shadow import ShadowStore
from tiered_store.wrappers.sharded import ShardedStore


KEY = Key("testing", 1, 2, 3, "image/png")
NAME = "testing/1/2x3.png"
SECONDS = 60.0


def states(explained: Explanation) -> dict[str, str]:
    """Return by place what it says."""
    return {finding.place: finding.state for finding in explained.findings}


def at(explained: Explanation, place: str) -> Finding:
    """Return what *place* says."""
    (found,) = (one for one in explained.findings if one.place == place)
    return found


def named(stack: Store) -> Explanation:
    """Return what *stack*, called ``images``, knows of the object."""
    return explain(label(stack, "images"), KEY)


def full(content: bytes = b"content", key: Key = KEY) -> MemoryStore:
    """Return a store that has the object."""
    store = MemoryStore()
    store.put(key, Body.of(content))
    return store


def broken() -> FaultStore:
    """Return a store that is down."""
    store = FaultStore(MemoryStore())
    store.down()
    return store


# -- a stack -------------------------------------------------------------------


def test_every_place_is_told_once_from_the_reader_down() -> None:
    """In the order in which a reader would come to it, wrappers left out."""
    stack = CachedStore(
        RetryStore(FallbackStore({"us": full(), "eu": MemoryStore()})),
        [MemoryTier(), MemoryStore()],
    )

    assert states(named(stack)) == {
        "images.tiers.0": "missing",
        "images.tiers.1": "missing",
        "images.origin.child.us": "held",
        "images.origin.child.eu": "absent",
    }


def test_what_is_known_is_told() -> None:
    """Age, size and version, as far as the store knows them."""
    store = full(b"12345")

    (finding,) = named(store).findings

    assert finding.size == 5
    assert finding.version == store.stat(KEY).etag
    assert finding.age is not None
    assert 0 <= finding.age < 60


def test_absence_needs_every_store_to_say_so() -> None:
    """One that failed might have had it."""
    assert named(FallbackStore({"a": full(), "b": broken()})).answer == "held"
    assert named(FallbackStore({"a": MemoryStore()})).answer == "absent"
    explained = named(FallbackStore({"a": MemoryStore(), "b": broken()}))
    assert explained.answer == "unknown"
    assert at(explained, "images.b").state == "failed"
    assert at(explained, "images.b").facts["error"] == "unavailable on purpose"


def test_a_tier_that_fails_leaves_nothing_unknown() -> None:
    """Readers are told by the origin."""
    explained = named(CachedStore(MemoryStore(), [broken()]))

    assert states(explained)["images.tiers.0"] == "failed"
    assert explained.answer == "absent"


def test_an_object_is_asked_for_by_its_name_there() -> None:
    """What is behind a prefix has another name."""
    inner = KEY._replace(object_type="staging.testing")

    explained = named(PrefixedStore(full(key=inner), "staging."))

    assert explained.answer == "held"


def test_a_name_that_cannot_be_there_is_told() -> None:
    """Those of marks are no object's."""
    stack = label(OverlayStore(MemoryStore(), MemoryStore()), "images")
    mark = KEY._replace(mimetype="application/x-deleted+image/png")
    assert states(explain(stack, mark))["images"] == "failed"


def test_only_those_are_asked_who_may_have_it() -> None:
    """What another shard or route has under that name is nobody's."""
    shards = ShardedStore({"a": full(), "b": full()})
    assert list(states(named(shards))) == [f"images.{shards.shard_of(KEY)}"]

    routed = RoutedStore(
        {"pages": full(), "rest": MemoryStore()},
        rules=[Rule(to="pages", mimetype="text/html")],
        default="rest",
    )
    assert states(named(routed)) == {"images.rest": "absent"}

    shadowed = ShadowStore(MemoryStore(), full())
    assert named(shadowed).answer == "absent"


def test_what_was_deleted_above_is_gone() -> None:
    """Production still has it, and nobody who reads through the sandbox sees it."""
    stack = OverlayStore(MemoryStore(), full())
    assert named(stack).answer == "held"

    stack.delete(KEY)

    explained = named(stack)
    assert explained.answer == "absent"
    assert states(explained) == {
        "images": "absent",
        "images.above": "absent",
        "images.below": "unbelieved",
    }

    stack.put(KEY, Body.of(b"again"))
    assert named(stack).answer == "held"


def test_who_missed_a_write_is_behind() -> None:
    """What it has is told, and is nothing that a reader gets."""
    us, eu = MemoryStore(), FaultStore(MemoryStore())
    stack = ReplicatedStore({"us": us, "eu": RetryStore(eu)}, journal=MemoryJournal())
    stack.put(KEY, Body.of(b"old"))
    eu.down()

    stack.put(KEY, Body.of(b"newer"))

    eu.heal()
    explained = named(stack)
    assert states(explained) == {
        "images.us": "held",
        "images.eu": "behind",
        "images.eu.child": "unbelieved",
    }
    assert "missed a put at 20" in at(explained, "images.eu").facts["journal"]
    assert at(explained, "images.eu.child").size == 3


def test_what_a_replica_has_is_told_where_it_is_behind() -> None:
    """One line for one place."""
    us, eu = MemoryStore(), FaultStore(MemoryStore())
    stack = ReplicatedStore({"us": us, "eu": eu}, journal=MemoryJournal())
    stack.put(KEY, Body.of(b"old"))
    eu.down()
    stack.put(KEY, Body.of(b"newer"))
    eu.heal()

    found = at(named(stack), "images.eu")

    assert (found.state, found.size, found.facts["found"]) == ("behind", 3, "held")


def test_what_is_behind_is_no_answer() -> None:
    """What the only one who took the write has is not known."""
    us, eu = FaultStore(MemoryStore()), FaultStore(MemoryStore())
    stack = ReplicatedStore({"us": us, "eu": eu}, journal=MemoryJournal())
    stack.put(KEY, Body.of(b"old"))
    eu.down()
    stack.put(KEY, Body.of(b"newer"))
    eu.heal()
    us.down()

    explained = named(stack)

    assert states(explained) == {"images.us": "failed", "images.eu": "behind"}
    assert explained.answer == "unknown"


def test_a_delete_that_some_have_not_heard_of_is_one() -> None:
    """A replica that still has the object is no reason to say so."""
    us, eu = MemoryStore(), FaultStore(MemoryStore())
    stack = ReplicatedStore({"us": us, "eu": eu}, journal=MemoryJournal())
    stack.put(KEY, Body.of(b"old"))
    eu.down()
    stack.delete(KEY)
    eu.heal()

    explained = named(stack)

    assert explained.answer == "absent"
    assert states(explained) == {
        "images": "absent",
        "images.us": "absent",
        "images.eu": "behind",
    }


def test_a_write_whose_end_is_not_known_is_pending() -> None:
    """Both values are right until a repair has settled on one."""
    journal = MemoryJournal()
    journal.begin(KEY, {"us": "put", "eu": "put"})
    stack = ReplicatedStore({"us": full(), "eu": MemoryStore()}, journal=journal)

    explained = named(stack)

    assert states(explained) == {"images.us": "held", "images.eu": "absent"}
    assert "its end is not known" in at(explained, "images.us").facts["journal"]


def test_a_journal_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """And the rest is told all the same."""
    journal = SQLiteJournal(str(tmp_path / "nowhere" / "journal.sqlite"))

    explained = named(ReplicatedStore({"us": full()}, journal=journal))

    assert states(explained) == {"images": "failed", "images.us": "held"}


def test_a_breaker_is_told_and_keeps_nobody_from_asking() -> None:
    """Readers are not served from there, whatever it has."""
    child = FaultStore(full())
    stack = BreakerStore(child, failures=1, open=60.0, open_limit=60.0)
    child.down()
    with pytest.raises(StoreError):
        stack.get(KEY)
    child.heal()

    explained = named(FallbackStore({"us": stack}, breaker=None))

    assert states(explained) == {"images.us": "pending", "images.us.child": "held"}
    assert "circuit open" in at(explained, "images.us").facts["reads"]
    assert "writes" not in at(explained, "images.us").facts


def test_what_was_only_put_around_a_place_is_told_there() -> None:
    """A breaker that nobody wrote has no line of its own."""
    child = FaultStore(full())
    stack = FallbackStore({"us": child})
    child.down()
    for _ in range(5):
        with pytest.raises(StoreError):
            stack.get(KEY)
    child.heal()

    explained = named(stack)

    assert states(explained) == {"images.us": "held"}
    assert "circuit open" in at(explained, "images.us").facts["reads"]


class WaitingStore(MemoryStore):
    """Answers when it is told to."""

    def __init__(self, wait: Callable[[], object]) -> None:
        super().__init__()
        self.wait = wait

    def _stat(self, key: Key) -> Stat:
        self.wait()
        return super()._stat(key)


def test_a_place_that_hangs_is_not_waited_for() -> None:
    """It has failed, and the others are told."""
    released = threading.Event()
    stack = FallbackStore({"hung": WaitingStore(released.wait), "well": full()})
    try:
        for seconds in longer_and_longer(0.05):
            explained = explain(label(stack, "images"), KEY, seconds=seconds)
            found = states(explained)
            if [place for place in found if found[place] == "failed"] == [
                "images.hung"
            ]:
                break  # else others were late as well
    finally:
        released.set()

    assert states(explained) == {"images.hung": "failed", "images.well": "held"}
    assert at(explained, "images.hung").facts["error"] == "no answer in time"


def test_all_are_asked_at_once() -> None:
    """Ten regions that are slow are as slow as one of them."""
    together = threading.Barrier(4, timeout=20)
    stack = FallbackStore({f"{n}": WaitingStore(together.wait) for n in range(4)})

    assert named(stack).answer == "absent"


# -- a cache -------------------------------------------------------------------


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_copy_says_how_long_it_is_fresh(clock: FakeClock) -> None:
    """And past that, since when it is not."""
    tiers = [
        MemoryTier(ttl=10, jitter=0, clock=clock),
        StoreTier(MemoryStore(), ttl=30, jitter=0, clock=clock),
    ]
    stack = CachedStore(full(), tiers, stale_if_error=SECONDS, clock=clock)
    stack.get(KEY)

    explained = named(stack)
    assert states(explained)["images.tiers.0"] == "held"
    assert at(explained, "images.tiers.0").facts["fresh"] == "for 10.0 s"

    clock.advance(12.0)
    explained = named(stack)
    assert states(explained)["images.tiers.0"] == "stale"
    assert states(explained)["images.tiers.1"] == "held"
    assert at(explained, "images.tiers.0").age == 12.0
    assert at(explained, "images.tiers.0").facts["fresh"] == "until 2.0 s ago"


def test_remembered_absence_is_absence(clock: FakeClock) -> None:
    """A reader is told that there is none, as long as it is remembered."""
    stack = CachedStore(
        MemoryStore(), [MemoryTier(clock=clock)], negative_ttl=10, clock=clock
    )
    with pytest.raises(FileNotFoundError):
        stack.get(KEY)

    assert states(named(stack))["images.tiers.0"] == "absent"


def test_a_stale_copy_is_no_answer(clock: FakeClock) -> None:
    """It is served while the origin fails, which somebody who asks should know."""
    origin = FaultStore(full())
    tier = MemoryTier(ttl=10, jitter=0, clock=clock)
    stack = CachedStore(origin, [tier], stale_if_error=SECONDS, clock=clock)
    stack.get(KEY)
    clock.advance(11.0)
    origin.down()

    assert named(stack).answer == "unknown"


def test_what_a_write_could_not_drop_is_not_believed() -> None:
    """Its tier is not asked until the purge was delivered, and that is told."""
    tier = FaultStore(MemoryStore())
    origin = full(b"old")
    stack = CachedStore(origin, [MemoryTier(), StoreTier(tier, breaker=None)])
    stack.get(KEY)
    tier.fail("delete", times=None)
    stack.put(KEY, Body.of(b"new"))

    explained = named(stack)

    assert states(explained) == {
        "images": "pending",
        "images.tiers.0": "missing",
        "images.tiers.1": "unbelieved",
        "images.origin": "held",
    }
    assert at(explained, "images").facts["purge"].startswith("since 20")
    why = "a write may not have reached it"
    assert at(explained, "images.tiers.1").facts["why"] == why
    tier.heal()
    stack.close()


def test_a_purge_of_everything_is_told() -> None:
    """More was poisoned than can be noted one by one."""

    class FullJournal(MemoryJournal):
        def begin(self, *args: Any, **kwargs: Any) -> Any:
            raise UnavailableError("no room")

    tier = FaultStore(MemoryStore())
    stack = CachedStore(full(), [StoreTier(tier, breaker=None)], journal=FullJournal())
    stack.get(KEY)
    tier.fail("delete", times=None)
    tier.fail("keys", times=None)
    stack.put(KEY, Body.of(b"new"))

    assert "of every object" in at(named(stack), "images").facts["purge"]
    tier.heal()
    stack.close()


def test_a_journal_of_purges_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Whatever it would say, nobody believes what it may be about."""
    journal = SQLiteJournal(str(tmp_path / "nowhere" / "journal.sqlite"))
    tier = MemoryStore()
    stack = CachedStore(full(), [MemoryTier(), tier], journal=journal)
    StoreTier(tier).put(KEY, entry(b"content"))

    explained = named(stack)

    assert "cannot be read" in at(explained, "images").facts["purge"]
    assert states(explained)["images.tiers.1"] == "unbelieved"


class WatchedStore(Wrapper):
    """Has somebody look while it is put to."""

    look: Callable[[], Explanation]
    seen: Explanation

    def _put(self, key: Key, body: Body, reproducible: bool) -> None:
        self.seen = self.look()
        super()._put(key, body, reproducible)


def test_a_write_under_way_is_told() -> None:
    """Until it has ended, copies outside this process are not believed."""
    origin = WatchedStore(full())
    tier = MemoryStore()
    stack = label(CachedStore(origin, [tier]), "images")
    origin.look = lambda: explain(stack, KEY)

    def look() -> Explanation:
        StoreTier(tier).put(KEY, entry(b"late"))
        return explain(stack, KEY)

    origin.look = look
    stack.put(KEY, Body.of(b"new"))

    assert at(origin.seen, "images").facts == {"here": "a write"}
    assert at(origin.seen, "images.tiers.0").state == "unbelieved"
    assert "write is under way" in at(origin.seen, "images.tiers.0").facts["why"]


def test_a_fill_that_was_given_up_is_told() -> None:
    """It may have landed after a write, so nobody believes it."""
    tier = FaultStore(MemoryStore())
    stack = CachedStore(full(), [StoreTier(tier, breaker=None)])
    tier.fail("put", "timeout", after_apply=True)
    tier.fail("delete")
    stack.get(KEY)
    assert tier.child.stat(KEY)

    found = at(named(stack), "images.tiers.0")

    assert found.state == "unbelieved"
    assert "given up" in found.facts["why"]


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """What is damaged is what somebody wants to look at, so it is not mended."""
    folder = tmp_path / "cache"
    stack = CachedStore(full(), [FileSystemStore(folder, create=True)])
    stack.get(KEY)
    (file,) = (path for path in folder.rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    damaged = file.read_bytes()

    explained = named(stack)

    found = at(explained, "images.tiers.0")
    assert found.state == "unbelieved"
    assert "digest" in found.facts["why"]
    assert file.read_bytes() == damaged


# -- a cache that processes share ------------------------------------------------


def shared(
    board: Board, *between: Any, **options: Any
) -> tuple[CachedStore, BoardTier]:
    """Return a process that shares *board*, and hears what is written."""
    tier = BoardTier(board)
    stack = CachedStore(full(), [MemoryTier(), *between, tier], **options)
    tier.connect()
    return stack, tier


def test_a_directory_is_believed_by_what_the_shared_tier_says() -> None:
    """Another copy may be the current one, or nobody knows."""
    board, folder = Board(), StoreTier(MemoryStore())
    stack, tier = shared(board, folder)
    stack.get(KEY)
    explained = named(stack)
    assert states(explained)["images.tiers.1"] == "held"
    copies = [at(explained, f"images.tiers.{n}").facts["copy"] for n in (1, 2)]
    assert copies[0] == copies[1]

    folder.put(KEY, entry(b"older"))
    found = at(named(stack), "images.tiers.1")
    assert (found.state, found.size) == ("unbelieved", 5)
    assert found.facts["why"] == "another copy is current"

    board.places[KEY].entry = None
    found = at(named(stack), "images.tiers.1")
    assert (found.state, found.facts["why"]) == ("unbelieved", "no copy is current")

    tier.fate = lambda step: "before"
    explained = named(stack)
    assert states(explained)["images.tiers.2"] == "failed"
    why = at(explained, "images.tiers.1").facts["why"]
    assert why == "tiers.2 cannot be asked which copy is current"


def test_a_record_without_bytes_says_so() -> None:
    """They are in a directory, and there they are held."""
    board = Board()
    tier = BoardTier(board, max_object=3)
    stack = CachedStore(full(b"large"), [MemoryStore(), tier])
    tier.connect()
    stack.get(KEY)

    explained = named(stack)

    assert states(explained)["images.tiers.0"] == "held"
    found = at(explained, "images.tiers.1")
    assert (found.state, found.size) == ("missing", 5)
    assert "another tier" in found.facts["record"]


def test_memory_that_must_be_confirmed_is_as_current_as_the_shared_tier_says() -> None:
    """With *strong*, what memory has is served only then."""
    board = Board()
    stack, _ = shared(board, strong=True)
    stack.get(KEY)
    assert states(named(stack))["images.tiers.0"] == "held"

    board.places[KEY].entry = entry(b"other")

    found = at(named(stack), "images.tiers.0")
    assert (found.state, found.facts["why"]) == (
        "unbelieved",
        "another copy is current",
    )


def test_what_other_processes_do_is_told() -> None:
    """Who fetches, who waits for it, and who writes."""
    board = Board()
    stack, tier = shared(board)
    assert "under way" not in at(named(stack), "images.tiers.1").facts

    tier.lease(KEY, 5.0)
    said = at(named(stack), "images.tiers.1").facts["under way"]
    assert said == "a fetch, for 5.0 s more"
    tier.lease(KEY, 5.0)
    said = at(named(stack), "images.tiers.1").facts["under way"]
    assert said == "a fetch, which others wait for, for 5.0 s more"

    claim = tier.begin(KEY, SECONDS)
    said = at(named(stack), "images.tiers.1").facts["under way"]
    assert said == "a write, for 60.0 s more"
    tier.end(claim, None)
    assert "under way" not in at(named(stack), "images.tiers.1").facts


def test_a_torn_feed_is_told() -> None:
    """While it is, memory keeps nothing."""
    stack, tier = shared(Board())
    assert at(named(stack), "images.tiers.1").facts["feed"] == "online"

    tier.tear()

    assert at(named(stack), "images.tiers.1").facts["feed"] == "torn"


def test_a_tier_that_was_still_connecting_is_asked_again() -> None:
    """Whoever asks first brings the connection about, and may be too early for it."""
    board = Board()
    stack, tier = shared(board)
    stack.get(KEY)
    early = ["before"]
    tier.fate = lambda step: early.pop() if step == "look" and early else None
    assert states(named(stack))["images.tiers.1"] == "held"
    assert not early

    tier.tear()  # and does not come back
    early.append("before")
    assert states(named(stack))["images.tiers.1"] == "failed"


# -- Redis ---------------------------------------------------------------------


@pytest.fixture
def tiers(redis_server: RedisServer) -> Iterator[Callable[[], RedisTier]]:
    """Make tiers that share a prefix, and close them."""
    prefix = f"{uuid.uuid4().hex}:"
    made = []

    def make() -> RedisTier:
        made.append(RedisTier(redis_server.url, prefix=prefix, timeout=5.0))
        return made[-1]

    yield make
    for tier in made:
        tier.close()


@pytest.mark.servers
def test_redis_tells_who_fetches_and_who_writes(
    tiers: Callable[[], RedisTier],
) -> None:
    """For as long as the lease or the claim lasts."""
    tier = tiers()
    assert tier.under_way(KEY) is None
    assert tier.lease(KEY, SECONDS).state == "own"
    going = tier.under_way(KEY)
    assert going is not None
    assert (going.what, going.waited_for) == ("fetch", False)
    assert SECONDS / 2 < going.seconds <= SECONDS
    tier.lease(KEY, SECONDS)
    going = tier.under_way(KEY)
    assert going is not None
    assert going.waited_for

    one, two = tier.begin(KEY, SECONDS), tier.begin(KEY, SECONDS)
    going = tier.under_way(KEY)
    assert going is not None
    assert (going.what, going.waited_for) == ("write", False)
    tier.end(one, None)
    assert tier.under_way(KEY) is not None
    tier.end(two, None)
    assert tier.under_way(KEY) is None


@pytest.mark.servers
def test_what_redis_kept_over_a_restart_is_told(
    tiers: Callable[[], RedisTier], redis_server: RedisServer
) -> None:
    """A copy of another epoch is there and is not served; looking leaves it there."""
    writer, tier = tiers(), tiers()
    leased = writer.lease(KEY, SECONDS)
    assert writer.fill(KEY, leased.token, entry(b"copy"))
    stored = f"{tier.prefix}{{:{object_name(KEY)}}}"
    redis_server.ask("SET", f"{tier.prefix}mark", "another epoch")

    explained = named(CachedStore(full(), [tier]))

    found = at(explained, "images.tiers.0")
    assert (found.state, found.facts["feed"]) == ("unbelieved", "online")
    assert "before a restart" in found.facts["why"]
    assert redis_server.ask("EXISTS", stored) == 1


@pytest.mark.servers
def test_looking_delivers_no_purge(
    tiers: Callable[[], RedisTier], redis_server: RedisServer, tmp_path: Path
) -> None:
    """What an earlier process could not drop is what somebody wants to see."""
    writer = tiers()
    leased = writer.lease(KEY, SECONDS)
    assert writer.fill(KEY, leased.token, entry(b"copy"))
    journal = SQLiteJournal(str(tmp_path / "purges.sqlite"))
    journal.begin(KEY, {"cache": "delete"})
    stack = CachedStore(full(), [MemoryTier(), tiers()], journal=journal)

    for _ in range(2):  # the second with a feed that is online
        explained = named(stack)
        assert states(explained)["images.tiers.1"] == "unbelieved"
        assert at(explained, "images.tiers.1").facts["feed"] == "online"
    assert writer.look(KEY).entry is not None
    assert journal.rows(KEY)

    with pytest.raises(FileNotFoundError):  # who reads does, whatever they read
        stack.get(KEY._replace(object_id=9))
    until(lambda: writer.look(KEY).entry is None)
    stack.close()


# -- the command -----------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Write the configuration that every command finds."""

    def write(text: str) -> Path:
        path = tmp_path / "stack.yaml"
        path.write_text(textwrap.dedent(text).replace("FOLDER", str(tmp_path)))
        return path

    monkeypatch.setenv("TIERED_STORE_CONFIG", str(tmp_path / "stack.yaml"))
    return write


def told(*words: str) -> tuple[int, str]:
    """Return status and output of the command, run in a process of its own."""
    command = [sys.executable, "-m", "tiered_store", "explain", NAME, *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ran.stderr == ""
    return ran.returncode, ran.stdout


IN_FRONT = """
version: 1
stores:
  images:
    type: cached
    tiers:
      - {{type: memory, ttl: 60s}}
      - {{type: redis, url: "{url}", ttl: 1d, timeout: 20s, connect_timeout: 20s}}
    origin: {{type: filesystem, path: FOLDER/images, base_url: "http://cdn/"}}
"""


def test_absence_and_ignorance_have_statuses_of_their_own(
    written: Callable[[str], Path], tmp_path: Path
) -> None:
    """0: it is somewhere; 3: it is nowhere; 1: nobody knows, for something failed."""
    written(
        """
        version: 1
        stores:
          images: {type: filesystem, path: FOLDER/images, base_url: "http://cdn/"}
        """
    )
    status, said = told()
    assert status == 1
    assert f"{NAME}: unknown" in said

    (tmp_path / "images").mkdir()
    status, said = told()
    assert status == 3
    assert f"{NAME}: there is none\nURL: http://cdn/testing/" in said

    file = tmp_path / "x"
    file.write_bytes(b"12345")
    assert main(["put", str(file), NAME]) == 0
    status, said = told()
    assert status == 0
    assert f"{NAME}: there is one" in said


@pytest.mark.servers
def test_a_person_reads_a_table_and_a_program_json(
    written: Callable[[str], Path], tmp_path: Path, redis_server: RedisServer
) -> None:
    """The same places, the same words, and what they mean."""
    (tmp_path / "images").mkdir()
    written(IN_FRONT.format(url=redis_server.url))
    file = tmp_path / "x"
    file.write_bytes(b"12345")
    assert main(["put", str(file), NAME]) == 0
    assert main(["get", NAME, "-o", str(tmp_path / "y")]) == 0

    status, said = told()
    assert status == 0
    lines = said.splitlines()
    assert "Place" in lines[0]
    line = next(line for line in lines if line.startswith("images.tiers.1"))
    assert "held" in line
    assert " 5 " in line
    assert "missing: no copy, which says nothing" in lines
    assert "stale" not in said

    status, said = told("--json")
    found: Mapping[str, Any] = json.loads(said)
    assert (status, found["name"], found["answer"]) == (0, NAME, "held")
    assert found["url"].startswith("http://cdn/")
    places = {place["place"]: place for place in found["places"]}
    assert list(places) == ["images.tiers.0", "images.tiers.1", "images.origin"]
    assert places["images.tiers.1"]["size"] == 5
    assert places["images.tiers.1"]["facts"]["feed"] == "online"
    assert places["images.origin"]["version"] == places["images.tiers.1"]["version"]
    main(["rm", NAME])


@pytest.mark.servers
def test_a_redis_that_is_frozen_or_gone_keeps_nobody(
    written: Callable[[str], Path], tmp_path: Path, redis_servers: RedisServers
) -> None:
    """It is told so, and the command ends; in half a minute or the test fails."""
    server = redis_servers()
    (tmp_path / "images").mkdir()
    written(IN_FRONT.format(url=server.url))

    server.process.freeze()
    status, said = told()
    server.process.thaw()
    assert status == 3
    assert "failed: it could not say" in said
    assert "images.origin" in said

    server.process.kill()
    status, said = told()
    assert status == 3
    assert "failed: it could not say" in said


def test_a_url_that_there_is_not_is_told(written: Callable[[str], Path]) -> None:
    """With the reason, since the reader of a page sees no picture."""
    written("{version: 1, stores: {images: {type: memory}}}")

    status, said = told()

    assert status == 3
    assert "URL: none; " in said
    assert "base_url" in said
    assert json.loads(told("--json")[1])["url"] is None


@pytest.mark.parametrize("seconds", ["soon", "0s", "-1s"])
def test_a_time_that_is_none_is_wrong_usage(
    seconds: str, written: Callable[[str], Path]
) -> None:
    """Nothing is asked then."""
    written("{version: 1, stores: {images: {type: memory}}}")

    assert main(["explain", NAME, "--timeout", seconds]) == 2
