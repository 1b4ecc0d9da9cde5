"""Promises about the two clocks: what answers tell of the difference, and what it does to the time of an export."""

from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.skew import Dated, Moment, Skew, SkewMeter, by_service, doubt_of

NOON = 1_795_000_000.0
SOME = st.floats(-1e7, 1e7, allow_nan=False)
PARTS = st.floats(0, 1, exclude_max=True)


def measured(*answers: tuple[float, float, float | None]) -> Skew | None:
    """What these answers tell: when their request left, how long they took, and their date."""
    meter = SkewMeter()
    for answer in answers:
        meter.note(*answer)
    return meter.measured()


def honest(ahead_s: float, sent: float, took_s: float, share: float) -> tuple[float, float, float]:
    """An answer that was made after a share of the time that it took."""
    return sent, took_s, floor(sent - ahead_s + took_s * share)


@given(
    ahead=SOME, answers=st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 30), PARTS), min_size=1, max_size=30)
)
def test_the_true_difference_lies_within_the_bounds(
    ahead: float, answers: list[tuple[float, float, float]]
) -> None:
    """However the answers come."""
    found = measured(*(honest(ahead, NOON + at, took, share) for at, took, share in sorted(answers)))

    assert found is not None
    assert found.low_s - 1e-6 <= ahead <= found.high_s + 1e-6


def test_several_quick_answers_tell_it_more_exactly_than_a_date_does() -> None:
    """A date is in whole seconds, and its second ends somewhere."""
    found = measured(*(honest(600.0, NOON + at / 7, 0.02, 0.5) for at in range(9)))

    assert found is not None
    assert found.high_s - found.low_s < 0.25
    assert found.words == "this machine's clock is 10 minutes ahead of CometChat's"


@pytest.mark.parametrize("stale", range(9))
@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0])
def test_one_answer_from_a_cache_does_not_count(ahead: float, stale: int) -> None:
    """Whichever of the answers it is."""
    answers = [honest(ahead, NOON + at, 0.05, 0.5) for at in range(9)]
    others = answers[:stale] + answers[stale + 1 :]
    answers[stale] = (NOON + stale, 0.05, NOON - 86_400)

    assert measured(*answers) == measured(*others)


@pytest.mark.parametrize("date", [None, 0.0, 1e9, 4.2e9, -5.0, float("inf"), float("nan")])
def test_a_date_that_is_nonsense_teaches_nothing(date: float | None) -> None:
    """No more than one that is absent."""
    assert measured((NOON, 0.1, date)) is None
    assert measured((NOON, 0.1, date), (NOON, 0.1, NOON)) == measured((NOON, 0.1, NOON))


def test_a_clock_that_is_set_in_between_is_followed() -> None:
    """After a few answers: a long run notices that somebody mended the clock."""
    wrong = [honest(86_400.0, NOON + at, 0.05, 0.5) for at in range(50)]
    right = [honest(0.0, NOON + 60 + at, 0.05, 0.5) for at in range(9)]

    assert (measured(*wrong) or Skew(0, 0)).is_far
    assert (measured(*wrong, *right) or Skew(9, 9)).ahead_s == 0


@pytest.mark.parametrize(
    ("low", "high", "said", "far"),
    [
        (-0.9, 0.1, False, False),
        (4.0, 4.5, False, False),
        (-6.0, -5.5, True, False),
        (299.0, 299.9, True, False),
        (299.5, 300.5, True, True),
        (-300.5, -299.5, True, True),
    ],
)
def test_a_few_seconds_are_no_news_and_five_minutes_are_too_many(
    low: float,
    high: float,
    said: bool,  # noqa: FBT001
    far: bool,  # noqa: FBT001
) -> None:
    """Where it cannot be told on which side of five minutes it is, it is beyond them."""
    skew = Skew(low, high)

    assert (skew.matters, skew.is_far, bool(doubt_of(skew))) == (said, far, far)


def test_where_nothing_is_known_the_doubt_says_why() -> None:
    """And what may have taken the header away."""
    assert "no answer of CometChat had a usable Date" in doubt_of(None)


# The time of an export


def test_clocks_that_agree_leave_the_time_of_an_export_as_it_is() -> None:
    """But what switches users off allows for the second that a date leaves open."""
    moment = Moment(1_000_000, 1_000_100.0)

    assert by_service(moment, None) == Dated(1_000_000, 1_000_000)
    assert by_service(moment, Skew(-0.7, 0.2)) == Dated(1_000_000, 999_999)


@pytest.mark.parametrize(
    ("moment", "dated"),
    [
        (Moment(1_000_000, 1_000_100.0), Dated(999_879, 999_879)),
        (Moment(1_000_100, 1_000_100.0, is_now=True), Dated(999_979, 999_979)),
        (Moment(1_000_000, 1_000_200.0, is_given=True), Dated(1_000_000, 1_000_000)),
        (Moment(1_000_000, 1_000_100.0, is_given=True), Dated(999_979, 999_979)),
    ],
)
def test_a_clock_that_is_ahead_is_set_back(moment: Moment, dated: Dated) -> None:
    """A time that a person wrote is none of this machine's, and is only not to come."""
    assert by_service(moment, Skew(120.0, 120.5)) == dated


@pytest.mark.parametrize(
    ("moment", "dated"),
    [
        (Moment(1_000_000, 1_000_100.0), Dated(1_000_119, 1_000_000)),
        (Moment(1_000_100, 1_000_100.0, is_now=True), Dated(1_000_219, 1_000_219)),
        (Moment(1_000_200, 1_000_100.0, is_given=True), Dated(1_000_200, 1_000_200)),
        (Moment(1_000_300, 1_000_100.0, is_given=True), Dated(1_000_219, 1_000_219)),
    ],
)
def test_a_clock_that_is_behind_is_set_forward(moment: Moment, dated: Dated) -> None:
    """But a file may be from a machine whose clock is right: what switches users off allows for it."""
    assert by_service(moment, Skew(-120.0, -119.5)) == dated


@given(
    made=st.floats(0, 1e6),
    ahead=SOME,
    wait=st.floats(0, 1e5),
    joined=st.floats(0, 1e5),
    answers=st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 30), PARTS), min_size=1, max_size=9),
)
def test_who_signs_up_after_the_export_is_never_older_than_it(
    made: float, ahead: float, wait: float, joined: float, answers: list[tuple[float, float, float]]
) -> None:
    """Whatever this machine's clock says; for a file that it wrote, and for a query that it made."""
    made += NOON  # by CometChat's clock, as is when the user signed up
    began = made + wait
    skew = measured(*(honest(ahead, began + ahead + at, took, share) for at, took, share in sorted(answers)))
    file = by_service(Moment(floor(made + ahead), began + ahead), skew)
    query = by_service(Moment(0, began + ahead, is_now=True), skew)

    assert floor(made + joined) >= file.earliest_unix_s
    assert floor(began + joined) >= query.earliest_unix_s
    assert file.earliest_unix_s <= file.as_of_unix_s
