"""Files that another user may have written are not believed: the run directory, the state file, plans and the API key."""

import os
import subprocess
from pathlib import Path

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell

STRANGER = 54_321  # a user and a group of which this process is no part
LOOKS = [("runs",), ("report",), ("doctor",), ("explain", "ada")]
ACTS = [("plan",), ("apply", "--yes"), ("apply", "latest", "--yes"), ("undo", "latest", "--yes"), ("resume",),
        ("retry", "latest", "--yes"), ("forget", "ada", "--yes")]  # fmt: skip


def _opened_to_all(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


def _opened_to_a_strange_group(path: Path) -> None:
    _chown(path, -1, STRANGER)
    path.chmod(path.stat().st_mode | 0o020)


def _given_to_a_stranger(path: Path) -> None:
    _chown(path, STRANGER, -1)


def _chown(path: Path, user: int, group: int) -> None:
    try:
        os.chown(path, user, group)
    except PermissionError:
        pytest.skip("only root can give a file to another user")


WAYS = {
    "every user may write": _opened_to_all,
    "a group that is not ours may write": _opened_to_a_strange_group,
    "it belongs to another user": _given_to_a_stranger,
}
PLACES = ["runs", "runs/state.sqlite"]


@pytest.fixture
def planned(shell: Shell, drifted: Sandbox) -> Shell:
    """A run directory with one dry run in it."""
    assert shell("plan").code == 0
    return shell


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("argv", ACTS, ids=" ".join)
def test_no_command_acts_on_files_that_another_user_may_write(
    planned: Shell, drifted: Sandbox, argv: tuple[str, ...], way: str, place: str
) -> None:
    """It ends with exit code 2 before it sends a request, and prints the command that mends it."""
    path = planned.folder / place
    WAYS[way](path)
    before = drifted.counters().requests
    result = planned(*argv)

    assert result.code == 2
    assert f"{place} is not trusted" in result.err
    assert ("chmod " if "write" in way else "chown ") in result.err
    assert drifted.counters().requests == before


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("argv", LOOKS, ids=" ".join)
def test_commands_that_only_look_check_it_as_well(planned: Shell, argv: tuple[str, ...], place: str) -> None:
    """`doctor` prints it as a finding."""
    _opened_to_all(planned.folder / place)
    result = planned(*argv)

    assert result.code == 2
    assert f"{place} is not trusted: every user may write to it" in result.out + result.err
    assert f"chmod o-w {planned.folder / place}".replace(f"{planned.folder}/", "") in result.out + result.err


def test_the_command_that_is_printed_mends_it(planned: Shell) -> None:
    """As it is printed."""
    for place in PLACES:
        _opened_to_all(planned.folder / place)
        hint = next(line for line in planned("plan").err.splitlines() if "chmod" in line)
        subprocess.run(hint[hint.index("chmod") :].split(), check=True)

    assert planned("plan").code == 0


def test_root_may_look_at_the_runs_of_another_user(planned: Shell) -> None:
    """It acts on none of them."""
    for path in [planned.folder / "runs", *(planned.folder / "runs").iterdir()]:
        if not path.is_symlink():
            _given_to_a_stranger(path)

    assert planned("runs").code == 0
    assert planned("report").code == 0
    assert planned("plan").code == 2


def test_a_volume_of_kubernetes_is_legal(planned: Shell) -> None:
    """Its fsGroup makes all of it writable for a group of the process."""
    for path in [planned.folder / "runs", *(planned.folder / "runs").rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o2060)

    assert planned("apply", "--yes").code == 0


def test_a_folder_that_everybody_may_use_is_a_fine_place_for_the_run_directory(
    shell: Shell, drifted: Sandbox
) -> None:
    """As /tmp is: it is about the run directory itself."""
    (shell.folder / "tmp").mkdir()
    (shell.folder / "tmp").chmod(0o1777)

    assert shell("plan", "--run-dir", "tmp/runs").code == 0
    assert drifted.counters().requests > 0


@pytest.mark.parametrize("way", WAYS)
def test_a_plan_that_another_user_may_have_written_is_refused(planned: Shell, drifted: Sandbox, way: str) -> None:
    """Named by its path, or by its run."""
    plan = planned.latest("plan.jsonl.gz").resolve()
    copy = planned.write("reviewed.jsonl.gz", plan.read_bytes())
    WAYS[way](copy)
    WAYS[way](plan)
    results = [planned("apply", named, "--yes") for named in ("reviewed.jsonl.gz", plan.parent.name)]

    assert [result.code for result in results] == [2, 2]
    assert ["is not trusted" in result.out + result.err for result in results] == [True, True], results
    assert drifted.counters().writes == 0


@pytest.mark.parametrize("way", WAYS)
def test_an_api_key_file_that_another_user_may_have_written_is_refused(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The key decides whose users are changed."""
    monkeypatch.delenv("COMETCHAT_API_KEY")
    file = shell.write("key", drifted.api_key)
    file.chmod(0o600)
    assert shell("plan", "--api-key-file", "key").code == 0
    WAYS[way](file)
    result = shell("plan", "--api-key-file", "key")

    assert result.code == 2
    assert "the API key file key is not trusted" in result.err
    assert ("chmod " if "write" in way else "chown ") in result.err


def test_a_settings_file_that_every_user_may_write_is_refused(shell: Shell, drifted: Sandbox) -> None:
    """It says where the API key is sent."""
    _opened_to_all(shell.folder / "reconcile.toml")
    results = [shell("plan"), shell("plan", "--config", "reconcile.toml")]

    assert [result.code for result in results] == [2, 2]
    assert all("chmod o-w reconcile.toml" in result.err for result in results)
    assert drifted.counters().requests == 0


def test_a_settings_file_of_another_user_has_to_be_named(shell: Shell, drifted: Sandbox) -> None:
    """The one that happens to lie in the current folder may be there to catch the key."""
    _given_to_a_stranger(shell.folder / "reconcile.toml")
    found, named = shell("plan"), shell("plan", "--config", "reconcile.toml")

    assert (found.code, named.code) == (2, 0)
    assert "--config reconcile.toml" in found.err
    assert drifted.counters().requests > 0


@pytest.mark.parametrize("lead", ["../other", "/"])
def test_the_newest_run_is_no_way_out_of_the_run_directory(planned: Shell, lead: str) -> None:
    """`latest` is a link that we make; one that leads to another folder is not ours."""
    runs, other = planned.folder / "runs", planned.folder / "other"
    other.mkdir()
    (other / "report.json").write_text('{"planted": true}')
    (runs / "latest").unlink()
    (runs / "latest").symlink_to(lead)

    assert planned("report", "--json").code == 2
    assert planned("apply", "latest", "--yes").code == 2
