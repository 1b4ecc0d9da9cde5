"""Fixtures that more than one room of the tests uses."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import structlog
from hypothesis import settings

from reconcile.cli import run
from reconcile.sandbox.testing import Sandbox, running_sandbox
from tests.lacking import lacking
from tests.scale import SEED_VARIABLE, is_soaking, new_seed, seed

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.databases import MariaDB, PostgreSQL, Server

SAMPLES = Path(__file__).parent.parent / "samples"
# The commands that promise to write nothing to CometChat.
LOOKS = {"doctor", "explain", "forget", "init", "plan", "report", "runs"}


# A loaded machine is slow, and CI has to say the same twice.
settings.register_profile("ours", deadline=None, derandomize=not is_soaking())
settings.load_profile("ours")


def pytest_configure() -> None:
    """Draw the seed once; the workers inherit it with the environment."""
    if is_soaking():
        os.environ.setdefault(SEED_VARIABLE, str(new_seed()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what brings a generated case back, and what became of the cases that tests count."""
    counted: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if getattr(report, "when", "") != "teardown":
            continue
        counted.update({name: value for name, value in report.user_properties if name.startswith("outcome: ")})
    for outcome, count in sorted(counted.items()):
        terminalreporter.write_line(f"{outcome}: {count}")
    terminalreporter.write_line(f"generated cases came from {SEED_VARIABLE}={seed()}")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A look-alike of CometChat, empty but for the roles of the samples."""
    with running_sandbox(app_id="demo") as running:
        running.load_roles(["premium", "moderator"])
        yield running


@pytest.fixture
def drifted(sandbox: Sandbox) -> Sandbox:
    """The same, with the directory of the samples."""
    lines = (SAMPLES / "directory.jsonl").read_text("utf-8")
    sandbox.load_users(msgspec.json.Decoder().decode_lines(lines))
    return sandbox


class Result(msgspec.Struct):
    """What one command left: exit code, both streams, and the JSON that it printed, where it did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return msgspec.json.decode(self.out)


class Shell:
    """Calls the command line in a folder of its own, with the samples in it and a key in the environment."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], sandbox: Sandbox) -> None:
        self.folder = folder
        self._capsys = capsys
        self._sandbox = sandbox

    def __call__(self, *argv: str) -> Result:
        """Run one command; those that promise to write nothing are held to it, whatever the test is about."""
        self._capsys.readouterr()
        written = self._sandbox.counters().writes
        code = run(argv)
        streams = self._capsys.readouterr()
        assert self._sandbox.counters().writes == written or not LOOKS.intersection(argv[:1]), argv
        return Result(code, streams.out, streams.err)

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file into the folder."""
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def latest(self, name: str) -> Path:
        """A file of the newest run."""
        return self.folder / "runs" / "latest" / name


@pytest.fixture
def shell(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    """The command line, set up for the sandbox and the sample export."""
    for name in [name for name in os.environ if name.startswith(("COMETCHAT_", "RECONCILE_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("users.csv", "reconcile.toml", "reconcile-sql.toml"):
        shutil.copy(SAMPLES / name, folder / name)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COMETCHAT_BASE_URL", sandbox.base_url)
    monkeypatch.setenv("COMETCHAT_API_KEY", sandbox.api_key)
    monkeypatch.setenv("NO_COLOR", "1")
    yield Shell(folder, capsys, sandbox)
    # Its log goes to a stream that ends with the test.
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def _postgresql() -> Iterator["PostgreSQL"]:
    from tests.databases import PostgreSQL  # noqa: PLC0415 - only where a database is asked for

    server = PostgreSQL()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _mariadb() -> Iterator["MariaDB"]:
    from tests.databases import MariaDB, mariadb_is_installed  # noqa: PLC0415

    if not mariadb_is_installed():
        lacking("there is no MariaDB server here; on Debian: apt-get install mariadb-server")
    server = MariaDB()
    yield server
    server.stop()


@pytest.fixture
def postgresql(_postgresql: "PostgreSQL") -> "PostgreSQL":
    """A PostgreSQL server with an empty database."""
    _postgresql.clean()
    return _postgresql


@pytest.fixture
def mariadb(_mariadb: "MariaDB") -> "MariaDB":
    """A MariaDB server with an empty database; where none is installed the test is skipped, but never in CI."""
    _mariadb.clean()
    return _mariadb


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> "Server":
    """Each of the servers in its turn."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """One Chromium a module; where there is none the test is skipped, but never in CI."""
    from tests.browser import chromium  # noqa: PLC0415 - only where a browser is asked for

    with chromium() as running:
        yield running
