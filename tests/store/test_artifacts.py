"""Promises about files: old, new or absent, never half, and for nobody else to read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconcile.errors import StateError
from reconcile.store.artifacts import RunFolder, open_run_dir, prune, replacing
from reconcile.store.lock import hold
from reconcile.store.planfile import write_plan
from reconcile.store.state import RunRow, State
from tests.store.builders import a_change, a_header, a_process, said


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """Give the mode of everything below a folder."""
    return {
        str(path.relative_to(folder)): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in sorted(folder.rglob("*"))
        if not path.is_symlink()
    }


def names(folder: Path) -> list[str]:
    """Give what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def put(path: Path, content: bytes) -> None:
    """Write a file as the job does."""
    with replacing(path) as file:
        file.write(content)


def test_a_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """And nothing else is left in the folder."""
    put(tmp_path / "report.md", b"old")
    put(tmp_path / "report.md", b"new")

    assert (tmp_path / "report.md").read_bytes() == b"new"
    assert names(tmp_path) == ["report.md"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError, StateError])
def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    """However far it came."""
    put(tmp_path / "report.md", b"old")

    def fail() -> None:
        with replacing(tmp_path / "report.md") as file:
            file.write(b"half")
            file.flush()
            raise error("broken")

    with pytest.raises((error, StateError)):
        fail()

    assert (tmp_path / "report.md").read_bytes() == b"old"
    assert names(tmp_path) == ["report.md"]


def test_a_block_that_fails_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    """Not even half a file under another name."""
    with pytest.raises(RuntimeError), replacing(tmp_path / "report.md"):
        raise RuntimeError

    assert names(tmp_path) == []


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    """A reader never sees the one that is being written."""
    with replacing(tmp_path / "report.md") as file:
        file.write(b"half")
        file.flush()
        during = (tmp_path / "report.md").exists()

    assert not during


def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    """Nobody cleans up after it, and nothing has to."""
    put(tmp_path / "report.md", b"old")
    code = """
import sys; from pathlib import Path; from reconcile.store.artifacts import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half"); file.flush(); print("writing", flush=True); sys.stdin.read()
"""
    with a_process(code, tmp_path / "report.md") as process:
        assert said(process) == "writing"
        process.kill()

    assert (tmp_path / "report.md").read_bytes() == b"old"
    put(tmp_path / "report.md", b"new")
    assert (tmp_path / "report.md").read_bytes() == b"new"


@pytest.mark.usefixtures("_umask")
def test_everything_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask lets through."""
    run_dir = open_run_dir(tmp_path / "runs")
    with hold(run_dir, tmp_path / "locks" / "app.lock", "r1"):
        folder = RunFolder(run_dir, "r1")
        folder.make()
        write_plan(folder.plan, a_header(), [a_change()])
        put(folder.file("report.json"), b"{}")
        state = State(run_dir / "state.sqlite", "orchard")
        state.begin(RunRow("r1", "plan", "planning", "now"), settings="{}", version="1")
        found = modes(tmp_path)
        state.close()

    assert {path for path, mode in found.items() if mode == "0o700"} == {"runs", "runs/r1", "locks"}
    assert {mode for path, mode in found.items() if path not in {"runs", "runs/r1", "locks"}} == {"0o600"}
    assert {"runs/lock.holder", "runs/state.sqlite-wal", "runs/r1/plan.jsonl.gz"} < set(found)


@pytest.mark.parametrize("is_dangling", [True, False])
def test_a_link_in_the_place_of_an_output_is_refused(tmp_path: Path, *, is_dangling: bool) -> None:
    """Somebody wants us to write elsewhere."""
    target = tmp_path / "target"
    if not is_dangling:
        target.write_bytes(b"precious")
    (tmp_path / "report.md").symlink_to(target)
    with pytest.raises(StateError):
        put(tmp_path / "report.md", b"new")

    assert (tmp_path / "report.md").is_symlink()
    assert target.exists() is not is_dangling
    assert is_dangling or target.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["state.sqlite", "lock", "lock.holder"])
def test_no_file_of_the_run_dir_is_written_through_a_link(tmp_path: Path, name: str) -> None:
    """Its target keeps what is in it."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    run_dir = open_run_dir(tmp_path / "runs")
    (run_dir / name).symlink_to(target)
    try:
        with hold(run_dir, tmp_path / "app.lock", "r1"):
            State(run_dir / "state.sqlite", "orchard").close()
    except StateError:
        pass

    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("place", ["absent/report.md", "file/report.md", "folder"])
def test_a_place_that_cannot_be_written_is_a_state_error(tmp_path: Path, place: str) -> None:
    """With the path in its words and a remedy."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StateError) as problem:
        put(tmp_path / place, b"new")

    assert str(tmp_path / place) in problem.value.message
    assert problem.value.hint


def test_a_run_dir_that_cannot_be_made_is_a_state_error(tmp_path: Path) -> None:
    """The flag that names another is said."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateError) as problem:
        open_run_dir(tmp_path / "file" / "runs")

    assert "--run-dir" in problem.value.hint


def test_latest_is_the_last_run(tmp_path: Path) -> None:
    """As a link that moves with the folder that it is in."""
    for run_id in ("r1", "r2", "r2"):
        RunFolder(tmp_path, run_id).make()

    assert (tmp_path / "latest").readlink() == Path("r2")
    assert names(tmp_path) == ["latest", "r1", "r2"]


def test_a_folder_in_the_place_of_latest_is_a_state_error(tmp_path: Path) -> None:
    """It is not removed: nobody knows whose it is."""
    (tmp_path / "latest").mkdir()
    with pytest.raises(StateError):
        RunFolder(tmp_path, "r1").make()


def test_only_the_named_runs_are_let_go(tmp_path: Path) -> None:
    """One that is gone already is no error."""
    first, second, gone = (f"20261123T02150{second}Z-3f9a" for second in range(3))
    for run_id in (first, second):
        RunFolder(tmp_path, run_id).make()
    prune(tmp_path, [first, gone])

    assert names(tmp_path) == [second, "latest"]


def test_a_folder_that_bears_no_name_of_a_run_is_not_let_go(tmp_path: Path) -> None:
    """Whatever the state file says: it is not ours."""
    (tmp_path / "backup").mkdir()
    prune(tmp_path, ["backup", "../backup", str(tmp_path / "backup")])

    assert names(tmp_path) == ["backup"]
