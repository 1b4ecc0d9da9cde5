"""SIGTERM and SIGINT in every stage: a quick end in good order, which resume completes."""

import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kills.scene import RESUME, Scene, newest
from tests.kills.warm import Started
from tests.scale import dice, how_many

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}
SLACK_S = 3.0  # a loaded machine is slow; the waits that a broken promise would show are ten seconds and more
WAITS_S = 60
CASES = how_many(12, soak=100)


def _timed(started: Started) -> tuple[int, float]:
    began = time.monotonic()
    return started.wait(), time.monotonic() - began


def _when(holds: Callable[[], object], started: Started) -> Started:
    ends = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends, started.err.read_text("utf-8")
        time.sleep(0.002)  # noqa: TID251 - another process is at work
    return started


@pytest.mark.parametrize("case", range(CASES))
def test_a_signal_at_any_time_ends_the_run_at_once_and_resume_finishes_it(scene: Scene, case: int) -> None:
    """The exit code of the signal, a report that adds up, and the same end as undisturbed."""
    random = dice(f"signals/{case}")
    seen = scene.undisturbed("apply")
    folder, argv = scene.set_up("apply")
    number = random.choice(list(SIGNALS))
    runs = len(list((folder / "runs").iterdir()))
    pids: list[Started] = []
    with scene.at_request(random.randint(1, seen.requests), lambda: pids[0].send(number), answered=False):
        pids.append(scene.start(folder, *argv))
        code = pids[0].wait()
    assert len(list((folder / "runs").iterdir())) == runs + 1
    reported = scene.see(folder)

    assert code == SIGNALS[number] or (code == 0 and not reported.outcomes.get("not_attempted"))
    if code:
        resumed, err = scene.run(folder, *RESUME)
        assert resumed == 0, err
    ended = scene.see(folder)
    assert (ended.users, ended.writes, ended.outcomes) == (seen.users, seen.writes, seen.outcomes)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_long_retry_after_is_not_waited_out(scene: Scene, number: signal.Signals, method: str) -> None:
    """A run that waits for the service's leave ends at once, before its writes and between them."""
    folder, argv = scene.set_up("apply")
    scene.sandbox.fault(
        "status", code=429, error="ERR_TOO_MANY_REQUESTS", retry_after=str(WAITS_S), method=method, nth=3
    )
    started = scene.start(folder, *argv)
    _when(lambda: b"throttled" in started.err.read_bytes(), started).send(number)
    code, took = _timed(started)

    assert code == SIGNALS[number]
    assert took < 1 + SLACK_S


def test_the_pace_is_not_waited_out(scene: Scene) -> None:
    """A run that may send one request a second, or fewer, ends between two of them."""
    folder, argv = scene.set_up("apply")
    rates = [word for group in ("core", "standard") for word in ("--set", f"limits.{group}_per_minute=20")]
    started = scene.start(folder, *argv, *rates)
    _when(lambda: scene.sandbox.counters().requests >= 2, started).send(signal.SIGTERM)
    code, took = _timed(started)

    assert code == 143
    assert took < 1 + SLACK_S


def test_a_read_that_gets_no_answer_is_left(scene: Scene) -> None:
    """Once the read timeout of half a minute was waited out, and longer where several were under way."""
    folder, argv = scene.set_up("apply")
    scene.sandbox.fault("silence", seconds=WAITS_S, method="GET")
    started = scene.start(folder, *argv)
    _when(lambda: _arrived(scene), started).send(signal.SIGTERM)
    code, took = _timed(started)

    assert code == 143
    assert took < 1 + SLACK_S
    assert scene.see(folder).outcomes == {}


def test_a_write_that_gets_no_answer_is_left_after_ten_seconds(scene: Scene) -> None:
    """It stays an open intent; the report is there, and resume looks what became of it."""
    seen = scene.undisturbed("apply")
    folder, argv = scene.set_up("apply")
    scene.sandbox.fault("silence", seconds=WAITS_S, method="PUT", path="/users/*", when="after", times=1)
    started = scene.start(folder, *argv)
    _when(lambda: _has_written(scene), started)
    started.send(signal.SIGTERM)
    code, took = _timed(started)
    first = scene.see(folder)
    scene.sandbox.clear_faults()
    resumed, err = scene.run(folder, *RESUME)

    assert code == 143
    assert took < 10.5 + SLACK_S
    assert first.outcomes["not_attempted"] >= 1
    assert resumed == 0, err
    assert scene.see(folder).users == seen.users


def test_a_second_signal_ends_the_process_on_the_spot(scene: Scene) -> None:
    """Where the first one waits for a write to settle."""
    folder, argv = scene.set_up("apply")
    scene.sandbox.fault("silence", seconds=WAITS_S, method="PUT", path="/users/*", when="after")
    started = scene.start(folder, *argv)
    _when(lambda: _has_written(scene), started)
    started.send(signal.SIGTERM)
    time.sleep(0.2)  # noqa: TID251 - so that the two are two
    started.send(signal.SIGTERM)
    code, took = _timed(started)

    assert code == 143
    assert took < 0.2 + SLACK_S


@pytest.mark.parametrize("number", SIGNALS)
def test_a_pipe_that_says_nothing_is_left(scene: Scene, number: signal.Signals) -> None:
    """Once a run that read its export from standard input did not hear a signal until the pipe closed."""
    folder, _ = scene.set_up("apply")
    with _slow_start(scene, folder, "apply", "--yes", "--source", "-", stdin=subprocess.PIPE) as process:
        _until(lambda: "stage.started" in _log(folder))
        process.send_signal(number)
        began = time.monotonic()

        assert process.wait(10) == SIGNALS[number]
        assert time.monotonic() - began < 1 + SLACK_S
    assert scene.sandbox.counters().requests == 0


_REST = "'Same' as name, '' as avatar, '' as role, '' as tags, '' as country"
_COUNTED = "with recursive n(i) as (select 1 union all select i + 1 from n) select"
ENDLESS = {
    "sqlite, no row": f"{_COUNTED} max(i) as uid, {_REST} from n",
    "sqlite, row by row": f"{_COUNTED} i as uid, {_REST} from n",
    "postgresql": f"select pg_sleep(60)::text as uid, {_REST}",
}


@pytest.mark.parametrize("query", ENDLESS)
def test_a_database_that_does_not_answer_is_left(
    scene: Scene, tmp_path: Path, request: pytest.FixtureRequest, query: str
) -> None:
    """Whatever the query does, and however long its rows go on: no request leaves, and the next run may start."""
    folder, _ = scene.set_up("apply")
    if query == "postgresql":
        url = request.getfixturevalue("postgresql").url()
    else:
        sqlite3.connect(tmp_path / "users.db").close()
        url = f"sqlite:///{tmp_path / 'users.db'}"
    started = scene.start(folder, "apply", "--yes", "--source", url, "--query", ENDLESS[query])
    _when(lambda: b"stage.started" in started.err.read_bytes(), started)
    time.sleep(0.3)  # noqa: TID251 - from the line in the log to the query
    started.send(signal.SIGTERM)
    code, took = _timed(started)

    assert code == 143, started.err.read_text("utf-8")
    assert took < 1 + SLACK_S
    assert scene.sandbox.counters().requests == 0
    assert scene.see(folder).outcomes == {}


@pytest.mark.parametrize("number", SIGNALS)
def test_a_question_that_nobody_answers_is_left(scene: Scene, number: signal.Signals) -> None:
    """Once Ctrl-C at the prompt did nothing until somebody pressed Enter."""
    folder, _ = scene.set_up("apply")
    near, far = pty.openpty()
    with _slow_start(scene, folder, "apply", "--accept-source", stdin=far) as process:
        _until(lambda: "Apply these changes?" in _log(folder))
        process.send_signal(number)

        assert process.wait(10) == SIGNALS[number]
    os.close(near)
    os.close(far)
    assert scene.sandbox.counters().writes == 0
    assert (folder / "runs" / newest(folder) / "report.json").exists()


def test_the_end_of_the_input_is_no_yes(scene: Scene) -> None:
    """Once Ctrl-D at the prompt counted as a bug, with exit code 1 and a traceback."""
    folder, _ = scene.set_up("apply")
    near, far = pty.openpty()
    with _slow_start(scene, folder, "apply", "--accept-source", stdin=far) as process:
        _until(lambda: "Apply these changes?" in _log(folder))
        os.write(near, b"\x04")

        assert process.wait(10) == 2
    os.close(near)
    os.close(far)
    assert "Traceback" not in _log(folder)


def _slow_start(scene: Scene, folder: Path, *argv: str, stdin: int) -> subprocess.Popen[bytes]:
    """Start a whole process, for what needs an input of its own."""
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "reconcile", *argv, "--log-format", "json"],
            cwd=folder,
            env=scene.env,
            stdin=stdin,
            stdout=log,
            stderr=log,
        )


def _log(folder: Path) -> str:
    return (folder / "log").read_text("utf-8")


def _until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends, "nothing happened"
        time.sleep(0.01)  # noqa: TID251 - another process is at work


def _has_written(scene: Scene) -> bool:
    return any(user["name"] == "After" for user in scene.sandbox.users().values())


def _arrived(scene: Scene) -> int:
    return sum(pace.requests for pace in scene.sandbox.pace().values())
