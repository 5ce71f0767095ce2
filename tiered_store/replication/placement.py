"""
Which replica gets what, and how many must have it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from tiered_store.errors import ConfigError
from tiered_store.journals.row import Intent
from tiered_store.strict import strict
from tiered_store.units import Duration


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPolicy:
    """
    Which replica is asked first.

    Attributes:
        order: Names, nearest first; those left out come last.
        hedge_after: Seconds after which a read asks the next replica as well, or
            ``p95``, what 95 % of reads take; None for never.
        hedge_budget: Second requests as a share of reads.
    """

    order: Sequence[str] = ()
    hedge_after: Duration | Literal["p95"] | None = None
    hedge_budget: float = 0.05


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Reproducible:
    """
    Where objects are kept that can be computed again.

    Attributes:
        replicas: Names.
        quorum: How many of them must acknowledge.
    """

    replicas: Sequence[str]
    quorum: int = 1


class Placement:
    """
    What the options of a replicated store amount to.

    Args:
        names: Of all replicas.
        quorum: How many must acknowledge; None for one if that is *remembered*, else
            for all.
        remembered: There is a journal, so that fewer than all may acknowledge.

    Attributes:
        order: All names, in the order in which they are read.
        complete: Those that keep everything.

    Raises:
        ConfigError: With all that is wrong.
    """

    def __init__(
        self,
        names: Collection[str],
        *,
        quorum: int | None,
        remembered: bool,
        read: ReadPolicy | None,
        reproducible: Reproducible | None,
    ) -> None:
        preferred = () if read is None else tuple(dict.fromkeys(read.order))
        fewer = tuple(names) if reproducible is None else reproducible.replicas
        default = 1 if remembered else len(names)
        self.quorum = default if quorum is None else quorum
        self.complete = frozenset(fewer)
        self.order = (*preferred, *(name for name in names if name not in preferred))
        self._fewer_quorum = (
            self.quorum if reproducible is None else reproducible.quorum
        )

        problems = [] if names else ["replicas: needs at least one"]
        for option, given in (("read.order", preferred), ("reproducible", fewer)):
            problems += [
                f"{option}: unknown replica {name!r}; there are {', '.join(names)}"
                for name in given
                if name not in names
            ]
        if names:
            problems += _wrong("quorum", self.quorum, len(names), remembered)
        if reproducible is not None:
            problems += _wrong(
                "reproducible.quorum", reproducible.quorum, len(fewer), remembered
            )
        if problems:
            raise ConfigError(problems)

    def of_put(self, reproducible: bool) -> tuple[dict[str, Intent], int]:
        """Return what each replica has to do, and how many of them must."""
        if not reproducible:
            return dict.fromkeys(self.order, "put"), self.quorum
        intents: dict[str, Intent] = {
            name: "put" if name in self.complete else "drop" for name in self.order
        }
        return intents, self._fewer_quorum

    def of_delete(self) -> tuple[dict[str, Intent], int]:
        """Return what each replica has to do, and how many of them must."""
        return dict.fromkeys(self.order, "delete"), self.quorum


def _wrong(option: str, quorum: int, replicas: int, remembered: bool) -> list[str]:
    if not 1 <= quorum <= replicas:
        return [f"{option}: must be from 1 to {replicas}, not {quorum}"]
    if quorum < replicas and not remembered:
        return [
            f"{option}: {quorum} of {replicas} needs a journal; without one nobody "
            "would know what the others missed"
        ]
    return []
