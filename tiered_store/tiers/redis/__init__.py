"""
Copies that many processes share, in a Redis or Valkey server, Sentinel or Cluster.

.. code-block:: yaml

   type: redis
   url: redis://127.0.0.1:6379/0
   ttl: 1d
   max_object: 4MiB

.. code-block:: yaml

   type: redis
   mode: sentinel
   sentinels: ["10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"]
   service: images

.. code-block:: yaml

   type: redis
   mode: cluster
   url: redis://10.0.0.1:6379
   nodes: ["10.0.0.2:6379", "10.0.0.3:6379"]

What the server loses, whatever it is, is only fetched again; so it needs no persistence
and may evict (``maxmemory-policy: allkeys-lru``).  It must be of version 6 or later.  A
user of its own needs ``~PREFIX* &PREFIX* +@read +@write +@scripting +@pubsub
+@connection +info``.

Whatever a process could miss of what others write is noticed within three heartbeats,
but for two things, which *ttl* bounds: a master that is cut off from its sentinels is
believed by whoever is cut off with it, and messages that get lost between the nodes of
a Cluster are lost.
"""

from __future__ import annotations

from tiered_store.tiers.redis.tier import RedisTier


__all__ = ["RedisTier"]
