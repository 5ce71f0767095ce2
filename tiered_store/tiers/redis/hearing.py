"""
What processes that share a server tell each other, and whom that concerns here.

.. code-block:: text

   i SENDER NAME   a write of NAME began or ended
   f NAME          NAME was filled
   x TOKEN NAME    who fetched it failed
   a TOKEN NAME    who fetched it found no such object
   c               everything was forgotten
"""

from __future__ import annotations

import logging
import secrets
import threading
import weakref

from collections.abc import Callable
from typing import Any

from tiered_store import lifecycle
from tiered_store.errors import UnavailableError
from tiered_store.layout import key_of_object
from tiered_store.tiers.redis.server import CLEARED, Server
from tiered_store.tiers.redis.waiting import Bells, Outcome
from tiered_store.tiers.shared import Listening


TOKEN = 16  # characters of a token and of a sender
_ENDS: dict[bytes, Outcome] = {b"x": "failed", b"a": "absent"}
_log = logging.getLogger("tiered_store")


class Hearing:
    """
    What a feed is for: to tell listeners and wake waiters.

    Its own writes are news only to listeners that share it with another.
    """

    def __init__(self, server: Server) -> None:
        self.bells = Bells()
        self._server = server
        self._listeners: list[weakref.ref[Listening]] = []
        self.after_fork()
        lifecycle.survive_fork(self)

    def after_fork(self) -> None:
        """Be somebody else than the parent, and hear nothing yet."""
        self._lock = threading.Lock()
        self._mended = False
        self.sender = secrets.token_hex(TOKEN // 2)

    # -- what is said ----------------------------------------------------------

    def overtaking(self, name: str) -> bytes:
        """Return how to say that *name* is being written."""
        return f"i{self.sender}{name}".encode()

    @staticmethod
    def filled(name: str) -> bytes:
        """Return how to say that there is a copy of *name* now."""
        return f"f{name}".encode()

    @staticmethod
    def ended(name: str, token: str, *, absent: bool) -> bytes:
        """Return how to say that a fetch of *name* brought nothing to keep."""
        return f"{'a' if absent else 'x'}{token}{name}".encode()

    # -- what is heard ---------------------------------------------------------

    def subscribe(self, listening: Listening) -> None:
        """Tell *listening* for as long as somebody else holds it."""
        with self._lock:
            self._listeners.append(weakref.ref(listening, self._listeners.remove))
            if self._mended:
                listening.mended()

    def greet(self, connection: Any) -> bytes | None:
        """Connect to the server that is asked."""
        return self._server.greet(connection)

    def check(self, server: bytes | None) -> None:
        """Raise if it is not in charge any more."""
        self._server.check(server)

    def mend(self, server: bytes | None) -> None:
        """Everything is heard from now on."""
        self._server.mend(server)
        with self._lock:
            self._mended = True
            self._tell(lambda listening: listening.torn())
            self._tell(lambda listening: listening.mended())

    def tear(self) -> None:
        """Something may not have been heard."""
        self._server.forget()
        with self._lock:
            self._mended = False
            self._tell(lambda listening: listening.torn())
        self.bells.ring_all()

    def hear(self, message: bytes) -> None:
        """
        Tell whom *message* concerns; what nobody of ours says is passed over.

        Raises:
            UnavailableError: To begin again.
        """
        kind, text = message[:1], message[1:].decode(errors="replace")
        if message == CLEARED:
            raise UnavailableError("everything was forgotten")
        if kind == b"i":
            self._overtaken(text[:TOKEN], text[TOKEN:])
        elif kind == b"f":
            self.bells.ring(text)
        elif kind in _ENDS:
            self.bells.ring(text[TOKEN:], text[:TOKEN], _ENDS[kind])

    def _overtaken(self, sender: str, name: str) -> None:
        key = key_of_object(name)
        if key is not None and (sender != self.sender or len(self._listeners) > 1):
            self._tell(lambda listening: listening.overtaken(key))
        self.bells.ring(name)

    def _tell(self, say: Callable[[Listening], None]) -> None:
        for reference in list(self._listeners):
            listening = reference()
            if listening is None:
                continue
            try:
                say(listening)
            except Exception:  # noqa: BLE001 - the others must hear it all the same
                _log.exception("%r cannot be told", listening)
