"""The commands around the main job, and the settings that change what it does."""

import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime, tzinfo
from pathlib import Path

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.profiles import Profile, under_one_profile

EVERYBODY = ("--set", "policy.unmanaged_scope=all")
HEADER = "uid,name,avatar,tags\n"


def _rows(count: int, **but: str) -> str:
    return HEADER + "".join(f"u{i},{but.get(f'u{i}', f'Wren {i}')},,\n" for i in range(count))


@pytest.fixture
def bare(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command line without a settings file."""
    (shell.folder / "reconcile.toml").unlink()
    monkeypatch.setenv("COMETCHAT_APP_ID", "demo")
    monkeypatch.setenv("RECONCILE_SOURCE__LOCATION", "users.csv")
    return shell


def test_init_writes_a_file_that_doctor_and_plan_take(bare: Shell, sandbox: Sandbox) -> None:
    """From an export to a first dry run in three commands."""
    begun = bare("init", "--source", "users.csv", "--app-id", "demo")
    checked, planned = bare("doctor", "--json"), bare("plan", "--json")

    assert begun.code == 0
    assert checked.code == 0, checked.out
    assert planned.json["plan"]["create"] == 361


@under_one_profile
def test_init_does_not_write_over_a_file(shell: Shell) -> None:
    """What somebody wrote stays."""
    before = (shell.folder / "reconcile.toml").read_text()

    assert shell("init").code == 2
    assert (shell.folder / "reconcile.toml").read_text() == before
    assert shell("init", "--force").code == 0


def test_doctor_names_what_is_wrong_with_its_remedy(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends as a run would end, and sends no write."""
    monkeypatch.setenv("COMETCHAT_API_KEY", "0" * 40)
    result = shell("doctor", "--json")
    failed = [finding for finding in result.json["findings"] if finding["level"] == "fail"]

    assert result.code == 7
    assert [(finding["what"], finding["remedy"] != "") for finding in failed] == [("app", True)]
    assert drifted.counters().writes == 0


@under_one_profile
def test_columns_map_by_their_own_names_but_a_role_never_does(bare: Shell, sandbox: Sandbox) -> None:
    """A one-off needs no file; a role column is pointed out and left alone."""
    bare.write("users.csv", "uid,name,role\nwren,Wren,premium\n")
    result = bare("apply", "--yes", "--json")

    assert result.code == 0
    assert sandbox.users()["wren"]["role"] == "default"
    assert "--map role=role" in " ".join(result.json["notes"])


@under_one_profile
def test_flags_map_what_the_file_does_not(bare: Shell, sandbox: Sandbox) -> None:
    """--map reaches fields, roles and metadata keys."""
    bare.write("users.csv", "id,title,plan,land\nA-1,Wren,PREMIUM,NZ\n")
    maps = ["uid=id", "name=title", "role=plan", "metadata.country=land"]
    result = bare("apply", "--yes", *[word for pair in maps for word in ("--map", pair)])
    user = sandbox.users()["a-1"]

    assert result.code == 0
    assert (user["name"], user["role"], user["metadata"]) == ("Wren", "premium", {"country": "NZ"})


@under_one_profile
def test_standard_input_is_a_source(bare: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe works, and is read once."""
    stdin = io.TextIOWrapper(io.BytesIO(b"uid,name\nwren,Wren\n"))
    monkeypatch.setattr(sys, "stdin", stdin)

    assert bare("apply", "--yes", "--source", "-").code == 0
    assert "wren" in sandbox.users()


def test_a_few_users_of_a_large_directory_are_asked_for_one_by_one(bare: Shell, sandbox: Sandbox) -> None:
    """The cheaper way is taken and said; who else is there is then not known, and not 0."""
    sandbox.load_users({"uid": f"u{i}", "name": f"Wren {i}"} for i in range(4000))
    bare.write("users.csv", "uid,name\nu0,Wren 0\nu1,Robin\nu2,Wren 2\n")
    report = bare("plan", "--json").json

    assert (report["directory"]["fetch"], report["plan"]["update"]) == ("by_uid", 1)
    assert report["drift"]["unmanaged"] is None
    assert report["directory"]["requests"] <= 10


def test_a_walk_costs_no_more_than_its_pages(bare: Shell, sandbox: Sandbox) -> None:
    """Pages, the deactivated, two windows and a handful."""
    sandbox.load_users({"uid": f"u{i}", "name": f"Wren {i}"} for i in range(4500))
    bare.write("users.csv", _rows(4500))
    report = bare("plan", "--json").json

    assert report["verdict"] == "in_step"
    assert report["requests"]["standard"] <= 5 + 1 + 2 * 8 + 10


def test_empty_cells_clear_or_keep(bare: Shell, sandbox: Sandbox, profile: Profile) -> None:
    """What an empty cell means is a policy; what cannot be cleared is rejected, and stays."""
    user = {"uid": "u0", "name": "Wren 0", "avatar": "https://img.example.com/0.png", "tags": ["old"]}
    sandbox.load_users([user])
    bare.write("users.csv", _rows(1))
    kept = bare("plan", "--json", "--set", "policy.empty=keep")
    cleared = bare("apply", "--yes", "--json")

    assert kept.json["verdict"] == "in_step"
    left = set() if profile.clears_tags else {"tags"}
    assert cleared.code == profile.done
    assert {"avatar", "tags"} & {key for key, value in sandbox.users()["u0"].items() if value} == left


def test_an_empty_role_is_never_a_demotion(bare: Shell, sandbox: Sandbox) -> None:
    """Nobody loses a role because a cell is empty."""
    sandbox.load_users([{"uid": "wren", "name": "Wren", "role": "premium"}])
    bare.write("users.csv", "uid,name,plan\nwren,Wren,\n")

    assert bare("plan", "--check", "--map", "role=plan").code == 0


def test_roles_are_created_only_when_that_is_allowed(bare: Shell, sandbox: Sandbox) -> None:
    """create_missing makes the roles that the map names."""
    bare.write("users.csv", "uid,name,plan\nwren,Wren,gold\n")
    allow = ("--set", 'roles.map={gold="gilded"}', "--set", "roles.create_missing=true", "--map", "role=plan")
    refused = bare("apply", "--yes", "--json", "--map", "role=plan")
    created = bare("apply", "--yes", "--json", *allow)

    assert refused.json["source"]["quarantined"] == 1
    assert created.code == 0
    assert sandbox.users()["wren"]["role"] == "gilded"


@under_one_profile
def test_no_role_is_created_for_changes_that_are_held(bare: Shell, sandbox: Sandbox) -> None:
    """A guard keeps every write of its class back, that of the role too."""
    sandbox.load_users([{"uid": "wren", "name": "Wren", "role": "premium"}])
    bare.write("users.csv", "uid,name,plan\nwren,Wren,gold\n")
    allow = ("--set", 'roles.map={gold="gilded"}', "--set", "roles.create_missing=true", "--map", "role=plan")
    held = bare("apply", "--yes", "--json", *allow, "--set", "guards.role_change={percent=0, floor=0}")

    assert (held.code, held.json["outcomes"]["held"]) == (5, 1), held.out
    assert sandbox.counters().writes == 0


def test_unmanaged_users_are_deactivated_only_when_the_policy_says_so(bare: Shell, sandbox: Sandbox) -> None:
    """Protected and quarantined uids are never among them, and nobody is deleted."""
    sandbox.load_users(
        {"uid": uid, "name": uid, "createdAt": 1_700_000_000} for uid in ("u0", "left", "bad-one", "app_system")
    )
    bare.write("users.csv", _rows(1, u0="u0") + "bad-one,,,\n")
    reported = bare("plan", "--json").json
    applied = bare("apply", "--yes", "--json", "--set", "policy.unmanaged=deactivate", *EVERYBODY)
    gone = {uid for uid, user in sandbox.users().items() if user.get("deactivatedAt")}

    assert (reported["drift"]["unmanaged"], reported["drift"]["shielded"]) == (1, 2)
    assert applied.code == 0
    assert applied.json["outcomes"]["applied"] == 1
    assert gone == {"left"}


@under_one_profile
def test_a_row_without_a_uid_holds_every_deactivation(bare: Shell, sandbox: Sandbox) -> None:
    """Nobody knows whom it meant."""
    sandbox.load_users({"uid": uid, "name": uid, "createdAt": 1_700_000_000} for uid in ("u0", "left"))
    bare.write("users.csv", _rows(1, u0="u0") + ",Nameless,,\n")
    result = bare("apply", "--yes", "--json", "--set", "policy.unmanaged=deactivate", *EVERYBODY)

    assert result.code == 5
    assert "no usable uid" in result.json["guards"]["deactivate"]["because"]
    assert not sandbox.users()["left"].get("deactivatedAt")


def test_a_user_that_comes_back_is_reactivated_when_it_was_us(bare: Shell, sandbox: Sandbox) -> None:
    """Only those that our own runs switched off are switched on again by policy."""
    made = {"createdAt": 1_700_000_000}
    sandbox.load_users([{"uid": "u0", "name": "Wren 0"} | made, {"uid": "u1", "name": "Wren 1"} | made])
    sandbox.load_users([{"uid": "u2", "name": "Wren 2", "deactivatedAt": 1_700_000_001} | made])
    bare.write("users.csv", _rows(1))
    bare("apply", "--yes", "--set", "policy.unmanaged=deactivate", *EVERYBODY)
    bare.write("users.csv", _rows(3, u1="Robin"))
    result = bare("apply", "--yes", "--json", "--set", "policy.deactivated=reactivate", "--accept-mapping")
    users = sandbox.users()

    assert result.code == 0
    assert (users["u1"]["name"], users["u1"].get("deactivatedAt")) == ("Robin", None)
    assert users["u2"].get("deactivatedAt")


# It may be raised in a __del__, is lost there, and comes again.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@under_one_profile
def test_a_deadline_stops_cleanly(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """The time is up: what is done is done, and resume does the rest."""
    drifted.fault("latency", low_ms=40, high_ms=60)
    stopped = shell("apply", "--yes", "--json", "--set", "limits.deadline=3s", "--set", "limits.concurrency=1")
    drifted.clear_faults()
    resumed = shell("resume", "--json")
    for _ in range(20):  # each has as long as the run had, and gets further
        if resumed.code not in {7, 8}:
            break
        resumed = shell("resume", "--json")

    assert stopped.code in {7, 8}
    assert "deadline" in stopped.json["error"]["message"]
    assert resumed.code == profile.done, resumed.out


@under_one_profile
def test_a_deadline_counts_from_the_start_of_the_resume(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """Else a run that was stopped by it, or the evening before, could never be finished."""
    drifted.fault("revoke_key", method="PUT", path="/users/*", nth=5)
    stopped = shell("apply", "--yes", "--json", "--set", "limits.deadline=10m")
    drifted.clear_faults()
    drifted.restore_key()
    with closing(sqlite3.connect(shell.folder / "runs" / "state.sqlite")) as state:
        state.execute("UPDATE runs SET started_at = '2020-01-01T00:00:00+00:00'")
        state.commit()
    resumed = shell("resume", "--json")

    assert stopped.code == 8
    assert resumed.json["started_at"].startswith("2020")
    assert resumed.code == profile.done, resumed.out


@under_one_profile
@pytest.mark.parametrize("form", ["text", "json", "md", "html", "csv"])
def test_a_report_is_shown_again_in_any_form(shell: Shell, drifted: Sandbox, form: str) -> None:
    """The newest run without a name, any other by its id."""
    run_id = shell("plan", "--json").json["run_id"]
    newest, named = shell("report", "--format", form), shell("report", run_id, "--format", form)

    assert newest.code == 0
    assert newest.out == named.out
    assert len(newest.out) > 100


@under_one_profile
def test_runs_lists_the_newest_first(shell: Shell, drifted: Sandbox) -> None:
    """What ran, how it ended, what it found, and how long it took."""
    ids = [shell("plan", "--json").json["run_id"] for _ in range(2)]
    rows = shell("runs", "--json").json["runs"]
    shown = shell("runs").out

    assert [row["run_id"] for row in rows] == sorted(ids, reverse=True)
    assert all(run_id in shown for run_id in ids)
    assert {row["drift"] for row in rows} == {100}
    assert all(row["planned"] >= 104 and row["seconds"] >= 0 and row["failed"] is None for row in rows)
    assert "drift  ██  100 -> 100" in shown
    assert len(shell("runs", "--limit", "1", "--json").json["runs"]) == 1


@under_one_profile
def test_runs_names_the_users_that_flap(bare: Shell, sandbox: Sandbox) -> None:
    """Somebody else writes another name every day, and the job puts it back every night."""
    bare.write("users.csv", _rows(2))
    for _ in range(3):
        bare("apply", "--yes")
        sandbox.load_users([{**sandbox.users()["u0"], "name": "Somebody"}])
    found = bare("runs", "--json").json["flapping"]

    assert found == [{"uid": "u0", "field": "name", "runs": 3}]
    assert "1 user flaps" in bare("runs").out


@under_one_profile
def test_old_runs_are_let_go(shell: Shell, drifted: Sandbox) -> None:
    """run.keep bounds what piles up, runs that wrote and dry runs counted apart."""
    shell("apply", "--yes", "--set", "run.keep=2")
    for _ in range(4):
        shell("plan", "--set", "run.keep=2")
    folders = [path.name for path in (shell.folder / "runs").iterdir() if path.is_dir() and not path.is_symlink()]

    assert len(folders) == 3
    assert len(shell("runs", "--json").json["runs"]) == 3


@under_one_profile
def test_the_environment_sets_any_key(shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """RECONCILE_SECTION__KEY, below the flags and above the file."""
    monkeypatch.setenv("RECONCILE_GUARDS__MIN_ROWS", "5000")
    refused, allowed = shell("plan"), shell("plan", "--set", "guards.min_rows=1")

    assert (refused.code, allowed.code) == (6, 0)


@under_one_profile
def test_the_demo_needs_nothing(shell: Shell) -> None:
    """It plans, applies, and proves that a second plan is empty."""
    result = shell("demo", "--quiet")

    assert result.code == 0, result.err
    assert "Applied: 104 of 104 changes made." in result.out
    assert "In step: nothing to change." in result.out
    assert json.loads(next((shell.folder / "reconcile-demo").rglob("report.json")).read_text())["app_id"] == "demo"


@under_one_profile
@pytest.mark.parametrize("form", ["console", "json"])
def test_a_log_on_a_full_disk_ends_no_run(shell: Shell, drifted: Sandbox, profile: Profile, form: str) -> None:
    """It is lost, and the users are in step all the same; the words of an error are lost, too, and not its code."""
    command = [sys.executable, "-m", "reconcile", "apply", "--yes", "--log-format", form]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command, cwd=shell.folder, stdout=subprocess.PIPE, stderr=full, text=True, check=False
        )
        wrong = subprocess.run([*command, "--no-such-flag"], stderr=full, check=False)

    assert ended.returncode == profile.done, ended.stdout
    assert "changes made" in ended.stdout.splitlines()[0]
    assert wrong.returncode == 2


@under_one_profile
@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_a_result_that_cannot_be_printed_changes_no_exit_code(
    shell: Shell, drifted: Sandbox, profile: Profile, flags: list[str]
) -> None:
    """It stands in the report, and stderr says where; it once ended as a bug."""
    command = [sys.executable, "-m", "reconcile", "apply", "--yes", "--quiet", *flags]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command, cwd=shell.folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert ended.returncode == profile.done
    assert "the result cannot be printed: No space left on device; it stands in runs" in ended.stderr


@under_one_profile
@pytest.mark.parametrize("command", ["demo", "plan", "runs", "report"])
def test_a_reader_that_has_seen_enough_is_no_failure(shell: Shell, drifted: Sandbox, command: str) -> None:
    """`reconcile demo | head -1` once ended as a bug does, and before the demo was over."""
    shell("plan")
    whole = [sys.executable, "-m", "reconcile", command]
    process = subprocess.Popen(whole, cwd=shell.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate()

    assert process.returncode == 0, err
    assert command != "demo" or len(list((shell.folder / "reconcile-demo").rglob("report.json"))) > 1


class _Stopped(datetime):
    """A clock that shows one second."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "_Stopped":
        return cls(2096, 11, 23, 2, 15, tzinfo=tz)


@under_one_profile
def test_runs_of_one_second_sort_in_their_order(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once one of them could bear the id of another, or let an older one go in its place."""
    monkeypatch.setattr("reconcile.run.datetime", _Stopped)
    told = [shell("plan", "--json").json["run_id"] for _ in range(4)]

    assert told == sorted(set(told))
    assert {run_id[:15] for run_id in told} == {"20961123T021500"}
