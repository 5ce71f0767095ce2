"""Whether what a configuration names is there, tried on real servers."""

from __future__ import annotations

import contextlib
import json

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.redis import ClusterSetup, RedisServer, RedisServers, SentinelSetup
from tests.servers.s3 import READER, S3Server
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.cli import main
from tiered_store.config import build
from tiered_store.connecting import connect
from tiered_store.store import Store
from tiered_store.tree import label


def found(stack: Store) -> dict[tuple[str, str], tuple[str, str]]:
    """Return state and message of all that is tried, by place and by what."""
    with stack:
        return {
            (x.place, x.what): (x.state, x.message) for x in connect(stack, seconds=60)
        }


def stack(node: dict[str, Any], **others: dict[str, Any]) -> Store:
    """Return a stack that is called ``images``."""
    return build(
        {"version": 1, "default": "images", "stores": {"images": node, **others}}
    )


def s3(server: S3Server, bucket: str, **options: Any) -> dict[str, Any]:
    """Return the node of *bucket* on *server*."""
    return {
        "type": "s3",
        "bucket": bucket,
        "endpoint_url": server.endpoint_url,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "timeout": "20s",
        "connect_timeout": "20s",
        **options,
    }


def test_a_directory_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    """Every permission; no file and no directory of ours is left."""
    (tmp_path / "comics.cover").mkdir()
    tried = found(label(FileSystemStore(str(tmp_path)), "images"))

    assert {what for _, what in tried} == {
        "put",
        "get",
        "stat",
        "list",
        "delete",
        "clock",
    }
    assert {state for state, _ in tried.values()} == {"ok"}
    assert [path.name for path in tmp_path.iterdir()] == ["comics.cover"]


def test_a_disk_that_is_not_mounted_fails(tmp_path: Path) -> None:
    """And says what is missing."""
    tried = found(label(FileSystemStore(str(tmp_path / "unmounted")), "images"))

    state, message = tried["images", "put"]
    assert state == "failed"
    assert "no such directory" in message


def test_what_is_only_read_is_only_read(tmp_path: Path) -> None:
    """Below an overlay, and below whatever refuses changes."""
    for name in ("mine", "theirs", "archive"):
        (tmp_path / name).mkdir()
    files = {"type": "filesystem", "path": str(tmp_path / "theirs")}
    tried = found(
        stack(
            {
                "type": "overlay",
                "above": {"type": "filesystem", "path": str(tmp_path / "mine")},
                "below": "theirs",
            },
            theirs=files,
        )
    )

    assert tried["images.above", "put"][0] == "ok"
    assert tried["images.below", "get"] == ("ok", "absent is told from failed")
    assert ("images.below", "put") not in tried


@pytest.mark.servers
def test_a_bucket_with_all_rights(moto_server: S3Server) -> None:
    """It is reached, the object is put and gone, and its settings are looked at."""
    bucket = moto_server.make_bucket()

    tried = found(stack(s3(moto_server, bucket, prefix="originals")))

    assert [one for one in tried.items() if one[1][0] not in {"ok", "note"}] == []
    assert tried["images", "versioning"] == ("ok", "off")
    assert tried["images", "clock"][0] == "ok"
    assert "abort them" in tried["images", "lifecycle"][1]
    with moto_server.client() as client:
        assert "Contents" not in client.list_objects_v2(Bucket=bucket)


@pytest.mark.servers
def test_settings_of_a_bucket_that_bite(moto_server: S3Server) -> None:
    """Versions that are kept for ever, and rules that delete what is ours."""
    bucket = moto_server.make_bucket()
    rules = [
        {
            "ID": "tidy",
            "Status": "Enabled",
            "Filter": {"Prefix": "orig"},
            "Expiration": {"Days": 30},
        },
        {
            "ID": "others",
            "Status": "Enabled",
            "Filter": {"Prefix": "logs/"},
            "Expiration": {"Days": 1},
        },
    ]
    with moto_server.client() as client:
        client.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
        )
        client.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": rules}
        )

    tried = found(stack(s3(moto_server, bucket, prefix="originals")))

    assert tried["images", "versioning"][0] == "warning"
    assert "kept and billed for ever" in tried["images", "versioning"][1]
    state, message = tried["images", "lifecycle"]
    assert (state, "'tidy' deletes objects after 30 days" in message) == (
        "warning",
        True,
    )


@pytest.mark.servers
def test_a_bucket_that_may_only_be_read(seaweed_server: S3Server) -> None:
    """What is denied is told as such, and nothing else is tried in its place."""
    bucket = seaweed_server.make_bucket()
    access_key, secret_key = READER
    node = s3(seaweed_server, bucket, access_key=access_key, secret_key=secret_key)

    tried = found(stack(node))

    assert tried["images", "put"][0] == "failed"
    assert "denied" in tried["images", "put"][1].lower()


@pytest.mark.servers
def test_a_bucket_that_is_not_there(moto_server: S3Server) -> None:
    """Its name is told."""
    tried = found(stack(s3(moto_server, "no-such-bucket")))

    assert tried["images", "bucket"][0] == "failed"
    assert "no-such-bucket" in tried["images", "bucket"][1]


@pytest.mark.servers
def test_a_redis_for_each_use(redis_servers: RedisServers, tmp_path: Path) -> None:
    """Copies may be evicted and need not be kept; objects and rows must be."""
    evicting = ("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lfu")
    cache = redis_servers(*evicting)
    keeping = redis_servers("--appendonly", "yes")

    def tried(copies: str, rows: str) -> dict[tuple[str, str], tuple[str, str]]:
        return found(
            stack(
                {
                    "type": "cached",
                    "tiers": [{"type": "redis", "url": copies, "ttl": "1d"}],
                    "origin": {
                        "type": "replicated",
                        "replicas": {"a": {"type": "redis", "url": rows}},
                        "journal": {"type": "redis", "url": rows},
                    },
                }
            )
        )

    right, wrong = tried(cache.url, keeping.url), tried(keeping.url, cache.url)

    assert {state for state, _ in right.values()} == {"ok"}
    assert right["images.tiers.0", "eviction"] == ("ok", "allkeys-lfu")
    assert right["images.origin.journal", "persistence"] == ("ok", "append only file")
    assert wrong["images.tiers.0", "eviction"][0] == "warning"
    assert "old copies are back" in wrong["images.tiers.0", "persistence"][1]
    for place in ("images.origin.a", "images.origin.journal"):
        assert wrong[place, "eviction"][0] == "failed"
        assert "noeviction" in wrong[place, "eviction"][1]
        assert "appendonly yes" in wrong[place, "persistence"][1]
    assert cache.ask("DBSIZE") == 0, "nothing of ours is left"


@contextlib.contextmanager
def set_to(server: RedisServer, **settings: str) -> Iterator[None]:
    """Change settings of a server that all tests share, for a while."""
    before = {
        name: next(iter(server.ask("CONFIG", "GET", name).values()))
        for name in settings
    }
    try:
        for name, value in settings.items():
            server.ask("CONFIG", "SET", name, value)
        yield
    finally:
        for name, value in before.items():
            server.ask("CONFIG", "SET", name, value)


EVICTING = {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"}


@pytest.mark.servers
def test_a_service_of_sentinels(sentinel_setup: SentinelSetup) -> None:
    """It is the master that is reached and looked at; nothing of ours is left there."""
    node = {
        "type": "redis",
        "mode": "sentinel",
        "sentinels": sentinel_setup.addresses,
        "service": sentinel_setup.service,
        "prefix": "connecting:",
    }
    with set_to(sentinel_setup.master, **EVICTING, save="3600 1"):
        tried = found(stack(node))

    for what in ("connect", "clock", "put", "get", "list", "delete"):
        assert tried["images", what][0] == "ok", tried
    assert tried["images", "eviction"][0] == "failed"
    assert tried["images", "eviction"][1].startswith("allkeys-lru: when it is full")
    assert tried["images", "persistence"] == ("ok", "snapshots")
    assert ("images", "replication") not in tried
    assert sentinel_setup.master.ask("KEYS", "connecting:*") == []


@pytest.mark.servers
def test_a_service_that_the_sentinels_do_not_know(
    sentinel_setup: SentinelSetup,
) -> None:
    """Its name is told, and nothing more is tried."""
    node = {
        "type": "redis",
        "mode": "sentinel",
        "sentinels": sentinel_setup.addresses,
        "service": "no-such-service",
    }

    tried = found(stack(node))

    assert tried["images", "connect"][0] == "failed"
    assert "no-such-service" in tried["images", "connect"][1]
    assert ("images", "eviction") not in tried


@pytest.mark.servers
def test_a_master_that_nobody_follows(redis_servers: RedisServers) -> None:
    """Sentinels watch it, and have nobody to put in its place."""
    master, sentinel = redis_servers(), redis_servers("--sentinel")
    sentinel.ask("SENTINEL", "MONITOR", "alone", "127.0.0.1", master.port, 1)
    node = {
        "type": "redis",
        "mode": "sentinel",
        "sentinels": [sentinel.address],
        "service": "alone",
    }

    tried = found(stack(node))

    assert tried["images", "replication"] == (
        "warning",
        "no replica follows the master: nobody takes over from it",
    )


@pytest.mark.servers
def test_a_cluster(cluster_setup: ClusterSetup) -> None:
    """Each of its nodes is looked at, for each has its own settings."""
    node = {
        "type": "redis",
        "mode": "cluster",
        "url": cluster_setup.url,
        "prefix": "connecting:",
    }
    _, odd, _ = cluster_setup.nodes
    alike = found(stack(node))
    with set_to(odd, **EVICTING, save="3600 1"):
        findings = list(connect(stack(node)))
    said = {(each.what, each.state): each.message for each in findings}

    for what in ("connect", "clock", "put", "get", "list", "delete"):
        assert alike["images", what][0] == "ok", alike
        assert (what, "ok") in said
    assert alike["images", "eviction"] == ("ok", "noeviction")
    assert said["eviction", "failed"].startswith(f"{odd.address}: allkeys-lru: when")
    assert said["eviction", "ok"].endswith(": noeviction")
    assert said["persistence", "ok"] == f"{odd.address}: snapshots"
    assert "off: a restart forgets objects" in said["persistence", "warning"]
    assert odd.address not in said["persistence", "warning"]
    for one in cluster_setup.nodes:
        assert one.ask("KEYS", "connecting:*") == []


@pytest.mark.servers
def test_a_redis_that_is_away_fails_soon() -> None:
    """By the store's own timeout; the other places are tried all the same."""
    node = {
        "type": "cached",
        "tiers": [{"type": "redis", "url": "redis://:hunter2@127.0.0.1:1"}],
        "origin": {"type": "memory"},
    }

    tried = found(stack(node))

    assert tried["images.tiers.0", "connect"][0] == "failed"
    assert tried["images.origin", "put"][0] == "ok"
    assert "hunter2" not in str(tried)


Written = Callable[[str], Path]


def test_the_command_prints_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 if something fails, with the rest told as well; JSON for programs."""
    (tmp_path / "here").mkdir()
    path = tmp_path / "stack.yaml"
    path.write_text(
        "version: 1\n"
        "default: images\n"
        "stores:\n"
        "  images: {type: migrating, old: there, new: here}\n"
        f"  here: {{type: filesystem, path: {tmp_path}/here}}\n"
        f"  there: {{type: filesystem, path: {tmp_path}/there}}\n"
    )

    assert main(["check", "--connect", str(path)]) == 1
    printed = capsys.readouterr().out
    assert "images.old" in printed
    assert "no such directory" in printed
    assert "nothing wrong" in printed

    assert main(["check", "--connect", "--json", str(path)]) == 1
    connections = json.loads(capsys.readouterr().out)["connections"]
    assert {"place", "what", "state", "message"} == set(connections[0])

    (tmp_path / "there").mkdir()
    assert main(["check", "--connect", str(path)]) == 0
