"""Disks that are full, folders that cannot be written, state files that are broken or held: said, never a traceback."""

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.kills.scene import KILL, RESUME, Scene, is_whole, unfinished
from tests.scale import dice, how_many

SIZES = how_many(12, soak=50)
FULL = 2, 8


def _mend(scene: Scene, folder: Path, argv: tuple[str, ...], code: int) -> None:
    """Do what the exit code says, now that there is room."""
    again, err = scene.run(folder, *(RESUME if code == 8 else argv))
    assert again == 0, err


@pytest.mark.parametrize("case", range(SIZES))
def test_files_that_may_not_grow_stop_the_run_before_or_after_its_first_write(scene: Scene, case: int) -> None:
    """Exit 2 with nothing written, or 8 and resume finishes; files are whole and the journal sound."""
    seen = scene.undisturbed("apply")
    folder, argv = scene.set_up("apply")
    largest = max(path.stat().st_size for path in (folder / "runs").rglob("*") if path.is_file())
    limit = 1 + int(2.5 * largest * (case + dice(f"full/{case}").random()) / SIZES)
    code, err = scene.run(folder, *argv, file_limit=limit)
    is_whole(folder)

    assert code in {0, *FULL}, err
    assert "Traceback" not in err
    assert (scene.sandbox.counters().writes == 0) is (code == 2)
    if code:
        _mend(scene, folder, argv, code)
    ended = scene.see(folder)
    assert (ended.users, ended.writes) == (seen.users, seen.writes)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB; skipped where mounting is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=False, capture_output=True
    )
    if not done or done.returncode:
        pytest.skip("a file system may not be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("at_write", [0, 1, 20])
def test_a_disk_that_fills_up_stops_the_run_and_resume_finishes_it(
    scene: Scene, small_disk: Path, at_write: int
) -> None:
    """Full at the start: exit 2. Full between two writes: exit 8, with a report, and resume once there is room."""
    seen = scene.undisturbed("apply")
    made, argv = scene.set_up("apply")
    folder = small_disk / "work"
    shutil.copytree(made, folder, symlinks=True)
    filler = small_disk / "filler"

    def fill() -> None:
        with suppress_full(), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    if at_write:
        with scene.at_request(seen.requests // 2 + at_write, fill, answered=True):
            code, err = scene.run(folder, *argv)
    else:
        fill()
        code, err = scene.run(folder, *argv)
    is_sound = at_write == 0 or bool(unfinished(folder))
    reported = (folder / "runs" / "latest" / "report.json").exists()
    filler.unlink()
    is_whole(folder)

    assert code == (8 if at_write else 2), err
    assert "Traceback" not in err
    assert is_sound
    assert reported or not at_write
    _mend(scene, folder, argv, code)
    ended = scene.see(folder)
    assert (ended.users, ended.writes) == (seen.users, seen.writes)


class suppress_full:  # noqa: N801 - reads like contextlib.suppress
    """Go on after ENOSPC."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: object, _trace: object) -> bool:
        """End, quietly where the disk is full."""
        return isinstance(error, OSError)


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at" * 100, None])
def test_a_broken_state_file_is_said(scene: Scene, content: bytes | None) -> None:
    """Garbage, or the first half of a state file: exit 2 before anything is sent but reads, and no traceback."""
    folder, argv = scene.set_up("apply")
    state = folder / "runs" / "state.sqlite"
    whole = state.read_bytes()
    state.write_bytes(content or whole[: len(whole) // 2])
    results = [scene.run(folder, *command) for command in (argv, RESUME, ("runs",), ("doctor",))]

    assert results[0][0] == 2
    assert {code for code, _ in results} <= {0, 2}
    assert all("Traceback" not in err for _, err in results)
    assert scene.sandbox.counters().writes == 0


def test_an_empty_state_file_is_no_state(scene: Scene) -> None:
    """Once --require-state took a file without a byte for the memory of earlier runs."""
    folder, argv = scene.set_up("apply")
    (folder / "runs" / "state.sqlite").write_bytes(b"")
    code, err = scene.run(folder, *argv, "--require-state")

    assert code == 2
    assert "no state file" in err


def test_a_run_directory_that_is_a_file_is_said(scene: Scene) -> None:
    """Exit 2, for every command that needs it."""
    folder, argv = scene.set_up("apply")
    shutil.rmtree(folder / "runs")
    (folder / "runs").write_text("", "utf-8")
    results = [scene.run(folder, *command) for command in (argv, RESUME, ("runs",), ("doctor",), ("report",))]

    assert results[0][0] == 2
    assert all("Traceback" not in err for _, err in results)


@pytest.mark.skipif(not os.environ.get("CI") and os.geteuid() != 0, reason="needs root")
def test_a_read_only_run_directory_is_said(scene: Scene, small_disk: Path) -> None:
    """Exit 2, nothing sent."""
    made, argv = scene.set_up("apply")
    folder = small_disk / "work"
    shutil.copytree(made, folder, symlinks=True)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, err = scene.run(folder, *argv)

    assert code == 2, err
    assert "Traceback" not in err
    assert scene.sandbox.counters().requests == 0


def test_a_state_file_that_another_process_holds_is_said(scene: Scene) -> None:
    """Exit 2 after a while; once it is free, the same command does its work."""
    folder, argv = scene.set_up("apply")
    with closing(sqlite3.connect(folder / "runs" / "state.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        code, err = scene.run(folder, *argv)

        assert code == 2, err
        assert "locked" in err
        assert time.monotonic() - began < 25
    assert scene.sandbox.counters().requests == 0
    assert scene.run(folder, *argv)[0] == 0


@pytest.mark.parametrize("jump_s", [86_400, -86_400])
def test_a_clock_that_jumps_changes_nothing_but_what_is_shown(scene: Scene, jump_s: int) -> None:
    """There and back by a day with every look: durations go by another clock, and the newest run is found."""
    seen = scene.undisturbed("apply")
    folder, argv = scene.set_up("apply")
    started = scene.start(folder, *argv, "--set", "limits.deadline=1h", jump_s=jump_s)
    with scene.at_request(seen.requests // 2, lambda: started.send(KILL), answered=True):
        started.wait()
    if unfinished(folder):
        code, err = scene.run(folder, *RESUME, jump_s=jump_s)
        assert code == 0, err

    assert scene.see(folder).users == seen.users
