"""Promises about the gate that every request passes."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.cometchat.gate import SETTLE_S, Gate, Stop
from reconcile.cometchat.wire import RateHeaders
from reconcile.core.pacing import Budget, RateGroup
from reconcile.errors import DirectoryStopped, ExitCode, Interrupted
from tests.cometchat.builders import Clock, a_gate, a_stop

CORE, STANDARD = RateGroup.CORE, RateGroup.STANDARD


def entered(gate: Gate, clock: Clock, group: RateGroup, count: int) -> list[float]:
    """Pass the gate so many times and give the moments."""
    moments = []
    for _ in range(count):
        gate.enter(group)
        moments.append(clock())
    return moments


def most_in_a_minute(moments: list[float]) -> int:
    """Count the fullest minute, from each moment on."""
    return max(bisect_left(moments, start + 59.999) - number for number, start in enumerate(moments))


@contextmanager
def crowd(size: int, work: Callable[[], object]) -> Iterator[list[object]]:
    """Have threads do the same; gives what each came back with, filled when the block ends."""
    results: list[object] = []

    def one() -> None:
        try:
            results.append(work())
        except Interrupted as error:
            results.append(error)

    threads = [threading.Thread(target=one) for _ in range(size)]
    for thread in threads:
        thread.start()
    yield results
    for thread in threads:
        thread.join(5)


def test_slots_are_evenly_spaced() -> None:
    """A burst at the start of a minute would be refused by a small bucket."""
    clock = Clock()
    moments = entered(a_gate(clock, standard=600), clock, STANDARD, 20)

    assert [round(moment - moments[0], 6) for moment in moments] == [
        round(number * 0.1, 6) for number in range(20)
    ]


def test_what_is_spent_is_told_of_the_group_that_is_nearest_to_its_limit() -> None:
    """The other one has room."""
    clock = Clock()
    gate = a_gate(clock, core=60, standard=600)
    entered(gate, clock, CORE, 3)
    entered(gate, clock, STANDARD, 6)

    assert gate.spending() == (0.05, 60.0)


def test_idle_time_is_not_saved_up() -> None:
    """After a pause the pace is the same as before it."""
    clock = Clock()
    gate = a_gate(clock, standard=60)
    entered(gate, clock, STANDARD, 1)
    clock.advance(600)
    moments = entered(gate, clock, STANDARD, 3)

    assert [round(moment - moments[0], 6) for moment in moments] == [0, 1, 2]


@settings(max_examples=400, deadline=None)
@given(st.integers(5, 90), st.lists(st.floats(0, 30), max_size=60), st.sampled_from([CORE, STANDARD]))
def test_no_minute_has_more_than_the_rate(rate: int, idle: list[float], group: RateGroup) -> None:
    """However requests come, with and without gaps."""
    clock = Clock()
    gate = a_gate(clock, core=rate, standard=rate)
    moments = []
    for gap in [*idle, *[0.0] * (rate + 10)]:
        clock.advance(gap)
        moments += entered(gate, clock, group, 1)

    assert most_in_a_minute(moments) <= rate


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([CORE, STANDARD]), min_size=450, max_size=500))
def test_the_careful_rate_holds_for_both_groups_together(groups: list[RateGroup]) -> None:
    """The smallest plan may count them in one."""
    clock = Clock()
    gate = a_gate(clock, core=None, standard=None)
    moments = [moment for group in groups for moment in entered(gate, clock, group, 1)]

    assert most_in_a_minute(moments) <= 400


def test_each_group_has_its_own_rate_once_both_are_known() -> None:
    """Creates do not wait for updates."""
    clock = Clock()
    gate = a_gate(clock, core=None, standard=None)
    gate.observe(CORE, RateHeaders(limit=600, remaining=600))
    gate.observe(STANDARD, RateHeaders(limit=1200, remaining=1200))
    entered(gate, clock, CORE, 1)
    start = clock()
    entered(gate, clock, STANDARD, 1)

    assert clock() == start
    assert gate.rates() == {CORE: 480, STANDARD: 960}


def test_what_is_learnt_of_one_group_does_not_speed_the_other() -> None:
    """Without headers of its own a group stays careful; once it went at the other's rate."""
    clock = Clock()
    gate = a_gate(clock, core=None, standard=None)
    gate.observe(STANDARD, RateHeaders(limit=20_000, remaining=20_000))

    assert most_in_a_minute(entered(gate, clock, CORE, 450)) <= 400


def test_a_rate_in_the_settings_for_one_group_does_not_speed_the_other() -> None:
    """The same without any header."""
    clock = Clock()
    gate = a_gate(clock, core=None, standard=20_000)

    assert most_in_a_minute(entered(gate, clock, CORE, 450)) <= 400


def test_a_learnt_rate_is_used_at_once() -> None:
    """A slot that was reserved at a slower rate is not waited for."""
    clock = Clock()
    gate = a_gate(clock, core=None, standard=6)
    entered(gate, clock, STANDARD, 1)
    start = clock()
    gate = a_gate(clock, core=None, standard=None)
    entered(gate, clock, STANDARD, 1)
    gate.observe(STANDARD, RateHeaders(limit=6000, remaining=6000))
    entered(gate, clock, STANDARD, 1)

    assert clock() - start < 0.02


def test_somebody_else_in_the_app_is_made_room_for() -> None:
    """What the server counted and we did not send, others sent."""
    gate = a_gate(Clock(), core=None, standard=None)
    gate.observe(STANDARD, RateHeaders(limit=1000, remaining=400))

    assert gate.rates()[STANDARD] == 380


def test_a_pause_holds_both_groups() -> None:
    """The service counts requests, whatever we call them."""
    clock = Clock()
    gate = a_gate(clock)
    gate.pause(15)
    gate.pause(5)
    start = clock()
    entered(gate, clock, CORE, 1)
    entered(gate, clock, STANDARD, 1)

    assert clock() - start >= 15
    assert gate.throttled == 2


def test_a_wait_that_is_too_long_ends_the_run_for_every_thread() -> None:
    """Also where the refused request was one whose answer nobody waits for, as a page beyond the end."""
    clock = Clock()
    gate = a_gate(clock)
    gate.pause(301)

    for group in (CORE, STANDARD):
        with pytest.raises(DirectoryStopped, match="asks to wait 301 s"):
            gate.enter(group)


def test_a_pause_holds_every_thread() -> None:
    """For as long as was asked, in real time."""
    stop = Stop(time.monotonic)
    gate = Gate({group: Budget(0.8, fixed=60_000) for group in RateGroup}, stop, time.monotonic)
    gate.pause(0.2)
    until = time.monotonic() + 0.2

    def pass_through() -> float:
        gate.enter(STANDARD)
        return time.monotonic()

    with crowd(8, pass_through) as moments:
        pass

    assert len(moments) == 8
    assert all(isinstance(moment, float) and moment >= until for moment in moments)


def test_a_stop_wakes_every_waiter_at_once() -> None:
    """Those in the line, those behind it, and those between two attempts."""
    stop = Stop(time.monotonic)
    gate = Gate({group: Budget(0.8, fixed=60_000) for group in RateGroup}, stop, time.monotonic)
    gate.pause(60)
    began = time.monotonic()
    with crowd(8, lambda: gate.enter(STANDARD)) as first, crowd(8, lambda: gate.sleep(60)) as second:
        time.sleep(0.05)  # noqa: TID251 - so that they wait
        stop.set(ExitCode.SIGTERM, "interrupted")

    assert [type(result) for result in first + second] == [Interrupted] * 16
    assert time.monotonic() - began < 1


def test_threads_together_never_go_over_the_rate() -> None:
    """Twenty of them, in real time."""
    stop = Stop(time.monotonic)
    gate = Gate({group: Budget(0.8, fixed=6000) for group in RateGroup}, stop, time.monotonic)
    moments: list[float] = []

    def pass_through() -> None:
        for _ in range(3):
            gate.enter(CORE)
            moments.append(time.monotonic())

    began = time.monotonic()
    with crowd(20, pass_through):
        pass

    assert len(moments) == 60
    assert all(moment - began >= 0.01 * number - 0.001 for number, moment in enumerate(sorted(moments)))


def test_a_wait_between_attempts_is_as_long_as_asked() -> None:
    """Once it ended after a second, whatever was asked."""
    clock = Clock()
    start = clock()
    a_gate(clock).sleep(15)

    assert clock() - start == 15


def test_after_a_stop_only_what_settles_goes_on_and_not_for_ever() -> None:
    """A write in flight may be looked at for ten seconds."""
    clock = Clock()
    stop = a_stop(clock)
    gate = a_gate(clock, stop=stop)
    stop.set(ExitCode.SIGINT, "interrupted")
    gate.enter(STANDARD, settling=True)
    with pytest.raises(Interrupted):
        gate.enter(STANDARD)
    clock.advance(SETTLE_S + 0.1)

    with pytest.raises(Interrupted):
        gate.enter(STANDARD, settling=True)


def test_the_first_wish_to_stop_counts() -> None:
    """A deadline that passes while a signal is handled changes nothing."""
    stop = Stop(Clock())
    stop.set(ExitCode.SIGTERM, "interrupted")
    stop.set(ExitCode.STOPPED, "the deadline passed")

    assert (stop.code, stop.why) == (ExitCode.SIGTERM, "interrupted")
    with pytest.raises(Interrupted) as interrupted:
        stop.check()
    assert interrupted.value.exit_code is ExitCode.SIGTERM
