"""How the documentation becomes a site: ``make docs``."""

import re

from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any


project = "tiered-store"
author = "the authors of tiered-store"
release = version = version_of("tiered-store")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"tiered-store {release}"
html_static_path: list[str] = []
html_show_copyright = False

myst_heading_anchors = 4

autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True


HERE = Path(__file__).parent


def setup(app: Any) -> None:
    """Let the navigation name what is still being written, and whatever is there."""
    app.connect("source-read", _name_what_is_there)


def _name_what_is_there(app: Any, page: str, source: list[str]) -> None:
    if page != "index":
        return
    named = re.sub(r"^[a-z/-]+\n", _if_there, source[0], flags=re.MULTILINE)
    pages = {path.stem for path in HERE.glob("*.md")} - {"index"}
    unplaced = sorted(pages - set(named.splitlines()))
    source[0] = named.replace("decisions\n", "\n".join([*unplaced, "decisions\n"]))


def _if_there(line: re.Match[str]) -> str:
    return line[0] if (HERE / f"{line[0].strip()}.md").exists() else ""
