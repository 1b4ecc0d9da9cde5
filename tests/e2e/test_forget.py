"""Forgetting a user: no byte of it stays, the rest of what runs left stays whole, and it is never made again."""

import gzip
import json
from pathlib import Path

import pytest

from reconcile.core.tombstones import tombstone
from reconcile.sandbox.testing import Sandbox
from reconcile.store.planfile import PlanFile
from tests.conftest import Shell
from tests.e2e.profiles import Profile, under_one_profile
from tests.e2e.small_world import EXPORT, flags
from tests.report.builders import unpacked

# What the files of the runs say does not depend on how the service answers.
pytestmark = under_one_profile

UID, NAME = "missing-1", "Missing one"


def traces(*texts: str) -> list[str]:
    """The files below runs/ in which one of these texts stands, packed ones too."""
    found = []
    for file in Path("runs").rglob("*"):
        if file.is_file() and not file.is_symlink():
            data = file.read_bytes()
            data = gzip.decompress(data) if file.suffix == ".gz" else data
            data = unpacked(data.decode()).encode() if file.suffix == ".html" else data
            found += [str(file) for text in texts if text.lower().encode() in data.lower()]
    return found


def test_no_byte_of_a_forgotten_user_stays(world: Shell, sandbox: Sandbox) -> None:
    """Neither in a plan, a report or a table, nor in the state file; and the other users' lines stay."""
    world.write("users.csv", EXPORT + f"{UID.upper()}x@,Nobody,default,,,,,\n{UID}0,Similar,default,,,,,\n")
    world("plan", *flags())
    world("apply", "--yes", *flags())
    before = traces(UID, NAME)
    result = world("forget", UID, "--yes", "--json")

    assert before
    assert result.code == 0, result.out
    assert len(result.json["runs"]) == 2
    assert traces(NAME, f'"{UID}"', f">{UID}<", f"{UID},") == []
    assert traces(f"{UID}0")


def test_a_forgotten_user_is_not_created_again(world: Shell, sandbox: Sandbox, profile: Profile) -> None:
    """Its row may still be in the export: it counts as protected, and nothing of it is written down."""
    world("apply", "--yes", *flags())
    sandbox.load_users([])
    _remove(sandbox, UID)
    world("forget", UID, "--yes")
    again = world("apply", "--yes", "--json", *flags())

    assert again.code == 0, again.out
    assert UID not in sandbox.users()
    assert again.json["drift"]["protected"] == 1
    assert "1 users of the source were forgotten" in " ".join(again.json["notes"])
    assert traces(NAME) == []
    assert "forgotten" in world("explain", UID, "--json", *flags()).out


def test_a_forgotten_user_in_quarantine_is_not_named_again(world: Shell, sandbox: Sandbox) -> None:
    """Its row may be a bad one, or there twice: the row is counted, and nobody is told whose it is."""
    world("apply", "--yes", *flags())
    world("forget", UID, "--yes")
    world.write("users.csv", EXPORT + f"{UID.upper()},Twice,default,,,,,\nother,,default,,,,,\n")
    again = world("plan", "--json", *flags())
    named = world.latest("quarantine.csv").read_text("utf-8")

    assert again.json["source"]["quarantined"] == 3
    assert named.count("this user was forgotten") == 2
    assert '"other"' in named
    assert traces(NAME, UID) == []


def test_a_forgotten_user_that_is_still_active_is_left_alone(world: Shell, sandbox: Sandbox) -> None:
    """Once the next night switched it off, as unmanaged, and wrote it down again in plan, report and state."""
    sandbox.load_users([{"uid": "leaver", "name": "Leaver", "createdAt": 1_700_000_000}])
    world("plan", *flags())
    world("forget", "leaver", "--yes")
    more = (
        "--set",
        "policy.unmanaged=deactivate",
        "--set",
        "policy.unmanaged_scope=all",
        "--set",
        "guards.deactivate={percent=100, floor=99}",
    )
    again = world("apply", "--yes", "--json", *flags(), *more)

    assert again.json["broken_laws"] == []
    assert "deactivatedAt" not in sandbox.users()["leaver"]
    assert "deactivatedAt" in sandbox.users()["outside"]
    assert again.json["drift"]["shielded"] == 2
    assert (
        "1 users that CometChat has and the source has not were forgotten: they are left alone"
        in again.json["notes"]
    )
    assert traces("leaver") == []
    assert "it was forgotten: the job leaves it alone" in world("explain", "leaver", *flags()).out


def test_no_later_run_writes_a_forgotten_user_down(world: Shell) -> None:
    """Once its uid came back as a pattern that protects it, in the notes of every report."""
    world("apply", "--yes", *flags())
    world("forget", UID, "--yes")
    world("apply", "--yes", *flags())
    world("plan", *flags(), "--set", 'policy.protect=["miss*"]')

    assert traces(UID, NAME) == []


def test_settings_that_name_a_forgotten_user_are_forgotten_and_pointed_out(world: Shell, sandbox: Sandbox) -> None:
    """As a pattern, or as a sentinel; what was recorded of them can still be resumed."""
    naming = (
        "--set",
        f'policy.protect=["{UID}", "app_*"]',
        "--set",
        f'guards.sentinels=["{UID.upper()}", "same"]',
    )
    world("apply", "--yes", *flags(), *naming)
    sandbox.fault(
        "status", method="PUT", path="/users/*", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", when="after"
    )
    world.write("users.csv", EXPORT.replace("renamed,After", "renamed,Later"))
    stopped = world("apply", "--yes", "--json", *flags(), *naming)
    sandbox.clear_faults()
    found = world("forget", UID, "--yes", "--json", *naming)
    told = world("forget", UID, "--yes", *naming)
    left = traces(UID)
    resumed = world("resume", "--json")

    assert stopped.code == 8, stopped.out
    assert (found.json["still_in"], left) == (["policy.protect", "guards.sentinels"], [])
    assert "Take it out of policy.protect, guards.sentinels too" in told.out
    assert resumed.code in {0, 4}, resumed.out
    assert traces(UID) == []


def _remove(sandbox: Sandbox, uid: str) -> None:
    import httpx  # noqa: PLC0415 - the one test that deletes

    headers = {"apikey": sandbox.api_key, "appid": sandbox.app_id}
    answer = httpx.request("DELETE", f"{sandbox.base_url}/users/{uid}", headers=headers, json={"permanent": True})
    assert answer.status_code == 200


def test_the_plans_and_reports_of_a_run_stay_whole(world: Shell, sandbox: Sandbox) -> None:
    """A plan that was reviewed can still be applied, less one user; reports can still be shown."""
    run_id = world("plan", "--json", *flags()).json["run_id"]
    planned = PlanFile(Path("runs") / run_id / "plan.jsonl.gz").count
    world("forget", UID, "--yes")
    shown = world("report", run_id, "--json")
    applied = world("apply", run_id, "--yes", "--json", *flags())

    assert shown.json["run_id"] == run_id
    assert applied.code in {0, 4}, applied.out
    assert sum(applied.json["outcomes"].values()) == planned - 1
    assert UID not in sandbox.users()


def test_a_run_that_was_stopped_can_be_finished_without_the_user(world: Shell, sandbox: Sandbox) -> None:
    """Its report still adds up."""
    sandbox.fault("status", method="POST", path="/users", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", times=99)
    stopped = world("apply", "--yes", "--json", *flags())
    sandbox.clear_faults()
    world("forget", UID, "--yes")
    resumed = world("resume", "--json")

    assert stopped.code in {7, 8}
    assert resumed.json["verdict"] in {"applied", "incomplete"}, resumed.out
    assert UID not in sandbox.users()


@pytest.mark.parametrize("uid", ["1", "13", "plan", "verdict"])
def test_a_uid_that_looks_like_a_part_of_the_report_leaves_the_report_whole(world: Shell, uid: str) -> None:
    """Counts and keys are nobody's name."""
    world.write("users.csv", EXPORT + f"{uid},Somebody,default,,,,,\n")
    before = world("apply", "--yes", "--json", *flags()).json
    result = world("forget", uid, "--yes", "--json")
    after = world("report", before["run_id"], "--json").json

    assert result.code == 0, (result.out, result.err)
    assert (after["outcomes"], after["headline"]) == (before["outcomes"], before["headline"])
    assert traces("Somebody") == []


def test_a_user_that_only_proved_a_channel_is_forgotten_too(world: Shell) -> None:
    """A plan names a user that showed tags or metadata, also where it has no change of it."""
    run_id = world("plan", "--json", *flags()).json["run_id"]
    plan = Path("runs") / run_id / "plan.jsonl.gz"
    witness = PlanFile(plan).header.witnesses["tags"]
    sole = EXPORT.splitlines()[0] + "\nmissing-1,Missing one,default,,,,,\n"
    world.write("users.csv", sole)
    sole_id = world("plan", "--json", "--accept-source", *flags()).json["run_id"]
    world("forget", witness, "--yes")

    assert witness not in PlanFile(plan).header.witnesses.values()
    assert witness not in PlanFile(Path("runs") / sole_id / "plan.jsonl.gz").header.witnesses.values()


@pytest.mark.parametrize("formats", ['["csv"]', '["html", "md"]'])
def test_reports_without_json_are_forgotten_too(world: Shell, formats: str) -> None:
    """Their numbers come from the state file then."""
    world("apply", "--yes", *flags(), "--set", f"run.formats={formats}")
    before = {file.name for file in Path("runs/latest").iterdir()}
    world("forget", UID, "--yes")

    assert traces(UID, NAME) == []
    assert {file.name for file in Path("runs/latest").iterdir()} == before


def test_what_a_kill_left_half_written_is_forgotten_too(world: Shell) -> None:
    """Files that were being written aside, and tables whose report never came."""
    run_id = world("plan", "--json", *flags()).json["run_id"]
    killed = Path("runs") / "20200101T000000Z-dead"
    killed.mkdir()
    for path in (
        Path("runs") / run_id / ".report.json.0123abcd",
        killed / "changes.csv",
        killed / ".plan.jsonl.gz.1",
    ):
        path.write_text(UID)
    result = world("forget", UID, "--yes", "--json")

    assert result.code == 0, result.out
    assert traces(UID, NAME) == []


def test_forgetting_asks_first_and_names_what_is_no_uid(world: Shell) -> None:
    """It cannot be taken back."""
    world("plan", *flags())

    assert world("forget", UID).code == 2
    assert world("forget", "no uid", "--yes").code == 2
    assert world("forget", UID, "--yes", "--run-dir", "elsewhere").code == 2


def test_a_tombstone_does_not_tell_whose_it_is(world: Shell) -> None:
    """Without the salt of this state file, nobody can try uids against it."""
    world("plan", *flags())
    world("forget", UID, "--yes", "--json")

    assert tombstone(UID, "a") != tombstone(UID, "b")
    assert json.dumps(UID) not in Path("runs/state.sqlite").read_bytes().decode("latin-1")
