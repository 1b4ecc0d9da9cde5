"""
Progress of the stages: a bar on a terminal, a log line now and then without one, nothing when asked for.

Both say how much is done, how fast, which share of the rate budget that takes, and how long it will last.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TextIO

import structlog

__all__ = ["Progress", "Spending", "Tick", "make_progress"]

log = structlog.get_logger()

_LINE_EVERY_S = 10.0
_DRAWN_EVERY_S = 0.1  # an apply settles thousands of changes a second; nobody sees more than this

Tick = Callable[[int], None]
Spending = Callable[[], tuple[float, float]]  # the share of the minute's limit that is used, and that limit


class Progress(Protocol):
    """Shows how far a stage is."""

    def watch(self, spending: Spending) -> None:
        """Take from here what the requests of the stages spend."""

    def stage(self, name: str, total: int | None, unit: str) -> AbstractContextManager[Tick]:
        """
        Begin a stage; what the block gets is called with the number of things that were done.

        `total` may be an estimate: where more is done, how long it lasts is not known.
        """


def make_progress(*, quiet: bool, stream: TextIO | None, monotonic: Callable[[], float]) -> Progress:
    """Choose how progress is shown on this stream; in the log where it is none whose cursor can move."""
    if quiet:
        return _Silent()
    return _Bars(stream, monotonic) if stream is not None and stream.isatty() else _Lines(monotonic)


class _Silent:
    def watch(self, spending: Spending) -> None:
        pass

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Tick]:  # noqa: ARG002
        yield lambda _count: None


class _Lines:
    """A log line at most every 10 seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic
        self._spending: Spending | None = None

    def watch(self, spending: Spending) -> None:
        self._spending = spending

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
                known = total if total and done <= total else None
                rate = done / max(now - began, 0.001)
                left = round((known - done) / rate) if known and rate else None
                facts: dict[str, Any] = {"per_s": round(rate, 1), "budget": _share(self._spending), "left_s": left}
                log.info("progress", stage=name, done=done, total=known, unit=unit, **facts)

        yield tick


class _Bars:
    """A bar with rate, share of the budget and time left."""

    def __init__(self, stream: TextIO, monotonic: Callable[[], float]) -> None:
        self._stream = stream
        self._now = monotonic
        self._spending: Spending | None = None

    def watch(self, spending: Spending) -> None:
        self._spending = spending

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Tick]:
        from rich.console import Console  # noqa: PLC0415 - only on a terminal
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

        console = Console(file=self._stream)
        bar = (BarColumn(bar_width=None),) if console.width >= 60 else ()
        columns = (TextColumn(f"{name:<6}"), *bar, TextColumn("{task.fields[words]}", markup=False))
        began = drawn = self._now()
        done = 0
        with Progress(*columns, console=console, transient=True, expand=True) as bars:
            task = bars.add_task(name, total=total, words=_words(0, total, unit, 0.0, None, console.width))

            def draw() -> None:
                known = total if total is None or done <= total else None
                rate = done / max(drawn - began, 0.001)
                words = _words(done, known, unit, rate, self._spending, console.width)
                bars.update(task, completed=done, words=words)

            def tick(count: int) -> None:
                nonlocal done, drawn
                done += count
                now = self._now()
                if now - drawn >= _DRAWN_EVERY_S:
                    drawn = now
                    draw()

            yield tick
            draw()


def _words(done: int, total: int | None, unit: str, rate: float, spending: Spending | None, width: int) -> str:
    """Say how far it is, in what has room."""
    parts = [f"{done:,}/{total:,} {unit}" if total is not None else f"{done:,} {unit}"]
    if rate and width >= 50:
        parts.append(f"{rate:,.0f}/s")
    if rate and total is not None:
        parts.append(f"{_clock((total - done) / rate)} left")
    budget = _share(spending)
    if budget and width >= 80:
        parts.append(f"budget {budget}")
    return "  ".join(parts)


def _share(spending: Spending | None) -> str | None:
    if spending is None:
        return None
    share, limit = spending()
    return f"{share:.0%} of {limit:,.0f}/min"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
