"""
What the sandbox remembers of the requests it got.

Owns the request log, the counters, and the account of how many requests arrived in any one minute. Keeps no
keys and no headers.
"""

from collections import Counter, deque
from collections.abc import Mapping

from msgspec import Struct

from reconcile.sandbox.limiter import WINDOW_S, Group

__all__ = ["MAX_ENTRIES", "Counters", "Entry", "Journal", "Pace"]

MAX_ENTRIES = 100_000  # the oldest entries go first


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """
    One request and its answer; `status` is None where no answer was given, `uid` where the path names no user.
    """

    time: float
    method: str
    path: str
    query: str
    endpoint: str
    uid: str | None
    group: str
    status: int | None
    body: str
    faults: list[str]


class Counters(Struct, frozen=True, kw_only=True):
    """
    How many requests came, counted in several ways; `writes` are all that are not GET.
    """

    requests: int
    writes: int
    by_method: Mapping[str, int]
    by_endpoint: Mapping[str, int]
    by_group: Mapping[str, int]
    by_status: Mapping[str, int]


class Pace(Struct, frozen=True):
    """
    The requests of one group: all of them, and the most that arrived in any 60 seconds.
    """

    requests: int
    most_in_a_minute: int


class _Meter:
    """
    Measures the most arrivals in any minute, both ends sliding.
    """

    def __init__(self) -> None:
        self._arrivals: deque[float] = deque()
        self.total = 0
        self.most = 0

    def tick(self, now: float) -> None:
        self._arrivals.append(now)
        while self._arrivals[0] <= now - WINDOW_S:
            self._arrivals.popleft()
        self.total += 1
        self.most = max(self.most, len(self._arrivals))


class Journal:
    """
    The requests since the last clearing.
    """

    def __init__(self) -> None:
        self.keeps_entries = True
        self.clear()

    def clear(self) -> None:
        """
        Forget all requests and start counting from nothing.
        """
        self.entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._meters = {group: _Meter() for group in Group}
        self._counts: Counter[tuple[str, str, str, str]] = Counter()

    def arrived(self, group: Group, now: float) -> None:
        """
        Note that a request came, whatever becomes of it.
        """
        self._meters[group].tick(now)

    def answered(self, entry: Entry) -> None:
        """
        Note what became of a request.
        """
        self._counts[entry.method, entry.endpoint, entry.group, str(entry.status)] += 1
        if self.keeps_entries:
            self.entries.append(entry)

    def counters(self) -> Counters:
        """
        Return the counts so far.
        """
        return Counters(
            requests=self._counts.total(),
            writes=sum(count for (method, *_), count in self._counts.items() if method != "GET"),
            by_method=self._by(0),
            by_endpoint=self._by(1),
            by_group=self._by(2),
            by_status=self._by(3),
        )

    def pace(self) -> dict[str, Pace]:
        """
        Return how fast the requests of each group came.
        """
        return {group.value: Pace(meter.total, meter.most) for group, meter in self._meters.items()}

    def _by(self, part: int) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for key, count in self._counts.items():
            counts[key[part]] += count
        return dict(sorted(counts.items()))
