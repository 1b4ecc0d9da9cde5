"""Promises about when failures are an outage, and how one is waited out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.breaker import Breaker, Patience, Turn


def fed(breaker: Breaker, answers: str, now_s: float = 0.0) -> list[Turn | None]:
    """Note answers that stand as letters, F for a failure; gives what each turned."""
    return [breaker.note(now_s, failed=letter == "F") for letter in answers]


def opened(now_s: float = 0.0) -> Breaker:
    """A breaker that twenty failures opened."""
    breaker = Breaker()
    fed(breaker, "F" * 20, now_s)
    return breaker


def test_it_opens_after_twenty_failures_in_a_row() -> None:
    """Not after nineteen."""
    breaker = Breaker()

    assert fed(breaker, "F" * 19) == [None] * 19
    assert not breaker.is_open
    assert fed(breaker, "F") == [Turn.OPENED]
    assert breaker.is_open


def test_any_answer_ends_a_row() -> None:
    """A service that answers is not down."""
    assert set(fed(Breaker(), "F" * 19 + "." + "F" * 19)) == {None}


def test_it_opens_when_half_of_the_last_hundred_fail() -> None:
    """However they are mixed."""
    breaker = Breaker()

    assert fed(breaker, "F." * 50) == [None] * 99 + [Turn.OPENED]
    assert set(fed(Breaker(), ("F." * 49 + "..") * 5)) == {None}


def test_only_the_last_hundred_count() -> None:
    """A bad start is forgotten."""
    assert set(fed(Breaker(), "F." * 49 + "." * 100 + "F." * 49)) == {None}


def test_while_it_is_open_one_probe_leaves_every_thirty_seconds() -> None:
    """The first one thirty seconds after it opened; a probe that is lost does not hold the next one up."""
    breaker = opened(now_s=100.0)
    times, now_s = [], 100.0
    for _ in range(5):
        now_s += breaker.wait_s(now_s)
        assert breaker.claim(now_s)
        times.append(now_s)

    assert times == [130.0, 160.0, 190.0, 220.0, 250.0]


def test_a_probe_that_is_answered_closes_it() -> None:
    """And it begins to count anew."""
    breaker = opened()

    assert breaker.note(30.0, failed=True, is_probe=True) is None
    assert breaker.note(60.0, failed=False, is_probe=True) is Turn.CLOSED
    assert (breaker.is_open, breaker.wait_s(60.0), breaker.claim(60.0)) == (False, 0.0, False)
    assert fed(breaker, "F" * 19) == [None] * 19
    assert fed(breaker, "F") == [Turn.OPENED]


def test_an_answer_to_what_left_before_does_not_close_it() -> None:
    """It proves nothing about now."""
    breaker = opened()

    assert fed(breaker, "...F.") == [None] * 5
    assert breaker.is_open


@pytest.mark.parametrize(("after_s", "is_over"), [(570.0, False), (599.9, False), (600.0, True), (629.0, True)])
def test_an_outage_is_waited_out_for_ten_minutes(after_s: float, is_over: bool) -> None:  # noqa: FBT001
    """From when it was noticed; a probe of after that is the last, whoever waits."""
    breaker = opened(now_s=50.0)
    assert not breaker.is_over(50.0 + after_s)
    breaker.note(50.0 + after_s, failed=True, is_probe=True)
    fed(breaker, "F")

    assert breaker.is_over(50.0 + after_s) is is_over


def test_a_last_probe_that_is_lost_holds_nobody() -> None:
    """Another interval later it is over all the same; and what never was an outage never is over."""
    assert [opened().is_over(after_s) for after_s in (600.0, 630.0, 630.1)] == [False, False, True]
    assert not Breaker().is_over(1e9)


def test_a_last_probe_that_is_answered_closes_it_like_any_other() -> None:
    """Ten minutes and a half are as good as one."""
    breaker = opened()
    breaker.note(620.0, failed=False, is_probe=True)

    assert (breaker.is_open, breaker.is_over(1e9)) == (False, False)


@given(
    st.lists(st.tuples(st.sampled_from("F.FP"), st.floats(0, 100)), max_size=300),
    st.integers(1, 20),
    st.integers(1, 100),
)
def test_no_two_probes_leave_too_close_together(steps: list[tuple[str, float]], in_row: int, window: int) -> None:
    """Whatever happens meanwhile, and nobody else passes while it is open."""
    breaker, now_s, probes = Breaker(Patience(in_row=in_row, window=window)), 0.0, [-30.0]
    for kind, later_s in steps:
        now_s += later_s
        if breaker.wait_s(now_s) == 0.0 and breaker.claim(now_s):
            assert now_s - probes[-1] >= 30.0
            probes.append(now_s)
            breaker.note(now_s, failed=kind != "P", is_probe=True)
        else:
            breaker.note(now_s, failed=kind == "F")
            assert not breaker.is_open or breaker.wait_s(now_s) > 0


@pytest.mark.parametrize(("looks", "is_mute"), [(0, False), (19, False), (20, True)])
def test_writes_that_fail_while_reads_are_answered_are_an_outage_of_their_own(
    looks: int,
    is_mute: bool,  # noqa: FBT001
) -> None:
    """No probe would show it; and many writes that were on their way when everything failed are none."""
    breaker = Breaker()
    for number in range(20):
        breaker.note(0.0, failed=True, is_write=True)
        if number < looks:
            breaker.note(0.0, failed=False)

    assert breaker.is_mute is is_mute


def test_one_write_that_works_ends_the_count_of_those_that_do_not() -> None:
    """A few users that always fail are no outage."""
    breaker = Breaker()
    for failed in [True] * 19 + [False] + [True] * 19:
        breaker.note(0.0, failed=failed, is_write=True)
        breaker.note(0.0, failed=False)

    assert not breaker.is_mute
