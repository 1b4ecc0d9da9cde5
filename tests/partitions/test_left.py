"""Promises about what is left of partitions: nothing, however a run ends, and in the meantime nobody else can read them."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest

from reconcile.errors import StateError
from reconcile.partitions.engines import Inline
from reconcile.partitions.shelves import Folder
from reconcile.run import PARTITIONS
from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import State
from tests.conftest import Shell
from tests.partitions.worlds import draw, in_partitions
from tests.scale import dice, how_many

T = TypeVar("T")
PATIENCE_S = 60


def test_partitions_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Folders and files, also where the umask would let others read."""
    before = os.umask(0)
    try:
        in_partitions(draw(dice("modes"), 30), tmp_path / "parts", Inline(), 2)
    finally:
        os.umask(before)
    modes = {
        (path.is_dir(), path.stat().st_mode & 0o777)
        for path in [tmp_path / "parts", *(tmp_path / "parts").rglob("*")]
    }

    assert modes == {(True, 0o700), (False, 0o600)}


def test_a_place_that_cannot_be_written_is_said_with_a_remedy(tmp_path: Path) -> None:
    """A disk that is full, say; here a file stands where a folder is to be."""
    (tmp_path / "parts").write_text("in the way")

    with pytest.raises(StateError, match="cannot be written or read") as raised:
        in_partitions(draw(dice("modes"), 30), Folder(tmp_path / "parts"), Inline(), 2)
    assert "run.store" in raised.value.hint


def test_a_disk_that_is_full_ends_the_comparison(tmp_path: Path) -> None:
    """With its remedy, and without a piece of a file in its place."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(StateError, match="File too large") as raised:
            in_partitions(draw(dice("full"), 60), tmp_path / "parts", Inline(), 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert "there is room" in raised.value.hint
    assert [path for path in (tmp_path / "parts").rglob(".*") if path.is_file()] == []


def test_a_lost_partition_ends_the_comparison(tmp_path: Path) -> None:
    """A piece that is not there any more is never taken for one in which nobody was seen."""

    class Losing(Inline):
        def each(self, task: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
            if task.__name__ == "close":
                next((tmp_path / "directory" / "0001").iterdir()).unlink()
            return super().each(task, calls)

    with pytest.raises(StateError, match="cannot be written or read"):
        in_partitions(draw(dice("lost"), 60), tmp_path, Losing(), 2)


def left(shell: Shell) -> list[Path]:
    """What stands where partitions stand."""
    return list((shell.folder / "runs").glob("*/.partitions"))


@pytest.mark.parametrize("code", [0, 7], ids=["made", "refused"])
def test_nothing_is_left_however_a_run_ends(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Whether it comes to its plan, or the key is taken back on the way."""
    if code:
        drifted.fault("revoke_key", method="GET", path="/users", nth=4)
    made: list[str] = []
    write = Folder.write

    def seen(self: Folder, name: str, *rest: object) -> None:
        made.append(name)
        write(self, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Folder, "write", seen)
    assert shell("plan", "--quiet", "--partitions", "2", "--engine", "inline").code == code
    assert made
    assert left(shell) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM][: how_many(1, soak=2)])
def test_a_run_that_is_killed_takes_its_workers_along(
    shell: Shell, drifted: Sandbox, number: signal.Signals
) -> None:
    """Who asks it to end finds nothing left; after a kill the next run sweeps."""
    drifted.fault("silence", method="GET", path="/users", nth=3)
    command = [sys.executable, "-m", "reconcile", "plan", "--quiet", "--partitions", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: any(entry.path.endswith("/users") for entry in drifted.log()))
        workers = children_of(run.pid)
        run.send_signal(number)
        code = run.wait(PATIENCE_S)
    finally:
        run.kill()
    drifted.clear_faults()

    assert workers
    assert (code, bool(left(shell))) in {(-signal.SIGKILL, True), (143, False)}
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert shell("plan", "--quiet", "--partitions", "2", "--engine", "inline").code == 0
    assert left(shell) == []


def test_to_forget_somebody_removes_what_a_killed_run_left(shell: Shell, drifted: Sandbox) -> None:
    """Here, and in a store that others see: the state file remembers where."""
    if not os.environ.get("CI"):
        pytest.importorskip("fsspec")
    assert shell("plan", "--quiet").code == 0
    here, there, elsewhere = (
        shell.latest(".partitions"),
        shell.folder / "store" / "reconcile-20261128T000000Z-0001",
        shell.folder / "store" / "reconcile-20261128T000001Z-0002",
    )
    for place in (here, there, elsewhere):
        (place / "users").mkdir(parents=True)
        (place / "users" / "0000.parquet").write_bytes(b"somebody")
    with closing(State(shell.folder / "runs" / "state.sqlite", "demo")) as state:
        state.remember(PARTITIONS, f"file://{there}\nfile://{elsewhere}", "2026-11-28T00:00:00+00:00")

    store = f"run.store=file://{shell.folder / 'store'}"
    assert shell("forget", "nobody-at-all", "--yes", "--set", store).code == 0
    assert not here.exists()
    assert not there.exists()
    assert not elsewhere.exists()


def children_of(pid: int) -> list[str]:
    """The processes that a process has started."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()


def until(holds: Callable[[], bool]) -> None:
    """Wait for something; no longer than is decent."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # noqa: TID251 - for another process
