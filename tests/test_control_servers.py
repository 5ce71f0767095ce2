"""Decisions that a fleet shares, on real servers that fail."""

from __future__ import annotations

import itertools
import threading

from collections.abc import Callable

import pytest

from tests.servers.redis import ClusterSetup, RedisServer, RedisServers, SentinelSetup
from tests.servers.s3 import S3Server
from tests.waiting import PATIENT, longer_and_longer
from tiered_store.backends.memory import MemoryStore
from tiered_store.backends.s3.control import S3Control
from tiered_store.control.control import Control
from tiered_store.control.redis import RedisControl
from tiered_store.errors import (
    ConfigError,
    ConflictError,
    DeniedError,
    MisconfiguredError,
    UnavailableError,
)
from tiered_store.events import ControlChanged, Decided
from tiered_store.testing.controls import ControlConformance, Make, decision
from tiered_store.testing.recording import Recorder
from tiered_store.tree import observe
from tiered_store.wrappers.fallback import FallbackStore


pytestmark = pytest.mark.servers

_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """The record of one test."""
    return f"decisions-{next(_numbers)}"


class TestRedisControl(ControlConformance):
    """A server."""

    @pytest.fixture
    def make(self, redis_server: RedisServer, name, clock, closing) -> Make:
        return lambda: closing(
            RedisControl(redis_server.url, name=name, clock=clock, **PATIENT)
        )


class TestSentinelControl(ControlConformance):
    """A master that sentinels know."""

    @pytest.fixture
    def make(self, sentinel_setup: SentinelSetup, name, clock, closing) -> Make:
        return lambda: closing(
            RedisControl(
                mode="sentinel",
                sentinels=sentinel_setup.addresses,
                service=sentinel_setup.service,
                name=name,
                clock=clock,
            )
        )


class TestClusterControl(ControlConformance):
    """Masters that share the slots."""

    @pytest.fixture
    def make(self, cluster_setup: ClusterSetup, name, clock, closing) -> Make:
        return lambda: closing(
            RedisControl(
                cluster_setup.url, mode="cluster", name=name, clock=clock, **PATIENT
            )
        )


class TestS3Control(ControlConformance):
    """A bucket."""

    @pytest.fixture(params=["moto", "seaweed"])
    def make(self, request, name, clock, closing) -> Make:
        server: S3Server = request.getfixturevalue(f"{request.param}_server")
        bucket = server.make_bucket()
        return lambda: closing(s3_control(server, bucket, name=name, clock=clock))


@pytest.fixture
def closing():
    """Close what it is given at the end of the test, and return it."""
    made: list[Control] = []

    def close(control: Control) -> Control:
        made.append(control)
        return control

    yield close
    for control in made:
        control.close()


def s3_control(server: S3Server, bucket: str, **options) -> S3Control:
    return S3Control(
        bucket,
        server.access_key,
        server.secret_key,
        endpoint_url=server.endpoint_url,
        timeout=30,  # how fast a busy machine is, is not the question
        **options,
    )


class Process:
    """A store that follows *control*, as each process of a fleet has one."""

    def __init__(self, control: Control) -> None:
        places = {"us": MemoryStore(), "eu": MemoryStore()}
        self.store = FallbackStore(places, control=control)
        self.events = Recorder()
        observe(self.store, self.events)

    def order(self) -> str:
        return " ".join(self.store._rota.now().read)


@pytest.mark.parametrize("end", ["kill", "freeze"])
def test_row_64_a_server_that_ends_changes_nothing(
    redis_servers: RedisServers, end: str, closing: Callable[[Control], Control]
) -> None:
    """Killed or hanging: decisions hold, and calls do not wait for it."""
    server = redis_servers()
    closing(RedisControl(server.url, **PATIENT)).decide(decision())
    for seconds in longer_and_longer(0.2, 5):
        options = {"poll": 0.02, "timeout": seconds, "connect_timeout": seconds}
        process = Process(RedisControl(server.url, **options))
        if process.order() == "eu us":  # else it has not answered in time
            break
        process.store.close()

    getattr(server.process, end)()
    process.events.wait_for(ControlChanged)

    assert process.order() == "eu us"
    process.store.close()


def test_row_64_a_server_that_comes_back_empty_changes_nothing(
    redis_servers: RedisServers, closing: Callable[[Control], Control]
) -> None:
    """Until somebody decides again."""
    server = redis_servers()
    control = closing(RedisControl(server.url, **PATIENT))
    control.decide(decision())
    process = Process(RedisControl(server.url, poll=0.02, **PATIENT))
    assert process.order() == "eu us"

    server.ask("FLUSHALL")
    (lost,) = process.events.wait_for(ControlChanged)
    assert "lost" in str(lost.error)
    assert process.order() == "eu us"

    control.decide(decision("isolate", "eu"))
    process.events.wait_for(ControlChanged, 2)
    process.events.wait_for(Decided, 3)
    assert process.order() == "us"
    process.store.close()


def test_a_process_that_starts_without_the_server_serves(
    redis_servers: RedisServers,
) -> None:
    """It waits a second at most, and takes decisions when they can be had."""
    server = redis_servers()
    server.process.freeze()
    process = Process(RedisControl(server.url, poll=0.02, timeout=0.2))

    assert process.order() == "us eu"

    server.process.thaw()
    process.events.wait_for(ControlChanged)
    RedisControl(server.url, **PATIENT).decide(decision())
    process.events.wait_for(Decided)
    assert process.order() == "eu us"
    process.store.close()


def test_row_64_two_operators_race_over_s3(seaweed_server: S3Server) -> None:
    """One wins, the others are told, and nobody drains the last region."""
    bucket = seaweed_server.make_bucket()
    controls = [s3_control(seaweed_server, bucket) for _ in range(4)]
    ready = threading.Barrier(4)
    won: list[int] = []
    told: list[ConflictError] = []

    def decide(number: int) -> None:
        seen = controls[number].load().revision
        ready.wait()
        try:
            controls[number].decide(decision("drain", str(number)), after=seen)
        except ConflictError as error:
            told.append(error)
        else:
            won.append(number)

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(won) == 1
    assert len(told) == 3
    assert set(controls[0].load().standing) == {str(won[0])}
    for control in controls:
        control.close()


def test_a_bucket_that_is_missing_is_not_an_empty_record(
    seaweed_server: S3Server, closing
) -> None:
    """Nobody knows what was decided, then."""
    where = "s3://no-such-bucket/tiered-store/decisions.json: "
    with pytest.raises(MisconfiguredError, match=where):
        closing(s3_control(seaweed_server, "no-such-bucket")).load()


def test_credentials_that_are_wrong_are_told(seaweed_server: S3Server, closing) -> None:
    """And not taken for a record without decisions."""
    control = closing(
        S3Control("x", "nobody", "secret", endpoint_url=seaweed_server.endpoint_url)
    )

    with pytest.raises(DeniedError):
        control.load()


def test_a_server_that_is_not_there(closing) -> None:
    """An operator is told so, in words."""
    with pytest.raises(UnavailableError, match=r"'tiered-store:decisions' in Redis: "):
        closing(RedisControl("redis://127.0.0.1:9", timeout=0.2)).decide(decision())


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: RedisControl(), "url is missing"),
        (lambda: RedisControl("redis://h", poll=0), "poll"),
        (lambda: RedisControl("redis://h", name=""), "name"),
        (lambda: S3Control("b", "key"), "needs a secret_key"),
        (lambda: S3Control("b", poll=-1), "poll"),
        (lambda: S3Control(""), "bucket"),
    ],
)
def test_what_cannot_be(make: Callable[[], Control], problem: str) -> None:
    """Before anything is contacted."""
    with pytest.raises(ConfigError, match=problem):
        make()


def test_secrets_are_not_shown() -> None:
    """Whoever prints a control."""
    shown = str(vars(RedisControl("redis://:hidden@h"))) + str(
        vars(S3Control("b", "key", "hidden"))
    )

    assert "hidden" not in shown
