"""Tasks that take their worker with them. Light to load: each worker that dies here was started for it."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from reconcile.partitions.engines import Engine

T = TypeVar("T")


def die() -> None:
    """End this process as the system does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def once(mark: Path, task: Callable[..., T], *call: Any) -> T:
    """Do the task; the first who comes here dies before its answer is out."""
    found = task(*call)
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return found
    die()
    raise AssertionError


class Deadly:
    """An engine of which one worker dies half-way through each of these tasks."""

    def __init__(self, engine: Engine, folder: Path, *names: str) -> None:
        self._engine = engine
        self._folder = folder
        self._names = names

    def each(self, task: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
        """Run the task once for each tuple of arguments, and for the second of them first in vain."""
        mark = self._folder / task.__name__
        return self._engine.each(
            _mixed, [(self._is_deadly(at, task), mark, task, *call) for at, call in enumerate(calls)]
        )

    def _is_deadly(self, at: int, task: Callable[..., Any]) -> bool:
        return at == 1 and task.__name__ in self._names

    def close(self) -> None:
        """Let go of the workers."""
        self._engine.close()


def _mixed(is_deadly: bool, mark: Path, task: Callable[..., T], *call: Any) -> T:  # noqa: FBT001 - a task takes its arguments in order
    return once(mark, task, *call) if is_deadly else task(*call)
