"""
A plan from the source: read, believe, fetch, compare. Also for a few users again.
"""

from collections.abc import Collection
from typing import NamedTuple

import msgspec
import structlog

from reconcile.cometchat.wire import PAGE_SIZE
from reconcile.core.changes import list_changes
from reconcile.core.diff import Comparison
from reconcile.core.findings import Differences
from reconcile.core.forecast import bases_of
from reconcile.core.found import Decided, Found, conclude
from reconcile.core.frame import Desired
from reconcile.core.freshness import Freshness
from reconcile.core.guards import Bases, GuardClass, judge_changes
from reconcile.core.left import banned_notes, forgotten_notes, protection_notes, scope_notes
from reconcile.core.newer import newer_cautions, newer_notes
from reconcile.core.plan import PlanSource
from reconcile.core.review import Declared, novelties, released
from reconcile.core.scope import Scope, narrowed
from reconcile.core.skew import doubt_of
from reconcile.core.sticking import Tried, waiting
from reconcile.dating import date_by_service, freshness, unix_of
from reconcile.fetch import NOTHING, Fetched, fetch
from reconcile.intake import believe, check_roles, note, read
from reconcile.ledger import Ledger
from reconcile.partitions.parted import Parted
from reconcile.partitions.walked import Walked
from reconcile.planning.known import settle_known
from reconcile.planning.sealing import ask_roles, header_of, last_bases, seal
from reconcile.planning.windows import recent
from reconcile.run import Run
from reconcile.scope import keep_users, scope_of
from reconcile.settings import Settings
from reconcile.store.planfile import PlanFile

__all__ = ["DECLARED", "make_plan", "plan_retry", "read_source", "what_is_new"]

log = structlog.get_logger()

DECLARED = "declared"  # under which the state file remembers mapping, source and policy of the last run that wrote


def read_source(run: Run, ledger: Ledger) -> Desired | Parted:
    """Read the source, and believe it or not. Raises: SourceError, SettingsError."""
    with run.stage("read"):
        export, desired = read(run, ledger)
        believe(run, ledger, export, desired)
    return desired


def make_plan(run: Run, ledger: Ledger, desired: Desired | Parted) -> PlanFile:
    """Fetch the directory, compare, and write the plan."""
    with run.stage("fetch"):
        is_quiet = ledger.source.since is not None and not desired.valid
        desired = check_roles(run, ledger, desired, frozenset() if is_quiet else ask_roles(run))
        compared = _compare(run, ledger, desired)
    with run.stage("plan"):
        # Before the plan: where that is sealed, they are there.
        keep_users(run, desired)
        made = _write_from_source(run, ledger, compared, desired)
    run.scratch.close()
    _keep_baseline(run, ledger, compared.found, compared.fetched)
    ledger.notes += what_is_new(run, made)
    return made


def plan_retry(run: Run, ledger: Ledger, source: Desired | Parted, target: str) -> PlanFile:
    """The same for the users of a run that were rejected, skipped or failed, or whose known differences it counted."""
    uids = run.state.troubled(target) | {uid for uid, _ in run.state.counted(target)}
    ledger.notes.append(f"only the {len(uids)} users that run {target} did not bring in step are looked at")
    # What a few users measure is no measure for the next whole run.
    ledger.baseline = None
    with run.stage("fetch"):
        desired = check_roles(run, ledger, source, ask_roles(run)).only(uids)
        run.scratch.close()
        note(run, ledger, desired, ledger.source)
        compared = _compare(run, ledger, desired, only=uids)
    with run.stage("plan"):
        return _write_from_source(run, ledger, compared, desired)


def what_is_new(run: Run, made: PlanFile) -> list[str]:
    """Say what is new in how plans are made since the last run that wrote."""
    return novelties(made.header.declared, run.state.remembered_as(DECLARED, Declared), Settings().chosen)


class _Compared(NamedTuple):
    """What the comparison came to: the numbers, whom changes are made of, and how the directory was read."""

    found: Found
    differences: Differences
    fetched: Fetched
    decided: Decided
    visible: tuple[str, ...]
    scope: Scope | None


def _compare(
    run: Run, ledger: Ledger, desired: Desired | Parted, *, only: Collection[str] | None = None
) -> _Compared:
    directory = run.directory(desired.fields)
    is_part = ledger.source.since is not None
    # Of a part of the source that names nobody there is nothing to be found out.
    is_quiet = is_part and not desired.valid
    sample = [] if is_quiet else directory.find_first_page()
    # Remembered from a write that no answer showed; a service that shows it now is believed.
    unseen = frozenset(name for name in ("tags", "metadata") if run.state.remembered(f"unseen.{name}"))
    uncompared = _fields_of(desired, unseen - directory.shows("list"))
    date_by_service(run, ledger)
    fresh = freshness(run, ledger.source.as_of, ledger.earliest)
    comparison = _comparison(run, desired, uncompared, fresh)
    with run.progress.stage("fetch", _expected(run, desired, only), "users") as tick:
        fetched = NOTHING if is_quiet else fetch(directory, comparison, sample, tick, only=only)
    hidden = _fields_of(desired, fetched.hidden) | uncompared
    # Of the few users of a retry each was looked at, so those outside the source are known too.
    whole = (fetched.is_whole or only is not None) and not is_part
    tried = run.state.tried()
    decided = _decided(run, tried, waits=only is None)
    differences: Differences
    if isinstance(comparison, Walked):
        differences, found = comparison.conclude(whole=whole, hidden=hidden, decided=decided)
    else:
        differences, found = conclude(comparison.close(whole=whole, hidden=hidden, known=decided.known), decided)
    scope = _scope(run, ledger, found)
    found = found if scope is None else narrowed(found, differences, scope)
    compared = tuple(name for name in desired.fields if name not in uncompared)
    known = settle_known(run, ledger, directory, found, tried, fields=compared, only=only is not None)
    ledger.note_findings(found, sum(run.gate.sent.values()), fetched.way)
    ledger.note_known(known)
    ledger.uncompared |= uncompared
    ledger.notes += fetched.notes(uncompared)
    ledger.notes += scope_notes(found)
    updates = run.settings.policy.for_plan.update_newer
    ledger.notes += forgotten_notes(found)
    ledger.notes += newer_notes(found, updates=updates)
    if found.counts.newer and not updates:
        # Left alone for now: the next run has to read them again.
        ledger.mark = None
    if only is None:
        ledger.notes += protection_notes(found)
    ledger.cautions += newer_cautions(found, updates=updates)
    visible = tuple(name for name in desired.fields if name not in hidden)
    return _Compared(found, differences, fetched, decided, visible, scope)


def _scope(run: Run, ledger: Ledger, found: Found) -> Scope | None:
    """Give the users that may be deactivated: None for everybody, and where nobody is to be."""
    if not run.settings.policy.asks_scope or found.counts.unmanaged is None:
        return None
    scope, problems = scope_of(run.state, run.settings.run_dir)
    ledger.notes[:0] = problems
    for problem in problems:
        log.warning("scope.nobody", message=problem)
    return scope


def _comparison(
    run: Run, desired: Desired | Parted, uncompared: frozenset[str], fresh: Freshness
) -> Comparison | Walked:
    if isinstance(desired, Parted):
        return Walked(desired, uncompared=uncompared, freshness=fresh)
    return Comparison(
        desired,
        protect=run.settings.policy.protect,
        protect_roles=run.settings.policy.protected_roles,
        uncompared=uncompared,
        freshness=fresh,
        forgotten=run.state.forgotten,
    )


def _decided(run: Run, tried: Collection[Tried], *, waits: bool) -> Decided:
    """Say what becomes a change; where it `waits`, not what CometChat did not keep and what is not tried again yet."""
    policy = run.settings.policy.for_plan
    # Only where a person asks for it: a ban is no drift, and no night ends as held because of one.
    asked = GuardClass.REACTIVATE_FOREIGN in run.options.release
    policy = msgspec.structs.replace(policy, reactivate_foreign=asked)
    stuck = waiting(tried, run.world.now().timestamp()) if waits else frozenset()
    known = frozenset((one.uid, one.field, one.value) for one in tried)
    return Decided(policy, run.state.own_deactivations(), stuck, recent(run), known)


def _expected(run: Run, desired: Desired | Parted, only: Collection[str] | None) -> int | None:
    """
    Estimate how many users will be looked at; None where no full run did so yet.

    What the last one saw is the best that is known: the service's own number is not to be believed.
    """
    wanted = desired.valid if only is None else len(only)
    seen = last_bases(run).seen_active
    # Where its pages would be more than the users that are wanted, each of these is asked for.
    is_by_uid = only is not None or (seen is not None and seen > PAGE_SIZE * wanted)
    return wanted if is_by_uid else seen


def _fields_of(desired: Desired | Parted, groups: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in desired.fields if name.split(".", 1)[0] in groups)


def _write_from_source(run: Run, ledger: Ledger, compared: _Compared, desired: Desired | Parted) -> PlanFile:
    found, differences, fetched, decided, visible, scope = compared
    policy, counts = decided.policy, found.classes
    ledger.notes += banned_notes(found, reactivates=policy.reactivate and not policy.reactivate_foreign)
    withheld = {GuardClass.REACTIVATE_FOREIGN: "another hand switched them off"}
    nameless = f"{desired.nameless} source rows have no usable uid" if desired.nameless else ""
    clock_doubt = doubt_of(run.skew)
    if nameless or clock_doubt:
        withheld[GuardClass.DEACTIVATE] = "; ".join(filter(None, (nameless, clock_doubt)))
    is_part = ledger.source.since is not None
    verdicts = judge_changes(
        counts,
        _bases(run, found, is_whole=fetched.is_whole and not is_part),
        run.settings.guards.changes,
        run_id=run.id,
        withheld=withheld,
        others=found.others,
    )
    verdicts = released(verdicts, run.options.release)
    read = ledger.source
    source = PlanSource(
        read.location, desired.rows, read.sha256, read.as_of, read.since, ledger.mark, ledger.earliest
    )
    header = msgspec.structs.replace(
        header_of(run, counts, verdicts, source),
        fields=desired.fields,
        visible=visible,
        declared=run.settings.declared(desired.mapping),
        unproven=tuple(sorted(fetched.unproven)),
        witnesses=fetched.witnesses,
        unknown=ledger.drift.unknown or 0,
        clock_doubt=clock_doubt,
    )
    return seal(run, ledger, header, list_changes(differences, policy, decided.ours, scope))


def _bases(run: Run, found: Found, *, is_whole: bool) -> Bases:
    """What each guard's percentage is of; where not all was read, what the last run saw that read all."""
    if is_whole:
        return bases_of(found)
    last = last_bases(run)
    return last if last.matched_active is not None else Bases(found.counts.matched_active, None, None, None)


def _keep_baseline(run: Run, ledger: Ledger, found: Found, fetched: Fetched) -> None:
    """Keep what this run measured; it is taken back where the run turns out to be no good one."""
    if ledger.baseline is None:
        return
    last = run.state.baseline()
    bases = bases_of(found) if fetched.is_whole else last.bases if last else None
    as_of = ledger.source.as_of
    measured = msgspec.structs.replace(
        ledger.baseline,
        # By CometChat's clock: a night in which ours was wrong makes no later export look old.
        as_of_unix_s=unix_of(as_of) if as_of else ledger.baseline.as_of_unix_s,
        bases=bases,
        order=last.order + 1 if last else 1,
    )
    run.state.keep_baseline(measured, run.settings.source.shown)
