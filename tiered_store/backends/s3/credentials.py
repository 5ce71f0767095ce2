"""
Credentials from wherever the SDK finds them, for which nobody waits beyond a deadline.

It may ask the network, the machine's role or a token service, or run a program: for as
long as that takes, holding its locks, when the first request is signed and again when
credentials are about to expire.  Here one thread asks, once for all who wait; and while
those it has are good, nobody waits for others.
"""

from __future__ import annotations

import time

from collections.abc import Callable
from typing import Any

from botocore.exceptions import NoCredentialsError

from tiered_store.joint import Joint


_MARGIN = 60.0  # seconds; what expires sooner may do so on its way


def share(session: Any) -> None:
    """Have *session*, of botocore and new, look for credentials this way."""
    places = session.get_component("credential_provider")
    session.register_component("credential_provider", _Places(places.load_credentials))


class SharedCredentials:
    """
    What *load* finds, when it is first needed; as botocore takes credentials.

    Until something is found, each that needs it has it looked for again: a role that
    could not be asked is not a role that is not there.

    Args:
        pause: Seconds from one attempt to renew to the next, while nobody waits.
    """

    method = "shared"  # how botocore is told where they are from

    def __init__(self, load: Callable[[], Any], *, pause: float = 10.0) -> None:
        self._load = load
        self._pause = pause
        self._found: Any = None
        self._last: Any = None
        self._next = 0.0
        self._looking: Joint[Any] = Joint(
            "tiered-store-credentials", "credentials are looked for", self._look
        )

    def get_frozen_credentials(self) -> Any:
        """
        Return what to sign with.

        Raises:
            DeadlineError: The caller's time is up before they are found, or renewed.
            BotoCoreError: There are none, or they could not be had.
        """
        found = self._found
        if found is None:
            return self._looking.result()
        if hasattr(found, "refresh_needed") and found.refresh_needed():
            if found.refresh_needed(refresh_in=_MARGIN):
                return self._looking.result()
            if time.monotonic() >= self._next:
                self._looking.begin()
        return self._last

    def get_deferred_property(self, name: str) -> Callable[[], Any]:
        """Return what returns the property *name*, if an endpoint's rules want it."""
        return lambda: getattr(self.get_frozen_credentials(), name, None)

    def _look(self) -> Any:
        try:
            found = self._found or self._load()
            if found is None:
                raise NoCredentialsError
            self._last = found.get_frozen_credentials()  # renewed, if it is time
            self._found = found
            return self._last
        finally:
            self._next = time.monotonic() + self._pause


class _Places:
    """The usual places, as botocore asks for them when a client is made."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load

    def load_credentials(self) -> SharedCredentials:
        return SharedCredentials(self._load)
