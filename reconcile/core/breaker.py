"""
When failures are an outage, and how an outage is waited out.

Pure: `now_s` is a monotonic time in seconds that the caller hands in. While the breaker is open nobody sends
but one probe now and then; an answer to it closes the breaker.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Breaker", "Patience", "Turn"]


@dataclass(frozen=True, slots=True)
class Patience:
    """
    How many failures make an outage, and how long one is waited out.

    `in_row` failures one after the other, or `share` of the last `window` answers.
    """

    in_row: int = 20
    window: int = 100
    share: float = 0.5
    probe_every_s: float = 30.0
    longest_s: float = 600.0


class Turn(StrEnum):
    """What an answer made of the breaker."""

    OPENED = "opened"
    CLOSED = "closed"


@dataclass(slots=True)
class Breaker:
    """Closed until failures are an outage, then open until a probe is answered; `row` is of failures so far."""

    patience: Patience = field(default_factory=Patience)
    opened_s: float | None = None
    _next_probe_s: float = 0.0
    _given_up: bool = False
    row: int = 0
    _mute_row: int = 0
    _looks: int = 0
    _last: deque[bool] = field(default_factory=deque)

    @property
    def is_open(self) -> bool:
        """Whether there is an outage."""
        return self.opened_s is not None

    def is_over(self, now_s: float) -> bool:
        """Whether the outage lasts longer than it is waited out: a last probe failed, or is lost."""
        lost_s = self.patience.longest_s + self.patience.probe_every_s
        return self._given_up or (self.opened_s is not None and now_s - self.opened_s > lost_s)

    def wait_s(self, now_s: float) -> float:
        """Give the seconds until somebody may send; 0 when it may be now."""
        return max(0.0, self._next_probe_s - now_s) if self.is_open else 0.0

    def words(self, now_s: float) -> str:
        """Say how long the outage has lasted, and what happens next."""
        since_s = now_s - (self.opened_s or now_s)
        ends_s = max(0.0, self.patience.longest_s - since_s)
        return (
            f"waiting: CometChat does not answer (for {since_s:.0f} s; next probe in {self.wait_s(now_s):.0f} s); "
            f"the run stops unless it does within {ends_s:.0f} s"
        )

    def claim(self, now_s: float) -> bool:
        """Take the turn that is free now; True where it is for a probe."""
        # By the clock, not by the answer: a probe that is lost does not keep the next one from leaving.
        self._next_probe_s = now_s + self.patience.probe_every_s
        return self.is_open

    @property
    def is_mute(self) -> bool:
        """Whether writes fail one after the other while reads are answered: no probe would show that."""
        return min(self._mute_row, self._looks) >= self.patience.in_row

    def note(self, now_s: float, *, failed: bool, is_probe: bool = False, is_write: bool = False) -> Turn | None:
        """Learn from what became of a request, and say what that turned."""
        self._note_writes(failed=failed, is_write=is_write)
        if self.opened_s is not None:
            # What left before the outage was seen proves nothing about what comes after.
            if is_probe and not failed:
                return self._close()
            self._given_up |= is_probe and now_s - self.opened_s >= self.patience.longest_s
            return None
        self.row = self.row + 1 if failed else 0
        self._last.append(failed)
        if len(self._last) > self.patience.window:
            self._last.popleft()
        return self._open(now_s) if self._is_outage() else None

    def _note_writes(self, *, failed: bool, is_write: bool) -> None:
        if is_write:
            self._mute_row, self._looks = (self._mute_row + 1, self._looks) if failed else (0, 0)
        elif not failed and self._mute_row:
            self._looks += 1

    def _is_outage(self) -> bool:
        window = self.patience.window
        often = len(self._last) == window and sum(self._last) >= self.patience.share * window
        return often or self.row >= self.patience.in_row

    def _open(self, now_s: float) -> Turn:
        self.opened_s = now_s
        self._mute_row = self._looks = 0
        self._next_probe_s = now_s + self.patience.probe_every_s
        return Turn.OPENED

    def _close(self) -> Turn:
        self.opened_s = None
        self._given_up = False
        self.row = 0
        self._last.clear()
        return Turn.CLOSED
