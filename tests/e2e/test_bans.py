"""Promises about users that others deactivate or make anew: no run of ours lifts a ban or touches another's user."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.nights import Nights
from tests.e2e.profiles import under_one_profile

APPLY = ("apply", "--yes", "--accept-source", "--accept-mapping")
OFF = ("--set", "policy.unmanaged=deactivate", "--set", "policy.unmanaged_scope=all")
ON = ("--set", "policy.deactivated=reactivate")
LONG_AGO = 1_600_000_000


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox) -> Nights:
    """Three users that the export has, too."""
    nights = Nights(shell, sandbox)
    put(sandbox, *(f"user-{number}" for number in (1, 2, 3)))
    return nights


def put(sandbox: Sandbox, *uids: str, **but: Any) -> None:
    """Put users into the directory as somebody else would, whatever was there."""
    known = {"name": "Same", "role": "default", "avatar": "https://img.example.com/1.png", "createdAt": LONG_AGO}
    sandbox.load_users({"uid": uid, **known, **but} for uid in uids)


def ban(sandbox: Sandbox, uid: str, at: int) -> None:
    """Switch a user on and off again, as support and then a moderator do."""
    sandbox.load_users([{**sandbox.users()[uid], "deactivatedAt": at}])


def since(sandbox: Sandbox, uid: str) -> int | None:
    """Since when a user is deactivated, in unix seconds."""
    found: int | None = sandbox.users()[uid].get("deactivatedAt")
    return found


def sql(state: Path, text: str) -> list[Any]:
    """Run a statement on the state file."""
    with closing(sqlite3.connect(state)) as connection, connection:
        return connection.execute(text).fetchall()


def switched_off(nights: Nights) -> str:
    """Switch user-3 off, as it left the export; gives the run."""
    return str(nights.run(2, *OFF, command=APPLY).json["run_id"])


def test_a_ban_of_a_user_that_we_deactivated_before_is_not_lifted(nights: Nights, sandbox: Sandbox) -> None:
    """Support took the user back, a moderator banned it, and it is in the export again."""
    switched_off(nights)
    banned = (since(sandbox, "user-3") or 0) + 5
    ban(sandbox, "user-3", banned)
    night = nights.run(3, *ON, command=APPLY)

    assert since(sandbox, "user-3") == banned
    assert night.json["plan"]["reactivate"] == 0
    assert "reactivate_foreign=1" in " ".join(night.json["notes"])


def test_a_user_that_we_deactivated_comes_back(nights: Nights, sandbox: Sandbox) -> None:
    """Under every way in which the service shows deactivated users."""
    switched_off(nights)
    night = nights.run(3, *ON, command=APPLY)

    assert since(sandbox, "user-3") is None
    assert night.json["outcomes"]["applied"] == 1


def test_a_ban_between_plan_and_apply_is_not_lifted(nights: Nights, sandbox: Sandbox) -> None:
    """The plan says since when the user is deactivated, and the look before the write finds another date."""
    switched_off(nights)
    plan = nights.run(3, *ON, "--accept-source").json["run_id"]
    banned = (since(sandbox, "user-3") or 0) + 5
    ban(sandbox, "user-3", banned)
    applied = nights.shell("apply", plan, "--yes", "--json", *ON)

    assert (applied.code, applied.json["outcomes"]["skipped"]) == (4, 1), applied.out
    assert since(sandbox, "user-3") == banned
    assert "deactivated by another" in nights.shell.latest("changes.csv").read_text("utf-8")


@under_one_profile
def test_a_create_that_meets_a_ban_does_not_lift_it(nights: Nights, sandbox: Sandbox) -> None:
    """Where no walk shows deactivated users, only the create finds out that the uid is taken."""
    switched_off(nights)
    ban(sandbox, "user-3", (since(sandbox, "user-3") or 0) + 5)
    sandbox.switch(deactivated_flags="ignored", default_list="active", get_deactivated="404")
    night = nights.run(3, *ON, command=APPLY, code=4)

    assert since(sandbox, "user-3")
    assert night.json["outcomes"]["applied"] == 0


@under_one_profile
def test_a_deactivation_of_an_older_version_is_ours_within_its_run_only(nights: Nights, sandbox: Sandbox) -> None:
    """It kept no date: a few minutes before or after the run are allowed, for the clocks."""
    switched_off(nights)
    for table in ("left_by_us", "intent_times", "run_numbers"):
        sql(nights.state, f"DROP TABLE {table}")
    ours = since(sandbox, "user-3") or 0
    ban(sandbox, "user-3", ours + 3_600)
    later = nights.run(3, *ON, "--accept-source").json
    ban(sandbox, "user-3", ours - 120)
    within = nights.run(3, *ON, "--accept-source").json

    assert (later["plan"]["reactivate"], within["plan"]["reactivate"]) == (0, 1)


@under_one_profile
def test_a_run_without_deactivations_reads_nothing_back(nights: Nights, sandbox: Sandbox) -> None:
    """And one deactivation costs one request more."""
    quiet = nights.run(3, command=APPLY).json["requests"]["applying"]
    sandbox.clear_log()
    switched_off(nights)
    read = [entry for entry in sandbox.log() if "onlyDeactivated" in str(entry) and "searchKey" in str(entry)]

    assert quiet == 0
    assert len(read) == 1


def test_undo_lifts_no_ban(nights: Nights, sandbox: Sandbox) -> None:
    """It switches on only where the deactivation is the one of the run; the rest is listed."""
    run = switched_off(nights)
    banned = (since(sandbox, "user-3") or 0) + 5
    ban(sandbox, "user-3", banned)
    undone = nights.shell("undo", run, "--yes", "--json")

    assert since(sandbox, "user-3") == banned
    assert "user-3 (deactivated by another since)" in " ".join(undone.json["notes"])


def test_undo_switches_on_whom_the_run_switched_off(nights: Nights, sandbox: Sandbox) -> None:
    """Nobody else touched the user."""
    run = switched_off(nights)
    undone = nights.shell("undo", run, "--yes", "--json")

    assert (undone.code, since(sandbox, "user-3")) == (0, None), undone.out


@pytest.mark.parametrize("made", [LONG_AGO, 2_000_000_000], ids=["with an older date", "with a newer date"])
def test_undo_leaves_a_user_that_was_made_anew(nights: Nights, sandbox: Sandbox, made: int) -> None:
    """The one that the run created was deleted for good, and the app made another under its uid."""
    run = nights.run(4, command=APPLY).json["run_id"]
    put(sandbox, "user-4", createdAt=made)
    undone = nights.shell("undo", run, "--yes", "--json")

    assert since(sandbox, "user-4") is None
    assert "user-4 (another user, made anew since)" in " ".join(undone.json["notes"])


def test_undo_writes_no_old_value_to_a_user_that_was_made_anew(nights: Nights, sandbox: Sandbox) -> None:
    """Also where the new user holds the very value that the run wrote to the old one."""
    put(sandbox, "user-1", name="Old")
    run = nights.run(3, command=APPLY).json["run_id"]
    put(sandbox, "user-1", createdAt=2_000_000_000)
    undone = nights.shell("undo", run, "--yes", "--json")

    assert sandbox.users()["user-1"]["name"] == "Same"
    assert "another user, made anew since" in " ".join(undone.json["notes"])


@under_one_profile
def test_a_create_of_which_no_date_was_kept_is_compared_with_its_last_write(
    nights: Nights, sandbox: Sandbox
) -> None:
    """An older version kept only the time of the record after the write: a younger record is another's."""
    run = nights.run(5, command=APPLY).json["run_id"]
    for table in ("left_by_us", "intent_times"):
        sql(nights.state, f"DROP TABLE {table}")
    put(sandbox, "user-4", createdAt=2_000_000_000)
    nights.shell("undo", run, "--yes", "--json")

    assert since(sandbox, "user-4") is None
    assert since(sandbox, "user-5") is not None


@under_one_profile
def test_a_user_made_anew_between_the_plan_and_its_write_is_left(nights: Nights, sandbox: Sandbox) -> None:
    """An undo that was stopped is resumed after somebody deleted the user and made another one."""
    run = nights.run(4, command=APPLY).json["run_id"]
    sandbox.fault("status", method="DELETE", path="/users", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", times=99)
    stopped = nights.shell("undo", run, "--yes", "--json")
    sandbox.clear_faults()
    put(sandbox, "user-4", createdAt=int(time.time()) + 60)  # noqa: TID251 - by the clock of the sandbox
    resumed = nights.shell("resume", "--json")

    assert (stopped.code, resumed.code) == (8, 4), (stopped.out, resumed.out)
    assert since(sandbox, "user-4") is None
    assert "another user" in nights.shell.latest("changes.csv").read_text("utf-8")


@under_one_profile
@pytest.mark.parametrize("command", [("resume",), APPLY], ids=["resume", "a new run"])
def test_a_ban_after_a_kill_is_not_taken_for_what_the_run_had_begun(
    nights: Nights, sandbox: Sandbox, command: tuple[str, ...]
) -> None:
    """The request never arrived. A moderator bans the user long after, and the run that settles it finds it off."""
    run = switched_off(nights)
    sql(nights.state, f"DELETE FROM outcomes WHERE run_id = '{run}'")  # noqa: S608 - our own id
    sql(nights.state, f"DELETE FROM left_by_us WHERE run_id = '{run}'")  # noqa: S608 - our own id
    sql(nights.state, f"UPDATE runs SET state = 'applying', exit_code = NULL WHERE run_id = '{run}'")  # noqa: S608
    banned = (since(sandbox, "user-3") or 0) + 7_200
    ban(sandbox, "user-3", banned)
    nights.shell(*command, "--json")
    night = nights.run(3, *ON, command=APPLY)

    assert (night.json["plan"]["reactivate"], since(sandbox, "user-3")) == (0, banned)
