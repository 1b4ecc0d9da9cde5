"""Promises about progress: what is shown depends on who looks."""

import io
import json
import re
import sys
from collections.abc import Iterator

import pytest
import structlog

from reconcile import logs
from reconcile.progress import Progress, make_progress


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged."""
    stream = io.StringIO()
    logs.configure(form="json", level="info", stream=stream)
    yield stream
    structlog.reset_defaults()


def work(
    progress: Progress, clock: Clock, seconds: float, *, step_s: float = 0.5, total: int | None = None
) -> None:
    """Do one thing each step."""
    with progress.stage("apply", total, "changes") as tick:
        for _ in range(int(seconds / step_s)):
            clock.now += step_s
            tick(1)


def test_quiet_is_silent(log: io.StringIO) -> None:
    """On a terminal too."""
    clock, stream = Clock(), Terminal()
    work(make_progress(quiet=True, stream=stream, monotonic=clock), clock, 120)

    assert stream.getvalue() == log.getvalue() == ""


def test_a_stage_that_is_soon_done_has_no_line(log: io.StringIO) -> None:
    """Its end is told elsewhere."""
    clock = Clock()
    work(make_progress(quiet=False, stream=io.StringIO(), monotonic=clock), clock, 9.5)

    assert log.getvalue() == ""


def test_a_line_comes_at_most_every_ten_seconds(log: io.StringIO) -> None:
    """However often something is done."""
    clock = Clock()
    work(make_progress(quiet=False, stream=io.StringIO(), monotonic=clock), clock, 65, total=260)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]

    assert [line["done"] for line in lines] == [20, 40, 60, 80, 100, 120]
    assert [(line["per_s"], line["left_s"]) for line in lines[:2]] == [(2.0, 120), (2.0, 110)]
    assert {(line["stage"], line["unit"], line["total"]) for line in lines} == {("apply", "changes", 260)}


def test_a_line_after_a_long_silence_is_one_line(log: io.StringIO) -> None:
    """Nothing is caught up on."""
    clock = Clock()
    work(make_progress(quiet=False, stream=io.StringIO(), monotonic=clock), clock, 60, step_s=30)

    assert len(log.getvalue().splitlines()) == 2


def test_an_unknown_total_has_no_time_left(log: io.StringIO) -> None:
    """Rather than a wrong one."""
    clock = Clock()
    work(make_progress(quiet=False, stream=io.StringIO(), monotonic=clock), clock, 11)

    assert json.loads(log.getvalue())["left_s"] is None


def test_a_stream_that_is_no_terminal_has_no_bar() -> None:
    """Nor is the library for it loaded there: a pipe gets lines of the log."""
    clock, stream = Clock(), io.StringIO()
    work(make_progress(quiet=False, stream=stream, monotonic=clock), clock, 5)

    assert stream.getvalue() == ""


@pytest.mark.parametrize("total", [10, 0, None])
def test_a_terminal_has_a_bar(log: io.StringIO, monkeypatch: pytest.MonkeyPatch, total: int | None) -> None:
    """With the stage's name and unit, and no line of the log."""
    monkeypatch.setenv("TERM", "xterm")
    clock, stream = Clock(), Terminal()
    work(make_progress(quiet=False, stream=stream, monotonic=clock), clock, 5, total=total)

    assert "apply" in stream.getvalue()
    assert "changes" in stream.getvalue()
    assert log.getvalue() == ""
    assert "rich" in sys.modules


@pytest.mark.parametrize("width", [40, 50, 60, 80, 120, 200])
def test_a_bar_says_how_far_how_fast_how_long_and_what_it_costs(
    width: int, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one line, whatever the width; what has no room is left out, never how far it is and how long it lasts."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    clock, stream = Clock(), Terminal()
    progress = make_progress(quiet=False, stream=stream, monotonic=clock)
    progress.watch(lambda: (0.62, 10_000))
    work(progress, clock, 5, total=100)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n").splitlines()

    assert max(map(len, lines)) <= width
    assert any("10/100 changes" in line and "0:45 left" in line for line in lines)
    assert any("2/s" in line for line in lines) == (width >= 50)
    assert any("budget 62% of 10,000/min" in line for line in lines) == (width >= 80)


def test_a_line_of_the_log_says_what_of_the_budget_is_used(log: io.StringIO) -> None:
    """Where the requests of a run are counted."""
    clock = Clock()
    progress = make_progress(quiet=False, stream=io.StringIO(), monotonic=clock)
    progress.watch(lambda: (0.5, 500))
    work(progress, clock, 10)

    assert json.loads(log.getvalue())["budget"] == "50% of 500/min"


def test_more_than_was_expected_has_no_time_left(log: io.StringIO) -> None:
    """A total may be an estimate; nothing lasts less than no time."""
    clock = Clock()
    work(make_progress(quiet=False, stream=io.StringIO(), monotonic=clock), clock, 10, total=5)
    line = json.loads(log.getvalue())

    assert (line["done"], line["total"], line["left_s"]) == (20, None, None)


def test_an_error_in_a_stage_comes_through() -> None:
    """Whatever is shown."""
    for progress in (
        make_progress(quiet=True, stream=io.StringIO(), monotonic=Clock()),
        make_progress(quiet=False, stream=io.StringIO(), monotonic=Clock()),
        make_progress(quiet=False, stream=Terminal(), monotonic=Clock()),
    ):
        with pytest.raises(RuntimeError), progress.stage("apply", 1, "changes"):
            raise RuntimeError
