"""
The sandbox's clock: the real time until a test sets it.

Owns the only reading of the wall clock in the sandbox. Rate windows and time stamps come from here, so that a
test can move through an hour without waiting for it.
"""

import time

__all__ = ["Clock"]


class Clock:
    """
    Tells the time in unix seconds; runs with the real time, ahead of it, or stands still where it was set.
    """

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._standing_at: float | None = None

    def now(self) -> float:
        """
        Return the sandbox's time in unix seconds.
        """
        if self._standing_at is not None:
            return self._standing_at
        return time.time() + self._ahead_s  # noqa: TID251 - this is the argument the rest is given

    def now_s(self) -> int:
        """
        Return the sandbox's time in whole seconds, the unit of every time stamp of the API.
        """
        return int(self.now())

    def set(self, unix_s: float) -> None:
        """
        Stop the clock at the given time; from now on it moves by `advance` only.
        """
        self._standing_at = unix_s

    def advance(self, seconds: float) -> None:
        """
        Move the clock forward, whether it stands or runs.
        """
        if self._standing_at is None:
            self._ahead_s += seconds
        else:
            self._standing_at += seconds

    def run(self) -> None:
        """
        Go back to the real time.
        """
        self._ahead_s = 0.0
        self._standing_at = None
