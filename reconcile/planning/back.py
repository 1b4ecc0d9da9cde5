"""A plan that takes back what a run wrote, where nobody has changed it since."""

from collections import Counter
from collections.abc import Mapping
from itertools import chain

import msgspec
import structlog

from reconcile.cometchat.directory import Directory, Unknown
from reconcile.core.actual import managed_groups
from reconcile.core.guards import GuardClass, judge_changes
from reconcile.core.left import listed
from reconcile.core.metadata import metadata_path
from reconcile.core.patterns import matching
from reconcile.core.plan import Action, PlanSource
from reconcile.core.report import SourceCounts
from reconcile.core.undo import lost_metadata, undo_changes, undone_fields
from reconcile.core.upsert import refused_by_role
from reconcile.core.users import Record, as_record, with_fields
from reconcile.errors import PlanError
from reconcile.fetch import hidden_groups
from reconcile.ledger import Ledger
from reconcile.planning.sealing import ask_roles, header_of, last_bases, seal
from reconcile.planning.windows import is_limited, others_beside
from reconcile.run import Run
from reconcile.store.artifacts import RunFolder
from reconcile.store.planfile import PlanFile

__all__ = ["plan_undo"]

log = structlog.get_logger()

_LOST_AT_MOST = 200  # keys of others that one undo puts back: each is a field of every record that it reads


def plan_undo(run: Run, ledger: Ledger, target: str) -> PlanFile:
    """Plan the way back from what a run wrote."""
    past, policy = list(run.state.written(target)), run.settings.policy
    kept = set(matching([change.uid for change in past], policy.protect))
    written = tuple(change for change in past if change.uid not in kept)
    fields = _fields_managed_by(run, target) or undone_fields(written)
    ledger.source = SourceCounts(location=f"run {target}")
    with run.stage("fetch"):
        roles = ask_roles(run)
        directory = run.directory(fields)
        hidden = _learn_looks(directory, fields)
        off = {past.uid for past in written if past.action == Action.DEACTIVATE}
        looks, unknown = _look_at(run, directory, {past.uid for past in written}, off, fields)
    kept |= {uid for uid, look in looks.items() if look and refused_by_role(look.role, policy.protected_roles)}
    lost = lost_metadata(run.state.replaced_metadata(target), looks, fields)
    fields, lost, too_many = _with_lost(fields, lost)
    looks = {uid: look and with_fields(look, fields) for uid, look in looks.items()} if lost else looks
    visible = tuple(name for name in fields if name.split(".", 1)[0] not in hidden)
    found = undo_changes((past for past in written if past.uid not in unknown | kept), looks, visible, lost)
    unsaid = [(uid, "the directory could not say") for uid in sorted(unknown)]
    odd = [(uid, "its metadata was not an object") for uid in sorted(run.state.replaced_odd(target))]
    _tell_left(ledger, [*found.left, *unsaid, *too_many, *odd, *((uid, "protected") for uid in sorted(kept))])
    _tell_roles_left(ledger, sorted(run.state.created_roles(target) & roles))
    with run.stage("plan"):
        counts = {kind: sum(change.guard_class is kind for change in found.changes) for kind in GuardClass}
        planned = ((change.guard_class, change.uid) for change in found.changes)
        beside = others_beside(run, planned) if is_limited(run, target) else {}
        guards = run.settings.guards.changes
        verdicts = judge_changes(counts, last_bases(run), guards, run_id=run.id, others=beside)
        header = msgspec.structs.replace(
            header_of(run, counts, verdicts, PlanSource(f"run {target}", len(written), None, None)),
            fields=fields,
            visible=visible,
            witnesses={
                group: uid for group, uid in directory.witnesses.items() if group in managed_groups(fields)
            },
            unknown=len(unknown),
            undoes=target,
            unproven=tuple(sorted(managed_groups(fields) - directory.looks_show())),
        )
        return seal(run, ledger, header, found.changes)


def _with_lost(
    fields: tuple[str, ...], lost: Mapping[str, Mapping[str, str]]
) -> tuple[tuple[str, ...], dict[str, dict[str, str]], list[tuple[str, str]]]:
    """Add what users lost to the fields, as far as there is room; also give (uid, what) for the rest."""
    counts = Counter(name for values in lost.values() for name in values if _is_field(name))
    extra = {name for name, _ in counts.most_common(_LOST_AT_MOST)}
    back = {uid: {name: text for name, text in values.items() if name in extra} for uid, values in lost.items()}
    rest = [(uid, f"{name}: lost by the run") for uid, values in lost.items() for name in values.keys() - extra]
    return (*fields, *sorted(extra)), {uid: values for uid, values in back.items() if values}, rest


def _is_field(name: str) -> bool:
    """Whether a name can stand for a metadata key: not every key can be written as a path."""
    try:
        return metadata_path(name) is not None
    except ValueError:
        return False


def _fields_managed_by(run: Run, target: str) -> tuple[str, ...]:
    """Give the managed fields of a run as its plan has them; none where that plan was let go."""
    try:
        return PlanFile(RunFolder(run.settings.run_dir, target).plan).header.fields
    except PlanError:
        return ()


def _tell_left(ledger: Ledger, left: list[tuple[str, str]]) -> None:
    for uid, what in left:
        log.warning("undo.left", uid=uid, what=what)
    if left:
        shown = listed([f"{uid} ({what})" for uid, what in left])
        ledger.notes.append(
            f"{len(left)} values are not put back, most of them changed by another since (each is in the log): {shown}"
        )


def _tell_roles_left(ledger: Ledger, roles: list[str]) -> None:
    for role in roles:
        log.warning("undo.left", role=role, what="roles are never deleted")
    if roles:
        ledger.notes.append(
            f"{len(roles)} roles that the run created stay, as nothing here deletes roles: {listed(roles)}"
        )


def _learn_looks(directory: Directory, fields: tuple[str, ...]) -> frozenset[str]:
    """Find out which managed groups a look leaves out; those come from the list then."""
    directory.find_first_page()
    hidden = hidden_groups(directory, managed_groups(fields))
    if hidden - directory.shows("list"):
        directory.list_shows({group: directory.witnesses[group] for group in hidden})
    directory.rely_on_list(hidden)
    return hidden


def _look_at(
    run: Run, directory: Directory, uids: set[str], off: set[str], fields: tuple[str, ...]
) -> tuple[dict[str, Record | None], set[str]]:
    """
    Look at users, those that are `off` also where they are deactivated.

    Also gives those that the directory could not say anything about.
    """
    looks: dict[str, Record | None] = {}
    unknown: set[str] = set()
    # What no answer shows of anybody is for the first write to prove.
    open_ = managed_groups(fields) - directory.shows("list") - directory.shows("get")
    with run.progress.stage("fetch", len(uids), "users") as tick:
        found_ones = chain(directory.get_each(sorted(uids - off)), directory.find_each(sorted(off)))
        for uid, found in found_ones:
            if isinstance(found, Unknown):
                unknown.add(uid)
            else:
                looks[uid] = None if found is None else as_record(found.user, fields, found.known | open_)
            tick(1)
    return looks, unknown
