"""
What a YAML parser complains about, in words that say what to do.
"""

from __future__ import annotations

import re

import yaml


# what the parser says, what we say, and whether the place is where it began
_ADVICE = (
    (r"found character '\\t'", "a tab where only spaces may stand; use spaces", False),
    (
        r"found character '(.)' that cannot start",
        r"a value that begins with '\1' needs quotes",
        False,
    ),
    (
        "mapping values are not allowed",
        "a ':' that begins no value; indent as above, or put the value in quotes",
        False,
    ),
    ("unexpected end of stream", "a quote that is never closed", True),
    (r"expected ',' or '\]'", "a '[' that is never closed, or lacks a ','", True),
    (r"expected ',' or '\}'", "a '{' that is never closed, or lacks a ','", True),
    (
        r"expected <block end>|expected '<document start>'",
        "this does not continue what stands above; indent alike, or use quotes",
        False,
    ),
    ("expected ':'", "a key without its ':'", False),
    (
        "found unknown escape character",
        r"an unknown escape; write \\\\ for a backslash, or use single quotes",
        False,
    ),
)


def explain(error: yaml.YAMLError) -> tuple[yaml.Mark | None, str]:
    """Return where *error* is, and what to do about it."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return None, f"no YAML: {error}"
    problem = str(error.problem)
    for pattern, advice, at_start in _ADVICE:
        match = re.search(pattern, problem)
        if match is not None:
            began = error.context_mark if at_start else None
            return began or error.problem_mark, match.expand(advice)
    return error.problem_mark, f"no YAML: {problem}"
