"""Promises about the watermark: what is the largest value, from where is read, and when everything is."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.watermark import Highest, Step, Watermark, before, bound, fingerprint, is_value, later, view_of

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
KEPT = Watermark("2026-11-27T11:00:00.5+00:00", "same", "run-1", "2026-11-27T02:00:00+00:00")
WEEK = (timedelta(days=7), "7d")
TEN = timedelta(minutes=10)


def highest(*values: Any, has_types: bool = False, since: str | None = None) -> Highest:
    """Show some values of a column, in one batch each."""
    found = Highest(int(NOW.timestamp()), has_types=has_types, since=since)
    for value in values:
        found.add([value])
    return found


@pytest.mark.parametrize(
    ("mark", "overlap", "since"),
    [
        ("2026-11-27T00:05:00+00:00", TEN, "2026-11-26T23:55:00+00:00"),
        ("2026-11-27T00:05:00.999999+00:00", TEN, "2026-11-26T23:55:00+00:00"),
        ("2026-11-27T00:05:00Z", TEN, "2026-11-26T23:55:00Z"),
        ("2026-11-27T00:05:00+13:00", TEN, "2026-11-26T23:55:00+13:00"),
        ("2026-11-27 00:05:00", TEN, "2026-11-26 23:55:00"),
        ("2026-11-27 00:05", TEN, "2026-11-26 23:55"),
        ("2026-11-27", TEN, "2026-11-26"),
        ("1700000000", Decimal(600), "1699999400"),
        ("1700000000.25", Decimal("0.5"), "1699999999.75"),
        ("-5", Decimal(1), "-6"),
    ],
)
def test_what_is_read_begins_an_overlap_before_the_mark_in_its_form(mark: str, overlap: Step, since: str) -> None:
    """What has no room in that form is cut off, so it is never later."""
    assert before(mark, overlap) == since


@pytest.mark.parametrize(
    ("mark", "overlap", "words"),
    [("1700000000", TEN, "is a duration"), ("2026-11-27", Decimal(600), "is a number")],
)
def test_an_overlap_of_another_kind_is_refused(mark: str, overlap: Step, words: str) -> None:
    """Nobody is to guess whether a number counts seconds."""
    with pytest.raises(ValueError, match=words):
        before(mark, overlap)


@given(
    st.lists(st.integers(6 * 10**14, 17 * 10**14), min_size=1),
    st.timedeltas(timedelta(seconds=1), timedelta(days=9)),
)
def test_nothing_from_the_mark_on_is_ever_left_out(micros: list[int], overlap: timedelta) -> None:
    """Texts of one form are ordered as their times, and what is read begins a whole overlap earlier."""
    times = [datetime.fromtimestamp(0, UTC) + timedelta(microseconds=number) for number in micros]
    texts = [time.isoformat(timespec="microseconds") for time in times]
    mark = highest(*texts).mark
    assert mark == max(texts)
    since = before(mark, overlap)

    assert datetime.fromisoformat(since) <= max(times) - overlap
    assert all(since < text for text in texts if datetime.fromisoformat(text) > max(times) - overlap)


@given(st.lists(st.integers(-(10**18), 10**18) | st.decimals(-(10**9), 10**9, places=3), min_size=1))
def test_numbers_are_compared_as_numbers(numbers: list[int | Decimal]) -> None:
    """Not as texts: 9 is less than 10."""
    mark = highest(*(str(number) for number in numbers)).mark

    assert mark is not None
    assert Decimal(mark) == max(numbers)


def test_what_is_neither_time_nor_number_is_counted_and_no_mark() -> None:
    """Also numbers as a text where a database has numbers: it would compare them as texts."""
    found = highest("2026-11-01", None, "", "infinity", "2026-13-01", "soon", b"1", float("nan"))
    digits = highest("0012", 7, 9.5, has_types=True)

    assert (found.mark, found.without) == ("2026-11-01", 7)
    assert (digits.mark, digits.without) == ("9.5", 1)
    assert highest().mark is None


def test_a_time_to_come_is_no_mark() -> None:
    """It would hide every change until then; without a zone it may be of one far to the east."""
    aware = highest("2026-11-27T11:59:59+00:00", "2026-11-27T12:00:01+00:00", "2099-01-01T00:00:00+00:00")
    naive = highest("2026-11-28T01:59:00", "2026-11-28T03:00:00")

    assert (aware.mark, aware.ahead) == ("2026-11-27T11:59:59+00:00", 2)
    assert (naive.mark, naive.ahead) == ("2026-11-28T01:59:00", 1)


@pytest.mark.parametrize(
    "values",
    [
        ("2026-11-01 00:00:00", "2026-11-01T00:00:00"),
        ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01", "2026-11-01 00:00:00"),
        ("2026-11-01", "1700000000"),
    ],
)
def test_values_of_more_than_one_form_are_told(values: tuple[str, str]) -> None:
    """As texts they are not ordered as their times."""
    assert len(highest(*values).forms) == 2
    assert len(highest(values[1], since=values[0]).forms) == 2
    assert len(highest("2026-11-01T00:00:00.5Z", "2026-11-01T00:00:00Z", "2020-01-01T00:00:00Z").forms) == 1


@pytest.mark.parametrize(
    ("text", "value"), [("12", 12), ("-3.0", -3), ("1.5", Decimal("1.5")), ("2026-11-27", "2026-11-27")]
)
def test_a_value_is_bound_as_what_it_is(text: str, value: object) -> None:
    """A server compares a number with numbers."""
    assert bound(text) == value
    assert type(bound(text)) is type(value)


def test_everything_is_read_with_a_reason_where_a_part_would_not_do() -> None:
    """No watermark, other settings, too long ago, a clock that was put back; else a part."""

    def view(kept: Watermark | None, now: datetime = NOW) -> tuple[str | None, str]:
        found = view_of("", kept, settings="same", now=now, full_every=WEEK, overlap=TEN)
        return found.since, found.why

    assert view(KEPT) == ("2026-11-27T10:50:00+00:00", "")
    assert view(KEPT, NOW + timedelta(days=6)) == ("2026-11-27T10:50:00+00:00", "")
    for since, why in (
        view(None),
        view(msgspec.structs.replace(KEPT, settings="others")),
        view(KEPT, NOW + timedelta(days=7)),
        view(KEPT, NOW - timedelta(days=1)),
    ):
        assert since is None
        assert why


@pytest.mark.parametrize(
    ("asked", "since", "advances"),
    [
        ("2026-11-27T10:50:00+00:00", "2026-11-27T10:50:00+00:00", True),
        ("2026-11-27 12:50+02:00", "2026-11-27T10:50:00+00:00", True),
        ("2026-11-20T00:00:00Z", "2026-11-20T00:00:00+00:00", True),
        ("2026-11-27T10:50:01Z", "2026-11-27T10:50:01+00:00", False),
    ],
)
def test_a_value_that_is_asked_for_is_brought_into_the_columns_form(
    asked: str, since: str, *, advances: bool
) -> None:
    """One beyond the usual leaves a gap, and then the mark stays."""
    found = view_of(asked, KEPT, settings="same", now=NOW, full_every=WEEK, overlap=TEN)

    assert (found.since, found.advances) == (since, advances)


@pytest.mark.parametrize(
    ("asked", "mark", "words"),
    [
        ("2026-11-27", KEPT.mark, "has no zone"),
        ("2026-11-27T00:00:00Z", "2026-11-27 00:00:00", "has a zone"),
        ("12", KEPT.mark, "does not go with"),
        ("2026-11-27", "12", "does not go with"),
    ],
)
def test_a_value_that_does_not_go_with_the_column_is_refused(asked: str, mark: str, words: str) -> None:
    """It would be compared with what it is not."""
    kept = msgspec.structs.replace(KEPT, mark=mark)
    overlap = Decimal(1) if mark == "12" else TEN

    with pytest.raises(ValueError, match=words):
        view_of(asked, kept, settings="same", now=NOW, full_every=WEEK, overlap=overlap)


def test_a_watermark_holds_for_one_app_one_version_and_the_same_settings() -> None:
    """Each of them makes another fingerprint."""
    settings = {"source": "a", "fields": "b"}
    made = {
        fingerprint(("app", "host"), settings, "1"),
        fingerprint(("app", "other"), settings, "1"),
        fingerprint(("app", "host"), settings, "2"),
        fingerprint(("app", "host"), settings | {"fields": "c"}, "1"),
    }

    assert len(made) == 4
    assert fingerprint(("app", "host"), dict(reversed(settings.items())), "1") in made


def test_the_later_of_two_marks_is_kept() -> None:
    """By what they are, not as texts."""
    assert later("9", "10") == later("10", "9") == "10"
    assert is_value("2026-11-27T00:00:00Z")
    assert not is_value("20261127T021500Z-3f9a")
