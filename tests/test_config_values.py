"""The constructor is the schema: what it takes is taken, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.configs import REGISTRY, LeafStore, Level, Window, of_leaf, problems, written
from tiered_store.config import build, check
from tiered_store.config.schema import schema_of
from tiered_store.errors import ConfigError
from tiered_store.units import Secret


KNOWN = (
    "known are: bucket, size, ttl, attempts, ratio, public, mode, hedge, secret_key, "
    "names, weights, window, pair, path, level, limit, timeout, retry, breaker"
)


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def leaf(**options: object) -> LeafStore:
    """Return a leaf that is built with *options*."""
    store = build(
        {"version": 1, "stores": {"x": {"type": "leaf", "bucket": "b", **options}}},
        registry=REGISTRY,
    )
    assert isinstance(store, LeafStore)
    return store


@pytest.mark.parametrize(
    ("option", "written", "value"),
    [
        ("bucket", "img", "img"),
        ("size", "256MiB", 256 * 1024**2),
        ("size", 5, 5),
        ("ttl", "1h30m", 5400.0),
        ("ttl", 5, 5.0),
        ("ttl", None, None),
        ("attempts", 9, 9),
        ("ratio", 1, 1.0),
        ("public", True, True),
        ("mode", "quorum", "quorum"),
        ("hedge", "p95", "p95"),
        ("hedge", "20ms", 0.02),
        ("secret_key", "x", Secret("x")),
        ("names", ["a", "b"], ("a", "b")),
        ("weights", {"a": 1, "b": 2.5}, {"a": 1.0, "b": 2.5}),
        ("window", {"calls": 3, "length": "1m"}, Window(calls=3, length=60.0)),
        ("window", "none", "none"),
        ("window", None, None),
        ("window", {}, Window()),
        ("pair", [1, "x"], (1, "x")),
        ("path", "/srv", Path("/srv")),
        ("level", "high", Level.HIGH),
    ],
)
def test_value(option: str, written: object, value: object) -> None:
    """Every kind of annotation has its spelling."""
    found = getattr(leaf(**{option: written}), option)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("bucket: 3", "bucket: expected a text, got 3; put it in quotes"),
        ("bucket: true", "bucket: expected a text, got true; put it in quotes"),
        ("bucket:", "bucket: expected a text, got nothing"),
        ("bucket: [a]", "bucket: expected a text, got a list"),
        ("bucket: {a: b}", "bucket: expected a text, got a mapping"),
        ("size: lots", "size: expected a size such as 256MiB, got 'lots'"),
        ("size: -1", "size: expected a size such as 256MiB, got -1"),
        ("size: 1.5", "size: expected a size such as 256MiB, got 1.5"),
        ("size: true", "size: expected a size such as 256MiB, got true"),
        ("ttl: soon", "ttl: expected a duration such as 250ms or 5m, got 'soon'"),
        ("ttl: [1]", "ttl: expected a duration such as 250ms or 5m, got a list"),
        ("attempts: 0", "attempts: expected at least 1, got 0"),
        ("attempts: 10", "attempts: expected below 10, got 10"),
        ("attempts: 1.5", "attempts: expected a whole number, got 1.5"),
        ("attempts: '3'", "attempts: expected a whole number, got '3'"),
        ("attempts: true", "attempts: expected a whole number, got true"),
        ("ratio: half", "ratio: expected a number, got 'half'"),
        ("ratio: true", "ratio: expected a number, got true"),
        ("public: yes", "public: expected true or false, got 'yes'; write true"),
        ("public: Off", "public: expected true or false, got 'Off'; write false"),
        ("public: 1", "public: expected true or false, got 1"),
        (
            "mode: al",
            "mode: expected 'all' or 'quorum', got 'al'; did you mean 'all'?",
        ),
        ("mode: x", "mode: expected 'all' or 'quorum', got 'x'"),
        (
            "hedge: p59",
            "hedge: expected a duration such as 250ms or 5m or 'p95', got 'p59'; "
            "did you mean 'p95'?",
        ),
        ("secret_key: 1234", "secret_key: expected a text; put it in quotes"),
        ("secret_key: [a]", "secret_key: expected a text, got a list"),
        ("names: a", "names: expected a list, got 'a'"),
        ("names: {a: b}", "names: expected a list, got a mapping"),
        ("names: [a, 1]", "names[1]: expected a text, got 1; put it in quotes"),
        ("weights: 3", "weights: expected a mapping, got 3"),
        ("weights: {a: b}", "weights.a: expected a number, got 'b'"),
        (
            "weights: {'a.b c': x}",
            "weights.'a.b c': expected a number, got 'x'",
        ),
        (
            "window: 3",
            "window: expected a mapping of options or 'none', got 3",
        ),
        (
            "window: nome",
            "window: expected a mapping of options or 'none', got 'nome'; "
            "did you mean 'none'?",
        ),
        (
            "window: {cals: 3}",
            "window.cals: unknown key 'cals'; did you mean 'calls'? "
            "known are: calls, length",
        ),
        ("window: {calls: 0}", "window.calls: must be at least 1, not 0"),
        (
            "window: {length: x}",
            "window.length: expected a duration such as 250ms or 5m, got 'x'",
        ),
        ("pair: [1]", "pair: expected a list of 2, got a list"),
        ("pair: x", "pair: expected a list of 2, got 'x'"),
        ("path: 3", "path: expected a value of type Path, got 3"),
        ("level: lo", "level: expected 'low' or 'high', got 'lo'"),
        ("pair: [a, b]", "pair[0]: input should be a valid integer"),
        ("buckt: x", "buckt: unknown key 'buckt'; did you mean 'bucket'?"),
        ("foo: x", f"foo: unknown key 'foo'; {KNOWN}"),
        ("clock: x", f"clock: unknown key 'clock'; {KNOWN}"),
        ("changed: x", f"changed: unknown key 'changed'; {KNOWN}"),
    ],
)
def test_wrong_value(options: str, said: str) -> None:
    """What is wrong says what is expected, what there is, and what may be meant."""
    others = "" if options.startswith("bucket:") else "bucket: b, "
    assert of_leaf(others + options) == [f"stores.x.{said}"]


def test_missing_option() -> None:
    """What a constructor needs and nobody gave is said where the store is named."""
    assert problems("{version: 1, stores: {x: {type: leaf}}}") == [
        "images.yml:1:23 stores.x: missing 'bucket': a text"
    ]


def test_long_values_are_cut() -> None:
    """A message is a line, not a copy of the file."""
    (said,) = of_leaf(f"bucket: b, size: {'x' * 500}")
    assert said == (
        f"stores.x.size: expected a size such as 256MiB, got '{'x' * 55}...'"
    )


def test_message_is_one_line() -> None:
    """A value with a line break does not break the message."""
    assert of_leaf('bucket: b, size: "a\\nb", "c\\nd": 1')[0] == (
        r"stores.x.size: expected a size such as 256MiB, got 'a\nb'"
    )
    assert of_leaf('bucket: b, size: "a\\nb", "c\\nd": 1')[1].startswith(
        r"stores.x.'c\nd': unknown key 'c\nd'; "
    )


def test_every_problem_at_once() -> None:
    """One run shows all there is to mend, in the order of the file."""
    found = problems(
        """\
        version: 1
        default: imags
        store: {}
        stores:
          images:
            type: tiered
            tiers:
              - {type: memory, capacity: lots, jitter: x}
              - {type: leaf, ttl: never, bukcet: b}
            child: regions
          regions:
            type: group
            stores:
              us: us-eest
              eu: {type: memry}
            timeout: 5 minutes
          us-east: {type: leaf, bucket: b, retry: {attempts: 0}, limit: many}
        """
    )
    assert [line.removeprefix("images.yml:") for line in found] == [
        "2:10 default: unknown store 'imags'; did you mean 'images'?",
        "3:1 store: unknown key 'store'; did you mean 'stores'? "
        "known are: version, default, stores, journals, controls, defaults, allow",
        "8:34 stores.images.tiers[0].capacity: "
        "expected a size such as 256MiB, got 'lots'",
        "8:48 stores.images.tiers[0].jitter: expected a number, got 'x'",
        "9:27 stores.images.tiers[1].ttl: "
        "expected a duration such as 250ms or 5m, got 'never'",
        "9:34 stores.images.tiers[1].bukcet: unknown key 'bukcet'; did you mean "
        "'bucket'?",
        "14:11 stores.regions.stores.us: unknown store 'us-eest'; "
        "did you mean 'us-east'?",
        "15:18 stores.regions.stores.eu.type: unknown store type 'memry'; "
        "did you mean 'memory'?",
        "16:14 stores.regions.timeout: "
        "expected a duration such as 250ms or 5m, got '5 minutes'",
        "17:54 stores.us-east.retry.attempts: must be at least 1, not 0",
        "17:65 stores.us-east.limit: expected a whole number, got 'many'",
    ]


def test_constructor_is_heard() -> None:
    """What a constructor refuses is said where the option is, once for each."""
    assert problems("{version: 1, stores: {x: {type: refusing, url: hello}}}") == [
        "images.yml:1:23 stores.x: and neither is hello",
        "images.yml:1:48 stores.x.url: is no URL: hello",
    ]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("value", "48 stores.x.url: url is of no value"),
        ("nothing", "23 stores.x: ValueError"),
        ("import", "23 stores.x: No module named 'acme'"),
        ("system", "23 stores.x: [Errno 2] No such file or directory: '/x'"),
        ('"a\\nb"', "48 stores.x.url: is no URL: a b"),
    ],
)
def test_constructor_may_raise_otherwise(url: str, said: str) -> None:
    """A wrong value, a missing package or a missing file are problems of the file."""
    found = problems(f"{{version: 1, stores: {{x: {{type: refusing, url: {url}}}}}}}")
    assert found[-1] == f"images.yml:1:{said}"


def test_constructor_is_heard_above_what_failed() -> None:
    """A store is checked even if the one underneath could not be built."""
    with pytest.raises(ConfigError) as caught:
        build(
            {
                "version": 1,
                "stores": {
                    "x": {"type": "retry", "attempts": 0, "child": {"type": "memry"}}
                },
            }
        )
    assert caught.value.problems == (
        "stores.x.child.type: unknown store type 'memry'; did you mean 'memory'?",
        "stores.x.attempts: must be at least 1, not 0",
    )


def test_bug_is_no_problem_of_the_file() -> None:
    """A constructor that is broken is not blamed on the configuration."""
    with pytest.raises(TypeError, match=r"^a bug\nwhile stores\.x was made$"):
        problems("{version: 1, stores: {x: {type: refusing, url: bug}}}")


def test_option_that_no_file_can_give() -> None:
    """A type that needs an object says that it is for code only."""
    assert problems("{version: 1, stores: {x: {type: object}}}") == [
        "images.yml:1:23 stores.x: cannot be written in a file: "
        "it needs 'clock', an object"
    ]


def test_secrets_are_never_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither secrets nor values from outside show, whoever words the message."""
    monkeypatch.setenv("OUTSIDE", "hunter2")
    monkeypatch.setenv("SHORT", "7")
    options = {
        "bucket": "${env:OUTSIDE}",
        "size": "${env:OUTSIDE}",
        "ttl": "a ${env:OUTSIDE} b",
        "attempts": "1${env:SHORT}",
        "mode": "${env:OUTSIDE}",
        "public": "${env:OUTSIDE:-x}",
        "hedge": "${env:OUTSIDE}",
        "names": "${env:OUTSIDE}",
        "weights": {"a": "${env:OUTSIDE}"},
        "window": "${env:OUTSIDE}",
        "pair": ["${env:OUTSIDE}", "x"],
        "secret_key": 1234567,
    }
    stores = {
        "a": {"type": "leaf", **options},
        "b": {"type": "refusing", "url": "${env:OUTSIDE}"},
        "c": {"type": "refusing", "key": "hunter2"},
        "d": {"type": "${env:OUTSIDE}"},
        "e": "${env:OUTSIDE}",
        "f": {"type": "group", "spare": "${env:OUTSIDE}", "more": "${env:OUTSIDE}"},
        "g": {"type": "refusing", "url": "${env:SHORT}"},
        "h": {"type": "refusing", "url": "redis://user:hunter2@host/"},
        "i": {"type": "memory", "retry": "${env:OUTSIDE}"},
        "j": {"type": "journaled", "journal": "${env:OUTSIDE}"},
        "k": {"type": "leaf", "bucket": 3, "size": "redis://u:hunter2@h"},
    }
    with pytest.raises(ConfigError) as caught:
        build(
            {"version": 1, "default": "${env:OUTSIDE}", "stores": stores},
            registry=REGISTRY,
        )
    said = str(caught.value)
    assert "hunter2" not in said
    assert "1234567" not in said
    outside = "the value of ${env:OUTSIDE}"
    lines = sorted(caught.value.problems)
    other = ("stores.d", "stores.k")
    assert [line for line in lines if not line.startswith(other)] == [
        f"default: unknown store, {outside}; known are: {', '.join(stores)}",
        "stores.a.attempts: expected below 10, got the value of ${env:SHORT}",
        f"stores.a.hedge: expected a duration such as 250ms or 5m or 'p95', "
        f"got {outside}",
        f"stores.a.mode: expected 'all' or 'quorum', got {outside}",
        f"stores.a.names: expected a list, got {outside}",
        "stores.a.pair[0]: input should be a valid integer, unable to parse string "
        "as an integer",
        f"stores.a.public: expected true or false, got {outside}",
        "stores.a.secret_key: expected a text; put it in quotes",
        f"stores.a.size: expected a size such as 256MiB, got {outside}",
        f"stores.a.ttl: expected a duration such as 250ms or 5m, got {outside}",
        f"stores.a.weights.a: expected a number, got {outside}",
        f"stores.a.window: expected a mapping of options or 'none', got {outside}",
        "stores.b.url: is no URL: ****",
        "stores.b: and neither is ****",
        "stores.c: and neither is ****",
        "stores.c: url: is no URL: ****",
        f"stores.e: expected a mapping with a type, got {outside}",
        f"stores.f.more: expected a list, got {outside}",
        f"stores.f.spare: unknown store, {outside}; known are: {', '.join(stores)}",
        "stores.g.url: is no URL: ****",
        "stores.g: and neither is ****",
        "stores.h.url: is no URL: redis://****@host/",
        "stores.h: and neither is redis://****@host/",
        f"stores.i.retry: expected a whole number, got {outside}",
        f"stores.j.journal: unknown journal, {outside}; known are: none",
    ]
    assert [line for line in lines if line.startswith(other)] == [
        "stores.d.type: unknown store type, the value of ${env:OUTSIDE}; known are: "
        f"{', '.join(REGISTRY.stores.words())}",
        "stores.k.bucket: expected a text, got 3; put it in quotes",
        "stores.k.size: expected a size such as 256MiB, got 'redis://****@h'",
    ]


def test_written_secret_is_never_said() -> None:
    """A secret that stands in the file itself is one all the same."""
    with pytest.raises(ConfigError) as caught:
        build(
            {"version": 1, "stores": {"x": {"type": "refusing", "key": "a-hunter2"}}},
            registry=REGISTRY,
        )
    assert "a-hunter2" not in str(caught.value)


def test_short_values_are_hidden_as_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """One letter from outside does not make a message unreadable."""
    monkeypatch.setenv("LETTER", "o")
    assert of_refusing("${env:LETTER}") == [
        "stores.x: and neither is ****",
        "stores.x.url: is no URL: ****",
    ]


def test_part_of_a_value_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came from outside is hidden wherever it stands in a message."""
    monkeypatch.setenv("OUTSIDE", "hunter2")
    assert of_refusing("redis-${env:OUTSIDE}") == [
        "stores.x: and neither is ****",
        "stores.x.url: is no URL: ****",
    ]


def of_refusing(url: str) -> list[str]:
    """Return what is wrong with a refusing store, without its place."""
    found = problems(f"{{version: 1, stores: {{x: {{type: refusing, url: '{url}'}}}}}}")
    return [line.split(" ", 1)[1] for line in found]


def test_no_hint_at_what_came_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suggestion would tell what it is close to."""
    monkeypatch.setenv("OUTSIDE", "quorumm")
    assert of_leaf("bucket: b, mode: '${env:OUTSIDE}'") == [
        "stores.x.mode: expected 'all' or 'quorum', got the value of ${env:OUTSIDE}"
    ]


@pytest.mark.parametrize("value", ["inf", "nan", "1e999"])
def test_numbers_are_finite(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no finite number cannot come in from outside either."""
    monkeypatch.setenv("OUTSIDE", value)
    assert of_leaf("bucket: b, ratio: '${env:OUTSIDE}'") == [
        "stores.x.ratio: expected a number, got the value of ${env:OUTSIDE}"
    ]


def test_secret_in_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error hangs on no other one that would tell."""
    monkeypatch.setenv("OUTSIDE", "hunter2")
    written("{version: 1, stores: {x: {type: refusing, url: '${env:OUTSIDE}'}}}")
    with pytest.raises(ConfigError) as caught:
        build(
            {"version": 1, "stores": {"x": {"type": "refusing", "url": "hunter2"}}},
            registry=REGISTRY,
        )
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "hunter2" not in "\n".join(check("images.yml", registry=REGISTRY))


def test_schema_leaves_out_what_cannot_be_written() -> None:
    """A clock and a function are for code; everything else is an option."""
    schema = schema_of(LeafStore, REGISTRY)
    assert list(schema.options) == [
        "bucket",
        "size",
        "ttl",
        "attempts",
        "ratio",
        "public",
        "mode",
        "hedge",
        "secret_key",
        "names",
        "weights",
        "window",
        "pair",
        "path",
        "level",
    ]
    assert [name for name, option in schema.options.items() if option.required] == [
        "bucket"
    ]
    assert schema.options["mode"].default == "all"
    assert schema.unspellable == ()
