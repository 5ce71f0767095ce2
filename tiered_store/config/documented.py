"""
What a docstring says of a class and of each of its options.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re

from collections.abc import Mapping
from dataclasses import dataclass

from tiered_store.config.registry import Constructor


_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$")
_ENTRY = re.compile(r"^    (\*?[a-z_][a-z0-9_]*): +(.*)$")
_THOSE_OF = re.compile(r"options are those of\s+:class:`~?([\w.]+)\.(\w+)`")
_ROLE = re.compile(r":[a-z]+:`~?(?:[^`]*\.)?([^`.]+)`")
_LITERAL = re.compile(r"``([^`]*)``")


@dataclass(frozen=True, slots=True)
class Documented:
    """
    The words of a docstring, without its markup.

    Attributes:
        summary: Its first sentence.
        text: Everything before its sections, paragraphs apart.
        options: By name, what its Args or Attributes say.
    """

    summary: str
    text: str
    options: Mapping[str, str]


@functools.cache
def documented(constructor: Constructor) -> Documented:
    """
    Return what the docstring of *constructor* says; nothing if it has none.

    One that says whose its options are need not repeat what is said there.
    """
    docstring = inspect.getdoc(constructor) or ""
    before: list[str] = []
    options: dict[str, list[str]] = {}
    current: list[str] | None = before
    about_options = False
    for line in docstring.splitlines():
        section, entry = _SECTION.match(line), _ENTRY.match(line)
        if section is not None:
            current = None
            about_options = section[1] in ("Args", "Attributes")
        elif current is before or not line.strip():
            before.extend([line] if current is before else [])
        elif entry is not None and about_options:
            current = options.setdefault(entry[1], [])
            current.append(entry[2])
        elif current is not None:
            current.append(line)
    text = "\n\n".join(map(_plain, "\n".join(before).strip().split("\n\n")))
    told = {name: _plain("\n".join(lines)) for name, lines in options.items()}
    return Documented(
        text.partition("\n\n")[0], text, {**_of_others(docstring), **told}
    )


def _of_others(docstring: str) -> Mapping[str, str]:
    whose = _THOSE_OF.search(docstring)
    if whose is None:
        return {}
    try:
        other = getattr(importlib.import_module(whose[1]), whose[2])
    except (ImportError, AttributeError):  # a stranger's, which may say anything
        return {}
    return documented(other).options


def _plain(paragraph: str) -> str:
    """Return *paragraph* in one line, in words that any program can show."""
    joined = " ".join(paragraph.split())
    return _LITERAL.sub(r"`\1`", _ROLE.sub(r"\1", joined))
