"""Programs, settings and statements that stand in a page are run as they stand there; a test of commands has the console."""

import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import yaml

from reconcile.config import Flags, load
from tests.conftest import Shell
from tests.databases import MariaDB, PostgreSQL
from tests.docs.pages import FENCES, ROOT, Fence, fenced
from tests.e2e.profiles import PROFILES, Profile
from tests.lacking import needed

SELF = str(Path(__file__).relative_to(ROOT))
# Where the blocks of a page in a language are run.
RUN_BY = {
    ("README.md", "cron"): "tests/test_nightly.py",
    ("docs/since.md", "cron"): "tests/test_nightly.py",
    ("docs/databases.md", "sql"): SELF,
    ("docs/databases.md", "toml"): SELF,
    ("docs/large.md", "toml"): SELF,
    ("docs/library.md", "python"): "tests/e2e/test_library.py",
    ("docs/mapping.md", "python"): SELF,
    ("docs/mapping.md", "toml"): SELF,
    ("docs/metrics.md", "toml"): SELF,
    ("docs/nightly.md", "toml"): SELF,
    ("docs/sandbox.md", "json"): "tests/sandbox/test_page.py",
    ("docs/sandbox.md", "python"): SELF,
    ("docs/sandbox.md", "yaml"): SELF,
    ("docs/since.md", "toml"): SELF,
    # It needs the JavaScript SDK out of a registry.
    ("docs/sandbox.md", "javascript"): "",
}
PRINTED = {"", "text"}  # what a command prints, and pictures


@pytest.fixture
def profile() -> Profile:
    """The pages talk about the service as it was observed."""
    return PROFILES["observed"]


def test_whatever_can_be_run_is_run_somewhere() -> None:
    """A block in a language that no test runs has to say why."""
    found = {(fence.page, fence.language) for fence in FENCES if fence.language not in PRINTED | {"console"}}

    assert found == RUN_BY.keys()
    for (page, _), where in RUN_BY.items():
        assert not where or Path(page).stem in (ROOT / where).read_text("utf-8"), where


@pytest.mark.parametrize("fence", fenced("toml"), ids=lambda fence: fence.page)
def test_settings_of_a_page_are_settings(fence: Fence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no value and no combination is refused."""
    (tmp_path / "reconcile.toml").write_text(fence.text, "utf-8")
    environ = {name: f"https://birds.example/{name}" for name in re.findall(r"\$\{(\w+)\}", fence.text)}
    monkeypatch.chdir(tmp_path)
    settings = load(Flags(), environ | {"DATABASE_URL": "sqlite:///users.db"})

    assert Path(settings.file).name == "reconcile.toml"


def _run(words: list[str], folder: Path, **environ: str) -> None:
    done = subprocess.run(
        words, cwd=folder, env=os.environ | environ, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`reconcile` on the path."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "reconcile").write_text(f'#!/bin/sh\nexec {sys.executable} -m reconcile "$@"\n')
    (folder / "reconcile").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_the_functions_of_mapping_run() -> None:
    """With the value that stands there."""
    for fence in fenced("python", "docs/mapping.md"):
        exec(fence.text, {})  # noqa: S102 - the page is ours


@pytest.mark.usefixtures("tools")
def test_the_test_of_sandbox_runs(shell: Shell) -> None:
    """With its conftest.py, by pytest in a folder of its own; and what needs no pytest."""
    files = {
        fence.text.splitlines()[0].removeprefix("# "): fence.text for fence in fenced("python", "docs/sandbox.md")
    }
    for name, text in files.items():
        shell.write(name if name.endswith(".py") else "alone.py", text)
    (shell.folder / "reconcile.toml").unlink()
    _run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_export.py"], shell.folder)
    _run([sys.executable, "alone.py"], shell.folder)

    assert len(files) == 3


@pytest.mark.usefixtures("tools")
def test_the_steps_of_sandbox_run_in_ci(shell: Shell) -> None:
    """One after the other, as a runner does, which hands the environment on."""
    needed("jq")
    (fence,) = fenced("yaml", "docs/sandbox.md")
    (shell.folder / "tests").mkdir()
    shell.write("tests/directory.jsonl", '{"uid": "wren", "name": "Wren"}\n')
    shell.write("tests/users.csv", "uid,name\nwren,Wren\n")
    (shell.folder / "reconcile.toml").unlink()
    handed_on, started = shell.write("environment", ""), shell.write("started", "")
    try:
        for step in yaml.safe_load(fence.text):
            given = dict(line.split("=", 1) for line in handed_on.read_text().splitlines())
            script = f"{step['run']}\necho ${{!:-}} >> started"
            _run(["bash", "-e", "-c", script], shell.folder, GITHUB_ENV=str(handed_on), **given)
    finally:
        for pid in started.read_text().split():
            os.kill(int(pid), signal.SIGTERM)

    assert len(started.read_text().split()) == 1


def test_the_accounts_of_databases_can_read_and_no_more(postgresql: PostgreSQL, mariadb: MariaDB) -> None:
    """Both halves, by the administrator; afterwards the table can be read, and not written, by the new account."""
    (fence,) = fenced("sql", "docs/databases.md")
    for_postgresql, for_mariadb = fence.text.split("-- MariaDB, MySQL\n")
    postgresql.execute("drop schema if exists app cascade", "drop role if exists reconcile", "create schema app")
    postgresql.execute("create table app.chat_users (id text)", for_postgresql)
    mariadb.execute("drop database if exists app", "drop user if exists reconcile", "create database app")
    mariadb.execute("create table app.chat_users (id text)", *for_mariadb.strip().rstrip(";").split(";\n"))
    with closing(psycopg.connect(postgresql.url("reconcile", "..."))) as connection:
        assert connection.execute("select * from app.chat_users").fetchall() == []
        with pytest.raises(psycopg.Error, match="read-only"):
            connection.execute("create temporary table gone (id text)")
    rights = mariadb.execute("show grants for reconcile")

    assert any("GRANT SELECT ON `app`.`chat_users`" in right for (right,) in rights)
    assert not any("ALL" in right or "INSERT" in right for (right,) in rights)
    postgresql.execute("drop schema app cascade", "drop role reconcile")
    mariadb.execute("drop database app", "drop user reconcile")
