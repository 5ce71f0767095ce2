"""
How words are named in a sentence: which are known, and which one may have been meant.
"""

from __future__ import annotations

from collections.abc import Iterable


_CANDIDATES = 200
_LISTED = 50
_READABLE = 15
_ALSO_CALLED = {  # what others, and our own prose, call the types
    **dict.fromkeys(("directory", "disk", "file", "files", "local"), "filesystem"),
    **dict.fromkeys(("ram", "mem"), "memory"),
    **dict.fromkeys(("cache", "tiered"), "cached"),
    **dict.fromkeys(("mirror", "mirrored", "replica"), "replicated"),
    "valkey": "redis",
}


def unknown(what: str, word: str, known: Iterable[str], *, listed: bool = False) -> str:
    """
    Say that there is no *what* called *word*, and which one may have been meant.

    Args:
        listed: Name all that are known, even if one of them is close, unless they
            are too many to be read.
    """
    names = list(dict.fromkeys(known))
    few = len(names) <= _READABLE
    message = f"unknown {what} {brief(word)}"
    meant = nearest(word, names)
    if meant is not None:
        message += f"; did you mean {meant!r}?"
    if not names:
        return f"{message}; none is known here"
    if meant is None:
        return f"{message}; known are: {series(names)}"
    return f"{message} known are: {series(names)}" if listed and few else message


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return which of *known* looks most like *word*, or None if none does."""
    if len(word) > 60:
        return None
    by_lower = {name.lower(): name for name in list(known)[:_CANDIDATES]}
    called = _ALSO_CALLED.get(word.lower())
    if called in by_lower:
        return called
    import difflib  # only who has got a word wrong waits for it

    found = difflib.get_close_matches(word.lower(), by_lower, 1, 0.6)
    return by_lower[found[0]] if found else None


def series(words: Iterable[str]) -> str:
    """Return *words* one after another, not all if there are very many."""
    every = list(words)
    left = len(every) - _LISTED
    listed = ", ".join(every[:_LISTED])
    return f"{listed} and {left} more" if left > 0 else listed


def brief(value: object) -> str:
    """Return *value* as it may be shown in one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"


def one_of(words: Iterable[str]) -> str:
    """Return *words* as alternatives: ``a, b or c``."""
    *most, last = dict.fromkeys(word for word in words if word) or [""]
    return f"{', '.join(most)} or {last}" if most else last
