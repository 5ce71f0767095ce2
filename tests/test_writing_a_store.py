"""The store of the documentation, as printed there, under the conformance suite."""

from __future__ import annotations

import re
import textwrap
import threading

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.errors import MisconfiguredError, UnavailableError
from tiered_store.store import Store
from tiered_store.testing.conformance import KEY, StoreConformance


PAGE = Path(__file__).parent.parent / "docs" / "writing-a-store.md"


def printed(words: str) -> str:
    """Return the listing that has *words*."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [listing] = [block for block in blocks if words in block]
    return str(listing)


def printed_store() -> Any:
    """Run the listing and return its class."""
    listing = printed("class WebDAVStore")
    names: dict[str, Any] = {}
    exec(compile(listing, str(PAGE), "exec"), names)
    return names["WebDAVStore"]


class _Handler(BaseHTTPRequestHandler):
    """Just enough of WebDAV: a dictionary of paths."""

    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201)

    def do_GET(self) -> None:
        content = self.objects.get(self.path)
        self._answer(404 if content is None else 200, content or b"")

    def do_DELETE(self) -> None:
        known = self.objects.pop(self.path, None) is not None
        self._answer(204 if known else 404)

    def _answer(self, status: int, content: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    handler = type("Handler", (_Handler,), {"objects": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield SimpleNamespace(address=f"http://127.0.0.1:{running.server_port}/dav/")
        running.shutdown()
        thread.join()


class TestWebDAVStore(StoreConformance):
    @pytest.fixture
    def store(self, server) -> Store:
        return printed_store()(server.address)


def test_its_outage_is_an_outage() -> None:
    """Nobody listens: that is not absence."""
    with pytest.raises(UnavailableError) as raised:
        printed_store()("http://127.0.0.1:9/").get(KEY)

    assert not raised.value.ambiguous
    assert not isinstance(raised.value, MisconfiguredError)


def test_it_has_fifteen_lines() -> None:
    """Of statements, without blank lines, signatures that wrap and docstrings."""
    listing = PAGE.read_text().split("class WebDAVStore")[1].split("```")[0]
    bodies = [
        line
        for line in listing.splitlines()[1:]
        if line.strip() and not line.strip().startswith(('"""', "def "))
    ]

    assert len(bodies) + listing.count("def ") <= 15


def test_a_store_without_urls_says_so_beforehand() -> None:
    """By the printed method, whatever else the store can do."""
    method = textwrap.indent(printed("def capabilities"), "    ")
    names: dict[str, Any] = {"MemoryStore": MemoryStore}
    exec(f"class Silent(MemoryStore):\n{method}", names)

    able = MemoryStore(base_url="https://example.com/").capabilities()
    silent = names["Silent"](base_url="https://example.com/")
    assert silent.capabilities() == able - {"url"} != able
