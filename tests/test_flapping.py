"""A region whose server really stops and goes on, again and again."""

from __future__ import annotations

import random
import threading

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.servers.s3 import S3Server
from tests.waiting import until
from tests.witnesses import Judgement, WitnessStore
from tiered_store.body import Body
from tiered_store.control.decisions import Decision
from tiered_store.control.file import FileControl
from tiered_store.errors import StoreError
from tiered_store.events import FailedBack
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.testing.recording import Recorder
from tiered_store.tree import observe
from tiered_store.wrappers.fallback import FallbackStore


pytestmark = pytest.mark.servers

TIMEOUT = 0.3
QUARANTINE = 1.2  # in which a stopped server may do what it was sent
WRITERS = 2
WRITTEN, READ = 12, 20  # objects; of the last ones no region lacks anything
DELETED = range(13, 17)  # in the end, while the region is away


def key_of(number: int) -> Key:
    """Return the key of object *number*; those of odd numbers are deleted at times."""
    return Key("testing", number, 2, 3, "image/png")


class Users:
    """Writers with objects of their own, and readers of all of them."""

    def __init__(self, store: WitnessStore) -> None:
        self._store = store
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=work, args=(chosen,))
            for work, chosen in (
                *(
                    (self._write, range(WRITTEN)[one::WRITERS])
                    for one in range(WRITERS)
                ),
                *((self._read, range(READ)) for _ in range(2)),
            )
        ]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self, numbers: Sequence[int]) -> None:
        chance = random.Random(f"w{numbers[0]}")
        while not self._ended.wait(0.01):
            number = chance.choice(numbers)
            try:
                if number % 2 and chance.random() < 0.4:
                    self._store.delete_file(*key_of(number))
                else:
                    content = chance.randbytes(500)
                    self._store.put_file(
                        Body.of(content).open(), *key_of(number), False
                    )
            except StoreError:
                pass  # which the witness has heard

    def _read(self, numbers: Sequence[int]) -> None:
        chance = random.Random(f"r{threading.get_ident()}")
        while not self._ended.wait(0.005):
            with suppress(StoreError):
                self._store.get_file(*key_of(chance.choice(numbers))).close()


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_row_58_a_server_that_stops_and_goes_on(
    private_s3: Callable[..., S3Server],
    seaweed_server: S3Server,
    tmp_path: Path,
    closing: ExitStack,
) -> None:
    """Three times it comes back, then it waits for a person; and nothing is lost."""
    us, eu = private_s3("seaweed"), seaweed_server
    buckets = us.make_bucket(), eu.make_bucket()
    near = closing.enter_context(us.store(buckets[0], timeout=30))
    control = FileControl(str(tmp_path / "decisions.json"), poll=0.05)

    def process() -> FallbackStore:
        places = {
            "us": us.store(buckets[0], timeout=TIMEOUT),
            "eu": eu.store(buckets[1], timeout=30),
        }
        rows = SQLiteJournal(str(tmp_path / "journal"), quarantine=QUARANTINE)
        return FallbackStore(
            places,
            write="failover",
            journal=rows,
            control=FileControl(control.path, poll=0.05),
            breaker=BreakerPolicy(open=0.1, open_limit=0.2, probes=1),
            hold_down=0.05,
            fade_in=0.0,
        )

    served = process()
    witness = closing.enter_context(WitnessStore(served, "flapping"))
    events = Recorder()
    observe(witness, events)

    def stages() -> list[str]:
        return [event.stage for event in events.of(FailedBack) if event.name == "us"]

    for number in range(READ):
        content = f"first {number}".encode()
        served.stores["eu"].put(key_of(number), Body.of(content))
        witness.put_file(Body.of(content).open(), *key_of(number), False)

    def read_until(*stage: str) -> None:
        def reached() -> bool:
            witness.get_file(*key_of(READ - 1)).close()
            return stages()[-1] in stage

        until(reached)

    with Users(witness):
        for _ in range(3):
            us.process.freeze()
            until(lambda: stages()[-1:] == ["away"])
            us.process.thaw()
            until(lambda: stages()[-1] in ("active", "held"))
            if stages()[-1] == "held":  # a busy machine has flaps of its own
                break
        us.process.freeze()
        until(lambda: stages()[-1] in ("away", "held"))
        known = len(witness.said)
        until(lambda: len(witness.said) > known + 100)
        for number in DELETED:  # one of them may be a probe, which is done late
            witness.delete_file(*key_of(number))
    us.process.thaw()
    read_until("held")
    assert stages().count("fading") == 3, "it came back by itself three times"

    control.decide(Decision(verb="failback", name="us", by="ana", at=0.0))
    read_until("active")

    judgement = Judgement(witness.said)
    assert not [one for one in judgement.later_writes if one.error is not None]
    kept = [one for one in judgement.reads if one.key.object_id in range(0, WRITTEN, 2)]
    assert all(one.content is not None for one in kept if one.error is None)
    until(lambda: served.repair() and not served.status().rows)
    afterwards = closing.enter_context(WitnessStore(process(), "flapped"))
    for number in range(READ):
        with suppress(StoreError):
            afterwards.get_file(*key_of(number))
    assert len(afterwards.said) == READ
    assert judgement.left(afterwards.said) == (0, 0)
    assert {key.object_id for key in near.keys()} == {
        one.key.object_id for one in afterwards.said if one.content is not None
    }
