"""Undo and retry: what they do, and that they survive what apply survives."""

from typing import Any

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.profiles import Profile, under_one_profile
from tests.e2e.small_world import flags

TIMES = {"createdAt", "updatedAt", "deactivatedAt"}
DEACTIVATE = ("--set", "policy.unmanaged=deactivate", "--set", "policy.unmanaged_scope=all", "--accept-mapping")
LIMITS = ("--set", "limits.core_per_minute=9000", "--set", "limits.standard_per_minute=9000")


def state_of(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """Every user without its times, and whether it is active; what is empty is not there."""
    return {
        uid: {key: value for key, value in user.items() if key not in TIMES and value}
        | {"active": not user.get("deactivatedAt")}
        for uid, user in sandbox.users().items()
    }


def applied(world: Shell, *more: str) -> str:
    """Apply the small world, and give the run's id."""
    result = world("apply", "--yes", "--json", *flags(), *more)
    assert result.code in {0, 4}, result.out
    return str(result.json["run_id"])


def test_undo_puts_every_managed_field_back(world: Shell, sandbox: Sandbox) -> None:
    """The directory is as it was, but that those who were created are there and switched off."""
    before = state_of(sandbox)
    run_id = applied(world, *DEACTIVATE)
    undone = world("undo", run_id, "--yes", "--json", *LIMITS)
    after = state_of(sandbox)

    assert undone.code == 0, (undone.out, undone.err)
    assert undone.json["verdict"] == "applied"
    assert {uid: after[uid] for uid in before} == before
    assert {uid: after[uid]["active"] for uid in after.keys() - before.keys()} == {
        "missing-1": False,
        "missing_2": False,
    }


def test_undo_of_an_undo_brings_the_run_back(world: Shell, sandbox: Sandbox) -> None:
    """Managed fields and activity are those of after the run."""
    run_id = applied(world, *DEACTIVATE)
    after_run = state_of(sandbox)
    undone = world("undo", run_id, "--yes", "--json", *LIMITS).json["run_id"]
    again = world("undo", undone, "--yes", "--json", *LIMITS)

    assert again.code == 0, again.out
    assert state_of(sandbox) == after_run


def test_a_user_that_was_woken_and_updated_ends_as_it_was(world: Shell, sandbox: Sandbox) -> None:
    """Where it is the only one, too: its deactivation follows right behind its update in the plan."""
    export = "uid,name\nsame,Same\n"
    sandbox.load_users([{"uid": "solo", "name": "Old", "createdAt": 1_700_000_000}])
    world.write("users.csv", export)
    world("apply", "--yes", *LIMITS, *DEACTIVATE, "--set", "guards.deactivate={percent=100, floor=20}")
    before = state_of(sandbox)
    world.write("users.csv", export + "solo,New\n")
    woken = world(
        "apply", "--yes", "--json", *LIMITS, "--accept-mapping", "--set", "policy.deactivated=reactivate"
    )
    undone = world("undo", woken.json["run_id"], "--yes", "--json", *LIMITS)

    assert woken.json["outcomes"]["applied"] == 2, woken.out
    assert (undone.code, undone.json["outcomes"]["applied"]) == (0, 2), undone.out
    assert state_of(sandbox) == before


def test_undo_leaves_what_somebody_else_changed_since(world: Shell, sandbox: Sandbox) -> None:
    """That field stays and is counted; the others of the same user go back."""
    run_id = applied(world)
    moved = sandbox.users()["moved"]
    sandbox.load_users([{**sandbox.users()["renamed"], "name": "Chosen by hand"}])
    sandbox.load_users([{**moved, "name": "Chosen too"}])
    undone = world("undo", run_id, "--yes", "--json", *LIMITS)

    assert undone.code == 0, undone.out
    assert sandbox.users()["renamed"]["name"] == "Chosen by hand"
    assert sandbox.users()["moved"]["metadata"]["country"] == "ES"
    assert "1 values are not put back" in " ".join(undone.json["notes"])


def test_a_write_that_failed_and_landed_all_the_same_is_undone(world: Shell, sandbox: Sandbox) -> None:
    """Once undo took a change that nobody could settle for one that was never made."""
    before = state_of(sandbox)["renamed"]
    sandbox.fault(
        "status", method="PUT", path="/users/renamed", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", when="after"
    )
    stopped = world("apply", "--yes", "--json", *flags())
    written = state_of(sandbox)["renamed"]
    sandbox.clear_faults()
    sandbox.fault("status", method="GET", path="/users/renamed", code=422, error="ERR_BAD_REQUEST", times=1)
    undone = world("undo", stopped.json["run_id"], "--yes", "--json", *LIMITS)

    assert (stopped.code, written["name"]) == (8, "After")
    assert undone.code == 0, undone.out
    assert state_of(sandbox)["renamed"] == before


@under_one_profile
def test_roles_that_the_run_created_are_listed(world: Shell, sandbox: Sandbox) -> None:
    """Nothing deletes a role, so undo says which ones stay."""
    allow = ("--set", 'roles.map={default="plain", premium="premium"}', "--set", "roles.create_missing=true")
    run_id = applied(world, *allow)
    undone = world("undo", run_id, "--yes", "--json", *LIMITS)

    assert "plain" in sandbox.roles()
    assert "1 roles that the run created stay, as nothing here deletes roles: plain" in undone.json["notes"]


@under_one_profile
def test_after_an_undo_one_go_waits_for_a_reviewed_plan(world: Shell, sandbox: Sandbox) -> None:
    """Else the next night would do it again; a plan that was looked at is applied, and opens the way."""
    run_id = applied(world)
    world("undo", run_id, "--yes", *LIMITS)
    sandbox.clear_log()
    refused = world("apply", "--yes", "--json", *flags())
    writes = sandbox.counters().writes
    reviewed = world("apply", refused.json["run_id"], "--yes", "--json", *flags())

    assert (refused.code, writes) == (5, 0)
    assert run_id in refused.json["error"]["message"]
    assert reviewed.json["outcomes"]["applied"] > 0
    assert world("apply", "--yes", *flags()).code == 0


@under_one_profile
def test_the_guards_judge_an_undo_too(world: Shell, sandbox: Sandbox) -> None:
    """A class over its limit is held, and can be released for that one plan."""
    run_id = applied(world)
    guard = ("--set", "guards.deactivate={percent=0, floor=1}")
    held = world("undo", run_id, "--yes", "--json", *LIMITS, *guard)
    released = world("apply", held.json["run_id"], "--yes", "--json", "--release", "deactivate=2", *LIMITS)

    assert held.code == 5
    assert held.json["outcomes"]["held"] == 2
    assert "deactivate=2" in held.json["guards"]["deactivate"]["release"]
    assert released.json["outcomes"]["applied"] == 2, released.out


@under_one_profile
def test_an_unknown_run_cannot_be_undone(world: Shell) -> None:
    """It is a usage error, with the way to a list."""
    for command in ("undo", "retry"):
        result = world(command, "20200101T000000Z-0000", "--yes", "--json", *flags()[: -len(LIMITS)])

        assert result.code == 2, command
        assert "reconcile runs" in result.out
    assert world("resume", "20200101T000000Z-0000").code == 2


@under_one_profile
@pytest.mark.parametrize("command", ["undo", "retry", "apply"])
def test_a_run_that_does_not_exist_leaves_an_unfinished_one_to_be_resumed(
    world: Shell, sandbox: Sandbox, command: str
) -> None:
    """A slip of the pen does not take its place."""
    sandbox.fault(
        "status", method="PUT", path="/users/*", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", nth=4, times=99
    )
    stopped = world("apply", "--yes", "--json", *flags())
    sandbox.clear_faults()
    slip = world(command, "20200101T000000Z-0000", "--yes", "--json", *flags())

    assert (stopped.code, slip.code) == (8, 2)
    assert world("resume", "--json").json["run_id"] == stopped.json["run_id"]


@under_one_profile
def test_undo_leaves_whoever_is_protected_by_now(world: Shell, sandbox: Sandbox) -> None:
    """Protected uids are never written, in no direction; the report says that something is left."""
    run_id = applied(world)
    undone = world("undo", run_id, "--yes", "--json", *LIMITS, "--set", 'policy.protect=["renamed", "missing*"]')

    assert undone.code == 0, undone.out
    assert sandbox.users()["renamed"]["name"] == "After"
    assert not sandbox.users()["missing-1"].get("deactivatedAt")
    assert "3 values are not put back" in " ".join(undone.json["notes"])


def test_an_undo_that_could_not_see_somebody_switches_nobody_off(world: Shell, sandbox: Sandbox) -> None:
    """Fields are put back; who was created stays on, and the exit code says that it is not done."""
    run_id = applied(world)
    sandbox.fault("status", method="GET", path="/users/renamed", code=422, error="ERR_BAD_REQUEST", times=999)
    undone = world("undo", run_id, "--yes", "--json", *LIMITS)

    assert undone.code == 4, undone.out
    assert undone.json["drift"]["unknown"] == 1
    assert undone.json["outcomes"]["not_attempted"] == 2
    assert not sandbox.users()["missing-1"].get("deactivatedAt")


def test_a_look_that_is_refused_does_not_stop_every_run_after_a_kill(world: Shell, sandbox: Sandbox) -> None:
    """What was left open for that user is settled as not known, and the new run goes on."""
    sandbox.fault(
        "status", method="PUT", path="/users/*", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", nth=4, times=99
    )
    stopped = world("apply", "--yes", "--json", *flags())
    sandbox.clear_faults()
    sandbox.fault("status", method="GET", path="/users/*", code=422, error="ERR_BAD_REQUEST", times=1)
    again = world("apply", "--yes", "--json", *flags())

    assert stopped.code == 8
    assert again.json["outcomes"], again.out
    assert again.json["outcomes"]["not_attempted"] == 0
    assert world("resume").out == "Nothing to finish.\n"


@under_one_profile
def test_undo_needs_a_yes(world: Shell) -> None:
    """Without a terminal nobody can be asked."""
    run_id = applied(world)

    assert world("undo", run_id, *LIMITS).code == 2
    assert world("retry", run_id, *flags()).code == 2


def test_a_run_that_was_killed_half_way_can_be_undone(world: Shell, sandbox: Sandbox) -> None:
    """What it left open is settled by a look first."""
    before = state_of(sandbox)
    sandbox.fault(
        "status", method="PUT", path="/users/*", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", nth=4, times=99
    )
    stopped = world("apply", "--yes", "--json", *flags())
    sandbox.clear_faults()
    undone = world("undo", stopped.json["run_id"], "--yes", "--json", *LIMITS)
    after = state_of(sandbox)

    assert stopped.code == 8
    assert undone.code == 0, undone.out
    assert {uid: after[uid] for uid in before} == before
    assert world("resume").out == "Nothing to finish.\n"


def test_an_undo_that_was_stopped_is_finished_by_resume(world: Shell, sandbox: Sandbox) -> None:
    """It goes on as the undo that it is, and not as an apply."""
    before = state_of(sandbox)
    run_id = applied(world)
    sandbox.fault(
        "status", method="PUT", path="/users/*", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", nth=3, times=99
    )
    stopped = world("undo", run_id, "--yes", "--json", *LIMITS)
    sandbox.clear_faults()
    resumed = world("resume", "--json", *LIMITS)
    after = state_of(sandbox)

    assert stopped.code == 8
    assert (resumed.code, resumed.json["command"]) == (0, "undo"), resumed.out
    assert {uid: after[uid] for uid in before} == before


@under_one_profile
@pytest.mark.parametrize("command", ["undo", "retry"])
def test_stopped_before_its_plan_it_plans_again_as_what_it_was(
    world: Shell, sandbox: Sandbox, command: str
) -> None:
    """A deadline in the middle of its looks: resume does not take it for an apply."""
    sandbox.fault("status", method="PUT", path="/users/renamed", code=422, error="ERR_BAD_REQUEST")
    run_id = str(world("apply", "--yes", "--json", *flags()).json["run_id"])
    sandbox.clear_faults()
    sandbox.fault("latency", low_ms=400, high_ms=500)
    more = LIMITS if command == "undo" else flags()
    stopped = world(command, run_id, "--yes", "--json", *more, "--set", "limits.deadline=0.2s")
    sandbox.clear_faults()
    resumed = world("resume", "--json")

    assert stopped.json["plan"]["create"] is None
    assert resumed.json["command"] == command
    assert resumed.json["run_id"] == stopped.json["run_id"]


def test_retry_looks_only_at_whom_the_run_left_behind(world: Shell, sandbox: Sandbox, profile: Profile) -> None:
    """The others are not asked for, and what did not work before is done."""
    sandbox.fault("status", method="PUT", path="/users/renamed", code=422, error="ERR_BAD_REQUEST")
    sandbox.fault("status", method="PUT", path="/users/demoted", code=422, error="ERR_BAD_REQUEST")
    first = world("apply", "--yes", "--json", *flags())
    sandbox.clear_faults()
    sandbox.clear_log()
    again = world("retry", first.json["run_id"], "--yes", "--json", *flags())
    asked = {entry.uid for entry in sandbox.log() if entry.uid}

    stuck = profile.stuck_in_world
    assert (first.code, first.json["outcomes"]["rejected"]) == (4, 2 + len(stuck))
    assert again.code == profile.done, again.out
    assert again.json["outcomes"]["applied"] == 2
    assert again.json["source"]["valid"] == 2 + len(stuck)
    assert {"renamed", "demoted"} <= asked
    assert len(asked - stuck) <= 4  # one more for tags, and one for metadata, that a look shows them
    assert sandbox.users()["renamed"]["name"] == "After"
    assert world("plan", "--check", *flags()).code == profile.done


def test_retry_tries_a_value_again_that_did_not_stick(world: Shell, sandbox: Sandbox) -> None:
    """A night leaves it alone; a person who asks for it gets it tried."""
    sandbox.switch(empty_tags="ignore")
    first = world("apply", "--yes", "--json", *flags())
    sandbox.switch(empty_tags="clear")
    night = world("plan", "--json", *flags())
    again = world("retry", first.json["run_id"], "--yes", "--json", *flags())

    assert first.json["outcomes"]["rejected"] >= 1
    assert night.json["plan"]["update"] == 0
    assert again.json["outcomes"]["applied"] == 1
    assert not sandbox.users()["untagged"].get("tags")


@under_one_profile
def test_nothing_to_retry_is_in_step(world: Shell) -> None:
    """A run that left nobody behind."""
    applied(world)
    run_id = applied(world)
    result = world("retry", run_id, "--yes", "--json", *flags())

    assert (result.code, result.json["verdict"]) == (0, "in_step")


@under_one_profile
def test_a_canary_that_was_killed_stays_a_canary(world: Shell, sandbox: Sandbox) -> None:
    """Resume finishes what the run was told to do, and no more."""
    sandbox.fault(
        "status", method="POST", path="/users", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", nth=2, times=99
    )
    stopped = world("apply", "--yes", "--json", "--limit", "3", *flags())
    sandbox.clear_faults()
    resumed = world("resume", "--json")

    assert stopped.code == 8
    assert (resumed.code, resumed.json["verdict"]) == (0, "canary"), resumed.out
    assert resumed.json["outcomes"]["applied"] == 3
