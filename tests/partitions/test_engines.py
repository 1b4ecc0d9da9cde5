"""Promises about who compares the partitions: processes or a cluster, it is the same, and a worker may die."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from reconcile.errors import EngineError
from reconcile.partitions.engines import Dask, Engine, Processes
from reconcile.partitions.shelves import Shared
from tests.partitions.killing import Deadly, die
from tests.partitions.worlds import draw, in_partitions, whole
from tests.scale import dice

PATIENCE_S = 60


@contextmanager
def closing(engine: Engine) -> Iterator[Engine]:
    """Let go of the workers at the end."""
    try:
        yield engine
    finally:
        engine.close()


def test_a_worker_process_that_is_killed_changes_nothing(tmp_path: Path) -> None:
    """One dies in each of the tasks; what it was at is done again, and comes to the same."""
    world = draw(dice("processes"), 100)
    with closing(Deadly(Processes(2), tmp_path, "check", "look", "close")) as engine:
        assert in_partitions(world, tmp_path / "parts", engine, 3) == whole(world)

    assert {file.name for file in tmp_path.iterdir()} == {"parts", "check", "look", "close"}


def test_a_task_that_kills_every_worker_ends_the_run_with_a_remedy(tmp_path: Path) -> None:
    """It is tried three times."""
    with closing(Processes(1)) as engine, pytest.raises(EngineError, match="died") as raised:
        list(engine.each(die, [()]))

    assert "run.partitions" in raised.value.hint
    assert multiprocessing_children() == []


def multiprocessing_children() -> list[str]:
    """The processes that this one has started for a pool."""
    pids = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text("ascii").split()
    return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Dask cluster on loopback: a scheduler and two workers, each a process of its own."""
    if not os.environ.get("CI"):
        pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    started = [
        subprocess.Popen(
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show", "--scheduler-file", file],
            env=environment, **quiet,
        )
    ]  # fmt: skip
    for _ in range(2):
        started.append(
            subprocess.Popen(
                [*dask, "worker", "--scheduler-file", file, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard"],
                env=environment, **quiet,
            )
        )  # fmt: skip
    try:
        yield _address(file)
    finally:
        for process in started:
            process.kill()
            process.wait()


def _address(file: Path) -> str:
    import json  # noqa: PLC0415

    deadline = monotonic() + PATIENCE_S
    while monotonic() < deadline:
        try:
            found: str = json.loads(file.read_text("utf-8"))["address"]
        except (OSError, ValueError):
            continue
        return found
    raise AssertionError("the scheduler does not come up")


def test_a_dask_cluster_comes_to_the_same_also_when_a_worker_is_killed(tmp_path: Path, scheduler: str) -> None:
    """Two workers, that are told where the partitions are by a URL; one of them dies half-way."""
    world = draw(dice("dask"), 100)
    shelf = Shared(f"file://{tmp_path}/parts")
    with closing(Deadly(Dask(scheduler), tmp_path, "look")) as engine:
        assert in_partitions(world, shelf, engine, 3) == whole(world)

    assert (tmp_path / "look").exists()
