"""
How SIGINT, SIGTERM and the deadline end a run: at once where nothing is in flight, after a while where writes are.

Setting the stop wakes every wait of ours. What does not wait for us (a pipe, a database, a person, a silent
server) is left by an exception in the main thread. A second signal ends the process on the spot.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from reconcile.cometchat.gate import SETTLE_S, Stop
from reconcile.errors import ExitCode, Interrupted

__all__ = ["Interrupts"]

_SETTLE_S = SETTLE_S - 0.5  # the report is to stand when the patience of whoever stopped us ends
_AGAIN_S = 0.2  # pools wait for their threads on the way out; each wait is left like the one before


class Interrupts:
    """The signals of one run, and what they may break off."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._at_work = False
        self._is_heard = False
        self._patience_s = 0.0

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen for the length of the block; in the main thread alone, no other gets signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {signal.SIGINT: self._end, signal.SIGTERM: self._end, signal.SIGALRM: self._leave}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        self._is_heard = True
        try:
            yield
        finally:
            self._is_heard = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def breaking(self) -> Iterator[None]:
        """Let a signal break the block off. Raises: Interrupted."""
        self._at_work = True
        try:
            self._stop.check()
            yield
        finally:
            self._at_work = False

    def be_patient(self) -> None:
        """From here on writes are in flight, and get their time to settle."""
        self._patience_s = _SETTLE_S

    def stop(self, code: ExitCode, why: str) -> None:
        """Ask for the end for another reason than a signal, from any thread; what does not wait for us is left, too."""
        self._stop.set(code, why)
        if self._is_heard:
            self._leave_soon()

    def _end(self, number: int, _frame: FrameType | None) -> None:
        code = ExitCode.SIGINT if number == signal.SIGINT else ExitCode.SIGTERM
        if self._stop.code is not None:
            os._exit(code)
        self._stop.set(code, "interrupted")
        self._leave_soon()
        if self._at_work and not self._patience_s:
            raise Interrupted(code)

    def _leave_soon(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._patience_s or _AGAIN_S, _AGAIN_S)

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        if self._at_work and self._stop.code is not None:
            raise Interrupted(self._stop.code)
