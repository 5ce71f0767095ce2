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

from tiered_store.config.lint import Finding
from tiered_store.config.loading import build, check, examine, expand_presets, load
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
