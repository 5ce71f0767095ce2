"""
What becomes of the rows of one object, rule by rule.

They were model-checked with faults and crashes at every step; leaving out any of them
lets deleted objects return or acknowledged ones get lost.  Each changes the rows that
it is given and nothing else, so a journal may apply it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tiered_store.journals import quarantine
from tiered_store.journals.row import Intent, Mark, Missed, Prior, Row, Rows, Step
from tiered_store.key import Key


Outcomes = Mapping[str, BaseException | None]

_LONGEST = 500  # characters of an error that are kept


# -- of a write --------------------------------------------------------------


def begin(
    rows: Rows,
    step: Step,
    key: Key,
    intents: Mapping[str, Intent],
    reproducible: bool,
    size: int,
) -> Mark:
    """Mark the replicas of *intents*, and those behind, as in doubt."""
    if rows:
        inherited = quarantine.inherited(rows, step)
        behind = {name: _prior(row) for name, row in rows.items() if row.behind}
        mark = Mark(key, step.fresh, intents, reproducible, size, inherited, behind)
    else:  # nearly always, and somebody waits
        mark = Mark(key, step.fresh, intents, reproducible, size)
    _doubt(rows, step, mark)
    return mark


def settle(rows: Rows, step: Step, mark: Mark, outcomes: Outcomes) -> None:
    """Say how the write *mark* went."""
    done = {name for name, error in outcomes.items() if error is None}
    puts = {name for name in done if mark.intents[name] == "put"}
    taken = bool(puts) or "put" not in mark.intents.values()
    if not rows or any(row.sequence != mark.sequence for row in rows.values()):
        _settle_overtaken(rows, step, mark, done, taken=taken)
        return
    told = {
        name: worded(error)
        for name, error in outcomes.items()
        if error is not None and name in rows
    }
    if not taken:
        for name in told:
            rows[name] = rows[name]._replace(last_error=told[name])
        return
    late = {
        name: quarantine.late(step, mark, name, outcomes.get(name)) for name in rows
    }
    sound = any(not late[name] for name in puts & late.keys())
    for name, row in list(rows.items()):
        if name in done and not late[name]:
            del rows[name]
            continue
        # who has it, and may have an older one later, is behind too, unless all are
        doubtful = name in puts and not sound
        verb: Missed = "in_doubt" if doubtful else row.intent
        rows[name] = row._replace(
            verb=verb,
            prior=None,
            quarantine=late[name],
            last_error=told.get(name, row.last_error),
        )


def arrive(
    rows: Rows, step: Step, mark: Mark, name: str, error: BaseException | None
) -> None:
    """Say how the write *mark* went on *name*, which was not known when it settled."""
    current = rows.get(name)
    late = quarantine.late(step, mark, name, error)
    ambiguous = getattr(error, "ambiguous", False)
    if current is None or current.sequence != mark.sequence:
        if error is None or ambiguous:
            _overtaken(rows, step, mark.key, name, late)
        return
    if current.verb == "in_doubt":
        late = quarantine.later(current, late)
    elif error is None and not late:
        del rows[name]
        return
    elif ambiguous:
        late = max(current.quarantine, late)
    told = current.last_error if error is None else worded(error)
    rows[name] = current._replace(quarantine=late, last_error=told)


def withdraw(rows: Rows, step: Step, mark: Mark) -> None:
    """Put the rows back as they were before the write *mark*."""
    for name, row in list(rows.items()):
        if row.sequence != mark.sequence:
            continue
        if row.prior is None:
            del rows[name]
            continue
        verb: Missed = "in_doubt"
        if row.prior != "overtaken" and row.prior != "late":
            verb = row.prior
        rows[name] = row._replace(
            verb=verb,
            intent=_former(row) if verb == "in_doubt" else verb,
            prior=row.prior if row.met else None,
            sequence=step.fresh,
            quarantine=mark.quarantine.get(name, 0.0),
        )


def lack(rows: Rows, step: Step, key: Key, replicas: Iterable[str]) -> bool:
    """Note that *replicas* lack the object, unless anything is known of it."""
    if rows:
        return False
    for name in replicas:
        rows[name] = _behind(step, name, key, "put")
    return True


# -- of a repair -------------------------------------------------------------


def resolve(
    rows: Rows,
    step: Step,
    key: Key,
    seen: Mapping[str, Row],
    missed: Mapping[str, Intent | None],
) -> bool:
    """Say what each replica misses, if the rows are as *seen* and nothing is late."""
    if _sequences(rows) != _sequences(seen):
        return False
    inherited = quarantine.inherited(rows, step)
    if inherited:
        for name, until in inherited.items():
            rows[name] = rows[name]._replace(quarantine=until)
        return False
    for name, verb in missed.items():
        old = rows.pop(name, None)
        if verb is not None:
            rows[name] = _behind(step, name, key, verb, old)
    return True


def clear(rows: Rows, step: Step, row: Row) -> bool:
    """Drop *row*, unless it has been replaced or is in quarantine."""
    current = rows.get(row.replica)
    if current is None or current.sequence != row.sequence:
        return False
    if quarantine.over(current, step) > step.now:
        return False
    del rows[row.replica]
    return True


def attempt(rows: Rows, step: Step, row: Row) -> Row | None:
    """Note that a repair of *row* begins, unless it has been replaced or must wait."""
    current = rows.get(row.replica)
    if current is None or current.sequence != row.sequence:
        return None
    over = quarantine.over(current, step)
    if over > step.now:
        rows[row.replica] = current._replace(quarantine=over)
        return None
    noted = quarantine.UNDER_WAY if step.quarantine else 0.0
    current = current._replace(sequence=step.fresh, quarantine=noted)
    rows[row.replica] = current
    return current


def forgo(rows: Rows, row: Row) -> None:
    """Note that the repair of *row* did nothing, unless it has been replaced."""
    current = rows.get(row.replica)
    if current is not None and current.sequence == row.sequence:
        rows[row.replica] = current._replace(quarantine=0.0)


def complete(rows: Rows, step: Step, row: Row) -> bool:
    """Drop *row*, or note what its repair may have done to a later write."""
    current = rows.get(row.replica)
    if current is not None and current.sequence == row.sequence:
        del rows[row.replica]
        return True
    _overtaken(rows, step, row.key, row.replica)
    return False


def blame(rows: Rows, row: Row, error: str, retry_at: float) -> None:
    """Note that a repair of *row* failed, unless it has been replaced."""
    current = rows.get(row.replica)
    if current is not None and current.sequence == row.sequence:
        rows[row.replica] = current._replace(
            attempts=row.attempts + 1,
            retry_at=retry_at,
            last_error=worded(error),
        )


# -- what they share ---------------------------------------------------------


def worded(error: BaseException | str) -> str:
    """Return *error* as text that any journal can keep."""
    told = str(error)[:_LONGEST]
    return told.encode(errors="replace").decode().replace("\0", "?")


def _doubt(rows: Rows, step: Step, mark: Mark) -> None:
    key, sequence, intents, reproducible, size, *_ = mark
    if rows:
        # a replica that this store does not know any more misses the write as well
        other: Intent = "put" if "put" in intents.values() else "delete"
        intents = {**intents, **{name: other for name in rows if name not in intents}}
    for name, intent in intents.items():
        size_here = size if intent == "put" else 0
        row = Row(  # by position, which takes half the time
            name, key, "in_doubt", intent, sequence, step.now, reproducible, size_here
        )
        old = rows.get(name)
        if old is not None:
            row = row._replace(
                since=old.since, prior=_prior(old), last_error=old.last_error
            )
        rows[name] = row


def _behind(
    step: Step, name: str, key: Key, verb: Intent, old: Row | None = None
) -> Row:
    return Row(
        replica=name,
        key=key,
        verb=verb,
        intent=verb,
        sequence=step.fresh,
        since=step.now if old is None else old.since,
        reproducible=old is not None and old.reproducible,
        size=old.size if old is not None and verb == "put" else 0,
        last_error=None if old is None else old.last_error,
    )


def _overtaken(rows: Rows, step: Step, key: Key, name: str, late: float = 0.0) -> None:
    """
    Note that *name* may just have been given what a later write had replaced.

    Args:
        late: Until when it may yet be.
    """
    current = rows.get(name) or _behind(step, name, key, "put")
    if current.verb == "in_doubt" or name not in rows:
        current = current._replace(verb="in_doubt", prior="late")
    until = quarantine.later(current, late)
    rows[name] = current._replace(sequence=step.fresh, quarantine=until)


def _former(row: Row) -> Intent:
    """Return the intent of a doubt, which is settled by looking, whatever it was."""
    return "drop" if row.intent == "drop" else "put"


def _settle_overtaken(
    rows: Rows, step: Step, mark: Mark, done: set[str], *, taken: bool
) -> None:
    """Leave all in doubt: a lease should have kept another write from coming in."""
    _doubt(rows, step, mark._replace(sequence=step.fresh))
    for name, row in rows.items():
        known = row.prior in (mark.behind.get(name), "overtaken")
        if name in done and (known or not row.behind):
            rows[name] = row._replace(prior=None)  # it has one of the two
        elif taken and not row.behind:  # it may have something older than either
            rows[name] = row._replace(prior="overtaken")


def _prior(old: Row) -> Prior:
    return old.prior or "in_doubt" if old.verb == "in_doubt" else old.verb


def _sequences(rows: Mapping[str, Row]) -> dict[str, int]:
    return {name: row.sequence for name, row in rows.items()}
