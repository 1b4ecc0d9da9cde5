"""This machine's clock, set wrong for a test."""

from datetime import datetime, timedelta
from typing import Any

import pytest

__all__ = ["Clock", "a_clock"]


class Clock:
    """A clock that is so many seconds ahead of the right time; below 0 it is behind."""

    def __init__(self) -> None:
        self.ahead_s = 0.0


def a_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give a clock that the job goes by: the one place that reads the time of this machine goes by it."""
    clock = Clock()

    class Moved(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "datetime":  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=clock.ahead_s)  # noqa: TID251 - as the one place does

    monkeypatch.setattr("reconcile.run.datetime", Moved)
    return clock
