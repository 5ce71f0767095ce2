"""
What happens, counted for Prometheus.

Needs ``pip install 'tiered-store[prometheus]'``.

.. code-block:: python

   from tiered_store import observe
   from tiered_store.listeners.prometheus import ConditionsCollector, PrometheusListener

   stop = observe(images, PrometheusListener())
   REGISTRY.register(ConditionsCollector(images))

======================================  ==========================  ==================
metric                                  labels                      counts
======================================  ==========================  ==================
``tiered_store_operations_total``       store, verb, outcome        calls
``tiered_store_operation_seconds``      store, verb                 until they answered
``tiered_store_body_bytes_total``       store, verb                 put and got
``tiered_store_cache_hits_total``       store, tier                 copies served
``tiered_store_cache_misses_total``     store                       reads of the origin
``tiered_store_events_total``           store, event, about         the other events
``tiered_store_circuit``                store, side, state          1 for what it is in
======================================  ==========================  ==================

``outcome`` is ``ok``, ``absent`` or the kind of error.  Keys are never labels.
"""

from __future__ import annotations

import re

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tiered_store.errors import ConfigError
from tiered_store.events import (
    CacheHit,
    CacheMissed,
    CircuitChanged,
    Event,
    Operation,
)
from tiered_store.listeners.words import name_of
from tiered_store.store import Store
from tiered_store.tree import conditions


if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import GaugeMetricFamily


# from a hit in memory to a request that is given up
_BUCKETS = (*(1e-5, 1e-4, 5e-4), *(1e-3, 5e-3, 0.02, 0.05), *(0.1, 0.25, 1, 2.5, 10))
_STATES = ("closed", "probing", "open")
_UNITS = {"age": "age_seconds"}


class PrometheusListener:
    """
    Count events in *registry*: ``observe(stack, PrometheusListener())``.

    One listener serves any number of stacks; a second one in the same registry is an
    error of Prometheus.  It counts in the multiprocess mode of ``prometheus_client``
    as well, where a circuit is shown as that of the process whose is the worst.

    Args:
        registry: Prometheus' own default if there is none.

    Raises:
        ConfigError: The package is missing.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        client = _client()
        told = {"registry": registry or client.REGISTRY}
        counter, name = client.Counter, "tiered_store_{}".format
        place = ("store", "verb")
        self._operations = counter(
            name("operations"), "Calls of a store.", (*place, "outcome"), **told
        )
        self._seconds = client.Histogram(
            name("operation_seconds"),
            "How long a store took to answer.",
            place,
            buckets=_BUCKETS,
            **told,
        )
        self._bytes = counter(
            name("body_bytes"), "Bytes of the bodies put and got.", place, **told
        )
        self._hits = counter(
            name("cache_hits"), "Copies that a tier had.", ("store", "tier"), **told
        )
        self._misses = counter(
            name("cache_misses"), "Reads that no tier had.", ("store",), **told
        )
        self._events = counter(
            name("events"), "Whatever else.", ("store", "event", "about"), **told
        )
        self._circuit = client.Gauge(
            name("circuit"),
            "1 for the state that a breaker is in; none before its first change.",
            ("store", "side", "state"),
            multiprocess_mode="livemax",
            **told,
        )

    def __call__(self, event: Event) -> None:
        match event:
            case Operation():
                self._count(event)
            case CacheHit():
                self._hits.labels(event.store, event.tier).inc()
            case CacheMissed():
                self._misses.labels(event.store).inc()
            case _:
                kind = name_of(event).replace(" ", "_")
                self._events.labels(event.store, kind, _about(event)).inc()
                if isinstance(event, CircuitChanged):
                    self._turn(event)

    def _count(self, done: Operation) -> None:
        error = done.error if done.outcome == "failed" else None
        outcome = done.outcome if error is None else type(error).__name__
        self._operations.labels(done.store, done.verb, outcome).inc()
        self._seconds.labels(done.store, done.verb).observe(done.seconds)
        if done.size is not None:
            self._bytes.labels(done.store, done.verb).inc(done.size)

    def _turn(self, change: CircuitChanged) -> None:
        for state in _STATES:
            gauge = self._circuit.labels(change.store, change.side, state)
            gauge.set(state == change.state)


class ConditionsCollector:
    """
    Say what ``tiered-store status`` says, whenever Prometheus asks.

    So rows that replicas have missed, their bytes and the age of the oldest, objects
    with only one copy, dead letters: ``tiered_store_replicas_rows``,
    ``tiered_store_mirrors_single_copies`` and so on, by *place*; and
    ``tiered_store_condition`` with the number of places in each state.

    It asks journals, which takes a query or a round trip each, and no object.
    """

    def __init__(self, stack: Store) -> None:
        self._stack = stack
        self._family = _client().core.GaugeMetricFamily

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield a gauge for every fact that is a number."""
        facts: dict[str, GaugeMetricFamily] = {}
        states = {"well": 0, "attention": 0, "failed": 0}
        for condition in conditions(self._stack):
            states[condition.state] += 1
            for heading, value in condition.facts.items():
                if isinstance(value, int | float):
                    name = _named(condition.section, heading)
                    about = f"{heading} of {condition.section}"
                    family = facts.setdefault(
                        name, self._family(name, about, labels=["place"])
                    )
                    family.add_metric([condition.place], value)
        yield from facts.values()
        places = self._family(
            "tiered_store_condition", "How many places are so.", labels=["state"]
        )
        for state, count in states.items():
            places.add_metric([state], count)
        yield places

    def describe(self) -> list[Any]:
        """Say nothing: registering must not ask the journals."""
        return []


def _about(event: Event) -> str:
    """Return which part of its store *event* is about, if it says so."""
    for part in ("tier", "replica", "failed", "name", "outcome", "verb"):
        if value := getattr(event, part, None):
            return str(value)
    if isinstance(event, CircuitChanged):
        return f"{event.side} {event.state}"
    return ""


def _named(section: str, heading: str) -> str:
    word = _UNITS.get(heading, heading)
    return re.sub(r"[^a-z0-9]+", "_", f"tiered_store_{section}_{word}".lower())


def _client() -> Any:
    try:
        import prometheus_client.core
    except ImportError:
        raise ConfigError(
            "counting for Prometheus needs a package: "
            "pip install 'tiered-store[prometheus]'"
        ) from None
    return prometheus_client
