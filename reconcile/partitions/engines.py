"""
Who works through the partitions: this process, others of this machine, or a Dask cluster that is there already.

A task may be lost with its worker, and is then run again; one that raises ends the run.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

import structlog

from reconcile import __version__
from reconcile.errors import EngineError, SettingsError
from reconcile.settings import Run as RunSettings

__all__ = ["Engine", "engine_of", "workers_here"]

log = structlog.get_logger()

T = TypeVar("T")
_TRIES = 3  # of a task whose worker died: what kills a third one is the task
_LOST_HINT = (
    "it was killed, perhaps for want of memory: more partitions take less each (run.partitions); then run it again"
)
_PATIENCE_S = 20  # until a cluster is asked whether it is there at all


class Engine(Protocol):
    """Runs a task for each of some arguments, and gives the answers in their order. Raises: EngineError."""

    def each(self, task: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
        """Run the task once for each tuple of arguments."""

    def close(self) -> None:
        """Let go of the workers, whatever they are at."""


def workers_here() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def engine_of(settings: RunSettings) -> Engine:
    """Give the engine that the settings name; it is started when there is something to do. Raises: SettingsError."""
    match settings.engine:
        case "dask":
            return Dask(settings.scheduler)
        case "processes":
            return Processes(workers_here())
        case _:
            return Inline()


class Inline:
    """One task after the other, in this process."""

    def each(self, task: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
        """Run the task once for each tuple of arguments."""
        return [task(*call) for call in calls]

    def close(self) -> None:
        """Nothing is held."""


class Processes:
    """A pool of processes on this machine."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def each(self, task: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
        """Run the task once for each tuple of arguments. Raises: EngineError."""
        answers: dict[int, T] = {}
        for tried in range(1, _TRIES + 1):
            try:
                self._work(task, calls, answers)
                return [answers[at] for at in range(len(calls))]
            except BrokenProcessPool:
                log.warning("partitions.worker_lost", tried=tried, answered=len(answers), of=len(calls))
                self.close()
        raise EngineError(
            "a worker process died while it compared a partition, and so did those that tried again",
            hint=_LOST_HINT,
        )

    def _work(self, task: Callable[..., T], calls: Sequence[tuple[Any, ...]], answers: dict[int, T]) -> None:
        """Have those calls answered that are not so far. Raises: BrokenProcessPool where a worker has died."""
        if self._pool is None:
            # Not forked: threads of ours may hold a lock that a copy would wait for.
            self._pool = ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), _obey)
        due = {at: self._pool.submit(task, *call) for at, call in enumerate(calls) if at not in answers}
        for at, future in due.items():
            answers[at] = future.result()

    def close(self) -> None:
        """Let go of the workers, whatever they are at."""
        if self._pool is None:
            return
        workers = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join()
        self._pool = None


def _version() -> str:
    return __version__


def _obey() -> None:
    """Leave signals to the process that began this one, and end with it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def end() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end, daemon=True).start()


class Dask:
    """A Dask cluster that is there already. Its workers have this version installed, and see the partitions."""

    def __init__(self, scheduler: str) -> None:
        if find_spec("distributed") is None:
            raise SettingsError(
                "run.engine dask needs the package distributed, which is not installed",
                hint="install reconcile with its extra: dask",
            )
        self._scheduler = scheduler
        self._client: Any = None

    def each(self, task: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
        """Run the task once for each tuple of arguments. Raises: EngineError."""
        from distributed import KilledWorker  # noqa: PLC0415 - only for who asks for it
        from distributed.client import FutureCancelledError  # noqa: PLC0415

        client = self._connected()
        try:
            # Not pure: the same call of another run, or of a later look, is another.
            waiting = [client.submit(task, *call, pure=False) for call in calls]
            return [self._answer(client, future) for future in waiting]
        except KilledWorker:
            raise EngineError(
                "the workers of the Dask cluster that compared a partition died", hint=_LOST_HINT
            ) from None
        except (OSError, FutureCancelledError) as error:
            raise self._lost(error) from None

    def _answer(self, client: Any, future: Any) -> Any:
        """Wait for an answer as long as there is a worker to give it."""
        while True:
            try:
                return future.result(timeout=_PATIENCE_S)
            except TimeoutError:
                if not client.scheduler_info(n_workers=-1)["workers"]:
                    raise EngineError(
                        f"the Dask scheduler at {self._scheduler} has no worker",
                        hint="start some: dask worker ADDRESS",
                    ) from None

    def close(self) -> None:
        """Let go of the cluster; what it is at is given up."""
        if self._client is not None:
            with suppress(OSError):
                self._client.close(timeout=2)
            self._client = None

    def _connected(self) -> Any:
        if self._client is None:
            from distributed import Client  # noqa: PLC0415 - only for who asks for it

            try:
                self._client = Client(self._scheduler, timeout=_PATIENCE_S, set_as_default=False)
                there = {*self._client.run(_version).values()}
            except (OSError, ValueError) as error:
                raise self._lost(error) from None
            except ImportError:
                there = {"none"}
            if there - {__version__}:
                raise EngineError(
                    f"the Dask workers at {self._scheduler} have other versions of reconcile than {__version__}: "
                    f"{', '.join(sorted(there))}",
                    hint="install this one there",
                )
        return self._client

    def _lost(self, error: Exception) -> EngineError:
        return EngineError(
            f"the Dask scheduler at {self._scheduler} cannot be reached: {error}",
            hint="check run.scheduler and that the cluster is up; or leave out --engine, and this machine does it",
        )
