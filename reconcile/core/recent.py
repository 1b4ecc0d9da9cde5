"""
What earlier runs changed within a window of time, and what a plan adds to it.

A limit that holds for one run only is no limit: many small runs pass where one large run is held.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from reconcile.core.guards import GuardClass
from reconcile.core.outcome import Outcome, PastChange
from reconcile.core.plan import Action
from reconcile.core.written import Written

__all__ = [
    "Others",
    "Recent",
    "arrays_of",
    "is_counted",
    "others",
    "recent_users",
    "taken_back",
]

Recent = dict[str, dict[GuardClass, pa.Array]]  # by window as written in the settings: the users of each class
Others = dict[str, dict[GuardClass, int]]  # the same, as numbers of users that the plan at hand does not have


def recent_users(written: Iterable[Written], windows: Sequence[tuple[str, float]], now: float) -> Recent:
    """
    Give the users of each class that were changed within each window (its words, its length in seconds).

    A time that lies ahead of `now` counts by its distance: clocks are set back, too.
    """
    nearest: dict[GuardClass, dict[str, float]] = {}
    for change in written:
        users = nearest.setdefault(change.guard_class, {})
        distance = abs(now - change.at)
        users[change.uid] = min(distance, users.get(change.uid, distance))
    return {
        words: arrays_of(
            (kind, uid) for kind, users in nearest.items() for uid, distance in users.items() if distance <= length
        )
        for words, length in windows
    }


def arrays_of(pairs: Iterable[tuple[GuardClass, str]]) -> dict[GuardClass, pa.Array]:
    """Sort users by class, each class as one Arrow array."""
    found: dict[GuardClass, list[str]] = {}
    for kind, uid in pairs:
        found.setdefault(kind, []).append(uid)
    return {kind: pa.array(uids, pa.string()) for kind, uids in found.items()}


def others(recent: Recent, planned: Mapping[GuardClass, pa.Array]) -> Others:
    """Count, by window and class, the users that earlier runs changed and that this plan does not have."""
    return {
        words: {kind: len(uids) - _shared(uids, planned.get(kind)) for kind, uids in classes.items()}
        for words, classes in recent.items()
    }


def _shared(uids: pa.Array, planned: pa.Array | None) -> int:
    if planned is None or not len(planned):
        return 0
    return pc.sum(pc.is_in(uids, value_set=planned.cast(pa.string()))).as_py() or 0


def is_counted(run_id: str, undoes: Mapping[str, str]) -> bool:
    """
    Whether later limits count the changes of a run: not those of an undo. The undo of an undo does them again.

    `undoes` maps each undo run to the run that it took back.
    """
    seen = {run_id}
    while (target := undoes.get(run_id)) is not None and target not in seen:
        seen.add(target)
        run_id = target
    return len(seen) % 2 == 1


def taken_back(changes: Mapping[str, Sequence[PastChange]], undoes: dict[str, str]) -> frozenset[tuple[str, int]]:
    """
    Give the changes (run, number) that a later undo took back, where that undo was not taken back itself.

    `changes` are the changes of the runs that `undoes` names on either side, in the order of the runs.
    """
    back: set[tuple[str, int]] = set()
    # The newest undo first: what was taken back of it takes nothing back. A run undoes an earlier one.
    for run_id in reversed(undoes):
        standing = [
            past for past in changes.get(run_id, ()) if _is_applied(past) and (run_id, past.seq) not in back
        ]
        back |= {(undoes[run_id], past.seq) for past in _undone(changes.get(undoes[run_id], ()), standing)}
    return frozenset(back)


def _undone(past: Iterable[PastChange], back: Iterable[PastChange]) -> Iterator[PastChange]:
    fields: dict[str, set[str]] = {}
    actions: dict[str, set[str]] = {}
    for change in back:
        fields.setdefault(change.uid, set()).update(change.after)
        actions.setdefault(change.uid, set()).add(change.action)
    for change in past:
        if change.uid in actions and _is_undone(change, fields[change.uid], actions[change.uid]):
            yield change


def _is_undone(past: PastChange, fields: set[str], actions: set[str]) -> bool:
    match past.action:
        case Action.DEACTIVATE:
            return Action.REACTIVATE in actions
        case Action.REACTIVATE:
            return Action.DEACTIVATE in actions
        case Action.CREATE if not past.before:
            return Action.DEACTIVATE in actions
        case _:
            # A field that somebody else changed since is not put back: then the change counts as it was.
            return fields >= {name for name, value in past.after.items() if value != past.before.get(name)}


def _is_applied(past: PastChange) -> bool:
    return past.outcome == Outcome.APPLIED
