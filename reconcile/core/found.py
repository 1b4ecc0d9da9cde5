"""
What a comparison found as far as guards and reports ask: numbers, and the first few names.

A user is in one partition of the whole, so what several partitions found comes together by adding up.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from reconcile.core.changes import class_counts, class_users, own_rows, without_stuck
from reconcile.core.findings import Counts, Findings
from reconcile.core.guards import GuardClass
from reconcile.core.ours import Left
from reconcile.core.plan import PlanPolicy
from reconcile.core.recent import Others, Recent, others

__all__ = ["Decided", "Found", "Named", "conclude", "in_scope", "merged"]

_NAMED = 1_000  # names that a report has room for


class Named(msgspec.Struct, frozen=True):
    """How many there are, and the first of them in order."""

    count: int
    first: tuple[str, ...]

    @classmethod
    def of(cls, names: Sequence[str]) -> "Named":
        """Keep the first of some names that are in order."""
        return cls(len(names), tuple(names[:_NAMED]))


class Decided(msgspec.Struct, frozen=True):
    """
    What decides which findings become changes: the policy, the deactivations of our own runs, and known differences.

    `recent` are the users that earlier runs changed: the guards count them beside those of the plan. `known` are the
    values (uid, field, value) that CometChat took and did not keep, `stuck` those of them that are not tried again yet.
    """

    policy: PlanPolicy = PlanPolicy()
    ours: Mapping[str, Left] = {}
    stuck: frozenset[tuple[str, str, str]] = frozenset()
    recent: Recent = {}
    known: frozenset[tuple[str, str, str]] = frozenset()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """
    The numbers of the comparison, and beside them: `classes`, the changes of each class that are planned; and by name
    the unmanaged users, those that each pattern and each role protects, those switched off by another hand (`banned`), and with their roles those
    whose role somebody changed after the export (`bought`). `out_of_scope` are the unmanaged users that would be
    deactivated but for the scope; None where it was not asked. `others` counts the recent users that this plan does not
    have.

    Of the known differences, as (uid, field) in order: `stuck` are those that still differ and are not planned;
    `outdated` and `elsewhere` are as in `Findings`.
    """

    counts: Counts
    classes: dict[GuardClass, int]
    stuck: tuple[tuple[str, str], ...]
    outdated: tuple[tuple[str, str], ...]
    elsewhere: tuple[tuple[str, str], ...]
    unmanaged_users: Named
    protected: dict[str, Named]
    protected_roles: dict[str, Named]
    banned: Named
    bought: Named
    others: Others = {}
    out_of_scope: int | None = None


def in_scope(found: Found, inside: int, outside: int) -> Found:
    """Give what was found where of the unmanaged users so many may be deactivated, and the scope leaves so many out."""
    classes = {**found.classes, GuardClass.DEACTIVATE: inside}
    return msgspec.structs.replace(found, classes=classes, out_of_scope=outside)


def conclude(findings: Findings, decided: Decided) -> tuple[Findings, Found]:
    """Leave out what is not tried again yet, and sum up the rest."""
    findings, stuck = without_stuck(findings, decided.stuck)
    off, outside = findings.deactivated_rows["uid"], findings.unmanaged_rows["uid"]
    found = Found(
        counts=findings.counts,
        classes=class_counts(findings, decided.policy, decided.ours),
        stuck=stuck,
        outdated=findings.outdated,
        elsewhere=findings.elsewhere,
        unmanaged_users=Named(len(outside), tuple(outside[:_NAMED])),
        protected={pattern: Named.of(uids) for pattern, uids in findings.protected_by.items()},
        protected_roles={role: Named.of(uids) for role, uids in findings.protected_by_role.items()},
        banned=Named.of(off[~own_rows(findings.deactivated_rows, decided.ours)].tolist()),
        bought=Named.of(_bought(findings)),
        others=_others(findings, decided),
    )
    return findings, found


def _others(findings: Findings, decided: Decided) -> Others:
    kinds = {kind for classes in decided.recent.values() for kind in classes}
    return others(decided.recent, class_users(findings, decided.policy, decided.ours, kinds))


def _bought(findings: Findings) -> list[str]:
    if not findings.counts.newer_roles:
        return []
    rows = findings.drifted_rows
    hit = rows["newer"].to_numpy(dtype=bool) & rows["differs role"].to_numpy(dtype=bool)
    roles = zip(rows["uid"][hit], rows["actual role"][hit].fillna("none"), rows["role"][hit], strict=True)
    return [f"{uid} ({before} -> {after})" for uid, before, after in roles]


def merged(parts: Iterable[Found]) -> Found:
    """Give what some partitions found together."""
    found: Found = _sum(list(parts))
    return found


def _sum(values: list[Any]) -> Any:
    match values[0]:
        case dict():
            return {key: _sum([value[key] for value in values]) for key in values[0]}
        case Named():
            # As none of them holds more than the first, the first of all are among these.
            first = sorted(name for named in values for name in named.first)
            return Named(sum(named.count for named in values), tuple(first[:_NAMED]))
        case tuple():
            return tuple(sorted(chain.from_iterable(values)))
        case msgspec.Struct() as first:
            names = first.__struct_fields__
            return type(first)(**{name: _sum([getattr(value, name) for value in values]) for name in names})
        case None:
            return None
        case _:
            return sum(values)
