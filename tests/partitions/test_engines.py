"""Promises about who compares the partitions: processes or a cluster, it is the same, and a worker may die."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconcile.errors import EngineError
from reconcile.partitions.engines import Dask, Engine, Processes
from reconcile.partitions.shelves import Shared
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.partitions.killing import Deadly, die
from tests.partitions.worlds import draw, in_partitions, whole
from tests.scale import dice, how_many

PATIENCE_S = 60


@contextmanager
def closing(engine: Engine) -> Iterator[Engine]:
    """Let go of the workers at the end."""
    try:
        yield engine
    finally:
        engine.close()


def test_a_worker_process_that_is_killed_changes_nothing(tmp_path: Path) -> None:
    """One dies half-way through the first look, in the soak in each of the tasks; what it was at is done again, and comes to the same."""
    world = draw(dice("processes"), 60)
    tasks = ("look", "check", "close")[: how_many(1, soak=3)]
    with closing(Deadly(Processes(how_many(1, soak=2)), tmp_path, *tasks)) as engine:
        assert in_partitions(world, tmp_path / "parts", engine, 3) == whole(world)

    assert {file.name for file in tmp_path.iterdir()} == {"parts", *tasks}


def test_a_task_that_kills_every_worker_ends_the_run_with_a_remedy(tmp_path: Path) -> None:
    """It is tried three times."""
    with closing(Processes(1)) as engine, pytest.raises(EngineError, match="died") as raised:
        engine.each(die, [()])

    assert "run.partitions" in raised.value.hint
    assert multiprocessing_children() == []


def test_a_worker_that_is_killed_while_it_waits_is_missed_when_there_is_work() -> None:
    """While the directory is walked, say."""
    with closing(Processes(1)) as engine:
        (first,) = engine.each(os.getpid, [()])
        os.kill(first, signal.SIGKILL)
        (second,) = engine.each(os.getpid, [()])

    assert len({first, second, os.getpid()}) == 3


def multiprocessing_children() -> list[str]:
    """The processes that this one has started for a pool."""
    pids = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text("ascii").split()
    return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Dask cluster on loopback: a scheduler and two workers, each a process of its own."""
    if not os.environ.get("CI"):
        pytest.importorskip("distributed")
    file = tmp_path_factory.mktemp("cluster") / "scheduler.json"
    local = ("--host", "127.0.0.1", "--scheduler-file", str(file))
    started = [_started("scheduler", *local, "--port", "0", "--no-dashboard", "--no-show")]
    started += [_started("worker", *local, "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in range(2)]
    try:
        yield _address(file)
    finally:
        for process in started:
            process.kill()
            process.wait()


def _started(*argv: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "dask", *argv]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _address(file: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while not file.exists() or not file.stat().st_size:
        assert time.monotonic() < deadline, "the scheduler does not come up"
        time.sleep(0.05)  # noqa: TID251 - for another process
    found: str = json.loads(file.read_text("utf-8"))["address"]
    return found


def test_a_cluster_that_is_not_there_is_said_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """In seconds."""
    pytest.importorskip("distributed")
    monkeypatch.setattr("reconcile.partitions.engines._PATIENCE_S", 0.5)
    with (
        closing(Dask("tcp://127.0.0.1:1")) as engine,
        pytest.raises(EngineError, match="cannot be reached") as raised,
    ):
        engine.each(die, [()])

    assert "run.scheduler" in raised.value.hint


def test_a_dask_cluster_comes_to_the_same_also_when_a_worker_is_killed(tmp_path: Path, scheduler: str) -> None:
    """Two workers, that are told where the partitions are by a URL; one of them dies half-way."""
    world = draw(dice("dask"), 60)
    shelf = Shared(f"file://{tmp_path}/parts")
    with closing(Deadly(Dask(scheduler), tmp_path, "look")) as engine:
        assert in_partitions(world, shelf, engine, 3) == whole(world)

    assert (tmp_path / "look").exists()


def test_the_command_line_hands_its_partitions_to_a_cluster(
    shell: Shell, drifted: Sandbox, scheduler: str
) -> None:
    """The same plan, and nothing of the cluster on either stream."""
    assert shell("plan", "--quiet").code == 0
    whole = _changes(shell)
    result = shell("plan", "--json", "--quiet", "--partitions", "2", "--engine", "dask", "--scheduler", scheduler)

    assert (result.code, result.err) == (0, "")
    assert _changes(shell) == whole


def _changes(shell: Shell) -> list[bytes]:
    return gzip.decompress(shell.latest("plan.jsonl.gz").read_bytes()).splitlines()[1:-1]
