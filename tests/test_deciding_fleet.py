"""Operators' commands and the processes of a fleet, over a control on a real server."""

from __future__ import annotations

import contextlib
import io

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.process import ServerProcess
from tests.servers.redis import _starting as starting
from tests.servers.s3 import start_s3
from tests.subjects import Subject, key_of
from tests.waiting import until
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.body import Body
from tiered_store.cli import main


pytestmark = pytest.mark.servers

SHARED, ONLY_US = 1, 2  # objects: one says where it was read, one is in us alone
STACK = """
version: 1
default: images
stores:
  images:
    type: fallback
    stores: {{us: us, eu: eu}}
    control: {{{control}, poll: 100ms, timeout: 1s}}
  us: {{type: filesystem, path: {folder}/us}}
  eu: {{type: filesystem, path: {folder}/eu}}
"""


class Fleet:
    """Processes that follow one control, and an operator at a terminal."""

    def __init__(self, folder: Path, control: str, server: ServerProcess) -> None:
        self.config = folder / "stack.yaml"
        self.config.write_text(STACK.format(folder=folder, control=control))
        self.server = server
        self.subjects = [Subject(self.config) for _ in range(2)]

    def join(self) -> Subject:
        """Start another process; its first answer comes when it is ready."""
        self.subjects.append(Subject(self.config))
        return self.subjects[-1]

    def decide(self, *words: str) -> tuple[int, str]:
        """Return what the command comes to, and what it says on standard error."""
        with contextlib.redirect_stderr(io.StringIO()) as said:
            status = main([*words, "--config", str(self.config), "--yes"])
        return status, said.getvalue()

    def all_say(self, answer: str, question: str) -> None:
        """Return once every process gives *answer*."""
        until(lambda: {one.ask(question) for one in self.subjects} == {answer})

    def end(self) -> None:
        """End all processes at once."""
        for one in self.subjects:
            one.end()


@pytest.fixture(scope="module", params=["redis", "s3"])
def control(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ServerProcess]]:
    """Where decisions are kept, and the server, which may be frozen and thawed."""
    folder = tmp_path_factory.mktemp("control")
    if request.param == "redis":
        with starting(folder) as start:
            redis = start()
            yield f"type: redis, url: '{redis.url}'", redis.process
    else:
        s3 = start_s3("moto", folder)
        yield (
            f"type: s3, bucket: {s3.make_bucket()}, endpoint_url: '{s3.endpoint_url}', "
            f"access_key: {s3.access_key}, secret_key: {s3.secret_key}",
            s3.process,
        )
        s3.stop()


@pytest.fixture(scope="module")
def fleet(
    control: tuple[str, ServerProcess], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Two processes over two regions; a test leaves it without a decision."""
    folder = tmp_path_factory.mktemp("fleet")
    for name in ("us", "eu"):
        with FileSystemStore(str(folder / name), create=True) as place:
            place.put(key_of(SHARED), Body.of(name.encode()))
            if name == "us":
                place.put(key_of(ONLY_US), Body.of(b"kept"))
    made = Fleet(folder, *control)
    yield made
    made.end()


def test_every_process_follows_every_decision(fleet: Fleet) -> None:
    """What only a drained one has is still read; of an isolated one nobody knows."""
    fleet.all_say("us", f"get {SHARED}")
    for words, first, only in (
        (("drain", "us"), "eu", "kept"),
        (("isolate", "us"), "eu", "InconclusiveError"),
        (("undrain", "us"), "us", "kept"),
        (("promote", "eu"), "eu", "kept"),
        (("drain", "us"), "eu", "kept"),
        (("failback", "us"), "us", "kept"),
    ):
        assert fleet.decide(*words)[0] == 0
        fleet.all_say(first, f"get {SHARED}")
        fleet.all_say(only, f"get {ONLY_US}")


def test_two_operators_cannot_drain_everything(fleet: Fleet) -> None:
    """The second one is told by the record what the first has done."""
    assert fleet.decide("drain", "us")[0] == 0

    status, said = fleet.decide("drain", "eu")

    assert status == 1
    assert "eu is the last place in service; undrain another one first" in said
    assert fleet.decide("undrain", "us")[0] == 0


def test_row_64_what_was_decided_holds_while_the_control_is_lost(fleet: Fleet) -> None:
    """Its server hangs: nobody waits, nobody decides, and then all go on."""
    assert fleet.decide("drain", "us")[0] == 0
    fleet.all_say("eu", f"get {SHARED}")

    fleet.server.freeze()
    fleet.all_say("lost", "control")
    status, said = fleet.decide("undrain", "us")
    assert status == 1
    assert "its control cannot be read" in said
    assert "what was decided before still holds" in said
    assert [one.ask(f"get {SHARED}") for one in fleet.subjects] == ["eu", "eu"]
    late = fleet.join()
    assert late.ask(f"get {SHARED}") == "us", "it serves, though nobody can tell it"

    fleet.server.thaw()
    fleet.all_say("followed", "control")
    fleet.all_say("eu", f"get {SHARED}")
    assert fleet.decide("undrain", "us")[0] == 0
    fleet.all_say("us", f"get {SHARED}")
