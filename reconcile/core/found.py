"""
What a comparison found as far as guards and reports ask: numbers, and the first few names.

A user is in one partition of the whole, so what several partitions found comes together by adding up.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import msgspec

from reconcile.core.changes import class_counts, without_stuck
from reconcile.core.findings import Counts, Findings
from reconcile.core.guards import GuardClass
from reconcile.core.plan import PlanPolicy

__all__ = ["Decided", "Found", "Named", "conclude", "merged"]

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
    What decides which findings become changes: the policy, whom our own runs switched off, and known differences.

    `known` are the values (uid, field, value) that CometChat took and did not keep, `stuck` those of them that are not
    tried again yet.
    """

    policy: PlanPolicy = PlanPolicy()
    ours: frozenset[str] = frozenset()
    stuck: frozenset[tuple[str, str, str]] = frozenset()
    known: frozenset[tuple[str, str, str]] = frozenset()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """
    The numbers of the comparison, and beside them: `classes`, the changes of each class that are planned; and by name
    the unmanaged users, those that each pattern protects, those switched off by another hand (`banned`), and with
    their roles those whose role somebody changed after the export (`bought`).

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
    banned: Named
    bought: Named


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
        banned=Named.of(off[~off.isin(decided.ours).to_numpy(dtype=bool)].tolist()),
        bought=Named.of(_bought(findings)),
    )
    return findings, found


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
