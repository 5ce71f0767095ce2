"""
Hits in this process's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from threading import Lock
from typing import Any

from benchmarks.bench import Bench
from benchmarks.results import NO_NOISE, OURS, Goal, Row
from benchmarks.sampling import Sample, awaited, crowded, timed
from benchmarks.stacks import MANY, content_of, filled, key_of, memory_tier, name_of


NAMES = [name_of(number) for number in range(MANY)]
CONTENTS = [content_of(100_000) for _ in NAMES]
_BY_KEY = (
    "for number in numbers: get_file('comics.cover', number, 405, 640, 'image/jpeg')"
)
_BY_NAME = "for name in names: get(name)"


class Floor:
    """What no such method can do without."""

    def __init__(self) -> None:
        self._contents = {
            tuple(key_of(number)): content for number, content in enumerate(CONTENTS)
        }

    def get_file(
        self, object_type: str, object_id: int, width: int, height: int, mimetype: str
    ) -> BytesIO:
        """Return a file of the object."""
        return BytesIO(self._contents[object_type, object_id, width, height, mimetype])


class LockedLRU:
    """What is commonly written: a dictionary in order of use, behind a lock."""

    def __init__(self) -> None:
        from collections import OrderedDict

        self._lock = Lock()
        self._contents = OrderedDict(zip(NAMES, CONTENTS, strict=True))

    def open(self, name: str) -> BytesIO:
        """Return a file of the object."""
        with self._lock:
            self._contents.move_to_end(name)
            return BytesIO(self._contents[name])


def rows(bench: Bench) -> Iterator[Row]:
    """Measure one thread, then eight."""
    yield bench.compare(
        "memory hit, get_file, 100 KB",
        {
            "dict + BytesIO": lambda bench: _by_key(bench, Floor().get_file),
            OURS: lambda bench: _by_key(bench, _ours(bench)),
            "minimalkv open": lambda bench: _by_name(bench, _minimalkv()),
            "dogpile get": lambda bench: _by_name(bench, _dogpile().get),
            "dogpile get_or_create": lambda bench: _by_name(bench, _dogpile_creator()),
            "fsspec open": lambda bench: _by_name(bench, _fsspec()),
            "diskcache get": lambda bench: _by_name(bench, _diskcache(bench)),
            "cashews get": _cashews,
        },
        floor="dict + BytesIO",
        goal=Goal(kind="ratio", limit=2.0, ahead=True),
        note="dogpile, diskcache and cashews return bytes, the others files; cashews "
        "with check_repr=False, without which it takes a hundred times longer",
    )
    yield bench.compare(
        "memory hit, 8 threads against 1",
        {
            "dict + BytesIO": lambda bench: _crowd_by_key(bench, Floor().get_file),
            OURS: lambda bench: _crowd_by_key(bench, _ours(bench)),
            "minimalkv open": lambda bench: _crowd_by_name(bench, _minimalkv()),
            "dogpile get": lambda bench: _crowd_by_name(bench, _dogpile().get),
            "a dict behind a lock": lambda bench: _crowd_by_name(
                bench, LockedLRU().open
            ),
        },
        floor="dict + BytesIO",
        unit="x",
        goal=Goal(kind="value", limit=1.3, broken=NO_NOISE),
        note="time an operation with eight threads, over the time with one",
    )


def _by_key(bench: Bench, get_file: Callable[..., Any]) -> Sample:
    return timed(_BY_KEY, bench.seconds, MANY, numbers=range(MANY), get_file=get_file)


def _by_name(bench: Bench, get: Callable[..., Any]) -> Sample:
    return timed(_BY_NAME, bench.seconds, MANY, names=NAMES, get=get)


def _crowd_by_key(bench: Bench, get_file: Callable[..., Any]) -> Sample:
    def work() -> None:
        for number in range(MANY):
            get_file("comics.cover", number, 405, 640, "image/jpeg")

    return crowded(work, 2 * bench.seconds)


def _crowd_by_name(bench: Bench, get: Callable[..., Any]) -> Sample:
    def work() -> None:
        for name in NAMES:
            get(name)

    return crowded(work, 2 * bench.seconds)


def _ours(bench: Bench) -> Callable[..., Any]:
    return bench.keep(filled(CONTENTS, memory_tier(CONTENTS))).get_file


def _minimalkv() -> Callable[..., Any]:
    from minimalkv.cache import CacheDecorator
    from minimalkv.memory import DictStore

    cache = DictStore(dict(zip(NAMES, CONTENTS, strict=True)))
    return CacheDecorator(cache, DictStore()).open


def _dogpile() -> Any:
    from dogpile.cache import make_region

    region = make_region().configure("dogpile.cache.memory")
    for name, content in zip(NAMES, CONTENTS, strict=True):
        region.set(name, content)
    return region


def _dogpile_creator() -> Callable[..., Any]:
    region = _dogpile()
    return lambda name: region.get_or_create(name, bytes)


def _fsspec() -> Callable[..., Any]:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name, content in zip(NAMES, CONTENTS, strict=True):
        memory.pipe(f"/{name}", content)
    return lambda name: memory.open("/" + name)


def _diskcache(bench: Bench) -> Callable[..., Any]:
    import diskcache

    cache = bench.keep(diskcache.Cache(str(bench.place("diskcache"))))
    for name, content in zip(NAMES, CONTENTS, strict=True):
        cache.set(name, content)
    return cache.get


def _cashews(bench: Bench) -> Sample:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=2 * MANY, check_repr=False)
    for name, content in zip(NAMES, CONTENTS, strict=True):
        bench.loop.run_until_complete(cache.set(name, content))
    bench.finally_(lambda: bench.loop.run_until_complete(cache.close()))
    return awaited(lambda: cache.get(NAMES[7]), bench.seconds, bench.loop)
