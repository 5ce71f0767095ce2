"""
Rules about what a wrapper is for.
"""

from __future__ import annotations

from tiered_store.config.lint.rule import Found
from tiered_store.config.lint.stack import Stack, kind
from tiered_store.tree import walk


def fault_on_purpose(stack: Stack) -> Found:
    """
    A store that fails on purpose is for rehearsals.

    `fault` is there to try what a stack does when a store fails.  In a file that serves
    users it fails them.

    Hurts::

        images: {type: fault, rate: 0.1, child: {type: s3, bucket: pictures}}

    Better::

        images: {type: s3, bucket: pictures}
    """
    for _, node in stack.stores("fault"):
        yield node, "fails on purpose; for rehearsals only"


def encrypted_before_compressed(stack: Stack) -> Found:
    """
    Ciphertext does not shrink.

    What is put passes the outer wrapper first.  Encrypted first and compressed then, it
    costs the time of both and saves nothing.

    Hurts::

        images:
          type: encrypted
          key: "${env:KEY:-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}"
          child: {type: compressed, child: {type: s3, bucket: pictures}}

    Better::

        images:
          type: compressed
          child:
            type: encrypted
            key: "${env:KEY:-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}"
            child: {type: s3, bucket: pictures}
    """
    for store, node in stack.stores("encrypted"):
        if any(kind(below) == "compressed" for below in walk(store)):
            yield node, "encrypts what is compressed then, in vain; swap the two"
