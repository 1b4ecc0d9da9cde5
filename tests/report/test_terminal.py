"""The summary of a run on a terminal: one screen, a diff that can be read, and more where somebody asks."""

from typing import Any

import pytest
from click import unstyle

from reconcile.core.guards import GuardClass
from reconcile.core.plan import Action, Change
from reconcile.core.report import GuardLine, PlanCounts, Report
from reconcile.report.terminal import render_terminal
from tests.report.builders import a_change, a_report

FILES = [
    "  report.html   runs/x/report.html",
    "  changes.csv   runs/x/changes.csv",
    "  plan.jsonl.gz runs/x/plan.jsonl.gz",
]


def a_full_report(changes: int = 2_000) -> Report:
    """A report that says all that one can say."""
    return a_report(
        "Plan: 2,000 to update.",
        outcomes=None,
        plan=PlanCounts(create=0, update=changes, reactivate=0, deactivate=0, held=0),
        needs=tuple(
            f"{kind} is held (too many); to let it pass: reconcile apply x --release {kind}=9"
            for kind in GuardClass
        ),
        notes=tuple(f"note {number}:" + " words" * 15 for number in range(6)),
    )


def some_changes(count: int = 10) -> list[Change]:
    """Updates of four fields each."""
    return [a_change(uid=f"user-{number}", seq=number) for number in range(count)]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("lines", [24, 30, 50])
def test_a_summary_fits_one_screen(width: int, lines: int) -> None:
    """However much there is to say: the rest is counted, and stands in the report."""
    shown = unstyle(render_terminal(a_full_report(), some_changes(), FILES, width=width, lines=lines))

    assert len(shown.splitlines()) < lines
    assert max(map(len, shown.splitlines())) <= width
    assert shown.startswith("Plan: 2,000 to update.")
    assert all(words in shown for words in ("user-0", "user-2", "Needs you:", "report.html", "more: --show 100"))


@pytest.mark.parametrize("width", [40, 57, 80, 200])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    """But for the path of a file, which somebody copies."""
    shown = unstyle(render_terminal(a_full_report(), some_changes(), [], width=width, lines=60))

    assert max(map(len, shown.splitlines())) <= width


def test_what_is_no_terminal_gets_whole_lines() -> None:
    """Somebody searches them."""
    report = a_full_report()
    shown = unstyle(render_terminal(report, some_changes(), FILES)).splitlines()

    assert all(f"  - {need}" in shown for need in report.needs)
    assert all(f"Note: {note}" in shown for note in report.notes)


def test_all_that_was_asked_for_is_shown() -> None:
    """--show wins over the screen."""
    shown = render_terminal(a_full_report(50), some_changes(50), FILES, width=80, lines=24, shows_all=True)

    assert all(f"user-{number} " in shown for number in range(50))
    assert "--show" not in shown


def test_a_change_is_read_at_a_glance() -> None:
    """A sign, the user, and a line for each field; what a guard holds is marked."""
    base: dict[str, Any] = {
        "uid": "u",
        "fields": ("name", "avatar"),
        "before": {"name": "Ann", "avatar": None},
        "desired": {"name": "Anna", "avatar": "https://x.example/1"},
    }
    changes = [
        a_change(**base | {"action": Action.CREATE, "guard_class": GuardClass.CREATE, "before": {}}),
        a_change(**base),
        a_change(**base | {"action": Action.REACTIVATE, "guard_class": GuardClass.REACTIVATE}),
        a_change(**base | {"action": Action.DEACTIVATE, "guard_class": GuardClass.DEACTIVATE}),
    ]
    guard = GuardLine(measured=1, base=1, limit=0, verdict="held", release="")
    report = a_report("Plan.", outcomes=None, plan=PlanCounts(1, 1, 1, 1, 1), guards={"deactivate": guard})
    shown = unstyle(render_terminal(report, changes, [])).split("\n\n")[1].splitlines()

    assert shown == [
        '  + u  name "Anna", avatar "https://x.example/1"',
        '  ~ u  name "Ann" -> "Anna"',
        '       avatar (none) -> "https://x.example/1"',
        "  ! u  switch on: active again",
        "  ! u  switch off: not in the source (held)",
    ]
