"""
The main path, top to bottom: read, believe, fetch, compare, plan, apply, report.

`plan` and `apply` are the same path; `plan` ends earlier. A dry run is not a flag that is handed down.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from reconcile.apply import Applier, Hands, Mode
from reconcile.core.diff import Comparison, Findings
from reconcile.core.forecast import action_counts, bases_of, forecast
from reconcile.core.frame import Desired
from reconcile.core.guards import Bases, GuardClass, judge_changes
from reconcile.core.newer import newer_cautions, newer_notes
from reconcile.core.plan import PlanHeader, PlanSource, class_counts, list_changes, without_stuck
from reconcile.core.report import Report, SourceCounts
from reconcile.core.review import refusals, release
from reconcile.errors import Declined, PlanError, SettingsError
from reconcile.fetch import Fetched, fetch
from reconcile.intake import believe, check_roles, freshness, read
from reconcile.ledger import Ledger
from reconcile.run import Run
from reconcile.settings import seconds_of
from reconcile.sources import Export
from reconcile.store.planfile import PlanFile, write_plan
from reconcile.supersede import supersede
from reconcile.wrapup import reported

__all__ = ["Confirm", "apply", "apply_saved", "plan", "plan_path", "resume"]

log = structlog.get_logger()

Confirm = Callable[[PlanHeader], bool]
# The stages of a run that carries out a plan which was reviewed, and so may do only what it says.
SAVED_STAGES = frozenset({"adopting", "applying_saved", "unfinished_saved"})


def plan(run: Run) -> Report:
    """Find out what would have to change, and write it down. Nothing is sent but reads."""

    def body(ledger: Ledger) -> None:
        _make_plan(run, ledger, _read_source(run, ledger))

    return reported(run, body)


def apply(run: Run, confirm: Confirm) -> Report:
    """Plan, ask, and carry the plan out in one go."""

    def body(ledger: Ledger) -> None:
        source = _read_source(run, ledger)
        # Only now: an export that is not believed leaves an unfinished run as one that can be resumed.
        supersede(run, ledger)
        made = _make_plan(run, ledger, source)
        _ask(made, confirm, hint=f"the plan stays: reconcile apply {run.id}")
        _create_roles(run, made)
        _carry_out(run, ledger, made, exact=False)

    return reported(run, body)


def apply_saved(run: Run, path: Path, confirm: Confirm) -> Report:
    """Carry out exactly a plan that was made before; the source is not read again."""

    run.saved_plan = True
    run.state.advance(run.id, "adopting")

    def body(ledger: Ledger) -> None:
        own = _adopt(run, PlanFile(path))
        _take_up(ledger, own)
        _ask(own, confirm, hint="the plan stays as it is")
        _prove_key(run)
        _carry_out(run, ledger, own, exact=True)

    return reported(run, body)


def resume(run: Run, stage: str) -> Report:
    """
    Finish a run under its own id; what is settled is not sent again.

    `stage` is what the state file says of it. Killed before its plan was sealed, it plans again.
    """
    run.saved_plan = stage in SAVED_STAGES

    def body(ledger: Ledger) -> None:
        if run.folder.plan.exists():
            own = PlanFile(run.folder.plan)
            _take_up(ledger, own)
            _prove_key(run)
        elif run.saved_plan:
            raise PlanError(
                "this run ended before it took its plan over", hint="reconcile apply RUN, with that plan"
            )
        else:
            own = _make_plan(run, ledger, _read_source(run, ledger))
        _create_roles(run, own)
        _carry_out(run, ledger, own, exact=run.saved_plan)

    return reported(run, body)


def plan_path(run_dir: Path, named: str) -> Path:
    """Find the plan that a person named: by a run's id, or by a path."""
    path = Path(named)
    return path if path.is_file() else run_dir / named / "plan.jsonl.gz"


def _read_source(run: Run, ledger: Ledger) -> tuple[Export, Desired]:
    """Read the export and believe it, before the first request."""
    with run.stage("read"):
        export, desired = read(run, ledger)
        believe(run, ledger, export, desired)
    return export, desired


def _make_plan(run: Run, ledger: Ledger, source: tuple[Export, Desired]) -> PlanFile:
    export, desired = source
    with run.stage("fetch"):
        # The roles prove the key and its scope, too.
        desired = check_roles(run, ledger, desired, run.directory(desired.fields).roles())
        findings, fetched = _compare(run, ledger, desired, export)
    with run.stage("plan"):
        made = _write_plan(run, ledger, findings, fetched, desired)
    _keep_baseline(run, ledger, findings, fetched)
    return made


def _compare(run: Run, ledger: Ledger, desired: Desired, export: Export) -> tuple[Findings, Fetched]:
    directory = run.directory(desired.fields)
    before = sum(run.gate.sent.values())
    sample = directory.find_first_page()
    # Remembered from a write that no answer showed; a service that shows it now is believed.
    unseen = frozenset(name for name in ("tags", "metadata") if run.state.remembered(f"unseen.{name}"))
    uncompared = _fields_of(desired, unseen - directory.shows("list"))
    comparison = Comparison(
        desired,
        export.mapping,
        protect=run.settings.policy.protect,
        uncompared=uncompared,
        freshness=freshness(run, ledger.source.as_of),
    )
    with run.progress.stage("fetch", None, "users") as tick:
        fetched = fetch(directory, comparison, sample, tick)
    hidden = _fields_of(desired, fetched.hidden) | uncompared
    findings, stuck = without_stuck(comparison.close(whole=fetched.is_whole, hidden=hidden), run.state.stuck())
    ledger.note_findings(findings, sum(run.gate.sent.values()) - before, fetched.way)
    ledger.notes += fetched.notes(uncompared)
    updates = run.settings.policy.for_plan.update_newer
    ledger.notes += newer_notes(findings, updates=updates)
    ledger.cautions += newer_cautions(findings, updates=updates)
    if stuck:
        ledger.notes.append(
            f"{stuck} values were taken by CometChat earlier and did not stick; they are not planned"
        )
    return findings, fetched


def _fields_of(desired: Desired, groups: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in desired.fields if name.split(".", 1)[0] in groups)


def _write_plan(run: Run, ledger: Ledger, findings: Findings, fetched: Fetched, desired: Desired) -> PlanFile:
    policy, ours = run.settings.policy.for_plan, run.state.own_deactivations()
    counts = class_counts(findings, policy, ours)
    withheld = {}
    if desired.nameless:
        withheld[GuardClass.DEACTIVATE] = f"{desired.nameless} source rows have no usable uid"
    verdicts = judge_changes(
        counts, _bases(run, findings, fetched), run.settings.guards.changes, run_id=run.id, withheld=withheld
    )
    held = frozenset(GuardClass(verdict.guard) for verdict in verdicts if verdict.is_held)
    header = PlanHeader(
        run_id=run.id,
        app_id=run.settings.cometchat.app_id,
        host=run.settings.cometchat.host,
        created_at=run.world.now().isoformat(timespec="seconds"),
        fields=findings.fields,
        visible=findings.visible,
        settings=run.settings.digests(),
        source=PlanSource(ledger.source.location, desired.rows, ledger.source.sha256, ledger.source.as_of),
        counts=action_counts(counts, held),
        guards=verdicts,
        forecast=forecast(counts, held, run.expected_rates(), run.rate_note()),
        unproven=tuple(sorted(fetched.unproven)),
        witnesses=fetched.witnesses,
    )
    written = write_plan(run.folder.plan, header, list_changes(findings, policy, ours))
    if any(written[kind] != counts.get(kind, 0) for kind in GuardClass):
        raise AssertionError(f"the plan has {dict(written)} changes where {counts} were counted")
    made = PlanFile(run.folder.plan)
    ledger.note_plan(made)
    return made


def _bases(run: Run, findings: Findings, fetched: Fetched) -> Bases:
    """What each guard's percentage is of; after a fetch by uid, what the last full run saw."""
    if fetched.is_whole:
        return bases_of(findings)
    last = run.state.baseline()
    return last.bases if last and last.bases else Bases(findings.matched_active, None, None, None)


def _keep_baseline(run: Run, ledger: Ledger, findings: Findings, fetched: Fetched) -> None:
    """Keep what this run measured; it is taken back where the run turns out to be no good one."""
    if ledger.baseline is None:
        return
    last = run.state.baseline()
    bases = bases_of(findings) if fetched.is_whole else last.bases if last else None
    measured = msgspec.structs.replace(
        ledger.baseline,
        bases=bases,
        valid=ledger.source.valid,
        drifted=ledger.drift.drifted,
        order=last.order + 1 if last else 1,
    )
    run.state.keep_baseline(measured, run.settings.source.shown)


def _adopt(run: Run, saved: PlanFile) -> PlanFile:
    """Make a saved plan the plan of this run, if it belongs here. Raises: PlanError, SettingsError."""
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
        header = release(saved.header, run.options.release)
    except ValueError as error:
        raise SettingsError(f"--release: {error}", hint="--release CLASS=N") from None
    write_plan(run.folder.plan, header, saved.changes())
    return PlanFile(run.folder.plan)


def _take_up(ledger: Ledger, own: PlanFile) -> None:
    """Enter what a plan that was made earlier knows of its source."""
    source = own.header.source
    ledger.source = SourceCounts(location=source.location, sha256=source.sha256, as_of=source.as_of)
    ledger.note_plan(own)


def _ask(made: PlanFile, confirm: Confirm, *, hint: str) -> None:
    if made.count and not confirm(made.header):
        raise Declined("declined: nothing was written", hint=hint)


def _prove_key(run: Run) -> None:
    """Ask for the roles: proves the key, and learns the rates, before anything is written."""
    run.directory(()).roles()


def _create_roles(run: Run, made: PlanFile) -> None:
    """Create the roles that the settings allow and the plan needs."""
    if not run.settings.roles.create_missing:
        return
    directory = run.directory(())
    wanted = {role for change in made.changes() if (role := change.desired.get("role"))}
    for role in sorted(wanted - directory.roles()):
        log.info("role.created", role=role)
        directory.create_role(role)


def _carry_out(run: Run, ledger: Ledger, made: PlanFile, *, exact: bool) -> None:
    ledger.applying = True
    run.state.advance(run.id, "applying_saved" if exact else "applying")
    settled = dict(run.state.outcomes(run.id))
    policy = run.settings.policy
    mode = Mode(
        exact=exact,
        keeps=frozenset(made.header.fields) if policy.empty == "keep" else frozenset({"role", "statusMessage"}),
        may_reactivate=policy.deactivated == "reactivate",
        freshness=freshness(run, made.header.source.as_of),
        leaves_newer=policy.newer == "skip",
        limit=run.options.limit,
        unknown=ledger.drift.unknown or 0,
        settled=settled,
        open_intents=frozenset(run.state.open_intents(run.id)),
    )
    hands = Hands(
        run_id=run.id,
        directory=run.directory(made.header.fields),
        state=run.state,
        gate=run.gate,
        stop=run.stop,
        random=run.world.random,
        workers=run.workers(),
        today=run.world.now().isoformat(timespec="seconds"),
    )
    due = made.count - made.header.counts["held"] - len(settled)
    with run.stage("apply"), run.progress.stage("apply", due, "changes") as tick:
        Applier(made, hands, mode, lambda _change, _settled: tick(1)).run()
