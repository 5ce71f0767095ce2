"""Each object is in one route, wherever it was before and whoever else writes."""

from __future__ import annotations

import contextlib
import itertools

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import pytest

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import (
    ConfigError,
    ConflictError,
    InconclusiveError,
    NotFoundError,
    PartialWriteError,
    UnavailableError,
    UnsupportedError,
)
from tiered_store.events import Verb
from tiered_store.key import Key
from tiered_store.policies.routing import Rule
from tiered_store.testing import FaultStore
from tiered_store.wrapper import Wrapper
from tiered_store.wrappers.routed import RoutedStore


PHOTO = Key("comics.cover", 1, 30, 40, "image/png")
PAGE = Key("comics.page", 1, 30, 40, "text/html")
SMALL, LARGE = Body.of(b"small"), Body.of(b"large" * 100)


def route() -> FaultStore:
    return FaultStore(MemoryStore(base_url="https://x/"))


@pytest.fixture
def near() -> FaultStore:
    return route()


@pytest.fixture
def far() -> FaultStore:
    return route()


@pytest.fixture
def store(near: FaultStore, far: FaultStore) -> RoutedStore:
    """Small objects near, large ones far."""
    return RoutedStore(
        {"near": near, "far": far}, rules=[Rule(to="near", max_size=10)], default="far"
    )


def holds(route: FaultStore, key: Key = PHOTO) -> bool:
    return key in list(route.child.keys(""))


@pytest.mark.parametrize(
    ("rule", "size", "reproducible", "matches"),
    [
        (Rule(to="a", object_type="comics.*"), 1, False, True),
        (Rule(to="a", object_type="comics"), 1, False, False),
        (Rule(to="a", mimetype="image/*"), 1, False, True),
        (Rule(to="a", mimetype="text/*", object_type="comics.*"), 1, False, False),
        (Rule(to="a", reproducible=True), 1, True, True),
        (Rule(to="a", reproducible=True), 1, False, False),
        (Rule(to="a", reproducible=False), 1, False, True),
        (Rule(to="a", min_size=10), 9, False, False),
        (Rule(to="a", min_size=10), 10, False, True),
        (Rule(to="a", max_size=10), 10, False, True),
        (Rule(to="a", max_size=10), 11, False, False),
        (Rule(to="a", max_size=0), 1, False, False),
    ],
)
def test_a_rule_matches_all_it_says(
    rule: Rule, size: int, reproducible: bool, matches: bool
) -> None:
    """Every condition that is given, and no other; sizes include their bound."""
    routes = {"a": route(), "rest": route()}
    store = RoutedStore(routes, rules=[rule], default="rest")
    store.put(PHOTO, Body.of(bytes(size)), reproducible)
    assert holds(routes["a"]) is matches
    assert holds(routes["rest"]) is not matches
    assert store.get(PHOTO).size == size


def test_the_first_rule_decides_and_names_cost_nothing() -> None:
    """What the name decides is asked in one place only."""
    routes = {name: route() for name in ("pages", "comics", "rest")}
    store = RoutedStore(
        routes,
        rules=[
            Rule(to="pages", mimetype="text/*"),
            Rule(to="comics", object_type="comics.*"),
        ],
        default="rest",
    )
    store.put(PAGE, SMALL)
    store.put(PHOTO, SMALL)
    assert holds(routes["pages"], PAGE)
    assert holds(routes["comics"], PHOTO)
    with pytest.raises(NotFoundError):
        store.get(PAGE._replace(object_id=2))
    store.delete(PAGE)
    assert store.url(PHOTO) == routes["comics"].url(PHOTO)
    assert routes["pages"].calls == {"put": 1, "get": 1, "delete": 1}
    assert not routes["rest"].calls


def test_a_put_takes_the_object_with_it(
    store: RoutedStore, near: FaultStore, far: FaultStore
) -> None:
    """No stale copy stays where the object was."""
    store.put(PHOTO, SMALL)
    assert (holds(near), holds(far)) == (True, False)
    store.put(PHOTO, LARGE)
    assert (holds(near), holds(far)) == (False, True)
    assert store.get(PHOTO).read() == LARGE.read()
    assert store.stat(PHOTO).size == LARGE.size
    store.put(PHOTO, SMALL)
    assert (holds(near), holds(far)) == (True, False)
    assert list(store.keys("")) == [PHOTO]


def test_a_delete_reaches_every_place(store: RoutedStore, near: FaultStore) -> None:
    """Also a copy that a failed put has left behind, so that none returns."""
    store.put(PHOTO, SMALL)
    near.fail("delete")
    with pytest.raises(PartialWriteError) as caught:
        store.put(PHOTO, LARGE)
    assert caught.value.ambiguous
    assert caught.value.retryable
    assert caught.value.outcomes["far"] is None
    assert list(store.keys("")) == [PHOTO]
    store.delete(PHOTO)
    with pytest.raises(NotFoundError):
        store.get(PHOTO)


def test_a_put_that_is_repeated_settles(
    store: RoutedStore, near: FaultStore, far: FaultStore
) -> None:
    """What one put could not take away the next one does."""
    store.put(PHOTO, SMALL)
    near.fail("delete")
    with pytest.raises(PartialWriteError):
        store.put(PHOTO, LARGE)
    store.put(PHOTO, LARGE)
    assert (holds(near), holds(far)) == (False, True)


def test_a_put_that_fails_changes_nothing(
    store: RoutedStore, near: FaultStore, far: FaultStore
) -> None:
    """The old object stays until the new one is stored."""
    store.put(PHOTO, SMALL)
    far.fail("put", "full")
    with pytest.raises(OSError, match="full"):
        store.put(PHOTO, LARGE)
    assert store.get(PHOTO).read() == b"small"


def test_a_delete_that_fails_uncovers_nothing(
    store: RoutedStore, near: FaultStore, far: FaultStore
) -> None:
    """What is read first is deleted last, so that no older copy appears."""
    far.child.put(PHOTO, LARGE)  # left behind by a put that failed
    near.child.put(PHOTO, SMALL)
    far.fail("delete")
    with pytest.raises(UnavailableError):
        store.delete(PHOTO)
    assert store.get(PHOTO).read() == b"small"
    near.fail("delete")
    with pytest.raises(PartialWriteError):
        store.delete(PHOTO)
    assert store.get(PHOTO).read() == b"small"


def test_an_outage_is_not_absence(
    store: RoutedStore, near: FaultStore, far: FaultStore
) -> None:
    """A route that cannot answer may have it; one that can and has it is believed."""
    far.down()
    for ask in (store.get, store.stat):
        with pytest.raises(InconclusiveError):
            ask(PHOTO)
    assert far.calls == {"get": 1, "stat": 1}  # nobody looks twice
    far.up()
    store.put(PHOTO, LARGE)
    near.down()
    assert store.get(PHOTO).read() == LARGE.read()
    with pytest.raises(UnavailableError):
        list(store.keys(""))


def test_an_object_that_moves_is_never_absent(
    store: RoutedStore, far: FaultStore
) -> None:
    """It may go, behind a reader's back, to where the reader has asked already."""
    store.put(PHOTO, LARGE)
    with ThreadPoolExecutor() as pool:
        with far.pause("get") as asking:
            reader = pool.submit(store.get, PHOTO)
            asking.wait()
            store.put(PHOTO, SMALL)
        assert reader.result(60).read() == b"small"


@pytest.mark.parametrize("begin", [SMALL, LARGE])
@pytest.mark.parametrize("moves", list(itertools.combinations(range(4), 2)))
def test_an_object_that_moves_twice_is_never_absent(
    moves: tuple[int, int], begin: Body
) -> None:
    """Whenever it does; the third time within one read may hide it, as is said."""
    assert hunted(moves, begin)


def test_an_object_that_moves_with_every_question_is_not_found() -> None:
    """No number of questions would find it: that is the bound, and no lower one."""
    assert not hunted((1, 2, 3), LARGE)


def hunted(moves: Collection[int], begin: Body) -> bool:
    """Read what somebody moves before the questions *moves*; say if it was found."""
    asked = itertools.count()

    class Asked(Wrapper):
        """A route before whose answers the object moves."""

        def _get(self, key: Key) -> Body:
            if next(asked) in moves:
                writer.put(PHOTO, LARGE if holds(near) else SMALL)
            return super()._get(key)

    near, far = route(), route()
    rules = [Rule(to="near", max_size=10)]
    writer = RoutedStore({"near": near, "far": far}, rules=rules, default="far")
    reader = RoutedStore(
        {"near": Asked(near), "far": Asked(far)}, rules=rules, default="far"
    )
    writer.put(PHOTO, begin)
    try:
        return reader.get(PHOTO).read() in (SMALL.read(), LARGE.read())
    except NotFoundError:
        return False


def test_two_writers_do_not_take_each_others_object_away(
    store: RoutedStore, near: FaultStore, far: FaultStore
) -> None:
    """Each stores its own and deletes the other's; one must notice and put again."""
    with ThreadPoolExecutor() as pool:
        small_deletes, large_deletes = far.pause("delete"), near.pause("delete")
        small = pool.submit(store.put, PHOTO, SMALL)
        large = pool.submit(store.put, PHOTO, LARGE)
        small_deletes.wait()
        large_deletes.wait()
        small_deletes.release()
        small.result(60)
        large_deletes.release()
        large.result(60)
    assert (holds(near), holds(far)) == (False, True)
    assert store.get(PHOTO).read() == LARGE.read()


def test_writers_that_never_agree_are_told(near: FaultStore) -> None:
    """Rather than that a put is acknowledged which left nothing."""

    class Thief(Wrapper):
        """Deletes, through another process, what was just stored."""

        def _put(self, key: Key, body: Body, reproducible: bool) -> None:
            super()._put(key, body, reproducible)
            self.puts = getattr(self, "puts", 0) + 1
            if self.puts < 5:
                self.child.delete(key)

    thief = Thief(MemoryStore())
    store = RoutedStore(
        {"near": near, "far": thief},
        rules=[Rule(to="near", max_size=10)],
        default="far",
    )
    with pytest.raises(ConflictError, match="other writers") as caught:
        store.put(PHOTO, LARGE)
    assert caught.value.ambiguous
    assert thief.get(PHOTO).read() == LARGE.read()  # rather two copies than none


def test_a_put_that_cannot_be_looked_at_is_not_acknowledged(
    store: RoutedStore, far: FaultStore
) -> None:
    """It may have been taken away by another writer."""
    far.fail("stat")
    with pytest.raises(PartialWriteError, match="far: unavailable"):
        store.put(PHOTO, LARGE)


def test_many_writers_leave_one_object(store: RoutedStore) -> None:
    """Whole, whoever was last, and never none."""
    bodies = [SMALL, LARGE] * 10

    def write(body: Body) -> None:
        with contextlib.suppress(ConflictError):
            store.put(PHOTO, body)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, bodies))
    assert store.get(PHOTO).read() in {SMALL.read(), LARGE.read()}


def test_urls_need_a_name_that_decides(store: RoutedStore) -> None:
    """A URL is made without looking, so it must not be a guess."""
    with pytest.raises(UnsupportedError, match="any of near, far"):
        store.url(PHOTO)
    assert "url" not in store.capabilities()
    routes = {"near": route(), "far": route()}
    rules = [Rule(to="near", max_size=10, mimetype="image/*")]
    some = RoutedStore(routes, rules=rules, default="far")
    assert "url" in some.capabilities()
    assert some.url(PAGE) == routes["far"].url(PAGE)
    with pytest.raises(UnsupportedError):
        some.url(PHOTO)


def test_leftovers_are_listed_once_and_strangers_not(
    store: RoutedStore, near: FaultStore, far: FaultStore
) -> None:
    """A copy that no rule leads to is no object of this store."""
    near.child.put(PHOTO, SMALL)
    far.child.put(PHOTO, LARGE)
    assert list(store.keys("")) == [PHOTO]
    named = RoutedStore(
        {"near": near, "far": far},
        rules=[Rule(to="near", mimetype="text/*")],
        default="far",
    )
    near.child.put(PAGE, SMALL)
    assert sorted(named.keys("")) == sorted([PHOTO, PAGE])


def test_half_a_listing_is_none(near: FaultStore) -> None:
    """A route that cannot list would be missing, which looks like absence."""

    class Unlisted(Wrapper):
        def capabilities(self) -> frozenset[Verb]:
            return super().capabilities() - {"keys"}

    store = RoutedStore({"near": near, "far": Unlisted(near)}, default="far")
    assert "keys" not in store.capabilities()
    assert "get" in store.capabilities()


@pytest.mark.parametrize(
    ("rules", "default", "message"),
    [
        ([], "c", "no route 'c'; there are a, b"),
        ([Rule(to="c", min_size=1)], "a", "no route 'c'"),
        ([Rule(to="b")], "a", "'b' matches everything"),
    ],
)
def test_wrong_rules_are_named(rules: list[Rule], default: str, message: str) -> None:
    """At construction, with what would be right."""
    with pytest.raises(ConfigError, match=message):
        RoutedStore({"a": route(), "b": route()}, rules=rules, default=default)
