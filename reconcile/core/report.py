"""
The report as a value: every number of a run, the laws between them, and the one line that says it all.

Numbers come in counted; nothing here derives one by subtraction. A report that does not add up is still a
report: it says which law broke, and ends the run with exit code 1.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from reconcile.core.guards import GuardVerdict
from reconcile.core.sticking import differing
from reconcile.core.usage import Usage
from reconcile.core.waivers import Waiver
from reconcile.errors import ExitCode, foremost

__all__ = [
    "DirectoryCounts",
    "DriftCounts",
    "PlanCounts",
    "Report",
    "RequestCounts",
    "SourceCounts",
    "broken_laws",
    "command_in",
    "ended_without_report",
    "headline",
    "verdict_of",
]

SCHEMA_VERSION = 2
_COMMAND = re.compile(r": (reconcile [^;]+)")


class SourceCounts(msgspec.Struct, frozen=True):
    """
    The export as it was read. `as_of` is when it was true, ISO 8601, by CometChat's clock once that is known.

    Where only what changed was read, `since` is the value of `changed_by` from which on.
    """

    location: str = ""
    rows: int | None = None
    valid: int | None = None
    quarantined: int | None = None
    sha256: str | None = None
    as_of: str | None = None
    since: str | None = None
    changed_by: str | None = None

    @property
    def part(self) -> str:
        """Which part of the source was read, in words; empty where all of it was."""
        return "" if self.since is None else f"{self.changed_by} from {self.since} on"


class DirectoryCounts(msgspec.Struct, frozen=True):
    """The CometChat users that were seen (active and deactivated) and what seeing them cost, the roles too."""

    users: int | None = None
    deactivated: int | None = None
    requests: int | None = None
    fetch: str | None = None


class DriftCounts(msgspec.Struct, frozen=True):
    """
    Desired users by situation, drifted ones by reason, and the directory's users outside the source.

    `unmanaged_out_of_scope` is a part of `unmanaged`: those that would be deactivated but for policy.unmanaged_scope.
    None where the policy deactivates nobody, or all of them. `known_differences` are users, and `known_values` their values, that CometChat took earlier and did not keep, and
    that this run does not try again; they are drifted, too.
    """

    in_step: int | None = None
    missing: int | None = None
    drifted: int | None = None
    stale: int | None = None
    role_mismatched: int | None = None
    deactivated: int | None = None
    protected: int | None = None
    unknown: int | None = None
    unmanaged: int | None = None
    shielded: int | None = None
    unmanaged_out_of_scope: int | None = None
    known_differences: int | None = None
    known_values: int | None = None


class PlanCounts(msgspec.Struct, frozen=True):
    """Planned changes by action; `held` is a part of the four."""

    create: int | None = None
    update: int | None = None
    reactivate: int | None = None
    deactivate: int | None = None
    held: int | None = None

    @property
    def total(self) -> int:
        """All planned changes, held ones too."""
        return (self.create or 0) + (self.update or 0) + (self.reactivate or 0) + (self.deactivate or 0)


class RequestCounts(msgspec.Struct, frozen=True):
    """
    Requests that left, by rate group, and how often one had to be repeated.

    `applying` are those of them that carried the plan out; None where no plan was, and in reports of older versions.
    """

    core: int = 0
    standard: int = 0
    retried: int = 0
    throttled: int = 0
    applying: int | None = None


class GuardLine(msgspec.Struct, frozen=True):
    """
    One guard as the report shows it.

    `recent` holds, by window of time, how many other users earlier runs changed in this way: they count with those of
    the plan. The key is left out where there were none.
    """

    measured: int | None
    base: int | None
    limit: int | None
    verdict: str
    release: str
    because: str = ""
    recent: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


class Report(msgspec.Struct, frozen=True):
    """
    All that a run has to say, in the order of its JSON.

    `unmanaged_users` are the first uids of the unmanaged, by name; `usage` is None where nothing was sent; `redacted`
    says that the files of this run name nobody; `waivers` are what a person released, accepted or agreed to. `clock_ahead_s` is how many seconds this machine's clock was ahead of
    CometChat's (below 0: behind); None where no answer told it.
    """

    run_id: str
    command: str
    app_id: str
    started_at: str
    finished_at: str
    exit_code: int
    verdict: str
    headline: str
    source: SourceCounts
    directory: DirectoryCounts
    drift: DriftCounts
    plan: PlanCounts
    outcomes: dict[str, int] | None
    requests: RequestCounts
    forecast: dict[str, Any] | None
    timing: dict[str, float]
    peak_rss_mib: int
    guards: dict[str, GuardLine]
    notes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    broken_laws: tuple[str, ...] = ()
    error: dict[str, str] | None = None
    unmanaged_users: tuple[str, ...] = ()
    usage: Usage | None = None
    redacted: bool = False
    waivers: tuple[Waiver, ...] = ()
    clock_ahead_s: float | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def spent(self) -> tuple[int, float] | None:
        """What applying took, in requests and seconds, to set beside the forecast; None where nothing was applied."""
        if self.requests.applying is None or "apply" not in self.timing:
            return None
        return self.requests.applying, self.timing["apply"]


def command_in(sentence: str) -> str:
    """Give the command that a sentence ends with: ours follow a colon; empty where there is none."""
    found = _COMMAND.search(sentence)
    return found[1].strip() if found else ""


def guard_lines(verdicts: tuple[GuardVerdict, ...]) -> dict[str, GuardLine]:
    """Key the verdicts by guard for the report."""
    return {
        v.guard: GuardLine(v.measured, v.base, v.limit, v.verdict, v.release, v.because, v.recent or msgspec.UNSET)
        for v in verdicts
    }


def broken_laws(
    source: SourceCounts,
    directory: DirectoryCounts,
    drift: DriftCounts,
    plan: PlanCounts,
    outcomes: Mapping[str, int] | None,
    *,
    matched: int | None,
    deactivated_outside: int | None,
) -> tuple[str, ...]:
    """Check the sums of a report; each broken one comes back as a sentence with both sides."""
    laws = [
        _law("source rows = valid + quarantined", source.rows, (source.valid, source.quarantined)),
        _law(
            "valid = in_step + missing + drifted + deactivated + protected + unknown",
            source.valid if drift.in_step is not None else None,
            (
                drift.in_step,
                drift.missing,
                drift.drifted,
                drift.deactivated,
                drift.protected,
                drift.unknown,
            ),
        ),
        _law(
            "directory users seen = matched + unmanaged + shielded + deactivated outside the source",
            directory.users,
            (matched, drift.unmanaged, drift.shielded, deactivated_outside),
        ),
        _law(
            "planned changes = the sum of their outcomes",
            None if outcomes is None else plan.total,
            tuple((outcomes or {}).values()),
        ),
    ]
    return tuple(law for law in laws if law)


def _law(words: str, whole: int | None, parts: tuple[int | None, ...]) -> str:
    if whole is None:
        return ""
    total = sum(part or 0 for part in parts)
    return "" if whole == total else f"{words}: {whole} is not {total}"


def end_codes(
    outcomes: Mapping[str, int] | None,
    drift: DriftCounts,
    *,
    check: bool = False,
    planned: int = 0,
    is_broken: bool = False,
    canary: bool = False,
    ended_by: ExitCode | None = None,
) -> ExitCode:
    """Give the exit code of a run that got as far as a plan."""
    codes = [code for code in (ended_by,) if code is not None]
    if is_broken:
        codes.append(ExitCode.BUG)
    if outcomes is not None:
        trouble = outcomes["rejected"] + outcomes["skipped"] + outcomes["failed"]
        codes += [ExitCode.INCOMPLETE] if trouble else []
        codes += [ExitCode.HELD] if outcomes["held"] and not canary else []
    if drift.unknown or drift.known_differences:
        codes.append(ExitCode.INCOMPLETE)
    if check and planned:
        codes.append(ExitCode.DRIFT)
    return foremost(codes)


def verdict_of(code: ExitCode, *, planned: int, applied: bool, is_canary: bool, is_held: bool) -> str:
    """Name the run's end in one word."""
    match code:
        case ExitCode.DONE | ExitCode.DRIFT:
            if not planned:
                return "in_step"
            if applied:
                return "canary" if is_canary else "applied"
            return "planned_held" if is_held else "planned"
        case _:
            return _VERDICTS[code]


_VERDICTS = {
    ExitCode.BUG: "inconsistent",
    ExitCode.USAGE: "refused",
    ExitCode.INCOMPLETE: "incomplete",
    ExitCode.HELD: "held",
    ExitCode.SOURCE: "source_refused",
    ExitCode.UNREACHABLE: "unreachable",
    ExitCode.STOPPED: "stopped",
    ExitCode.LOCKED: "locked",
    ExitCode.SIGINT: "interrupted",
    ExitCode.SIGTERM: "interrupted",
}


def ended_without_report(code: ExitCode) -> tuple[str, str]:
    """Name, in one word and in one line, the end of what wrote no report."""
    verdict = _VERDICTS[code]
    return verdict, "reconcile met a bug; see the log." if code is ExitCode.BUG else f"Did not run ({verdict})."


def headline(
    verdict: str,
    plan: PlanCounts,
    outcomes: Mapping[str, int] | None,
    law: str = "",
    part: str = "",
    *,
    writes: int = 0,
    drift: DriftCounts | None = None,
    uncompared: Collection[str] = (),
) -> str:
    """
    Say the whole run in one line, the way its first reader needs it.

    `part` is what of the source was read; `writes` how many writes were recorded or sent; `uncompared` are the managed
    fields, or their groups, that no answer shows.
    """
    drift = drift or DriftCounts()
    words = _unplanned_line(verdict, law, drift) or _planned_line(verdict, plan, outcomes, writes, drift)
    if uncompared and verdict != "inconsistent":
        groups = sorted({name.split(".", 1)[0] for name in uncompared})
        words += f" Not compared: {', '.join(groups)}."
    return f"{words} A part of the source was read: {part}." if part else words


def _unplanned_line(verdict: str, law: str, drift: DriftCounts) -> str:
    if verdict == "inconsistent":
        return f"The report does not add up: {law}" if law else "reconcile met a bug; see the log."
    if verdict == "in_step":
        return _nothing_to_change(drift)
    return ""


def _planned_line(
    verdict: str, plan: PlanCounts, outcomes: Mapping[str, int] | None, writes: int, drift: DriftCounts
) -> str:
    counts = (
        f"{_n(plan.create)} to create, {_n(plan.update)} to update, "
        f"{_n(plan.reactivate)} to reactivate, {_n(plan.deactivate)} to deactivate"
    )
    if outcomes is None:
        done = f"it is not known what became of {writes} writes" if writes else "nothing was written"
        return _plan_line(verdict, counts, plan, drift, done)
    return _apply_line(verdict, outcomes, plan, drift)


def _nothing_to_change(drift: DriftCounts) -> str:
    if drift.drifted:
        users = "1 drifted user is" if drift.drifted == 1 else f"{drift.drifted} drifted users are"
        return f"Nothing to change: {users} newer than the export and left alone."
    return "In step: nothing to change."


def _plan_line(verdict: str, counts: str, plan: PlanCounts, drift: DriftCounts, done: str) -> str:
    match verdict:
        case "planned":
            return f"Plan: {counts}."
        case "planned_held":
            return f"Plan: {counts}; {_n(plan.held)} of them are held by a guard."
        case "incomplete":
            return f"Incomplete: {counts if plan.total else 'nothing to change now'}{_left(drift)}."
        case "held":
            return f"Held for a review: {counts}; {done}."
        case _:
            return f"Ended early ({verdict}); {done}."


def _apply_line(verdict: str, outcomes: Mapping[str, int], plan: PlanCounts, drift: DriftCounts) -> str:
    done = outcomes["applied"] + outcomes["already"]
    rest = ", ".join(
        f"{outcomes[name]} {name.replace('_', ' ')}"
        for name in ("rejected", "skipped", "failed", "held", "not_attempted")
        if outcomes[name]
    )
    tail = (f"; {rest}" if rest else "") + _left(drift)
    made = f"{done} of {plan.total} changes made"
    if verdict == "incomplete" and not plan.total:
        made = "nothing to change now"
    match verdict:
        case "applied":
            return f"Applied: {made}."
        case _:
            return f"{verdict.capitalize()}: {made}{tail}."


def _left(drift: DriftCounts) -> str:
    """Say for how many users more is known than the changes tell, or nothing is known."""
    known = f"; {differing(drift.known_differences)}" if drift.known_differences else ""
    return known + (f"; {drift.unknown} unknown" if drift.unknown else "")


def _n(number: int | None) -> str:
    return "?" if number is None else str(number)
