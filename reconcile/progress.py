"""
Progress of the stages: a bar on a terminal, a log line now and then without one, nothing when asked for.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

import structlog

__all__ = ["Progress", "Tick", "make_progress"]

log = structlog.get_logger()

_LINE_EVERY_S = 10.0

Tick = Callable[[int], None]


class Progress(Protocol):
    """Shows how far a stage is."""

    def stage(self, name: str, total: int | None, unit: str) -> AbstractContextManager[Tick]:
        """Begin a stage; what the block gets is called with the number of things that were done."""


def make_progress(*, quiet: bool, stream: TextIO | None, monotonic: Callable[[], float]) -> Progress:
    """Choose how progress is shown on this stream; without one, in the log."""
    if quiet:
        return _Silent()
    return _Bars(stream) if stream is not None and stream.isatty() else _Lines(monotonic)


class _Silent:
    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Tick]:  # noqa: ARG002
        yield lambda _count: None


class _Lines:
    """A log line at most every 10 seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Tick]:
        began = last = self._now()
        done = 0

        def tick(count: int) -> None:
            nonlocal done, last
            done += count
            now = self._now()
            if now - last >= _LINE_EVERY_S:
                last = now
                rate = done / max(now - began, 0.001)
                left = round((total - done) / rate) if total and rate else None
                log.info(
                    "progress", stage=name, done=done, total=total, unit=unit, per_s=round(rate, 1), left_s=left
                )

        yield tick


class _Bars:
    """A bar with rate and time left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Tick]:
        from rich.console import Console  # noqa: PLC0415 - only on a terminal
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        columns = (
            TextColumn(f"{name:<10}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        console = Console(file=self._stream)
        with Progress(*columns, console=console, transient=True, expand=True) as bars:
            task = bars.add_task(name, total=total, rate="")

            def tick(count: int) -> None:
                bars.advance(task, count)
                speed = bars.tasks[0].speed
                bars.update(task, rate=f"{speed:,.0f}/s" if speed else "")

            yield tick
