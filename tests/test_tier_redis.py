"""Copies that processes share in Redis: leases, claims, and what is believed."""

from __future__ import annotations

import itertools
import uuid

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redis import Redis

from tests.servers.redis import (
    ClusterSetup,
    RedisServer,
    RedisServers,
    SentinelSetup,
)
from tests.thorough import TIMES
from tests.tiers import absence, content, entry, interleavings
from tests.waiting import longer_and_longer, until
from tiered_store.errors import (
    ConfigError,
)
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.testing.clock import FakeClock
from tiered_store.tiers.header import HEADER_SIZE
from tiered_store.tiers.redis import RedisTier
from tiered_store.tiers.tier import Record


pytestmark = pytest.mark.servers

KEY = Key("testing", 1234, 405, 640, "image/jpeg")
OLD, NEW = b"old" * 1000, b"new" * 1000
SECONDS = 60.0

Tiers = Callable[..., RedisTier]


@pytest.fixture
def tiers(redis_server: RedisServer) -> Iterator[Tiers]:
    """Make tiers that share their copies, with each other and with no other test."""
    with_prefix = {"prefix": f"{uuid.uuid4().hex}:"}
    made: list[RedisTier] = []

    def make(url: str | None = redis_server.url, **options: Any) -> RedisTier:
        made.append(RedisTier(url, **{**with_prefix, "timeout": 5.0, **options}))
        return made[-1]

    yield make
    for tier in made:
        tier.close()


@pytest.fixture
def tier(tiers: Tiers) -> RedisTier:
    return tiers()


@pytest.fixture
def other(tiers: Tiers) -> RedisTier:
    """Another process, as far as the server can tell."""
    return tiers()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    with redis_server.client() as client:
        yield client


@pytest.fixture
def own(redis_servers: RedisServers) -> RedisServer:
    """A server that a test may harm."""
    return redis_servers()


def data(tier: RedisTier, key: Key = KEY) -> str:
    """Return where the server has the copy of *key*."""
    return f"{tier.prefix}{{:{object_name(key)}}}"


def lease(tier: RedisTier, key: Key = KEY) -> str:
    """Return where it has who fills or writes."""
    return data(tier, key) + "l"


def fill(tier: RedisTier, bytes_: bytes = OLD, key: Key = KEY, **facts: Any) -> None:
    """Make *bytes_* the current copy."""
    leased = tier.lease(key, SECONDS, refresh=True)
    assert leased.state == "own"
    assert tier.fill(key, leased.token, entry(bytes_, **facts))


# -- a copy --------------------------------------------------------------------


@pytest.fixture(params=["standalone", "sentinel", "cluster"])
def pair(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    sentinel_setup: SentinelSetup,
    cluster_setup: ClusterSetup,
) -> Iterator[tuple[RedisTier, RedisTier]]:
    """Two processes that share a server, a Sentinel service or a Cluster."""
    options: dict[str, Any] = {"prefix": f"{uuid.uuid4().hex}:", "timeout": 5.0}
    where: dict[str, dict[str, Any]] = {
        "standalone": {"url": redis_server.url},
        "sentinel": {
            "mode": "sentinel",
            "sentinels": sentinel_setup.addresses,
            "service": sentinel_setup.service,
        },
        "cluster": {"mode": "cluster", "url": cluster_setup.url},
    }
    options |= where[request.param]
    one, two = RedisTier(**options), RedisTier(**options)
    yield one, two
    one.close()
    two.close()


def test_what_one_process_fills_the_others_find(
    pair: tuple[RedisTier, RedisTier],
) -> None:
    """Bytes, absence, and what is known of them."""
    one, two = pair
    for number in range(12):  # which in a Cluster are in different places
        key = KEY._replace(object_id=number)
        assert two.look(key).entry is None
        leased = one.lease(key, SECONDS)
        assert leased.state == "own"
        copy = entry(OLD, cost=0.25, identity=number + 1, fresh_until=2e9)
        assert one.fill(key, leased.token, copy)

        found = two.look(key).entry

        assert found is not None
        assert found.record == copy.record
        assert content(found) == OLD
        assert two.look(key, body=False).entry == type(found)(copy.record, None)
        assert two.current(key, number + 1)
        assert not two.current(key, number + 2)

        fill(one, key=key)
        leased = one.lease(key, SECONDS, refresh=True)
        assert one.fill(key, leased.token, absence())
        gone = two.look(key).entry
        assert gone is not None
        assert gone.record.absent
        assert gone.whole


def test_who_writes_drops_the_copy_and_dooms_who_fetches(
    pair: tuple[RedisTier, RedisTier],
) -> None:
    """The race that every other cache loses: a slow fill against a put."""
    one, two = pair
    slow = two.lease(KEY, SECONDS)

    claim = one.begin(KEY, SECONDS)
    assert two.lease(KEY, SECONDS).state == "writing"
    assert not two.fill(KEY, slow.token, entry(OLD))
    assert two.look(KEY).entry is None
    assert one.end(claim, entry(NEW))

    assert content(two.look(KEY)) == NEW
    assert not two.fill(KEY, slow.token, entry(OLD))
    assert content(two.look(KEY)) == NEW
    two.delete(KEY)
    assert one.look(KEY).entry is None


def test_the_first_commands_need_no_script_to_be_there(
    pair: tuple[RedisTier, RedisTier], request: pytest.FixtureRequest
) -> None:
    """A server that was restarted has forgotten every script."""
    one, _ = pair
    fill(one)
    for server in (
        request.getfixturevalue("redis_server"),
        request.getfixturevalue("sentinel_setup").master,
        *request.getfixturevalue("cluster_setup").nodes,
    ):
        server.ask("SCRIPT", "FLUSH")

    claim = one.begin(KEY, SECONDS)

    assert one.end(claim, entry(NEW))
    assert content(one.look(KEY)) == NEW


def test_a_hit_is_one_command(own: RedisServer, tiers: Tiers) -> None:
    """And the header alone moves no body."""
    tier = tiers(own.url)
    big = bytes(1_000_000)
    fill(tier, big)
    until(lambda: tier.online)
    own.ask("CONFIG", "RESETSTAT")

    for _ in range(5):
        assert content(tier.look(KEY)) == big
    before = own.client().info("stats")["total_net_output_bytes"]
    for _ in range(5):
        assert tier.look(KEY, body=False).entry
    after = own.client().info("stats")["total_net_output_bytes"]

    assert own.client().info("commandstats")["cmdstat_hmget"]["calls"] == 10
    assert after - before < 100_000


def test_bytes_pass_through_no_script(own: RedisServer, tiers: Tiers) -> None:
    """Each would hold up the whole server; a script sees some hundred bytes."""
    tier = tiers(own.url)
    with own.client() as client, client.monitor() as monitor:
        fill(tier, bytes(300_000))
        claim = tier.begin(KEY, SECONDS)
        tier.end(claim, entry(bytes(300_000)))
        client.echo("over")
        seen = list(
            itertools.takewhile(
                lambda command: not command["command"].startswith("ECHO"),
                monitor.listen(),
            )
        )

    scripts = [shown for shown in seen if shown["command"].startswith("EVAL")]
    assert len(scripts) >= 4
    assert max(len(shown["command"]) for shown in scripts) < 5000
    assert max(len(shown["command"]) for shown in seen) > 300_000


def test_names_are_for_people_and_for_one_place(client: Redis, tiers: Tiers) -> None:
    """All that belongs to an object is in one slot, whatever its name; no two share."""
    tier = tiers()
    kinds = ["plain", "}", "{", "{}", "}{", "a{b}c", "a}l", "{}l", "a/b"]
    for kind in kinds:
        fill(tier, kind.encode(), KEY._replace(object_type=kind))

    for kind in kinds:
        key = KEY._replace(object_type=kind)
        assert content(tier.look(key)) == kind.encode()
        assert client.exists(data(tier, key))
        tag = data(tier, key).partition("{")[2].partition("}")[0]
        assert tag
        assert data(tier, key).index("}") < len(data(tier, key))
    for key in client.keys(tier.prefix + "{*"):
        assert client.type(key) == b"hash"
        assert sorted(client.hgetall(key)) == [b"d", b"h"]


def test_a_prefix_has_no_braces() -> None:
    """They would place names in a Cluster, at worst those of one object apart."""
    with pytest.raises(ConfigError, match="prefix: must have no braces"):
        RedisTier("redis://x", prefix="images{}:")


def test_two_prefixes_are_two_caches(tiers: Tiers) -> None:
    """Neither sees, drops or forgets what the other has."""
    one, two = tiers(), tiers(prefix=f"{uuid.uuid4().hex}:")
    fill(one)

    two.delete(KEY)
    two.clear()

    assert two.look(KEY).entry is None
    assert content(one.look(KEY)) == OLD


def test_what_is_too_large_is_a_record(tiers: Tiers) -> None:
    """Other tiers may keep the bytes under its identity."""
    tier = tiers(max_object=10)
    fill(tier, b"0123456789")
    assert content(tier.look(KEY)) == b"0123456789"

    fill(tier, b"0123456789!", identity=7)

    found = tier.look(KEY).entry
    assert found is not None
    assert found.body is None
    assert not found.whole
    assert found.record.size == 11
    assert tier.current(KEY, 7)
    assert tier.get(KEY) is None


def test_a_record_that_comes_without_bytes_is_stored_as_one(tier: RedisTier) -> None:
    """Somebody else has them."""
    leased = tier.lease(KEY, SECONDS)
    bare = type(entry(b""))(Record(since=1.0, size=5, identity=3), None)

    assert tier.fill(KEY, leased.token, bare)

    assert tier.look(KEY).entry == bare


def test_copies_end(client: Redis, tiers: Tiers) -> None:
    """After ttl, and the grace in which a copy is better than an error."""
    clock = FakeClock()
    tier = tiers(ttl=30.0, jitter=0.0, clock=clock)
    tier.grace = 15.0
    fill(tier)
    assert 31_000 < client.pttl(data(tier)) <= 45_000
    found = tier.look(KEY).entry
    assert found is not None
    assert found.record.fresh_until == pytest.approx(clock.time() + 30)

    fill(tier, fresh_until=clock.time() + 5)
    assert 6_000 < client.pttl(data(tier)) <= 20_000

    claim = tier.begin(KEY, SECONDS)
    tier.end(claim, absence())
    assert 31_000 < client.pttl(data(tier)) <= 45_000

    lasting = tiers()
    fill(lasting)
    assert client.pttl(data(lasting)) == -1


def test_jitter_keeps_copies_from_ending_together(client: Redis, tiers: Tiers) -> None:
    """Made at once, they are fetched again one after the other."""
    tier = tiers(ttl=1000.0, jitter=0.5)
    keys = [KEY._replace(object_id=number) for number in range(20)]
    for key in keys:
        fill(tier, key=key)

    ends = [client.pttl(data(tier, key)) for key in keys]

    assert max(ends) - min(ends) > 50_000
    assert min(ends) > 490_000


def test_what_is_good_for_no_time_is_not_kept(tiers: Tiers) -> None:
    """And nobody is kept waiting for it, nor is the old copy kept by a write."""
    clock = FakeClock()
    tier = tiers(clock=clock)
    leased = tier.lease(KEY, SECONDS)
    assert not tier.fill(KEY, leased.token, entry(OLD, fresh_until=clock.time()))
    assert tier.lease(KEY, SECONDS).state == "own"

    fill_again = tier.begin(KEY, SECONDS)
    assert not tier.end(fill_again, entry(NEW, fresh_until=clock.time() - 1))
    assert tier.look(KEY).entry is None
    assert tier.lease(KEY, SECONDS).state == "own"


def test_it_is_a_plain_tier_too(tier: RedisTier) -> None:
    """Put, get and delete are what they are anywhere."""
    assert tier.put(KEY, entry(OLD))
    assert content(tier.get(KEY)) == OLD
    assert not tier.put(KEY, entry(NEW), allowed=lambda: False)
    assert tier.lease(KEY, SECONDS).state == "hit"  # nobody was left waiting
    tier.delete(KEY)
    assert tier.get(KEY) is None


# -- what is not believed ------------------------------------------------------


def _heals(tier: RedisTier) -> None:
    """What is stored is no copy; who may fetch drops it, and then all is well."""
    looked = tier.look(KEY)
    assert looked.entry is None
    leased = tier.lease(KEY, SECONDS, rejected=looked.rejected)
    assert leased.state == "own"
    assert tier.fill(KEY, leased.token, entry(NEW))
    assert content(tier.look(KEY)) == NEW


@pytest.mark.parametrize("at", range(HEADER_SIZE))
def test_a_flipped_byte_of_the_header_heals(
    tier: RedisTier, client: Redis, at: int
) -> None:
    """Every one of them is checked, those that mean nothing as well."""
    fill(tier)
    stored = client.hget(data(tier), "h")
    flipped = stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :]
    client.hset(data(tier), "h", flipped)

    assert tier.look(KEY, body=False).rejected == flipped
    _heals(tier)


@pytest.mark.parametrize("at", [0, 1, 1500, 2999])
def test_a_flipped_byte_of_the_body_heals(
    tier: RedisTier, client: Redis, at: int
) -> None:
    """What is served was stored so."""
    fill(tier)
    flipped = OLD[:at] + bytes([OLD[at] ^ 1]) + OLD[at + 1 :]
    client.hset(data(tier), "d", flipped)

    _heals(tier)


@pytest.mark.parametrize("field", ["h", "d"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda stored: b"",
        lambda stored: stored[:1],
        lambda stored: stored[:-1],
        lambda stored: stored + b"x",
        lambda stored: stored * 2,
        lambda stored: b"TSc1" + stored[4:],
        lambda stored: b"\x80\x04\x95 a pickle, say, that nobody loads",
    ],
)
def test_what_is_torn_or_foreign_heals(
    tier: RedisTier, client: Redis, field: str, spoil: Callable[[bytes], bytes]
) -> None:
    """Truncated, grown, of another format, or somebody else's."""
    fill(tier)
    client.hset(data(tier), field, spoil(client.hget(data(tier), field)))

    _heals(tier)


@pytest.mark.parametrize(
    "plant",
    [
        lambda client, name: client.set(name, b"a string"),
        lambda client, name: client.rpush(name, b"a list"),
        lambda client, name: client.hset(name, "other", b"a hash"),
        lambda client, name: client.hset(name, "d", b"bytes without a header"),
        lambda client, name: client.hdel(name, "d"),
        lambda client, name: client.hdel(name, "h"),
    ],
)
def test_a_value_of_another_kind_heals(
    tier: RedisTier, client: Redis, plant: Callable[[Redis, str], None]
) -> None:
    """It is no error for anybody, and no reason to ask the server no more."""
    fill(tier)
    if plant.__code__.co_names[0] != "hdel":
        client.delete(data(tier))
    plant(client, data(tier))

    _heals(tier)


@pytest.mark.parametrize(
    "garbage",
    [b"", b"F", b"F zz", b"W", b"X", b"F:0123!", b"nonsense", b"F 12 34", None],
)
def test_garbage_for_a_lease_is_none(
    tier: RedisTier, client: Redis, garbage: bytes | None
) -> None:
    """It never ends by itself, so it must be in nobody's way."""
    for call in (
        lambda: fill(tier),
        lambda: tier.begin(KEY, SECONDS),
        lambda: tier.delete(KEY),
    ):
        client.delete(lease(tier))
        if garbage is None:
            client.rpush(lease(tier), b"a list")
        else:
            client.set(lease(tier), garbage)
        call()
    assert tier.lease(KEY, SECONDS).state == "own"


def test_another_objects_copy_is_none(tier: RedisTier, client: Redis) -> None:
    """A whole copy under the wrong name was not stored there."""
    elsewhere = KEY._replace(object_id=1)
    fill(tier, key=elsewhere)
    client.rename(data(tier, elsewhere), data(tier))

    _heals(tier)


def test_two_copies_in_one_are_none(tier: RedisTier, client: Redis) -> None:
    """The header of one before the bytes of another, of the same size."""
    fill(tier, NEW)
    of_new = client.hget(data(tier), "h")
    fill(tier, OLD)
    client.hset(data(tier), "h", of_new)

    _heals(tier)


def test_a_copy_that_lies_about_its_size_is_none(tier: RedisTier) -> None:
    """Whoever believes a record must find as many bytes as it says."""
    leased = tier.lease(KEY, SECONDS)
    lying = type(entry(b""))(Record(since=1.0, size=5), entry(b"four").body)

    assert tier.fill(KEY, leased.token, lying)

    _heals(tier)


def test_only_what_was_rejected_is_dropped(tier: RedisTier, other: RedisTier) -> None:
    """Meanwhile somebody may have put right what was wrong."""
    fill(tier)
    seen = b"what it was before"

    assert other.lease(KEY, SECONDS, rejected=seen).state == "hit"

    assert content(tier.look(KEY)) == OLD


# -- leases --------------------------------------------------------------------


def test_one_fetches_and_the_others_wait(
    tier: RedisTier, other: RedisTier, client: Redis
) -> None:
    """And they know for whom."""
    own = tier.lease(KEY, SECONDS)
    waits = [other.lease(KEY, SECONDS) for _ in range(3)]

    assert own.state == "own"
    assert {leased.state for leased in waits} == {"wait"}
    assert {leased.token for leased in waits} == {own.token[-16:]}
    assert 30_000 < client.pttl(lease(tier)) <= 60_000  # waiting makes it no longer
    assert tier.fill(KEY, own.token, entry(OLD))
    assert other.lease(KEY, SECONDS).state == "hit"


def test_a_refresh_is_a_lease_although_there_is_a_copy(
    tier: RedisTier, other: RedisTier
) -> None:
    """One at a time, like any fetch; the old copy stays until there is a new one."""
    fill(tier)

    own = tier.lease(KEY, SECONDS, refresh=True)

    assert own.state == "own"
    assert other.lease(KEY, SECONDS, refresh=True).state == "wait"
    assert other.lease(KEY, SECONDS).state == "hit"
    assert content(other.look(KEY)) == OLD
    assert tier.fill(KEY, own.token, entry(NEW))
    assert content(other.look(KEY)) == NEW


def test_a_refresh_is_doomed_by_a_write_as_well(
    tier: RedisTier, other: RedisTier
) -> None:
    """It began before."""
    fill(tier)
    own = tier.lease(KEY, SECONDS, refresh=True)
    claim = other.begin(KEY, SECONDS)
    assert other.lease(KEY, SECONDS, refresh=True).state == "writing"
    other.end(claim, None)

    assert not tier.fill(KEY, own.token, entry(OLD))
    assert other.look(KEY).entry is None


def test_a_lease_ends(tier: RedisTier, other: RedisTier, client: Redis) -> None:
    """Who died while fetching is replaced, and comes too late if it lives."""
    late = tier.lease(KEY, 0.05)
    until(lambda: not client.exists(lease(tier)))

    own = other.lease(KEY, SECONDS)

    assert own.state == "own"
    assert not tier.fill(KEY, late.token, entry(OLD))
    assert other.fill(KEY, own.token, entry(NEW))
    assert not tier.fill(KEY, late.token, entry(OLD))
    assert content(tier.look(KEY)) == NEW


def test_a_fill_without_a_lease_leaves_nothing_behind(
    tier: RedisTier, client: Redis
) -> None:
    """What was sent for it is gone too."""
    leased = tier.lease(KEY, SECONDS)
    client.delete(lease(tier))

    assert not tier.fill(KEY, leased.token, entry(OLD))

    assert client.keys(tier.prefix + "{*") == []


def test_what_was_sent_does_not_stay(tier: RedisTier, client: Redis) -> None:
    """A process may die between sending it and saying what it is."""
    leased = tier.lease(KEY, SECONDS)
    staged = f"{data(tier)}s{leased.token[-16:]}"
    offer = tier._offer(object_name(KEY), 1, leased.token[-16:], entry(OLD))
    assert offer is not None

    tier._server.ask(staged, *offer.sent)

    assert client.hget(staged, "d") == OLD
    assert 0 < client.pttl(staged) <= 60_000


def test_what_was_lost_before_it_was_a_copy_is_a_failed_fetch(
    tier: RedisTier, other: RedisTier, client: Redis
) -> None:
    """Evicted, or too late: nothing is kept, and nobody waits for it."""
    leased = tier.lease(KEY, SECONDS)
    offer = tier._offer(object_name(KEY), 1, leased.token[-16:], entry(OLD))
    assert offer is not None
    half = type(offer)(offer.words, offer.sent[:2])
    tier._offer = lambda *args: half  # type: ignore[method-assign]

    assert not tier.fill(KEY, leased.token, entry(OLD))

    assert other.look(KEY).entry is None
    assert other.lease(KEY, SECONDS).state == "own"


def test_who_gives_up_is_replaced(tier: RedisTier, other: RedisTier) -> None:
    """At once, and cannot give up what is another's by now."""
    first = tier.lease(KEY, SECONDS)
    tier.fail(KEY, first.token, absent=False)
    second = other.lease(KEY, SECONDS)
    assert second.state == "own"

    tier.fail(KEY, first.token, absent=False)

    assert tier.lease(KEY, SECONDS).state == "wait"
    assert other.fill(KEY, second.token, entry(OLD))


def test_what_is_dropped_is_not_filled_by_who_fetches(
    tier: RedisTier, other: RedisTier
) -> None:
    """Whoever drops a copy may know of a write that nobody else does."""
    slow = other.lease(KEY, SECONDS)
    tier.delete(KEY)

    assert not other.fill(KEY, slow.token, entry(OLD))
    assert other.lease(KEY, SECONDS).state == "own"


def test_a_lease_asked_for_twice_is_one(tier: RedisTier, client: Redis) -> None:
    """A connection that was closed meanwhile is replaced, and the question repeated."""
    tier.lease(KEY, SECONDS)
    token = client.get(lease(tier))[2:].decode()
    keys = tier._keys(object_name(KEY), token)
    from tiered_store.tiers.redis.scripts import LEASE

    (said,), _ = tier._server.run(LEASE, keys, (token, 60_000, "", b""))

    assert said == b"own"


# -- claims --------------------------------------------------------------------


def test_a_write_alone_publishes(tier: RedisTier, other: RedisTier) -> None:
    """What it wrote, or that there is nothing any more."""
    claim = tier.begin(KEY, SECONDS)
    assert tier.end(claim, entry(NEW))
    assert content(other.look(KEY)) == NEW

    claim = tier.begin(KEY, SECONDS)
    assert tier.end(claim, absence())
    gone = other.look(KEY).entry
    assert gone is not None
    assert gone.record.absent

    claim = tier.begin(KEY, SECONDS)
    assert not tier.end(claim, None)
    assert other.look(KEY).entry is None


def test_a_writer_that_dies_keeps_everybody_from_filling(
    tier: RedisTier, other: RedisTier, client: Redis
) -> None:
    """Its effect may come late; until its claim ends nothing is kept."""
    tier.begin(KEY, SECONDS)
    assert other.lease(KEY, SECONDS).state == "writing"
    assert 30_000 < client.pttl(lease(tier)) <= 60_000

    tier.delete(KEY)  # which is no write
    assert other.lease(KEY, SECONDS).state == "writing"

    tier.begin(KEY, 0.05)
    client.pexpire(lease(tier), 1)
    until(lambda: other.lease(KEY, SECONDS).state == "own")


def test_another_writers_end_does_not_end_it(
    tier: RedisTier, other: RedisTier, client: Redis
) -> None:
    """One died while another wrote: the first one's effect may still come."""
    tier.begin(KEY, SECONDS)
    claim = other.begin(KEY, SECONDS)

    assert not other.end(claim, entry(NEW))

    assert other.lease(KEY, SECONDS).state == "writing"
    assert 30_000 < client.pttl(lease(tier)) <= 60_000


def test_a_claim_ends_in_its_own_time(
    tier: RedisTier, other: RedisTier, client: Redis
) -> None:
    """However many others write meanwhile, a dead one is not kept alive by them."""
    for seconds in longer_and_longer(0.2):
        tier.begin(KEY, seconds)
        for _ in range(3):
            other.end(other.begin(KEY, SECONDS), None)
        left = client.pttl(lease(tier))
        if other.lease(KEY, SECONDS).state == "writing":
            break
    assert 0 < left <= 1000 * seconds

    until(lambda: other.lease(KEY, SECONDS).state == "own")
    tier.begin(KEY, 0.001)
    until(lambda: not client.exists(lease(tier)))
    long = other.begin(KEY, SECONDS)
    tier.begin(KEY, 0.001)
    assert client.pttl(lease(tier)) > 30_000
    begun = client.time()
    until(lambda: client.time() > (begun[0], begun[1] + 5000))
    other.end(long, None)
    assert other.lease(KEY, SECONDS).state == "own"


def test_a_write_that_may_still_land_leaves_its_claim(
    tier: RedisTier, other: RedisTier, client: Redis
) -> None:
    """For its whole time, from when it was left."""
    claim = tier.begin(KEY, SECONDS)
    client.pexpire(lease(tier), 1)
    until(lambda: not client.exists(lease(tier)))
    fill(other, OLD)

    tier.leave(claim)

    assert other.look(KEY).entry is None
    assert other.lease(KEY, SECONDS).state == "writing"
    assert 30_000 < client.pttl(lease(tier)) <= 60_000
    other.end(other.begin(KEY, SECONDS), entry(NEW))
    assert other.look(KEY).entry is None
    assert other.lease(KEY, SECONDS).state == "writing"


def test_an_end_that_comes_late_drops_whatever_is_there(
    tier: RedisTier, other: RedisTier, client: Redis
) -> None:
    """The claim had ended, somebody filled; what with, nobody can tell."""
    claim = tier.begin(KEY, 0.01)
    until(lambda: not client.exists(lease(tier)))
    fill(other, OLD)

    assert not tier.end(claim, entry(NEW))

    assert client.keys(tier.prefix + "{*") == []  # nor anything else of it
    slow = other.lease(KEY, SECONDS)
    assert slow.state == "own"
    assert not tier.end(claim, entry(NEW))
    assert not other.fill(KEY, slow.token, entry(OLD))


def test_an_end_that_comes_late_keeps_another_writer_from_publishing(
    tier: RedisTier, other: RedisTier, client: Redis
) -> None:
    """They overlapped, and who was last is unknown."""
    late = tier.begin(KEY, SECONDS)
    client.delete(lease(tier))
    claim = other.begin(KEY, SECONDS)

    assert not tier.end(late, entry(OLD))
    assert not other.end(claim, entry(NEW))

    assert other.look(KEY).entry is None
    assert other.lease(KEY, SECONDS).state == "own"


def test_each_change_may_be_sent_twice(tier: RedisTier, other: RedisTier) -> None:
    """A connection that was closed while it was idle is replaced unnoticed."""
    ask = tier._server.run

    def twice(*args: Any) -> Any:
        ask(*args)
        return ask(*args)

    tier._server.run = twice  # type: ignore[method-assign]
    leased = tier.lease(KEY, SECONDS)
    assert leased.state == "own"
    tier.fill(KEY, leased.token, entry(OLD))
    assert content(other.look(KEY)) == OLD

    claim = tier.begin(KEY, SECONDS)
    assert other.lease(KEY, SECONDS).state == "writing"
    tier.end(claim, entry(NEW))  # which may drop what it published, at worst
    assert content(other.look(KEY)) in {NEW, None}
    assert other.lease(KEY, SECONDS).state in {"own", "hit"}


# -- every order of things -----------------------------------------------------


class World:
    """An origin, and what processes do to it and to their caches, step by step."""

    numbers = itertools.count(100_000)

    def __init__(self, tier: RedisTier, client: Redis) -> None:
        self.tier = tier
        self.client = client
        self.key = KEY._replace(object_id=next(self.numbers))
        self.origin = b"first"
        self.claims: dict[str, Any] = {}
        self.leases: dict[str, str] = {}
        self.fetched: dict[str, bytes] = {}
        self.writing: set[str] = set()
        fill(tier, self.origin, self.key)

    def do(self, step: str) -> None:
        """Take *step*, such as ``A.begin``; check what readers see after it."""
        actor, _, what = step.partition(".")
        getattr(self, f"_{what}")(actor)
        if not self.writing:
            assert content(self.tier.look(self.key)) in {None, self.origin}

    def _begin(self, actor: str) -> None:
        self.claims[actor] = self.tier.begin(self.key, SECONDS)
        self.writing.add(actor)

    def _land(self, actor: str) -> None:
        self.origin = actor.encode()

    def _end(self, actor: str) -> None:
        self.tier.end(self.claims[actor], entry(actor.encode()))
        self.writing.discard(actor)

    def _leave(self, actor: str) -> None:
        self.tier.leave(self.claims[actor])

    def _lease(self, actor: str) -> None:
        leased = self.tier.lease(self.key, SECONDS, refresh=True)
        self.leases[actor] = leased.token if leased.state == "own" else ""

    def _fetch(self, actor: str) -> None:
        self.fetched[actor] = self.origin

    def _fill(self, actor: str) -> None:
        if self.leases[actor]:
            fetched = entry(self.fetched[actor])
            self.tier.fill(self.key, self.leases[actor], fetched)

    def _evict(self, actor: str) -> None:
        """Lose a key of the server's, as one without memory does."""
        suffix = {"copy": "", "lease": "l"}[actor]
        self.client.delete(data(self.tier, self.key) + suffix)

    def ends_well(self) -> None:
        """Nothing old is there, and a reader may fill unless a claim is left."""
        assert content(self.tier.look(self.key)) in {None, self.origin}
        leased = self.tier.lease(self.key, SECONDS)
        if not self.writing:
            assert leased.state in {"own", "hit", "wait"}
        if leased.state == "own":
            self.tier.fill(self.key, leased.token, entry(self.origin))
        assert content(self.tier.look(self.key)) in {None, self.origin}


def writes(actor: str) -> tuple[str, ...]:
    return f"{actor}.begin", f"{actor}.land", f"{actor}.end"


def dies(actor: str) -> tuple[str, ...]:
    return f"{actor}.begin", f"{actor}.land"


def leaves(actor: str) -> tuple[str, ...]:
    return f"{actor}.begin", f"{actor}.leave", f"{actor}.land"


def reads(actor: str) -> tuple[str, ...]:
    return f"{actor}.lease", f"{actor}.fetch", f"{actor}.fill"


def _tried(tier: RedisTier, client: Redis, every: int, *actors: tuple[str, ...]) -> int:
    """Try one order of *every* so many; return how many there were."""
    count = 0
    for steps in itertools.islice(interleavings(*actors), 0, None, every):
        world = World(tier, client)
        try:
            for step in steps:
                world.do(step)
            world.ends_well()
        except AssertionError as error:
            raise AssertionError(f"not after {' '.join(steps)}") from error
        count += 1
    return count


@pytest.mark.parametrize(
    ("actors", "orders"),
    [
        ((writes("A"), reads("r")), 20),
        ((writes("A"), reads("r"), reads("s")), 1680),
        ((writes("A"), writes("B"), reads("r")), 1680),
        ((dies("A"), writes("B"), reads("r")), 560),
        ((leaves("A"), writes("B"), reads("r")), 1680),
        ((writes("A"), reads("r"), ("copy.evict",)), 140),
        ((writes("A"), reads("r"), ("lease.evict",)), 140),
        ((writes("A"), writes("B"), ("lease.evict",)), 140),
        ((writes("A"), reads("r"), ("lease.evict", "lease.evict")), 560),
    ],
    ids=[
        "a slow fill",
        "two readers",
        "two writers",
        "a writer dies",
        "a write may land late",
        "a copy is evicted",
        "a lease is evicted",
        "a claim is evicted",
        "leases are evicted",
    ],
)
def test_in_no_order_anything_old_is_left(
    tier: RedisTier, client: Redis, actors: tuple[tuple[str, ...], ...], orders: int
) -> None:
    """Slow fills, writers among each other, dead ones, and keys that are lost."""
    every = 1 if TIMES > 1 else 1 + orders // 500
    tried = _tried(tier, client, every, *actors)
    assert tried == -(-orders // every)
