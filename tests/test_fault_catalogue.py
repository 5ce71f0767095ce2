"""
Two S3 servers as two regions, and what can happen to the first of them.

Each test names the row of the fault catalogue that it is about; docs/faults.md lists
the rows, and says of those that no test is about why.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import threading

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from tests.servers.proxy import Proxy
from tests.servers.s3 import READER, S3Server
from tests.servers.stub import Answer, StubServer
from tests.waiting import longer_and_longer
from tiered_store import dialling
from tiered_store.backends.s3 import S3Store
from tiered_store.body import Body
from tiered_store.deadlines import deadline
from tiered_store.dialling import Names
from tiered_store.errors import (
    CorruptError,
    DeadlineError,
    DeniedError,
    MisconfiguredError,
    NotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tiered_store.events import FellBack, Retried
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.store import Store
from tiered_store.testing.clock import FakeClock
from tiered_store.testing.recording import Recorder
from tiered_store.tree import label, observe
from tiered_store.wrappers.fallback import FallbackStore
from tiered_store.wrappers.replicated import ReplicatedStore
from tiered_store.wrappers.retry import RetryStore
from tiered_store.wrappers.verified import VerifiedStore


pytestmark = pytest.mark.servers

SMALL = random.Random(1).randbytes(50_000)
LARGE = random.Random(2).randbytes(1_500_000)
_numbers = itertools.count(1)


def replicated(regions: dict[str, Store], **options) -> Store:
    return ReplicatedStore(regions, journal=MemoryJournal(), **options)


def fallback(regions: dict[str, Store], **options) -> Store:
    return FallbackStore(regions, write="failover", journal=MemoryJournal(), **options)


KINDS = (replicated, fallback)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request) -> Callable[..., Store]:
    return request.param


@pytest.fixture(scope="module")
def buckets(moto_server: S3Server, seaweed_server: S3Server) -> tuple[str, str]:
    return moto_server.make_bucket(), seaweed_server.make_bucket()


class Regions:
    """``us`` is behind a proxy that breaks, ``eu`` is well."""

    def __init__(
        self,
        us: S3Server,
        eu: S3Server,
        buckets: tuple[str, str],
        context: Any = None,
    ) -> None:
        self.proxy = Proxy(us.ports[0], context)
        self.buckets = buckets
        self.near = us.store(buckets[0], timeout=30)
        self.eu = eu.store(buckets[1], timeout=30)
        self.key = Key("testing", next(_numbers), 1, 1, "image/png")
        self.recorder = Recorder()
        self.stacks: list[Store] = [self.near, self.eu]

    def far(self, **options: Any) -> S3Store:
        """Return *us*, as it is through the proxy."""
        given = {"endpoint_url": self.proxy.url, "timeout": 0.5, **options}
        store = S3Store(
            self.buckets[0], access_key="test-access", secret_key="test-secret", **given
        )
        self.stacks.append(store)
        return store

    def stack(
        self, kind: Callable[..., Store], us: Store | None = None, **options: Any
    ) -> Store:
        regions = {"us": self.far() if us is None else us, "eu": self.eu}
        options.setdefault("breaker", BreakerPolicy(failures=3, open=60))
        store = label(kind(regions, **options), "images")
        observe(store, self.recorder)
        self.stacks.append(store)
        return store

    def put_both(self, content: bytes) -> None:
        for store in (self.near, self.eu):
            store.put(self.key, Body.of(content))

    def close(self) -> None:
        self.proxy.close()
        for store in self.stacks:
            store.close()


@pytest.fixture
def regions(
    moto_server: S3Server, seaweed_server: S3Server, buckets: tuple[str, str]
) -> Iterator[Regions]:
    made = Regions(moto_server, seaweed_server, buckets)
    yield made
    made.close()


def read(store: Store, key: Key) -> bytes:
    with store.get_file(*key) as file:
        return file.read()


def repair(store: Any) -> None:
    """Bring everything up to date; the region that was away has little time."""
    for _ in range(20):
        store.repair()
        if not list(store.pending()):
            return
    raise AssertionError(list(store.pending()))


def refused(regions: Regions) -> None:
    regions.proxy.refuse()


def reset_at_accept(regions: Regions) -> None:
    regions.proxy.reset_at_accept = True


def black_hole(regions: Regions) -> None:
    regions.proxy.black_hole = True


def garbage(regions: Regions) -> None:
    regions.proxy.canned = b"HTP/1.1 OK\r\n\r\n<html>are you lost?</html>"


def page(regions: Regions) -> None:
    body = b"<html>please log in</html>"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    regions.proxy.canned = b"HTTP/1.1 502 Bad\r\n" + head.partition(b"\r\n")[2] + body


DOWN = {
    "row 01 refused": refused,
    "row 02 reset at accept": reset_at_accept,
    "row 05 black hole": black_hole,
    "row 16 garbage": garbage,
    "row 16 a page of HTML": page,
}


@pytest.mark.parametrize("fault", DOWN.values(), ids=DOWN)
def test_nobody_s_call_fails(regions: Regions, kind, fault) -> None:
    """Reads, puts and deletes go on, the first few at the price of a timeout."""
    store = regions.stack(kind)
    regions.put_both(SMALL)
    fault(regions)

    for _ in range(5):
        assert read(store, regions.key) == SMALL
    new = regions.key._replace(width=2)
    for _ in range(4):
        store.put(new, Body.of(b"new"))
    assert read(store, new) == b"new"
    store.delete(regions.key)
    with pytest.raises(NotFoundError):
        store.get(regions.key)

    assert {row.replica for row in store.pending()} == {"us"}
    asked = [event for event in regions.recorder.of(FellBack) if event.verb == "get"]
    assert [event.failed for event in asked[:3]] == ["us"] * 3


@pytest.mark.parametrize("fault", DOWN.values(), ids=DOWN)
def test_it_comes_back_with_everything_it_missed(regions: Regions, kind, fault) -> None:
    """No acknowledged put is lost, and no deleted object returns."""
    store = regions.stack(kind, breaker=None)
    regions.put_both(SMALL)
    fault(regions)
    new = regions.key._replace(width=2)
    store.put(new, Body.of(b"new"))
    store.delete(regions.key)
    regions.proxy.black_hole = regions.proxy.reset_at_accept = False
    regions.proxy.canned = None
    if fault is refused:
        regions.proxy.admit()

    with pytest.raises(NotFoundError):
        store.get(regions.key)
    assert read(store, new) == b"new"
    repair(store)

    assert regions.near.get(new).read() == b"new"
    with pytest.raises(NotFoundError):
        regions.near.get(regions.key)


BREAKS = {
    "row 03 reset": {"cut_answer": 300_000, "harsh": True},
    "row 04 end": {"cut_answer": 300_000},
    "row 07 silence": {"hold_answer": 300_000},
}


@pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)
def test_a_body_that_breaks_goes_on_elsewhere(regions: Regions, kind, fault) -> None:
    """The reader has all of it, from two regions."""
    store = regions.stack(kind)
    regions.put_both(LARGE)
    vars(regions.proxy).update(fault)

    assert read(store, regions.key) == LARGE


@pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)
def test_a_body_that_breaks_is_never_mixed(regions: Regions, kind, fault) -> None:
    """The other region has another version: it is read whole, or not at all."""
    store = regions.stack(kind)
    other = bytes(reversed(LARGE))
    regions.near.put(regions.key, Body.of(LARGE))
    regions.eu.put(regions.key, Body.of(other))
    vars(regions.proxy).update(fault)

    with store.get_file(*regions.key) as file:
        regions.proxy.reset_at_accept = True  # or it would be asked for the rest
        try:
            found = file.read()
        except UnavailableError:
            return
        assert found == other  # a reset came before a byte was handed out


def test_row_06_nobody_answers_the_first_packet(regions: Regions, kind) -> None:
    """A listener whose queue is full drops it; the time to connect bounds that."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        us = regions.far(endpoint_url=f"http://127.0.0.1:{port}", connect_timeout=0.3)
        store = regions.stack(kind, us)
        regions.put_both(SMALL)

        with deadline(20):
            assert read(store, regions.key) == SMALL
        error = regions.recorder.of(FellBack)[0].error
        assert "Connect timeout" in str(error), "it was not let in"
        for one in crowd:
            one.close()


def test_row_08_a_slow_drip_ends_by_the_deadline(regions: Regions, kind) -> None:
    """Bytes that keep coming, too slowly, run into no timeout of a socket."""
    store = regions.stack(kind)
    regions.put_both(LARGE)
    regions.proxy.drip = (1024, 0.02)

    found = None
    for seconds in longer_and_longer(4.0, 16):
        with (
            store.get_file(*regions.key) as file,
            contextlib.suppress(DeadlineError),
            deadline(seconds),
        ):
            found = file.read()  # from eu, which has its share of the time
        if found is not None:
            break
    assert found == LARGE


def test_row_08_a_single_drip_ends_by_the_deadline(regions: Regions) -> None:
    """With nowhere to go on, it is the caller's time that is up."""
    regions.near.put(regions.key, Body.of(LARGE))
    regions.proxy.drip = (1024, 0.02)
    with (
        regions.far(timeout=30).get_file(*regions.key) as file,
        deadline(1.0),
        pytest.raises(DeadlineError),
    ):
        file.read()


def test_row_08_a_drip_is_given_up_without_a_deadline(regions: Regions) -> None:
    """Less than 8 KiB a second for five seconds is as good as nothing."""
    store = regions.stack(fallback)
    regions.put_both(LARGE)
    regions.proxy.drip = (512, 0.25)

    assert read(store, regions.key) == LARGE


def test_row_09_a_thin_line_is_not_given_up(regions: Regions) -> None:
    """Some 40 KiB a second are slow, and enough."""
    regions.near.put(regions.key, Body.of(LARGE[:120_000]))
    regions.proxy.drip = (4096, 0.1)

    assert read(regions.far(timeout=30), regions.key) == LARGE[:120_000]


def test_row_10_latency_is_hedged(regions: Regions) -> None:
    """A reader waits for the quicker of the two."""
    store = regions.stack(fallback, regions.far(timeout=30), hedge_after=0.05)
    regions.put_both(SMALL)
    regions.proxy.latency = 15.0

    with deadline(10):
        assert read(store, regions.key) == SMALL


def test_row_13_what_was_sent_may_have_arrived(regions: Regions, kind) -> None:
    """Requests get through and answers do not: the region has it, and is owed it."""
    store = regions.stack(kind, breaker=None)
    regions.proxy.hold_answer = 0

    store.put(regions.key, Body.of(SMALL))

    assert [row.replica for row in store.pending()] == ["us"]
    assert regions.near.get(regions.key).read() == SMALL, "it did arrive"
    assert read(store, regions.key) == SMALL
    regions.proxy.black_hole = False
    repair(store)
    assert regions.near.get(regions.key).read() == SMALL


@pytest.fixture
def stub() -> Iterator[Callable[..., StubServer]]:
    servers: list[StubServer] = []

    def start(*answers: Answer) -> StubServer:
        servers.append(StubServer({"*": list(answers)}))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"


def test_row_14_a_region_that_asks_to_slow_down_is_passed_over(
    regions: Regions, kind, stub
) -> None:
    """Another one is quicker than waiting."""
    server = stub(Answer(503, SLOW_DOWN, {"Retry-After": "7"}))
    store = regions.stack(kind, regions.far(endpoint_url=server.url))
    regions.eu.put(regions.key, Body.of(SMALL))

    assert read(store, regions.key) == SMALL
    [event] = regions.recorder.of(FellBack)
    assert isinstance(event.error, ThrottledError)
    assert len(server.requests) == 1


def test_row_14_the_only_region_is_given_the_time_it_asks_for(
    regions: Regions, stub
) -> None:
    """At least that, and no more attempts than there may be."""
    server = stub(Answer(503, SLOW_DOWN, {"Retry-After": "7"}))
    clock = FakeClock()
    store = RetryStore(regions.far(endpoint_url=server.url), attempts=3, clock=clock)
    observe(store, regions.recorder)

    with pytest.raises(ThrottledError):
        store.get(regions.key)

    assert [event.wait >= 7 for event in regions.recorder.of(Retried)] == [True, True]
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_row_15_what_servers_answer_when_they_fail(
    regions: Regions, stub, status: int
) -> None:
    """Each is an outage here and a reason to ask elsewhere, at one request."""
    server = stub(Answer(status))
    store = regions.stack(fallback, regions.far(endpoint_url=server.url))
    regions.eu.put(regions.key, Body.of(SMALL))

    assert read(store, regions.key) == SMALL
    assert len(server.requests) == 1


def test_row_17_a_flipped_byte_is_not_served(regions: Regions, kind) -> None:
    """The server's checksum tells, and the other region has the right bytes."""
    store = regions.stack(kind, regions.far(timeout=30))
    regions.put_both(SMALL)
    regions.proxy.flip_answer = 20_000

    assert read(store, regions.key) == SMALL
    [event] = regions.recorder.of(FellBack)
    assert isinstance(event.error, CorruptError)


def test_row_17_bytes_that_were_handed_out_cannot_be_taken_back(
    regions: Regions, kind
) -> None:
    """A large object is told to be corrupt, at the latest before its last byte."""
    store = regions.stack(kind, regions.far(timeout=30))
    regions.put_both(LARGE)
    regions.proxy.flip_answer = 20_000

    with store.get_file(*regions.key) as file, pytest.raises(CorruptError):
        file.read()


def test_row_18_a_flipped_byte_without_a_checksum(regions: Regions, kind) -> None:
    """What the server does not check, `verified` does."""
    us = VerifiedStore(regions.far(checksums="when_required", timeout=30))
    eu = VerifiedStore(regions.eu)
    for store in (us, eu):
        store.put(regions.key, Body.of(SMALL))
    regions.proxy.flip_answer = 20_000
    store = kind({"us": us, "eu": eu})

    assert read(store, regions.key) == SMALL


def test_row_19_a_byte_that_flips_on_its_way_there(
    seaweed_server: S3Server, moto_server: S3Server, buckets: tuple[str, str]
) -> None:
    """The server refuses it, and the next attempt sends the right ones."""
    regions = Regions(seaweed_server, moto_server, buckets[::-1])
    regions.proxy.flip_request = 20_000
    store = RetryStore(regions.far(timeout=10))

    store.put(regions.key, Body.of(SMALL))

    assert regions.near.get(regions.key).read() == SMALL
    regions.close()


@pytest.mark.parametrize("ranged", [True, False], ids=["206", "200"])
def test_row_20_another_version_in_between_is_not_spliced(
    regions: Regions, stub, kind, ranged: bool
) -> None:
    """The rest that a server gives of another version, unasked, is refused."""
    tagged = {"ETag": '"one"'}
    short = {**tagged, "Content-Length": str(len(LARGE)), "Connection": "close"}
    other = bytes(reversed(LARGE))
    rest = {"ETag": '"two"', "Content-Range": f"bytes 1-9/{len(LARGE)}"}
    again = Answer(206, other[-9:], rest) if ranged else Answer(200, other, rest)
    server = stub(Answer(200, LARGE[:300_000], short), again)
    store = regions.stack(kind, regions.far(endpoint_url=server.url))
    regions.eu.put(regions.key, Body.of(LARGE))

    assert read(store, regions.key) == LARGE
    _, (_, _, headers) = server.requests
    assert headers["If-Match"].strip('"') == "one"


def test_row_20_an_etag_that_is_no_digest_is_believed(
    regions: Regions, stub, kind
) -> None:
    """That of an upload in parts is not the MD5 of its bytes, and others are not."""
    for etag in ('"0123456789abcdef0123456789abcdef-2"', '"opaque"'):
        server = stub(Answer(200, SMALL, {"ETag": etag}))
        store = regions.stack(kind, regions.far(endpoint_url=server.url))

        assert read(store, regions.key) == SMALL


def test_row_21_a_put_whose_answer_is_lost(regions: Regions, kind) -> None:
    """It happened, the region is owed it all the same, and both end alike."""
    store = regions.stack(kind, breaker=None)
    regions.proxy.cut_answer = 0

    store.put(regions.key, Body.of(SMALL))

    assert [row.replica for row in store.pending()] == ["us"]
    assert regions.near.get(regions.key).read() == SMALL, "it did happen"
    store.put(regions.key, Body.of(b"newer"))
    repair(store)
    for region in (regions.near, regions.eu):
        assert region.get(regions.key).read() == b"newer"


def test_row_22_a_delete_whose_answer_is_lost(regions: Regions, kind) -> None:
    """Doing it again must not delete what was put since."""
    store = regions.stack(kind, breaker=None)
    regions.put_both(SMALL)
    regions.proxy.cut_answer = 0
    store.delete(regions.key)
    assert [row.replica for row in store.pending()] == ["us"]
    for told in (regions.near, store):  # it did happen
        with pytest.raises(NotFoundError):
            told.get(regions.key)

    store.put(regions.key, Body.of(b"newer"))
    repair(store)

    for region in (regions.near, regions.eu):
        assert region.get(regions.key).read() == b"newer"


def test_row_24_credentials_that_are_wrong(
    seaweed_server: S3Server, moto_server: S3Server, buckets: tuple[str, str]
) -> None:
    """One request, told as denied, and the other region answers."""
    regions = Regions(seaweed_server, moto_server, buckets[::-1])
    wrong = seaweed_server.store(buckets[1], secret_key="not the secret", timeout=30)
    store = regions.stack(fallback, wrong)
    regions.eu.put(regions.key, Body.of(SMALL))

    assert read(RetryStore(store), regions.key) == SMALL
    [event] = regions.recorder.of(FellBack)
    assert isinstance(event.error, DeniedError)
    regions.stacks.append(wrong)
    regions.close()


def test_row_24_who_may_only_read_fails_over_to_write(
    seaweed_server: S3Server, moto_server: S3Server, buckets: tuple[str, str]
) -> None:
    """Reads stay where they are; what could not be written is remembered."""
    regions = Regions(seaweed_server, moto_server, buckets[::-1])
    access, secret = READER
    reader = seaweed_server.store(
        buckets[1], access_key=access, secret_key=secret, timeout=30
    )
    store = regions.stack(fallback, reader)
    old = regions.key._replace(width=2)
    regions.near.put(old, Body.of(b"old"))

    store.put(regions.key, Body.of(SMALL))

    assert read(store, regions.key) == SMALL
    assert read(store, old) == b"old"
    assert [row.replica for row in store.pending()] == ["us"]
    regions.close()


def test_row_25_a_bucket_that_is_gone(regions: Regions, moto_server: S3Server) -> None:
    """Never absence: nobody takes a million objects for deleted."""
    gone = moto_server.store("no-such-bucket")
    store = regions.stack(fallback, gone)
    regions.eu.put(regions.key, Body.of(SMALL))

    assert read(store, regions.key) == SMALL
    with pytest.raises(StoreError) as raised:
        store.get(regions.key._replace(width=9))
    assert not isinstance(raised.value, NotFoundError)
    assert isinstance(regions.recorder.of(FellBack)[0].error, MisconfiguredError)
    gone.close()


def test_row_26_a_head_of_a_missing_bucket(
    regions: Regions, moto_server: S3Server
) -> None:
    """It is the same 404 as that of a missing object."""
    gone = moto_server.store("no-such-bucket")
    store = regions.stack(fallback, gone)

    with pytest.raises(StoreError) as raised:
        store.stat(regions.key)
    assert not isinstance(raised.value, NotFoundError)
    gone.close()


def test_row_27_a_certificate_that_nobody_vouches_for(
    moto_server: S3Server, seaweed_server: S3Server, buckets: tuple[str, str]
) -> None:
    """It is not trusted, not retried, and the other region answers."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    regions = Regions(moto_server, seaweed_server, buckets, context)
    store = regions.stack(fallback)
    regions.eu.put(regions.key, Body.of(SMALL))

    assert read(RetryStore(store), regions.key) == SMALL
    assert regions.proxy.connections == 1
    regions.close()


def test_row_28_a_name_that_does_not_resolve(regions: Regions, kind) -> None:
    """An outage like any other."""
    us = regions.far(endpoint_url="http://region-us.invalid:9")
    store = regions.stack(kind, us)
    regions.eu.put(regions.key, Body.of(SMALL))

    with deadline(30):
        assert read(store, regions.key) == SMALL
    error = regions.recorder.of(FellBack)[0].error
    assert "region-us.invalid" in str(error), "nobody was asked"


def test_row_29_a_name_that_moves_is_followed(
    regions: Regions, stub, kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever connects after that connects to where it is now."""
    ended = {"ETag": '"one"', "Connection": "close"}
    old, new = (stub(Answer(200, name, ended)) for name in (b"old", b"new"))
    ports = [int(server.url.rpartition(":")[2]) for server in (old, new)]

    def resolved(host: str, *rest: Any) -> list[Any]:
        assert host == "region-us.example"
        address = ("127.0.0.1", ports[0])
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address)]

    monkeypatch.setattr(dialling, "names", Names(resolved))
    us = regions.far(endpoint_url="http://region-us.example:9")
    store = regions.stack(kind, us)

    assert read(store, regions.key) == b"old"
    ports.reverse()
    assert read(store, regions.key) == b"new"


def test_row_30_a_write_that_one_region_took(regions: Regions) -> None:
    """The other's connection broke in the middle of it."""
    store = regions.stack(replicated, breaker=None)
    regions.proxy.cut_request = 20_000

    store.put(regions.key, Body.of(SMALL))

    assert [row.replica for row in store.pending()] == ["us"]
    repair(store)
    assert regions.near.get(regions.key).read() == SMALL


@pytest.mark.parametrize("us_kind", ["moto", "seaweed"])
def test_a_server_that_is_stopped_and_killed(
    private_s3: Callable[..., S3Server], seaweed_server: S3Server, kind, us_kind: str
) -> None:
    """Rows 1 and 5 with the server itself: it hangs, goes on, and is no more."""
    us = private_s3(us_kind)
    regions = Regions(us, seaweed_server, (us.make_bucket(), "unused"))
    regions.eu = seaweed_server.store(seaweed_server.make_bucket(), timeout=30)
    store = regions.stack(kind, us.store(regions.buckets[0], timeout=0.5), breaker=None)
    store.put(regions.key, Body.of(SMALL))
    if kind is fallback:
        regions.eu.put(regions.key, Body.of(SMALL))

    us.process.freeze()
    assert read(store, regions.key) == SMALL
    store.put(regions.key, Body.of(b"new"))
    us.process.thaw()
    assert read(store, regions.key) == b"new"
    repair(store)
    assert regions.near.get(regions.key).read() == b"new"

    us.process.kill()
    assert read(store, regions.key) == b"new" if kind is replicated else True
    store.put(regions.key, Body.of(b"newer"))
    assert read(store, regions.key) == b"newer"
    regions.close()


def test_sixteen_readers_pay_at_most_twice_each(regions: Regions, kind) -> None:
    """Row 5: a black hole costs those who are in it, and then nobody."""
    store = regions.stack(kind, breaker=BreakerPolicy(open=60))
    regions.put_both(SMALL)
    regions.proxy.black_hole = True
    failed: list[Exception] = []

    def reader() -> None:
        for _ in range(10):
            try:
                assert read(store, regions.key) == SMALL
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=reader) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    paid = [
        event
        for event in regions.recorder.of(FellBack)
        if "not asked" not in str(event.error)
    ]
    assert 5 <= len(paid) <= 32


def test_retries_are_not_multiplied(regions: Regions, stub) -> None:
    """Two regions and three attempts are six requests; in a long outage 2.2 a call."""
    servers = [stub(Answer(500)) for _ in range(2)]
    us, eu = (regions.far(endpoint_url=server.url) for server in servers)
    inner = {name: RetryStore(store) for name, store in (("us", us), ("eu", eu))}
    store = RetryStore(FallbackStore(inner, breaker=None), clock=FakeClock())

    def requests() -> int:
        return sum(len(server.requests) for server in servers)

    with pytest.raises(UnavailableError):
        store.get(regions.key)
    assert requests() == 6

    calls = 120
    for _ in range(calls):
        with pytest.raises(UnavailableError):
            store.get(regions.key)

    at_once = 2 * 10  # retries that can be had before any are earned, in two regions
    assert 2 * calls <= requests() <= 2.2 * calls + at_once + 6
