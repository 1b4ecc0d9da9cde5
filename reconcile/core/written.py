"""A change that a run applied, as the limits over time count it, and when that was."""

from datetime import UTC, datetime

import msgspec

from reconcile.core.guards import GuardClass

__all__ = ["Written", "id_at", "time_in_id"]

_IN_ID = "%Y%m%dT%H%M%SZ"


class Written(msgspec.Struct, frozen=True):
    """A change that a run applied. `at` is when it was recorded, in unix seconds."""

    run_id: str
    seq: int
    uid: str
    guard_class: GuardClass
    at: int


def id_at(unix_s: float) -> str:
    """Give what the ids of runs begin with that start at this time."""
    return f"{datetime.fromtimestamp(max(unix_s, 0), UTC):{_IN_ID}}"


def time_in_id(run_id: str) -> int | None:
    """Give the time that a run's id begins with, in unix seconds; None where it begins with none."""
    try:
        return int(datetime.strptime(run_id.partition("-")[0], _IN_ID).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
