"""Servers that nearly speak S3: what they garble is told."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.closing import Closing
from tests.servers.proxy import Proxy
from tests.servers.stub import Answer, StubServer
from tiered_store.backends.s3 import S3Store
from tiered_store.backends.s3.control import S3Control
from tiered_store.body import Body
from tiered_store.control.decisions import Decision
from tiered_store.errors import (
    ConflictError,
    MisconfiguredError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.key import Key
from tiered_store.units import MIB


pytestmark = pytest.mark.servers

KEY = Key("testing", 1, 2, 3, "image/png")
LARGE = bytes(MIB)
CLOSED = {"Connection": "close"}
LIST = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<Name>images</Name><IsTruncated>false</IsTruncated>
<Contents><Key>testing/1/2x3.png</Key><Size>1</Size></Contents></ListBucketResult>
"""
RECORD = b'{"format": 1, "identity": "x", "revision": 1, "standing": [], "history": []}'


@pytest.fixture(params=["boto3", "obstore"])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


def at(closing: Closing, *answers: Answer, engine: str = "boto3") -> S3Store:
    """Return the store of a server that gives *answers*."""
    stub = closing(StubServer({"*": list(answers)}))
    store = S3Store("images", "a", "b", endpoint_url=stub.url, engine=engine)
    return closing(store)


@pytest.mark.parametrize("told", [None, "", '""', 'W/""'])
def test_an_object_without_a_version_is_read(closing, engine, told) -> None:
    """And stat knows all else."""
    store = at(closing, Answer(200, b"content", {"ETag": told}), engine=engine)

    body = store.get(KEY)

    assert (body.read(), body.version) == (b"content", None)
    assert store.stat(KEY).etag is None
    assert store.stat(KEY).size == 7


@pytest.mark.parametrize("told", [None, "", '""'])
def test_row_20_what_has_no_version_is_never_continued(closing, engine, told) -> None:
    """The rest could be another object's, of the same size."""
    length = {"Content-Length": str(len(LARGE)), "ETag": told}
    broken = Answer(200, LARGE[:-1], {**length, **CLOSED})
    store = at(
        closing,
        *[broken] * (2 if engine == "obstore" else 1),  # which has boto3 ask again
        Answer(206, b"y", {"Content-Range": f"bytes {MIB - 1}-{MIB - 1}/{MIB}"}),
        engine=engine,
    )

    with pytest.raises(ConflictError, match="no versions"):
        store.get(KEY).read()


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (206, "bytes 0-0/1048576"),
        (206, "bytes 1048574-1048574/1048576"),
        (206, "bytes */1048576"),
        (206, None),
        (200, None),
    ],
)
def test_another_part_than_was_asked_for_is_never_spliced(
    closing, engine, status: int, told: str | None
) -> None:
    """Though it is of the same version and exactly as long."""
    first = {"Content-Length": str(MIB), "ETag": '"one"', **CLOSED}
    store = at(
        closing,
        Answer(200, LARGE[:-1], first),
        Answer(status, b"y", {"Content-Range": told, "ETag": '"one"'}),
        engine=engine,
    )

    with pytest.raises(ConflictError):
        store.get(KEY).read()


@pytest.mark.parametrize("status", [301, 302, 307])
@pytest.mark.parametrize("place", [None, "/elsewhere"], ids=["nowhere", "in circles"])
def test_a_redirect_without_a_region_is_told(
    closing, engine, status: int, place: str | None
) -> None:
    """The SDK asks where the bucket is, is redirected again, and never ends."""
    store = at(closing, Answer(status, b"", {"Location": place}), engine=engine)

    with pytest.raises(MisconfiguredError):
        store.get(KEY)
    with pytest.raises(MisconfiguredError):
        store.put(KEY, Body.of(b"content"))


@pytest.mark.parametrize(
    "headers", [{}, {"ETag": '"one"', "Content-Type": "text/html; charset=utf-8"}]
)
def test_a_page_that_a_redirect_leads_to_is_no_object(
    closing, engine, headers: Mapping[str, str]
) -> None:
    """Such as where one has to sign in, or is told that there is an outage."""
    page = closing(StubServer({"*": [Answer(200, b"<html>Hello</html>", headers)]}))
    there = Answer(302, b"", {"Location": f"{page.url}/login"})
    store = at(closing, there, engine=engine)

    with pytest.raises(MisconfiguredError, match="302"):
        store.get(KEY)


def test_a_head_that_breaks_off_is_no_answer(closing) -> None:
    """Half a length is another length, and without an ETag there are no versions."""
    found = {"ETag": '"one"', "Content-Length": "1048576"}
    stub = closing(StubServer({"*": [Answer(200, b"", found)]}))
    proxy = closing(Proxy(int(stub.url.rpartition(":")[2])))
    store = closing(S3Store("images", "a", "b", endpoint_url=proxy.url))
    whole, cut = store.stat(KEY), 0

    while proxy.cut_answer is None:
        cut += 5
        proxy.cut_answer = cut
        try:
            told = store.stat(KEY)
        except UnavailableError:
            continue
        assert told == whole

    assert (whole.size, cut > 100) == (MIB, True)


def test_pages_are_objects_too(closing, engine) -> None:
    found = {"ETag": '"one"', "Content-Type": "text/html"}
    store = at(closing, Answer(200, b"<html></html>", found), engine=engine)

    assert store.get(KEY).read() == b"<html></html>"


def test_metadata_that_is_not_ours_hides_no_object(closing, engine) -> None:
    """Of whoever stored it before us, in letters of their own."""
    found = {"ETag": '"one"', "x-amz-meta-author": "J\xe4ger"}
    store = at(closing, Answer(200, b"content", found), engine=engine)

    assert store.get(KEY).read() == b"content"


@pytest.mark.parametrize("digits", [18, 30])
def test_a_length_that_nothing_has_is_told(closing, engine, digits: int) -> None:
    """Not as a lack of memory of our own, from which nobody fails over."""
    length = {"Content-Length": "9" * digits, "ETag": '"one"', **CLOSED}
    store = at(closing, Answer(200, b"content", length), engine=engine)

    with pytest.raises((MisconfiguredError, UnavailableError, ConflictError)):
        store.get(KEY).read()


def test_a_time_that_nobody_can_read_is_none(closing, engine) -> None:
    """Or an outage, from which another region is asked; never a bug of the SDK's."""
    store = at(
        closing, Answer(200, b"x", {"Last-Modified": "yesterday"}), engine=engine
    )

    assert store.stat(KEY).modified is None
    if engine == "boto3":
        assert store.get(KEY).read() == b"x"
    else:
        with pytest.raises(UnavailableError, match=r"not S3's: .*yesterday"):
            store.get(KEY)


@pytest.mark.parametrize("length", [None, "x", "-1"])
def test_an_object_without_a_length_is_told(closing, engine, length) -> None:
    """Nobody could say whether it ended where it should."""
    endless = Answer(200, b"content", {"Content-Length": length, **CLOSED})
    store = at(closing, endless, engine=engine)

    for ask in (store.get, store.stat):
        with pytest.raises((MisconfiguredError, UnavailableError)):
            ask(KEY)


def test_a_put_that_names_no_version_may_be_no_put(closing) -> None:
    """Something in between may say 200 to everything."""
    store = at(closing, Answer(200))

    with pytest.raises(UnavailableError, match="HTTP 200 without ETag"):
        store.put(KEY, Body.of(b"content"))


@pytest.mark.parametrize("share", range(1, 10))
def test_row_16_a_list_that_breaks_off_is_not_the_end_of_it(
    closing, share: int
) -> None:
    """Wherever it does, or what comes behind would count as deleted."""
    store = at(closing, Answer(200, LIST[: len(LIST) * share // 10]))

    with pytest.raises(UnavailableError):
        list(store.keys())


@pytest.mark.parametrize(
    "changed",
    [
        {b">false<": b">true<"},
        {b"<Key>testing/1/2x3.png</Key>": b""},
        {b"<Contents>": b"<Contents><LastModified>yesterday</LastModified>"},
    ],
    ids=["no-token", "no-key", "modified"],
)
def test_row_16_a_list_that_lacks_what_it_needs_is_an_outage(
    closing, changed: Mapping[bytes, bytes]
) -> None:
    """Never a KeyError, which nobody would fail over from."""
    ((old, new),) = changed.items()
    store = at(closing, Answer(200, LIST.replace(old, new)))

    with pytest.raises(UnavailableError, match="not S3"):
        list(store.keys())


def test_decisions_without_a_version_are_followed_and_not_made(closing) -> None:
    """Of two who decide at once one would be lost."""
    stub = closing(StubServer({"*": [Answer(200, RECORD)]}))
    control = closing(S3Control("images", "a", "b", endpoint_url=stub.url))

    assert control.load().revision == 1
    with pytest.raises(UnsupportedError, match=r"no ETag.*type: redis"):
        control.decide(Decision(verb="drain", name="us", by="ana", at=0.0))
    assert {verb for verb, _, _ in stub.requests} == {"GET"}
