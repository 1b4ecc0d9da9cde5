"""
The main path, top to bottom: read, check, fetch, compare, plan, apply, report.

`plan` and `apply` are the same path; `plan` ends earlier. A dry run is not a flag that is handed down.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from reconcile.apply import Applier, Hands, Mode
from reconcile.core.diff import Comparison, Findings, Freshness
from reconcile.core.frame import Desired, arrow, desire, with_roles
from reconcile.core.guards import (
    GuardClass,
    GuardVerdict,
    SourceLimits,
    judge_changes,
    judge_quarantine,
    judge_source,
)
from reconcile.core.mapping import Mapping
from reconcile.core.pacing import RateGroup
from reconcile.core.plan import Forecast, PlanHeader, PlanSource, class_counts, list_changes
from reconcile.core.report import Report, SourceCounts
from reconcile.errors import (
    Declined,
    DirectoryStopped,
    ExitCode,
    Interrupted,
    PlanError,
    ReconcileError,
    SettingsError,
    SourceError,
    StateError,
)
from reconcile.fetch import Fetched, fetch
from reconcile.ledger import Ledger
from reconcile.report import write_reports
from reconcile.run import Run
from reconcile.settings import mapping_for, seconds_of
from reconcile.sources import Export, read_export
from reconcile.store.planfile import PlanFile, write_plan
from reconcile.store.state import Baseline, RunRow

__all__ = ["apply", "apply_saved", "plan", "plan_path"]

log = structlog.get_logger()

Confirm = Callable[[PlanHeader], bool]


def plan(run: Run) -> Report:
    """Find out what would have to change, and write it down. Nothing is sent but reads."""

    def body(ledger: Ledger) -> None:
        _make_plan(run, ledger)

    return _reported(run, body)


def apply(run: Run, confirm: Confirm) -> Report:
    """Plan, ask, and carry the plan out in one go."""

    def body(ledger: Ledger) -> None:
        made = _make_plan(run, ledger)
        if made.count and not confirm(made.header):
            raise Declined("declined: nothing was written", hint=f"the plan stays: reconcile apply {run.id}")
        _carry_out(run, ledger, made, exact=False)

    return _reported(run, body)


def apply_saved(run: Run, path: Path, confirm: Confirm) -> Report:
    """Carry out exactly a plan that was made before; the source is not read again."""

    def body(ledger: Ledger) -> None:
        saved = PlanFile(path)
        _check_belongs(run, saved.header)
        header = msgspec.structs.replace(saved.header, guards=_released(run, saved.header))
        header = msgspec.structs.replace(header, counts=_with_held(header))
        write_plan(run.folder.plan, header, saved.changes())
        own = PlanFile(run.folder.plan)
        ledger.source = SourceCounts(location=header.source.location, as_of=header.source.as_of)
        ledger.note_plan(own)
        if own.count and not confirm(header):
            raise Declined("declined: nothing was written", hint="the plan stays as it is")
        _check_app(run)
        _carry_out(run, ledger, own, exact=True)

    return _reported(run, body)


def plan_path(run_dir: Path, named: str) -> Path:
    """Find the plan that a person named: by a run's id, or by a path."""
    path = Path(named)
    return path if path.is_file() else run_dir / named / "plan.jsonl.gz"


def _reported(run: Run, body: Callable[[Ledger], None]) -> Report:
    """Run the stages; however they end, the report is written and the state file knows."""
    ledger = Ledger()
    ended_by: ReconcileError | None = None
    bug: Exception | None = None
    try:
        body(ledger)
    except ReconcileError as error:
        ended_by = _named(run, error)
        log.error("run.ended_early", error=type(error).__name__, message=error.message, hint=error.hint)
    except Exception as error:
        bug = error
        log.exception("run.bug")
    report = ledger.report(run, ended_by, is_bug=bug is not None)
    report = write_reports(run, ledger, report)
    _close_books(run, ledger, report)
    if bug is not None:
        raise bug
    return report


def _named(run: Run, error: ReconcileError) -> ReconcileError:
    """A stop for the deadline reaches the stages as an interruption; give it its name back."""
    if isinstance(error, Interrupted) and error.exit_code is ExitCode.STOPPED:
        return DirectoryStopped(run.stop.why, hint="finish it with: reconcile resume")
    return error


def _make_plan(run: Run, ledger: Ledger) -> PlanFile:
    with run.stage("read"):
        export, desired = _read(run, ledger)
        _judge_source(run, ledger, desired)
    with run.stage("fetch"):
        desired = _check_roles(run, ledger, desired, export.mapping)
        findings, fetched = _compare(run, ledger, desired, export)
    with run.stage("plan"):
        return _write_plan(run, ledger, findings, fetched, export, desired)


def _read(run: Run, ledger: Ledger) -> tuple[Export, Desired]:
    source = run.settings.source
    ledger.source = SourceCounts(location=source.shown)
    export = read_export(source, lambda columns: mapping_for(run.settings, columns), run.world.now().timestamp())
    desired = desire(export.frame, export.mapping, export.ragged)
    as_of = datetime.fromtimestamp(export.as_of_unix_s, UTC).isoformat()
    ledger.note_source(SourceCounts(source.shown, sha256=export.sha256, as_of=as_of), desired)
    ledger.notes += export.notes
    if "role" in export.columns and "role" not in export.mapping.fields:
        ledger.notes.append('the source has a column "role" that is not mapped; map it by hand: --map role=role')
    log.info("source.read", rows=desired.rows, quarantined=len(desired.quarantined))
    return export, desired


def _judge_source(run: Run, ledger: Ledger, desired: Desired) -> None:
    """Believe the source, or end the run before the first request."""
    guards = run.settings.guards
    limits = SourceLimits(guards.min_rows, guards.max_shrink_percent, guards.sentinels, run.options.expect_rows)
    baseline = run.state.baseline()
    present = set(arrow(desired.users["uid"]).to_pylist()) if limits.sentinels else set()
    verdicts = judge_source(
        desired.rows,
        present,
        limits,
        baseline_rows=baseline.rows if baseline else None,
        baseline_run=baseline.run_id if baseline else "",
    )
    _refuse_held(run, ledger, verdicts)


def _refuse_held(run: Run, ledger: Ledger, verdicts: tuple[GuardVerdict, ...]) -> None:
    ledger.guards += verdicts
    held = [verdict for verdict in verdicts if verdict.is_held]
    if held and not run.options.accept_source:
        raise SourceError(
            "the source is not believed: " + "; ".join(f"{verdict.guard}: {verdict.because}" for verdict in held),
            hint="look at what wrote it; when it is right: --accept-source, once",
        )


def _check_roles(run: Run, ledger: Ledger, desired: Desired, mapping: Mapping) -> Desired:
    """Ask for the app's roles, which proves the key and its scope, and quarantine users of unknown ones."""
    directory = run.directory(mapping.fields)
    known = directory.roles()
    checked = with_roles(desired, known | _creatable(run))
    guard = run.settings.guards.max_quarantined
    ledger.note_source(ledger.source, checked)
    verdict = judge_quarantine(len(checked.quarantined), checked.rows, guard.percent, guard.floor)
    _refuse_held(run, ledger, (verdict,))
    return checked


def _creatable(run: Run) -> frozenset[str]:
    roles = run.settings.roles
    return frozenset(role.lower() for role in roles.map.values()) if roles.create_missing else frozenset()


def _compare(run: Run, ledger: Ledger, desired: Desired, export: Export) -> tuple[Findings, Fetched]:
    comparison = Comparison(
        desired,
        export.mapping,
        protect=run.settings.policy.protect,
        freshness=Freshness(export.as_of_unix_s, run.state.own_writes()),
    )
    directory = run.directory(desired.fields)
    before = sum(run.gate.sent.values())
    with run.progress.stage("fetch", None, "users") as tick:
        fetched = fetch(directory, comparison, desired.fields, tick)
    hidden = frozenset(name for name in desired.fields if name.split(".", 1)[0] in fetched.hidden)
    findings = comparison.close(whole=fetched.is_whole, hidden=hidden)
    run.witnesses = {group: uid for group, uid in directory.witnesses.items() if group in _groups(desired)}
    ledger.note_findings(findings, sum(run.gate.sent.values()) - before, fetched.way)
    for group in sorted(fetched.unproven):
        ledger.notes.append(
            f"no user in the directory shows {group}: the first write that has some proves the channel"
        )
    for name in sorted(hidden):
        ledger.notes.append(f"{name} is not shown when a single user is looked at")
    return findings, fetched


def _groups(desired: Desired) -> set[str]:
    return {name.split(".", 1)[0] for name in desired.fields}


def _write_plan(
    run: Run, ledger: Ledger, findings: Findings, fetched: Fetched, export: Export, desired: Desired
) -> PlanFile:
    policy = run.settings.policy.for_plan
    ours = run.state.own_deactivations()
    counts = class_counts(findings, policy, ours)
    withheld = {}
    if desired.nameless:
        withheld[GuardClass.DEACTIVATE] = f"{desired.nameless} source rows have no usable uid"
    verdicts = judge_changes(
        counts, _bases(run, findings, fetched), run.settings.guards.changes, run_id=run.id, withheld=withheld
    )
    header = PlanHeader(
        run_id=run.id,
        app_id=run.settings.cometchat.app_id,
        host=run.settings.cometchat.host,
        created_at=run.world.now().isoformat(timespec="seconds"),
        fields=findings.fields,
        visible=findings.visible,
        settings=run.settings.digests(),
        source=PlanSource(ledger.source.location, desired.rows, export.sha256, ledger.source.as_of),
        counts={},
        guards=verdicts,
        forecast=_forecast(run, counts),
        unproven=tuple(sorted(fetched.unproven)),
        witnesses=run.witnesses,
    )
    header = msgspec.structs.replace(header, counts=_action_counts(counts, header.held))
    written = write_plan(run.folder.plan, header, list_changes(findings, policy, ours))
    if any(written[kind] != counts.get(kind, 0) for kind in GuardClass):
        raise AssertionError(f"the plan has {dict(written)} changes where {counts} were counted")
    made = PlanFile(run.folder.plan)
    ledger.note_plan(made)
    _keep_baseline(run, findings, fetched, desired)
    return made


def _bases(run: Run, findings: Findings, fetched: Fetched) -> dict[GuardClass, int | None]:
    """What each guard's percentage is of; after a fetch by uid, what the last full run saw."""
    active = findings.seen - findings.seen_deactivated
    bases: dict[GuardClass, int | None] = dict.fromkeys(
        (GuardClass.UPDATE, GuardClass.ROLE_CHANGE, GuardClass.CLEAR), findings.matched_active
    )
    bases |= {
        GuardClass.CREATE: findings.seen,
        GuardClass.DEACTIVATE: active,
        GuardClass.REACTIVATE: findings.seen_deactivated,
    }
    last = run.state.baseline()
    if fetched.is_whole:
        return bases
    if last is None or last.seen is None:
        return {kind: None if kind is GuardClass.CREATE else base for kind, base in bases.items()}
    return dict.fromkeys((GuardClass.UPDATE, GuardClass.ROLE_CHANGE, GuardClass.CLEAR), last.matched_active) | {
        GuardClass.CREATE: last.seen,
        GuardClass.DEACTIVATE: last.seen_active,
        GuardClass.REACTIVATE: last.seen_deactivated,
    }


def _action_counts(counts: dict[GuardClass, int], held: frozenset[GuardClass]) -> dict[str, int]:
    updates = (GuardClass.UPDATE, GuardClass.ROLE_CHANGE, GuardClass.CLEAR)
    return {
        "create": counts.get(GuardClass.CREATE, 0),
        "update": sum(counts.get(kind, 0) for kind in updates),
        "reactivate": counts.get(GuardClass.REACTIVATE, 0),
        "deactivate": counts.get(GuardClass.DEACTIVATE, 0),
        "held": sum(counts.get(kind, 0) for kind in held),
    }


def _forecast(run: Run, counts: dict[GuardClass, int]) -> Forecast:
    """What applying will cost: a look and a write for each change, at the rates known now."""
    creates = counts.get(GuardClass.CREATE, 0)
    off = counts.get(GuardClass.DEACTIVATE, 0)
    on = counts.get(GuardClass.REACTIVATE, 0)
    updates = sum(counts.values()) - creates - off - on
    batches = -(-off // 25) + -(-on // 25)
    core, standard = creates + batches, creates + 2 * updates + off
    rates = run.gate.rates()
    seconds = 60 * max(core / rates[RateGroup.CORE], standard / rates[RateGroup.STANDARD])
    note = ""
    if not run.gate.is_learnt(RateGroup.STANDARD):
        note = (
            f"CometChat sent no rate headers, so the careful {rates[RateGroup.STANDARD]:.0f} a minute hold; "
            "when you know the app's limits: --set limits.core_per_minute=N --set limits.standard_per_minute=N"
        )
    return Forecast(core + standard, core, standard, round(seconds), note)


def _keep_baseline(run: Run, findings: Findings, fetched: Fetched, desired: Desired) -> None:
    last = run.state.baseline()
    full = fetched.is_whole
    run.state.keep_baseline(
        Baseline(
            run_id=run.id,
            rows=desired.rows,
            matched_active=findings.matched_active if full else last.matched_active if last else None,
            seen=findings.seen if full else last.seen if last else None,
            seen_active=findings.seen - findings.seen_deactivated if full else last.seen_active if last else None,
            seen_deactivated=findings.seen_deactivated if full else last.seen_deactivated if last else None,
        ),
        run.settings.source.shown,
    )


def _check_belongs(run: Run, header: PlanHeader) -> None:
    """Refuse a plan of another app, of other settings, or too old. Raises: PlanError with every reason."""
    app = run.settings.cometchat
    reasons = []
    if (header.app_id, header.host) != (app.app_id, app.host):
        reasons.append(f"it is for the app {header.app_id} at {header.host}")
    differing = [
        f"[{name}]" for name, digest in run.settings.digests().items() if header.settings.get(name) != digest
    ]
    if differing:
        reasons.append(f"{', '.join(differing)} differ from the settings that it was made with")
    age = run.world.now() - datetime.fromisoformat(header.created_at)
    oldest = seconds_of(run.settings.policy.plan_max_age)
    if oldest is not None and age > timedelta(seconds=oldest):
        reasons.append(f"it is older than {run.settings.policy.plan_max_age}")
    if reasons:
        raise PlanError(f"the plan of run {header.run_id} is refused: {'; '.join(reasons)}", hint="reconcile plan")


def _released(run: Run, header: PlanHeader) -> tuple[GuardVerdict, ...]:
    """Let held classes pass that a person released with a high enough ceiling."""
    wrong = [name for name in run.options.release if name not in set(GuardClass)]
    if wrong:
        raise SettingsError(
            f"--release names no class: {', '.join(wrong)}", hint=f"one of {', '.join(GuardClass)}"
        )
    return tuple(
        msgspec.structs.replace(guard, verdict="released", release="")
        if guard.is_held and guard.measured <= run.options.release.get(guard.guard, -1)
        else guard
        for guard in header.guards
    )


def _with_held(header: PlanHeader) -> dict[str, int]:
    return {**header.counts, "held": sum(guard.measured for guard in header.guards if guard.is_held)}


def _check_app(run: Run) -> None:
    """Prove the key, and learn the rates, before anything is written."""
    run.directory(()).roles()


def _carry_out(run: Run, ledger: Ledger, made: PlanFile, *, exact: bool) -> None:
    _create_roles(run, made, exact=exact)
    ledger.applying = True
    run.state.advance(run.id, "applying", plan=str(made.path.name))
    policy = run.settings.policy
    due = made.count - made.header.counts["held"]
    with run.stage("apply"), run.progress.stage("apply", due, "changes") as tick:
        applier = Applier(
            made,
            Hands(
                run.directory(made.header.fields), run.state, run.gate, run.stop, run.world.random, run.workers()
            ),
            mode=Mode(
                exact=exact,
                keeps=_keeps(run, made.header),
                may_reactivate=policy.deactivated == "reactivate",
                as_of_unix_s=_unix(made.header.source.as_of),
                limit=run.options.limit,
                unknown=ledger.drift.unknown or 0,
            ),
            run_id=run.id,
            on_settled=lambda _change, _settled: tick(1),
        )
        try:
            applier.run()
        finally:
            ledger.writes = applier.writes


def _create_roles(run: Run, made: PlanFile, *, exact: bool) -> None:
    if exact or not run.settings.roles.create_missing:
        return
    directory = run.directory(())
    known = directory.roles()
    wanted = {change.desired.get("role") for change in made.changes()} - {None}
    for role in sorted(str(role) for role in wanted if role not in known):
        log.info("role.created", role=role)
        directory.create_role(role)


def _keeps(run: Run, header: PlanHeader) -> frozenset[str]:
    if run.settings.policy.empty == "keep":
        return frozenset(header.fields)
    return frozenset(header.fields) & {"role", "statusMessage"}


def _unix(moment: str | None) -> int | None:
    return None if moment is None else int(datetime.fromisoformat(moment).timestamp())


def _close_books(run: Run, ledger: Ledger, report: Report) -> None:
    """Tell the state file how the run ended, and let old runs go."""
    unfinished = ledger.applying and report.exit_code in {ExitCode.STOPPED, ExitCode.SIGINT, ExitCode.SIGTERM}
    row = RunRow(
        run.id,
        run.command,
        "unfinished" if unfinished else "finished",
        run.started_at.isoformat(),
        report.finished_at,
        report.exit_code,
        report.verdict,
        report.headline,
        ledger.writes,
    )
    try:
        run.state.finish(row, msgspec.json.encode(report))
    except StateError as error:
        log.error("state.not_closed", message=error.message)
    log.info("run.finished", verdict=report.verdict, exit_code=report.exit_code, headline=report.headline)
