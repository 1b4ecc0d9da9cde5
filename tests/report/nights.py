"""Whole reports as nights leave them, to be shown: in step, held, partial and stopped."""

from collections import Counter

import msgspec

from reconcile.core.frame import Quarantined, QuarantineKind
from reconcile.core.outcome import Outcome, Settled, empty_tally
from reconcile.core.report import (
    DirectoryCounts,
    DriftCounts,
    GuardLine,
    PlanCounts,
    Report,
    RequestCounts,
    SourceCounts,
)
from reconcile.core.survey import Survey, SurveyedChange
from reconcile.core.usage import Usage
from reconcile.report.html import render_html
from reconcile.report.past import Point
from tests.report.builders import a_report, many_changes, surveyed

__all__ = ["NIGHTS", "a_night", "big_page"]

RUN = "20261123T021500Z-3f9a"
_GUARDS = {
    "min_rows": GuardLine(48_210, None, 1, "pass", ""),
    "max_shrink_percent": GuardLine(48_210, 48_107, 38_486, "pass", ""),
    "max_quarantined": GuardLine(5, 48_210, 2_410, "pass", ""),
    "create": GuardLine(412, 47_990, 23_995, "pass", ""),
    "update": GuardLine(631, 47_812, 14_343, "pass", ""),
    "role_change": GuardLine(160, 47_812, 2_000, "pass", ""),
    "clear": GuardLine(140, 47_812, 4_781, "pass", ""),
    "deactivate": GuardLine(0, 47_990, 500, "pass", ""),
}
_USAGE = Usage(
    2.0,
    {"core": (0,) * 12 + (90, 150, 140) * 9, "standard": (240, 310, 420) * 13},
    {"core": 8000.0, "standard": 16000.0},
)
_ROWS = (
    Quarantined(17, None, QuarantineKind.INVALID, "the uid is empty"),
    Quarantined(203, "user-88", QuarantineKind.COLLISION, "the same uid as in row 4411", "User-88"),
    Quarantined(4_411, "user-88", QuarantineKind.COLLISION, "the same uid as in row 203", "user-88"),
    Quarantined(9_021, "user-9", QuarantineKind.UNKNOWN_ROLE, "the app has no role 'platinum'", "user-9"),
)
_PAST = tuple(
    Point(
        f"202611{day:02}T021500Z-aaaa",
        "apply",
        f"2026-11-{day:02}T02:15:00+00:00",
        "applied",
        drift,
        drift - drift // 9,
        drift // 9,
    )
    for day, drift in enumerate((0, 40, 90, 0, 130, 220, 310, 90, 60, 0, 15, 480), start=1)
)


def a_night(name: str) -> str:
    """The page of one of the nights."""
    return render_html(*_NIGHTS[name]())


def big_page(changes: int) -> str:
    """The page of a run of so many changes, a few of which went wrong."""
    every = list(many_changes(changes))
    report = _report(every, verdict="incomplete", headline=_line("Incomplete", every), outcomes=_tally(every))
    return render_html(report, surveyed(*every), _ROWS, _PAST)


_Night = tuple[Report, Survey, tuple[Quarantined, ...], tuple[Point, ...]]


def _in_step() -> _Night:
    drift = DriftCounts(48_166, 0, 0, 0, 0, 38, 1, 0, 122, 3)
    report = _report(
        [],
        verdict="in_step",
        headline="In step: nothing to change.",
        drift=drift,
        outcomes=dict(empty_tally()),
        exit_code=0,
        needs=(),
    )
    return report, surveyed(), (), _PAST


def _held() -> _Night:
    every = list(many_changes(400, applied=False))
    release = f"reconcile apply {RUN} --release role_change=2213"
    report = _report(
        every,
        command="plan",
        verdict="planned_held",
        headline="Plan: 133 to create, 267 to update, 0 to reactivate, 0 to deactivate; 56 of them are held by a guard.",
        exit_code=0,
        plan=PlanCounts(133, 267, 0, 0, 56),
        guards={
            **_GUARDS,
            "role_change": GuardLine(2_213, 47_812, 2_000, "held", release, "2213 is over the limit of 2000"),
        },
        needs=(f"role_change is held (2213 is over the limit of 2000); to let it pass: {release}",),
    )
    return report, surveyed(*every, held=frozenset({"role_change"})), _ROWS, _PAST


def _partial() -> _Night:
    every = list(many_changes(400))
    report = _report(
        every,
        verdict="incomplete",
        headline=_line("Incomplete", every),
        outcomes=_tally(every),
        timing={"read": 1.41, "fetch": 9.83, "plan": 0.62, "apply": 66.4},
        needs=(
            f"12 rejected (3 new): see runs/{RUN}/changes.csv",
            f"4 source rows are quarantined (2 new): see runs/{RUN}/quarantine.csv",
        ),
    )
    return report, surveyed(*every), _ROWS, _PAST


def _stopped() -> _Night:
    every = [
        (change, settled if change.seq < 180 else Settled(Outcome.NOT_ATTEMPTED))
        for change, settled in many_changes(400)
    ]
    report = _report(
        every,
        verdict="stopped",
        exit_code=8,
        headline=_line("Stopped", every),
        outcomes=_tally(every),
        timing={"read": 1.41, "fetch": 9.83, "plan": 0.62, "apply": 640.2},
        error={"message": "CometChat failed for 600 s, last: 503", "hint": "finish later with: reconcile resume"},
        needs=("look at the vendor's status page; finish later with: reconcile resume",),
    )
    return report, surveyed(*every), _ROWS, _PAST[-2:]


def _canary() -> _Night:
    tried = 20
    every: list[SurveyedChange] = [
        (change, Settled(Outcome.APPLIED if change.seq <= tried else Outcome.NOT_ATTEMPTED))
        for change, _ in many_changes(400)
    ]
    report = _report(
        every,
        verdict="canary",
        exit_code=0,
        headline="Canary: the first 20 of 400 changes made.",
        outcomes=_tally(every),
        timing={"read": 1.41, "fetch": 9.83, "plan": 0.62, "apply": 3.9},
        needs=(f"look at these users in CometChat, then make the rest: reconcile apply {RUN}",),
    )
    return report, surveyed(*every), (), _PAST[-1:]


_NIGHTS = {"in_step": _in_step, "held": _held, "partial": _partial, "stopped": _stopped, "canary": _canary}
NIGHTS = tuple(_NIGHTS)


def _report(changes: list[SurveyedChange], **but: object) -> Report:
    creates = sum(1 for change, _ in changes if change.action == "create")
    report = a_report(
        "x",
        app_id="2379f1a8c04d",
        finished_at="2026-11-23T02:16:32+00:00",
        source=SourceCounts(
            "exports/users-2026-11-23.csv", 48_210, 48_205, 5, "9f2c" * 16, "2026-11-23T01:58:00+00:00"
        ),
        directory=DirectoryCounts(48_200, 210, 51, "walk"),
        drift=DriftCounts(47_033, 412, 760, 631, 160, 38, 1, 0, 122, 3),
        plan=PlanCounts(creates, len(changes) - creates, 0, 0, 0),
        outcomes=None,
        requests=RequestCounts(403, 1_991, 12, 3, 2_343),
        forecast={"requests": 2_274, "core": 412, "standard": 1_862, "seconds": 71, "note": ""},
        timing={"read": 1.41, "fetch": 9.83, "plan": 0.62},
        peak_rss_mib=212,
        guards=_GUARDS,
        notes=('protected by "app_system" (policy.protect): 1 user: app_system',),
        needs=(),
        error=None,
        unmanaged_users=tuple(f"legacy-{number}" for number in range(122)),
        usage=_USAGE,
    )
    return msgspec.structs.replace(report, **but)


def _tally(changes: list[SurveyedChange]) -> dict[str, int]:
    return dict(empty_tally(Counter(settled.outcome.value for _, settled in changes if settled)))


def _line(word: str, changes: list[SurveyedChange]) -> str:
    tally = _tally(changes)
    rest = ", ".join(
        f"{tally[name]} {name.replace('_', ' ')}"
        for name in ("rejected", "skipped", "failed", "not_attempted")
        if tally[name]
    )
    return f"{word}: {tally['applied'] + tally['already']} of {len(changes)} changes made; {rest}."
