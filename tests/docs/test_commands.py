"""Every command that stands in a page, run as it stands there."""

import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from shlex import quote

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import SAMPLES, Shell
from tests.docs.pages import FENCES, ROOT, fenced
from tests.e2e.profiles import PROFILES, Profile
from tests.lacking import needed

RUN_ID = re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{4}\b")
CODE = re.compile(r"#.*\bexit code (\d+)")

# What is not run here: where it is, or why it cannot be.
ELSEWHERE = {
    r"pip install": "tests/e2e/test_first_run.py, in an environment of its own",
    r"make (test|check|soak|mutants)\b": "would run this very test again",
    r"python -m benchmarks\.others": "installs packages from a registry",
    r"NODE_EXTRA_CA_CERTS": "needs the JavaScript SDK out of a registry",
}
# What a line takes for granted, by how it begins; of the pages, where lines are alike.
BEFORE = {
    "README.md: reconcile init": ["rm reconcile.toml"],
    "README.md: reconcile plan --source": [
        "rm reconcile.toml",
        'export RECONCILE_ROLES__MAP=\'{ free = "default", pro = "premium", staff = "moderator" }\'',
    ],
    "docs/benchmarks.md: python -m benchmarks.startup": [f"cd {ROOT}"],
    "docs/first-run.md: reconcile init --yes --source users.csv": ["rm reconcile.toml"],
    'docs/first-run.md: reconcile init --yes --source "$DATABASE_URL"': [
        "python -c \"import sqlite3; sqlite3.connect('users.db').execute('create table users (id, name)')\"",
        "export DATABASE_URL=sqlite:///users.db",
    ],
    "docs/first-run.md: reconcile init --yes --source export.csv": ["printf 'id^name\\n1^Ann\\n' > export.csv"],
    "docs/guards.md: reconcile apply": ["export RECONCILE_POLICY__DEACTIVATED=reactivate", "reconcile plan"],
    "docs/held.md: reconcile runs": [
        "reconcile apply --yes --quiet --set 'guards.update={ percent = 0, floor = 0 }'  # exit code 5"
    ],
}
# Measured in minutes; run with next to nothing to measure.
SMALL = {
    "python -m benchmarks.startup": "--times 1",
    "python -m benchmarks.plan": "--users 200",
    "python -m benchmarks.profile": "--users 200",
    "python benchmarks/sandbox.py": "--users 200 --requests 10",
    "python -m benchmarks.sources": "--users 100",
    "python -m benchmarks.budget": "--changes 20 --cases 0",
    "python -m benchmarks.transport": "--requests 4 --in-flight 2 --latency-ms 0",
    "python -m benchmarks.page": "--changes 1000",
}


def typed(page: str) -> list[str]:
    """The lines of a page that a person types."""
    lines = "".join(fence.text for fence in fenced("console", page)).splitlines()
    return [line[2:] for line in lines if line.startswith("$ ")]


def commands(page: str) -> list[str]:
    """Those of them that are run here."""
    return [line for line in typed(page) if not any(re.search(pattern, line) for pattern in ELSEWHERE)]


def _prepared(page: str) -> Iterator[str]:
    """The same, each behind what it takes for granted."""
    for line in commands(page):
        for beginning, before in BEFORE.items():
            if f"{page}: {line}".startswith(beginning):
                yield from before
        small = next((f" {flags}" for beginning, flags in SMALL.items() if line.startswith(beginning)), "")
        yield re.sub(r" --users \d+", "", line) + small if small else line


@pytest.fixture
def profile() -> Profile:
    """The pages talk about the service as it was observed."""
    return PROFILES["observed"]


@pytest.fixture
def desk(shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with the samples, and `reconcile` on the path."""
    tools = shell.folder.parent / "bin"
    tools.mkdir()
    for name, words in {"reconcile": "-m reconcile", "python": ""}.items():
        (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (tools / name).chmod(0o755)
    # For `make`: an environment in which everything is installed.
    for name in ("Makefile", "pyproject.toml", "requirements-dev.lock"):
        (shell.folder / name).symlink_to(ROOT / name)
    (shell.folder / ".venv").mkdir()
    (shell.folder / ".venv" / "bin").symlink_to(tools)
    (shell.folder / ".venv" / ".installed").touch()
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COMETCHAT_APP_ID", "demo")
    (shell.folder / "samples").symlink_to(SAMPLES)
    return shell


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _script(lines: list[str], app: Sandbox) -> str:
    """What the lines are to the shell: run ids are those of the newest run, and the app is the sandbox of the tests."""
    ports = {port: str(_free_port()) for port in ("8055", "8443")}
    meant = {
        "COMETCHAT_API_KEY=...": f"COMETCHAT_API_KEY={app.api_key}",
        "YOUR_APP_ID": "demo",
        "unset COMETCHAT_BASE_URL": f"export COMETCHAT_BASE_URL={app.base_url}",
        **ports,
    }
    script = ["newest() { readlink runs/latest; }", "trap 'kill $(jobs -p) 2> /dev/null' EXIT"]
    for written in lines:
        line = RUN_ID.sub("$(newest)", written)
        for words, meaning in meant.items():
            line = line.replace(words, meaning)
        script += _served(line, ports) if line.startswith("reconcile sandbox") else _checked(line, written)
    return "\n".join(script)


def _served(line: str, ports: dict[str, str]) -> list[str]:
    port = next((free for free in ports.values() if free in line), "")
    where = "" if port else f" --port {ports['8055']}"
    wait = f"(exec 3<> /dev/tcp/127.0.0.1/{port or ports['8055']}) 2> /dev/null && break; sleep 0.1"
    return [f"{line.rstrip(' &')}{where} > /dev/null &", f"for i in $(seq 200); do {wait}; done"]


def _checked(line: str, written: str) -> list[str]:
    wanted = found[1] if (found := CODE.search(line)) else "0"
    return [line, f"code=$?; [ $code = {wanted} ] || {{ echo ended with $code: {quote(written)} >&2; exit 99; }}"]


NEEDED = {"curl": "curl", "benchmarks.page": "chromium"}


@pytest.mark.timeout(320)
@pytest.mark.parametrize("page", sorted({fence.page for fence in fenced("console") if commands(fence.page)}))
def test_what_a_page_says_to_type_works(desk: Shell, drifted: Sandbox, page: str) -> None:
    """In its order, by somebody at a terminal who says yes to everything."""
    lines = list(_prepared(page))
    for word, program in NEEDED.items():
        if word in "\n".join(lines):
            needed(program)
    terminal, its_end = pty.openpty()
    # `init` asks what is what and proposes an answer; all else asks whether to go on.
    os.write(terminal, (b"\n" if "reconcile init --source" in "\n".join(lines) else b"y\n") * 20)
    done = subprocess.run(
        ["bash", "-c", _script(lines, drifted)],
        cwd=desk.folder,
        stdin=its_end,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, (done.stdout[-1500:], done.stderr[-3000:])


def test_what_make_runs_by_hand_is_there() -> None:
    """The targets that cannot be run here, with their arguments: what they would execute names files that exist."""
    lines = [line for fence in FENCES for line in typed(fence.page) if line.startswith("make ")]
    for line in lines:
        said = subprocess.run(
            ["bash", "-c", f"exec {line.partition('#')[0]} --dry-run --assume-old=.venv/.installed"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stderr
        assert all((ROOT / name).exists() for name in re.findall(r"tests/[\w/.]+", said.stdout)), said.stdout


@pytest.mark.parametrize("pattern", ELSEWHERE)
def test_what_is_not_run_here_stands_in_a_page_and_is_tested_where_it_says(pattern: str) -> None:
    """So that no line is forgotten, and no excuse outlives its line."""
    files = re.findall(r"tests/[\w/]+\.py", ELSEWHERE[pattern])

    assert any(re.search(pattern, line) for fence in FENCES for line in typed(fence.page))
    assert all((ROOT / file).is_file() for file in files)


@pytest.mark.parametrize("beginning", [*BEFORE, *SMALL])
def test_what_a_line_takes_for_granted_belongs_to_a_line(beginning: str) -> None:
    """A preparation that no line asks for would hide that the line has changed."""
    lines = [f"{fence.page}: {line}" for fence in fenced("console") for line in commands(fence.page)]

    assert any(line.startswith(beginning) or line.partition(": ")[2].startswith(beginning) for line in lines)
