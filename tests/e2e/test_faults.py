"""
How the job ends in bad weather.

It ends converged, or stopped with the right exit code; once the weather is fair, finishing the run leaves
everybody in step, nobody created twice, and nothing foreign touched.
"""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Result, Shell
from tests.e2e.profiles import Profile, in_turn
from tests.e2e.small_world import assert_in_step, assert_untouched, flags
from tests.e2e.traces import creates_per_uid, uids_with
from tests.e2e.weather import CASES, MOVING, ROWS
from tests.scale import dice, how_many

DOCS = Path(__file__).parents[2] / "docs" / "faults.md"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts prove nothing here; silence is told from slowness after a second."""
    monkeypatch.setattr("reconcile.cometchat.client.BACKOFF_S", 0.01)
    monkeypatch.setattr("reconcile.applying.hands.PAUSE_S", 0.1)
    monkeypatch.setattr("reconcile.cometchat.client.TIMEOUT", httpx.Timeout(1.0))


def test_the_table_in_the_docs_is_that_of_the_tests() -> None:
    """Each row has its cases, and names the exit codes that they may have."""
    lines = [line for line in DOCS.read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    told = {row.strip(): set(map(int, re.findall(r"\b\d\b", ends))) for _, row, ends, _ in map(_cells, lines)}

    assert told == {row: set().union(*(case.codes for case in cases.values())) for row, cases in ROWS.items()}


def _cells(line: str) -> list[str]:
    return line.split("|")


@in_turn(("name",), zip(CASES))
def test_a_fault_ends_converged_or_stopped_and_can_be_finished(
    world: Shell, sandbox: Sandbox, profile: Profile, name: str
) -> None:
    """The run ends as the table says; afterwards one more command puts everything right."""
    case, before = CASES[name], sandbox.users()
    for fault in case.faults:
        sandbox.fault(**fault)
    result = world("apply", "--yes", "--json", *flags())
    _clear(sandbox)
    is_whole = result.code == 0 and case.codes == {0}
    finished = result if is_whole else _finish(world, result, *flags())
    left = uids_with(world, "rejected")
    check = world("plan", "--check", "--json", *flags())

    # All that can be done is less under a profile where some values cannot be cleared.
    assert result.code in case.codes | ({profile.done} if 0 in case.codes else set()), (result.out, result.err)
    assert left <= profile.stuck_in_world
    assert finished.code == profile.done, (finished.out, finished.err[-2000:])
    assert check.code == profile.done, check.out
    assert set(creates_per_uid(sandbox).values()) <= {1}
    if name != MOVING:
        assert_untouched(sandbox, before)
        assert_in_step(sandbox, but=profile.stuck_in_world | {"asleep"})


def _finish(shell: Shell, result: Result, *flags: str) -> Result:
    return shell("resume", "--json") if result.code == 8 else shell("apply", "--yes", "--json", *flags)


def _clear(sandbox: Sandbox) -> None:
    sandbox.clear_faults()
    sandbox.restore_key()
    sandbox.load_roles(["premium"])


@pytest.mark.parametrize("case", range(how_many(2, soak=100)))
def test_weather_of_several_kinds_at_once_over_many_workers(
    shell: Shell, drifted: Sandbox, profile: Profile, case: int
) -> None:
    """Whatever passes by itself passes together, with sixteen workers in it, and everybody is in step."""
    passing = [name for name, known in CASES.items() if known.codes == {0}]
    drawn = dice(case).sample(passing, 3)
    for fault in (fault for name in drawn for fault in CASES[name].faults):
        drifted.fault(**fault)
    result = shell("apply", "--yes", "--json", "--set", "limits.concurrency=16")
    _clear(drifted)
    finished = result if result.code == 0 else _finish(shell, result)
    left = uids_with(shell, "rejected")
    check = shell("plan", "--check", "--json")

    # Together they may well be an outage; but nothing may be lost or done twice.
    assert result.code in {0, 4, 7, 8}, (drawn, result.out, result.err[-2000:])
    assert left <= profile.stuck_in_samples
    assert finished.code == profile.done, (drawn, finished.out, finished.err[-2000:])
    assert check.code == profile.done, (drawn, check.out)
    assert set(creates_per_uid(drifted).values()) <= {1}


BATCHES: dict[str, dict[str, Any]] = {
    "503 before the commit": {"kind": "status", "code": 503},
    "500 after the commit": {"kind": "status", "code": 500, "when": "after"},
    "reset after the commit": {"kind": "reset", "when": "after"},
    "truncated JSON": {"kind": "truncated_json"},
}


@in_turn(("name",), zip(BATCHES))
def test_a_batch_that_meets_a_fault_is_done_once_and_ours(world: Shell, sandbox: Sandbox, name: str) -> None:
    """A lost answer to a batch is settled; who was switched off by us may be switched on again by us."""
    world.write("users.csv", "uid,name\nx0,Wren\n")
    sandbox.load_users({"uid": f"x{n}", "name": "Wren", "createdAt": 1} for n in range(3))
    protect = 'policy.protect=["app_system", "[a-w]*"]'
    fault: dict[str, Any] = {"method": "PUT,DELETE", "path": "/users", "nth": 1} | BATCHES[name]
    sandbox.fault(**fault)
    off = world(
        "apply",
        "--yes",
        "--json",
        "--set",
        "policy.unmanaged=deactivate",
        "--set",
        "policy.unmanaged_scope=all",
        "--set",
        protect,
        "--accept-mapping",
    )
    asleep = _asleep(sandbox, "x")
    world.write("users.csv", "uid,name\nx0,Wren\nx1,Wren\nx2,Wren\n")
    sandbox.clear_faults()
    sandbox.fault(**fault)
    on = world(
        "apply", "--yes", "--json", "--set", "policy.deactivated=reactivate", "--set", protect, "--accept-mapping"
    )

    assert (asleep, _asleep(sandbox, "x")) == ({"x1", "x2"}, set())
    assert (off.code, off.json["outcomes"]["applied"]) == (0, 2), off.out
    assert (on.code, on.json["outcomes"]["applied"]) == (0, 2), on.out


def _asleep(sandbox: Sandbox, first: str) -> set[str]:
    return {uid for uid, user in sandbox.users().items() if uid[0] == first and user.get("deactivatedAt")}


MOVES: dict[str, dict[str, Any]] = {
    "created": {"create": 40},
    "deactivated": {"deactivate": 40},
    "renamed": {"rename": 40},
    "re-ordered": {"reorder": True},
    "all of it": {"create": 10, "deactivate": 10, "rename": 10, "reorder": True},
}


@in_turn(("name",), zip(MOVES))
def test_users_that_move_between_the_pages_are_not_taken_for_missing(
    world: Shell, sandbox: Sandbox, name: str
) -> None:
    """Rows that slip from page to page during a walk are found by a second look; only who is gone is gone."""
    many = range(2500)
    sandbox.load_users({"uid": f"u{n}", "name": f"Wren {n}", "createdAt": 1_000 + n} for n in many)
    world.write("users.csv", "uid,name\n" + "".join(f"u{n},Wren {n}\n" for n in many))
    sandbox.fault("mutate_directory", method="GET", path="/users", query="page=2", times=1, **MOVES[name])
    moved = world("plan", "--json")
    sandbox.clear_faults()
    then = world("apply", "--yes", "--json")
    check = world("plan", "--check", "--json")

    assert moved.json["plan"]["create"] == 0, moved.out
    assert moved.json["drift"]["missing"] == moved.json["drift"]["unknown"] == 0
    assert (then.code, check.code) == (0, 0), (then.out, check.out)
    assert not creates_per_uid(sandbox)
    assert len(_asleep(sandbox, "u")) == MOVES[name].get("deactivate", 0)


def test_a_user_that_the_directory_cannot_show_is_unknown(world: Shell, sandbox: Sandbox) -> None:
    """It is neither missing nor in step, nothing is done to it, and a plan says that it is not complete."""
    sandbox.fault("status", method="GET", path="/users/missing-1", code=503)
    result = world("plan", "--json", *flags())

    assert result.code == 4
    assert (result.json["drift"]["unknown"], result.json["drift"]["missing"]) == (1, 1)
    assert result.json["plan"]["create"] == 1
