"""What a run leaves behind is for its owner alone, and nothing is written through a link."""

import os
import stat
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell

RUN = "20261123T021500Z-3f9a"


@pytest.fixture
def _mask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize("_mask", [0o000, 0o022, 0o077], ids=oct, indirect=True)
@pytest.mark.usefixtures("_mask")
def test_everything_that_commands_leave_is_for_its_owner(shell: Shell, drifted: Sandbox, tmp_path: Path) -> None:
    """Whatever the umask lets through, also in the folders above."""
    codes = [
        shell(*argv).code
        for argv in (
            ("apply", "--yes", "--run-dir", str(tmp_path / "deep" / "er" / "runs")),
            ("undo", "latest", "--yes", "--run-dir", str(tmp_path / "deep" / "er" / "runs")),
            ("init", "--source", "users.csv", "--output", str(tmp_path / "made.toml")),
        )
    ]
    made = [path for path in (tmp_path / "deep").rglob("*") if not path.is_symlink()]
    folders = {path for path in made if path.is_dir()} | {tmp_path / "deep", tmp_path / "state" / "reconcile"}
    files = {path for path in made if path.is_file()} | {tmp_path / "made.toml"}

    assert codes[0] == 0
    assert len(files) > 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


OUTPUTS = [
    *(f"runs/{RUN}/{name}" for name in (
        "plan.jsonl.gz", "report.html", "report.json", "report.md", "changes.csv", "quarantine.csv"
    )),
    f"runs/{RUN}", "runs/state.sqlite", "runs/state.sqlite-wal", "runs/lock", "runs/lock.holder",
    "../state/reconcile/demo-{host}.lock", "../state/reconcile/demo-{host}.holder", "new.toml", "runs/latest",
]  # fmt: skip


@pytest.mark.parametrize(("output", "is_there"), list(product(OUTPUTS, [True, False])))
def test_no_output_goes_through_a_link(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch, output: str, *, is_there: bool
) -> None:
    """What the link points to stays as it was, or is not made."""
    monkeypatch.setattr("reconcile.run.new_run_id", lambda *_: RUN)
    host = drifted.base_url.split("/")[2].replace(":", "_")
    link, target = shell.folder / output.format(host=host), shell.folder / "target"
    if is_there:
        target.write_bytes(b"precious")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    argv = ("init", "--output", "new.toml", "--force") if output == "new.toml" else ("apply", "--yes")
    shell(*argv)

    assert target.exists() is is_there
    assert not is_there or target.read_bytes() == b"precious"


def test_no_run_is_written_into_a_folder_behind_a_link(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends before its first request."""
    monkeypatch.setattr("reconcile.run.new_run_id", lambda *_: RUN)
    (shell.folder / "runs").mkdir()
    (shell.folder / "elsewhere").mkdir()
    (shell.folder / "runs" / RUN).symlink_to(shell.folder / "elsewhere")

    assert shell("apply", "--yes").code == 2
    assert not list((shell.folder / "elsewhere").iterdir())
    assert drifted.counters().requests == 0


@pytest.mark.parametrize("named", ["..", "../other", "/etc", "a/b", ".", "", "x\x00y"])
@pytest.mark.parametrize("command", ["report", "apply"])
def test_the_name_of_a_run_is_no_way_out_of_the_run_dir(shell: Shell, command: str, named: str) -> None:
    """It is refused before anything is read there."""
    (shell.folder / "runs" / "x").mkdir(parents=True)
    result = shell(command, named, *(["--yes"] if command == "apply" else []))

    assert result.code == 2
    assert "Traceback" not in result.err
