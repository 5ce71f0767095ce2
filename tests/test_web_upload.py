"""The body of a WSGI request comes whole, or there is no object."""

from __future__ import annotations

import io

from typing import Any

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.web.upload import Upload


KEY = ("album", 1, 2, 3, "image/png")


def environ(content: bytes, length: int | None, **more: Any) -> dict[str, Any]:
    told = {} if length is None else {"CONTENT_LENGTH": str(length)}
    return {"wsgi.input": io.BytesIO(content), **told, **more}


@pytest.mark.parametrize("size", [-1, 1, 3, 100])
def test_what_was_sent_is_read_and_no_more(size) -> None:
    """A connection that is kept has the next request behind it."""
    upload = Upload(environ(b"picture" + b"GET /", 7))

    read = b"".join(iter(lambda: upload.read(size), b""))

    assert read == b"picture"


@pytest.mark.parametrize("size", [-1, 1, 3, 100])
def test_a_client_that_goes_away_is_an_error(size) -> None:
    """Each read up to there may be had, the end may not."""
    upload = Upload(environ(b"pict", 7))

    with pytest.raises(ConnectionError, match="4 of 7 bytes"):
        list(iter(lambda: upload.read(size), b""))


def test_half_a_picture_does_not_replace_a_whole_one() -> None:
    """The store raises what its caller's file does."""
    store = MemoryStore()
    store.put_file(Upload(environ(b"picture", 7)), *KEY, reproducible=False)

    with pytest.raises(ConnectionError):
        store.put_file(Upload(environ(b"new", 7)), *KEY, reproducible=False)

    assert store.get_file(*KEY).read() == b"picture"


def test_without_a_length_the_server_sees_the_end() -> None:
    """Where it says so; else there is no body, and reading would wait for ever."""
    chunked = environ(b"picture", None, **{"wsgi.input_terminated": True})

    assert Upload(chunked).read() == b"picture"
    assert Upload(environ(b"GET /", None)).read() == b""
    assert Upload({**environ(b"GET /", None), "CONTENT_LENGTH": ""}).read(5) == b""
