"""How long one change, or one read, may be on the wire, all its requests together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from reconcile.errors import DirectoryBusy

__all__ = ["WIRE_S", "Errands"]

WIRE_S = 120.0  # a drip of bytes never runs into the timeout between two of them


class Errands(threading.local):
    """What every thread is about, and the seconds on the wire that it has left; the gate does not count."""

    left_s: float | None = None

    @contextmanager
    def one(self) -> Iterator[None]:
        """Begin an errand; inside another it is a part of that."""
        if self.left_s is not None:
            yield
            return
        self.left_s = WIRE_S
        try:
            yield
        finally:
            self.left_s = None

    def check(self, what: str, reserve_s: float) -> None:
        """Refuse to begin a request that has no time left, but for a reserve. Raises: DirectoryBusy."""
        if (self.left_s or 0.0) <= reserve_s:
            raise DirectoryBusy(
                f"{what}: {WIRE_S:.0f} s on the wire were not enough",
                hint="run it again later; what was begun is finished by: reconcile resume",
            )

    def spend(self, seconds: float) -> None:
        """Note a time on the wire."""
        if self.left_s is not None:
            self.left_s -= seconds
