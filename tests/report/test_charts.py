"""Promises about the pictures of a page: what is drawn is what was counted."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.report import DriftCounts, GuardLine
from reconcile.core.usage import Usage
from reconcile.report.charts import bullets, costs, spending, stack, trend
from reconcile.report.past import Point, past_points, point_of
from reconcile.store.reader import StateReader
from tests.report.builders import a_report


@given(st.lists(st.tuples(st.text(), st.integers(0, 10**9))))
def test_parts_of_a_bar_are_in_proportion_and_fill_it(counts: list[tuple[str, int]]) -> None:
    """Each begins where the one before ends; what is nothing is not there."""
    parts = stack(counts)

    assert [(part.name, part.number) for part in parts] == [pair for pair in counts if pair[1]]
    ends = [0.0, *(part.start + part.width for part in parts)]
    assert [part.start for part in parts] == pytest.approx(ends[:-1])
    assert not parts or [ends[-1], sum(part.percent for part in parts)] == pytest.approx([100, 100])


def test_what_is_next_to_nothing_is_seen() -> None:
    """One of a million has its place, and the rest keeps its proportions; the share that is said is the true one."""
    few, many, twice = stack([("few", 1), ("many", 333_333), ("twice", 666_666)])

    assert few.width == 1.5
    assert few.percent == pytest.approx(0.0001)
    assert twice.width == pytest.approx(2 * many.width)


@pytest.mark.parametrize(
    ("guard", "percent", "mark", "words"),
    [
        (GuardLine(40, 1_000, 100, "pass", ""), 32.0, 80.0, "40, at most 100 (of 1,000)"),
        (GuardLine(200, None, 100, "held", "r"), 100.0, 50.0, "200, at most 100"),
        (GuardLine(200, 0, None, "pass", ""), 100.0, None, "200, no limit (of 0)"),
    ],
)
def test_a_guard_is_drawn_against_its_limit(guard: GuardLine, percent: float, mark: float, words: str) -> None:
    """What is over it goes over the mark."""
    (bullet,) = bullets(a_report(guards={"update": guard}))

    assert (bullet.percent, bullet.mark, bullet.words) == (percent, mark, words)


def test_the_guards_that_hold_something_stand_first() -> None:
    """And classes that had nothing to judge are left out; a limit from below says so."""
    shown = bullets(
        a_report(
            guards={
                "min_rows": GuardLine(3, None, 1, "pass", ""),
                "create": GuardLine(0, 10, 5, "pass", ""),
                "clear": GuardLine(9, 10, 5, "held", "reconcile apply R --release clear=9"),
            }
        )
    )

    assert [bullet.name for bullet in shown] == ["clear", "min_rows"]
    assert shown[1].words == "3, at least 1"


def test_the_budget_is_drawn_by_the_minute() -> None:
    """Three requests in two seconds are ninety a minute; a group that sent nothing is not drawn."""
    (group,) = spending(Usage(2.0, {"core": (0, 0), "standard": (3, 1)}, {"core": 60.0, "standard": 120.0}))

    assert (group.group, group.peak, group.allowed, group.total, group.buckets) == ("standard", 90, 120, 4, 2)
    steps = [float(height) for height in re.findall(r"V([\d.]+)H", group.outline)]
    assert steps == pytest.approx([100 - 90 / 1.38, 100 - 30 / 1.38], abs=0.1)
    assert group.mark == pytest.approx(100 - 120 / 1.38)
    assert spending(None) == ()


def test_the_newest_run_stands_at_the_right_end() -> None:
    """Of more than are shown, the last; a run that got nowhere has no drift."""
    points = [Point(f"{n:02}", "apply", "2026-11-01T02:15:00+00:00", "applied", n, n, 0) for n in range(40)]
    shown = trend([*points, Point("40", "plan", "2026-11-02T02:15:00+00:00", "source_refused", None, 0, 0)])

    assert [column.slot for column in shown.columns] == list(range(30))
    assert shown.columns[-1].drift is None
    assert shown.columns[-2].drift == 100
    assert trend(points[:2]).columns[1].slot == 29


def test_little_is_still_seen_beside_much() -> None:
    """One change in a million has a bar of its own."""
    much, little = (Point("1", "apply", "", "applied", n, n, 0) for n in (1_000_000, 1))

    assert [column.drift for column in trend([much, little]).columns] == [100, 3]


def test_a_run_is_summed_up_for_the_trend() -> None:
    """What was there already was made, too; what was skipped was not."""
    outcomes = {
        "applied": 3,
        "already": 2,
        "rejected": 1,
        "skipped": 1,
        "failed": 1,
        "held": 9,
        "not_attempted": 0,
    }
    report = a_report(drift=DriftCounts(in_step=5, missing=4, drifted=3), outcomes=outcomes)

    point = point_of(report)
    assert (point.drift, point.made, point.failed) == (7, 5, 3)
    assert point_of(msgspec.structs.replace(report, drift=DriftCounts(), outcomes=None)).drift is None


def test_the_forecast_stands_beside_the_fact() -> None:
    """Where there was nothing to apply there is neither."""
    report = a_report(timing={"apply": 150.0})
    requests, seconds = costs(report)

    assert (requests.foretold, requests.fact) == (2, 5)
    assert (seconds.foretold_percent, seconds.fact_percent) == (50, 100)
    assert costs(msgspec.structs.replace(report, forecast=None)) == ()


def test_a_state_file_that_cannot_be_read_costs_the_trend_and_not_the_report(tmp_path: Path) -> None:
    """Nor does one that is not there."""
    state = StateReader(tmp_path / "state.sqlite")
    assert past_points(state, "20261123T021500Z-3f9a") == ()
    state.path.write_bytes(b"no database at all" * 100)
    assert past_points(state, "20261123T021500Z-3f9a") == ()
