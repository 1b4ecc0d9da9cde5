"""
A plan that was read from a file: whether its changes are such as a run may carry out.

A checksum says that a file is whole, and nothing about who wrote it. So a plan is held against the rules by which plans
are made, in one pass.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from reconcile.core.forecast import action_counts
from reconcile.core.guards import GuardClass
from reconcile.core.limits import NAME_LIMIT, URL_LIMIT
from reconcile.core.patterns import matching
from reconcile.core.plan import Action, Change, PlanHeader, classify
from reconcile.core.users import fold_uid

__all__ = ["Rules", "vetted"]

_BATCH = 10_000  # changes whose uids are compared at a time
_CLASSES = {
    Action.CREATE: {GuardClass.CREATE},
    Action.UPDATE: {GuardClass.UPDATE, GuardClass.ROLE_CHANGE, GuardClass.CLEAR},
    Action.REACTIVATE: {GuardClass.REACTIVATE, GuardClass.REACTIVATE_FOREIGN},
    Action.DEACTIVATE: {GuardClass.DEACTIVATE},
}
_NEVER_EMPTY = frozenset({"name", "role"})
_LONGEST = {"name": NAME_LIMIT, "avatar": URL_LIMIT, "link": URL_LIMIT}


@dataclass(frozen=True, slots=True)
class Rules:
    """
    What today's settings allow.

    `protect` are patterns of uids that are never written; `protect_roles` roles that no plan gives (lower case); `actions` the actions that the policy allows; `managed` the
    fields of the mapping (None: any that exist); `touched` the users that the run wrote which a plan takes back (None:
    it takes nothing back); `forgotten` picks the users that were forgotten.
    """

    protect: tuple[str, ...]
    protect_roles: frozenset[str]
    actions: frozenset[Action]
    managed: frozenset[str] | None
    touched: frozenset[str] | None
    forgotten: Callable[[Collection[str]], Collection[str]]


def vetted(header: PlanHeader, changes: Iterable[Change], rules: Rules) -> Iterator[Change]:
    """
    Give the changes of a plan back, each once it was checked.

    Raises: ValueError with the line of the file and what is wrong with it, or with the counts at the end.
    """
    unmanaged = [name for name in header.fields if rules.managed is not None and name not in rules.managed]
    if unmanaged:
        raise ValueError(f"line 1: the settings do not map {unmanaged[0]}")
    counts: Counter[GuardClass] = Counter()
    managed, last, line = frozenset(header.fields), 0, 1
    rest = iter(changes)
    while batch := list(islice(rest, _BATCH)):
        uids = [change.uid for change in batch]
        kept = dict.fromkeys(matching(uids, rules.protect), "is protected (policy.protect)")
        kept |= dict.fromkeys(rules.forgotten(uids), "was forgotten")
        for change in batch:
            line += 1
            flaw = _flaw(change, managed, rules) or (
                f"{change.uid} {kept[change.uid]}" if change.uid in kept else ""
            )
            if change.seq <= last:
                flaw = "its number is not above the one before"
            if flaw:
                raise ValueError(f"line {line}: {flaw}")
            last = change.seq
            counts[change.guard_class] += 1
            yield change
    _see_counted(header, counts)


def _see_counted(header: PlanHeader, counts: Counter[GuardClass]) -> None:
    measured = {GuardClass(verdict.guard): verdict.measured for verdict in header.guards}
    odd = [kind for kind in GuardClass if counts[kind] != measured.get(kind, 0)]
    if odd:
        seen = measured.get(odd[0], 0)
        raise ValueError(
            f"line 1: the guards saw {seen} changes of the class {odd[0]}, and there are {counts[odd[0]]}"
        )
    if {name: number for name, number in header.counts.items() if number} != {
        name: number for name, number in action_counts(counts, header.held).items() if number
    }:
        raise ValueError("line 1: the counts are not those of the changes")


def _flaw(change: Change, managed: frozenset[str], rules: Rules) -> str:
    """Say what is wrong with one change; empty where nothing is."""
    if fold_uid(change.uid) != change.uid:
        return f"{change.uid!r} is no uid"
    if change.guard_class not in _CLASSES[change.action]:
        return f"a {change.action} is not of the class {change.guard_class}"
    if rules.touched is not None and change.uid not in rules.touched:
        return f"the run that the plan takes back did not write {change.uid}"
    if change.action not in rules.actions:
        return f"the policy has no {change.action}"
    if rules.touched is None and (change.after.get("role") or "").lower() in rules.protect_roles:
        return f"it gives {change.uid} a protected role (policy.protect_roles)"
    return _flaw_of_fields(change, managed, is_undo=rules.touched is not None)


def _flaw_of_fields(change: Change, managed: frozenset[str], *, is_undo: bool) -> str:
    fields = frozenset(change.fields)
    if not fields <= managed or not change.desired.keys() <= managed or not change.before.keys() <= fields:
        return "it has a field that the header does not manage"
    if change.action in {Action.REACTIVATE, Action.DEACTIVATE}:
        return f"a {change.action} writes no field" if fields else ""
    after = change.after
    if change.action is Action.UPDATE and any(classify(*pair) is not change.guard_class for pair in after.items()):
        return f"it writes what is not of the class {change.guard_class}"
    for name, text in after.items():
        if not text and name in _NEVER_EMPTY and change.action is Action.UPDATE:
            return f"{name} is never empty"
        if text and not is_undo and len(text) > _LONGEST.get(name, len(text)):
            return f"{name} is longer than {_LONGEST[name]} characters"
    return ""
