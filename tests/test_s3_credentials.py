"""Credentials that the SDK finds: nobody waits for them beyond a deadline."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import threading

from pathlib import Path

import pytest

from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import MetadataRetrievalError, NoCredentialsError

from tests.waiting import until
from tiered_store.backends.s3.credentials import SharedCredentials
from tiered_store.deadlines import deadline
from tiered_store.errors import DeadlineError


ROOT = Path(__file__).parents[1]
MINUTE = 60.0

# The machine's role is asked, which never answers; an hour is how long the SDK waits.
HUNG = """
import socket

listener = socket.create_server(("127.0.0.1", 0), backlog=100)

import os

os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = (
    f"http://127.0.0.1:{listener.getsockname()[1]}"
)
from tests.test_deadline_phases import KEY, VERBS
from tiered_store import DeadlineError, S3Store, deadline

verbs = {**VERBS, "url": lambda store: store.url(KEY)}
for engine in ("boto3", "obstore"):
    store = S3Store(
        "bucket", endpoint_url="http://127.0.0.1:1", region="a", engine=engine
    )
    for verb, call in verbs.items():
        said = "a client is made"  # which takes a while, and is not what hangs
        while "a client is made" in said:
            try:
                with deadline(0.1):
                    call(store)
            except DeadlineError as error:
                said = str(error)
        print(engine, verb)
"""

NONE = """
from tests.test_deadline_phases import KEY, VERBS
from tiered_store import MisconfiguredError, S3Store

for engine in ("boto3", "obstore"):
    store = S3Store(
        "bucket", endpoint_url="http://127.0.0.1:1", region="a", engine=engine
    )
    try:
        VERBS["get"](store)
    except MisconfiguredError as error:
        print(engine, error.message)
"""


def ran(script: str, **environment: str) -> list[str]:
    """Return what *script* prints in a process that finds no credentials itself."""
    plain = {name: value for name, value in os.environ.items() if "AWS" not in name}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
        cwd=ROOT,
        env={**plain, "HOME": "/nonexistent", **environment},
    )
    return done.stdout.splitlines()


def test_a_deadline_bounds_the_look_up_of_credentials() -> None:
    """The first one, by either engine, and for a URL, which is signed too."""
    verbs = ("get", "put", "put in parts", "delete", "stat", "keys", "url")

    assert ran(HUNG, AWS_METADATA_SERVICE_TIMEOUT="3600") == [
        f"{engine} {verb}" for engine in ("boto3", "obstore") for verb in verbs
    ]


def test_that_there_are_none_is_said_by_either_engine() -> None:
    """A refusal: nothing else is tried with what else might be lying about."""
    words = (
        "bucket 'bucket': Unable to locate credentials; "
        "say access_key, or set AWS_ACCESS_KEY_ID, and what belongs to it"
    )

    assert ran(NONE, AWS_EC2_METADATA_DISABLED="true") == [
        f"boto3 {words}",
        f"obstore {words}",
    ]


class Role:
    """A machine's role, whose credentials are good for *seconds*."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()
        self.failure: Exception | None = None

    def load(self) -> RefreshableCredentials:
        return RefreshableCredentials.create_from_metadata(
            self.ask(), self.ask, "a role"
        )

    def ask(self) -> dict[str, str]:
        self.asked += 1
        number = self.asked
        assert self.answers.wait(MINUTE)
        if self.failure is not None:
            raise self.failure
        until = datetime.datetime.now(datetime.UTC)
        until += datetime.timedelta(seconds=self.seconds)
        return {
            "access_key": f"key {number}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": until.isoformat(),
        }


def test_what_is_found_is_looked_for_once() -> None:
    found: list[Credentials] = []

    def load() -> Credentials:
        found.append(Credentials("key", "secret"))
        return found[-1]

    shared = SharedCredentials(load)

    assert [shared.get_frozen_credentials().access_key for _ in range(3)] == ["key"] * 3
    assert len(found) == 1


def test_a_role_that_was_not_there_is_asked_again() -> None:
    """A store is not without credentials for ever because it once was."""
    known: list[Credentials] = []
    shared = SharedCredentials(lambda: known[0] if known else None)
    with pytest.raises(NoCredentialsError):
        shared.get_frozen_credentials()
    known.append(Credentials("key", "secret"))

    assert shared.get_frozen_credentials().access_key == "key"


def test_nobody_waits_for_new_ones_while_the_old_are_good() -> None:
    """The SDK has one of its callers wait, from a quarter of an hour before the end."""
    role = Role(12 * MINUTE)
    shared = SharedCredentials(role.load, pause=0)
    shared.get_frozen_credentials()
    asked = role.asked
    role.answers.clear()  # it hangs
    with deadline(MINUTE):
        assert shared.get_frozen_credentials().access_key == f"key {asked}"
    until(lambda: role.asked > asked)
    assert shared.get_frozen_credentials().access_key == f"key {asked}"

    role.seconds = 100 * MINUTE
    role.answers.set()

    until(lambda: shared.get_frozen_credentials().access_key == f"key {role.asked}")


def test_a_deadline_bounds_the_renewal() -> None:
    """Once the old ones are as good as expired."""
    role = Role(MINUTE / 2)
    shared = SharedCredentials(role.load)
    shared.get_frozen_credentials()
    role.answers.clear()
    with deadline(0.05), pytest.raises(DeadlineError, match="credentials"):
        shared.get_frozen_credentials()
    role.seconds = 100 * MINUTE
    role.answers.set()

    assert shared.get_frozen_credentials().access_key == f"key {role.asked}"


def test_a_renewal_that_fails_is_told_when_the_old_ones_are_over() -> None:
    role = Role(MINUTE / 2)
    shared = SharedCredentials(role.load)
    shared.get_frozen_credentials()
    role.failure = MetadataRetrievalError(error_msg="no answer")

    with pytest.raises(MetadataRetrievalError):
        shared.get_frozen_credentials()
