"""The exit code and the report tell what was done, whatever happens to the files, descriptors and streams of a run."""

import csv
import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kills.scene import RESUME, Scene, newest

PUT = "PUT /users/{uid}"
AT_WORK = 4  # as the settings of the scene say: so many writes may be under way at once
PIPE = 4096
SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ


def _remove(runs: Path) -> None:
    (runs / "state.sqlite").unlink()


def _replace(runs: Path) -> None:
    shutil.copy(runs / "state.sqlite", runs / "older")
    (runs / "older").replace(runs / "state.sqlite")


def _move(runs: Path) -> None:
    runs.rename(runs.with_name("moved"))


def _delete(runs: Path) -> None:
    shutil.rmtree(runs)


def _cut(runs: Path) -> None:
    for path in runs.glob("state.sqlite*"):
        os.truncate(path, 0)


def _overwrite(runs: Path) -> None:
    with (runs / "state.sqlite").open("r+b") as file:
        file.write(os.urandom(4096))


ATTACKS = {
    "the state file is removed": _remove,
    "the state file is replaced by a copy": _replace,
    "the run directory is moved": _move,
    "the run directory is deleted": _delete,
    "the state files are cut": _cut,
    "the first page is overwritten": _overwrite,
}


@pytest.mark.parametrize("name", ATTACKS)
def test_no_write_leaves_whose_record_is_not_in_the_file_that_stands_there(scene: Scene, name: str) -> None:
    """The run stops with exit 8, says how far it came, and writes its report where there is a place for it."""
    folder, argv = scene.set_up("apply")
    runs = folder / "runs"
    until_then: list[int] = []

    def attack() -> None:
        ATTACKS[name](runs)
        until_then.append(scene.sandbox.counters().writes)

    with scene.at_request(5, attack, answered=True, call=PUT):
        started = scene.start(folder, *argv)
        code = started.wait()
    err, out = (path.read_text("utf-8") for path in (started.err, started.out))
    written = sum(number for (_, _uid), number in scene._writes().items())

    assert code == 8, err
    assert 5 <= written <= until_then[0] + AT_WORK
    assert f"Stopped: {written} of" in out
    assert "Traceback" not in err
    if runs.exists():
        report = json.loads((runs / newest(folder) / "report.json").read_bytes())
        assert (report["exit_code"], report["outcomes"]["applied"]) == (8, written)


def test_a_state_file_that_is_lost_before_the_first_write_is_exit_2(scene: Scene) -> None:
    """Nothing was written, and the report says that."""
    folder, argv = scene.set_up("apply")
    with scene.at_request(1, lambda: _remove(folder / "runs"), answered=True):
        code, err = scene.run(folder, *argv)

    assert code == 2, err
    assert "removed or moved" in err
    assert scene.sandbox.counters().writes == 0
    assert "nothing was written" in _report(folder)["headline"]


def test_a_plan_that_is_cut_during_the_run_leaves_the_counts_of_what_was_done(scene: Scene) -> None:
    """The rest of the plan cannot be known, so the sums do not add up: exit 1, and not a bug."""
    folder, argv = scene.set_up("apply")

    def cut() -> None:
        os.truncate(folder / "runs" / newest(folder) / "plan.jsonl.gz", 0)

    with scene.at_request(5, cut, answered=True, call=PUT):
        code, err = scene.run(folder, *argv)
    report = _report(folder)

    assert code == 1, err
    assert "Traceback" not in err
    assert report["verdict"] == "inconsistent"
    assert report["outcomes"]["applied"] == sum(scene._writes().values())


def test_no_other_program_can_lock_the_state_file_during_a_run(scene: Scene) -> None:
    """Once its lock made the run count changes that it had sent as not attempted."""
    folder, argv = scene.set_up("apply")
    refused: list[str] = []

    def lock() -> None:
        with closing(sqlite3.connect(folder / "runs" / "state.sqlite", isolation_level=None, timeout=0)) as other:
            try:
                other.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                refused.append(str(error))

    with scene.at_request(5, lock, answered=True, call=PUT):
        code, err = scene.run(folder, *argv)

    assert code == 0, err
    assert refused == ["database is locked"]


def test_outcomes_that_the_state_file_lacks_make_the_report_inconsistent(scene: Scene) -> None:
    """They are told from what the run knows, with exit 1, and never as a canary."""
    folder, argv = scene.set_up("apply")
    with closing(sqlite3.connect(folder / "runs" / "state.sqlite")) as state, state:
        state.execute(
            "CREATE TRIGGER lose AFTER INSERT ON outcomes BEGIN"
            " DELETE FROM outcomes WHERE run_id = new.run_id AND seq = new.seq; END"
        )
    code, _ = scene.run(folder, *argv)
    report = _report(folder)

    assert code == 1
    assert report["verdict"] == "inconsistent"
    assert "the state file lacks the outcomes of" in report["headline"]
    assert report["outcomes"]["not_attempted"] == 0
    assert report["outcomes"]["applied"] == sum(report["plan"][kind] for kind in report["plan"] if kind != "held")


def test_a_resume_that_is_refused_keeps_the_report_of_its_run(scene: Scene) -> None:
    """The key was revoked half-way: the outcomes, the findings and the tables stay; only the end is new."""
    folder, argv = scene.set_up("apply")
    with (folder / "users.csv").open("a", encoding="utf-8") as export:
        export.write("no uid,Nobody,,,,\n")
    scene.sandbox.fault("status", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", method="PUT", nth=5)
    first, _ = scene.run(folder, *argv)
    before, changes = _report(folder), _outcomes(folder)
    rows = (folder / "runs" / newest(folder) / "quarantine.csv").read_bytes()
    scene.sandbox.clear_faults()
    scene.sandbox.fault("status", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND")
    again, err = scene.run(folder, *RESUME)
    after = _report(folder)

    assert (first, again) == (8, 8), err
    assert before["outcomes"]["applied"] > 0
    for part in ("outcomes", "plan", "drift", "directory", "source"):
        assert after[part] == before[part], part
    assert _outcomes(folder) == changes
    assert after["headline"] == before["headline"]
    assert before["source"]["quarantined"] == 1
    assert (folder / "runs" / newest(folder) / "quarantine.csv").read_bytes() == rows


def test_a_resume_whose_state_file_cannot_be_read_keeps_the_report_of_its_run(scene: Scene) -> None:
    """It is refused before it is a run again, so nothing of its folder is touched."""
    folder, argv = scene.set_up("apply")
    scene.sandbox.fault("status", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", method="PUT", nth=5)
    scene.run(folder, *argv)
    scene.sandbox.clear_faults()
    before, run_id = _report(folder), newest(folder)
    _overwrite(folder / "runs")
    code, err = scene.run(folder, *RESUME)

    assert code == 2, err
    assert _report(folder) == before
    assert newest(folder) == run_id


def test_a_folder_that_is_removed_during_the_run_gets_its_report_all_the_same(scene: Scene) -> None:
    """The state file stands, so the run goes on to its end."""
    folder, argv = scene.set_up("apply")
    with scene.at_request(5, lambda: shutil.rmtree(folder / "runs" / newest(folder)), answered=True, call=PUT):
        code, err = scene.run(folder, *argv)

    assert code == 0, err
    assert scene.see(folder).outcomes["not_attempted"] == 0


def test_a_resume_without_its_plan_keeps_the_outcomes_of_its_run(scene: Scene) -> None:
    """It cannot go on, and does not say that nothing was written."""
    folder, argv = scene.set_up("apply")
    scene.sandbox.fault("status", code=401, error="AUTH_ERR_APIKEY_NOT_FOUND", method="PUT", nth=5)
    scene.run(folder, *argv)
    scene.sandbox.clear_faults()
    before, run_id = _report(folder), newest(folder)
    (folder / "runs" / run_id / "plan.jsonl.gz").unlink()
    code, err = scene.run(folder, *RESUME)
    after = _report(folder)

    assert code == 8, err
    assert after["outcomes"] == before["outcomes"]
    assert "nothing was written" not in after["headline"]


@pytest.mark.parametrize("number", [12, 20, 26, 40])
def test_few_descriptors_are_told_as_what_they_are(scene: Scene, number: int) -> None:
    """Enough: done, with a report. Too few: exit 2 before the first write, with the remedy, and not a word of CometChat."""
    folder, argv = scene.set_up("apply")
    code, err = scene.run(folder, *argv, open_files=number)

    assert code in {0, 2}, err
    assert (scene.sandbox.counters().writes == 0) is (code == 2)
    assert "breaker" not in err
    if code:
        assert "ulimit -n" in err
    else:
        assert scene.see(folder).outcomes["not_attempted"] == 0


def test_looking_beside_a_run_sees_what_it_has_done_so_far(scene: Scene) -> None:
    """The run has the file for itself; others read a copy, and leave nothing behind."""
    folder, argv = scene.set_up("apply")
    seen: list[dict[str, Any]] = []
    offered: list[bytes] = []
    places = folder / "tmp"
    places.mkdir()

    def look() -> None:
        words = [sys.executable, "-m", "reconcile", "runs", "--json"]
        env = {**scene.env, "TMPDIR": str(places)}
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, check=True, timeout=120)
        seen.append(json.loads(done.stdout)["runs"][0])
        words = ["bash", "-c", "COMP_WORDS='reconcile report ' COMP_CWORD=2 exec reconcile"]
        env |= {"PATH": f"{Path(sys.executable).parent}:{env['PATH']}", "_RECONCILE_COMPLETE": "bash_complete"}
        offered.append(subprocess.run(words, cwd=folder, env=env, capture_output=True, check=True).stdout)

    with scene.at_request(5, look, answered=True, call=PUT):
        code, err = scene.run(folder, *argv)

    assert code == 0, err
    assert (seen[0]["run_id"], seen[0]["verdict"]) == (newest(folder), None)
    assert newest(folder).encode() in offered[0]
    assert list(places.iterdir()) == []


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "| true"])
def test_closed_streams_end_nothing(scene: Scene, redirect: str) -> None:
    """As some schedulers start a job: all is written, the report is there, and the exit code is that of the run."""
    folder, argv = scene.set_up("apply")
    words = f"set -o pipefail; {sys.executable} -m reconcile {' '.join(argv)} {redirect}"
    done = subprocess.run(["bash", "-c", words], cwd=folder, env=scene.env, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr
    assert _report(folder)["exit_code"] == 0


@contextmanager
def _asleep() -> Iterator[int]:
    """Give the near end of a full pipe whose reader reads nothing."""
    far, near = os.pipe()
    fcntl.fcntl(near, SET_PIPE_SIZE, PIPE)
    os.write(near, bytes(PIPE))
    yield near
    os.close(near)
    os.close(far)


def _blocked(scene: Scene, folder: Path, *argv: str, **streams: int) -> subprocess.Popen[bytes]:
    nowhere: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    command = [sys.executable, "-m", "reconcile", *argv]
    return subprocess.Popen(command, cwd=folder, env=scene.env, **(nowhere | streams))


@pytest.mark.skipif(sys.platform != "linux", reason="sets the size of a pipe")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_sleeps_holds_up_nothing(scene: Scene, stream: str) -> None:
    """Its lines are lost; the writes, the report and the exit code are not, and the next run gets the lock."""
    folder, argv = scene.set_up("apply")
    with _asleep() as near, _blocked(scene, folder, *argv, "-v", **{stream: near}) as process:
        assert process.wait(120) == 0
    assert scene.see(folder).outcomes["not_attempted"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="sets the size of a pipe")
def test_a_reader_that_sleeps_does_not_delay_sigterm(scene: Scene) -> None:
    """Ten seconds and a half at most, however much of the log waits."""
    folder, argv = scene.set_up("apply")
    with _asleep() as near:
        began: list[float] = []
        scene.sandbox.fault("latency", low_ms=50, high_ms=50)
        with _blocked(scene, folder, *argv, "-v", stderr=near) as process:

            def stop() -> None:
                began.append(time.monotonic())
                process.send_signal(signal.SIGTERM)

            with scene.at_request(5, stop, answered=True, call=PUT):
                code = process.wait(120)
            took = time.monotonic() - began[0]

    assert code == 143
    assert took < 10.5 + 3
    assert _report(folder)["exit_code"] == 143


def _report(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "runs" / newest(folder) / "report.json").read_bytes())
    return report


def _outcomes(folder: Path) -> Counter[str]:
    with (folder / "runs" / newest(folder) / "changes.csv").open(encoding="utf-8", newline="") as file:
        return Counter(row["outcome"] for row in csv.DictReader(file))
