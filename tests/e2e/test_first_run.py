"""The README's quick start, taken by its word: three commands, in a clean environment."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import SAMPLES
from tests.docs.pages import ROOT, fenced
from tests.e2e.profiles import under_one_profile

# Once is enough: nothing is written.
pytestmark = under_one_profile


class Machine:
    """A checkout, and a clean environment beside it in which what the project depends on is here already."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.work, home = folder / "checkout", folder / "venv"
        shutil.copytree(ROOT / "reconcile", self.work / "reconcile", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(SAMPLES, self.work / "samples")
        for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.lock"):
            shutil.copy(ROOT / name, self.work / name)
        shutil.copy(SAMPLES / "users.csv", self.work / "users.csv")
        subprocess.run([sys.executable, "-m", "venv", home], check=True, capture_output=True)
        # Nothing is downloaded.
        place = subprocess.check_output(
            [home / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        )
        Path(place.strip(), "here.pth").write_text(sysconfig.get_path("purelib"))
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("COMETCHAT_", "RECONCILE_", "PYTHON"))
        }
        self._key = sandbox.api_key
        self._environ = environ | {
            "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's own way to say that there is none
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "COMETCHAT_BASE_URL": sandbox.base_url,
            "XDG_STATE_HOME": str(folder / "state"),
        }

    def type(self, command: str) -> str:
        """Carry out a command of a page, which has to go well, and give what it printed."""
        filled = command.replace("YOUR_APP_ID", "demo").replace("KEY=...", f"KEY={self._key}")
        done = subprocess.run(
            ["bash", "-ec", filled],
            cwd=self.work,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout


@pytest.fixture
def machine(sandbox: Sandbox, tmp_path: Path) -> Machine:
    """A machine on which reconcile was never installed."""
    return Machine(tmp_path, sandbox)


def _lines(page: str, number: int) -> list[str]:
    return [line.removeprefix("$ ") for line in fenced("console", page)[number].text.splitlines()]


@pytest.mark.timeout(300)
def test_from_pip_install_to_a_dry_run_in_three_commands(machine: Machine, sandbox: Sandbox) -> None:
    """As the README has them; only the app's id and key are filled in, and where the app is."""
    said = [machine.type(line) for line in _lines("README.md", 1)]

    assert len(said) == 3
    assert re.search(r"Plan: [1-9]\d* to create", said[-1]), said
    assert sandbox.counters().writes == 0
    assert list((machine.work / "runs").glob("*/report.html"))


@pytest.mark.timeout(300)
def test_the_pins_install_with_their_hashes(machine: Machine) -> None:
    """The two commands of docs/dependencies.md: what is pinned is what the tests run with, and suffices."""
    said = [machine.type(line) for line in _lines("docs/dependencies.md", 0)]

    assert len(said) == 2
    assert "Collecting" not in said[0]
    assert "reconcile" in machine.type("reconcile --version")
