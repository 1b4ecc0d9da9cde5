"""
How far a source has been seen, by its own clock: what a run that reads only what changed begins at.

A watermark is the largest value of one column, a time or a number, that a run of full success has read. Its
arithmetic stands here, and the reasons for which a run reads everything all the same.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec

__all__ = ["Highest", "View", "Watermark", "before", "bound", "fingerprint", "is_value", "later", "view_of"]

_NUMBER = re.compile(r"-?\d{1,38}(\.\d{1,20})?")
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(:\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d(?::?\d\d)?)?)?")
_FARTHEST = timedelta(hours=14)  # that any zone is ahead of UTC: a time without one may be so far ahead

Point: TypeAlias = Decimal | datetime
Step: TypeAlias = Decimal | timedelta


class Watermark(msgspec.Struct, frozen=True):
    """
    How far a run of full success has seen. `mark` is the value as the source writes it; `settings` sums up what the
    run was told; `full_run` and `full_at` (ISO 8601) are the last run that read everything, and its start.
    """

    mark: str
    settings: str
    full_run: str
    full_at: str


class View(msgspec.Struct, frozen=True):
    """
    What of the source a run reads: everything where `since` is None, and `why` where a part was asked for.

    `advances` is False where it begins beyond the watermark: nobody would have seen what lies between.
    """

    since: str | None = None
    why: str = ""
    advances: bool = True


def fingerprint(app: tuple[str, str], settings: Mapping[str, str], version: str) -> str:
    """Sum up what a watermark holds for: the app (id and host), the digests of the settings, and the version."""
    text = msgspec.json.encode([app, settings, version], order="deterministic")
    return sha256(text).hexdigest()[:16]


def view_of(
    asked: str,
    kept: Watermark | None,
    *,
    settings: str,
    now: datetime,
    full_every: tuple[timedelta, str],
    overlap: Step,
    due: int = 0,
) -> View:
    """
    Say what a run reads that was asked for what changed: since the watermark, or since `asked` where it is not empty.

    `full_every` comes with its text; `due` are the values that CometChat did not keep and that are to be tried again.
    Raises: ValueError where `asked` or `overlap` does not go with the column.
    """
    if kept is None:
        return View(why="no run of full success has left a watermark so far, or one was undone since")
    if kept.settings != settings:
        return View(
            why=f"settings or version are others than in run {kept.full_run}, the last that read everything"
        )
    # A clock that was put back is no reason to wait longer.
    if not timedelta(0) <= now - datetime.fromisoformat(kept.full_at) < full_every[0]:
        return View(why=f"run {kept.full_run} was the last that read everything, {full_every[1]} ago or longer")
    if due:
        values = (
            "1 value that CometChat did not keep is"
            if due == 1
            else f"{due} values that CometChat did not keep are"
        )
        return View(why=f"{values} due to be tried again")
    usual = before(kept.mark, overlap)
    if not asked:
        return View(usual)
    since = _formed(asked, kept.mark)
    return View(since, advances=_point(since) <= _point(usual))


def is_value(text: str) -> bool:
    """Whether a text is a time or a number, as a column may hold them."""
    return _read(text) is not None


def before(mark: str, overlap: Step) -> str:
    """
    Give the value from which to read: the mark less the overlap, in the form of the mark.

    Raises: ValueError where one is of a time and the other a number.
    """
    point = _point(mark)
    if isinstance(point, Decimal) and isinstance(overlap, Decimal):
        return format(point - overlap, "f")
    if isinstance(point, datetime) and isinstance(overlap, timedelta):
        return _written(point - overlap, mark)
    if isinstance(point, Decimal):
        raise ValueError(f"is a duration, and the column holds numbers such as {mark}; give it in their unit")
    raise ValueError(f"is a number, and the column holds times such as {mark}; give a duration such as 10m")


def later(mark: str, other: str) -> str:
    """Give the larger of two values of one column."""
    return mark if _point(mark) >= _point(other) else other


def bound(since: str) -> int | Decimal | str:
    """Give a value as a driver binds it: a number as one, a time as its text."""
    number = _number(since)
    if number is None:
        return since
    return int(number) if number == number.to_integral_value() else number


class Highest:
    """
    Finds the mark among the values of a column, as they come: the largest that is not yet to come.

    `has_types` says that the database gives numbers as numbers: a text of digits is none there, because it is
    compared as a text. A time ahead of the database's clock is no mark: it would hide every change until then.
    """

    def __init__(self, now_unix_s: int, *, has_types: bool, since: str | None = None) -> None:
        """`since` is the value from which is read: what comes is to be of its form."""
        self._now = datetime.fromtimestamp(now_unix_s, UTC)
        self._has_types = has_types
        self._forms: dict[str, str] = {} if since is None else {_form(since): since}
        self._best: tuple[Point, str] | None = None
        self.without = self.ahead = 0

    @property
    def mark(self) -> str | None:
        """The largest value as the source writes it; None where no row had any."""
        return self._best[1] if self._best else None

    @property
    def forms(self) -> tuple[str, ...]:
        """A value of each form that was seen; of more than one form they cannot be told apart by size."""
        return tuple(self._forms.values())

    def add(self, values: Iterable[Any]) -> None:
        """Take in values: numbers, or texts, or nothing."""
        for value in values:
            text = value if isinstance(value, str) else _as_written(value)
            point = None if text is None else _read(text)
            is_digits = self._has_types and isinstance(value, str) and isinstance(point, Decimal)
            if point is None or text is None or is_digits:
                self.without += 1
                continue
            self._forms.setdefault(_form(text), text)
            if isinstance(point, datetime) and self._is_ahead(point):
                self.ahead += 1
            elif self._best is None or (len(self._forms) == 1 and point > self._best[0]):  # type: ignore[operator]
                self._best = point, text

    def _is_ahead(self, point: datetime) -> bool:
        if point.tzinfo is None:
            return point.replace(tzinfo=UTC) > self._now + _FARTHEST
        return point > self._now


def _as_written(value: object) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format(Decimal(repr(value)), "f")
    return None


def _read(text: str) -> Point | None:
    number = _number(text)
    if number is not None:
        return number
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _point(text: str) -> Any:
    point = _read(text)
    if point is None:
        raise ValueError(f"{text!r} is neither a time nor a number")
    return point


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _form(text: str) -> str:
    """Say how a value is written, but for its digits: texts of one form are ordered as the times are."""
    time = _TIME.fullmatch(text)
    if time is None:
        return "number"
    separator, seconds, zone = time.groups()
    return f"time {separator or ''} {'s' if seconds else ''} {zone or ''}"


def _formed(asked: str, mark: str) -> str:
    """Give what a person wrote in the form that the column has. Raises: ValueError."""
    point, like = _point(asked), _point(mark)
    if isinstance(point, Decimal) or isinstance(like, Decimal):
        if type(point) is not type(like):
            raise ValueError(f"{asked!r} does not go with a column that holds {mark!r}")
        return asked
    if (point.tzinfo is None) is not (like.tzinfo is None):
        what = "has no zone, and the column has" if point.tzinfo is None else "has a zone, and the column has none"
        raise ValueError(f"{asked!r} {what}, as in {mark!r}")
    return _written(point if like.tzinfo is None else point.astimezone(like.tzinfo), mark)


def _written(moment: datetime, mark: str) -> str:
    """Write a time as the mark is written; what that form has no room for is cut off, so it is never later."""
    time = _TIME.fullmatch(mark)
    separator, seconds, zone = time.groups() if time else (None, None, None)
    if separator is None:
        return moment.date().isoformat()
    return moment.replace(tzinfo=None).isoformat(separator, "seconds" if seconds else "minutes") + (zone or "")
