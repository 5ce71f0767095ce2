"""
A journal in a Redis or Valkey server, Sentinel or Cluster, that a fleet shares.

.. code-block:: yaml

   type: redis
   url: redis://10.0.0.1:6379/0

.. code-block:: yaml

   type: redis
   mode: sentinel
   sentinels: ["10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"]
   service: journal
   replicas: 1                              # who must have a row besides the master

.. code-block:: yaml

   type: redis
   mode: cluster
   url: redis://10.0.0.1:6379
   nodes: ["10.0.0.2:6379", "10.0.0.3:6379"]

It must be a server that keeps what it is told, so not the one that caches: one that
evicts (``maxmemory-policy`` other than ``noeviction``), that forgets when it is killed
(``appendonly no``), or that is a replica is refused, with what to change.
"""

from __future__ import annotations

from tiered_store.journals.redis.journal import RedisJournal


__all__ = ["RedisJournal"]
