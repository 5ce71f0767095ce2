"""
What happens, as spans of OpenTelemetry.

Needs ``pip install 'tiered-store[opentelemetry]'``, which is its interface only: the
application brings the SDK, its exporters and its sampling.

.. code-block:: python

   from tiered_store import observe
   from tiered_store.listeners.opentelemetry import OpenTelemetryListener

   stop = observe(images, OpenTelemetryListener())
"""

from __future__ import annotations

import time

from typing import TYPE_CHECKING, Any

from tiered_store.errors import ConfigError
from tiered_store.events import Event, Operation
from tiered_store.listeners.words import message_of, name_of, values_of


if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


class OpenTelemetryListener:
    """
    Make a span of every operation of every store, and notes of what else happens.

    A span is named ``get images.origin.us`` and carries ``tiered_store.store``,
    ``.verb``, ``.key``, ``.outcome`` and ``.size``.  Stores that work for one call are
    siblings below the span that the caller was in: what nests is told by their times
    and paths, as a store is heard of when it has answered.  Everything else (a retry,
    a miss, a store passed over) becomes an event of the caller's span.

    Absence is an answer, so its span is no error.

    Args:
        tracer: That of ``tiered_store`` from the global provider if there is none.

    Raises:
        ConfigError: The package is missing.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        try:
            from opentelemetry import trace
        except ImportError:
            raise ConfigError(
                "tracing needs a package: pip install 'tiered-store[opentelemetry]'"
            ) from None
        self._trace: Any = trace
        self._tracer = tracer or trace.get_tracer("tiered_store")

    def __call__(self, event: Event) -> None:
        if isinstance(event, Operation):
            self._span(event)
            return
        current = self._trace.get_current_span()
        if current.is_recording():
            said = {f"tiered_store.{name}": value for name, value in values_of(event)}
            current.add_event(
                name_of(event), {"tiered_store.store": event.store, **said}
            )

    def _span(self, done: Operation) -> None:
        end = time.time_ns()
        span = self._tracer.start_span(
            f"{done.verb} {done.store}",
            kind=self._trace.SpanKind.INTERNAL,
            start_time=end - int(done.seconds * 1e9),
        )
        if span.is_recording():
            span.set_attributes(
                {
                    f"tiered_store.{name}": value
                    for name, value in (("store", done.store), *values_of(done))
                    if name not in ("error", "seconds")
                }
            )
            if done.outcome == "failed" and done.error is not None:
                span.set_attribute("error.type", type(done.error).__name__)
                said = message_of(done.error)
                span.set_status(self._trace.StatusCode.ERROR, said)
        span.end(end)
