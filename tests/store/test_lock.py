"""Promises about the locks: one run at a time, and never one that a dead run still holds."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from reconcile.errors import RunLocked, StateError
from reconcile.store.lock import app_lock_path, hold
from tests.store.builders import a_process, said

_HOLDER = """
import sys
from pathlib import Path
from reconcile.errors import RunLocked
from reconcile.store.lock import hold

try:
    with hold(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]):
        print("held", flush=True)
        sys.stdin.read()
except RunLocked as error:
    print("locked", flush=True)
"""


def take(folder: Path, run_id: str = "r2", *, app: str = "app.lock", runs: str = "runs") -> str:
    """Take both locks and let them go."""
    with hold(folder / runs, folder / app, run_id):
        return "held"


def test_another_process_is_locked_out_and_told_by_whom(tmp_path: Path) -> None:
    """The message names run, process and lock."""
    with a_process(_HOLDER, tmp_path / "runs", tmp_path / "app.lock", "r1") as process:
        assert said(process) == "held"
        with pytest.raises(RunLocked) as locked:
            take(tmp_path)

        assert f"run r1, process {process.pid}" in locked.value.message
        assert str(tmp_path / "runs" / "lock") in locked.value.hint


@pytest.mark.parametrize(("runs", "app"), [("runs", "other.lock"), ("other", "app.lock")])
def test_either_lock_is_enough_to_be_locked_out(tmp_path: Path, runs: str, app: str) -> None:
    """The same run directory for another app, or the same app from another run directory."""
    with hold(tmp_path / "runs", tmp_path / "app.lock", "r1"), pytest.raises(RunLocked) as locked:
        take(tmp_path, runs=runs, app=app)

    assert "run r1" in locked.value.message


def test_who_was_locked_out_holds_nothing(tmp_path: Path) -> None:
    """Neither the lock that was free, nor a word beside the other."""
    with hold(tmp_path / "runs", tmp_path / "app.lock", "r1"):
        with pytest.raises(RunLocked):
            take(tmp_path, runs="other")

        assert take(tmp_path, runs="other", app="other.lock") == "held"
        assert json.loads((tmp_path / "app.holder").read_bytes())["run_id"] == "r1"


def test_a_killed_run_frees_both_locks_at_once(tmp_path: Path) -> None:
    """The kernel does it, and what the dead one wrote beside them holds nobody up."""
    with a_process(_HOLDER, tmp_path / "runs", tmp_path / "app.lock", "r1") as process:
        assert said(process) == "held"
        process.kill()
        process.wait(5)

    assert (tmp_path / "runs" / "lock.holder").exists()
    assert take(tmp_path) == "held"


def test_of_many_starts_exactly_one_runs(tmp_path: Path) -> None:
    """Whichever comes first."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(a_process(_HOLDER, tmp_path / "runs", tmp_path / "app.lock", f"r{number}"))
            for number in range(6)
        ]
        with ThreadPoolExecutor(6) as pool:
            answers = sorted(pool.map(said, processes))

    assert answers == ["held", *["locked"] * 5]


def test_a_lock_is_free_after_its_block(tmp_path: Path) -> None:
    """However the block ended, and nothing is left that names a holder."""
    with pytest.raises(RuntimeError), hold(tmp_path / "runs", tmp_path / "app.lock", "r1"):
        raise RuntimeError

    assert take(tmp_path) == take(tmp_path) == "held"
    assert not list(tmp_path.rglob("*.holder"))


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"pid":'])
def test_an_unreadable_word_about_the_holder_is_left_out(tmp_path: Path, content: bytes) -> None:
    """The lock itself decides."""
    with hold(tmp_path / "runs", tmp_path / "app.lock", "r1"):
        (tmp_path / "runs" / "lock.holder").write_bytes(content)
        with pytest.raises(RunLocked) as locked:
            take(tmp_path)

    assert locked.value.message == "another run is at work"


def test_a_place_without_room_for_a_lock_is_a_state_error(tmp_path: Path) -> None:
    """It is told apart from a lock that is taken."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StateError):
        take(tmp_path, app="file/app.lock")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/state"}, "/state/reconcile/orchard-127.0.0.1_8055.lock"),
        ({"XDG_STATE_HOME": "/state", "HOME": "/elsewhere"}, "/state/reconcile/orchard-127.0.0.1_8055.lock"),
    ],
)
def test_the_lock_of_an_app_is_named_by_app_and_host(environ: dict[str, str], expected: str) -> None:
    """In the user's own place, so that two users are not kept apart from their own runs."""
    assert str(app_lock_path(environ, "orchard", "127.0.0.1:8055")) == expected


def test_no_name_of_an_app_leads_out_of_the_folder_of_the_locks() -> None:
    """It comes from the settings, and is part of a file name."""
    path = app_lock_path({"XDG_STATE_HOME": "/state"}, "../../etc/passwd", "h/../x:1")

    assert path.parent == Path("/state/reconcile")
