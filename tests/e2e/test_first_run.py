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
from tests.e2e.profiles import under_one_profile

# Once is enough: nothing is written.
pytestmark = under_one_profile

ROOT = Path(__file__).parent.parent.parent


def _three_commands() -> list[str]:
    section = (ROOT / "README.md").read_text("utf-8").partition("## First run on your own data")[2]
    block = section.partition("```console\n")[2].partition("```")[0]
    return [line.removeprefix("$ ") for line in block.splitlines()]


@pytest.mark.timeout(300)
def test_from_pip_install_to_a_dry_run_in_three_commands(sandbox: Sandbox, tmp_path: Path) -> None:
    """As the README has them; only the app's id and key are filled in, and where the app is."""
    commands = _three_commands()
    work = tmp_path / "checkout"
    shutil.copytree(ROOT / "reconcile", work / "reconcile", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(SAMPLES, work / "samples")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, work / name)
    shutil.copy(SAMPLES / "users.csv", work / "users.csv")
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", home], check=True, capture_output=True)
    # What the project depends on is here already, and nothing is downloaded.
    place = subprocess.check_output(
        [home / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    Path(place.strip(), "here.pth").write_text(sysconfig.get_path("purelib"))
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COMETCHAT_", "RECONCILE_", "PYTHON"))
    }
    environ |= {
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's own way to say that there is none
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COMETCHAT_BASE_URL": sandbox.base_url,
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    for command in commands:
        filled = command.replace("YOUR_APP_ID", "demo").replace("KEY=...", f"KEY={sandbox.api_key}")
        done = subprocess.run(
            ["bash", "-ec", filled],
            cwd=work,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

        assert done.returncode == 0, (command, done.stdout, done.stderr)

    assert len(commands) == 3
    assert re.search(r"Plan: [1-9]\d* to create", done.stdout), done.stdout
    assert sandbox.counters().writes == 0
    assert list((work / "runs").glob("*/report.html"))
