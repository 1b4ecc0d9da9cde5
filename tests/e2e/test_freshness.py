"""Users that changed in CometChat after the export was made: never undone or switched off unnoticed."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Result, Shell
from tests.e2e.nights import Nights
from tests.e2e.profiles import under_one_profile
from tests.e2e.test_interrupted import _wait_until

SKIP = ("--set", "policy.newer=skip")
SWITCH_OFF = ("--set", "policy.unmanaged=deactivate", "--set", "policy.unmanaged_scope=all")
APPLY = ("apply", "--yes")
LONG_AGO = 1_700_000_000


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox) -> Nights:
    """A job whose exports are an hour old when it runs."""
    nights = Nights(shell, sandbox, age_s=3600)
    sandbox.set_clock(nights.moment(0) + 3600)
    return nights


def load(nights: Nights, *uids: str, **but: Any) -> None:
    """Put users into the directory who have been there for long."""
    known = {"name": "Same", "avatar": "https://img.example.com/1.png", "createdAt": LONG_AGO}
    nights.sandbox.load_users({"uid": uid, **known, **but} for uid in uids)


def just_now(nights: Nights, seconds: int = 60) -> int:
    """A time after the export and before the run."""
    return nights.moment(0) + seconds


def notes(result: Result) -> str:
    """What the report remarks."""
    return " ".join(result.json["notes"])


def needs(result: Result) -> str:
    """What the report asks a person for."""
    return " ".join(result.json["needs"])


def is_active(nights: Nights, uid: str) -> bool:
    """Whether a user of the directory may log in."""
    return "deactivatedAt" not in nights.sandbox.users()[uid]


# Switched off


@pytest.mark.parametrize("changed", ["createdAt", "updatedAt"])
def test_who_came_or_changed_after_the_export_is_not_deactivated(nights: Nights, changed: str) -> None:
    """The export is too old to know; who left long ago goes."""
    load(nights, "user-1", "left")
    load(nights, "fresh", **{changed: just_now(nights)})
    result = nights.run(1, *SWITCH_OFF, command=APPLY)

    assert result.json["outcomes"]["applied"] == result.json["plan"]["deactivate"] == 1
    assert (is_active(nights, "left"), is_active(nights, "fresh")) == (False, True)
    assert "1 users outside the source were created or changed in CometChat after" in notes(result)


@pytest.mark.parametrize("changed", ["createdAt", "updatedAt"])
def test_who_came_or_changed_after_a_plan_is_not_deactivated_by_it(nights: Nights, changed: str) -> None:
    """A saved plan is applied later; by then the user may have come back, under the same uid."""
    load(nights, "user-1", "left", "back")
    plan = nights.run(1, *SWITCH_OFF)
    load(nights, "back", **{changed: nights.moment(0) + 7200})
    result = nights.shell("apply", plan.json["run_id"], "--yes", "--json", *SWITCH_OFF)

    assert plan.json["plan"]["deactivate"] == 2
    assert (result.code, result.json["outcomes"]["skipped"]) == (4, 1)
    assert (is_active(nights, "left"), is_active(nights, "back")) == (False, True)
    assert "newer: created or changed" in nights.shell.latest("changes.csv").read_text()


# Updated or left


@under_one_profile
def test_a_role_that_is_lowered_after_it_was_perhaps_bought_is_named(nights: Nights) -> None:
    """Applied as the policy says, and nobody can miss it."""
    load(nights, "user-1", role="premium", updatedAt=just_now(nights))
    load(nights, "user-2", role="premium")
    load(nights, "user-3", name="Old name", updatedAt=just_now(nights))
    result = nights.run(3, command=APPLY, plan="default")

    assert nights.sandbox.users()["user-1"]["role"] == "default"
    assert "2 drifted users changed in CometChat after the export was made, 1 of them differ in role" in notes(
        result
    )
    assert "they are updated as the export says" in notes(result)
    assert "user-1 (premium -> default); a role that was bought since would be undone" in needs(result)
    assert "user-2" not in needs(result)
    assert "user-1 (premium -> default)" in nights.shell.latest("report.md").read_text().replace("&gt;", ">")


@under_one_profile
def test_with_skip_they_are_left_and_counted(nights: Nights) -> None:
    """The next export knows them."""
    load(nights, "user-1", role="premium", updatedAt=just_now(nights))
    load(nights, "user-2", role="premium", updatedAt=just_now(nights, -60))
    result = nights.run(2, *SKIP, command=APPLY, plan="default")

    assert (result.json["drift"]["drifted"], result.json["plan"]["update"]) == (2, 1)
    assert {uid: user["role"] for uid, user in nights.sandbox.users().items()} == {
        "user-1": "premium",
        "user-2": "default",
    }
    assert "1 of them differ in role; they are left as they are" in notes(result)
    assert "bought" not in needs(result)


@pytest.mark.parametrize(("flags", "code", "outcome"), [(SKIP, 4, "skipped"), ((), 0, "applied")])
def test_who_changes_between_plan_and_write_is_newer_too(
    nights: Nights, flags: tuple[str, ...], code: int, outcome: str
) -> None:
    """The look right before the write sees it."""
    load(nights, "user-1", name="Old name")
    nights.sandbox.fault("mutate_directory", method="GET", path="/users/*", rename=1)
    result = nights.run(1, *flags, command=APPLY, code=code)

    assert result.json["outcomes"][outcome] == 1
    assert ("renamed" in nights.sandbox.users()["user-1"]["name"]) is (outcome == "skipped")


# By our own hands


def drifted_again(nights: Nights, rows: int) -> Result:
    """Plan over an export of the same moment in which everybody has another name."""
    return nights.run(rows, *SKIP, name="Corrected")


def test_our_own_writes_are_not_newer(nights: Nights) -> None:
    """Created and updated by us after the export, and by nobody since."""
    load(nights, "user-1", "user-2", name="Old name")
    nights.run(4, *SKIP, command=APPLY)
    again = drifted_again(nights, 4)

    assert again.json["plan"]["update"] == 4
    assert "changed in CometChat after" not in notes(again)


def test_what_others_do_after_our_own_write_is_newer(nights: Nights) -> None:
    """Ours was not the last."""
    load(nights, "user-1", "user-2", name="Old name")
    nights.run(2, *SKIP, command=APPLY)
    load(nights, "user-2", updatedAt=nights.moment(0) + 7200)

    assert drifted_again(nights, 2).json["plan"]["update"] == 1


def test_two_changes_of_one_user_do_not_stand_in_each_others_way(nights: Nights) -> None:
    """The second meets a record that the first one moved, after the export."""
    load(nights, "user-1", name="Old name", role="premium")
    result = nights.run(1, *SKIP, command=APPLY, plan="moderator", avatar="")

    assert result.json["plan"]["update"] == result.json["outcomes"]["applied"] == 3


def test_a_saved_plan_that_is_applied_later_leaves_writes_of_our_own(nights: Nights) -> None:
    """The applying run is another than the planning one."""
    load(nights, "user-1", "user-2", name="Old name")
    plan = nights.run(3, *SKIP)
    nights.sandbox.advance(3600)
    applied = nights.shell("apply", plan.json["run_id"], "--yes", "--json", *SKIP)

    assert applied.json["outcomes"]["applied"] == 3
    assert drifted_again(nights, 3).json["plan"]["update"] == 3


@pytest.mark.parametrize("ending", ["resume", "superseded"])
def test_a_write_that_a_kill_left_open_is_our_own(nights: Nights, ending: str) -> None:
    """Whether it is resumed, or settled by the next run's look."""
    uids = [f"user-{number}" for number in range(1, 41)]
    load(nights, *uids, name="Old name")
    nights.write(50)
    nights.sandbox.fault("latency", low_ms=2, high_ms=8)
    process = subprocess.Popen(
        [sys.executable, "-m", "reconcile", *APPLY, *SKIP],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ),
    )  # fmt: skip
    _wait_until(lambda: nights.sandbox.counters().writes >= 20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    nights.sandbox.clear_faults()
    finished = nights.shell("resume", "--json") if ending == "resume" else nights.run(50, *SKIP, command=APPLY)
    again = drifted_again(nights, 50)

    assert (finished.code, again.json["plan"]["update"]) == (0, 50)
    assert "changed in CometChat after" not in notes(again)


def test_what_was_taken_and_did_not_stick_is_our_own_touch(nights: Nights) -> None:
    """The record moved, and nobody else moved it."""
    load(nights, "user-1", "user-2", name="Old name")
    nights.sandbox.switch(empty_tags="ignore")
    maps = ("--map", "tags=tags")
    load(nights, "user-1", tags=["old"], name="Same")
    nights.run(2, *maps, *SKIP, command=APPLY, code=4, tags="")

    assert drifted_again(nights, 2).json["plan"]["update"] == 2


def test_what_was_taken_and_left_the_record_unmoved_is_no_touch_of_ours(nights: Nights) -> None:
    """Who moved it after the export was another, and a night that leaves such users leaves this one."""
    nights.sandbox.switch(empty_tags="ignore", same_put="keeps")
    load(nights, "user-1", tags=["old"], updatedAt=just_now(nights))
    maps = ("--map", "tags=tags")
    first = nights.run(1, *maps, command=APPLY, code=4, tags="")
    again = nights.run(1, *maps, *SKIP, code=4, name="New", tags="")

    assert first.json["outcomes"]["rejected"] == 1
    assert again.json["plan"]["update"] == 0
