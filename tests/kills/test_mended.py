"""What once went wrong after a run was ended in the middle, each by its symptom."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.kills.scene import KILL, RESUME, Scene, newest, unfinished
from tests.kills.warm import Started


def _kill_at(scene: Scene, path: str, call: str, number: int) -> tuple[Path, tuple[str, ...]]:
    """Kill a run when its n-th request of a kind was carried out and not answered."""
    folder, argv = scene.set_up(path)
    pids: list[Started] = []
    with scene.at_request(number, lambda: pids[0].send(KILL), answered=True, call=call):
        pids.append(scene.start(folder, *argv))
        assert pids[0].wait() == -KILL
    return folder, argv


def _tamper(folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(folder / "runs" / "state.sqlite")) as connection, connection:
        connection.execute(sql)


def test_resume_did_not_skip_the_role_of_a_user_whose_profile_it_had_written(scene: Scene) -> None:
    """The second change of a user expects the record that the first one left, also in another process."""
    seen = scene.undisturbed("adopt")
    for number in range(1, 13):
        folder, _ = _kill_at(scene, "adopt", "PUT /users/{uid}", number)
        assert scene.run(folder, *RESUME)[0] == 0
        assert scene.see(folder).outcomes == seen.outcomes


def test_who_was_switched_on_is_not_switched_on_again(scene: Scene) -> None:
    """Killed while the answer of the batch was on its way, resume looks before it sends."""
    seen = scene.undisturbed("apply")
    folder, _ = _kill_at(scene, "apply", "PUT /users", 1)

    assert scene.run(folder, *RESUME)[0] == 0
    assert scene.see(folder).writes == seen.writes


def test_a_run_whose_folder_vanished_is_no_bug(scene: Scene) -> None:
    """Resume says that it cannot; the next apply settles what was left open by looking, and does the rest."""
    seen = scene.undisturbed("apply")
    folder, argv = _kill_at(scene, "apply", "PUT /users/{uid}", 5)
    shutil.rmtree(folder / "runs" / newest(folder))
    code, err = scene.run(folder, *RESUME)
    again, told = scene.run(folder, *argv)

    assert (code, "Traceback" in err) == (8, False)
    assert "start anew: reconcile apply" in err
    assert again == 0, told
    with closing(sqlite3.connect(folder / "runs" / "state.sqlite")) as connection:
        looked = connection.execute("SELECT count(*) FROM outcomes WHERE detail = 'settled by looking'").fetchone()
    assert looked[0] >= 1
    assert scene.see(folder).users == seen.users


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE runs SET settings = '{\"settings\": {\"limits\": 7}}' WHERE state <> 'finished'",
        "UPDATE runs SET state = 'pondering' WHERE state <> 'finished'",
    ],
)
def test_a_run_of_another_version_is_no_bug(scene: Scene, sql: str) -> None:
    """What it recorded is not understood: exit 2 with the way on, which works."""
    folder, argv = _kill_at(scene, "apply", "PUT /users/{uid}", 5)
    _tamper(folder, sql)
    code, err = scene.run(folder, *RESUME)

    assert (code, "Traceback" in err) == (2, False)
    assert "start anew: reconcile apply" in err
    assert scene.run(folder, *argv)[0] == 0
    assert unfinished(folder) == ""


def test_a_kill_behind_the_sealed_plan_does_not_pass_by_the_review(scene: Scene) -> None:
    """A changed mapping asks for a reviewed plan, also where a resume takes the plan up."""
    folder, argv = scene.set_up("apply")
    settings = folder / "reconcile.toml"
    settings.write_text(settings.read_text("utf-8").replace('name = "name"', 'name = "uid"'), "utf-8")
    assert scene.run(folder, *argv)[0] == 5
    scene.sandbox.clear_log()
    _tamper(folder, "UPDATE runs SET state = 'planning' WHERE run_id = (SELECT max(run_id) FROM runs)")
    code, err = scene.run(folder, *RESUME)

    assert code == 5, err
    assert scene.sandbox.counters().writes == 0


def test_users_that_could_not_be_seen_keep_a_saved_plan_from_switching_off(scene: Scene) -> None:
    """The plan says that somebody was unknown; once the run that adopted it did not know."""
    folder, _ = scene.set_up("apply")
    export = folder / "users.csv"
    rows = export.read_text("utf-8").splitlines(keepends=True)
    # One that is missing is asked for by itself; more would be looked for by another walk.
    export.write_text("".join(row for row in rows if not row.startswith("new-") or row[4] == "0"), "utf-8")
    scene.sandbox.fault("status", code=400, error="ERR_BAD", method="GET", path="/users/new-0")
    scene.run(folder, "plan", "--accept-source")
    scene.sandbox.clear_faults()
    code, err = scene.run(folder, "apply", newest(folder), "--yes")
    report = json.loads((folder / "runs" / "latest" / "report.json").read_bytes())

    assert code == 4, err
    assert report["drift"]["unknown"] == 1
    assert report["plan"]["deactivate"] == 6
    assert report["outcomes"]["not_attempted"] >= 6
    assert scene.sandbox.counters().by_method.get("DELETE", 0) == 0
