"""
Puts and deletes of a mirror, made on all replicas at once.
"""

from __future__ import annotations

import functools

from collections.abc import Callable, Mapping

from tiered_store.body import Body, BytesBody
from tiered_store.control.standing import Rota
from tiered_store.journals.row import Intent
from tiered_store.key import Key
from tiered_store.lent import LentBody
from tiered_store.replication.acknowledging import (
    bug_in,
    changed_nothing,
    errors_in,
    failure_of,
)
from tiered_store.replication.fanout import Outcomes
from tiered_store.replication.glimpse import Glimpse
from tiered_store.replication.health import last_resort
from tiered_store.replication.placement import Placement
from tiered_store.replication.service import askable, in_service
from tiered_store.replication.telling import Teller
from tiered_store.replication.writing import Writer
from tiered_store.store import Store


class Copier:
    """
    Puts to, and deletes from, as many of *replicas* as *placement* says.

    Args:
        writer: Knows who missed what.
        glimpse: Is told of it, for URLs.
        patient: All that are well are waited for, and not only the quorum.
    """

    def __init__(
        self,
        replicas: Mapping[str, Store],
        placement: Placement,
        rota: Rota,
        writer: Writer,
        teller: Teller,
        glimpse: Glimpse,
        *,
        patient: bool,
    ) -> None:
        self._replicas = replicas
        self._placement = placement
        self._rota = rota
        self._writer = writer
        self._teller = teller
        self._glimpse = glimpse
        self._patient = patient

    def put(self, key: Key, body: Body, reproducible: bool) -> None:
        """Put where it is kept, and delete older copies elsewhere."""
        intents, quorum = self._placement.of_put(reproducible)
        if not self._patient:
            body = _kept(body)
        lent = LentBody(body)
        given = lent if self._patient and not isinstance(body, BytesBody) else body

        def change(replica: Store, intent: Intent) -> None:
            if intent == "put":
                replica.put(key, given, reproducible)
            else:
                replica.delete(key)

        try:
            self._write(key, intents, change, quorum, reproducible, body.size)
        finally:
            lent.taken_back = True  # a call that is not back gets no more of it

    def delete(self, key: Key) -> None:
        """Delete from all."""
        intents, quorum = self._placement.of_delete()
        self._write(key, intents, lambda replica, _: replica.delete(key), quorum)

    def _write(
        self,
        key: Key,
        intents: Mapping[str, Intent],
        change: Callable[[Store, Intent], None],
        quorum: int,
        reproducible: bool = False,
        size: int = 0,
    ) -> None:
        asked = in_service(self._replicas, self._rota.now())
        calls = {
            name: functools.partial(change, asked[name], intent)
            for name, intent in intents.items()
        }
        with last_resort(askable(asked), "write"):
            failure = self._concluded(
                key,
                intents,
                quorum,
                *self._writer.write(  # without a name: its errors may know this frame
                    key,
                    intents,
                    calls,
                    reproducible=reproducible,
                    quorum=None if self._patient else quorum,
                    size=size,
                ),
            )
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    def _concluded(
        self,
        key: Key,
        intents: Mapping[str, Intent],
        quorum: int,
        outcomes: Outcomes,
        all_must: bool,
    ) -> BaseException | None:
        """Tell what was missed, and return what to raise if that is too much."""
        bug = bug_in(outcomes)
        if bug is not None:
            return bug
        if not all_must and not changed_nothing(outcomes):
            self._teller.diverged(key, errors_in(outcomes))
            missed = [name for name in outcomes if outcomes[name] is not None]
            gone = "put" not in intents.values()
            self._glimpse.note(key, missed, "delete" if gone else "put")
        counted = [name for name in intents if all_must or intents[name] != "drop"]
        return failure_of(outcomes, counted, len(counted) if all_must else quorum)


def _kept(body: Body) -> Body:
    """Return *body* as something that its owner cannot change."""
    if isinstance(body, BytesBody):
        return body
    with body.open() as file:
        return Body.copy(file)
