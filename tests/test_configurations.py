"""The configurations that people copy: each builds, and each has been used."""

from __future__ import annotations

import copy
import functools
import uuid

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.redis import RedisServer
from tests.servers.s3 import S3Server
from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.config import build, examine, load
from tiered_store.demo.place import CONFIG
from tiered_store.errors import NotFoundError, ReadOnlyError
from tiered_store.events import CacheHit, Event
from tiered_store.journals.sqlite import SQLiteJournal
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.store import Store
from tiered_store.testing import StoreConformance
from tiered_store.tree import label, observe
from tiered_store.wrappers.replicated import ReplicatedStore


FOLDER = Path(__file__).parent.parent / "config"
KEY = Key("comics.cover", 5, 30, 40, "image/png")
SECRETS = {
    "REDIS_URL": "redis://:hunter2-redis@127.0.0.1:1/0",
    "US_SECRET_KEY": "hunter2-us",
    "EU_SECRET_KEY": "hunter2-eu",
    "PRODUCTION_SECRET_KEY": "hunter2-production",
}
NAMES = {
    "US_BUCKET": "pictures-us",
    "US_ACCESS_KEY": "us",
    "EU_BUCKET": "pictures-eu",
    "EU_ACCESS_KEY": "eu",
    "PRODUCTION_BUCKET": "pictures",
    "PRODUCTION_ACCESS_KEY": "production",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Everything that the configurations ask the environment for."""
    for name, value in {**SECRETS, **NAMES}.items():
        monkeypatch.setenv(name, value)
    for name in ("IMAGES_DIR", "SANDBOX_DIR", "DEMO_OUTPUT"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("IMAGES_JOURNAL", str(tmp_path / "journal.sqlite"))
    monkeypatch.setenv("IMAGES_PURGES", str(tmp_path / "purges.sqlite"))
    monkeypatch.setenv("IMAGES_DECISIONS", str(tmp_path / "decisions.json"))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.name)
def test_each_is_right_and_shows_no_secret(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What people copy has no problem, no warning, and prints nothing secret."""
    assert examine(path) == ([], [])
    for words in (["check"], ["tree"], ["tree", "--json"]):
        assert main([words[0], str(path), *words[1:]]) == 0
    shown = capsys.readouterr()
    assert "hunter2" not in shown.out + shown.err
    load(path).close()


def test_all_four_are_there() -> None:
    """The documentation names them."""
    names = {path.stem for path in FOLDER.iterdir()}
    assert names >= {"demo", "development", "production", "sandbox"}


def test_the_demo_runs_on_the_configuration_that_is_shown() -> None:
    """The package carries its own copy, so that the demo works once installed."""
    assert (FOLDER / "demo.yaml").read_bytes() == CONFIG.read_bytes()


def test_development_keeps_files_to_look_at(tmp_path: Path) -> None:
    """The directory is made, and the names in it are those of production."""
    with load(FOLDER / "development.yaml") as store:
        store.put(KEY, Body.of(b"cover"))
        assert store.get(KEY).read() == b"cover"
        assert store.get(KEY).read() == b"cover"
        assert store.url(KEY).startswith("http://localhost:8000/images/comics.cover/")
    file = tmp_path / "images_dir" / "comics.cover" / "5" / "0" / "5.30x40.png"
    assert file.read_bytes() == b"cover"


@pytest.mark.servers
def test_production_caches_and_mirrors(
    redis_server: RedisServer, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against real servers: both buckets have it, and the second read is a hit."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    mapping, buckets = _production(moto_server)
    events: list[Event] = []
    with build(mapping) as store:
        observe(store, events.append)
        store.put(KEY, Body.of(b"cover"))
        for bucket in buckets:
            assert _content(moto_server, bucket) == b"cover"
        assert store.get(KEY).read() == b"cover"
        assert store.get(KEY).read() == b"cover"
        assert [e.tier for e in events if isinstance(e, CacheHit)] == ["tiers.0"]
        assert "X-Amz-Signature" in store.url(KEY)
    events.clear()
    with build(mapping) as another:  # process, with nothing in memory
        observe(another, events.append)
        assert another.get(KEY).read() == b"cover"
        assert [e.tier for e in events if isinstance(e, CacheHit)] == ["tiers.1"]
        another.delete(KEY)
        with pytest.raises(NotFoundError):
            another.get(KEY)


@pytest.mark.servers
def test_production_survives_a_region_and_its_cache(
    moto_server: S3Server, tmp_path: Path
) -> None:
    """With Redis down and one bucket gone, reads and writes go on; it converges."""
    mapping, (us, eu) = _production(moto_server)
    mapping["stores"]["us-east"]["endpoint_url"] = "http://127.0.0.1:1"
    with build(mapping) as store:
        store.put(KEY, Body.of(b"cover"))
        assert store.get(KEY).read() == b"cover"
        assert _content(moto_server, eu) == b"cover"
    purges = SQLiteJournal(str(tmp_path / "purges.sqlite"))
    assert purges.rows(KEY), "what Redis may have of it is not to be believed"
    mapping["stores"]["us-east"]["endpoint_url"] = moto_server.endpoint_url
    with build(mapping, "regions") as regions:
        assert isinstance(regions, ReplicatedStore)
        assert regions.get(KEY).read() == b"cover", "not from us, which missed it"
        assert regions.repair().repaired == 1
        assert regions.status().rows == 0
    assert _content(moto_server, us) == b"cover"


@pytest.mark.servers
def test_a_sandbox_changes_nothing_below(moto_server: S3Server) -> None:
    """Production's bucket holds what it held, whatever is done above."""
    bucket = moto_server.make_bucket()
    mapping = _mapping("sandbox")
    _point(mapping["stores"]["production"]["child"], moto_server, bucket)
    with moto_server.client() as client:
        client.put_object(Bucket=bucket, Key=object_name(KEY), Body=b"production's")
    with build(mapping) as store:
        assert store.get(KEY).read() == b"production's"
        store.put(KEY, Body.of(b"mine"))
        assert store.get(KEY).read() == b"mine"
        store.delete(KEY)
        with pytest.raises(NotFoundError):
            store.get(KEY)
    assert _content(moto_server, bucket) == b"production's"
    with build(mapping, "production") as production, pytest.raises(ReadOnlyError):
        production.delete(KEY)


@pytest.mark.servers
class TestConfigurations(StoreConformance):
    """What people copy obeys every rule that a store must obey."""

    @pytest.fixture(params=["demo", "development", "production", "sandbox"])
    def store(
        self,
        request: pytest.FixtureRequest,
        tmp_path: Path,
        redis_server: RedisServer,
        moto_server: S3Server,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Iterator[Store]:
        """Each of them, on real servers and empty."""
        monkeypatch.setenv("REDIS_URL", redis_server.url)
        mapping = _mapping(request.param)
        if request.param == "demo":
            for name in ("east", "west", "last-resort"):
                (tmp_path / "demo_output" / name).mkdir(parents=True)
        if request.param == "production":
            mapping, _ = _production(moto_server)
        if request.param == "sandbox":
            bucket = moto_server.make_bucket()
            _point(mapping["stores"]["production"]["child"], moto_server, bucket)
        with build(mapping) as store:
            yield label(store, request.param)


def _mapping(name: str) -> dict[str, Any]:
    return copy.deepcopy(_parsed(name))


@functools.cache
def _parsed(name: str) -> dict[str, Any]:
    mapping = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert isinstance(mapping, dict)
    return mapping


def _production(server: S3Server) -> tuple[dict[str, Any], list[str]]:
    """Return the configuration with both regions on *server*, and their buckets."""
    mapping = _mapping("production")
    # the server is shared: no test may meet the copies of another
    mapping["stores"]["images"]["tiers"][1]["prefix"] = f"{uuid.uuid4()}:"
    buckets = [server.make_bucket(), server.make_bucket()]
    for name, bucket in zip(("us-east", "eu-west"), buckets, strict=True):
        _point(mapping["stores"][name], server, bucket)
    return mapping, buckets


def _point(node: dict[str, Any], server: S3Server, bucket: str) -> None:
    node.update(
        bucket=bucket,
        endpoint_url=server.endpoint_url,
        access_key=server.access_key,
        secret_key=server.secret_key,
    )


def _content(server: S3Server, bucket: str) -> bytes:
    with server.client() as client:
        found = client.get_object(Bucket=bucket, Key=object_name(KEY))
        content = found["Body"].read()
        assert isinstance(content, bytes)
        return content
