"""
Whether the package is whole where nothing but it was installed: no extras, no tests.

    python installed.py

``make package`` runs it with every interpreter that there is, beside the wheel.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import pkgutil
import subprocess
import sys
import tempfile

from collections.abc import Callable, Iterator
from pathlib import Path


CONFIG = """\
version: 1
default: images
stores:
  images: {type: cached, tiers: [{type: memory}], origin: regions}
  regions:
    type: replicated
    replicas: {us: {type: filesystem, path: us, create: true}, eu: {type: memory}}
    journal: {type: sqlite, path: journal.db}
"""
KEY = ("comics.cover", 1234, 405, 640, "image/jpeg")
OBJECT = "comics.cover/1234/405x640.jpe"
# what may be missing, and in which part it is then missed
OWNERS = {
    "cryptography": "wrappers.encrypted",
    "django": "django",
    "hypothesis": "testing",
    "obstore": "backends.s3",
    "PIL": "demo",
    "pytest": "testing",
    "sqlalchemy": "journals.sql",
}


def main() -> None:
    """Try all of it; an AssertionError says what is not so."""
    import tiered_store

    where = Path(str(tiered_store.__file__)).parent
    assert "site-packages" in where.parts, f"this is no installed package: {where}"
    assert (where / "py.typed").exists(), "type checkers would not look at it"
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        every_module_can_be_imported()
        a_stack_works()
        the_command_works()
        what_is_missing_is_named()
    version = importlib.metadata.version("tiered-store")
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"tiered-store {version} works on Python {python}, {len(modules())} modules")


def modules() -> list[str]:
    """Return every module of the package."""
    import tiered_store

    found = pkgutil.walk_packages(tiered_store.__path__, "tiered_store.")
    return [one.name for one in found if not one.name.endswith("__main__")]


def every_module_can_be_imported() -> None:
    """Without extras: what needs one imports it when it is used."""
    for name in modules():
        try:
            importlib.import_module(name)
        except ImportError as error:
            owner = OWNERS.get(str(error.name), "nobody's")
            assert name.startswith(f"tiered_store.{owner}"), f"{name}: {error}"


def a_stack_works() -> None:
    """From YAML to bytes and back."""
    from tiered_store import NotFoundError, load

    Path("images.yaml").write_text(CONFIG)
    with load("images.yaml") as images:
        images.put_file(io.BytesIO(b"picture"), *KEY, reproducible=False)
        with images.get_file(*KEY) as file:
            assert file.read() == b"picture"
        with raises(NotFoundError, "no store has it"):
            images.get_file("comics.cover", 5, *KEY[2:])


def the_command_works() -> None:
    """Each with its exit status."""
    version = importlib.metadata.version("tiered-store")
    assert ran("--version") == (0, f"tiered-store {version}\n")
    assert ran("check", "images.yaml")[0] == 0
    assert ran("tree", "images.yaml")[0] == 0
    assert ran("get", "-c", "images.yaml", OBJECT) == (0, "picture")
    assert ran("get", "-c", "images.yaml", OBJECT.replace("1234", "5"))[0] == 3
    assert ran("serve", "images.yaml")[0] == 2


def ran(*arguments: str) -> tuple[int, str]:
    """Return exit status and output of the command that was installed."""
    command = Path(sys.executable).with_name("tiered-store")
    done = subprocess.run([command, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout


def what_is_missing_is_named() -> None:
    """With the words to install it."""
    from tiered_store import (
        AsyncStore,
        ConfigError,
        EncryptedStore,
        MemoryStore,
        Secret,
        SQLJournal,
    )
    from tiered_store.imageattach import bridge, revive
    from tiered_store.listeners.opentelemetry import OpenTelemetryListener
    from tiered_store.listeners.prometheus import PrometheusListener
    from tiered_store.web.asgi import ASGIFace
    from tiered_store.web.site import Site

    key = Secret("YW4gZXhhbXBsZTsgbWFrZSBvbmUgb2YgeW91ciBvd24=")
    tries: dict[str, Callable[[], object]] = {
        "[async]": lambda: AsyncStore(MemoryStore()),
        "[web]": lambda: ASGIFace(Site(MemoryStore())),
        "[imageattach]": revive,
        "revive()": lambda: bridge(MemoryStore()),
        "[encryption]": lambda: EncryptedStore(MemoryStore(), key),
        "[prometheus]": PrometheusListener,
        "[opentelemetry]": OpenTelemetryListener,
        "[sqlalchemy]": lambda: list(SQLJournal("postgresql://x/y").pending()),
    }
    for advice, work in tries.items():
        with raises(ConfigError, advice):
            work()
    with raises(ImportError, "[django]"):
        importlib.import_module("tiered_store.django")


@contextlib.contextmanager
def raises(kind: type[Exception], text: str) -> Iterator[None]:
    """Expect an error that says *text*."""
    try:
        yield
    except kind as error:
        assert text in str(error), f"{text!r} is not in: {error}"
    else:
        raise AssertionError(f"no error that says {text!r}")


if __name__ == "__main__":
    main()
