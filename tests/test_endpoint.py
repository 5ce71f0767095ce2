"""Where a Redis server is, checked before anybody goes there."""

from __future__ import annotations

from typing import Any

import pytest

from tiered_store.clients.endpoint import Endpoint, addresses
from tiered_store.errors import ConfigError
from tiered_store.units import Secret


SENTINEL: dict[str, Any] = {"mode": "sentinel", "sentinels": ["a:1"], "service": "m"}


@pytest.mark.parametrize(
    "options",
    [
        {"url": "redis://127.0.0.1"},
        {"url": Secret("rediss://user:p%40ss@[::1]:6380/3?ssl_cert_reqs=none")},
        {"url": "unix:///run/redis.sock?db=2"},
        {"url": "redis://127.0.0.1?db=2&protocol=2&client_name=images"},
        SENTINEL,
        {**SENTINEL, "url": "redis://user:password@/2"},
        {**SENTINEL, "url": "rediss:///", "sentinel_password": Secret("x")},
        {"mode": "cluster", "url": "redis://a:1/0", "nodes": ["b:1", "c"]},
        {"mode": "cluster", "nodes": ["[::1]:7000"]},
    ],
)
def test_what_fits_together_is_taken(options: dict[str, Any]) -> None:
    """The spellings that the documentation shows."""
    Endpoint(**options)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "url is missing"),
        ({"url": "http://127.0.0.1"}, "must begin with redis://"),
        ({"url": "127.0.0.1:6379"}, "must begin with redis://"),
        ({"url": "redis:///0"}, "must name a host"),
        ({"url": "redis://127.0.0.1:99999"}, "no URL"),
        ({"url": "redis://127.0.0.1/images"}, "number of a database"),
        ({"url": "redis://127.0.0.1?socket_timeout=60"}, "'socket_timeout'"),
        ({"url": "redis://127.0.0.1?decode_responses=true"}, "'decode_responses'"),
        ({"url": "unix://"}, "path of the socket"),
        ({"url": "redis://a", "mode": "clustre"}, "mode: expected 'standalone'"),
        ({"url": "redis://a", "sentinels": ["b:1"]}, "sentinels is for mode sentinel"),
        ({"url": "redis://a", "service": "m"}, "service is for mode sentinel"),
        ({"url": "redis://a", "nodes": ["b:1"]}, "nodes is for mode cluster"),
        ({"mode": "sentinel", "service": "m"}, "needs sentinels"),
        ({"mode": "sentinel", "sentinels": ["a:1"]}, "needs service"),
        ({**SENTINEL, "url": "redis://a/0"}, "must name no host"),
        ({**SENTINEL, "url": "unix:///run/redis.sock"}, "for mode standalone"),
        ({**SENTINEL, "sentinels": ["a:b"]}, r"sentinels\[0\] is no host and port"),
        ({"mode": "cluster"}, "url is missing"),
        ({"mode": "cluster", "url": "redis://a/3"}, "only database 0"),
        ({"mode": "cluster", "nodes": ["redis://a:1"]}, r"nodes\[0\] is no host"),
        ({"url": "redis://a", "timeout": 0}, "timeout must be more than zero"),
        (
            {"url": "redis://a", "connect_timeout": -1},
            "connect_timeout: expected seconds",
        ),
        ({"url": "redis://a", "connections": 0}, "connections must be"),
    ],
)
def test_what_does_not_is_told_with_advice(
    options: dict[str, Any], problem: str
) -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigError, match=problem):
        Endpoint(**options)


def test_every_problem_is_told_at_once() -> None:
    """Nobody should have to find them one by one."""
    with pytest.raises(ConfigError) as raised:
        Endpoint(mode="sentinel", url="redis://a/b", timeout=0, nodes=["b"])

    assert len(raised.value.problems) == 6


@pytest.mark.parametrize(
    "options",
    [
        {"url": "redis://:hunter2@127.0.0.1:port/0"},
        {"url": "redis://:hun?hunter2=1@127.0.0.1/0"},
        {"url": "redis://:12#hunter2@127.0.0.1/0"},
        {"url": "redis://user:hunter2@[127.0.0.1/0"},
        {"url": "hunter2"},
        {**SENTINEL, "sentinels": [":hunter2@a:1"]},
        {"mode": "cluster", "nodes": ["user:hunter2@a:1"]},
    ],
)
def test_what_is_wrong_with_a_secret_does_not_show_it(options: dict[str, Any]) -> None:
    """A password that is badly spelled is a password all the same."""
    with pytest.raises(ConfigError) as raised:
        Endpoint(**options)

    assert "hunter2" not in str(raised.value)


def test_addresses_have_a_port_of_their_own_or_the_usual_one() -> None:
    """IPv6 stands in brackets, as everywhere."""
    given = ["10.0.0.1:7000", "redis.example.com", "[::1]:7000"]

    assert addresses(given, 6379) == [
        ("10.0.0.1", 7000),
        ("redis.example.com", 6379),
        ("::1", 7000),
    ]
