"""
A browser shows the pictures of a mirrored stack, and of what is left of it.

    python -m tests.browser FOLDER

Needs chromium on the PATH.  Leaves two screenshots in FOLDER: one with both regions,
one with the first region lost and another process serving.  Exit status 0: the browser
has decoded every picture, twice.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from pathlib import Path

from tests.webs import served
from tiered_store import load
from tiered_store.demo.picture import SHIPPED


CONFIG = """\
version: 1
default: images
stores:
  images:
    type: served
    base_url: http://127.0.0.1:PORT/images/
    secret: a secret of the browser
    child: cached
  cached: {type: cached, tiers: [{type: memory, ttl: 60s}], origin: regions}
  regions:
    type: replicated
    replicas:
      us: {type: filesystem, path: us, create: true}
      eu: {type: filesystem, path: eu, create: true}
    quorum: 1
    journal: {type: sqlite, path: journal.db}
"""
COUNT = """\
<script>onload = () => document.title =
  [...document.images].filter(one => one.naturalWidth > 0).length</script>
"""


def main(folder: Path) -> None:
    """Take both pictures."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("needs chromium on the PATH: apt install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "us").mkdir(exist_ok=True)
    pictures = sorted(path for path in SHIPPED.iterdir() if path.suffix == ".jpg")
    for name in ("both", "one"):
        if name == "one":
            (folder / "us").rename(folder / "us-is-away")
            (folder / "us").write_text("no directory")
        with served(folder, CONFIG) as (where, _):
            os.chdir(folder)
            named = CONFIG.replace("http://127.0.0.1:PORT/", where)
            Path("named.yaml").write_text(named)
            with load("named.yaml") as images:
                keys = [
                    ("album", number, 1, 1, "image/jpeg")
                    for number in range(len(pictures))
                ]
                if name == "both":
                    for key, path in zip(keys, pictures, strict=True):
                        with path.open("rb") as file:
                            images.put_file(file, *key, reproducible=False)
                shown = "".join(
                    f'<img height="220" src="{images.get_url(*key)}">' for key in keys
                )
            page = folder / f"{name}.html"
            page.write_text(f"<h1>regions: {name}</h1>{shown}{COUNT}")
            dom = visit(browser, page, folder / f"{name}.png")
        decoded = re.search(r"<title>(\d+)</title>", dom)
        print(f"{name}: {decoded and decoded[1]} of {len(pictures)} pictures decoded")
        if decoded is None or int(decoded[1]) != len(pictures):
            sys.exit(1)


def visit(browser: str, page: Path, picture: Path) -> str:
    """Return the page as the browser has it, and leave what it looks like."""
    common = [browser, "--headless", "--no-sandbox", "--disable-gpu"]
    common += [f"--user-data-dir={page.parent / 'profile'}"]
    common += ["--hide-scrollbars", "--virtual-time-budget=9000"]
    subprocess.run(
        [*common, f"--screenshot={picture}", "--window-size=1000,760", page.as_uri()],
        check=True,
        capture_output=True,
        timeout=120,
    )
    ran = subprocess.run(
        [*common, "--dump-dom", page.as_uri()],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ran.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
