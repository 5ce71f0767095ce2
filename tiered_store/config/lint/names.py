"""
Rules about what is written, whatever it builds.
"""

from __future__ import annotations

import re

from collections.abc import Iterator

from tiered_store.config.interpolate import interpolated
from tiered_store.config.lint.rule import Found
from tiered_store.config.lint.stack import Stack
from tiered_store.config.problems import Problems


_SHELL = re.compile(r"(?<!\$)\$([A-Z_][A-Z0-9_]+)\b", re.ASCII)
_PASSWORD = re.compile(r"://[^/\s@]*:[^/\s@]+@")


def secret_in_file(stack: Stack) -> Found:
    """
    A secret in a configuration is in its history, its backups and its reviews.

    Take it from the environment or from a file that only the process may read.  Neither
    is ever printed.

    Hurts::

        images: {type: s3, bucket: pictures, access_key: AKIA, secret_key: hunter2}

    Better::

        images:
          type: s3
          bucket: pictures
          access_key: AKIA
          secret_key: "${env:SECRET_KEY:-for tests}"
    """
    for node in stack.builder.secrets():
        text = node.value
        if node.sources or not isinstance(text, str) or not text:
            continue
        if "://" in text and not _PASSWORD.search(text):
            continue  # an address without a password
        yield node, "a secret, in plain; write ${env:NAME} or ${file:/run/secrets/x}"


def shell_variable(stack: Stack) -> Found:
    """
    A variable as a shell writes it is left as it is.

    `$HOME/images` is a directory called `$HOME` below wherever a process is started,
    and two processes that are started elsewhere have two of them.  Values from outside
    are put in where `${env:HOME}` stands.

    Hurts::

        images: {type: filesystem, path: $HOME/images}

    Better::

        images: {type: filesystem, path: "${env:HOME:-/srv}/images"}
    """
    secret = {(node.place, node.path) for node in stack.builder.secrets()}
    seen: set[object] = set()
    for _, made_of in stack.things():
        for node in made_of.nodes():
            if node.sources or not isinstance(node.value, str):
                continue
            found = _SHELL.search(node.value)
            where = node.place, node.path
            if found is None or where in secret or where in seen:
                continue
            seen.add(where)
            yield node, f"{found[0]} is not put in; write ${{env:{found[1]}}}"


def never_used(stack: Stack) -> Found:
    """
    What nobody refers to is a mistake, or is loaded by name.

    A name that was misspelled where it was meant leaves its store behind, unused.

    Hurts::

        images: {type: filesystem, path: /srv/images}
        thumbnails: {type: filesystem, path: /srv/thumbnails}

    Better::

        images:
          type: routed
          routes: {all: originals, small: thumbnails}
          rules: [{to: small, reproducible: true}]
          default: all
        originals: {type: filesystem, path: /srv/images}
        thumbnails: {type: filesystem, path: /srv/thumbnails}
    """
    outline = stack.outline
    if not stack.complete and stack.builder.is_unread():
        return  # anything may be what is meant
    mentioned = set() if stack.complete else set(_texts(stack))
    for noun, named in outline.definitions.items():
        if noun == "store" and outline.meant is None:
            continue  # any of them may be the default
        for name, node in named.items():
            is_used = (noun, name) in stack.builder.used or name in mentioned
            if not is_used and (noun, name) != ("store", outline.meant):
                hint = " or load it by name" if noun == "store" else ""
                yield node, f"never used by any store; remove it{hint}"


def _texts(stack: Stack) -> Iterator[str]:
    """Yield every text of the file: in what could not be read it may be a name."""
    for named in stack.outline.definitions.values():
        for definition in named.values():
            for node in interpolated(definition, Problems()).nodes():
                if isinstance(node.value, str):
                    yield node.value


def plain_http(stack: Stack) -> Found:
    """
    What is sent over plain HTTP can be read and changed on the way.

    Signatures keep the key secret, but objects, and URLs that are signed for browsers,
    travel as they are.  Within one machine that is no matter.

    Hurts::

        images: {type: s3, bucket: pictures, endpoint_url: "http://s3.example.com"}

    Better::

        images: {type: s3, bucket: pictures, endpoint_url: "https://s3.example.com"}
    """
    for store, node in stack.stores():
        for name in ("endpoint_url", "public_base_url", "base_url"):
            url = getattr(store, name, None)
            if isinstance(url, str) and _is_plain(url):
                yield node, f"{name} is plain HTTP, and not of this machine; use https"


def _is_plain(url: str) -> bool:
    host = url.removeprefix("http://").partition("/")[0].partition(":")[0]
    is_local = host in ("localhost", "[") or host.startswith("127.")
    return url.startswith("http://") and not is_local
