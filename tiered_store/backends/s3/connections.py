"""
Connections of boto3 that wait no longer than their caller can.

Its timeouts are fixed when a client is made, or a request at best, and count for each
piece of what is sent and received: headers that drip in time are waited for as long as
they drip.  Here every wait is bounded by the caller's deadline as it is then, and the
head of an answer takes no longer than its first byte may.  Nor does it end before its
end: the library of Python takes a head that breaks off for all of it, of which half a
length is another length.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl

from collections.abc import Callable
from typing import Any, TypeVar

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from tiered_store import deadlines
from tiered_store.dialling import LEAST, dial


_Result = TypeVar("_Result")


def in_time(client: Any) -> None:
    """
    Have *client*, new, make such connections.

    botocore lets nobody say which; where it has changed what is set here, connections
    are its own, and a test notices.
    """
    session = client._endpoint.http_session
    session._pool_classes_by_scheme = _POOLS
    session._manager.pool_classes_by_scheme = _POOLS


class _Socket(socket.socket):
    """A socket whose every wait is bounded by the caller's deadline."""

    def recv_into(self, *args: Any) -> int:
        return _hurried(self, super().recv_into, *args)

    def send(self, *args: Any) -> int:
        return _hurried(self, super().send, *args)

    def sendall(self, *args: Any) -> None:
        return _hurried(self, super().sendall, *args)


class _TLSSocket(ssl.SSLSocket):
    """The same of TLS."""

    def do_handshake(self, *args: Any) -> None:
        return _hurried(self, super().do_handshake, *args)

    def recv_into(self, *args: Any) -> int:
        return _hurried(self, super().recv_into, *args)

    def send(self, *args: Any) -> int:
        return _hurried(self, super().send, *args)


def _hurried(
    waiting: socket.socket, wait: Callable[..., _Result], *args: Any
) -> _Result:
    left = deadlines.remaining()
    if left is None:
        return wait(*args)
    patience = waiting.gettimeout()
    if patience is not None and patience <= left:
        return wait(*args)
    waiting.settimeout(max(LEAST, left))
    try:
        return wait(*args)
    finally:
        with contextlib.suppress(OSError):  # it was closed meanwhile
            waiting.settimeout(patience)


class _Head:
    """The lines of an answer, the last of which is kept."""

    __slots__ = ("file", "last")

    def __init__(self, file: Any) -> None:
        self.file = file
        self.last = b""

    def readline(self, limit: int) -> bytes:
        self.last = self.file.readline(limit)
        return self.last

    def close(self) -> None:
        self.file.close()


class _Answer(http.client.HTTPResponse):
    """An answer whose head has an end."""

    def begin(self: Any) -> None:
        head = self.fp = _Head(self.fp)
        super().begin()
        if self.fp is head:  # else there is no body, and it was closed
            self.fp = head.file
        if not head.last:
            raise http.client.RemoteDisconnected("the head of the answer broke off")


class _Connecting:
    """A connection of urllib3 that is made, and answers, in time."""

    response_class = _Answer

    def _new_conn(self: Any) -> socket.socket:
        try:
            return dial(
                self._dns_host.strip("[]"),
                self.port,
                self.timeout,
                _Socket,
                options=self.socket_options or (),
                family=allowed_gai_family(),
                source=self.source_address,
            )
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"{self.host}: {error}") from error
        except OSError as error:  # that there is no such name, too
            message = f"failed to establish a new connection: {error}"
            raise NewConnectionError(self, message) from error

    def getresponse(self: Any) -> Any:
        # which of the two is the time for an answer depends on the version of urllib3
        patience = max(self.timeout, self.sock.gettimeout() or 0.0)
        with deadlines.deadline(patience):
            return super().getresponse()  # type: ignore[misc]


class _Connection(_Connecting, AWSHTTPConnection):  # type: ignore[misc]  # untyped
    pass


class _TLSConnection(_Connecting, AWSHTTPSConnection):  # type: ignore[misc]  # so
    def connect(self) -> None:
        if self.ssl_context is not None:
            self.ssl_context.sslsocket_class = _TLSSocket
        try:
            super().connect()
        except TimeoutError as error:  # nothing was asked yet
            raise ConnectTimeoutError(self, f"{self.host}: no handshake") from error


class _Pool(AWSHTTPConnectionPool):  # type: ignore[misc]  # untyped
    ConnectionCls = _Connection


class _TLSPool(AWSHTTPSConnectionPool):  # type: ignore[misc]  # untyped
    ConnectionCls = _TLSConnection


_POOLS = {"http": _Pool, "https": _TLSPool}
