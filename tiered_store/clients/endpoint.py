"""
Where a Redis or Valkey server, Sentinel or Cluster is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, Self
from urllib.parse import parse_qsl, urlsplit

from tiered_store.errors import ConfigError
from tiered_store.strict import strict
from tiered_store.units import Duration, Secret


Mode = Literal["standalone", "sentinel", "cluster"]

PORT, SENTINEL_PORT = 6379, 26379
_ASKABLE = frozenset({"db", "client_name", "protocol", "username", "password"})


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """
    Where the servers are, and how long they may take.

    Attributes:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, with user, password and
            database.  For Sentinel it names no host, for a Cluster one of its nodes.
        sentinels: Each ``host:port``.
        service: What the sentinels call the master.
        sentinel_username: Of the sentinels, which have credentials of their own.
        sentinel_password: The same.
        nodes: More nodes of a Cluster to ask where the others are, ``host:port``.
        timeout: Seconds without a byte sent or received.
        connect_timeout: Seconds until a connection is there, its name resolved and all
            addresses tried.
        connections: At most, to each server.

    Raises:
        ConfigError: They do not fit together; every problem at once.
    """

    url: Secret | str | None = None
    mode: Mode = "standalone"
    sentinels: Sequence[str] = ()
    service: str | None = None
    sentinel_username: str | None = None
    sentinel_password: Secret | str | None = None
    nodes: Sequence[str] = ()
    timeout: Duration = 0.25
    connect_timeout: Duration = 0.25
    connections: int = 100

    def __post_init__(self) -> None:
        problems = [
            *self._problems_of_mode(),
            *_problems_of_url(revealed(self.url), self.mode),
            *_problems_of_addresses("sentinels", self.sentinels),
            *_problems_of_addresses("nodes", self.nodes),
            *(
                f"{name} must be more than zero, not {getattr(self, name)!r}"
                for name in ("timeout", "connect_timeout", "connections")
                if not getattr(self, name) > 0
            ),
        ]
        if problems:
            raise ConfigError(problems)

    @classmethod
    def of(cls, options: object, url: Secret | str | None) -> Self:
        """Return what *options*, whose attributes have the same names, describe."""
        others = [field.name for field in fields(cls) if field.name != "url"]
        return cls(url=url, **{name: getattr(options, name) for name in others})

    @property
    def patience(self) -> float:
        """Return the seconds to wait for another thread that asks the servers."""
        return self.timeout + self.connect_timeout

    def _problems_of_mode(self) -> list[str]:
        problems = []
        if self.mode == "sentinel":
            if not self.sentinels:
                problems.append("mode sentinel needs sentinels, such as [a:26379]")
            if self.service is None:
                problems.append("mode sentinel needs service, the master's name")
        else:
            given = {
                "sentinels": self.sentinels,
                "service": self.service,
                "sentinel_username": self.sentinel_username,
                "sentinel_password": self.sentinel_password,
            }
            problems += [
                f"{name} is for mode sentinel, and this is {self.mode}"
                for name, value in given.items()
                if value
            ]
            if self.url is None and not (self.mode == "cluster" and self.nodes):
                problems.append("url is missing; write it like redis://host:6379/0")
        if self.nodes and self.mode != "cluster":
            problems.append(f"nodes is for mode cluster, and this is {self.mode}")
        return problems


def revealed(value: Secret | str | None) -> str | None:
    """Return *value* as it is, for the one place that needs it."""
    return value.reveal() if isinstance(value, Secret) else value


def addresses(given: Sequence[str], port: int) -> list[tuple[str, int]]:
    """Return host and port of each, or *port* where none is said."""
    found = (_host_and_port(address, port) for address in given)
    return [address for address in found if address is not None]


def _problems_of_addresses(option: str, given: Sequence[str]) -> list[str]:
    return [
        # credentials may have been put here by mistake, so it is not shown
        f"{option}[{number}] is no host and port; write it like 10.0.0.1:6379"
        for number, address in enumerate(given)
        if _host_and_port(address, PORT) is None
    ]


def _problems_of_url(url: str | None, mode: Mode) -> list[str]:
    """Return what is wrong with *url*, which is not shown: it may hold a password."""
    if url is None:
        return []
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
        split_well = not parts.fragment and "@" not in parts.query
    except ValueError:
        split_well = False
    if not split_well:
        return ["url is no URL; a password with odd characters must be %-encoded"]
    if parts.scheme not in {"redis", "rediss", "unix"} or not port_is_fine:
        return ["url must begin with redis://, rediss:// or unix://"]
    problems = [
        f"url must not set {name!r}; give it as an option, or leave it out"
        for name, _ in parse_qsl(parts.query)
        if name not in _ASKABLE and not name.startswith("ssl_")
    ]
    database = parts.path.strip("/")
    if parts.scheme == "unix":
        if mode != "standalone":
            problems.append(f"a unix:// url is for mode standalone, and this is {mode}")
        elif not parts.path:
            problems.append(
                "url must say the path of the socket: unix:///run/redis.sock"
            )
        return problems
    if mode == "sentinel" and parts.hostname:
        problems.append(
            "url must name no host in mode sentinel, the sentinels know it; write it "
            "like redis://user:password@/0"
        )
    if mode != "sentinel" and not parts.hostname:
        problems.append("url must name a host: redis://host:6379/0")
    if database and not database.isdecimal():
        problems.append("url must end with the number of a database, such as /0")
    if mode == "cluster" and database not in {"", "0"}:
        problems.append("a Cluster has only database 0")
    return problems


def _host_and_port(address: str, default: int) -> tuple[str, int] | None:
    try:
        parts = urlsplit(f"//{address}")
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.path or parts.query or "@" in address:
        return None
    return parts.hostname, default if port is None else port
