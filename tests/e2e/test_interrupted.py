"""Runs that are stopped or killed on the way, as processes of their own, and how they are finished."""

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from reconcile.core.bodies import verify
from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import State
from tests.conftest import Shell
from tests.e2e.profiles import Profile, in_turn, under_one_profile
from tests.e2e.traces import creates_per_uid

PATIENCE_S = 30.0


def _start(
    *argv: str, stdin: int | None = None, begin: tuple[str, str] = ("-m", "reconcile")
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *begin, *argv],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def _wait_until(holds: Callable[[], bool]) -> None:
    """Wait for something to happen in another process; fail when it never does."""
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends, "nothing happened"
        time.sleep(0.005)  # noqa: TID251 - another process is at work


@in_turn(("writes",), [(1,), (17,), (60,)])
def test_a_killed_apply_is_finished_by_resume(
    shell: Shell, drifted: Sandbox, profile: Profile, writes: int
) -> None:
    """SIGKILL in the middle, then resume: everybody is in step, and nobody was created twice."""
    drifted.fault("latency", low_ms=2, high_ms=8)
    process = _start("apply", "--yes")
    _wait_until(lambda: drifted.counters().writes >= writes)
    process.kill()
    process.communicate()
    resumed = shell("resume", "--json")
    check = shell("plan", "--check")

    assert process.returncode == -signal.SIGKILL
    assert resumed.code == profile.done, resumed.err
    assert check.code == profile.done
    assert max(creates_per_uid(drifted).values()) == 1


@under_one_profile
def test_killed_while_planning_it_plans_again(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """Nothing was written yet, so resume begins at the beginning."""
    drifted.fault("latency", low_ms=300, high_ms=400)
    process = _start("apply", "--yes")
    _wait_until(lambda: drifted.counters().requests >= 2)
    process.kill()
    process.communicate()
    drifted.clear_faults()
    resumed = shell("resume", "--json")

    assert resumed.code == profile.done
    assert resumed.json["outcomes"]["applied"] == 104 - len(profile.stuck_in_samples)


@under_one_profile
def test_the_question_of_a_canary_names_what_will_be_sent(shell: Shell, drifted: Sandbox) -> None:
    """Once it named the counts of the whole plan, of which the first few were sent."""
    terminal, its_end = pty.openpty()
    process = _start("apply", "--json", "--limit", "3", stdin=its_end)
    assert process.stderr is not None
    while "to create" not in (question := process.stderr.readline()):
        pass
    os.write(terminal, b"y\n")
    out, _ = process.communicate(timeout=PATIENCE_S)
    report = json.loads(out)
    planned = sum(report["plan"][action] for action in ("create", "update", "reactivate", "deactivate"))

    assert ": a canary of the first 3 changes: 3 to create, 0 to update, " in question
    assert f"The other {planned - 3} changes are left." in question
    assert report["verdict"] == "canary"
    assert creates_per_uid(drifted).total() == 3


@under_one_profile
@pytest.mark.parametrize(
    ("answer", "number", "code"),
    [
        (b"n\n", None, 2),
        (b"\x04", None, 2),
        (b"", signal.SIGINT, 130),
        (b"", signal.SIGTERM, 143),
    ],
    ids=["no", "end of input", "SIGINT", "SIGTERM"],
)
def test_a_question_that_is_not_answered_with_yes_is_answered_with_no(
    shell: Shell, drifted: Sandbox, answer: bytes, number: signal.Signals | None, code: int
) -> None:
    """At once, without a write; the plan can be applied, and no resume carries it out unasked."""
    terminal, its_end = pty.openpty()
    process = _start("apply", "--json", stdin=its_end)
    assert process.stderr is not None
    while "to create" not in process.stderr.readline():
        pass
    os.write(terminal, answer)
    if number is not None:
        process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE_S)
    report = json.loads(out)

    assert (process.returncode, report["exit_code"]) == (code, code)
    assert f"reconcile apply {report['run_id']}" in report["needs"][0]
    assert shell("resume").out == "Nothing to finish.\n"
    assert drifted.counters().writes == 0


@under_one_profile
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_in_good_order(
    shell: Shell, drifted: Sandbox, profile: Profile, number: signal.Signals, code: int
) -> None:
    """No new write starts, the report says what was done, and resume does the rest."""
    drifted.fault("latency", low_ms=5, high_ms=20)
    process = _start("apply", "--yes", "--json")
    _wait_until(lambda: drifted.counters().writes >= 20)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    report = json.loads(out)
    resumed = shell("resume", "--json")

    assert process.returncode == code, err
    assert report["verdict"] == "interrupted"
    assert report["outcomes"]["not_attempted"] > 0
    assert resumed.code == profile.done
    assert sum(resumed.json["outcomes"].values()) == 104
    assert resumed.json["outcomes"]["not_attempted"] == 0


@under_one_profile
def test_nothing_to_finish_is_said(shell: Shell, drifted: Sandbox) -> None:
    """Resume after a run that ended well does nothing."""
    shell("apply", "--yes")
    result = shell("resume")

    assert (result.code, result.out) == (0, "Nothing to finish.\n")


def test_a_new_apply_takes_the_place_of_an_unfinished_one(
    shell: Shell, drifted: Sandbox, profile: Profile
) -> None:
    """What the old run left open is settled by looking, and it is not finished twice."""
    drifted.fault("latency", low_ms=2, high_ms=8)
    process = _start("apply", "--yes")
    _wait_until(lambda: drifted.counters().writes >= 30)
    process.kill()
    process.communicate()
    again = shell("apply", "--yes", "--json")

    assert again.code in {0, profile.done}  # the rejected may have been the first run's
    assert "was not finished" in " ".join(again.json["notes"])
    assert shell("resume").out == "Nothing to finish.\n"
    assert shell("plan", "--check").code == profile.done


@under_one_profile
@pytest.mark.parametrize("place", ["store.state.State.intend", "applying.upserts.verify"])
def test_a_bug_in_the_middle_leaves_a_run_that_resume_finishes(
    shell: Shell, drifted: Sandbox, profile: Profile, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Once it counted as finished, and what it had sent was never settled; before a write, and after it."""
    works: dict[str, Any] = {"store.state.State.intend": State.intend, "applying.upserts.verify": verify}
    calls, words = count(), "Ada Lovelace"

    def burst(*arguments: object, **named: object) -> object:
        if next(calls) == 40:
            raise ZeroDivisionError(words)
        found: object = works[place](*arguments, **named)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(f"reconcile.{place}", burst)
        ended = shell("apply", "--yes", "--quiet")
    report = json.loads(shell.latest("report.json").read_text())
    listed = shell("runs").out
    resumed = shell("resume", "--json")
    check = shell("plan", "--check")

    assert (ended.code, report["exit_code"], report["verdict"]) == (1, 1, "inconsistent"), ended.err
    assert "ZeroDivisionError" in report["error"]["message"]
    assert "burst" in report["error"]["traceback"]
    assert words not in json.dumps(report["error"])
    assert "the rest of the plan waits: reconcile resume" in report["needs"]
    assert report["outcomes"]["not_attempted"] > 0
    assert report["run_id"] in listed
    assert (resumed.code, resumed.json["run_id"]) == (profile.done, report["run_id"]), resumed.err
    assert check.code == profile.done
    assert max(creates_per_uid(drifted).values()) == 1


@under_one_profile
def test_a_bug_before_the_first_write_leaves_nothing_to_finish(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is run again."""
    with monkeypatch.context() as patch:
        patch.setattr("reconcile.planning.from_source.judge_changes", lambda *_, **__: 1 // 0)
        ended = shell("apply", "--yes", "--quiet")

    assert ended.code == 1
    assert shell("resume").out == "Nothing to finish.\n"


@under_one_profile
def test_two_starts_at_once_are_one_run(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """Exactly one of them works, the other says who does."""
    drifted.fault("latency", low_ms=50, high_ms=60)
    processes = [_start("apply", "--yes") for _ in range(2)]
    for process in processes:
        process.communicate(timeout=PATIENCE_S)

    assert sorted(process.returncode for process in processes) == [profile.done, 9]


@under_one_profile
def test_the_key_is_in_no_byte_that_a_run_leaves(shell: Shell, drifted: Sandbox) -> None:
    """Not in a file, a stream, a log line or a traceback."""
    results = [shell("plan", "-v"), shell("apply", "--yes", "-v", "--log-format", "json"), shell("doctor")]
    key = drifted.api_key
    files = [path for path in Path("runs").rglob("*") if path.is_file()]

    assert all(key not in result.out + result.err for result in results)
    assert all(key.encode() not in path.read_bytes() for path in files)


@under_one_profile
def test_every_log_line_bears_the_run(shell: Shell, drifted: Sandbox) -> None:
    """A log that is collected centrally can be told apart by run."""
    result = shell("plan", "--json", "--log-format", "json")
    lines = [json.loads(line) for line in result.err.splitlines()]

    assert lines
    assert {line["run_id"] for line in lines} == {result.json["run_id"]}


# What a shell starts in the background has SIGINT ignored, and so has all that it starts: these tests may be.
HEARS_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from reconcile.__main__ import main
main()
"""
ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select i as uid, 'x' as name from n where i < 0"


@under_one_profile
@pytest.mark.parametrize("command", ["plan", "explain", "doctor"])
def test_ctrl_c_in_a_query_of_sqlite_is_no_broken_source(shell: Shell, drifted: Sandbox, command: str) -> None:
    """SQLite calls what a signal raises an error of its own; once the commands that only look ended with 6."""
    sqlite3.connect(shell.folder / "users.db").close()
    shell.write("empty.toml", "")
    argv = (command, *(["u1"] if command == "explain" else []), "--config", "empty.toml", "--quiet")
    source = ("--source", "sqlite:///users.db", "--query", ENDLESS, "--set", "cometchat.app_id=demo")
    process = _start(*argv, *source, begin=("-c", HEARS_CTRL_C))
    try:
        _wait_until(lambda: _cpu_s(process.pid) > 1.5)  # it is past its imports
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()

    assert process.returncode == 130, err
    assert "cannot be read" not in err


# It may be raised in a __del__, is lost there, and comes again.
@under_one_profile
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_deadline_ends_a_query_that_goes_on_for_ever(shell: Shell, drifted: Sandbox) -> None:
    """Once it was seen only when the database had given its last row."""
    sqlite3.connect(shell.folder / "users.db").close()
    shell.write("empty.toml", "")
    source = ("--source", "sqlite:///users.db", "--query", ENDLESS, "--set", "cometchat.app_id=demo")
    stopped = shell("plan", "--config", "empty.toml", "--json", *source, "--set", "limits.deadline=0.3s")

    assert stopped.code == 7
    assert stopped.json["error"]["message"] == "the deadline of 0.3s passed"


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(") ")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")
