"""
What both engines read of a server that does wrong by chance: the object, or an error.

A seed draws an object and what its server does, request after request; more of them are
tried with ``TIERED_STORE_SEEDS=1000``.
"""

from __future__ import annotations

import functools
import os
import random

from collections.abc import Mapping

import pytest

from tests.closing import Closing
from tests.servers.stub import Answer, Made, StubServer
from tiered_store.backends.s3 import S3Store
from tiered_store.errors import StoreError
from tiered_store.key import Key


pytestmark = pytest.mark.servers

KEY = Key("testing", 1, 2, 3, "image/png")
SEEDS = int(os.environ.get("TIERED_STORE_SEEDS", "24"))
SIZES = (0, 1, 1000, 65_536, 262_144, 262_145, 1_000_000)
CODES = {"busy": (503, "SlowDown"), "denied": (403, "AccessDenied")}
GONE = {"gone": (404, "NoSuchKey"), "changed": (412, "PreconditionFailed")}
WRONG = ("another", "whole", "elsewhere", "unsaid")  # answers to a question for a rest
ALIKE = frozenset({"well", "cut", "denied"})


def answer(content: bytes, deed: str, share: float, asked: Mapping[str, str]) -> Answer:
    """Return what a server that does *deed* answers to who *asked*."""
    start = int(asked.get("range", "bytes=0-")[len("bytes=") : -1])
    rest, told = content[start:], {"ETag": '"one"'}
    if deed in {**CODES, **GONE}:
        status, code = {**CODES, **GONE}[deed]
        return Answer(status, f"<Error><Code>{code}</Code></Error>".encode())
    if start:
        told["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    if deed == "cut":
        told |= {"Content-Length": str(len(rest)), "Connection": "close"}
        return Answer(206 if start else 200, rest[: int(share * len(rest))], told)
    if start and deed in WRONG:
        if deed == "whole":
            return Answer(200, content, {"ETag": '"one"'})
        if deed == "another":
            return Answer(206, bytes(len(rest)), {**told, "ETag": '"two"'})
        if deed == "elsewhere":
            told["Content-Range"] = f"bytes 0-{len(rest) - 1}/{len(content)}"
        else:
            del told["Content-Range"]
        return Answer(206, content[: len(rest)], told)
    return Answer(206 if start else 200, rest, told)


def outcome(closing: Closing, engine: str, seed: int) -> tuple[str, list[str]]:
    """Return how reading ended, and what the server did until then."""
    chance = random.Random(seed)
    content = chance.randbytes(chance.choice(SIZES))
    deeds = ("well", "cut", "cut", *CODES, *GONE, *WRONG)
    drawn = ["cut", *chance.choices(deeds, k=chance.randrange(4))]
    chance.shuffle(drawn)
    made: list[Made] = [
        functools.partial(answer, content, deed, chance.random())
        for deed in [*drawn, "well"]
    ]
    stub = closing(StubServer({"GET": made, "*": [Answer(200)]}))
    given = {"region": "x", "endpoint_url": stub.url, "timeout": 60.0}
    store = closing(S3Store("bucket", "a", "b", engine=engine, **given))
    try:
        with store.get(KEY).open() as file:
            found = bytearray()
            while piece := file.read(chance.choice((1000, 70_000, 300_000))):
                found += piece
    except StoreError as error:
        end = "unclassified" if type(error) is StoreError else _advice(error)
    else:
        end = "read" if found == content else "other bytes"
    return end, drawn[: len(stub.requests)]


def _advice(error: StoreError) -> str:
    return f"retryable: {error.retryable}, failover: {error.failover}"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_read_is_the_object_or_an_error(closing: Closing, seed: int) -> None:
    """And the same with either engine, where both ask for the same."""
    (one, deeds), (other, more) = (
        outcome(closing, engine, seed) for engine in ("boto3", "obstore")
    )

    assert not {one, other} & {"unclassified", "other bytes"}
    if {*deeds, *more} <= ALIKE and max(deeds.count("cut"), more.count("cut")) <= 2:
        assert one == other
