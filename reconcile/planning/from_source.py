"""
A plan from the source: read, believe, fetch, compare. Also for a few users again.
"""

from collections.abc import Collection
from typing import NamedTuple

import msgspec

from reconcile.cometchat.wire import PAGE_SIZE
from reconcile.core.changes import list_changes
from reconcile.core.diff import Comparison
from reconcile.core.findings import Differences
from reconcile.core.forecast import bases_of
from reconcile.core.found import Decided, Found, conclude
from reconcile.core.frame import Desired
from reconcile.core.freshness import Freshness
from reconcile.core.guards import Bases, GuardClass, judge_changes
from reconcile.core.left import banned_notes, forgotten_notes, protection_notes
from reconcile.core.newer import newer_cautions, newer_notes
from reconcile.core.plan import PlanSource
from reconcile.core.review import Declared, novelties, released
from reconcile.fetch import NOTHING, Fetched, fetch
from reconcile.intake import believe, check_roles, freshness, note, read
from reconcile.ledger import Ledger
from reconcile.partitions.parted import Parted
from reconcile.partitions.walked import Walked
from reconcile.planning.sealing import ask_roles, header_of, last_bases, seal
from reconcile.run import Run
from reconcile.store.planfile import PlanFile

__all__ = ["DECLARED", "make_plan", "plan_retry", "read_source", "what_is_new"]

DECLARED = "declared"  # under which the state file remembers mapping and policy of the last run that wrote


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
        made = _write_from_source(run, ledger, compared, desired)
    run.scratch.close()
    _keep_baseline(run, ledger, compared.found, compared.fetched)
    ledger.notes += what_is_new(run, made)
    return made


def plan_retry(run: Run, ledger: Ledger, source: Desired | Parted, target: str) -> PlanFile:
    """The same for the users of a run that were rejected, skipped or failed."""
    uids = run.state.troubled(target)
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
    return novelties(made.header.declared, run.state.remembered_as(DECLARED, Declared))


class _Compared(NamedTuple):
    """What the comparison came to: the numbers, whom changes are made of, and how the directory was read."""

    found: Found
    differences: Differences
    fetched: Fetched
    decided: Decided
    visible: tuple[str, ...]


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
    comparison = _comparison(run, desired, uncompared, freshness(run, ledger.source.as_of))
    with run.progress.stage("fetch", _expected(run, desired, only), "users") as tick:
        fetched = NOTHING if is_quiet else fetch(directory, comparison, sample, tick, only=only)
    hidden = _fields_of(desired, fetched.hidden) | uncompared
    # Of the few users of a retry each was looked at, so those outside the source are known too.
    whole = (fetched.is_whole or only is not None) and not is_part
    decided = _decided(run, forgives=only is None)
    differences: Differences
    if isinstance(comparison, Walked):
        differences, found = comparison.conclude(whole=whole, hidden=hidden, decided=decided)
    else:
        differences, found = conclude(comparison.close(whole=whole, hidden=hidden), decided)
    if found.stuck:
        ledger.notes.append(
            f"{found.stuck} values were taken by CometChat earlier and did not stick; they are not planned"
        )
    ledger.note_findings(found, sum(run.gate.sent.values()), fetched.way)
    ledger.notes += fetched.notes(uncompared)
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
    return _Compared(found, differences, fetched, decided, visible)


def _comparison(
    run: Run, desired: Desired | Parted, uncompared: frozenset[str], fresh: Freshness
) -> Comparison | Walked:
    if isinstance(desired, Parted):
        return Walked(desired, uncompared=uncompared, freshness=fresh)
    return Comparison(
        desired,
        protect=run.settings.policy.protect,
        uncompared=uncompared,
        freshness=fresh,
        forgotten=run.state.forgotten,
    )


def _decided(run: Run, *, forgives: bool) -> Decided:
    """Say what becomes a change; where `forgives`, not what CometChat took earlier and did not keep."""
    policy = run.settings.policy.for_plan
    # Only where a person asks for it: a ban is no drift, and no night ends as held because of one.
    asked = GuardClass.REACTIVATE_FOREIGN in run.options.release
    policy = msgspec.structs.replace(policy, reactivate_foreign=asked)
    return Decided(policy, run.state.own_deactivations(), run.state.stuck() if forgives else frozenset())


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
    found, differences, fetched, decided, visible = compared
    policy, counts = decided.policy, found.classes
    ledger.notes += banned_notes(found, reactivates=policy.reactivate and not policy.reactivate_foreign)
    withheld = {GuardClass.REACTIVATE_FOREIGN: "another hand switched them off"}
    if desired.nameless:
        withheld[GuardClass.DEACTIVATE] = f"{desired.nameless} source rows have no usable uid"
    is_part = ledger.source.since is not None
    verdicts = judge_changes(
        counts,
        _bases(run, found, is_whole=fetched.is_whole and not is_part),
        run.settings.guards.changes,
        run_id=run.id,
        withheld=withheld,
    )
    verdicts = released(verdicts, run.options.release)
    read = ledger.source
    source = PlanSource(read.location, desired.rows, read.sha256, read.as_of, read.since, ledger.mark)
    header = msgspec.structs.replace(
        header_of(run, counts, verdicts, source),
        fields=desired.fields,
        visible=visible,
        declared=run.settings.declared(desired.mapping),
        unproven=tuple(sorted(fetched.unproven)),
        witnesses=fetched.witnesses,
        unknown=ledger.drift.unknown or 0,
    )
    return seal(run, ledger, header, list_changes(differences, policy, decided.ours))


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
    measured = msgspec.structs.replace(
        ledger.baseline,
        bases=bases,
        order=last.order + 1 if last else 1,
    )
    run.state.keep_baseline(measured, run.settings.source.shown)
