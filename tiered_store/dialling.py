"""
Connections that are made in time.

Neither of the SDKs bounds what it takes to make one.  The system resolves a name for as
long as it likes, ten seconds and more if no name server answers, and cannot be
interrupted; each address that a name has is then given the whole time to connect.

Here all of it takes no longer than one is patient, and than the caller has time.  A
name is resolved in a thread, shared by all who ask for it meanwhile, and left there if
it takes too long: an answer that comes too late is kept for whoever asks next, so that
a slow name server is no outage.  Addresses race, as in RFC 8305 (Happy Eyeballs): the
next one is tried when one has failed, or has been silent for a quarter of a second, and
the first that answers is taken.
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import selectors
import socket
import threading
import time

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from tiered_store import deadlines, lifecycle
from tiered_store.workers import Workers


Address = tuple[Any, ...]  # as ``getaddrinfo`` describes one
SocketType = TypeVar("SocketType", bound=socket.socket)

LEAST = 0.001  # seconds; none at all would mean to a socket not to wait
_STAGGER = 0.25  # seconds, as RFC 8305 recommends
_AT_ONCE = 32  # names that are being resolved
_KEPT = 10.0  # seconds that an answer which came too late is there for the next


def dial(
    host: str,
    port: int,
    seconds: float,
    kind: Callable[..., SocketType],
    *,
    options: Sequence[tuple[Any, ...]] = (),
    family: int = 0,
    source: tuple[str, int] | None = None,
) -> SocketType:
    """
    Return a socket that is connected, and whose timeout is the time that was given.

    Args:
        seconds: For the name and all of its addresses together.
        kind: Class of the socket.
        options: To be set on it before it is connected.
        family: Of addresses, 0 for all.
        source: The address to connect from.

    Raises:
        TimeoutError: It took longer than that, or than the caller has time.
        socket.gaierror: There is no such name, or too many are being resolved.
        OSError: Nothing listens at any of the addresses.
    """
    patience = max(LEAST, deadlines.bounded(seconds))
    ends = time.monotonic() + patience

    def made(address: Address) -> SocketType:
        new = kind(*address[:3])
        try:
            for option in options:
                new.setsockopt(*option)
            if source is not None:
                new.bind(source)
        except BaseException:
            new.close()
            raise
        return new

    addresses = names.addresses(host, port, patience, family)
    connected = _race(addresses, made, ends)
    connected.settimeout(max(LEAST, deadlines.bounded(seconds)))
    return connected


class Names:
    """
    Names that are being resolved, each once for all who ask for it.

    Args:
        resolve: Does it, as ``socket.getaddrinfo``.
    """

    def __init__(
        self, resolve: Callable[..., list[Address]] = socket.getaddrinfo
    ) -> None:
        self._resolve = resolve
        self._workers = Workers("tiered-store-names", _AT_ONCE)
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Begin anew: what was being resolved is the parent's."""
        self._lock = threading.Lock()
        self._asked: dict[Address, _Question] = {}
        self._late: dict[Address, _Question] = {}

    def addresses(
        self, host: str, port: int, seconds: float, family: int = 0
    ) -> list[Address]:
        """Return where *host* listens, within *seconds*; an address is one at once."""
        with contextlib.suppress(socket.gaierror):
            return socket.getaddrinfo(
                host, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST
            )
        question = self._question(host, port, family)
        try:
            return question.answer.result(seconds)
        except TimeoutError:
            question.given_up = True
            raise TimeoutError(f"{host!r} was not resolved in time") from None
        except socket.gaierror as error:  # which is raised to others, too
            raise socket.gaierror(*error.args) from None

    def _question(self, *name: Any) -> _Question:
        with self._lock:
            if (asked := self._asked.get(name)) is not None:
                return asked
            late = self._late.pop(name, None)
            if late is not None and time.monotonic() < late.answered + _KEPT:
                return late
            if len(self._asked) >= _AT_ONCE:
                raise socket.gaierror(
                    socket.EAI_AGAIN, f"{_AT_ONCE} other names are being resolved"
                )
            question = self._asked[name] = _Question()
        with deadlines.lifted():  # which is of one of those who wait
            if not self._workers.offer(lambda: self._ask(name, question)):
                self._ask(name, question)  # there is no thread to be had any more
        return question

    def _ask(self, name: Address, question: _Question) -> None:
        lock, asked, late = self._lock, self._asked, self._late  # a fork replaces them
        try:
            question.answer.set_result(self._resolve(*name, socket.SOCK_STREAM))
        except BaseException as error:  # noqa: BLE001 - who waits gets it
            question.answer.set_exception(error)
        with lock:
            del asked[name]
            question.answered = time.monotonic()
            if question.given_up and not question.answer.exception():
                late[name] = question


class _Question:
    """A name that is being resolved; *given_up* is set if it took somebody too long."""

    def __init__(self) -> None:
        self.answer: Future[list[Address]] = Future()
        self.answered = 0.0
        self.given_up = False


#: Of this process.
names = Names()


def _race(
    addresses: Sequence[Address], made: Callable[[Address], SocketType], ends: float
) -> SocketType:
    """Return a socket connected to the first of *addresses* that answers."""
    waiting = collections.deque(addresses)
    trying: set[SocketType] = set()
    failure = OSError("the name has no address")
    try:
        while waiting or trying:
            if waiting:
                try:
                    trying.add(_begun(made, waiting.popleft()))
                except OSError as error:
                    failure = error
                    continue
            stagger = _STAGGER if waiting else math.inf
            left = ends - time.monotonic()
            for one in _settled(trying, min(stagger, left)):
                trying.discard(one)
                number = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not number:
                    return one
                one.close()
                failure = OSError(number, os.strerror(number))
            if time.monotonic() >= ends:
                raise TimeoutError("timed out")
        raise failure
    finally:
        for one in trying:
            one.close()


def _begun(made: Callable[[Address], SocketType], address: Address) -> SocketType:
    one = made(address)
    try:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(address[4])
    except BaseException:
        one.close()
        raise
    return one


def _settled(trying: Iterable[SocketType], seconds: float) -> list[SocketType]:
    """Return those that are connected or have failed, after *seconds* at most."""
    with selectors.DefaultSelector() as selector:
        for one in trying:
            selector.register(one, selectors.EVENT_WRITE, one)
        return [key.data for key, _ in selector.select(max(0.0, seconds))]
