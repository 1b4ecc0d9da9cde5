"""
The changes of a plan, made from what the comparison found.

Order: creates, updates, reactivations, deactivations; within each by uid, then by class. The same findings
give the same changes, in whatever order the source or the directory came.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from reconcile.core.findings import Difference, Differences, Findings
from reconcile.core.guards import GuardClass
from reconcile.core.plan import Action, Change, PlanPolicy, by_class
from reconcile.core.users import Reason

__all__ = ["class_counts", "list_changes", "without_stuck"]


def class_counts(findings: Findings, policy: PlanPolicy, ours: frozenset[str]) -> dict[GuardClass, int]:
    """
    Count the changes of each class without making them: the guards judge before the first one is.

    `ours` are the uids that our own runs deactivated: only those may policy bring back by itself.
    """
    drifted = findings.drifted_rows
    if not policy.update_newer:
        drifted = drifted[~drifted["newer"].to_numpy(dtype=bool)]
    counts = _drift_counts(drifted, findings.fields)
    if policy.reactivate:
        off = findings.deactivated_rows
        is_ours = off["uid"].isin(ours).to_numpy(dtype=bool)
        counts[GuardClass.REACTIVATE] = int(is_ours.sum())
        if policy.reactivate_foreign:
            counts[GuardClass.REACTIVATE_FOREIGN] = int((~is_ours).sum())
        off = off if policy.reactivate_foreign else off[is_ours]
        for kind, number in _drift_counts(off, findings.fields).items():
            counts[kind] += number
    counts[GuardClass.CREATE] = len(findings.missing_rows)
    unmanaged = findings.unmanaged_rows["newer"].to_numpy(dtype=bool)
    counts[GuardClass.DEACTIVATE] = int((~unmanaged).sum()) if policy.deactivate_unmanaged else 0
    return counts


def without_stuck(
    findings: Findings, stuck: Collection[tuple[str, str, str]]
) -> tuple[Findings, tuple[tuple[str, str], ...]]:
    """
    Leave out what CometChat took earlier and did not keep; also give which values (uid, field) that are, in order.

    `stuck` holds (uid, field, value), the value empty for a clear. The users stay drifted.
    """
    rows = findings.drifted_rows
    if not stuck or rows.empty:
        return findings, ()
    changed = rows.copy()
    found: list[tuple[str, str]] = []
    for field in findings.fields:
        pairs = zip(rows["uid"], rows[field].fillna(""), rows[f"differs {field}"], strict=True)
        left_out = np.array(
            [bool(differs) and (uid, field, text) in stuck for uid, text, differs in pairs], dtype=bool
        )
        changed[f"differs {field}"] = rows[f"differs {field}"].to_numpy(dtype=bool) & ~left_out
        found += [(uid, field) for uid in rows["uid"][left_out]]
    return replace(findings, drifted_rows=changed), tuple(sorted(found))


def _drift_counts(rows: Any, fields: tuple[str, ...]) -> dict[GuardClass, int]:
    counts = {GuardClass.UPDATE: 0, GuardClass.ROLE_CHANGE: 0, GuardClass.CLEAR: 0}
    sets, clears = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    for field in fields:
        changed = rows[f"differs {field}"].to_numpy(dtype=bool)
        filled = rows[field].notna().to_numpy(dtype=bool)
        if field == "role":
            counts[GuardClass.ROLE_CHANGE] = int(changed.sum())
        else:
            sets |= changed & filled
            clears |= changed & ~filled
    counts[GuardClass.UPDATE], counts[GuardClass.CLEAR] = int(sets.sum()), int(clears.sum())
    return counts


def list_changes(findings: Differences, policy: PlanPolicy, ours: frozenset[str]) -> Iterator[Change]:
    """
    Give the changes in plan order, numbered from 1.

    `ours` are the uids that our own runs deactivated: only those may policy bring back by itself.
    """
    for seq, change in enumerate(_unnumbered(findings, policy, ours), start=1):
        # Nobody has seen it yet; a copy of each of a million would cost more than to make it.
        msgspec.structs.force_setattr(change, "seq", seq)
        yield change


def _unnumbered(findings: Differences, policy: PlanPolicy, ours: frozenset[str]) -> Iterator[Change]:
    for user in findings.missing():
        yield _change(user, Action.CREATE, GuardClass.CREATE, user.differing)
    for user in findings.drifted():
        if policy.update_newer or not user.newer:
            yield from _updates(user)
    if policy.reactivate:
        for user in findings.deactivated():
            kind = GuardClass.REACTIVATE if user.uid in ours else GuardClass.REACTIVATE_FOREIGN
            if kind is GuardClass.REACTIVATE or policy.reactivate_foreign:
                yield _change(user, Action.REACTIVATE, kind, ())
                yield from _updates(user)
    if policy.deactivate_unmanaged:
        for uid in findings.leaving():
            yield Change(0, uid, Action.DEACTIVATE, GuardClass.DEACTIVATE)


def _updates(user: Difference) -> Iterator[Change]:
    """Split what differs in one user by what a guard may hold: values set, values lost, the role."""
    for kind, fields in by_class(user.differing, user.desired):
        yield _change(user, Action.UPDATE, kind, fields)


def _change(user: Difference, action: Action, kind: GuardClass, fields: tuple[str, ...]) -> Change:
    # The role is in a class of its own.
    reason = Reason.ROLE_MISMATCHED if kind is GuardClass.ROLE_CHANGE else Reason.STALE
    return Change(
        seq=0,
        uid=user.uid,
        action=action,
        guard_class=kind,
        fields=fields,
        before={} if user.actual is None else {field: user.actual[field] for field in fields},
        desired=user.desired,
        reasons=(reason,) if action is Action.UPDATE else (),
        fingerprint=user.fingerprint,
        source_row=user.source_row,
    )
