"""Shells complete commands, options and run ids, and start nothing heavy for that."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.shell_completion import ShellComplete

from reconcile.cli import cli
from reconcile.store.reader import RunRow
from reconcile.store.state import State
from tests.test_architecture import HEAVY

RUNS = {
    "20261121T021500Z-aaaa": ("apply", "finished", 3),
    "20261122T021500Z-bbbb": ("plan", "finished", 0),
    "20261123T021500Z-cccc": ("apply", "applying", 0),
}
OLDEST, DRY, UNFINISHED = RUNS
_COMPLETED = """
import atexit, sys
atexit.register(lambda: print("\\n" + " ".join(sorted({name.partition(".")[0] for name in sys.modules}))))
from reconcile.__main__ import main
main()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the state file of three runs."""
    for name in [name for name in os.environ if name.startswith("RECONCILE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "runs").mkdir()
    state = State(tmp_path / "runs" / "state.sqlite", "demo")
    for run_id, (command, stage, writes) in RUNS.items():
        row = RunRow(run_id, command, stage, "2026-11-21T02:15:00+00:00")
        state.begin(row, settings="{}", version="0")
        if stage == "finished":
            over = "2026-11-21T02:16:00+00:00"
            headline = "Applied: 3 of 3\tchanges made."
            done = msgspec.structs.replace(
                row, finished_at=over, verdict="applied", headline=headline, writes=writes
            )
            state.finish(done, b"{}")
    state.close()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def completed(*typed: str) -> list[str]:
    """What is offered for the last word."""
    *args, incomplete = typed
    return [item.value for item in ShellComplete(cli, {}, "reconcile", "").get_completions(args, incomplete)]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("apply", [UNFINISHED, DRY, OLDEST]),
        ("report", [UNFINISHED, DRY, OLDEST]),
        ("resume", [UNFINISHED]),
        ("retry", [UNFINISHED, OLDEST]),
        ("undo", [UNFINISHED, OLDEST]),
    ],
)
def test_run_ids_are_completed_newest_first(folder: Path, command: str, expected: list[str]) -> None:
    """Those that the command is about."""
    assert completed(command, "") == expected
    assert completed(command, OLDEST[:9]) == [run_id for run_id in expected if run_id == OLDEST]
    assert completed(command, "nothing-like-it%") == []


def test_the_run_directory_is_found_as_the_settings_find_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flag, environment, file; and where there is none, or a broken one, nothing is completed and nothing said."""
    (folder / "runs").rename(folder / "elsewhere")
    nowhere = completed("resume", "")
    flag = completed("resume", "--run-dir", "elsewhere", "")
    (folder / "reconcile.toml").write_text('[run]\ndir = "elsewhere"\n')
    file = completed("resume", "")
    (folder / "reconcile.toml").write_text("[run\n")
    broken = completed("resume", "")
    monkeypatch.setenv("RECONCILE_RUN__DIR", "elsewhere")
    environment = completed("resume", "")
    (folder / "elsewhere" / "state.sqlite").write_bytes(b"no database at all, but long enough to look at" * 100)

    assert (nowhere, broken, completed("resume", "")) == ([], [], [])
    assert flag == file == environment == [UNFINISHED]


def test_commands_and_options_are_completed() -> None:
    """And files are left to the shell."""
    assert completed("re") == ["resume", "retry", "report"]
    assert "--show" in completed("plan", "--s")
    assert completed("report", "--format", "") == ["text", "json", "md", "html", "csv"]
    assert [
        item.type for item in ShellComplete(cli, {}, "reconcile", "").get_completions(["plan", "--source"], "u")
    ] == ["file"]


def _run(instruction: str, typed: str, at: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "_RECONCILE_COMPLETE": instruction, "COMP_WORDS": typed, "COMP_CWORD": at}
    return subprocess.run(
        [sys.executable, "-c", _COMPLETED], env=environ, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("shell", "at"), [("bash", "2"), ("zsh", "2"), ("fish", "202611"), ("powershell", "202611")]
)
def test_each_shell_is_answered_at_once(folder: Path, shell: str, at: str) -> None:
    """In its own way of writing, and with nothing heavy loaded."""
    typed = "reconcile undo 202611" if at == "2" else "reconcile undo "
    done = _run(f"{shell}_complete", typed, at)
    answer, _, modules = done.stdout.rstrip().rpartition("\n")

    assert done.returncode == 0, done.stderr
    assert OLDEST in answer
    assert UNFINISHED in answer
    assert DRY not in answer
    assert HEAVY & set(modules.split()) == set()
    assert "msgspec" not in modules.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_gets_its_script(shell: str) -> None:
    """The one that the documentation names."""
    if shell == "bash" and not shutil.which("bash"):
        pytest.skip("there is no bash here, and its version is looked at")
    done = _run(f"{shell}_source", "", "")

    assert done.returncode == 0, done.stderr
    assert f"{shell}_complete" in done.stdout


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_a_real_bash_completes_a_run_id(folder: Path) -> None:
    """By the line of the documentation, and the function that it brings."""
    (folder / "bin").mkdir()
    ours = folder / "bin" / "reconcile"
    ours.write_text(f'#!/bin/sh\nexec {sys.executable} -m reconcile "$@"\n')
    ours.chmod(0o755)
    script = """
eval "$(_RECONCILE_COMPLETE=bash_source reconcile)"
complete -p reconcile
COMP_WORDS=(reconcile resume 2026); COMP_CWORD=2; COMPREPLY=()
_reconcile_completion reconcile
echo "${COMPREPLY[@]}"
"""
    environ = {**os.environ, "PATH": f"{ours.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-ec", script], env=environ, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout.splitlines()[-1:] == [UNFINISHED], done.stdout + done.stderr
    assert "_reconcile_completion" in done.stdout
