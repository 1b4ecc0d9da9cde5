"""
What a run has found out so far, and the report that is made of it, however the run ends.
"""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from reconcile.core.baseline import Baseline
from reconcile.core.found import Found
from reconcile.core.frame import Quarantined
from reconcile.core.guards import GuardVerdict
from reconcile.core.outcome import Outcome
from reconcile.core.pacing import RateGroup
from reconcile.core.report import (
    DirectoryCounts,
    DriftCounts,
    PlanCounts,
    Report,
    RequestCounts,
    SourceCounts,
    broken_laws,
    end_codes,
    guard_lines,
    headline,
    verdict_of,
)
from reconcile.core.skew import Moment, doubt_of
from reconcile.core.sticking import REMEDY, Known, known_words
from reconcile.core.users import Situation
from reconcile.errors import ExitCode, ReconcileError, StateError
from reconcile.evidence import Evidence, asked, missing
from reconcile.logs import redact
from reconcile.run import Run
from reconcile.store.planfile import PlanFile

__all__ = ["Ledger"]


_UNSAFE = (
    "the state file cannot keep what this run did; put the run directory back as it was, then: reconcile resume"
)
_RECENT, _SHOWN = 10, 20  # runs in which a user may flap, and how many are named


@dataclass(slots=True)
class Ledger:
    """The facts of one run, filled in stage by stage; a stage that was not reached leaves its part empty."""

    source: SourceCounts = field(default_factory=SourceCounts)
    directory: DirectoryCounts = field(default_factory=DirectoryCounts)
    drift: DriftCounts = field(default_factory=DriftCounts)
    guards: tuple[GuardVerdict, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    plan: PlanFile | None = None
    plan_counts: PlanCounts = field(default_factory=PlanCounts)
    baseline: Baseline | None = None
    newly_quarantined: int | None = None
    matched: int | None = None
    deactivated_outside: int | None = None
    mark: str | None = None
    applying: bool = False
    evidence: Evidence = field(default_factory=Evidence)
    planned_with: int | None = None  # requests until the plan was begun to be carried out
    notes: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    metadata_caution: str = ""  # what the question before the first write says of metadata that others keep
    known: Known = field(default_factory=Known)
    uncompared: frozenset[str] = frozenset()  # fields that were not compared or not written: no answer shows them
    unmanaged_users: tuple[str, ...] = ()
    moment: Moment | None = None  # when the export was true, as it was read
    earliest: str | None = None  # the earliest that it can have been, ISO 8601

    def note_source(
        self, source: SourceCounts, valid: int, rows: int, quarantined: tuple[Quarantined, ...]
    ) -> None:
        """Take in the source once its rows are checked."""
        self.quarantined = quarantined
        self.source = msgspec.structs.replace(source, rows=rows, valid=valid, quarantined=len(quarantined))

    def note_findings(self, found: Found, requests: int, way: str) -> None:
        """Take in what the comparison found."""
        counts = found.counts.situations
        self.matched = found.counts.matched
        self.deactivated_outside = found.counts.deactivated_outside
        self.unmanaged_users = found.unmanaged_users.first
        self.directory = DirectoryCounts(found.counts.seen, found.counts.seen_deactivated, requests, way)
        self.drift = DriftCounts(
            in_step=counts[Situation.IN_STEP],
            missing=counts[Situation.MISSING],
            drifted=counts[Situation.DRIFTED],
            stale=found.counts.stale,
            role_mismatched=found.counts.role_mismatched,
            deactivated=counts[Situation.DEACTIVATED],
            protected=counts[Situation.PROTECTED],
            unknown=counts[Situation.UNKNOWN],
            unmanaged=found.counts.unmanaged,
            shielded=found.counts.shielded,
            unmanaged_out_of_scope=found.out_of_scope,
        )

    def note_known(self, known: Known) -> None:
        """Take in the known differences that are counted and not tried."""
        self.known = known
        self.drift = msgspec.structs.replace(
            self.drift, known_differences=known.users, known_values=len(known.pairs)
        )

    def note_plan(self, plan: PlanFile) -> None:
        """Take in a plan that was made or read."""
        self.plan = plan
        if self.drift.unknown is None and plan.header.unknown:
            self.drift = msgspec.structs.replace(self.drift, unknown=plan.header.unknown)
        counts = plan.header.counts
        self.plan_counts = PlanCounts(
            create=counts["create"],
            update=counts["update"],
            reactivate=counts["reactivate"],
            deactivate=counts["deactivate"],
            held=counts["held"],
        )
        self.guards = (*(g for g in self.guards if g.guard not in _classes(plan)), *plan.header.guards)

    def report(self, run: Run, ended_by: ReconcileError | None, *, bug: Exception | None = None) -> Report:
        """Make the report: count the outcomes, check the laws, choose exit code and verdict."""
        self._recall()
        outcomes, laws = self._judged(run, ended_by, is_bug=bug is not None)
        is_canary = run.options.limit is not None and bool(outcomes and outcomes[Outcome.NOT_ATTEMPTED])
        planned, writes = self.plan_counts.total, self.evidence.writes(run)
        code = end_codes(
            outcomes,
            self.drift,
            check=run.options.check,
            planned=planned,
            is_broken=bool(laws) or bug is not None,
            canary=is_canary,
            ended_by=_code(ended_by, writes),
        )
        verdict = verdict_of(
            code,
            planned=planned,
            applied=outcomes is not None,
            is_canary=is_canary,
            is_held=bool(self.plan_counts.held),
        )
        return Report(
            run_id=run.id,
            command=run.command,
            app_id=run.settings.cometchat.app_id,
            started_at=run.started_at.isoformat(timespec="seconds"),
            finished_at=run.world.now().isoformat(timespec="seconds"),
            exit_code=int(code),
            verdict=verdict,
            headline=headline(
                verdict,
                self.plan_counts,
                outcomes,
                laws[0] if laws else "",
                part=self.source.part,
                writes=writes,
                drift=self.drift,
                uncompared=self.uncompared,
            ),
            source=self.source,
            directory=self.directory,
            drift=self.drift,
            plan=self.plan_counts,
            outcomes=outcomes,
            requests=_requests(run, self.planned_with),
            forecast=msgspec.to_builtins(self.plan.header.forecast) if self.plan else None,
            timing=run.timing,
            peak_rss_mib=run.peak_rss_mib(),
            notes=(
                *self.notes,
                *self._clock_notes(run),
                *_unconfirmed(run),
                *(_flapping(run) if outcomes else ()),
            ),
            guards=(self.evidence.earlier.guards if self.evidence.earlier else {}) | guard_lines(self.guards),
            needs=tuple(self._needs(run, outcomes, ended_by, is_bug=bug is not None)),
            broken_laws=laws,
            error=_words(ended_by) if bug is None else _bug_words(bug),
            unmanaged_users=self.unmanaged_users,
            usage=run.gate.usage(),
            redacted=run.options.redact,
            waivers=asked(lambda: run.state.waivers(run.id), ()),
            clock_ahead_s=run.skew.ahead_s if run.skew else None,
        )

    def _clock_notes(self, run: Run) -> Iterator[str]:
        """Say what this machine's clock is off by, or that no answer told it."""
        skew = run.skew
        if skew is None and (self.applying or self.directory.requests):
            yield doubt_of(skew)
        elif skew is not None and skew.matters:
            yield f"{skew.words}; all comparisons take that into account; set this machine's clock"

    def _recall(self) -> None:
        """Go on from what an earlier start of this run told: what this one did not find out anew stands as it was."""
        earlier = self.evidence.earlier
        if earlier is None:
            return
        if self.source.rows is None and earlier.source.rows is not None:
            self.source = earlier.source
        if self.drift.in_step is None and earlier.drift.in_step is not None:
            self.drift, self.directory = earlier.drift, earlier.directory
            self.unmanaged_users = earlier.unmanaged_users
        if self.plan is None:
            self.plan_counts = earlier.plan

    def _judged(
        self, run: Run, ended_by: ReconcileError | None, *, is_bug: bool
    ) -> tuple[dict[str, int] | None, tuple[str, ...]]:
        """Count the outcomes of a run that came to write, and say which laws do not hold."""
        earlier = self.evidence.earlier
        outcomes: dict[str, int] | None = None
        lacks: tuple[str, ...] = ()
        if self.plan is None:
            outcomes = earlier.outcomes if earlier else None
        elif self.applying:
            tally, lost = self.evidence.tally(self.plan, run)
            outcomes = dict(tally)
            is_whole = not (ended_by or is_bug or run.options.limit or self.plan.header.unknown)
            lacks = missing(tally, 0 if isinstance(ended_by, StateError) else lost, is_whole=is_whole)
            if ended_by is None and self.evidence.writes(run):
                lacks += () if asked(lambda: _is_kept(run), otherwise=False) else (_UNSAFE,)
        broken = broken_laws(
            self.source,
            self.directory if self.matched is not None else DirectoryCounts(),
            self.drift,
            self.plan_counts,
            outcomes,
            matched=self.matched,
            deactivated_outside=self.deactivated_outside,
        )
        return outcomes, (*lacks, *broken)

    def _needs(
        self, run: Run, outcomes: dict[str, int] | None, ended_by: ReconcileError | None, *, is_bug: bool
    ) -> Iterator[str]:
        """What a person has to do, most urgent first."""
        if ended_by is not None and ended_by.hint:
            yield ended_by.hint
        for guard in self.guards:
            if guard.is_held and guard.release:
                yield f"{guard.guard} is held ({guard.because}); to let it pass: {guard.release}"
        yield from self.cautions
        trouble = {name: number for name, number in (outcomes or {}).items() if name in _TROUBLE and number}
        if trouble:
            unknown: dict[str, int] = asked(lambda: run.state.newly(run.id), {})
            words = ", ".join(f"{number} {name} ({unknown.get(name, 0)} new)" for name, number in trouble.items())
            yield f"{words}: see {run.folder.file('changes.csv')}"
            yield from _unstuck(run)
        if self.known.pairs:
            yield known_words(self.known, run.id)
        if self.source.quarantined:
            new = "" if self.newly_quarantined is None else f" ({self.newly_quarantined} new)"
            where = run.folder.file("quarantine.csv")
            yield f"{self.source.quarantined} source rows are quarantined{new}: see {where}"
        if outcomes and outcomes[Outcome.NOT_ATTEMPTED] and ended_by is None:
            remedy = "reconcile resume" if is_bug else f"reconcile apply {run.id}"
            yield f"the rest of the plan waits: {remedy}"


def _is_kept(run: Run) -> bool:
    run.state.flush()
    return True


def _unconfirmed(run: Run) -> Iterator[str]:
    """Say how many of the changes that have no outcome were sent, or may have been."""
    number = asked(lambda: run.state.count_unconfirmed(run.id), 0)
    if number:
        yield f"{number} of the changes that count as not attempted were sent and answered; a resume looks at them, and sends none again"
    unclear = asked(lambda: run.state.count_left_open(run.id), 0) - number
    if unclear > 0:
        yield f"{unclear} of the changes that count as not attempted may have been sent; a resume looks at them first"


def _unstuck(run: Run) -> Iterator[str]:
    """Say what becomes of the values that CometChat took now and did not keep."""
    number = asked(lambda: run.state.count_unstuck(run.id), 0)
    if number:
        yield (
            f"{number} of the rejected changes did not stick: CometChat took the value and did not keep it; {REMEDY}; it is "
            f"tried again after 1, 3 and 7 days and then every 7; to try now: reconcile retry {run.id}"
        )


def _flapping(run: Run) -> Iterator[str]:
    """Name the users whose changes do not last."""
    nobody: list[tuple[str, str]] = []
    found = asked(lambda: run.state.flapping(run.id, _RECENT), nobody)
    if found:
        shown = ", ".join(f"{uid} ({fields})" for uid, fields in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield f"{len(found)} users flap, the same value was written to them in more than one of the last runs: {shown}{more}"


def _words(error: ReconcileError | None) -> dict[str, str] | None:
    # A driver's own words may repeat what a URL held.
    return None if error is None else {"message": redact(error.message), "hint": redact(error.hint)}


def _bug_words(bug: Exception) -> dict[str, str]:
    # Without its own words: they may hold a value of a user, and a report outlives the log.
    return {
        "message": f"this is a bug in reconcile: {type(bug).__name__}; its words are in the log",
        "hint": "please report it with the traceback that stands in report.json",
        "traceback": "".join(traceback.format_tb(bug.__traceback__)),
    }


_TROUBLE = frozenset({Outcome.REJECTED.value, Outcome.SKIPPED.value, Outcome.FAILED.value})


def _classes(plan: PlanFile) -> set[str]:
    return {guard.guard for guard in plan.header.guards}


def _requests(run: Run, before: int | None) -> RequestCounts:
    sent = run.gate.sent
    applying = None if before is None else sum(sent.values()) - before
    return RequestCounts(
        sent[RateGroup.CORE], sent[RateGroup.STANDARD], run.gate.retried, run.gate.throttled, applying
    )


def _code(error: ReconcileError | None, writes: int) -> ExitCode | None:
    """Give the exit code of what ended the run; after the first write, an outage is a stop."""
    if error is None:
        return None
    before_writing = {ExitCode.UNREACHABLE, ExitCode.USAGE, ExitCode.SOURCE, ExitCode.LOCKED}
    if error.exit_code in before_writing and writes:
        return ExitCode.STOPPED
    if error.exit_code is ExitCode.STOPPED and not writes:
        return ExitCode.UNREACHABLE
    return error.exit_code
