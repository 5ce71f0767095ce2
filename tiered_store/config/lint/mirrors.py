"""
Rules about copies that are ours to keep.
"""

from __future__ import annotations

from tiered_store.config.lint.rule import Found
from tiered_store.config.lint.stack import Stack, kind, leaves
from tiered_store.config.places import places_of
from tiered_store.tree import walk


def replicas_in_one_place(stack: Stack) -> Found:
    """
    Two replicas in one place are one copy.

    Both names lead to the same objects: what is lost there is lost from both, and a
    repair of one from the other reads what it writes.

    Hurts::

        images:
          type: replicated
          replicas:
            a: {type: filesystem, path: /srv/images}
            b: {type: filesystem, path: /srv/../srv/images}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}

    Better::

        images:
          type: replicated
          replicas:
            a: {type: filesystem, path: /srv/images}
            b: {type: filesystem, path: /mnt/other/images}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}
    """
    for store, node in stack.stores("replicated", "fallback"):
        owners: dict[object, str] = {}
        for name, child in store.children().items():
            for place in places_of(child):
                first = owners.setdefault(place, name)
                if first != name:
                    yield node, f"{first} and {name} are one place; there is one copy"


def replicas_in_one_region(stack: Stack) -> Found:
    """
    Replicas in one region are lost together.

    A mirror within a region helps when a bucket is emptied by mistake.  When the region
    is away, so are all of them.

    Hurts::

        images:
          type: replicated
          replicas:
            a: {type: s3, bucket: pictures, region: us-east-1}
            b: {type: s3, bucket: pictures-copy, region: us-east-1}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}

    Better::

        images:
          type: replicated
          replicas:
            a: {type: s3, bucket: pictures, region: us-east-1}
            b: {type: s3, bucket: pictures-copy, region: eu-west-1}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}
    """
    for store, node in stack.stores("replicated", "fallback"):
        found = [leaf for child in store.children().values() for leaf in leaves(child)]
        regions = {
            (getattr(leaf, "endpoint_url", None), getattr(leaf, "region", None))
            for leaf in found
        }
        if len(found) > 1 and len(regions) == 1:
            ((_, region),) = regions
            if region is not None:
                yield node, f"all are in {region}, and lost with it"


def replica_that_is_not_written(stack: Stack) -> Found:
    """
    A replica that refuses writes is behind for ever.

    Every write to it fails and leaves a row in the journal, which no repair can settle.
    To read from a place that somebody else keeps is what `fallback` is for.

    Hurts::

        images:
          type: replicated
          replicas:
            own: {type: s3, bucket: pictures}
            theirs: {type: readonly, child: {type: s3, bucket: theirs}}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}

    Better::

        images:
          type: fallback
          stores:
            own: {type: s3, bucket: pictures}
            theirs: {type: readonly, child: {type: s3, bucket: theirs}}
    """
    for store, node in stack.stores("replicated"):
        for name, child in store.replicas.items():
            if "put" not in child.capabilities() or any(
                kind(below) == "readonly" for below in walk(child)
            ):
                yield node, f"{name} cannot be written; use type: fallback for it"


def cache_below_mirror(stack: Stack) -> Found:
    """
    A mirror must see what a replica has, not a copy of it.

    Repair and verification read through the cache and take a copy for the replica's
    own object, and every write pays for dropping copies in each.  One cache above the
    mirror serves all its replicas.

    Hurts::

        images:
          type: replicated
          replicas:
            us: {type: cached, tiers: [{type: memory, ttl: 60s}], origin: us}
            eu: {type: s3, bucket: pictures-eu}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}
        us: {type: s3, bucket: pictures-us}

    Better::

        images: {type: cached, tiers: [{type: memory, ttl: 60s}], origin: regions}
        regions:
          type: replicated
          replicas:
            us: {type: s3, bucket: pictures-us}
            eu: {type: s3, bucket: pictures-eu}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}
    """
    for store, node in stack.stores("replicated"):
        for name, child in store.replicas.items():
            if any(kind(below) == "cached" for below in walk(child)):
                yield node, f"{name} is cached; put one cache around the mirror"


def missing_disk_made(stack: Stack) -> Found:
    """
    A directory that is made when it is missing hides a disk that is not mounted.

    With `create: true` an unmounted disk is an empty one: reads find nothing, writes go
    to the disk below, and both vanish when the disk is back.  Where there is another
    copy to go on with, a directory that is missing should be an outage.

    Hurts::

        images:
          type: replicated
          replicas:
            a: {type: filesystem, path: /mnt/a/images, create: true}
            b: {type: filesystem, path: /mnt/b/images, create: true}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}

    Better::

        images:
          type: replicated
          replicas:
            a: {type: filesystem, path: /mnt/a/images}
            b: {type: filesystem, path: /mnt/b/images}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}
    """
    for store, node in stack.stores("replicated", "fallback"):
        for name, child in store.children().items():
            for leaf in leaves(child):
                if kind(leaf) == "filesystem" and leaf.create:
                    yield (
                        stack.node_of(leaf, node),
                        f"create: true: while its disk is not mounted, {name} of "
                        f"{node.path} is an empty directory; make it once, by hand",
                    )


def nothing_kept(stack: Stack) -> Found:
    """
    What is in memory is gone when the process ends, copies and originals alike.

    A mirror one of whose replicas is in memory believes that it has a second copy.
    After a restart it has none, and nothing in the journal says so.

    Hurts::

        images:
          type: replicated
          replicas: {disk: {type: filesystem, path: /srv/images}, spare: {type: memory}}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}

    Better::

        images:
          type: replicated
          replicas:
            disk: {type: filesystem, path: /srv/images}
            spare: {type: filesystem, path: /mnt/spare}
          journal: {type: sqlite, path: /var/lib/images.sqlite}
          repair: {every: 30s}
    """
    for store, node in stack.stores("replicated"):
        kept = {
            name: any(kind(leaf) != "memory" for leaf in leaves(child))
            for name, child in store.replicas.items()
        }
        if any(kept.values()):
            for name in (name for name in kept if not kept[name]):
                yield (
                    node,
                    f"{name} is in memory: when the process ends its copies are gone, "
                    "and the journal does not know",
                )
