"""Promises about the report: what adds up, and the one word, line and exit code for it."""

from itertools import combinations
from typing import Any

import msgspec
import pytest

from reconcile.core.guards import GuardVerdict
from reconcile.core.outcome import empty_tally
from reconcile.core.report import (
    DirectoryCounts,
    DriftCounts,
    PlanCounts,
    SourceCounts,
    broken_laws,
    end_codes,
    guard_lines,
    headline,
    verdict_of,
)
from reconcile.errors import ExitCode, foremost

SOURCE = SourceCounts(rows=30, valid=21, quarantined=9)
DIRECTORY = DirectoryCounts(users=40, deactivated=8)
DRIFT = DriftCounts(
    in_step=1, missing=2, drifted=3, stale=3, role_mismatched=1, deactivated=4, protected=5, unknown=6,
    unmanaged=7, shielded=8,
)  # fmt: skip
PLAN = PlanCounts(create=1, update=2, reactivate=3, deactivate=4, held=2)
OUTCOMES = {"applied": 1, "already": 1, "rejected": 1, "skipped": 2, "held": 2, "failed": 2, "not_attempted": 1}
MATCHED, OUTSIDE = 15, 10


def laws(**but: Any) -> tuple[str, ...]:
    """The broken laws of a report that adds up but for what is given."""
    known: dict[str, Any] = {
        "source": SOURCE,
        "directory": DIRECTORY,
        "drift": DRIFT,
        "plan": PLAN,
        "outcomes": OUTCOMES,
    }
    known |= {"matched": MATCHED, "deactivated_outside": OUTSIDE} | but
    return broken_laws(
        known["source"],
        known["directory"],
        known["drift"],
        known["plan"],
        known["outcomes"],
        matched=known["matched"],
        deactivated_outside=known["deactivated_outside"],
    )


def one_more(counts: Any, field: str) -> Any:
    """The same counts with one of them wrong."""
    return msgspec.structs.replace(counts, **{field: getattr(counts, field) + 1})


def test_a_report_that_adds_up_breaks_no_law() -> None:
    """Reasons, the deactivated seen and the held are parts of others, and in no sum of their own."""
    assert laws() == ()


@pytest.mark.parametrize(
    ("but", "words"),
    [
        ({"source": one_more(SOURCE, "rows")}, "source rows = valid + quarantined: 31 is not 30"),
        ({"source": one_more(SOURCE, "quarantined")}, "source rows = valid + quarantined: 30 is not 31"),
        *[({"drift": one_more(DRIFT, name)}, "valid = in_step + missing") for name in
          ("in_step", "missing", "drifted", "deactivated", "protected", "unknown")],
        ({"directory": one_more(DIRECTORY, "users")}, "directory users seen = matched + unmanaged"),
        ({"drift": one_more(DRIFT, "unmanaged")}, "directory users seen"),
        ({"drift": one_more(DRIFT, "shielded")}, "directory users seen"),
        ({"matched": MATCHED + 1}, "directory users seen"),
        ({"deactivated_outside": OUTSIDE - 1}, "directory users seen"),
        *[({"plan": one_more(PLAN, name)}, "planned changes") for name in
          ("create", "update", "reactivate", "deactivate")],
        *[({"outcomes": OUTCOMES | {name: 9}}, "planned changes") for name in OUTCOMES],
    ],
)  # fmt: skip
def test_each_broken_law_is_named_with_both_sides(but: dict[str, Any], words: str) -> None:
    """One wrong number breaks one law."""
    (law,) = laws(**but)

    assert law.startswith(words)


def test_every_broken_law_is_named() -> None:
    """Not the first alone."""
    assert len(laws(source=one_more(SOURCE, "valid"), plan=one_more(PLAN, "create"), matched=0)) == 4


def test_what_a_run_did_not_come_to_breaks_nothing() -> None:
    """A run that ended early has no numbers there."""
    empty = laws(
        source=SourceCounts(), directory=DirectoryCounts(), drift=DriftCounts(), plan=PlanCounts(), outcomes=None
    )

    assert empty == ()
    assert laws(drift=msgspec.structs.replace(DRIFT, unmanaged=None), matched=22) == ()


def test_one_exit_code_wins_over_every_set_of_others() -> None:
    """1 > 130/143 > 8 > what ended the run before its first write > 4 > 5 > 3, and nothing at all is 0."""
    order = [1, 130, 143, 8, 7, 2, 6, 9, 4, 5, 3, 0]

    for size in range(len(order)):
        for codes in combinations(ExitCode, size):
            assert foremost(codes) == next(code for code in order if code in {*codes, 0}), codes


@pytest.mark.parametrize(
    ("outcomes", "but", "code"),
    [
        ({"applied": 3, "already": 2}, {}, 0),
        ({"not_attempted": 3}, {"canary": True}, 0),
        ({"rejected": 1}, {}, 4),
        ({"skipped": 1}, {}, 4),
        ({"failed": 1, "held": 1}, {}, 4),
        ({"held": 1}, {}, 5),
        ({"held": 1}, {"ended_by": ExitCode.STOPPED}, 8),
        ({"rejected": 1}, {"ended_by": ExitCode.SIGTERM}, 143),
        ({"rejected": 1}, {"is_broken": True, "ended_by": ExitCode.SIGINT}, 1),
        (None, {}, 0),
        (None, {"planned": 3}, 0),
        (None, {"planned": 3, "check": True}, 3),
        (None, {"planned": 0, "check": True}, 0),
        (None, {"ended_by": ExitCode.SOURCE}, 6),
    ],
)
def test_the_exit_code_tells_what_state_things_are_in(
    outcomes: dict[str, int] | None, but: dict[str, Any], code: int
) -> None:
    """A plan is done whether held or not; an apply is done when every change is."""
    tally = None if outcomes is None else empty_tally(outcomes)

    assert end_codes(tally, DriftCounts(), **but) == code


def test_unknown_users_leave_an_apply_and_a_plan_incomplete() -> None:
    """Something was asked for and could not be found out."""
    drift = DriftCounts(unknown=1)

    assert end_codes(empty_tally(), drift) is ExitCode.INCOMPLETE
    assert end_codes(None, drift, check=True, planned=1) is ExitCode.INCOMPLETE


@pytest.mark.parametrize(
    ("code", "but", "verdict"),
    [
        (ExitCode.DONE, {"planned": 0}, "in_step"),
        (ExitCode.DONE, {"applied": True}, "applied"),
        (ExitCode.DONE, {"applied": True, "is_canary": True}, "canary"),
        (ExitCode.DONE, {}, "planned"),
        (ExitCode.DONE, {"is_held": True}, "planned_held"),
        (ExitCode.DRIFT, {}, "planned"),
        (ExitCode.BUG, {}, "inconsistent"),
        (ExitCode.USAGE, {}, "refused"),
        (ExitCode.INCOMPLETE, {"applied": True}, "incomplete"),
        (ExitCode.HELD, {"applied": True}, "held"),
        (ExitCode.SOURCE, {}, "source_refused"),
        (ExitCode.UNREACHABLE, {}, "unreachable"),
        (ExitCode.STOPPED, {"applied": True}, "stopped"),
        (ExitCode.LOCKED, {}, "locked"),
        (ExitCode.SIGINT, {}, "interrupted"),
        (ExitCode.SIGTERM, {}, "interrupted"),
    ],
)
def test_a_run_ends_in_one_word(code: ExitCode, but: dict[str, Any], verdict: str) -> None:
    """Every exit code has one."""
    known: dict[str, Any] = {"planned": 3, "applied": False, "is_canary": False, "is_held": False}

    assert verdict_of(code, **(known | but)) == verdict


@pytest.mark.parametrize(
    ("verdict", "outcomes", "line"),
    [
        ("in_step", None, "In step: nothing to change."),
        ("planned", None, "Plan: 1 to create, 2 to update, 3 to reactivate, 4 to deactivate."),
        (
            "planned_held",
            None,
            "Plan: 1 to create, 2 to update, 3 to reactivate, 4 to deactivate; 2 of them are held by a guard.",
        ),
        ("unreachable", None, "Ended early (unreachable); nothing was written."),
        ("in_step", {}, "In step: nothing to change."),
        ("applied", {"applied": 9, "already": 1}, "Applied: 10 of 10 changes made."),
        ("canary", {"applied": 2, "not_attempted": 8}, "Canary: 2 of 10 changes made; 8 not attempted."),
        ("held", {"applied": 8, "held": 2}, "Held: 8 of 10 changes made; 2 held."),
        (
            "incomplete",
            {"applied": 6, "rejected": 1, "skipped": 1, "failed": 2},
            "Incomplete: 6 of 10 changes made; 1 rejected, 1 skipped, 2 failed.",
        ),
        ("stopped", {"applied": 1, "not_attempted": 9}, "Stopped: 1 of 10 changes made; 9 not attempted."),
    ],
)
def test_the_headline_says_the_whole_run(verdict: str, outcomes: dict[str, int] | None, line: str) -> None:
    """The first reader reads no further."""
    assert headline(verdict, PLAN, None if outcomes is None else empty_tally(outcomes)) == line


def test_an_inconsistent_report_begins_with_the_law() -> None:
    """It is written all the same."""
    assert headline("inconsistent", PLAN, None, "law: 1 is not 2") == "The report does not add up: law: 1 is not 2"
    assert headline("inconsistent", PLAN, None) == "reconcile met a bug; see the log."


def test_guards_are_shown_by_name() -> None:
    """With all that one needs to release them."""
    lines = guard_lines((GuardVerdict("clear", 9, 10, 5, "held", "release it", "too many"),))

    assert msgspec.to_builtins(lines) == {
        "clear": {
            "measured": 9, "base": 10, "limit": 5, "verdict": "held", "release": "release it", "because": "too many",
        }
    }  # fmt: skip
