"""
A stack as a store of the original library.
"""

from __future__ import annotations

import functools

from typing import Any

from tiered_store.clock import SYSTEM, Clock
from tiered_store.errors import ConfigError
from tiered_store.foreign import StoreLike, as_store
from tiered_store.imageattach import sessions
from tiered_store.imageattach.bridged import Bridged
from tiered_store.store import Store


def bridge(store: Store | StoreLike, *, clock: Clock = SYSTEM) -> Any:
    """
    Return *store* as a real ``sqlalchemy_imageattach.store.Store``.

    ``store_context(bridge(images))`` and everything above it work unchanged, on the
    same data and with the same URLs.  What the original gets wrong with transactions
    is put right for what is stored through it:

    - A transaction that ends takes its own files along, and nobody else's; the
      original's sets of images are one for all sessions, so whoever rolled back first
      deleted what others were about to commit.
    - A put that raised is cleaned up after, since it may have happened all the same.
    - A picture that replaced one of the same size is undone by a rollback: the old
      bytes are put back, or a log says that they could not be.  The original deletes
      both.
    - A deletion that fails after the commit does not raise into it.  It is logged,
      kept in ``undone``, and tried again at the next end of a transaction, unless the
      object may have been written since, which another process may have done.
    - A session that is closed without a commit leaves nothing behind.
    - A signed URL survives the ``_ts`` that the original appends: it ends with a
      ``#``, so that what follows never reaches the server.

    Raises:
        ConfigError: The original cannot be imported; call :func:`revive` first.
    """
    bridged = _bridged_class()(as_store(store), clock, sessions.concerns)
    sessions.follow()
    return bridged


@functools.cache
def _bridged_class() -> type[Bridged]:
    try:
        from sqlalchemy_imageattach.store import Store as Original
    except ImportError as error:
        raise ConfigError(
            f"SQLAlchemy-ImageAttach cannot be imported: {error}; call "
            "tiered_store.imageattach.revive() before it is first imported"
        ) from error
    return type("BridgedStore", (Bridged, Original), {})
