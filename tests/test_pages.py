"""What the pages of the documentation show, works: each listing, in its order."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import sys

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import djangos, wands
from tiered_store.config import build, load
from tiered_store.config.registry import STORES
from tiered_store.demo.picture import SHIPPED
from tiered_store.store import Store


DOCS = Path(__file__).parent.parent / "docs"
PAGES = (
    *("tutorial", "choosing", "migrating", "serving", "imageattach"),
    *("observing", "django"),
)
ELSEWHERE = (  # are tested elsewhere
    *("python -m venv", "pip install"),
    *("tiered-store serve", "tiered-store drill"),
)
_LISTING = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def listings(page: str) -> list[tuple[str, str]]:
    """Return language and text of each listing of *page*."""
    return _LISTING.findall((DOCS / f"{page}.md").read_text())


@pytest.fixture
def moved(tmp_path, monkeypatch):
    """Be elsewhere, and let listings lie there, too."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(SHIPPED / "cat.jpg", "picture.jpg")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("JOURNAL_URL", "redis://127.0.0.1:1/1")
    monkeypatch.setenv("URL_SECRET", "a secret of the tests")
    monkeypatch.setenv("IMAGES_KEY", "YW4gZXhhbXBsZTsgbWFrZSBvbmUgb2YgeW91ciBvd24=")
    return lambda text: text.replace("/tmp/", f"{tmp_path}/")


@pytest.mark.parametrize("page", PAGES)
def test_the_listings_of_a_page_run_in_their_order(page, moved) -> None:
    """YAML becomes the file that its first line names, Python and commands are run."""
    names: dict[str, Any] = {}
    if page == "django":
        djangos.set_up()
    if page == "imageattach":
        wands.ensure()
        moved = before_entities(moved)
    for language, text in listings(page):
        if language == "yaml":
            write(moved(text))
        elif language == "python":
            exec(compile(moved(text), f"{page}.md", "exec"), names)
        elif language == "console" and page != "serving":
            for command, expected in commands(moved(text)):
                run(command, expected)
    if page == "serving":
        assert shown_by(names["app"]).startswith(
            b"http://example.com/__images__/comics"
        )


# who runs the listings of the other pages
OTHERS = {
    "caching": "test_documentation.py",
    "configuration": "test_configuration_page.py",
    "failover": "test_pages.py",
    "lint": "test_config_lint_rules.py",
    "mirroring": "test_documentation.py",
    "operating": "test_pages.py",
    "repairing": "test_documentation.py",
    "writing-a-store": "test_writing_a_store.py",
}


def test_no_page_s_listings_are_left_out() -> None:
    """What nobody runs is wrong one day, and is what people copy."""
    shown = {
        page.relative_to(DOCS).with_suffix("").as_posix()
        for page in DOCS.rglob("*.md")
        if {"yaml", "python", "console"}
        & {language for language, _ in _LISTING.findall(page.read_text())}
    }

    assert shown == {*PAGES, *OTHERS}
    for page, module in OTHERS.items():
        assert page in (Path(__file__).parent / module).read_text()


MIRROR = """\
version: 1
default: images
stores:
  images:
    type: replicated
    replicas: {us: us, eu: eu}
    journal: {type: sqlite, path: journal.db}
    control: {type: file, path: decisions.json}
  us: {type: filesystem, path: us, create: true}
  eu: {type: filesystem, path: eu, create: true}
"""


def test_the_listings_of_operating_run(moved, monkeypatch) -> None:
    """The commands on a mirror that is well; each way to keep decisions is built."""
    Path("images.yaml").write_text(MIRROR)
    with load("images.yaml") as images:
        images.delete_file("comics.cover", 1234, 405, 640, "image/jpeg")
    monkeypatch.setenv("TIERED_STORE_CONFIG", "images.yaml")
    monkeypatch.setenv("CONTROL_URL", "redis://127.0.0.1:1/0")
    ran = 0
    for language, text in listings("operating"):
        if language == "console":
            for command, expected in commands(text):
                run(command, expected)
                ran += 1
        elif language == "yaml":
            for line in text.splitlines():
                mirror = yaml.safe_load(MIRROR)
                mirror["stores"]["images"].update(yaml.safe_load(line))
                with build(mirror) as stack:
                    assert isinstance(stack, Store)
    assert ran >= 4


def test_the_listings_of_failover_are_built(moved) -> None:
    """As an operator would copy them."""
    for language, text in listings("failover"):
        assert language in ("yaml", "text")
        if language == "yaml":
            write(text)


def test_a_mirror_is_used_in_code_as_its_pages_say(moved) -> None:
    """Repaired, verified and asked; and drained when it is told to end."""
    Path("images.yaml").write_text(MIRROR)
    names: dict[str, Any] = {}
    before = signal.getsignal(signal.SIGTERM)
    try:
        with load("images.yaml") as names["images"]:
            for page in ("mirroring", "repairing"):
                for language, text in listings(page):
                    if language == "python":
                        exec(compile(text, f"{page}.md", "exec"), names)
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert names["left"].single_copies == 0


def before_entities(moved):
    write("# images.yaml\nversion: 1\ndefault: a\nstores: {a: {type: memory}}\n")
    return moved


def write(text: str) -> None:
    """Build what *text* describes, and write it down if it has a name."""
    with build(yaml.safe_load(text)) as stack:
        assert isinstance(stack, Store)
    if name := re.match(r"# (\S+\.yaml)\n", text):
        Path(name[1]).write_text(text)


def commands(text: str) -> list[tuple[str, str]]:
    """Return each command of a console, and what it is shown to print."""
    found = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [tuple(one.split("\n", 1)) for one in found]  # type: ignore[misc]


def run(command: str, expected: str) -> None:
    if any(known in command for known in ELSEWHERE):
        return
    words = shlex.split(command)
    assert words[0] == "tiered-store"
    ran = subprocess.run(
        [sys.executable, "-m", "tiered_store", *words[1:]],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert not expected or ran.stdout == expected


def shown_by(app) -> bytes:
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "HTTP_HOST": "example.com",
        "wsgi.url_scheme": "http",
    }
    return b"".join(app(environ, lambda status, headers: None))


def test_each_picture_shows_the_types_of_its_yaml() -> None:
    """And no others: a page that helps to choose must not promise another stack."""
    found = listings("choosing")
    pairs = list(zip(found[::2], found[1::2], strict=True))
    assert len(pairs) >= 9
    for (drawn, picture), (written, text) in pairs:
        assert (drawn, written) == ("text", "yaml")
        shown = {
            word
            for line in picture.splitlines()
            for word in re.findall(r"[├└]── (\w+)|── (\w+)", line)
            for word in word
            if word in STORES
        }
        configured = set(re.findall(r"type: (\w+)", text))
        assert shown <= configured
        seen = {*shown, *re.findall(r"\w+", picture)}
        assert configured <= seen


@pytest.mark.parametrize("word", STORES)
def test_every_store_has_its_page(word) -> None:
    """With when to use it, when not, and what happens when something fails."""
    page = (DOCS / "stores" / f"{word}.md").read_text()

    assert str(STORES[word]).partition(":")[0] in page
    for heading in ("**When.** ", "**When not.** ", "**When something fails.** "):
        assert heading in page
    assert f"\n{word}\n" in (DOCS / "stores" / "index.md").read_text()


def test_links_lead_somewhere() -> None:
    """From page to page."""
    for path in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([\w/.-]+\.md)", path.read_text()):
            assert (path.parent / target).exists(), f"{path}: {target}"


def test_the_examples_are_named_where_they_are_explained() -> None:
    """Each of them."""
    page = (DOCS / "processes.md").read_text()
    for path in (DOCS.parent / "examples").glob("*.py"):
        assert f"`{path.name}`" in page
