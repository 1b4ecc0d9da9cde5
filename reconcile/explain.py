"""
One user end to end: its rows, what the mapping makes of them, its directory record, the decision, its history.

Reads only, and takes no lock.
"""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa

from reconcile.cometchat.directory import Directory, Seen
from reconcile.core.actual import actual_table, managed_groups
from reconcile.core.cells import arrow
from reconcile.core.changes import list_changes, own_rows, without_stuck
from reconcile.core.diff import Comparison
from reconcile.core.findings import Findings
from reconcile.core.frame import Desired, desire, frame_of, with_roles
from reconcile.core.freshness import Freshness
from reconcile.core.guards import GuardClass
from reconcile.core.scope import Scope
from reconcile.core.skew import Dated, by_service
from reconcile.core.sticking import tried_words, waiting
from reconcile.core.trace import Explanation, are_of, trace
from reconcile.core.users import DirectoryUser, as_record, fold_uid
from reconcile.run import World, reading
from reconcile.scope import scope_of
from reconcile.settings import Policy, Settings, mapping_for
from reconcile.sources import Rows, moment_of, read_export
from reconcile.store.state import StateReader

__all__ = ["explain"]

_BY_HAND = f"--release {GuardClass.REACTIVATE_FOREIGN}=N"


def explain(settings: Settings, world: World, wanted: str) -> Explanation:
    """
    Explain one user, named by its uid or by the id that the source has for it.

    Raises: SourceError, SettingsError, DirectoryError, StateError.
    """
    now = world.now().timestamp()
    export = read_export(settings.source, partial(mapping_for, settings), now, rows=_Picked(wanted))
    desired = desire(export.frame, export.mapping)
    uid = _uid_of(desired, wanted)
    state = StateReader(settings.run_dir / "state.sqlite")
    with reading(settings, world) as (client, _):
        directory = Directory(client, desired.fields, workers=1)
        known = directory.roles() | settings.creatable_roles
        desired = with_roles(desired, known, settings.policy.protected_roles)
        seen = directory.find(uid) if fold_uid(uid) else None
        unseen = _unseen(directory, seen, desired.fields)
        skew = client.skew()
    user = seen and seen.user
    dated = by_service(moment_of(settings.source, export, now), skew)
    tried = [one for one in state.tried() if one.uid == uid]
    findings, stuck = _compare(dated, desired, user, unseen, state, settings.policy, waiting(tried, now))
    ours = state.own_deactivations()
    scope, problems = scope_of(state, settings.run_dir) if settings.policy.asks_scope else (None, [])
    changes = tuple(list_changes(findings, settings.policy.for_plan, ours, scope))
    problems = problems if findings.counts.unmanaged else []
    why = (*_why(settings, desired, user, findings), *_out_of_scope(findings, scope), *problems)
    why += tuple(f"CometChat did not show its {group}, which is not compared and not written" for group in unseen)
    why += tuple(map(tried_words, (one for one in tried if (one.uid, one.field) in stuck)))
    if not own_rows(findings.deactivated_rows, ours).all():
        why = (*why, f"another hand deactivated it: a policy alone does not bring it back ({_BY_HAND})")
    return Explanation(
        uid=uid,
        rows=trace(export.frame, export.mapping),
        quarantined={row.source_row: f"{row.kind}: {row.detail}" for row in desired.quarantined},
        record=None if user is None else as_record(user, desired.fields),
        situation=next((name for name, count in findings.counts.situations.items() if count), None),
        decision=changes,
        why=why,
        history=tuple(state.history(uid)),
    )


class _Picked(Rows):
    """The rows of one user: the others go by, piece by piece."""

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self._wanted = wanted

    def add(self, part: pa.Table) -> None:
        """Take in the user's rows of the next ones."""
        super().add(part.filter(pa.array(are_of(frame_of(part), self.mapping, self._wanted))))


def _uid_of(desired: Desired, wanted: str) -> str:
    found = [row.uid for row in desired.quarantined if row.uid] or arrow(desired.users["uid"]).to_pylist()
    return str(found[0]) if found else fold_uid(wanted) or wanted


def _unseen(directory: Directory, seen: Seen | None, fields: tuple[str, ...]) -> tuple[str, ...]:
    """Give the groups that some answer shows of others, and that no answer showed of this user."""
    groups = managed_groups(fields) & (directory.shows("list") | directory.shows("get"))
    return () if seen is None else tuple(sorted(groups - seen.known))


def _compare(
    dated: Dated,
    desired: Desired,
    user: DirectoryUser | None,
    unseen: tuple[str, ...],
    state: StateReader,
    policy: Policy,
    stuck: frozenset[tuple[str, str, str]],
) -> tuple[Findings, tuple[tuple[str, str], ...]]:
    first = dated.earliest_unix_s
    freshness = Freshness(dated.as_of_unix_s, state.own_writes(first), first)
    comparison = Comparison(
        desired,
        protect=policy.protect,
        protect_roles=policy.protected_roles,
        freshness=freshness,
        forgotten=state.forgotten,
    )
    if user is not None:
        known = managed_groups(desired.fields).difference(unseen)
        comparison.see(actual_table([user], desired.fields, [known]))
    comparison.settle_unseen()
    return without_stuck(comparison.close(whole=True), stuck)


def _out_of_scope(findings: Findings, scope: Scope | None) -> Iterator[str]:
    if scope is not None and not scope.has(findings.unmanaged_rows["uid"].tolist()).all():
        yield (
            "no run created it and no export that passed its checks held it, so it is left alone "
            '(policy.unmanaged_scope is "ours")'
        )


def _why(
    settings: Settings,
    desired: Desired,
    user: DirectoryUser | None,
    findings: Findings,
) -> Iterator[str]:
    if not len(desired.users):
        yield "the source has no valid row for it" if desired.quarantined else "the source does not have it"
    if findings.counts.forgotten or findings.counts.forgotten_outside:
        yield "it was forgotten: the job leaves it alone"
    if user is None:
        yield "the directory does not have it, neither active nor deactivated"
    if findings.counts.unmanaged:
        yield f"it is unmanaged, and policy.unmanaged is {settings.policy.unmanaged}"
    rules = [pattern for pattern, uids in findings.protected_by.items() if uids]
    yield from (f'it is protected by "{pattern}" (policy.protect): never written' for pattern in rules)
    roles = [role for role, uids in findings.protected_by_role.items() if uids]
    yield from (
        f'it has the role "{role}", which protects it (policy.protect_roles): never written' for role in roles
    )
    rules += roles
    if findings.counts.shielded and not rules and not findings.counts.forgotten_outside:
        yield "it is shielded by a quarantined row: left alone"
    if findings.counts.newer:
        yield f"it changed in CometChat after the export was made, and policy.newer is {settings.policy.newer}"
    if len(findings.deactivated_rows):
        yield f"it is deactivated, and policy.deactivated is {settings.policy.deactivated} (what our own runs did)"
