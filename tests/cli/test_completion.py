"""Shells complete commands, options and run ids, and start nothing heavy for that."""

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.shell_completion import ShellComplete

from reconcile.cli import cli
from reconcile.store.reader import RunRow
from reconcile.store.state import State
from tests.lacking import needed
from tests.terminal import on_a_terminal
from tests.test_architecture import HEAVY

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs" / "first-run.md"
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
    if shell == "bash":
        needed("bash")  # its version is looked at
    done = _run(f"{shell}_source", "", "")

    assert done.returncode == 0, done.stderr
    assert f"{shell}_complete" in done.stdout


# What is typed, and what it becomes in every shell.
TYPED = {
    "reconcile und": "reconcile undo",
    "reconcile plan --expect": "reconcile plan --expect-rows",
    "reconcile report --format ht": "reconcile report --format html",
    "reconcile resume 2026": f"reconcile resume {UNFINISHED}",
    "reconcile resume --run-dir ru": "reconcile resume --run-dir runs",
}


@pytest.fixture
def at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder as a home, with `reconcile` on the path, and the start-up files of the documentation."""
    (folder / "bin").mkdir()
    ours = folder / "bin" / "reconcile"
    ours.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m reconcile "$@"\n')
    ours.chmod(0o755)
    for name in ("HOME", "ZDOTDIR"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / ".config"))
    monkeypatch.setenv("PATH", f"{ours.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TERM", "dumb")
    for name, line in re.findall(r"^\| .*? \| `~/(.*?)` \| `(.*?)` \|$", DOCS.read_text("utf-8"), re.MULTILINE):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(line.replace("\\|", "|") + "\n")
    return folder


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_real_shell_completes_what_is_typed(at_home: Path, shell: str) -> None:
    """At its prompt, by the key, with the line of the documentation in its start-up file."""
    needed(shell)
    keys = "".join(f"{typed}\t\x01echo :\x05\n" for typed in TYPED)
    shown = on_a_terminal(answers=[f"{keys}exit"], columns=200, environ={"TERM": "xterm"}, command=[shell, "-i"])
    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z@]|\r", "", shown.text)
    lines = re.findall(r"^:(reconcile .*?)[/ ]*$", text, re.MULTILINE)

    assert lines == list(TYPED.values()), shown.text


def test_a_real_fish_completes_what_is_typed(at_home: Path) -> None:
    """With what the documentation says in its file, which it finds by itself; each offer with its words."""
    needed("fish")
    for typed, becomes in TYPED.items():
        done = subprocess.run(
            ["fish", "-c", f"complete --do-complete '{typed}'"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        offered = [line.partition("\t")[0].rstrip("/") for line in done.stdout.splitlines()]
        assert offered == [becomes.rpartition(" ")[2]], done.stdout + done.stderr
