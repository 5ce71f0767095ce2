"""
URLs that a secret has signed, and that end.

.. code-block:: text

   comics.cover/1234/405x640.jpe?expires=1767225600&signature=nEVPfB...

What is signed is the object's name and the end (HMAC, RFC 2104, with SHA-256), so a
parameter that somebody appends, such as the ``_ts`` of the original library, voids
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from collections.abc import Sequence
from urllib.parse import parse_qs

from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError
from tiered_store.units import Secret


_SHORTEST = 16  # of a secret, in characters
_STEPS = 10
_LONGEST_END = 12  # digits, some thirty thousand years


class Signer:
    """
    Signs names of objects, and tells whether a signature holds.

    Args:
        secrets: The first signs, each is believed: put a new one in front, and take
            the old one away once what it signed has ended.

    Raises:
        ConfigError: There is none, or one of fewer than 16 characters.
    """

    def __init__(
        self, secrets: Secret | Sequence[Secret], *, clock: Clock = SYSTEM
    ) -> None:
        given = [secrets] if isinstance(secrets, Secret) else list(secrets)
        if not given:
            raise ConfigError("secrets: needs at least one")
        if any(len(secret.reveal()) < _SHORTEST for secret in given):
            raise ConfigError(f"secret: must have at least {_SHORTEST} characters")
        self._secrets = given
        self._clock = clock

    def query(self, name: str, seconds: float) -> str:
        """
        Return the query that shows *name* for at least *seconds*.

        The end is rounded up to a tenth of it, so that a browser meets the same URL
        again and need not fetch what it has.
        """
        step = max(1, int(seconds / _STEPS))
        end = (int(self._clock.time() + seconds) // step + 1) * step
        signature = _signature(self._secrets[0], name, end)
        return f"expires={end}&signature={signature}"

    def lifetime(self, name: str, query: str) -> float | None:
        """Return how many seconds *query* still shows *name*; None if it does not."""
        try:
            given = parse_qs(query, keep_blank_values=True, max_num_fields=32)
        except ValueError:  # too many of them
            return None
        ends, signatures = given.get("expires", []), given.get("signature", [])
        if len(ends) != 1 or len(signatures) != 1:
            return None
        text, signature = ends[0], signatures[0].encode()
        if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_END):
            return None
        end = int(text)
        held = [
            hmac.compare_digest(_signature(secret, name, end).encode(), signature)
            for secret in self._secrets
        ]  # all of them, whichever holds
        left = end - self._clock.time()
        return left if any(held) and left > 0 else None


def _signature(secret: Secret, name: str, end: int) -> str:
    said = f"tiered-store 1\n{end}\n{name}".encode()
    digest = hmac.new(secret.reveal().encode(), said, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
