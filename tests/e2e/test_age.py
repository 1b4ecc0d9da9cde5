"""What is too old is not carried out: a plan, and a run that was stopped long ago; unless a person says so."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Result, Shell
from tests.e2e.clocks import Clock, a_clock
from tests.e2e.nights import NIGHT, Nights
from tests.e2e.profiles import under_one_profile

pytestmark = under_one_profile

APPLY = ("apply", "--yes")
HOUR = 3600


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """This machine's clock."""
    return a_clock(monkeypatch)


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox) -> Nights:
    """An app of ten users, each with an older name than the export."""
    avatar = "https://img.example.com/1.png"
    users = (
        {"uid": f"user-{n}", "name": "Old", "avatar": avatar, "createdAt": 1_700_000_000} for n in range(1, 11)
    )
    sandbox.load_users(users)
    return Nights(shell, sandbox)


def stopped(nights: Nights, sandbox: Sandbox) -> Result:
    """A run that ended after some writes, with the rest undone."""
    sandbox.fault("revoke_key", method="PUT", nth=4)
    result = nights.run(10, command=APPLY, code=8)
    sandbox.restore_key()
    sandbox.clear_faults()
    return result


def names(sandbox: Sandbox) -> list[str]:
    """The names of the directory's users."""
    return [user["name"] for user in sandbox.users().values()]


def rewrite(nights: Nights, *statements: str) -> None:
    """Change the state file as time, or another version, would have left it."""
    with closing(sqlite3.connect(nights.state)) as state, state:
        for statement in statements:
            state.execute(statement)


def kept(nights: Nights, run_id: str) -> tuple[Any, ...]:
    """What is known of a run: its row, its outcomes and its report."""
    with closing(sqlite3.connect(nights.state)) as state:
        row = state.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchall()
        outcomes = state.execute("SELECT * FROM outcomes WHERE run_id = ?", (run_id,)).fetchall()
    return row, outcomes, (nights.shell.folder / "runs" / run_id / "report.json").read_bytes()


def test_a_run_that_was_stopped_long_ago_is_not_resumed(nights: Nights, sandbox: Sandbox, clock: Clock) -> None:
    """Since then 66 users got newer names, once. The run stays as it is, and may go on when a person says so."""
    run_id = stopped(nights, sandbox).json["run_id"]
    before, known = names(sandbox), kept(nights, run_id)
    clock.ahead_s = 90 * NIGHT
    refused = nights.shell("resume", "--json")
    after = names(sandbox), kept(nights, run_id)
    (error,) = json.loads(refused.out)["errors"]
    command = error["hint"].rpartition("reconcile ")[2]
    resumed = nights.shell(*command.split(), "--json")

    assert refused.code == 2
    assert f"run {run_id} is too old to be resumed: its last write was 90 days ago" in error["message"]
    assert after == (before, known)
    assert (resumed.code, resumed.json["run_id"], set(names(sandbox))) == (0, run_id, {"Same"})


def test_it_is_the_last_write_that_counts(nights: Nights, sandbox: Sandbox, clock: Clock) -> None:
    """A long migration stops at its deadline each night and goes on in the next, for weeks."""
    run_id = stopped(nights, sandbox).json["run_id"]
    for night in range(1, 4):
        clock.ahead_s = night * 20 * HOUR
        sandbox.fault("revoke_key", method="PUT", nth=2)
        assert nights.shell("resume", "--json").code == 8
        sandbox.restore_key()
        sandbox.clear_faults()
    clock.ahead_s = 80 * HOUR
    finished = nights.shell("resume", "--json")

    assert (finished.code, finished.json["run_id"], set(names(sandbox))) == (0, run_id, {"Same"})


@pytest.mark.parametrize(("hours", "code"), [(23, 0), (25, 2), (-23, 0), (-25, 2)])
def test_a_day_is_the_usual_limit(nights: Nights, sandbox: Sandbox, clock: Clock, hours: int, code: int) -> None:
    """Also where the last write seems to be yet to come: a wrong clock dated it, and nobody knows its age."""
    stopped(nights, sandbox)
    clock.ahead_s = hours * HOUR

    assert nights.shell("resume", "--json").code == code


@pytest.mark.parametrize(("age", "code"), [("none", 0), ("91d", 0), ("80d", 2)])
def test_the_limit_is_that_of_today(nights: Nights, sandbox: Sandbox, clock: Clock, age: str, code: int) -> None:
    """Whatever it was when the run began."""
    stopped(nights, sandbox)
    clock.ahead_s = 90 * NIGHT

    assert nights.shell("resume", "--json", "--set", f"policy.plan_max_age={age}").code == code


@pytest.mark.parametrize("forget", ["DROP TABLE last_writes", "DELETE FROM last_writes"])
@pytest.mark.parametrize("ended", ["finished_at", "started_at"])
def test_a_run_of_an_older_version_counts_from_its_end_or_its_start(
    nights: Nights, sandbox: Sandbox, forget: str, ended: str
) -> None:
    """It dated no write; one that was killed has no end."""
    stopped(nights, sandbox)
    rewrite(nights, forget, "UPDATE runs SET finished_at = NULL" if ended == "started_at" else "SELECT 1")
    began = nights.shell("runs", "--json").json["runs"][0]["started_at"]
    rewrite(nights, f"UPDATE runs SET {ended} = '2026-01-01T00:00:00+00:00'")  # noqa: S608 - our own words
    refused = nights.shell("resume", "--json")
    rewrite(nights, f"UPDATE runs SET {ended} = '{began}'")  # noqa: S608 - the same
    resumed = nights.shell("resume", "--json")

    assert (refused.code, resumed.code) == (2, 0)


def test_a_run_that_wrote_nothing_counts_from_its_plan(nights: Nights, sandbox: Sandbox, clock: Clock) -> None:
    """It was killed between its plan and its first write."""
    run_id = stopped(nights, sandbox).json["run_id"]
    rewrite(nights, "DELETE FROM intents", "DELETE FROM outcomes", "DELETE FROM last_writes")
    clock.ahead_s = 25 * HOUR
    refused = nights.shell("resume", "--json")
    clock.ahead_s = 23 * HOUR
    resumed = nights.shell("resume", "--json")

    assert f"run {run_id} is too old to be resumed: its plan was made 25 hours ago" in refused.out
    assert (refused.code, resumed.code) == (2, 0)


def test_a_run_without_a_plan_plans_again_however_old_it_is(
    nights: Nights, sandbox: Sandbox, clock: Clock
) -> None:
    """It has nothing that could be too old."""
    run_id = stopped(nights, sandbox).json["run_id"]
    rewrite(nights, "DELETE FROM intents", "DELETE FROM outcomes", "UPDATE runs SET state = 'planning'")
    (nights.shell.folder / "runs" / run_id / "plan.jsonl.gz").unlink()
    clock.ahead_s = 90 * NIGHT

    assert nights.shell("resume", "--json").code == 0


def test_a_new_apply_takes_the_place_of_a_run_that_is_too_old(
    nights: Nights, sandbox: Sandbox, clock: Clock
) -> None:
    """As of every other that was not finished."""
    run_id = stopped(nights, sandbox).json["run_id"]
    clock.ahead_s = 90 * NIGHT
    refused = nights.shell("resume")
    applied = nights.shell(*APPLY, "--json")
    again = nights.shell("resume")

    assert (refused.code, applied.code, again.out) == (2, 0, "Nothing to finish.\n")
    assert f"run {run_id} was not finished" in " ".join(applied.json["notes"])


def test_a_plan_that_is_too_old_is_applied_when_a_person_says_so(
    nights: Nights, sandbox: Sandbox, clock: Clock
) -> None:
    """By the command that the refusal names; named by its path, too."""
    plan = nights.run(10)
    clock.ahead_s = 25 * HOUR
    path = nights.shell.folder / "copy.gz"
    path.write_bytes(nights.shell.latest("plan.jsonl.gz").read_bytes())
    copy = nights.shell("apply", str(path), "--yes", "--json")
    refused = nights.shell("apply", plan.json["run_id"], "--yes", "--json")
    unchanged = names(sandbox)
    command = refused.json["error"]["hint"].rpartition("reconcile ")[2]
    applied = nights.shell(*command.split(), "--yes", "--json")

    assert (copy.code, refused.code, set(unchanged)) == (2, 2, {"Old"})
    assert f"reconcile apply {path} --accept-age" in copy.json["error"]["hint"]
    assert (applied.code, set(names(sandbox))) == (0, {"Same"})


def test_an_age_that_is_accepted_accepts_no_other_settings(nights: Nights, clock: Clock) -> None:
    """And a plan of others is not offered to be applied as it is."""
    plan = nights.run(10)
    clock.ahead_s = 25 * HOUR
    flags = ("--yes", "--json", "--set", "policy.empty=keep")
    refused = nights.shell("apply", plan.json["run_id"], *flags)
    accepted = nights.shell("apply", plan.json["run_id"], *flags, "--accept-age")

    assert (refused.code, accepted.code) == (2, 2)
    assert "--accept-age" not in refused.json["error"]["hint"]
    assert "older than" not in accepted.json["error"]["message"]
