"""
Leases and copies in Redis.

Nishtala et al., *Scaling Memcache at Facebook*, NSDI 2013, with claims of writers
added.  A hit is one ``HMGET``; everything else is a script of a few lines.
"""

from __future__ import annotations

import secrets

from collections.abc import Sequence
from typing import Any, Literal

from tiered_store.clients.endpoint import Endpoint, Mode, revealed
from tiered_store.clients.feed import Feed
from tiered_store.clients.wire import Command, Words, valid
from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError, CorruptError
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.policies.breaker import BreakerPolicy
from tiered_store.tiers.redis import scripts
from tiered_store.tiers.redis.copies import (
    NOTHING,
    Offer,
    entry_of,
    header_of,
    milliseconds,
    offered,
    question,
)
from tiered_store.tiers.redis.hearing import TOKEN, Hearing
from tiered_store.tiers.redis.server import Server
from tiered_store.tiers.shared import (
    Claim,
    Leased,
    Listening,
    Looked,
    SharedTier,
    UnderWay,
)
from tiered_store.tiers.tier import WHOLE, Entry
from tiered_store.units import MIB, Duration, Secret, Size


_AT_ONCE = BreakerPolicy(
    failures=1, open=1.0, open_limit=5.0, probes=1, probe_lease=1.0
)


class RedisTier(SharedTier):
    """
    Copies that many processes share, coherent while they do.

    Nothing here is ever older than the last write that ended, unless two things go
    wrong at once: the server loses a writer's claim, and that writer dies or does not
    learn what became of its write.  A copy from before a restart or a failover is not
    believed.  In a Cluster a failover of one node, and messages lost between nodes,
    are not noticed as such: *ttl* bounds what that leaves.

    Args:
        url: ``redis://user:password@host:6379/0``, ``rediss://`` with TLS, or
            ``unix:///run/redis.sock``.  In mode sentinel without a host, for
            credentials and database; in mode cluster any node.
        mode: One server, a service that sentinels watch, or a Cluster.
        sentinels: Where they are, ``host:port``, at least one.
        service: The name under which they know the master.
        sentinel_username: For the sentinels themselves.
        sentinel_password: For the sentinels themselves.
        nodes: More nodes of the Cluster, ``host:port``, in case the first is down.
        prefix: Begins every name; those who share it share the copies.
        ttl: Seconds that a copy is believed.
        jitter: Share of *ttl* that is left to chance.
        max_object: Bytes of the largest body that is kept, at most 8 MiB, as larger
            ones are never in memory whole; of a larger one there is
            a record only, for the other tiers.
        timeout: Seconds without a byte sent or received, after which it has failed.
        connect_timeout: Seconds to connect, for each address of a host.
        connections: At most, to each server, and one that listens.
        heartbeat: Seconds between two questions whether the server is there; after
            three without an answer other processes' writes are known to be missed.
        breaker: When to stop asking; by default after one failure, for a second at
            first and at most five.  None for never.

    Raises:
        ConfigError: The options do not fit together; every problem at once.
    """

    def __init__(
        self,
        url: Secret | str | None = None,
        *,
        mode: Mode = "standalone",
        sentinels: Sequence[str] = (),
        service: str | None = None,
        sentinel_username: str | None = None,
        sentinel_password: Secret | str | None = None,
        nodes: Sequence[str] = (),
        prefix: str = "tiered-store:cache:",
        ttl: Duration | None = None,
        jitter: float = 0.1,
        max_object: Size = 4 * MIB,
        timeout: Duration = 0.25,
        connect_timeout: Duration = 0.25,
        connections: int = 100,
        heartbeat: Duration = 0.5,
        breaker: BreakerPolicy | None = _AT_ONCE,
        clock: Clock = SYSTEM,
    ) -> None:
        self.url = None if url is None else Secret(url)
        self.mode = mode
        self.sentinels = tuple(sentinels)
        self.service = service
        self.sentinel_username = sentinel_username
        self.sentinel_password = (
            None if sentinel_password is None else Secret(sentinel_password)
        )
        self.nodes = tuple(nodes)
        self.prefix = prefix
        self.ttl = ttl
        self.jitter = jitter
        self.max_object = max_object
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.connections = connections
        self.heartbeat = heartbeat
        self.breaker = breaker
        self._clock = clock
        self._check()
        where = (revealed(self.url), mode, self.sentinels, service, self.nodes)
        self.place = (prefix, *where)
        self._endpoint = Endpoint.of(self, self.url)
        self._channel = f"{prefix}feed"
        channel = self._channel.encode()
        self._server = Server(
            self._endpoint, self._connect, prefix, channel, breaker, clock
        )
        self._hearing = Hearing(self._server)
        self._feed = Feed(self._server.link.dial, channel, heartbeat, self._hearing)
        self._server.doubt = self._feed.doubt

    def _check(self) -> None:
        wrong = []
        if self.ttl is not None and not self.ttl >= 0.001:
            wrong.append(f"ttl: must be a millisecond or more, not {self.ttl!r}")
        if not 0 <= self.jitter <= 1:
            wrong.append(f"jitter: must be between 0 and 1, not {self.jitter!r}")
        if not 0 < self.max_object <= WHOLE:
            wrong.append(
                f"max_object: must be more than zero and at most 8MiB, "
                f"not {self.max_object!r}"
            )
        if not self.heartbeat > 0:
            wrong.append(f"heartbeat: must be positive, not {self.heartbeat!r}")
        if set("{}") & set(self.prefix):
            wrong.append(
                f"prefix: must have no braces, which place a name in a Cluster, "
                f"and has: {self.prefix!r}"
            )
        if wrong:
            raise ConfigError(wrong)

    def _connect(self) -> Any:
        """Return a client of redis-py; override it to talk through one of yours."""
        from tiered_store.clients.redis import connect

        return connect(self._endpoint)

    @property
    def online(self) -> bool:  # type: ignore[override]  # nobody sets it from outside
        """Whether no write of another process is being missed."""
        return self._feed.online

    def subscribe(self, listening: Listening) -> None:
        self._hearing.subscribe(listening)

    # -- reading -----------------------------------------------------------------

    def look(self, key: Key, *, body: bool = True) -> Looked:
        name = object_name(key)
        stored = self._stored(name)
        self._feed.start()
        (answer,), epoch = self._server.ask(stored, question(stored, body=body))
        if isinstance(answer, CorruptError):
            return Looked(None, b"")  # no hash: whoever gets a lease drops it
        start = valid(answer)[0]
        if start is None:
            return Looked(None)  # whatever else is there is in nobody's way
        try:
            header = header_of(name, start, epoch)
            if not body:
                return Looked(Entry(header.record, None))
            return Looked(entry_of(header, answer[1]))
        except CorruptError:
            return Looked(None, start)

    def current(self, key: Key, identity: int) -> bool:
        entry = self.look(key, body=False).entry
        return entry is not None and entry.record.identity == identity

    def under_way(self, key: Key) -> UnderWay | None:
        stored, leased, _ = self._keys(object_name(key), "")
        answers, _ = self._server.ask(stored, ("GET", leased), ("PTTL", leased))
        said, left = map(valid, answers)
        if said is None or left <= 0:
            return None
        what: Literal["fetch", "write"] = "fetch" if said[:1] == b"F" else "write"
        return UnderWay(what, left / 1000, waited_for=said.endswith(b"!"))

    def lease(
        self,
        key: Key,
        seconds: float,
        *,
        rejected: bytes | None = None,
        refresh: bool = False,
    ) -> Leased:
        name = object_name(key)
        token = _new_token()
        waiter = self._hearing.bells.waiter(name)  # before anybody could ring for it
        words = (token, milliseconds(seconds), "refresh" * refresh, rejected or b"")
        (*_, said), epoch = self._run(scripts.LEASE, name, words)
        state = said.decode()
        if state == "own":
            return Leased("own", _signed(epoch, token))
        if state == "hit" or state == "writing":
            return Leased(state)
        waiter.token = state
        return Leased("wait", state, waiter)

    def fill(self, key: Key, token: str, entry: Entry) -> bool:
        name = object_name(key)
        epoch, mine = _read(token)
        offer = self._offer(name, epoch, mine, entry)
        if offer is None:
            self.fail(key, token, absent=False)
            return False
        words = (mine, self._channel, self._hearing.filled(name), *offer.words)
        answers, _ = self._run(scripts.FILL, name, words, offer.sent)
        for answer in answers:
            valid(answer)
        return bool(answers[-1] == 1)

    def fail(self, key: Key, token: str, *, absent: bool) -> None:
        name = object_name(key)
        _, mine = _read(token)
        message = self._hearing.ended(name, mine, absent=absent)
        self._run(scripts.FAIL, name, (mine, self._channel, message))

    # -- writing -----------------------------------------------------------------

    def begin(self, key: Key, seconds: float) -> Claim:
        token = _new_token()
        epoch = self._claim(key, token, milliseconds(seconds))
        return Claim(key, f"{milliseconds(seconds)}:{_signed(epoch, token)}")

    def end(self, claim: Claim, entry: Entry | None) -> bool:
        name = object_name(claim.key)
        epoch, token = _read(claim.token.partition(":")[2])
        offer = None if entry is None else self._offer(name, epoch, token, entry)
        purge, offer = ("purge", NOTHING) if offer is None else ("", offer)
        message = self._hearing.overtaking(name)
        words = (token, self._channel, message, *offer.words, purge)
        # if there was no room for what was sent, the write has ended all the same
        answers, _ = self._run(scripts.END, name, words, offer.sent)
        return bool(answers[-1] == 1)

    def leave(self, claim: Claim) -> None:
        lasting, _, signed = claim.token.partition(":")
        self._claim(claim.key, _read(signed)[1], int(lasting))

    def delete(self, key: Key) -> None:
        name = object_name(key)
        words = ("", self._channel, self._hearing.overtaking(name))
        self._run(scripts.PURGE, name, words)

    def clear(self) -> None:
        """Make every process forget everything, at once, whatever there is."""
        self._feed.start()
        self._server.clear()

    def close(self) -> None:
        self._feed.close()
        self._server.close()

    def _claim(self, key: Key, token: str, lasting: int) -> int:
        name = object_name(key)
        words = (token, self._channel, self._hearing.overtaking(name), lasting)
        _, epoch = self._run(scripts.BEGIN, name, words)
        return epoch

    def _offer(self, name: str, epoch: int, token: str, entry: Entry) -> Offer | None:
        """Return how to send *entry*, or None if it is not good for any time."""
        now = self._clock.time()
        until = self.until(entry, now)
        seconds = until + self.grace - now
        if not seconds >= 0.001:
            return None
        record = entry.record.until(until)
        staged = self._keys(name, token)[2]
        entry = Entry(record, entry.body)
        return offered(name, staged, entry, seconds, epoch, self.max_object)

    def _run(
        self,
        script: scripts.Script,
        name: str,
        words: Words,
        sent: Sequence[Command] = (),
    ) -> tuple[list[Any], int]:
        self._feed.start()
        return self._server.run(script, self._keys(name, str(words[0])), words, sent)

    def _keys(self, name: str, token: str) -> tuple[str, str, str]:
        stored = self._stored(name)
        return stored, f"{stored}l", f"{stored}s{token}"

    def _stored(self, name: str) -> str:
        # a Cluster places it by what is within the first braces, never by nothing
        return f"{self.prefix}{{:{name}}}"


def _new_token() -> str:
    return secrets.token_hex(TOKEN // 2)


def _signed(epoch: int, token: str) -> str:
    """Return *token* with the epoch it is good for: a fill is of when it was leased."""
    return f"{epoch:016x}{token}"


def _read(signed: str) -> tuple[int, str]:
    return int(signed[:-TOKEN], 16), signed[-TOKEN:]
