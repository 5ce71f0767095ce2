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

The server needs version 6 or later, an eviction policy of the ``allkeys`` kind (what
it loses, whatever it is, is only fetched again), and no persistence.
"""

from __future__ import annotations

from tiered_store.tiers.redis.tier import RedisTier


__all__ = ["RedisTier"]
