"""How many rows stay in memory, and into how many partitions more of them go."""

import os
from pathlib import Path

from reconcile.partitions.engines import workers_here
from reconcile.settings import MOST_PARTITIONS
from reconcile.settings import Run as RunSettings

__all__ = ["how_many", "most_in_memory"]

_USER = 320  # bytes that a user on both sides takes: measured, see docs/performance.md
_SHARE = 0.5  # of the machine's memory that one run may take
_BYTES = 1_500_000_000  # of the cells of one column: put together by Arrow, it holds 2 GiB at most
_ROOM = 16  # times the rows that are known of: on a first run nobody knows how many come
_FEWEST = 16
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def most_in_memory(settings: RunSettings) -> tuple[int, int]:
    """Give the rows, and the bytes of the largest column, above which an export goes into partitions."""
    return (-1, -1) if settings.partitions else (_fitting(), _BYTES)


def how_many(settings: RunSettings, known_rows: int) -> int:
    """Give the number of partitions; `known_rows` is how large the last export was."""
    if settings.partitions:
        return settings.partitions
    at_once = max(1, _fitting() // workers_here())
    wanted = -(-max(_ROOM * _fitting(), 2 * known_rows) // at_once)
    return min(max(wanted, _FEWEST), MOST_PARTITIONS)


def _fitting() -> int:
    return int(_memory() * _SHARE) // _USER


def _memory() -> int:
    """Give the bytes that this process may have: of the machine, or of the container that it is in."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in _CGROUPS:
        try:
            limits.append(int(Path(name).read_text("ascii")))
        except (OSError, ValueError):
            continue
    return min(limits)
