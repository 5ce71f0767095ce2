"""
What another configuration would do to the data of this one.

Nothing is contacted: the two stacks say where they keep what they keep, and by which
names their journals know it.
"""

from tiered_store.difference.change import Change, Kind
from tiered_store.difference.compare import differences


__all__ = ["Change", "Kind", "differences"]
