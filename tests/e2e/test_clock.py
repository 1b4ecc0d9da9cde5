"""This machine's clock is wrong, or nothing tells whether it is: nobody is switched off, or held back, because of it."""

import os
import time
from datetime import datetime
from typing import Any

import pytest

from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import StateReader
from tests.conftest import Result, Shell
from tests.e2e.clocks import Clock, a_clock
from tests.e2e.nights import NIGHT, Nights
from tests.e2e.profiles import under_one_profile

pytestmark = under_one_profile

LONG_AGO = 1_700_000_000
SWITCH_OFF = ("--set", "policy.unmanaged=deactivate", "--set", "policy.unmanaged_scope=all")
APPLY = ("apply", "--yes")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """This machine's clock."""
    return a_clock(monkeypatch)


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox) -> Nights:
    """An app with one user of the export, and one who left long ago."""
    load(sandbox, "user-1", "left")
    return Nights(shell, sandbox)


def load(sandbox: Sandbox, *uids: str, **but: Any) -> None:
    """Put users into the directory who have been there for long."""
    known = {"name": "Same", "avatar": "https://img.example.com/1.png", "createdAt": LONG_AGO}
    sandbox.load_users({"uid": uid, **known, **but} for uid in uids)


def export(nights: Nights, clock: Clock, *, age_s: int = 0, name: str = "Same") -> None:
    """Write an export of `user-1`, so many seconds ago, by this machine's clock."""
    nights.write(1, name=name)
    moment = int(time.time() + clock.ahead_s) - age_s  # noqa: TID251 - the time of a file
    os.utime(nights.shell.folder / "users.csv", (moment, moment))


def is_active(sandbox: Sandbox, uid: str) -> bool:
    """Whether a user of the directory may log in."""
    return "deactivatedAt" not in sandbox.users()[uid]


def notes(result: Result) -> str:
    """What the report remarks."""
    return " ".join(result.json["notes"])


def needs(result: Result) -> str:
    """What the report asks a person for."""
    return " ".join(result.json["needs"])


# Who signs up during the run


@pytest.mark.parametrize("source", ["file", "query"])
@pytest.mark.parametrize("ahead_s", [0, 0.6, -0.6, 3, -3, 240, -240, 7200, -7200])
def test_who_signs_up_during_the_run_is_never_switched_off(
    nights: Nights, sandbox: Sandbox, clock: Clock, ahead_s: float, source: str
) -> None:
    """Whatever this machine's clock says; who left long ago goes, unless the clock is far off."""
    clock.ahead_s = ahead_s
    export(nights, clock)
    flags: tuple[str, ...] = ()
    if source == "query":
        (nights.shell.folder / "reconcile.toml").write_text(
            (nights.shell.folder / "reconcile.toml").read_text().replace('location = "users.csv"', "")
        )
        row = "select 'user-1' as id, 'Same' as name, '' as plan, 'https://img.example.com/1.png' as avatar"
        flags = ("--source", "sqlite:///:memory:", "--query", row)
    sandbox.fault("mutate_directory", path="/users", nth=1, create=1)
    is_far = abs(ahead_s) > 300
    result = nights.shell(*APPLY, "--json", *SWITCH_OFF, *flags)

    assert result.code == (5 if is_far else 0), result.err
    assert (is_active(sandbox, "stranger-1"), is_active(sandbox, "left")) == (True, is_far)
    assert abs(result.json["clock_ahead_s"] - ahead_s) <= 1


# Far off, or not to be told


def test_beyond_five_minutes_deactivations_are_held_and_the_rest_goes_on(
    nights: Nights, sandbox: Sandbox, clock: Clock
) -> None:
    """The report says why, and what to do."""
    load(sandbox, "user-1", name="Old name")
    clock.ahead_s = 600
    export(nights, clock)
    result = nights.shell(*APPLY, "--json", *SWITCH_OFF)

    assert (result.code, result.json["outcomes"]["held"], result.json["outcomes"]["applied"]) == (5, 1, 1)
    assert is_active(sandbox, "left")
    assert (
        "this machine's clock is 10 minutes ahead of CometChat's, and more than 5 minutes are too much"
        in needs(result)
    )
    assert "all comparisons take that into account; set this machine's clock" in notes(result)


@pytest.mark.parametrize("fault", [{}, {"date": "yesterday"}, {"date": "Thu, 01 Jan 1970 00:00:00 GMT"}])
def test_where_no_answer_tells_the_time_deactivations_are_held(
    nights: Nights, sandbox: Sandbox, clock: Clock, fault: dict[str, Any]
) -> None:
    """No header, no date, or one that cannot be."""
    sandbox.fault("wrong_date", **fault)
    export(nights, clock, age_s=60)
    result = nights.shell(*APPLY, "--json", *SWITCH_OFF)

    assert (result.code, is_active(sandbox, "left")) == (5, True)
    assert result.json["clock_ahead_s"] is None
    assert "no answer of CometChat had a usable Date" in notes(result)


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_one_answer_from_a_cache_changes_nothing(nights: Nights, sandbox: Sandbox, clock: Clock, nth: int) -> None:
    """It bears the date of yesterday."""
    sandbox.fault("wrong_date", off_s=-NIGHT, nth=nth)
    export(nights, clock, age_s=60)
    result = nights.shell(*APPLY, "--json", *SWITCH_OFF)

    assert (result.code, is_active(sandbox, "left")) == (0, False)
    assert result.json["clock_ahead_s"] == 0


def test_a_person_who_saw_why_may_release_them(nights: Nights, sandbox: Sandbox, clock: Clock) -> None:
    """As every other class that is held: by the command that the plan names."""
    clock.ahead_s = 600
    export(nights, clock)
    plan = nights.shell("plan", "--json", *SWITCH_OFF)
    command = plan.json["guards"]["deactivate"]["release"]
    applied = nights.shell(*command.split()[1:], "--yes", "--json", *SWITCH_OFF)

    assert (plan.json["plan"]["held"], applied.code) == (1, 0)
    assert not is_active(sandbox, "left")


# Plans and runs that go on later


def test_the_clock_is_looked_at_again_when_a_plan_is_applied(
    nights: Nights, sandbox: Sandbox, clock: Clock
) -> None:
    """It was right when the plan was made; once it is right again, the command that the report names goes on."""
    export(nights, clock, age_s=60)
    plan = nights.shell("plan", "--json", *SWITCH_OFF)
    clock.ahead_s = 600
    held = nights.shell("apply", plan.json["run_id"], "--yes", "--json", *SWITCH_OFF)
    was_active = is_active(sandbox, "left")
    clock.ahead_s = 0
    command = next(need.rpartition("reconcile ")[2] for need in held.json["needs"] if "then: reconcile" in need)
    applied = nights.shell(*command.split(), "--yes", "--json", *SWITCH_OFF)

    assert (plan.json["plan"]["held"], held.code, held.json["outcomes"]["held"], was_active) == (0, 5, 1, True)
    assert (applied.code, is_active(sandbox, "left")) == (0, False)


def test_the_clock_is_looked_at_again_when_a_run_is_resumed(
    nights: Nights, sandbox: Sandbox, clock: Clock
) -> None:
    """What the run had planned under a right clock ends held under a wrong one."""
    load(sandbox, "user-1", name="Old name")
    export(nights, clock, age_s=60)
    sandbox.fault("revoke_key", method="PUT", nth=1)
    stopped = nights.shell(*APPLY, "--json", *SWITCH_OFF)
    sandbox.restore_key()
    clock.ahead_s = -600
    resumed = nights.shell("resume", "--json")

    assert (stopped.code, resumed.code, resumed.json["outcomes"]["held"]) == (8, 5, 1)
    assert is_active(sandbox, "left")
    assert sandbox.users()["user-1"]["name"] == "Same"
    assert "deactivations are held: this machine's clock is 10 minutes behind CometChat's" in needs(resumed)


def test_who_comes_between_plan_and_apply_stays_on(nights: Nights, sandbox: Sandbox, clock: Clock) -> None:
    """The clock is four minutes ahead, and the user came back two minutes after the export."""
    clock.ahead_s = 240
    export(nights, clock, age_s=180)
    plan = nights.shell("plan", "--json", *SWITCH_OFF)
    load(sandbox, "left", updatedAt=int(time.time()) - 60)  # noqa: TID251 - by CometChat's clock
    applied = nights.shell("apply", plan.json["run_id"], "--yes", "--json", *SWITCH_OFF)

    assert (plan.json["plan"]["deactivate"], applied.json["outcomes"]["skipped"]) == (1, 1)
    assert is_active(sandbox, "left")


# Everything else that two clocks are held against


@pytest.mark.parametrize("ahead_s", [240, -240, 7200, -7200])
@pytest.mark.parametrize(("since_s", "is_left"), [(-90, False), (90, True)])
def test_a_change_is_newer_by_cometchats_clock(
    nights: Nights,
    sandbox: Sandbox,
    clock: Clock,
    ahead_s: int,
    since_s: int,
    is_left: bool,  # noqa: FBT001
) -> None:
    """Somebody changed the user shortly before or after the export, which is ten minutes old."""
    clock.ahead_s = ahead_s
    export(nights, clock, age_s=600)
    changed = int(time.time()) - 600 + since_s  # noqa: TID251 - by CometChat's clock
    load(sandbox, "user-1", name="Another", updatedAt=changed)
    result = nights.shell(*APPLY, "--json", "--set", "policy.newer=skip")
    explained = nights.shell("explain", "user-1", "--json", "--set", "policy.newer=skip")

    assert result.json["plan"]["update"] == (not is_left)
    assert abs(datetime.fromisoformat(result.json["source"]["as_of"]).timestamp() - (changed - since_s)) <= 2
    assert ("after the export was made" in explained.out) is is_left


def test_a_time_that_the_settings_give_is_not_shifted(nights: Nights, sandbox: Sandbox, clock: Clock) -> None:
    """Nor is it refused as of times to come, because a clock is behind."""
    given = int(time.time()) - 60  # noqa: TID251 - the right time
    clock.ahead_s = -1200
    export(nights, clock)
    as_of = ("--set", f"source.as_of={datetime.fromtimestamp(given).astimezone().isoformat()}")
    result = nights.shell("plan", "--json", *as_of)

    assert result.code == 0, result.err
    assert datetime.fromisoformat(result.json["source"]["as_of"]).timestamp() == given


@pytest.mark.parametrize("ahead_s", [3 * NIGHT, -3 * NIGHT, 12 * 365 * NIGHT])
def test_a_night_with_a_wrong_clock_makes_no_later_export_look_old(
    nights: Nights, clock: Clock, ahead_s: int
) -> None:
    """Nor does a right one before it make its own look old."""
    codes = []
    for wrong_s in (0, ahead_s, 0, ahead_s, 0):
        clock.ahead_s = wrong_s
        export(nights, clock)
        codes.append(nights.shell("plan", "--json").code)

    assert codes == [0] * 5
    times = [baseline.as_of_unix_s or 0 for baseline in StateReader(nights.state).baselines()]
    assert max(times) - min(times) < 600


def test_an_export_is_old_by_cometchats_clock_where_no_answer_told_it_then(
    nights: Nights, sandbox: Sandbox, clock: Clock
) -> None:
    """A night of times to come is no measure: its clock was wrong, and nothing said so."""
    sandbox.fault("wrong_date")
    clock.ahead_s = 3 * NIGHT
    export(nights, clock)
    first = nights.shell("plan", "--json")
    sandbox.clear_faults()
    clock.ahead_s = 0
    export(nights, clock)
    then = nights.shell("plan", "--json")
    export(nights, clock, age_s=NIGHT)
    older = nights.shell("plan", "--json")

    assert (first.code, then.code, older.code) == (0, 0, 6)
    assert "as_of_behind" in older.json["error"]["message"]


# Doctor


@pytest.mark.parametrize(
    ("ahead_s", "level", "code"), [(0, "ok", 0), (60, "warn", 0), (-60, "warn", 0), (600, "fail", 5)]
)
def test_doctor_says_how_far_the_clock_is_off(
    nights: Nights, clock: Clock, ahead_s: int, level: str, code: int
) -> None:
    """With a remedy where it matters."""
    clock.ahead_s = ahead_s
    export(nights, clock)
    result = nights.shell("doctor", "--json")
    (finding,) = [found for found in result.json["findings"] if found["what"] == "clock"]

    assert (finding["level"], result.code) == (level, code)
    assert bool(finding["remedy"]) is (level != "ok")


def test_doctor_says_that_no_answer_tells_the_time(nights: Nights, sandbox: Sandbox, clock: Clock) -> None:
    """And what that means."""
    sandbox.fault("wrong_date")
    export(nights, clock)
    result = nights.shell("doctor", "--json")
    (finding,) = [found for found in result.json["findings"] if found["what"] == "clock"]

    assert (finding["level"], result.code) == ("warn", 0)
    assert "no user is deactivated" in finding["words"]
