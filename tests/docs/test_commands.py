"""Every command that stands in a page, run as it stands there."""

import os
import pty
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import SAMPLES, Shell
from tests.e2e.profiles import PROFILES, Profile

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("samples/**/*.md")]
)
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN_ID = re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{4}\b")
CODE = re.compile(r"#.*\bexit code (\d+)")

# What is run elsewhere, or would run this very test again.
ELSEWHERE = {
    r"make (demo|test|check|soak|bench|mutants|docs|reference)\b": "by CI, or by hand: this test is a part of them",
    r"python (-m )?benchmarks": "measures for minutes; its parts have tests of their own",
    r"pip install": "by tests/e2e/test_first_run.py in an environment of its own",
    r"NODE_EXTRA_CA_CERTS": "needs the JavaScript SDK",
}
# What a page takes for granted.
BEFORE = {
    "first-run.md": [
        "rm reconcile.toml",
        "printf 'id^name\\n1^Ann\\n' > export.csv",
        "python -c \"import sqlite3; sqlite3.connect('users.db').execute('create table users (id, name)')\"",
        "export DATABASE_URL=sqlite:///users.db",
    ],
    "guards.md": ["export RECONCILE_POLICY__DEACTIVATED=reactivate", "reconcile plan"],
    "held.md": ["reconcile apply --yes --quiet --set 'guards.update={ percent = 0, floor = 0 }'  # exit code 5"],
}
NOT_HERE = {"README.md": "tests/e2e/test_first_run.py"}


def commands(page: Path) -> list[str]:
    """The lines of a page that a person types."""
    blocks = BLOCK.findall(page.read_text("utf-8"))
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [line for line in lines if not any(re.search(pattern, line) for pattern in ELSEWHERE)]


@pytest.fixture
def profile() -> Profile:
    """The pages talk about the service as it was observed."""
    return PROFILES["observed"]


@pytest.fixture
def desk(shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with the samples, and `reconcile` on the path."""
    tools = shell.folder.parent / "bin"
    tools.mkdir()
    (tools / "reconcile").write_text(f'#!/bin/sh\nexec {sys.executable} -m reconcile "$@"\n')
    (tools / "reconcile").chmod(0o755)
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
    for typed in lines:
        line = RUN_ID.sub("$(newest)", typed)
        for words, meaning in meant.items():
            line = line.replace(words, meaning)
        script += _served(line, ports) if line.startswith("reconcile sandbox") else _checked(line, typed)
    return "\n".join(script)


def _served(line: str, ports: dict[str, str]) -> list[str]:
    port = next((free for free in ports.values() if free in line), "")
    where = "" if port else f" --port {ports['8055']}"
    wait = f"(exec 3<> /dev/tcp/127.0.0.1/{port or ports['8055']}) 2> /dev/null && break; sleep 0.1"
    return [f"{line.rstrip(' &')}{where} > /dev/null &", f"for i in $(seq 200); do {wait}; done"]


def _checked(line: str, typed: str) -> list[str]:
    wanted = found[1] if (found := CODE.search(line)) else "0"
    return [line, f"code=$?; [ $code = {wanted} ] || {{ echo ended with $code: {quote(typed)} >&2; exit 99; }}"]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page) and page.name not in NOT_HERE], ids=lambda page: page.name
)
def test_what_a_page_says_to_type_works(desk: Shell, drifted: Sandbox, page: Path) -> None:
    """In its order, by somebody at a terminal who answers every question with yes."""
    lines = [*BEFORE.get(page.name, []), *commands(page)]
    if any("curl" in line for line in lines) and not shutil.which("curl"):
        pytest.skip("curl is not installed; on Debian: apt-get install curl")
    terminal, its_end = pty.openpty()
    os.write(terminal, b"y\n" * 20)
    done = subprocess.run(
        ["bash", "-c", _script(lines, drifted)],
        cwd=desk.folder,
        stdin=its_end,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, (done.stdout[-1500:], done.stderr[-3000:])


@pytest.mark.parametrize("where", NOT_HERE.values())
def test_what_is_tested_elsewhere_has_a_test_there(where: str) -> None:
    """So that no page is forgotten."""
    assert (ROOT / where).is_file()
