"""
A place in a stack: it has a name, children, those who listen to it, and an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from tiered_store.events import Event, Listener
from tiered_store.strict import Strict


class Node(Strict):
    """
    What a stack is made of; what it keeps is the business of a subclass.

    Attributes:
        label: Its path in the stack, by roles: ``images.origin.us``.
        transparent: Put there by another one: its child has its path.
    """

    label: str = ""
    listeners: tuple[Listener, ...] = ()
    closed: bool = False
    transparent: bool = False

    def children(self) -> Mapping[str, Node]:
        """Return the nodes underneath, by role."""
        return {}

    def emit(self, event: Event) -> None:
        """Hand *event* to the listeners; one that raises is dropped from this call."""
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - which is not the caller's
                _report_listener(listener, event)

    def close(self) -> None:
        """
        Close this node and everything underneath, each once, whatever fails.

        Raises:
            ExceptionGroup: Some could not be closed; all have been tried.
        """
        if self.closed:
            return
        self.closed = True
        failures: list[Exception] = []
        for close in (
            self._close,
            *(child.close for child in self.children().values()),
        ):
            try:
                close()
            except Exception as error:  # noqa: BLE001 - raised with the others
                failures.append(error)
        if failures:
            raise ExceptionGroup(f"{self}: not everything could be closed", failures)

    def _close(self) -> None:
        """Let go of what this node itself holds; children are closed after it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __str__(self) -> str:
        if self.transparent and not self.label:
            return str(next(iter(self.children().values())))
        return self.label or kind_of(type(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


def kind_of(node_class: type[Node]) -> str:
    """Return the word that names *node_class* in YAML."""
    return node_class.__name__.removesuffix("Store").lower()


def _report_listener(listener: Listener, event: Event) -> None:
    import logging

    logging.getLogger("tiered_store").exception(
        "listener %r failed on %s", listener, type(event).__name__
    )
