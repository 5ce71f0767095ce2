"""The listeners that come ready made, over stacks that fail."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

from typing import Any

import pytest

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry, generate_latest

from tiered_store import (
    Body,
    CachedStore,
    FallbackStore,
    Key,
    MemoryStore,
    MemoryTier,
    NotFoundError,
    ReplicatedStore,
    Store,
    UnavailableError,
    events,
    observe,
)
from tiered_store.journals.memory import MemoryJournal
from tiered_store.listeners.log import LogListener, level_of
from tiered_store.listeners.opentelemetry import OpenTelemetryListener
from tiered_store.listeners.prometheus import ConditionsCollector, PrometheusListener
from tiered_store.listeners.words import name_of, values_of
from tiered_store.testing import FakeClock, FaultStore
from tiered_store.tree import label


KEY = Key("comics.cover", 1234, 405, 640, "image/png")
KINDS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type)
    and issubclass(kind, events.Event)
    and kind is not events.Event
]


def example(kind: type[events.Event]) -> events.Event:
    """Return an event of *kind*, with something in every field."""
    values: dict[str, Any] = {"store": "images"}
    for name, type_ in kind.__annotations__.items():
        if "Error" in type_ or "Exception" in type_:
            values[name] = UnavailableError("no answer")
        elif type_ == "Key" or type_.startswith("Key "):
            values[name] = KEY
        elif "float" in type_ or type_.startswith("int"):
            values[name] = 2
        else:
            values[name] = "open"
    return kind(**values)


@pytest.fixture
def regions() -> tuple[FaultStore, Store]:
    us = FaultStore(MemoryStore())
    stack = FallbackStore({"us": us, "eu": MemoryStore()})
    return us, label(stack, "images")


# -- words -------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_can_be_said(kind: type[events.Event], caplog: Any) -> None:
    """In one line that names the store, and in values that any exporter takes."""
    event = example(kind)
    with caplog.at_level(logging.DEBUG):
        LogListener()(event)
    [record] = caplog.records

    assert record.message.startswith(f"images: {name_of(example(kind))}: ")
    assert "\n" not in record.message
    assert record.event is event
    assert all(type(value) in (str, int, float) for _, value in values_of(event))


def test_an_error_is_named_without_saying_the_path_twice() -> None:
    """The event has it already."""
    error = UnavailableError("no answer")
    error.at("images.us", "get", KEY)
    event = events.FellBack(
        store="images", verb="get", key=KEY, failed="us", error=error
    )

    assert dict(values_of(event)) == {
        "verb": "get",
        "key": str(KEY),
        "failed": "us",
        "error": "UnavailableError: no answer",
    }


# -- the log -----------------------------------------------------------------


def test_an_outage_does_not_flood_the_log(
    regions: tuple[FaultStore, Store], caplog: Any
) -> None:
    """The first at once, then one in ten seconds that says how many there were."""
    us, stack = regions
    clock = FakeClock()
    observe(stack, LogListener(clock=clock))
    us.fail("get", times=None)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            with pytest.raises(UnavailableError):
                stack.get(KEY)
        at_first = [record.message for record in caplog.records]
        clock.advance(10)
        with pytest.raises(UnavailableError):
            stack.get(KEY)

    assert at_first[0].startswith("images.us: operation: verb=get key=comics.cover/")
    assert len(at_first) == len(set(at_first)) < 6
    assert caplog.records[-1].message.startswith("images: operation: verb=get key=")
    assert caplog.records[-1].message.endswith(" (and 99 more like it)")


def test_what_turned_is_always_written(caplog: Any) -> None:
    """However often: nobody may miss the last state."""
    listener = LogListener(clock=FakeClock())
    change = events.CircuitChanged(
        store="images.us", side="read", state="open", reason="5 failures in a row"
    )
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            listener(change)

    assert [record.message for record in caplog.records] == 3 * [
        "images.us: circuit changed: side=read state=open reason=5 failures in a row"
    ]


def test_an_endless_number_of_places_is_no_leak() -> None:
    """What is remembered is bounded."""
    listener = LogListener(clock=FakeClock())
    listener.logger = logging.Logger("apart")
    for number in range(5000):
        failed = events.Operation(
            store=f"images.{number}", verb="get", key=KEY, outcome="failed", seconds=1
        )
        listener(failed)

    assert len(listener._written) <= 1000


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (("CachePoisoned", {}), "ERROR"),
        (("RepairFailed", {"outcome": "dead"}), "ERROR"),
        (("RepairFailed", {"outcome": "retried"}), "WARNING"),
        (("Operation", {"outcome": "failed"}), "WARNING"),
        (("Operation", {"outcome": "absent"}), "DEBUG"),
        (("Operation", {"outcome": "ok"}), "DEBUG"),
        (("Retried", {}), "WARNING"),
        (("FellBack", {}), "WARNING"),
        (("Diverged", {}), "WARNING"),
        (("TierBypassed", {}), "WARNING"),
        (("StaleServed", {}), "WARNING"),
        (("StaleServed", {"error": None}), "DEBUG"),
        (("CircuitChanged", {"state": "open"}), "WARNING"),
        (("CircuitChanged", {"state": "closed"}), "INFO"),
        (("FailedBack", {"stage": "away"}), "WARNING"),
        (("FailedBack", {"stage": "held"}), "WARNING"),
        (("FailedBack", {"stage": "active"}), "INFO"),
        (("ControlChanged", {}), "WARNING"),
        (("ControlChanged", {"error": None}), "INFO"),
        (("Decided", {}), "INFO"),
        (("CacheHit", {}), "DEBUG"),
    ],
)
def test_how_loud_an_event_is(event: tuple[str, dict[str, Any]], level: str) -> None:
    """Loud is what needs somebody, not what happens often."""
    kind, values = event
    made = example(getattr(events, kind))
    for name, value in values.items():
        object.__setattr__(made, name, value)

    assert logging.getLevelName(level_of(made)) == level


# -- Prometheus --------------------------------------------------------------


def scraped(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_calls_are_counted(regions: tuple[FaultStore, Store]) -> None:
    """By store, verb and outcome, with seconds and bytes."""
    us, stack = regions
    registry = CollectorRegistry()
    observe(stack, PrometheusListener(registry))
    stack.put(KEY, Body.of(b"content"))
    stack.get(KEY)
    with pytest.raises(NotFoundError):
        stack.get(KEY._replace(object_id=2))
    us.fail("get")
    with pytest.raises(UnavailableError):
        stack.get(KEY)

    found = scraped(registry)
    calls = 'tiered_store_operations_total{{outcome="{}",store="{}",verb="{}"}}'.format
    assert found[calls("ok", "images", "put")] == 1
    assert found[calls("ok", "images.us", "get")] == 1
    assert found[calls("absent", "images", "get")] >= 1
    assert found[calls("UnavailableError", "images.us", "get")] == 1
    put = '{store="images.us",verb="put"}'
    assert found[f"tiered_store_operation_seconds_count{put}"] == 1
    assert found[f"tiered_store_body_bytes_total{put}"] == 7
    fell = '{about="us",event="fell_back",store="images"}'
    assert found[f"tiered_store_events_total{fell}"] >= 1


def test_hits_misses_and_circuits_are_shown() -> None:
    """A share of hits is a division; a circuit is in one state."""
    registry = CollectorRegistry()
    listener = PrometheusListener(registry)
    stack = label(CachedStore(MemoryStore(), [MemoryTier()]), "images")
    observe(stack, listener)
    stack.origin.put(KEY, Body.of(b"x"))
    for _ in range(3):
        stack.get(KEY)
    for state in ("open", "probing"):
        listener(events.CircuitChanged(store="x", side="read", state=state, reason=""))

    found = scraped(registry)
    assert found['tiered_store_cache_misses_total{store="images"}'] == 1
    [hits] = [
        found[name]
        for name in found
        if name.startswith("tiered_store_cache_hits_total")
    ]
    assert hits == 2
    circuit = 'tiered_store_circuit{{side="read",state="{}",store="x"}}'
    assert [
        found[circuit.format(state)] for state in ("open", "probing", "closed")
    ] == [
        0,
        1,
        0,
    ]


def test_every_event_is_counted() -> None:
    """One that is new is counted, too."""
    registry = CollectorRegistry()
    listener = PrometheusListener(registry)
    for kind in KINDS:
        listener(example(kind))

    counted = [name for name in scraped(registry) if name.startswith("tiered_store_ev")]
    assert len([name for name in counted if "_total{" in name]) == len(KINDS) - 3


def test_what_is_pending_is_scraped() -> None:
    """What a replica missed, as ``status`` says it, when it is asked for."""
    us = FaultStore(MemoryStore())
    stack = ReplicatedStore({"us": us, "eu": MemoryStore()}, journal=MemoryJournal())
    label(stack, "images")
    registry = CollectorRegistry()
    registry.register(ConditionsCollector(stack))
    assert scraped(registry)['tiered_store_mirrors_rows{place="images"}'] == 0

    us.fail("put")
    stack.put(KEY, Body.of(b"content"))

    found = scraped(registry)
    assert found['tiered_store_mirrors_rows{place="images"}'] == 1
    assert found['tiered_store_mirrors_single_copies{place="images"}'] == 1
    assert found['tiered_store_condition{state="attention"}'] >= 1
    assert any(name.startswith("tiered_store_replicas_") for name in found)


def test_several_processes_are_counted_together(tmp_path: Any) -> None:
    """As gunicorn's workers are, by the package's own multiprocess mode."""
    script = """
import os
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from tiered_store import Body, Key, MemoryStore, observe
from tiered_store.listeners.prometheus import PrometheusListener

store = MemoryStore()
observe(store, PrometheusListener(CollectorRegistry()))
child = os.fork()
for number in range(5):
    store.put(Key("a", number, 1, 1, "image/png"), Body.of(b"12"))
if child:
    assert os.waitpid(child, 0)[1] == 0
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together)
    print(generate_latest(together).decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 'bytes_total{store="memory",verb="put"} 20.0' in done.stdout


# -- OpenTelemetry -----------------------------------------------------------


def test_operations_are_spans_below_the_callers(
    regions: tuple[FaultStore, Store],
) -> None:
    """With what failed marked, and what else happened noted in the caller's span."""
    us, stack = regions
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    observe(stack, OpenTelemetryListener(tracer))
    us.fail("get")

    with tracer.start_as_current_span("request"):
        with pytest.raises(UnavailableError):
            stack.get(KEY)
        stack.put(KEY, Body.of(b"content"))

    spans = {span.name: span for span in exporter.get_finished_spans()}
    request = spans["request"]
    failed, absent = spans["get images.us"], spans["get images.eu"]
    assert failed.parent.span_id == absent.parent.span_id == request.context.span_id
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"] == "UnavailableError"
    assert absent.status.status_code is StatusCode.UNSET
    assert absent.attributes["tiered_store.outcome"] == "absent"
    assert dict(spans["put images.us"].attributes) == {
        "tiered_store.store": "images.us",
        "tiered_store.verb": "put",
        "tiered_store.key": str(KEY),
        "tiered_store.outcome": "ok",
        "tiered_store.size": 7,
    }
    whole, part = spans["put images"], spans["put images.us"]
    assert request.start_time <= whole.start_time <= part.start_time
    assert part.end_time <= whole.end_time <= request.end_time
    assert "fell back" in [event.name for event in request.events]


def test_every_event_can_be_noted() -> None:
    """Without a warning from the SDK about a value it does not take."""
    provider = TracerProvider()
    tracer = provider.get_tracer("test")
    listener = OpenTelemetryListener(tracer)
    with tracer.start_as_current_span("request") as request:
        for kind in KINDS:
            listener(example(kind))
    noted: list[Any] = json.loads(request.to_json())["events"]

    assert len(noted) == len(KINDS) - 1
    for note, kind in zip(
        noted, (kind for kind in KINDS if kind is not events.Operation), strict=True
    ):
        assert note["name"] == name_of(example(kind))
        assert note["attributes"]["tiered_store.store"] == "images"


# -- without the packages ----------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "module", "made"),
    [
        ("prometheus_client", "prometheus", "PrometheusListener"),
        ("opentelemetry", "opentelemetry", "OpenTelemetryListener"),
    ],
)
def test_a_missing_package_names_its_extra(
    missing: str, module: str, made: str
) -> None:
    """What to install, and no traceback of an import."""
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"from tiered_store.listeners.{module} import {made}\n"
        "from tiered_store import ConfigError\n"
        f"try: {made}()\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert f"pip install 'tiered-store[{module}]'" in done.stdout
