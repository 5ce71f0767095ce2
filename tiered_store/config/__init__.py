"""
A stack of stores written down.

.. code-block:: text

   version: 1
   default: images
   stores:
     images: {type: cached, tiers: [{type: memory, ttl: 60s}], origin: bucket}
     bucket: {type: s3, bucket: "${env:BUCKET}", timeout: 5s}

``type`` says which class; the other keys are its keyword arguments, in the same
words as in code.  Where a store is asked for stands the name of one (then it is
shared) or a mapping (then it is private).
"""

from __future__ import annotations

import importlib

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from tiered_store.config.checking import check, examine, expand_presets
    from tiered_store.config.lint import Finding
    from tiered_store.config.loading import build, load
    from tiered_store.config.problems import Problem
    from tiered_store.config.registry import Registry
    from tiered_store.config.written import to_yaml

__all__ = [
    "load",
    "build",
    "check",
    "examine",
    "expand_presets",
    "to_yaml",
    "Finding",
    "Problem",
    "Registry",
]

_MODULES = {
    **dict.fromkeys(("load", "build"), "loading"),
    **dict.fromkeys(("check", "examine", "expand_presets"), "checking"),
    "to_yaml": "written",
    "Finding": "lint",
    "Problem": "problems",
    "Registry": "registry",
}


if not TYPE_CHECKING:  # a type checker would believe that every name is here

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
        found = globals()[name] = getattr(module, name)  # so that it is asked once
        return found
