"""Promises about a night on which the clock of this machine was wrong: the next nights go on as if it had been right."""

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, tzinfo

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Result, Shell
from tests.e2e.nights import Nights
from tests.e2e.profiles import under_one_profile

APPLY = ("apply", "--yes", "--accept-source", "--accept-mapping")
YEARS = timedelta(days=12 * 365)


class Clock:
    """The clock of this machine, so far from the right time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def ahead(self, by: timedelta = YEARS) -> None:
        """Put it ahead, or right again with nothing."""

        class Moved(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + by  # noqa: TID251 - the right time, and so far from it

        self._monkeypatch.setattr("reconcile.run.datetime", Moved)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that is right until a test says otherwise."""
    return Clock(monkeypatch)


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox) -> Nights:
    """A job over an empty app."""
    return Nights(shell, sandbox)


def notes(result: Result) -> str:
    """What a report notes, in one text."""
    return " ".join(result.json["notes"])


@under_one_profile
def test_the_report_that_was_just_written_stays(nights: Nights, clock: Clock) -> None:
    """A run of 2038 counts as the older one that it is, and the new report names it."""
    keep = ("--set", "run.keep=1")
    clock.ahead()
    wrong = nights.run(3, *keep).json["run_id"]
    clock.ahead(timedelta())
    right = nights.run(3, *keep, "--accept-source")
    later = nights.run(3, *keep, "--accept-source")

    assert f"run {wrong}: the date in the id lies in the future" in notes(right)
    assert "date -u" in notes(right)
    assert "in the future" not in notes(later)
    assert str((nights.shell.folder / "runs" / "latest").readlink()) == later.json["run_id"]
    assert nights.shell.latest("report.json").exists()
    assert [row["run_id"] for row in nights.shell("runs", "--json").json["runs"]] == [later.json["run_id"]]


@under_one_profile
def test_a_plan_of_the_future_is_refused(nights: Nights, clock: Clock) -> None:
    """Nobody knows how old it is."""
    clock.ahead()
    plan = nights.run(3, "--accept-source").json["run_id"]
    clock.ahead(timedelta())
    refused = nights.shell("apply", plan, "--yes", "--json")

    assert refused.code == 2
    assert "which is still to come" in refused.json["error"]["message"]
    assert nights.sandbox.users() == {}


@under_one_profile
def test_a_plan_of_a_clock_that_is_a_little_ahead_is_carried_out(nights: Nights, clock: Clock) -> None:
    """Clocks are put right by seconds every day."""
    clock.ahead(timedelta(minutes=4))
    plan = nights.run(3, "--accept-source").json["run_id"]
    clock.ahead(timedelta())

    assert nights.shell("apply", plan, "--yes", "--json").code == 0


def stopped(nights: Nights) -> str:
    """Stop a run at its first write; gives its id."""
    nights.sandbox.fault(
        "status", method="POST", path="/users", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", times=99
    )
    result = nights.run(3, command=APPLY, code=8)
    nights.sandbox.clear_faults()
    return str(result.json["run_id"])


@under_one_profile
def test_a_run_of_the_future_is_not_resumed(nights: Nights, clock: Clock) -> None:
    """Its plan may be of any age; the refusal says how to go on, and that works."""
    clock.ahead()
    stopped(nights)
    clock.ahead(timedelta())
    refused = nights.shell("resume", "--json")
    anew = nights.run(3, command=APPLY)

    assert refused.code == 2
    assert "start anew: reconcile apply" in refused.out
    assert anew.json["outcomes"]["applied"] == 3


@under_one_profile
def test_resume_takes_the_run_that_began_last(nights: Nights, clock: Clock) -> None:
    """Two may be unfinished where one was killed before it had looked at what the other left open."""
    clock.ahead()
    wrong = stopped(nights)
    clock.ahead(timedelta())
    last = stopped(nights)
    with closing(sqlite3.connect(nights.state)) as state, state:
        state.execute("UPDATE runs SET state = 'applying' WHERE run_id = ?", (wrong,))

    assert nights.shell("resume", "--json").json["run_id"] == last
