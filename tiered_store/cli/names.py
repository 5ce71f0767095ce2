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
    Return the key that *name* says, whose extension may be left to *mimetype*.

    Raises:
        CommandError: It says none, or of another mimetype.
    """
    stem, dot, suffix = _split(name)
    # any extension will do to read the other four values
    known = key_of_object(f"{stem}.jpe")
    if known is None:
        raise CommandError(f"no name of an object: {name!r}; write {_FORM}", WRONG)
    extension = f"{dot}{suffix}"
    jpeg = extension in (".jpg", ".jpeg")  # how everybody but buckets writes it
    key = key_of_object(f"{stem}.jpe" if jpeg else name)
    if mimetype is None:
        if key is not None:
            return key
        said = f"extension {extension!r}" if extension else "name without an extension"
        raise CommandError(
            f"no mimetype is known for the {said}: {name!r}; say it with --mimetype",
            WRONG,
        )
    try:
        wanted = Key(*known[:4], mimetype)
    except InvalidError as error:
        raise CommandError(str(error), WRONG) from None
    if key not in (None, wanted):  # it would be another object than it is called
        raise CommandError(
            f"--mimetype: {wanted.mimetype} has not the extension {extension!r}; "
            "leave one of them out",
            WRONG,
        )
    return wanted


def _split(name: str) -> tuple[str, str, str]:
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.partition(".")
    return f"{folder}{slash}{stem}", dot, suffix
