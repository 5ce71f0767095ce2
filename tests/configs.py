"""Types and files to try configuration on, without any server."""

from __future__ import annotations

import textwrap

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from tiered_store.backends.memory import MemoryStore
from tiered_store.clock import SYSTEM, Clock
from tiered_store.config import Registry, check
from tiered_store.errors import ConfigError
from tiered_store.journals.journal import Journal
from tiered_store.store import Store
from tiered_store.tiers.tier import Tier
from tiered_store.units import Duration, Secret, Size
from tiered_store.wrapper import Wrapper


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Options that belong together."""

    calls: int = 20
    length: Duration = 10.0

    def __post_init__(self) -> None:
        if self.calls < 1:
            raise ConfigError(f"calls: must be at least 1, not {self.calls}")


class Level(Enum):
    """How much."""

    LOW = "low"
    HIGH = "high"


class LeafStore(MemoryStore):
    """A store with an option of every kind."""

    def __init__(
        self,
        bucket: str,
        *,
        size: Size = 1,
        ttl: Duration | None = None,
        attempts: Annotated[int, Ge(1), Lt(10)] = 1,
        ratio: float = 0.5,
        public: bool = False,
        mode: Literal["all", "quorum"] = "all",
        hedge: Duration | Literal["p95"] | None = None,
        secret_key: str | Secret | None = None,
        names: Sequence[str] = (),
        weights: Mapping[str, float] | None = None,
        window: Window | Literal["none"] | None = None,
        pair: tuple[int, str] | None = None,
        path: Path | None = None,
        level: Level | None = None,
        clock: Clock = SYSTEM,
        changed: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self.bucket = bucket
        self.size = size
        self.ttl = ttl
        self.attempts = attempts
        self.ratio = ratio
        self.public = public
        self.mode = mode
        self.hedge = hedge
        self.secret_key = secret_key
        self.names = names
        self.weights = weights
        self.window = window
        self.pair = pair
        self.path = path
        self.level = level
        self.clock = clock
        self.changed = changed


class RefusingStore(MemoryStore):
    """Says in its own words that something is wrong with *url*."""

    def __init__(self, url: str = "", *, key: Secret | None = None) -> None:
        super().__init__()
        if url in RAISED:
            raise RAISED[url]
        shown = key.reveal() if key is not None else url
        raise ConfigError(
            ["url: is no URL: " + shown, "and neither is " + shown.split("-")[-1]]
        )


RAISED: dict[str, Exception] = {
    "bug": TypeError("a bug"),
    "value": ValueError("url is of no value"),
    "nothing": ValueError(),
    "import": ImportError("No module named 'acme'"),
    "system": FileNotFoundError(2, "No such file or directory", "/x"),
}


class ClosingStore(Wrapper):
    """Remembers that it was closed."""

    closings: list[str]

    def __init__(self, child: Store, *, name: str = "") -> None:
        super().__init__(child)
        self.name = name

    def _close(self) -> None:
        CLOSED.append(self.name)


CLOSED: list[str] = []


class GroupStore(MemoryStore):
    """Takes stores in every way."""

    def __init__(
        self,
        stores: Mapping[str, Store] | None = None,
        *,
        spare: Store | None = None,
        more: Sequence[Store] = (),
        timeout: Duration = 1.0,
    ) -> None:
        super().__init__()
        self.stores = stores
        self.spare = spare
        self.more = more
        self.timeout = timeout

    def children(self) -> Mapping[str, Store]:
        named = dict(self.stores or {})
        if self.spare is not None:
            named["spare"] = self.spare
        return named | {f"more.{n}": store for n, store in enumerate(self.more)}


class TieredStore(Wrapper):
    """Takes tiers, and nothing else of a cache."""

    def __init__(self, child: Store, tiers: Sequence[Tier | Store]) -> None:
        super().__init__(child)
        self.tiers = tiers


class ObjectStore(MemoryStore):
    """Needs what no file can give."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock


class NotesJournal:
    """A journal as far as configuration is concerned."""

    def __init__(self, path: str, *, rows: int = 10) -> None:
        self.path = path
        self.rows = rows
        self.closed = False

    def close(self) -> None:
        self.closed = True


class JournaledStore(MemoryStore):
    """Takes a journal."""

    def __init__(self, journal: Journal | None = None) -> None:
        super().__init__()
        self.journal = journal


REGISTRY = Registry(
    stores={
        "leaf": LeafStore,
        "refusing": RefusingStore,
        "closing": "tests.configs:ClosingStore",
        "group": GroupStore,
        "tiered": TieredStore,
        "object": ObjectStore,
        "journaled": JournaledStore,
        "broken": "tests.no_such_module:Store",
        "noclass": "tests.configs:CLOSED",
        "notastore": dict,
    },
    journals={"notes": NotesJournal},
)


def written(text: str, name: str = "images.yml") -> str:
    """Write *text* to the file *name* and return it."""
    Path(name).write_text(textwrap.dedent(text), encoding="utf-8")
    return name


def problems(text: str) -> list[str]:
    """Return what is wrong with a file of *text*."""
    return check(written(text), registry=REGISTRY)


def of_leaf(options: str) -> list[str]:
    """Return what is wrong with a leaf that has *options*, without their place."""
    found = problems(f"{{version: 1, stores: {{x: {{type: leaf, {options}}}}}}}")
    return [line.split(" ", 1)[1] for line in found]
