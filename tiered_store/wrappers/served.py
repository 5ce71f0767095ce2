"""
Give every object the URL at which a web server of ours shows it.

.. code-block:: yaml

   type: served
   base_url: https://example.com/images/
   secret: "${env:URL_SECRET}"
   url_expires: 1h
   child: {type: memory}

``tiered-store serve`` finds it in the stack, and shows objects at that path, to those
with a URL that it has signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.layout import object_name
from tiered_store.signing import Signer
from tiered_store.store import Store
from tiered_store.units import Duration, Secret
from tiered_store.urls import join_url
from tiered_store.wrapper import Wrapper


class ServedStore(Wrapper):
    """
    A *child* whose URLs lead to whoever serves this stack.

    Args:
        base_url: Where that is, its path included.
        secret: Signs the URLs, which then end; without it they are open to everybody.
            At least 16 characters.
        old_secrets: Believed as well, while what they signed has not ended.
        url_expires: For how long a signed URL holds, at least.

    Raises:
        ConfigError: *base_url* is none, or *secret* is too short.
    """

    def __init__(
        self,
        child: Store,
        base_url: str,
        *,
        secret: Secret | None = None,
        old_secrets: Sequence[Secret] = (),
        url_expires: Duration = 3600.0,
        clock: Clock = SYSTEM,
    ) -> None:
        super().__init__(child)
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(f"base_url: must be http or https, not {base_url!r}")
        if parts.query or parts.fragment:
            raise ConfigError(f"base_url: must end with its path, not {base_url!r}")
        self.base_url = base_url
        self.secret = secret
        self.old_secrets = old_secrets
        self.url_expires = url_expires
        self.signer = (
            None if secret is None else Signer([secret, *old_secrets], clock=clock)
        )

    @property
    def prefix(self) -> str:
        """Return the path at which objects are shown."""
        return unquote(urlsplit(self.base_url).path)

    def _url(self, key: Key) -> str:
        name = object_name(key)
        url = join_url(self.base_url, name)
        if self.signer is None:
            return url
        return f"{url}?{self.signer.query(name, self.url_expires)}"

    def capabilities(self) -> frozenset[Verb]:
        """What *child* can do, and URLs."""
        return super().capabilities() | {"url"}
