"""
Objects as the command line names them, which is as buckets do.
"""

from __future__ import annotations

from tiered_store.cli.failure import WRONG, CommandError
from tiered_store.errors import InvalidError
from tiered_store.key import Key
from tiered_store.layout import key_of_object


_FORM = "TYPE/ID/WIDTHxHEIGHT.EXTENSION, such as comics.cover/5/30x40.png"


def key_of(name: str, mimetype: str | None) -> Key:
    """
    Return the key that *name* says, its extension outranked by *mimetype*.

    Raises:
        CommandError: It says none.
    """
    stem, dot, suffix = _split(name)
    # any extension will do to read the other four values
    known = key_of_object(f"{stem}.jpe")
    if known is None:
        raise CommandError(f"no name of an object: {name!r}; write {_FORM}", WRONG)
    if mimetype is None:
        return _by_extension(name, stem, f"{dot}{suffix}")
    try:
        return Key(*known[:4], mimetype)
    except InvalidError as error:
        raise CommandError(str(error), WRONG) from None


def _by_extension(name: str, stem: str, extension: str) -> Key:
    key = key_of_object(name)
    if key is not None:
        return key
    if extension in (".jpg", ".jpeg"):  # how everybody but buckets writes it
        return _by_extension(f"{stem}.jpe", stem, ".jpe")
    said = f"extension {extension!r}" if extension else "name without an extension"
    raise CommandError(
        f"no mimetype is known for the {said}: {name!r}; say it with --mimetype", WRONG
    )


def _split(name: str) -> tuple[str, str, str]:
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.partition(".")
    return f"{folder}{slash}{stem}", dot, suffix
