"""
S3 servers for the tests.

``moto_server`` is quick and believes everybody; ``seaweed_server`` checks signatures,
dates and digests, and keeps its objects on disk.  Both are shared by the whole
session: make a bucket of your own, and leave the server as it was.  ``private_s3``
starts a server for one test, which may freeze and kill it.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import itertools
import json
import sys

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.servers.process import ServerProcess, free_port
from tiered_store.backends.s3 import S3Store
from tiered_store.body import Body
from tiered_store.errors import StoreError
from tiered_store.key import Key


ACCESS_KEY, SECRET_KEY = "test-access", "test-secret"
READER = ("test-reader", "test-reader-secret")  # may read, and neither write nor list
_BINARIES = Path(sys.executable).parent
_ROOT = Path(__file__).parent.parent.parent
_numbers = itertools.count(1)


@dataclass(frozen=True)
class S3Server:
    """A server that is running, and how to get in."""

    endpoint_url: str
    access_key: str
    secret_key: str
    process: ServerProcess
    ports: tuple[int, ...]

    def store(self, bucket: str, **options: Any) -> S3Store:
        """Return a store of *bucket*; close it."""
        given = {
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "endpoint_url": self.endpoint_url,
            "timeout": 20.0,  # its own 2 are too little where the machine is busy
        }
        return S3Store(bucket, **{**given, **options})

    def make_bucket(self) -> str:
        """Return the name of a new bucket."""
        name = f"bucket-{next(_numbers)}"
        with self.client() as client:
            client.create_bucket(Bucket=name)
        return name

    def stop(self) -> None:
        """End it, and remove the sockets that SeaweedFS leaves behind when killed."""
        self.process.kill()
        if "_plain" in vars(self):
            self._plain.close()
        for port in self.ports:
            for number in (port, port + 10_000):
                for socket in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
                    socket.unlink(missing_ok=True)

    @contextlib.contextmanager
    def client(self, endpoint_url: str | None = None, **options: Any) -> Iterator[Any]:
        """
        Lend a plain client of boto3, to look behind a store's back.

        One without *options* is the same for all: to make one takes ten milliseconds.
        """
        if endpoint_url is None and not options:
            yield self._plain
            return
        client = self._made(endpoint_url or self.endpoint_url, **options)
        try:
            yield client
        finally:
            client.close()

    @functools.cached_property
    def _plain(self) -> Any:
        return self._made(self.endpoint_url)

    def _made(self, endpoint_url: str, **options: Any) -> Any:
        from botocore.config import Config

        return _session().client(
            "s3",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            endpoint_url=endpoint_url,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, **options),
        )


@functools.cache
def _session() -> Any:
    import boto3.session  # half a second that most test runs need not pay

    return boto3.session.Session()


Kind = Literal["moto", "seaweed"]


def start_s3(kind: Kind, folder: Path) -> S3Server:
    """Return a new server that keeps its files in *folder*; stop it."""
    for _ in range(3):
        try:
            return _start_s3(kind, folder)
        except RuntimeError as error:  # a port was free when it was chosen
            if "address already in use" not in str(error).lower():
                raise
    return _start_s3(kind, folder)


def _start_s3(kind: Kind, folder: Path) -> S3Server:
    ports = [free_port() for _ in range(4)]
    command = _moto(ports[0]) if kind == "moto" else _seaweed(ports, folder)
    process = ServerProcess(
        command,
        lambda: _answers(ports[0]),
        folder,
        environment={"PYTHONPATH": str(_ROOT)},
    )
    url = f"http://127.0.0.1:{ports[0]}"
    server = S3Server(url, ACCESS_KEY, SECRET_KEY, process, tuple(ports))
    if kind == "seaweed":
        _warm(server)
    return server


def _moto(port: int) -> list[str]:
    return [sys.executable, "-m", "tests.servers.moto", str(port)]


def _seaweed(ports: Sequence[int], folder: Path) -> list[str]:
    identities = [
        ("admin", (ACCESS_KEY, SECRET_KEY), ["Admin", "Read", "Write", "List"]),
        ("reader", READER, ["Read"]),
    ]
    listed = [
        {
            "name": name,
            "credentials": [{"accessKey": access, "secretKey": secret}],
            "actions": actions,
        }
        for name, (access, secret), actions in identities
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": listed}))
    (folder / "data").mkdir(exist_ok=True)
    return [
        str(_BINARIES / "weed"),
        "server",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={ports[1]}",
        "-master.telemetry=false",
        f"-volume.port={ports[2]}",
        "-volume.max=0",
        "-master.volumeSizeLimitMB=64",
        "-filer",
        f"-filer.port={ports[3]}",
        "-s3",
        f"-s3.port={ports[0]}",
        "-s3.port.iceberg=0",  # which would be the same for every server
        "-s3.port.lance=0",
        f"-s3.config={folder / 's3.json'}",
    ]


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def _warm(server: S3Server) -> None:
    """Return once it can write, which comes a little later than its first answer."""
    with server.store(server.make_bucket(), timeout=30) as store:
        for attempts_left in range(9, -1, -1):
            try:
                store.put(Key("warm", 1, 1, 1, "image/png"), Body.of(b"x"))
            except StoreError:
                if not attempts_left:
                    raise
            else:
                return


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One for the session; it checks no signatures."""
    server = start_s3("moto", tmp_path_factory.mktemp("moto"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def seaweed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One for the session; it checks everything."""
    server = start_s3("seaweed", tmp_path_factory.mktemp("seaweed"))
    yield server
    server.stop()


@pytest.fixture
def private_s3(tmp_path: Path) -> Iterator[Callable[..., S3Server]]:
    """Start a server for this test alone: ``private_s3("moto")``."""
    servers: list[S3Server] = []

    def start(kind: Kind = "moto") -> S3Server:
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        servers.append(start_s3(kind, folder))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
