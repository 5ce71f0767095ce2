"""
Whether what a configuration names is there, and is set up for what it is to do.

Every leaf is reached, each permission is tried on an object of our own under a name
that nobody else has, and that is cleaned up; then settings of the servers are read
that would bite later.  Nothing else is changed.
"""

from tiered_store.connecting.finding import Finding, State
from tiered_store.connecting.stack import connect


__all__ = ["Finding", "State", "connect"]
