"""
Values from outside: ``${env:NAME}``, ``${env:NAME:-default}``, ``${file:/path}``.

They are put in after parsing and in scalars only, so that no value can bring
structure with it; ``$${`` stands for ``${``.  As in a shell, ``:-default`` also
replaces an empty variable.  Of a file, the line break at its end is left out.  It is a
regular file of 64 KiB at most, and none that the kernel makes up (``/proc``, ``/sys``).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat

from collections.abc import Iterator
from dataclasses import replace

from tiered_store.config.node import Node
from tiered_store.config.problems import Problems
from tiered_store.wording import brief


_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{([^{}]*\$\{)?")
_ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_FILE = re.compile(r"file:(/.*)", re.DOTALL)
_LARGEST = 64 * 1024
_FORMS = "write ${env:NAME}, ${env:NAME:-default} or ${file:/path}; $${ for a plain ${"


def interpolated(node: Node, problems: Problems) -> Node:
    """Return *node* with every reference in it and underneath replaced."""
    if isinstance(node.value, dict):
        entries = {key: interpolated(x, problems) for key, x in node.value.items()}
        return replace(node, value=entries)
    if isinstance(node.value, list):
        return replace(node, value=[interpolated(x, problems) for x in node.value])
    if isinstance(node.value, str) and "${" in node.value:
        return _scalar(node, node.value, problems)
    return node


def _scalar(node: Node, text: str, problems: Problems) -> Node:
    sources: list[str] = []
    failed: list[str] = []

    def found(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        try:
            if match[2] is not None:
                raise ValueError("a reference inside another; one stands by itself")
            source, value = _value(match[1])
        except ValueError as error:
            failed.append(str(error))
            return ""
        sources.append(source)
        problems.hide(value)
        return value

    value = _REFERENCE.sub(found, text)
    for message in failed:
        problems.add(node.place, node.path, message)
    if sources:
        problems.hide(value)
    unique = tuple(dict.fromkeys(sources))
    return replace(node, value=value, sources=unique, broken=bool(failed))


def _value(reference: str | None) -> tuple[str, str]:
    """Return how *reference* may be shown, and what it stands for."""
    if reference is None:
        raise ValueError(f"a '${{' that is never closed; {_FORMS}")
    variable = _ENV.fullmatch(reference)
    if variable is not None:
        name, default = variable.groups()
        return f"${{env:{name}}}", _variable(name, default)
    file = _FILE.fullmatch(reference)
    if file is not None:
        shown = file[1] if file[1].isprintable() else repr(file[1])
        return f"${{file:{shown}}}", _content(file[1], shown)
    if reference.startswith("file:"):
        raise ValueError("${file:...} needs an absolute path, such as /run/secrets/x")
    # what was meant may be a secret, so only what stands before the colon is shown
    word, colon, _ = reference.partition(":")
    if not colon:
        raise ValueError(f"unknown reference ${{...}} without a kind; {_FORMS}")
    if word == "env":
        raise ValueError(f"${{env:...}} needs the name of a variable; {_FORMS}")
    raise ValueError(f"unknown kind of reference {brief(word)}; {_FORMS}")


def _variable(name: str, default: str | None) -> str:
    value = os.environ.get(name)
    if value is None and default is None:
        raise ValueError(
            f"environment variable {name} is not set; "
            f"set it, or give a default: ${{env:{name}:-default}}"
        )
    if default is not None and not value:
        return default
    return _text(value or "", f"environment variable {name}")


def _content(path: str, shown: str) -> str:
    try:
        content = _bytes(path)
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise ValueError(f"secret file {shown} cannot be read: {why}") from None
    if content is None:
        raise ValueError(f"secret file {shown} is no regular file")
    if len(content) > _LARGEST:
        raise ValueError(f"secret file {shown} is larger than {_LARGEST // 1024} KiB")
    text = _text(content.decode("utf-8", "surrogateescape"), f"secret file {shown}")
    return text.removesuffix("\n").removesuffix("\r")


def _bytes(path: str) -> bytes | None:
    if "\0" in path:
        raise ValueError("its name has a null character")
    # a pipe must not make us wait, nor a device deliver without end
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_dev in _made_up():
            raise ValueError("the kernel makes it up, and no one put a secret there")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_LARGEST + 1)
    finally:
        os.close(descriptor)


def _made_up() -> Iterator[int]:
    """Yield the devices of files that nobody wrote, our environment among them."""
    for folder in ("/proc", "/sys"):
        with contextlib.suppress(OSError):
            yield os.stat(folder).st_dev


def _text(value: str, what: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not UTF-8") from None
    return value
