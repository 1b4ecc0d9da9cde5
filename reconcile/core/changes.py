"""
The changes of a plan, made from what the comparison found.

Order: creates, updates, reactivations, deactivations; within each by uid, then by class. The same findings
give the same changes, in whatever order the source or the directory came.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from reconcile.core.cells import arrow
from reconcile.core.findings import Difference, Differences, Findings
from reconcile.core.guards import GuardClass
from reconcile.core.ours import Left, owned
from reconcile.core.plan import Action, Change, PlanPolicy, by_class
from reconcile.core.users import Reason

__all__ = ["Within", "class_counts", "class_users", "list_changes", "own_rows", "without_stuck"]

Mask = npt.NDArray[np.bool_]


class Within(Protocol):
    """Some users, as `core.scope.Scope` has them."""

    def within(self, uids: Iterable[str]) -> Iterator[str]:
        """Keep those of many uids that are among them, in their order."""


def class_counts(findings: Findings, policy: PlanPolicy, ours: Mapping[str, Left]) -> dict[GuardClass, int]:
    """
    Count the changes of each class without making them: the guards judge before the first one is.

    `ours` are the deactivations of our own runs: policy takes back only those.
    """
    counts: dict[GuardClass, int] = {}
    for kind, _, is_due in _members(findings, policy, ours):
        counts[kind] = counts.get(kind, 0) + int(is_due.sum())
    return counts


def class_users(
    findings: Findings, policy: PlanPolicy, ours: Mapping[str, Left], kinds: Collection[GuardClass]
) -> dict[GuardClass, pa.Array]:
    """Give the uids that the changes of these classes are about; each is in a class once."""
    pieces: dict[GuardClass, list[pa.Array]] = {}
    for kind, rows, is_due in _members(findings, policy, ours):
        if kind in kinds:
            pieces.setdefault(kind, []).append(arrow(rows["uid"][is_due]).cast(pa.string()))
    return {kind: pa.concat_arrays(uids) for kind, uids in pieces.items()}


def own_rows(off: pd.DataFrame, ours: Mapping[str, Left]) -> Mask:
    """Mark the rows of deactivated users whose deactivation is one of ours."""
    is_ours: Mask = np.array(off["uid"].isin(ours.keys()), dtype=bool)
    columns = (arrow(off.loc[is_ours, name]).to_pylist() for name in ("uid", "created_at", "deactivated_at"))
    is_ours[is_ours] = [owned(ours, *user) for user in zip(*columns, strict=True)]
    return is_ours


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


def _members(
    findings: Findings, policy: PlanPolicy, ours: Mapping[str, Left]
) -> Iterator[tuple[GuardClass, pd.DataFrame, Mask]]:
    """Give the rows in which the users of a class are, and which rows these are. A class may come twice."""
    drifted, off, missing = findings.drifted_rows, findings.deactivated_rows, findings.missing_rows
    is_due = ~_is_newer(drifted) if not policy.update_newer else np.ones(len(drifted), dtype=bool)
    yield from _drifting(drifted, is_due, findings.fields)
    if policy.reactivate:
        is_ours = own_rows(off, ours)
        yield GuardClass.REACTIVATE, off, is_ours
        if policy.reactivate_foreign:
            yield GuardClass.REACTIVATE_FOREIGN, off, ~is_ours
        is_due = np.ones(len(off), dtype=bool) if policy.reactivate_foreign else is_ours
        yield from _drifting(off, is_due, findings.fields)
    yield GuardClass.CREATE, missing, np.ones(len(missing), dtype=bool)
    leaving = ~_is_newer(findings.unmanaged_rows) & policy.deactivate_unmanaged
    yield GuardClass.DEACTIVATE, findings.unmanaged_rows, leaving


def _drifting(
    rows: pd.DataFrame, is_due: Mask, fields: tuple[str, ...]
) -> Iterator[tuple[GuardClass, pd.DataFrame, Mask]]:
    roles, sets, clears = (np.zeros(len(rows), dtype=bool) for _ in range(3))
    for field in fields:
        changed = rows[f"differs {field}"].to_numpy(dtype=bool) & is_due
        filled = rows[field].notna().to_numpy(dtype=bool)
        if field == "role":
            roles = changed
        else:
            sets |= changed & filled
            clears |= changed & ~filled
    yield GuardClass.UPDATE, rows, sets
    yield GuardClass.ROLE_CHANGE, rows, roles
    yield GuardClass.CLEAR, rows, clears


def _is_newer(rows: pd.DataFrame) -> Mask:
    return rows["newer"].to_numpy(dtype=bool)


def list_changes(
    findings: Differences, policy: PlanPolicy, ours: Mapping[str, Left], scope: Within | None = None
) -> Iterator[Change]:
    """
    Give the changes in plan order, numbered from 1.

    `ours` are the deactivations of our own runs: policy takes back only those. `scope` keeps of users outside the
    source those that may be deactivated (None: all of them).
    """
    for seq, change in enumerate(_unnumbered(findings, policy, ours, scope), start=1):
        # Nobody has seen it yet; a copy of each of a million would cost more than to make it.
        msgspec.structs.force_setattr(change, "seq", seq)
        yield change


def _unnumbered(
    findings: Differences, policy: PlanPolicy, ours: Mapping[str, Left], scope: Within | None
) -> Iterator[Change]:
    for user in findings.missing():
        yield _change(user, Action.CREATE, GuardClass.CREATE, user.differing)
    for user in findings.drifted():
        if policy.update_newer or not user.newer:
            yield from _updates(user)
    if policy.reactivate:
        for user in findings.deactivated():
            is_ours = owned(ours, user.uid, user.created_at, user.deactivated_at)
            kind = GuardClass.REACTIVATE if is_ours else GuardClass.REACTIVATE_FOREIGN
            if kind is GuardClass.REACTIVATE or policy.reactivate_foreign:
                change = _change(user, Action.REACTIVATE, kind, ())
                dates = {"created_at": user.created_at, "deactivated_at": user.deactivated_at}
                yield msgspec.structs.replace(change, **dates)
                yield from _updates(user)
    if policy.deactivate_unmanaged:
        leaving = findings.leaving()
        for uid in leaving if scope is None else scope.within(leaving):
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
