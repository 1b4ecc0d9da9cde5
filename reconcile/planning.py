"""
The ways to a plan: from the source, from the source for a few users again, from a plan that was reviewed,
and back from what a run wrote.

Each ends with a sealed plan file in the run's folder; nothing is sent but reads.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec
import structlog

from reconcile.cometchat.directory import Directory, Unknown
from reconcile.core.diff import Comparison, Findings, matching
from reconcile.core.forecast import action_counts, bases_of, forecast
from reconcile.core.frame import Desired
from reconcile.core.guards import Bases, GuardClass, GuardVerdict, judge_changes
from reconcile.core.left import banned_notes, forgotten_notes, listed, protection_notes
from reconcile.core.newer import newer_cautions, newer_notes
from reconcile.core.plan import Change, PlanHeader, PlanSource, class_counts, list_changes, without_stuck
from reconcile.core.report import SourceCounts
from reconcile.core.review import Declared, novelties, refusals, release, released
from reconcile.core.undo import undo_changes, undone_fields
from reconcile.core.users import Record, as_record
from reconcile.errors import PlanError, SettingsError
from reconcile.fetch import Fetched, fetch, hidden_groups, managed_groups
from reconcile.intake import believe, check_roles, freshness, read
from reconcile.ledger import Ledger
from reconcile.run import Run, Step
from reconcile.settings import seconds_of
from reconcile.store.artifacts import RunFolder
from reconcile.store.planfile import PlanFile, write_plan

__all__ = [
    "DECLARED",
    "adopt_plan",
    "check_target",
    "make_plan",
    "plan_retry",
    "plan_undo",
    "read_source",
    "take_up",
    "what_is_new",
]

log = structlog.get_logger()

DECLARED = "declared"  # under which the state file remembers mapping and policy of the last run that wrote


def read_source(run: Run, ledger: Ledger) -> Desired:
    """Read the source, and believe it or not. Raises: SourceError, SettingsError."""
    with run.stage("read"):
        export, desired = read(run, ledger)
        believe(run, ledger, export, desired)
    return desired


def make_plan(run: Run, ledger: Ledger, desired: Desired) -> PlanFile:
    """Fetch the directory, compare, and write the plan."""
    with run.stage("fetch"):
        desired = check_roles(run, ledger, desired, _roles(run))
        findings, fetched = _compare(run, ledger, desired)
    with run.stage("plan"):
        made = _write_from_source(run, ledger, findings, fetched, desired)
    _keep_baseline(run, ledger, findings, fetched)
    ledger.notes += what_is_new(run, made)
    return made


def plan_retry(run: Run, ledger: Ledger, desired: Desired, target: str) -> PlanFile:
    """The same for the users of a run that were rejected, skipped or failed."""
    uids = run.state.troubled(target)
    ledger.notes.append(f"only the {len(uids)} users that run {target} did not bring in step are looked at")
    # What a few users measure is no measure for the next whole run.
    ledger.baseline = None
    with run.stage("fetch"):
        desired = check_roles(run, ledger, desired, _roles(run)).only(uids)
        ledger.note_source(ledger.source, desired)
        findings, fetched = _compare(run, ledger, desired, only=uids)
    with run.stage("plan"):
        return _write_from_source(run, ledger, findings, fetched, desired)


def check_target(run: Run) -> None:
    """Look whether what this run is about exists, and belongs here. Raises: PlanError, SettingsError."""
    match run.reached.step:
        case Step.UNDOING | Step.RETRYING:
            if not run.state.knows(run.reached.target):
                raise SettingsError(
                    f"there was no run {run.reached.target}", hint="reconcile runs lists what there is"
                )
        case Step.ADOPTING:
            _may_adopt(run, PlanFile(Path(run.reached.target)))
        case _:
            pass


def _may_adopt(run: Run, saved: PlanFile) -> PlanHeader:
    """Give the header that a saved plan goes on with. Raises: PlanError, SettingsError."""
    app, age = run.settings.cometchat, run.settings.policy.plan_max_age
    reasons = refusals(
        saved.header,
        app=(app.app_id, app.host),
        settings=run.settings.digests(),
        now=run.world.now(),
        oldest=(seconds_of(age), age),
    )
    if reasons:
        raise PlanError(
            f"the plan of run {saved.header.run_id} is refused: {'; '.join(reasons)}",
            hint="make a new one: reconcile plan",
        )
    try:
        return release(saved.header, run.options.release)
    except ValueError as error:
        raise SettingsError(f"--release: {error}", hint="--release CLASS=N") from None


def adopt_plan(run: Run, ledger: Ledger, path: Path) -> PlanFile:
    """Make a saved plan the plan of this run. Raises: PlanError, SettingsError where it does not belong here."""
    saved = PlanFile(path)
    write_plan(run.folder.plan, _may_adopt(run, saved), saved.changes())
    _roles(run)
    return take_up(run, ledger)


def take_up(run: Run, ledger: Ledger) -> PlanFile:
    """Open the sealed plan of this run, and enter what it knows of its source. Raises: PlanError."""
    own = PlanFile(run.folder.plan)
    source = own.header.source
    ledger.source = SourceCounts(location=source.location, sha256=source.sha256, as_of=source.as_of)
    ledger.note_plan(own)
    return own


def plan_undo(run: Run, ledger: Ledger, target: str) -> PlanFile:
    """Plan the way back from what a run wrote."""
    past, protect = list(run.state.written(target)), run.settings.policy.protect
    kept = set(matching([change.uid for change in past], protect))
    written = tuple(change for change in past if change.uid not in kept)
    fields = _fields_managed_by(run, target) or undone_fields(written)
    ledger.source = SourceCounts(location=f"run {target}")
    with run.stage("fetch"):
        roles = _roles(run)
        directory = run.directory(fields)
        hidden = _learn_looks(directory, fields)
        looks, unknown = _look_at(run, directory, {past.uid for past in written}, fields)
    visible = tuple(name for name in fields if name.split(".", 1)[0] not in hidden)
    found = undo_changes((past for past in written if past.uid not in unknown), looks, visible)
    unsaid = [(uid, "the directory could not say") for uid in sorted(unknown)]
    _tell_left(ledger, [*found.left, *unsaid, *((uid, "protected") for uid in sorted(kept))])
    _tell_roles_left(ledger, sorted(run.state.created_roles(target) & roles))
    with run.stage("plan"):
        counts = {kind: sum(change.guard_class is kind for change in found.changes) for kind in GuardClass}
        verdicts = judge_changes(counts, _last_bases(run), run.settings.guards.changes, run_id=run.id)
        header = msgspec.structs.replace(
            _header(run, counts, verdicts, PlanSource(f"run {target}", len(written), None, None)),
            fields=fields,
            visible=visible,
            witnesses={group: directory.witnesses[group] for group in hidden},
            unknown=len(unknown),
            undoes=target,
        )
        return _seal(run, ledger, header, found.changes)


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


def what_is_new(run: Run, made: PlanFile) -> list[str]:
    """Say what is new in how plans are made since the last run that wrote."""
    last = run.state.remembered(DECLARED)
    return novelties(made.header.declared, msgspec.json.decode(last, type=Declared) if last else None)


def _roles(run: Run) -> frozenset[str]:
    """Ask for the roles: proves the key and its scope, and learns the rates, before anything is written."""
    return run.directory(()).roles()


def _compare(
    run: Run, ledger: Ledger, desired: Desired, *, only: Collection[str] | None = None
) -> tuple[Findings, Fetched]:
    directory = run.directory(desired.fields)
    before = sum(run.gate.sent.values())
    sample = directory.find_first_page()
    # Remembered from a write that no answer showed; a service that shows it now is believed.
    unseen = frozenset(name for name in ("tags", "metadata") if run.state.remembered(f"unseen.{name}"))
    uncompared = _fields_of(desired, unseen - directory.shows("list"))
    comparison = Comparison(
        desired,
        protect=run.settings.policy.protect,
        uncompared=uncompared,
        freshness=freshness(run, ledger.source.as_of),
        forgotten=run.state.forgotten,
    )
    with run.progress.stage("fetch", None, "users") as tick:
        fetched = fetch(directory, comparison, sample, tick, only=only)
    hidden = _fields_of(desired, fetched.hidden) | uncompared
    # Of the few users of a retry each was looked at, so those outside the source are known too.
    findings = comparison.close(whole=fetched.is_whole or only is not None, hidden=hidden)
    if only is None:
        findings, stuck = without_stuck(findings, run.state.stuck())
        if stuck:
            ledger.notes.append(
                f"{stuck} values were taken by CometChat earlier and did not stick; they are not planned"
            )
    ledger.note_findings(findings, sum(run.gate.sent.values()) - before, fetched.way)
    ledger.notes += fetched.notes(uncompared)
    updates = run.settings.policy.for_plan.update_newer
    ledger.notes += forgotten_notes(findings)
    ledger.notes += newer_notes(findings, updates=updates)
    if only is None:
        ledger.notes += protection_notes(findings)
    ledger.cautions += newer_cautions(findings, updates=updates)
    return findings, fetched


def _fields_of(desired: Desired, groups: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in desired.fields if name.split(".", 1)[0] in groups)


def _write_from_source(
    run: Run, ledger: Ledger, findings: Findings, fetched: Fetched, desired: Desired
) -> PlanFile:
    foreign = GuardClass.REACTIVATE_FOREIGN
    policy, ours = run.settings.policy.for_plan, run.state.own_deactivations()
    # Only where a person asks for it: a ban is no drift, and no night ends as held because of one.
    policy = msgspec.structs.replace(policy, reactivate_foreign=foreign in run.options.release)
    counts = class_counts(findings, policy, ours)
    ledger.notes += banned_notes(findings, ours, reactivates=policy.reactivate and not policy.reactivate_foreign)
    withheld = {foreign: "another hand switched them off"}
    if desired.nameless:
        withheld[GuardClass.DEACTIVATE] = f"{desired.nameless} source rows have no usable uid"
    verdicts = judge_changes(
        counts, _bases(run, findings, fetched), run.settings.guards.changes, run_id=run.id, withheld=withheld
    )
    verdicts = released(verdicts, run.options.release)
    source = PlanSource(ledger.source.location, desired.rows, ledger.source.sha256, ledger.source.as_of)
    header = msgspec.structs.replace(
        _header(run, counts, verdicts, source),
        fields=findings.fields,
        visible=findings.visible,
        declared=run.settings.declared(desired.mapping),
        unproven=tuple(sorted(fetched.unproven)),
        witnesses=fetched.witnesses,
        unknown=ledger.drift.unknown or 0,
    )
    return _seal(run, ledger, header, list_changes(findings, policy, ours))


def _header(
    run: Run, counts: Mapping[GuardClass, int], verdicts: tuple[GuardVerdict, ...], source: PlanSource
) -> PlanHeader:
    held = frozenset(GuardClass(verdict.guard) for verdict in verdicts if verdict.is_held)
    return PlanHeader(
        run_id=run.id,
        app_id=run.settings.cometchat.app_id,
        host=run.settings.cometchat.host,
        created_at=run.world.now().isoformat(timespec="seconds"),
        fields=(),
        visible=(),
        settings=run.settings.digests(),
        declared={},
        source=source,
        counts=action_counts(counts, held),
        guards=verdicts,
        forecast=forecast(counts, held, run.expected_rates(), run.rate_note()),
    )


def _seal(run: Run, ledger: Ledger, header: PlanHeader, changes: Iterable[Change]) -> PlanFile:
    written = write_plan(run.folder.plan, header, changes)
    counted = {verdict.guard: verdict.measured for verdict in header.guards}
    if any(written[kind] != counted[kind] for kind in GuardClass):
        raise AssertionError(f"the plan has {dict(written)} changes where {counted} were counted")
    made = PlanFile(run.folder.plan)
    ledger.note_plan(made)
    return made


def _bases(run: Run, findings: Findings, fetched: Fetched) -> Bases:
    """What each guard's percentage is of; after a fetch by uid, what the last full run saw."""
    if fetched.is_whole:
        return bases_of(findings)
    last = _last_bases(run)
    return last if last.matched_active is not None else Bases(findings.matched_active, None, None, None)


def _last_bases(run: Run) -> Bases:
    last = run.state.baseline()
    return last.bases if last and last.bases else Bases(None, None, None, None)


def _keep_baseline(run: Run, ledger: Ledger, findings: Findings, fetched: Fetched) -> None:
    """Keep what this run measured; it is taken back where the run turns out to be no good one."""
    if ledger.baseline is None:
        return
    last = run.state.baseline()
    bases = bases_of(findings) if fetched.is_whole else last.bases if last else None
    measured = msgspec.structs.replace(
        ledger.baseline,
        bases=bases,
        order=last.order + 1 if last else 1,
    )
    run.state.keep_baseline(measured, run.settings.source.shown)


def _learn_looks(directory: Directory, fields: tuple[str, ...]) -> frozenset[str]:
    """Find out which managed groups a look leaves out; those come from the list then."""
    directory.find_first_page()
    hidden = hidden_groups(directory, managed_groups(fields))
    directory.rely_on_list(hidden)
    return hidden


def _look_at(
    run: Run, directory: Directory, uids: set[str], fields: tuple[str, ...]
) -> tuple[dict[str, Record | None], set[str]]:
    """Look at users; also give those that the directory could not say anything about."""
    looks: dict[str, Record | None] = {}
    unknown: set[str] = set()
    with run.progress.stage("fetch", len(uids), "users") as tick:
        for uid, found in directory.get_each(sorted(uids)):
            if isinstance(found, Unknown):
                unknown.add(uid)
            else:
                looks[uid] = None if found is None else as_record(found, fields)
            tick(1)
    return looks, unknown
