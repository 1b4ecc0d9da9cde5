"""The past runs at a glance: on any width, and honest about what is not known."""

import pytest
from click import unstyle

from reconcile.core.trend import Flapping, Turn, spark
from reconcile.report.trend import render_runs

WIDTHS = [40, 60, 80, 100, 120, 160, 200]
STARTED = "2026-11-23T02:15:00+00:00"


def a_turn(night: int, **but: object) -> Turn:
    """A run of one night."""
    told = {
        "finished_at": "2026-11-23T02:27:00+00:00", "exit_code": 0, "verdict": "applied", "seconds": 720.0, "drift": 10 * night,
        "headline": "Applied: 1200 of 1200 changes made.", "made": 1_200, "failed": 0, "state": "finished", "held": 0, "planned": 1_200, "writes": 1_203,
    }  # fmt: skip
    return Turn(f"202611{night:02}T021500Z-3f9a", "apply", started_at=STARTED, **{**told, **but})  # type: ignore[arg-type]


TURNS = [
    a_turn(5, exit_code=4, verdict="incomplete", failed=7),
    a_turn(4, exit_code=6, verdict="source_refused", drift=None, made=None, failed=None, held=None, planned=None),
    a_turn(3, finished_at=None, seconds=None, exit_code=None, verdict=None, state="applying", headline=None),
    a_turn(2, drift=12_345_678, made=123_456, seconds=86_399.0),
    a_turn(1),
]  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """From 40 columns to 200; what has no room is left out, never the run and how it ended."""
    shown = unstyle(render_runs(TURNS, [Flapping("robin", "name", 2)], width))

    assert max(map(len, shown.splitlines())) <= width
    assert all(turn.run_id in shown for turn in TURNS)
    assert all(word in shown for word in ("incomplete", "source_refused", "applying"))


def test_eighty_columns_have_what_a_night_is_judged_by() -> None:
    """Drift, failures and duration; more columns have more."""
    narrow, wide = (unstyle(render_runs(TURNS, [], width)).splitlines() for width in (80, 160))

    assert narrow[0].split() == ["run", "ended", "exit", "drift", "held", "made", "failed", "took"]
    assert narrow[1].split()[1:] == ["incomplete", "4", "50", "0", "1,200", "7", "12", "min"]
    assert "Applied: 1200 of 1200 changes made." in wide[5]


def test_what_is_not_known_is_a_dash() -> None:
    """And no 0: a run that did not get that far found nothing out."""
    refused = unstyle(render_runs(TURNS, [], 80)).splitlines()[2]

    assert refused.split()[1:] == ["source_refused", "6", "-", "-", "-", "-", "12", "min"]


def test_the_trend_goes_from_old_to_new() -> None:
    """The oldest at the left, the greatest as a whole bar, what is not known as a dot."""
    lines = unstyle(render_runs(TURNS, [], 80)).splitlines()

    assert spark([0, 5, 10, None]) == "▁▅█·"
    assert "drift  ▁█▁·▁  10 -> 50, at most 12.3M" in lines
    assert "failed ▁▁▁·█  0 -> 7, at most 7" in lines


def test_users_that_flap_are_named() -> None:
    """With the field and how often, and nothing in a name acts."""
    flapping = [Flapping("wren\x1b[2J", "avatar", 3), Flapping("robin", "name", 2)]
    shown = render_runs(TURNS, flapping, 80)

    assert "2 users flap" in shown
    assert "robin (name, 2 times)" in " ".join(shown.split())
    assert "\x1b[2J" not in shown


def test_no_run_at_all_knows_no_trend() -> None:
    """A first run that was refused has nothing to draw."""
    shown = unstyle(render_runs([a_turn(1, drift=None, failed=None, seconds=None)], [], 80))

    assert "->" not in shown
