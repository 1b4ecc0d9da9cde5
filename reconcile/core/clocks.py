"""What a wrong clock of this machine leaves behind: run ids and plans with a date that is still to come. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

__all__ = ["future_notes", "is_ahead"]

_TOLERANCE = timedelta(minutes=5)  # two machines, or a clock that is put right, may differ by so much
_FORM = "%Y%m%dT%H%M%SZ"  # how a run id begins


def is_ahead(date: datetime, now: datetime) -> bool:
    """Whether a date that this machine once wrote down lies in the future."""
    return date - now > _TOLERANCE


def future_notes(run_ids: Iterable[str], now: datetime) -> Iterator[str]:
    """Say in one sentence which runs have an id with a date in the future, newest run first; nothing where none has."""
    ahead = [run_id for run_id in run_ids if (date := _date_of(run_id, now)) and is_ahead(date, now)]
    if ahead:
        more = f" and {len(ahead) - 1} more" if len(ahead) > 1 else ""
        yield (
            f"run {ahead[0]}{more}: the date in the id lies in the future, so the clock of this machine was wrong then or is "
            "wrong now; runs are kept in the order in which they began; compare the clock with the right time: date -u"
        )


def _date_of(run_id: str, now: datetime) -> datetime | None:
    try:
        return datetime.strptime(run_id.partition("-")[0], _FORM).replace(tzinfo=now.tzinfo)
    except ValueError:
        return None
