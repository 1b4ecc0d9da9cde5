"""The main job over the samples, through the command line, against the sandbox over real sockets."""

import csv
import gzip
import json
import re
import sqlite3
import stat
from pathlib import Path
from typing import Any

import jsonschema

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.profiles import Profile, under_one_profile
from tests.e2e.traces import uids_with

GOLDEN: dict[str, dict[str, Any]] = {
    "source": {"rows": 370, "valid": 360, "quarantined": 10},
    "directory": {"users": 342, "deactivated": 4, "fetch": "walk"},
    "drift": {
        "in_step": 257,
        "missing": 32,
        "drifted": 68,
        "stale": 60,
        "role_mismatched": 11,
        "deactivated": 3,
        "protected": 0,
        "unknown": 0,
        "unmanaged": 12,
        "shielded": 1,
    },
    "plan": {"create": 32, "update": 72, "reactivate": 0, "deactivate": 0, "held": 0},
}


def test_a_plan_has_exactly_the_known_counts(shell: Shell, drifted: Sandbox) -> None:
    """The samples drift in a known way."""
    result = shell("plan", "--json")

    found = {part: {name: result.json[part][name] for name in counts} for part, counts in GOLDEN.items()}
    assert result.code == 0
    assert found == GOLDEN


@under_one_profile
def test_a_report_names_the_unmanaged_and_says_when_it_sent_what(shell: Shell, drifted: Sandbox) -> None:
    """Every request stands in the budget that it used, at its time."""
    report = shell("apply", "--yes", "--json").json
    sent = report["usage"]["sent"]

    assert len(report["unmanaged_users"]) == report["drift"]["unmanaged"]
    assert set(report["unmanaged_users"]) <= drifted.users().keys()
    assert {group: sum(counts) for group, counts in sent.items()} == {
        group: report["requests"][group] for group in ("core", "standard")
    }


@under_one_profile
def test_a_page_shows_the_runs_before(shell: Shell, drifted: Sandbox) -> None:
    """Each with what it found and did."""
    first, second = (shell("apply", "--yes", "--json").json["run_id"] for _ in range(2))
    page = shell.latest("report.html").read_text("utf-8")
    rows = re.findall(
        r"<tr><td>(\d{8}T.{12})</td><td>apply</td><td>[a-z ]+</td><td>(\d+)</td><td>(\d+)</td>", page
    )

    assert [run_id for run_id, _, _ in rows] == [first, second]
    assert rows[0][1] == str(GOLDEN["drift"]["missing"] + GOLDEN["drift"]["drifted"])
    assert int(rows[0][2]) > int(rows[1][2])


def test_a_plan_sends_no_write(shell: Shell, drifted: Sandbox) -> None:
    """A dry run only reads."""
    shell("plan")

    assert {entry.method for entry in drifted.log()} == {"GET"}


def test_a_plan_leaves_the_directory_as_it_was(shell: Shell, drifted: Sandbox) -> None:
    """Nothing of a user moves."""
    before = drifted.users()
    shell("plan")

    assert drifted.users() == before


def test_after_an_apply_a_second_plan_is_empty(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """What was planned is what is there afterwards, but for what can never be."""
    applied = shell("apply", "--yes", "--json")
    left = uids_with(shell, "rejected")
    check = shell("plan", "--check", "--json")

    assert applied.code == profile.done
    assert left == profile.stuck_in_samples
    assert applied.json["outcomes"]["applied"] == 104 - len(left)
    assert (check.code, check.json["verdict"]) == (profile.done, profile.quiet)
    assert check.json["plan"]["update"] == 0


def test_a_second_apply_writes_nothing(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """A directory that is right is left alone, and what never sticks is not tried every night."""
    shell("apply", "--yes")
    drifted.clear_log()
    result = shell("apply", "--yes")

    assert result.code == profile.done
    assert drifted.counters().writes == 0


def test_every_managed_field_arrives(shell: Shell, drifted: Sandbox) -> None:
    """A created user holds what its row says, in the form that CometChat keeps."""
    shell("apply", "--yes")
    users = drifted.users()

    assert users["0021"]["name"] == next(row["full_name"] for row in _rows(shell) if row["id"] == "0021").strip()
    assert users["bird-10"]["metadata"]["country"] == "ES" or "country" not in users["bird-10"]["metadata"]
    assert users["bird-31"]["name"] == "水鳥 Wigeon"
    assert users["bird-19"]["name"] == "NA"
    assert users["bird_41"]["name"] == "Line one\nline two"


def _rows(shell: Shell) -> list[dict[str, str]]:
    with (shell.folder / "users.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_not_managed_stays(shell: Shell, drifted: Sandbox) -> None:
    """Foreign metadata keys, users outside the source and the platform's own user are left alone."""
    before = drifted.users()
    shell("apply", "--yes")
    after = drifted.users()

    outside = [uid for uid in before if uid.startswith(("left-", "gone-", "app_"))]
    assert {uid: after[uid] for uid in outside} == {uid: before[uid] for uid in outside}
    themes = [uid for uid, user in before.items() if "theme" in user.get("metadata", {})]
    assert themes
    assert all(after[uid]["metadata"]["theme"] == "dark" for uid in themes)


@under_one_profile
def test_bad_rows_are_quarantined_with_their_lines(shell: Shell, drifted: Sandbox) -> None:
    """Each bad row is named by its line in the file, and the others go on."""
    shell("apply", "--yes")
    with shell.latest("quarantine.csv").open(encoding="utf-8") as file:
        rows = {row["uid"] or row["detail"]: row for row in csv.DictReader(file)}
    text = (shell.folder / "users.csv").read_text("utf-8").split("\n")

    assert rows["heron@example.com"]["kind"] == "invalid"
    assert text[int(rows["heron@example.com"]["source_row"]) - 1].startswith("heron@example.com")
    assert text[int(rows["long-1"]["source_row"]) - 1].startswith("long-1")
    assert rows["role-1"]["kind"] == "unknown_role"
    collided = [row for row in rows.values() if row["kind"] == "collision"]
    assert len(collided) == 1  # both rows fold to one uid, so one key here
    assert "HERON-7" in collided[0]["detail"] or "heron-7" in collided[0]["detail"]


def test_a_saved_plan_is_applied_without_reading_the_source_again(
    shell: Shell, drifted: Sandbox, profile: Profile
) -> None:
    """What was reviewed is what is carried out."""
    run_id = shell("plan", "--json").json["run_id"]
    (shell.folder / "users.csv").unlink()
    result = shell("apply", run_id, "--yes", "--json")

    assert result.code == profile.done
    assert uids_with(shell, "rejected") == profile.stuck_in_samples
    assert result.json["outcomes"]["applied"] == 104 - len(profile.stuck_in_samples)


def test_a_saved_plan_skips_a_user_whose_record_moved(shell: Shell, drifted: Sandbox) -> None:
    """Somebody else's change since the review is not written over."""
    run_id = shell("plan", "--json").json["run_id"]
    drifted.load_users([{**drifted.users()["bird-4"], "name": "Renamed meanwhile"}])
    result = shell("apply", run_id, "--yes", "--json")

    assert result.code == 4
    assert result.json["outcomes"]["skipped"] == 1
    assert drifted.users()["bird-4"]["name"] == "Renamed meanwhile"


@under_one_profile
def test_a_saved_plan_is_refused_with_other_settings(shell: Shell, drifted: Sandbox) -> None:
    """A plan belongs to the settings that it was made with."""
    run_id = shell("plan", "--json").json["run_id"]
    result = shell("apply", run_id, "--yes", "--set", "policy.empty=keep")

    assert result.code == 2
    assert "[policy]" in result.out + result.err
    assert drifted.counters().writes == 0


@under_one_profile
def test_a_saved_plan_that_was_edited_is_refused(shell: Shell, drifted: Sandbox) -> None:
    """The trailer proves every byte before it."""
    run_id = shell("plan", "--json").json["run_id"]
    path = shell.latest("plan.jsonl.gz")
    lines = gzip.decompress(path.read_bytes()).replace(b"Great", b"Small")
    path.write_bytes(gzip.compress(lines))

    assert shell("apply", run_id, "--yes").code == 2


@under_one_profile
def test_a_canary_makes_the_first_changes_and_says_what_waits(
    shell: Shell, drifted: Sandbox, profile: Profile
) -> None:
    """--limit stops after so many changes, and the same plan goes on from there."""
    canary = shell("apply", "--yes", "--limit", "10", "--json")
    rest = shell("apply", canary.json["run_id"], "--yes", "--json")

    assert (canary.code, canary.json["verdict"]) == (0, "canary")
    assert canary.json["outcomes"]["applied"] == 10
    assert canary.json["outcomes"]["not_attempted"] == 94
    assert rest.code == profile.done
    done = rest.json["outcomes"]["applied"] + rest.json["outcomes"]["already"]
    assert done == 104 - len(profile.stuck_in_samples)


def test_the_report_fits_its_schema(shell: Shell, drifted: Sandbox) -> None:
    """report.json is what its schema promises, for a plan and for an apply."""
    schema = json.loads((Path(__file__).parents[2] / "reconcile" / "report" / "schema.json").read_text())
    for command in (("plan",), ("apply", "--yes")):
        shell(*command)
        jsonschema.validate(json.loads(shell.latest("report.json").read_text()), schema)


@under_one_profile
def test_a_run_leaves_private_files(shell: Shell, drifted: Sandbox) -> None:
    """What a run writes is for its owner alone."""
    shell("apply", "--yes")
    files = [path for path in (shell.folder / "runs").rglob("*") if path.is_file() and not path.is_symlink()]

    names = {path.name for path in files}
    assert {"plan.jsonl.gz", "report.json", "report.html", "report.md", "changes.csv", "state.sqlite"} <= names
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)


def test_changes_csv_tells_each_change_once(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """One row a change, with its outcome."""
    shell("apply", "--yes")
    with shell.latest("changes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == 104
    assert {row["uid"] for row in rows if row["outcome"] != "applied"} == profile.stuck_in_samples
    renamed = next(row for row in rows if row["uid"] == "bird-4")
    assert json.loads(renamed["before"])["name"].endswith("(old)")


@under_one_profile
def test_the_same_from_a_database(shell: Shell, drifted: Sandbox) -> None:
    """The SQL sample gives the same plan as the CSV one, but for the rows that a table cannot hold."""
    connection = sqlite3.connect(shell.folder / "users.db")
    rows = [row for row in _rows(shell) if None not in row]
    names = list(rows[0])
    connection.execute(f"CREATE TABLE users ({', '.join(names)})")
    marks = ", ".join("?" * len(names))
    connection.executemany(f"INSERT INTO users VALUES ({marks})", [tuple(row.values()) for row in rows])  # noqa: S608
    connection.commit()
    connection.close()
    result = shell("plan", "--config", "reconcile-sql.toml", "--json")

    assert result.code == 0
    assert {name: result.json["plan"][name] for name in GOLDEN["plan"]} == GOLDEN["plan"]
